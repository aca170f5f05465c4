"""Features of graphs against plain loops over their nodes, edges and paths."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acenas.spaces import GraphBatch, NasBench201
from acenas.spaces.features import Counts, Features, OneHot, Paths, paths
from tests.ranker.graphs import NUM_NODE_TYPES, padded, permuted, random_dags

SPACE = NasBench201()
CELLS = SPACE.encode(SPACE.enumerate()[::97])


def paths_of_one(graphs: GraphBatch, arch: int) -> set[tuple[int, ...]]:
    """By recursion over the successors of each node."""

    def onwards(at: int) -> list[tuple[int, ...]]:
        own = int(graphs.node[arch, at])
        successors = graphs.adjacency[arch, at].nonzero().flatten().tolist()
        return [(own, *rest) for s in successors for rest in onwards(s)] if successors else [(own,)]

    starts = graphs.mask[arch] & ~graphs.adjacency[arch].any(dim=0)
    return {path for at in starts.nonzero().flatten().tolist() for path in onwards(at)}


@given(st.integers(0, 10_000), st.integers(2, 7))
def test_paths_are_those_of_a_recursion(seed: int, size: int) -> None:
    graphs = random_dags(6, size=size, seed=seed)
    arch, path = paths(graphs)
    expected = [paths_of_one(graphs, i) for i in range(6)]
    found = [path[arch == i].tolist() for i in range(6)]
    assert [len(set(hashes)) for hashes in found] == [len(hashes) for hashes in found], "each once"
    assert [len(hashes) for hashes in found] == [len(names) for names in expected]
    for one, two in itertools.combinations(range(6), 2):
        assert len(set(found[one]) & set(found[two])) == len(expected[one] & expected[two])


def test_paths_that_no_observed_architecture_has_are_no_columns() -> None:
    features = Paths(SPACE.num_node_types)
    assert features.rows(CELLS).shape == (len(CELLS), 0)
    features.fit(CELLS[:10])
    rows = features.rows(CELLS)
    known = set().union(*(paths_of_one(CELLS, i) for i in range(10)))
    assert rows.shape == (len(CELLS), len(known))
    for i in range(len(CELLS)):
        assert rows[i].sum() == len(paths_of_one(CELLS, i) & known)


def test_a_cycle_has_no_paths() -> None:
    adjacency = torch.tensor([[[0, 1, 0], [0, 0, 1], [0, 1, 0]]]).bool()
    graph = GraphBatch(torch.ones(1, 3).long(), adjacency, torch.ones(1, 3).bool(), torch.zeros(1, 0))
    with pytest.raises(ValueError, match="cycle"):
        paths(graph)


def test_one_hot_of_cells_is_their_operations() -> None:
    features = OneHot(SPACE.num_node_types)
    features.fit(CELLS)
    rows = features.rows(CELLS)
    assert rows.shape == (len(CELLS), 8 * SPACE.num_node_types), "edges follow from the nodes in this space"
    for row, node in zip(rows.reshape(-1, 8, SPACE.num_node_types), CELLS.node, strict=True):
        assert np.array_equal(row.argmax(1), node.numpy()) and (row.sum(1) == 1).all()


def test_one_hot_has_the_edges_that_do_not_follow_from_their_ends() -> None:
    graphs = random_dags(30, size=4)
    features = OneHot(NUM_NODE_TYPES)
    features.fit(graphs)
    rows = features.rows(graphs)[:, 4 * NUM_NODE_TYPES :]
    upper = [(i, j) for i, j in itertools.combinations(range(4), 2)]
    expected = np.stack([graphs.adjacency[:, i, j].numpy() for i, j in upper], axis=1)
    assert np.array_equal(rows, expected), "random graphs: every edge varies"


def test_counts_are_those_of_a_loop() -> None:
    graphs = random_dags(5)
    rows = Counts(NUM_NODE_TYPES).rows(graphs)
    for i, row in enumerate(rows):
        types, edges = np.zeros(NUM_NODE_TYPES), np.zeros((NUM_NODE_TYPES, NUM_NODE_TYPES))
        for at in graphs.mask[i].nonzero().flatten().tolist():
            types[graphs.node[i, at]] += 1
        for source, target in graphs.adjacency[i].nonzero().tolist():
            edges[graphs.node[i, source], graphs.node[i, target]] += 1
        assert np.array_equal(row, np.concatenate([types, edges.flatten()]))


@pytest.mark.parametrize("kind", [Counts, Paths])
def test_neither_the_order_of_nodes_nor_padding_matters(kind: type[Features]) -> None:
    graphs = random_dags(20)
    features = kind(NUM_NODE_TYPES)
    features.fit(graphs[:10])
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(features.rows(graphs), features.rows(permuted(padded(graphs, 2), order)))


@pytest.mark.parametrize("kind", [OneHot, Counts, Paths])
def test_several_graphs_and_globals(kind: type[Features]) -> None:
    graphs = random_dags(12, per_arch=2, num_globals=3)
    features = kind(NUM_NODE_TYPES)
    features.fit(graphs)
    rows = features.rows(graphs)
    assert np.array_equal(rows[:, -3:], graphs.globals.numpy())
    assert np.array_equal(features.rows(graphs[3:5]), rows[3:5])
    swapped = GraphBatch(graphs.node.flip(1), graphs.adjacency.flip(1), graphs.mask.flip(1), graphs.globals)
    assert not np.array_equal(features.rows(swapped), rows), "which graph has what is a difference"
    empty = features.rows(graphs[:0])
    assert empty.shape == (0, rows.shape[1])
