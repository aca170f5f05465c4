"""A custom space of networks that are graphs of named operations."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from acenas.errors import UserError, listed, near
from acenas.spaces.custom import CustomSpace, called, named
from acenas.spaces.features import Counts
from acenas.spaces.graphs import GraphBatch

Read = tuple[Mapping[Any, str] | Sequence[str], Iterable[tuple[Any, Any]]]
"""The operation of each node, by the node's name or its position, and the edges `(source, target)`."""

DRAWN = 20
"""Architectures that stand in for neighbours where none are known."""


class Graph(NamedTuple):
    """Nodes in topological order, those of one depth by their colours.

    Attributes:
        operations: of each node.
        edges: pairs of positions, lower to higher.
        colours: of each node, equal for nodes with the same operation and the same graph around them.
    """

    operations: tuple[str, ...]
    edges: frozenset[tuple[int, int]]
    colours: tuple[str, ...]


class Graphs(CustomSpace):
    """Architectures that are directed graphs of operations without cycles, in any notation.

    Isomorphic graphs (the same operations, joined in the same way) compute the same function. The order in which edges
    enter a node is not known, so operations should not depend on it.

    Args:
        read: from an architecture to `(operations, edges)`: a mapping, which is then the whole space, or a function.
            `operations` holds a name for each node, as a list or by the nodes' own names; `edges` are pairs (source,
            target) of nodes.
        archs: the listed architectures, where `read` is a function; they give the operations and the size.
        operations: all there are; those of the listed architectures by default.
        nodes: of the largest graph; that of the listed architectures by default.
        sample: draws an architecture, `sample(rng)` with a `numpy.random.Generator`; a listed one by default.
        neighbours: from an architecture to similar ones.
        build: makes a network, `build(arch=...)`. A parameter `num_classes` is passed the number of classes.
        example_input: the input of networks that do not take images, see `count_cost`.
        disconnected: whether graphs may have parts that no edge joins.
        name: in tables of this space.

    In YAML, a function is a dotted name. Raises `UserError` for listed architectures that are not of this space.

    >>> space = Graphs(
    ...     {
    ...         "plain": (["input", "conv", "output"], [(0, 1), (1, 2)]),
    ...         "same": ({"y": "output", "c": "conv", "x": "input"}, [("c", "y"), ("x", "c")]),
    ...         "pooled": (["input", "pool", "output"], [(0, 1), (1, 2)]),
    ...     }
    ... )
    >>> space.canonical("same")
    'plain'
    >>> space.encode(["plain"]).node
    tensor([[2, 1, 3]])
    """

    features = Counts  # the order of nodes that look alike means nothing

    def __init__(
        self,
        read: Mapping[str, Read] | Callable[[str], Read] | str,
        archs: Iterable[str] | None = None,
        *,
        operations: Sequence[str] | None = None,
        nodes: int | None = None,
        sample: Callable[[np.random.Generator], str] | str | None = None,
        neighbours: Callable[[str], Iterable[str]] | str | None = None,
        build: Callable[..., nn.Module] | str | None = None,
        example_input: Any = None,
        disconnected: bool = False,
        name: str = "graphs",
    ) -> None:
        super().__init__(name, build, example_input)
        self._read = named("space.read", read)
        self._sample, self._neighbours = named("space.sample", sample), named("space.neighbours", neighbours)
        self._disconnected = disconnected
        if isinstance(self._read, Mapping):
            archs = list(self._read) if archs is None else archs
        self._archs = None if archs is None else list(dict.fromkeys(archs))
        if self._archs is None and (operations is None or nodes is None):
            raise UserError("space: give archs=, or operations= and nodes= of the largest graph")
        self._known: dict[str, Graph] = {}
        self._alike: dict[tuple[object, ...], list[str]] = {}
        self._canonical: dict[str, str] = {}
        self._operations, self._size = None if operations is None else [*map(str, operations)], nodes
        graphs = [self.graph(arch) for arch in self._archs or []]
        self._operations = self._operations or sorted({each for graph in graphs for each in graph.operations})
        self._size = self._size or max((len(graph.operations) for graph in graphs), default=1)
        self.operations, self.nodes = self._operations, self._size
        self.num_node_types = 1 + len(self.operations)  # 0 is padding
        self.node_names = ("", *self.operations)
        for arch in self._archs or []:  # in order: the first of isomorphic graphs is canonical
            self.canonical(arch)

    def __repr__(self) -> str:
        listed = "" if self._archs is None else f"{len(self._archs)} architectures, "
        return f"Graphs({listed}operations={self.operations}, nodes={self.nodes})"

    def graph(self, arch: str) -> Graph:
        """Returns the graph of `arch`. Raises `UserError` as `validate`."""
        if arch not in self._known:
            try:
                self._known[arch] = self._checked(arch)
            except UserError as error:
                raise UserError(
                    f"not an architecture of the space {self.name}: {error}: {arch!r:.200}"
                ) from None
        return self._known[arch]

    def _checked(self, arch: str) -> Graph:
        import networkx as nx  # type: ignore[import-untyped]  # a third of a second, for those who have such a space

        if isinstance(self._read, Mapping) and arch not in self._read:
            raise UserError(f"it is none of the {len(self._read)} there are{near(arch, self._read.keys())}")
        told = self._read[arch] if isinstance(self._read, Mapping) else called(self._read, arch)
        try:
            operations, edges = told
            named_ones = operations.items() if isinstance(operations, Mapping) else enumerate(operations)
            operations = {node: str(operation) for node, operation in named_ones}
            graph = nx.DiGraph([(source, target) for source, target in edges])
        except (TypeError, ValueError, nx.NetworkXError):
            raise UserError(f"read gives operations and edges, pairs of nodes, not {told!r:.200}") from None
        for node in graph:
            if node not in operations:
                raise UserError(f"an edge has {node!r:.200}, which is none of the nodes {listed(operations)}")
        for node, operation in operations.items():
            if self._operations is not None and operation not in self._operations:
                there_are = listed(self._operations) + near(operation, self._operations)
                raise UserError(f"node {node!r:.200} is {operation!r:.200} and can be {there_are}")
            graph.add_node(node, operation=operation)
        if not operations or (self._size is not None and len(operations) > self._size):
            raise UserError(f"it has {len(operations)} nodes and can have 1 to {self._size or 'any number'}")
        if not nx.is_directed_acyclic_graph(graph):
            cycle = [source for source, _ in nx.find_cycle(graph)]
            raise UserError(f"it has a cycle, {' -> '.join(map(str, [*cycle, cycle[0]]))}")
        if not self._disconnected and not nx.is_weakly_connected(graph):
            smallest: set[Any] = min(nx.weakly_connected_components(graph), key=len)
            apart = listed(sorted(map(str, smallest)))
            raise UserError(f"no edge joins {apart} to the rest (disconnected=True allows that)")
        return _ordered(graph, nx.topological_generations(graph))

    @override
    def validate(self, arch: str) -> None:
        self.graph(arch)

    def canonical(self, arch: str) -> str:
        """Returns the first architecture, of those listed or asked for, with the same graph."""
        if arch not in self._canonical:
            graph = self.graph(arch)
            alike = self._alike.setdefault((len(graph.edges), *sorted(graph.colours)), [])
            found = (other for other in alike if isomorphic(graph, self.graph(other)))
            self._canonical[arch] = next(found, arch)
            if self._canonical[arch] == arch:
                alike.append(arch)
        return self._canonical[arch]

    def enumerate(self) -> list[str]:
        """Returns the listed architectures. Raises `NotImplementedError` where there are none."""
        if self._archs is None:
            super().enumerate()
        return list(self._archs or [])

    def sample(self, n: int, generator: torch.Generator) -> list[str]:
        """Returns `n` architectures, each drawn by `sample`, or uniformly of the listed ones."""
        if self._sample is not None:
            rng = np.random.default_rng(int(torch.randint(1 << 62, (1,), generator=generator)))
            return [self._sample(rng) for _ in range(n)]
        if not self._archs:
            raise UserError(f"the space {self.name} draws no architectures: give it sample= or archs=")
        return [self._archs[i] for i in torch.randint(len(self._archs), (n,), generator=generator).tolist()]

    def neighbours(self, arch: str) -> list[str]:
        """Returns the result of the function `neighbours`; without it, 20 samples, always the same for `arch`."""
        if self._neighbours is not None:
            found = list(self._neighbours(arch))
        elif self._sample is None:
            raise UserError(
                f"the space {self.name} knows no neighbours: give it neighbours=, or search its list"
            )
        else:
            seed = int.from_bytes(hashlib.blake2b(arch.encode(), digest_size=7).digest(), "little")
            found = self.sample(DRAWN, torch.Generator().manual_seed(seed))
        return [other for other in dict.fromkeys(found) if other != arch]

    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """Returns the graphs, node type 1 + the operation's position in `operations`, without globals."""
        types = {operation: number for number, operation in enumerate(self.operations, start=1)}
        graphs = ((graph.operations, graph.edges) for graph in map(self.graph, archs))
        typed = [([types[each] for each in operations], edges) for operations, edges in graphs]
        return GraphBatch.of(typed, self.nodes, torch.zeros(len(archs), 0))

    def _arguments(self, arch: str) -> dict[str, Any]:
        self.validate(arch)
        return {"arch": arch}


def read_json(arch: str) -> Read:
    """Reads a graph written as JSON, for `Graphs(read=...)`: the operation and the inputs of each node, by its name.

    What is an input and no node is one whose operation is its own name.

    >>> read_json('{"h": {"op": "linear", "input": ["x"]}, "y": {"op": "tanh", "input": ["h"]}}')
    ({'x': 'x', 'h': 'linear', 'y': 'tanh'}, [('x', 'h'), ('h', 'y')])
    """
    try:
        nodes = json.loads(arch)
        edges = [(source, name) for name, node in nodes.items() for source in node["input"]]
        return {source: source for source, _ in edges} | {n: node["op"] for n, node in nodes.items()}, edges
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"it is not JSON with op and input of each node ({type(error).__name__}: {error})"
        ) from None


def _ordered(graph: Any, generations: Iterable[Iterable[Any]]) -> Graph:
    """Returns a graph of networkx with its nodes in an order that isomorphic graphs share, but for nodes of one colour.

    Colours are refined by the colours of neighbours (Weisfeiler and Leman, 1968) until their number does not grow.
    """
    colour = {node: str(operation) for node, operation in graph.nodes(data="operation")}
    before = 0
    while len(set(colour.values())) > before:
        before = len(set(colour.values()))
        around = {
            node: (
                colour[node],
                *(sorted(colour[n] for n in near_by[node]) for near_by in (graph.pred, graph.succ)),
            )
            for node in graph
        }
        colour = {node: _hash(repr(seen)) for node, seen in around.items()}
    depth = {node: number for number, nodes in enumerate(generations) for node in nodes}
    placed = sorted(graph, key=lambda node: (depth[node], colour[node]))
    place = {node: number for number, node in enumerate(placed)}
    edges = frozenset((place[source], place[target]) for source, target in graph.edges)
    operations = tuple(graph.nodes[node]["operation"] for node in placed)
    return Graph(operations, edges, tuple(colour[node] for node in placed))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def isomorphic(one: Graph, other: Graph) -> bool:
    """Returns whether two graphs differ only in the order of their nodes."""
    if one.operations != other.operations or one.colours != other.colours:
        return False
    if one.edges == other.edges:
        return True
    if len(set(one.colours)) == len(one.colours):
        return False  # each node can only be one other, which is at the same place
    import networkx as nx  # for graphs with nodes that look alike

    both = []
    for graph in (one, other):
        both.append(nx.DiGraph(list(graph.edges)))
        both[-1].add_nodes_from((number, {"colour": each}) for number, each in enumerate(graph.colours))
    return bool(nx.is_isomorphic(*both, node_match=lambda a, b: a["colour"] == b["colour"]))
