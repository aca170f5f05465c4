import time
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch

from acenas.errors import UserError
from acenas.spaces import GraphBatch, NasBench201
from acenas.spaces.cost import count_cost
from acenas.spaces.nasbench201.cells import EDGES, OPERATIONS, isomorphism_string

SPACE = NasBench201()
WRITTEN = NasBench201(as_written=True)
ARCHS = st.sampled_from(SPACE.enumerate())
# Official architectures 0, 11 and 284.
ARCH_0 = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
ARCH_284 = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|nor_conv_1x1~1|none~2|"


def codes(arch: str) -> list[int]:
    return [OPERATIONS.index(operation) for operation in SPACE.operations(arch)]


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        (ARCH_0, "(0)@avg_pool_3x3+(0)@avg_pool_3x3+(0)@nor_conv_1x1+(0)@nor_conv_1x1"),
        ("|avg_pool_3x3~0|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2|", "#+#+#+0"),
        (ARCH_284, "#+#+(0)@nor_conv_1x1"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|", "#+#+(#+#)@nor_conv_1x1"),
    ],
)
def testisomorphism_string_equals_the_official_one(arch: str, expected: str) -> None:
    # The terms of a sum are sorted as strings here; the official order of equal terms differs only in place.
    assert Counter(isomorphism_string(codes(arch)).split("+")) == Counter(expected.split("+"))


def test_the_space_has_15625_cells_and_6466_functions() -> None:
    archs = SPACE.enumerate()
    assert len(archs) == len(set(archs)) == 15_625
    assert len({SPACE.canonical(arch) for arch in archs}) == 6_466


@given(ARCHS)
def test_canonical_form_is_a_fixed_point_with_the_same_function(arch: str) -> None:
    canonical = SPACE.canonical(arch)
    assert SPACE.canonical(canonical) == canonical
    assert isomorphism_string(codes(canonical)) == isomorphism_string(codes(arch))
    assert sum(c == 3 for c in codes(canonical)) <= sum(c == 3 for c in codes(arch))


def test_equal_canonical_forms_compute_the_same_function() -> None:
    """A simulation on random inputs: the operations are fixed random maps, the cell their composition."""
    rng = np.random.default_rng(0)
    maps = {op: rng.normal(size=(5, 5)) for op in ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")}

    def output(arch: str, x: np.ndarray) -> np.ndarray:
        nodes = [x, np.zeros(5), np.zeros(5), np.zeros(5)]
        for (source, target), op in zip(EDGES, SPACE.operations(arch), strict=True):
            if op == "skip_connect":
                nodes[target] = nodes[target] + nodes[source]
            elif op != "none":
                nodes[target] = nodes[target] + np.tanh(maps[op] @ nodes[source])
        return nodes[3]

    x = rng.normal(size=5)
    for arch in SPACE.sample(500, torch.Generator().manual_seed(0)):
        np.testing.assert_allclose(output(arch, x), output(SPACE.canonical(arch), x), atol=1e-9)


@given(ARCHS)
def test_neighbours_differ_in_one_edge_and_are_mutual(arch: str) -> None:
    neighbours = SPACE.neighbours(arch)
    assert len(set(neighbours)) == 24
    for other in neighbours:
        assert sum(a != b for a, b in zip(codes(arch), codes(other), strict=True)) == 1
    assert arch in SPACE.neighbours(neighbours[0])


@given(ARCHS)
def test_operations_and_string_convert_both_ways(arch: str) -> None:
    assert SPACE.from_operations(SPACE.operations(arch)) == arch


def test_sampling_is_seeded_and_uniform() -> None:
    drawn = SPACE.sample(4_000, torch.Generator().manual_seed(3))
    assert drawn == SPACE.sample(4_000, torch.Generator().manual_seed(3))
    counts = np.array(list(Counter(op for arch in drawn for op in SPACE.operations(arch)).values()))
    assert counts.size == 5 and np.abs(counts / 24_000 - 0.2).max() < 0.015


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("", "node"),
        ("|none~0|", "1 node"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|", "2 input"),
        ("|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", "unknown operation 'conv'"),
        ("|none~0|+|none~1|none~1|+|none~0|none~1|none~2|", "reads from '1' instead of 0"),
        ("none~0+|none~0|none~1|+|none~0|none~1|none~2|", "not enclosed"),
    ],
)
def test_an_invalid_cell_is_named(arch: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SPACE.validate(arch)


def test_cells_of_transnas_bench_101_are_read() -> None:
    cell = "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|nor_conv_3x3~0|none~1|nor_conv_1x1~2|"
    assert SPACE.parse("64-41414-2_01_302") == SPACE.parse(cell) == cell
    with pytest.raises(UserError, match="not a NAS-Bench-201 cell"):
        SPACE.parse("64-41414-4_01_302")  # it has no pooling


def test_encoding_the_space_is_fast() -> None:
    space = NasBench201()  # nothing made yet
    start = time.perf_counter()
    graphs = space.encode(space.enumerate())
    assert time.perf_counter() - start < 0.5
    assert len(graphs) == 15_625 and graphs.node.max() < space.num_node_types


@given(ARCHS)
def test_the_graph_is_the_data_flow_of_the_canonical_cell(arch: str) -> None:
    graphs = SPACE.encode([arch])
    operations = SPACE.operations(SPACE.canonical(arch))
    present = [i for i, op in enumerate(operations) if op != "none"]
    assert graphs.mask[0].tolist() == [True, *(op != "none" for op in operations), True]
    expected = {(0, i + 1) for i in present if EDGES[i][0] == 0}
    expected |= {(i + 1, 7) for i in present if EDGES[i][1] == 3}
    expected |= {(i + 1, j + 1) for i in present for j in present if EDGES[i][1] == EDGES[j][0]}
    assert {(int(s), int(t)) for s, t in graphs.adjacency[0].nonzero()} == expected


@given(ARCHS)
def test_as_written_every_cell_has_a_graph_of_its_own(arch: str) -> None:
    graphs = WRITTEN.canonical_graphs([arch])
    assert graphs.node[0].tolist() == [1, *(3 + OPERATIONS.index(each) for each in SPACE.operations(arch)), 2]
    expected = {(0, i + 1) for i in range(6) if EDGES[i][0] == 0}
    expected |= {(i + 1, 7) for i in range(6) if EDGES[i][1] == 3}
    expected |= {(i + 1, j + 1) for i in range(6) for j in range(6) if EDGES[i][1] == EDGES[j][0]}
    assert {(int(s), int(t)) for s, t in graphs.adjacency[0].nonzero()} == expected and graphs.mask.all()


def test_equal_functions_are_equal_graphs() -> None:
    archs = SPACE.sample(200, torch.Generator().manual_seed(1))
    a, b = SPACE.encode(archs), SPACE.encode([SPACE.canonical(arch) for arch in archs])
    assert torch.equal(a.node, b.node) and torch.equal(a.adjacency, b.adjacency)


@given(st.lists(ARCHS, min_size=1, max_size=5))
def test_graphs_convert_to_torch_geometric_and_back(archs: list[str]) -> None:
    graphs = SPACE.encode(archs)
    batch = graphs.to_pyg()
    assert isinstance(batch, Batch) and batch.num_graphs == len(archs)
    assert batch.edge_index.shape[1] == int(graphs.adjacency.sum())
    back = GraphBatch.from_pyg(batch, size=8)
    # Nodes close ranks on the way; the graphs are equal once the gaps are closed here, too.
    for i in range(len(archs)):
        keep = graphs.mask[i]
        n = int(keep.sum())
        assert torch.equal(back.node[i, :n], graphs.node[i][keep])
        assert torch.equal(back.adjacency[i, :n, :n], graphs.adjacency[i][keep][:, keep])


def test_several_graphs_per_architecture_convert_both_ways() -> None:
    one = SPACE.encode([ARCH_0])
    full = SPACE.encode(
        ["|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~1|none~2|"]
    )
    node = torch.stack([one.node, full.node], dim=1)
    adjacency = torch.stack([one.adjacency, full.adjacency], dim=1)
    two = GraphBatch(node, adjacency, torch.stack([one.mask, full.mask], dim=1), torch.ones(1, 2))
    back = GraphBatch.from_pyg(two.to_pyg(), size=8, graphs_each=2)
    assert back.node.shape == (1, 2, 8) and torch.equal(back.globals, two.globals)
    assert torch.equal(back.mask.sum(-1), two.mask.sum(-1))


def test_shapes_that_do_not_agree_are_refused() -> None:
    graphs = SPACE.encode([ARCH_0])
    with pytest.raises(ValueError, match="shapes of a GraphBatch"):
        GraphBatch(graphs.node, graphs.adjacency[:, :-1], graphs.mask, graphs.globals)


def test_a_cell_is_drawn_with_one_arrow_per_operation() -> None:
    arch = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_1x1~2|"
    figure = SPACE.draw(arch)
    assert len(figure.artists) == 5
    labels = [text.get_text() for text in figure.texts]
    assert labels.count("conv 3×3") == 2 and {"in", "out", "1", "2"} <= set(labels)


def test_costs_are_those_of_the_networks() -> None:
    space = NasBench201(channels=8, cells_per_stage=1, stages=2, in_channels=1)
    archs = space.sample(12, torch.Generator().manual_seed(3))
    counted = [count_cost(space.build(arch, 10), (1, 8, 8)) for arch in archs]
    np.testing.assert_allclose(space.costs(archs, 10, (1, 8, 8)), counted, rtol=1e-12)
    assert space.costs([], 10, (1, 8, 8)) == []
