import itertools
import os
from pathlib import Path
from typing import Any

import networkx as nx  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from acenas.errors import UserError
from acenas.spaces import Graphs
from acenas.spaces.operation_graphs import Read, isomorphic, read_json

OPERATIONS = ["input", "conv", "pool", "output"]


def digraph(arch: str) -> Read:
    """`0-1,1-2:input,conv,output`."""
    edges, operations = arch.split(":")
    return operations.split(","), [tuple(map(int, edge.split("-"))) for edge in edges.split(",")]  # type: ignore[misc]


def drawn(rng: np.random.Generator) -> str:
    """A chain of 2 to 5 nodes with skips."""
    size = int(rng.integers(2, 6))
    edges = [(i, j) for i, j in itertools.combinations(range(size), 2) if j == i + 1 or rng.random() < 0.4]
    operations = ["input", *rng.choice(["conv", "pool"], size - 2), "output"]
    place = rng.permutation(size)
    written = sorted((int(place[i]), int(place[j])) for i, j in edges)
    names = [operations[i] for i in np.argsort(place)]
    return ",".join(f"{i}-{j}" for i, j in written) + ":" + ",".join(names)


def test_isomorphic_graphs_are_one_function_and_only_these() -> None:
    rng = np.random.default_rng(0)
    archs = list(dict.fromkeys(drawn(rng) for _ in range(250)))
    space = Graphs(digraph, archs)
    by_networkx: list[nx.DiGraph] = []
    for arch in archs:
        operations, edges = digraph(arch)
        graph = nx.DiGraph(edges)
        graph.add_nodes_from((i, {"op": op}) for i, op in enumerate(operations))
        by_networkx.append(graph)
    canonical = space.canonical_all(archs)
    assert len(set(canonical)) < len(archs) * 0.8
    for i, graph in enumerate(by_networkx):
        same = (
            other
            for other in range(i + 1)
            if nx.is_isomorphic(graph, by_networkx[other], node_match=lambda a, b: a["op"] == b["op"])
        )
        assert canonical[i] == archs[next(same)]
    assert [canonical[i] for i in space.distinct(archs)] == list(dict.fromkeys(canonical))


def test_graphs_that_no_colour_tells_apart_are_compared() -> None:
    """Two rings of 4 and one of 8, edges from even to odd nodes: the same around every node."""
    rings = {}
    for length in (4, 8):
        edges = []
        for start in range(0, 8, length):
            ring = list(range(start, start + length))
            edges += [
                (min(a, b, key=lambda n: n % 2), max(a, b, key=lambda n: n % 2))
                for a, b in zip(ring, ring[1:] + ring[:1], strict=True)
            ]
        rings[str(length)] = (["conv"] * 8, edges)
    space = Graphs({**rings, "again": rings["4"]}, disconnected=True)
    assert space.graph("4").colours == space.graph("8").colours
    assert not isomorphic(space.graph("4"), space.graph("8"))
    assert space.canonical_all(["4", "8", "again"]) == ["4", "8", "4"]


def test_nodes_may_have_names_and_their_order_says_nothing() -> None:
    one = (
        {"out": "output", "x": "input", "a": "conv", "b": "pool"},
        [("a", "out"), ("x", "a"), ("b", "out"), ("x", "b")],
    )
    two = (["input", "pool", "conv", "output"], [(0, 1), (0, 2), (1, 3), (2, 3), (2, 3)])
    space = Graphs({"one": one, "two": two, "three": (["input", "output"], [(0, 1)])}, operations=OPERATIONS)
    graphs = space.encode(["one", "two", "three"])
    assert space.num_node_types == 5 and space.nodes == 4
    assert torch.equal(graphs.node[0], graphs.node[1]) and torch.equal(
        graphs.adjacency[0], graphs.adjacency[1]
    )
    assert graphs.node[2].tolist() == [1, 4, 0, 0] and graphs.mask[2].tolist() == [True, True, False, False]
    assert not graphs.adjacency.tril().any()
    assert space.enumerate() == ["one", "two", "three"]
    assert set(space.sample(50, torch.Generator().manual_seed(0))) == {"one", "two", "three"}
    assert len(space.draw("one").texts) == 4


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ((["input", "conv", "conv"], [(0, 1), (1, 2), (2, 1)]), r"it has a cycle, (1 -> 2 -> 1|2 -> 1 -> 2)"),
        (
            (["input", "cnv"], [(0, 1)]),
            r"node 1 is 'cnv' and can be input, conv, pool or output \(did you mean conv\?\)",
        ),
        ((["input", "conv", "output"], [(0, 2)]), "no edge joins 1 to the rest"),
        ((["input", "conv"], [(0, 2)]), "an edge has 2, which is none of the nodes 0 or 1"),
        (([], []), r"it has 0 nodes and can have 1 to 4"),
        ((["conv"] * 5, []), "it has 5 nodes and can have 1 to 4"),
        (["conv"], "read gives operations and edges"),
        ((["conv"], [1]), "read gives operations and edges"),
    ],
)
def test_what_is_no_graph_of_the_space_is_told(graph: Any, message: str) -> None:
    space = Graphs(lambda arch: graph, operations=OPERATIONS, nodes=4)
    with pytest.raises(UserError, match=f"not an architecture of the space graphs: {message}.*: 'net'"):
        space.validate("net")
    with pytest.raises(UserError, match=message):
        Graphs({"net": graph}, operations=OPERATIONS, nodes=4)


def test_what_is_not_there_is_told() -> None:
    space = Graphs({"net1": (["conv"], [])})
    with pytest.raises(UserError, match=r"it is none of the 1 there are \(did you mean net1\?\): 'net2'"):
        space.encode(["net2"])
    with pytest.raises(UserError, match="knows no neighbours: give it neighbours="):
        space.neighbours("net1")
    with pytest.raises(UserError, match="builds no networks: give it build="):
        space.build("net1", 10)
    with pytest.raises(UserError, match="give archs=, or operations= and nodes="):
        Graphs(digraph)
    unlisted = Graphs(digraph, operations=OPERATIONS, nodes=5)
    with pytest.raises(NotImplementedError, match="too large to list"):
        unlisted.enumerate()
    with pytest.raises(UserError, match="draws no architectures: give it sample="):
        unlisted.sample(1, torch.Generator())


def test_what_is_not_listed_is_of_the_space_where_the_operations_are_known() -> None:
    space = Graphs(lambda arch: (arch.split("-"), [(0, 1)]), ["in-out", "in-7"])
    assert repr(space) == "Graphs(2 architectures, operations=['7', 'in', 'out'], nodes=2)"
    assert space.parse("7-out") == "7-out"
    for arch, match in (
        ("in-8", "is '8' and can be 7, in or out"),
        ("in-out-7", "3 nodes and can have 1 to 2"),
        ("x", "1"),
    ):
        with pytest.raises(UserError, match=match):
            space.parse(arch)
    with pytest.raises(UserError, match=r"read fails: ZeroDivisionError: division by zero: 'in'"):
        Graphs(lambda arch: 1 / 0, ["in"])  # type: ignore[arg-type,return-value]


def test_operations_that_are_no_text_are_named_by_it() -> None:
    operations: list[Any] = [None, 3, "conv"]
    assert Graphs({"a": (operations, [(0, 1), (1, 2)])}).operations == ["3", "None", "conv"]


def test_a_space_that_is_drawn_from_goes_on_beyond_a_list() -> None:
    space = Graphs(f"{__name__}.digraph", operations=OPERATIONS, nodes=5, sample=drawn)
    archs = space.sample(20, torch.Generator().manual_seed(1))
    assert archs == space.sample(20, torch.Generator().manual_seed(1))
    assert len(space.encode(archs)) == 20
    near = space.neighbours(archs[0])
    assert near == space.neighbours(archs[0]) and archs[0] not in near and len(near) > 3
    told = Graphs({"a": (["conv"], []), "b": (["pool"], [])}, neighbours=lambda arch: ["a", "b"])
    assert told.neighbours("a") == ["b"]


def test_networks_are_built_by_a_function_of_the_architecture() -> None:
    def make(arch: str, num_classes: int = 7) -> nn.Module:
        return nn.Linear(4 if arch == "a" else 8, num_classes, bias=False)

    space = Graphs({"a": (["conv"], []), "b": (["pool"], [])}, build=make, example_input=torch.zeros(1, 4))
    assert space.costs(["a"])[0].macs_m == 28 / 1e6
    assert space.build("b", 3).weight.shape == (3, 8)


@pytest.mark.skipif(
    "ACENAS_DATA" not in os.environ, reason="ACENAS_DATA names no folder with rnn-wikitext2.parquet"
)
def test_recurrent_cells_of_nas_bench_nlp() -> None:
    frame = pd.read_parquet(Path(os.environ["ACENAS_DATA"]) / "rnn-wikitext2.parquet")

    with pytest.raises(UserError, match="disconnected=True allows that"):
        Graphs(read_json, frame["arch"])
    space = Graphs(read_json, frame["arch"], disconnected=True)
    assert len(space.enumerate()) == frame["arch"].nunique() == 291
    assert set(space.operations) >= {"linear", "blend", "x", "h_prev_0"}
    assert len(space.distinct(space.enumerate())) <= 291
    assert len(space.encode(space.enumerate())) == 291


@pytest.mark.parametrize("text", ["{", "[]", '{"a": {"op": "relu"}}', '{"a": 3}'])
def test_what_is_no_graph_as_json_is_told(text: str) -> None:
    with pytest.raises(UserError, match="it is not JSON with op and input of each node"):
        Graphs(read_json, operations=["relu"], nodes=3).validate(text)


def test_a_space_whose_node_types_do_not_agree_is_told() -> None:
    space = Graphs({"a": (["conv", "pool"], [(0, 1)])})
    assert len(space.canonical_graphs(["a", "a"])) == 2
    space.num_node_types = 2
    with pytest.raises(UserError, match="num_node_types=2, but encode gives a node the type 2"):
        space.canonical_graphs(["a"])
