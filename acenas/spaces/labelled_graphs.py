"""Architectures that are known only by their graphs: nodes with tags, edges, and hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import torch
from typing_extensions import override

from acenas.errors import UserError
from acenas.spaces.base import SearchSpace
from acenas.spaces.graphs import GraphBatch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Graph(NamedTuple):
    """Edges (source, target), which lead from lower to higher numbers, and the tag of each node."""

    edges: tuple[tuple[int, int], ...]
    tags: tuple[int, ...]


class LabelledGraphs(SearchSpace):
    """Architectures `edges:tags`, such as `0-1,0-2,1-2:0,4,1`, whose networks cannot be built here.

    `edges` are pairs of nodes, the lower number first; `tags`, whole numbers from 0 on, are those of nodes 0, 1, ...
    Several graphs of an architecture are joined by `/`, and hyper-parameters follow a `;`: `0-1:0,1/0-1:0,2;16,20`.
    The files of AceNAS' authors hold such graphs. Those of a table can be ranked and searched. What the tags mean is
    not known, so each architecture is its own canonical form.

    Args:
        tags: how many different ones there are.
        nodes: of the largest graph.
        graphs: of each architecture.

    >>> space = LabelledGraphs(tags=5, nodes=4)
    >>> space.validate("0-1,0-2,1-2:0,4,1")
    >>> space.encode(["0-1,0-2,1-2:0,4,1"]).node
    tensor([[1, 5, 2, 0]])
    """

    name = "labelled_graphs"

    def __init__(self, tags: int = 64, nodes: int = 64, graphs: int = 1) -> None:
        self.tags, self.nodes, self.graphs = tags, nodes, graphs
        self.num_node_types = tags + 1  # 0 is padding

    @staticmethod
    def write(
        graphs: Sequence[tuple[Sequence[tuple[int, int]], Sequence[int]]], hyperparameters: Sequence[float]
    ) -> str:
        """Returns the architecture of these graphs (edges and tags of each). Raises `UserError` where there is none."""
        texts = [
            ",".join(f"{source}-{target}" for source, target in sorted(edges))
            + ":"
            + ",".join(map(str, tags))
            for edges, tags in graphs
        ]
        values = ",".join(f"{value:g}" for value in hyperparameters)
        arch = "/".join(texts) + (f";{values}" if values else "")
        _read(arch)
        return arch

    @override
    def validate(self, arch: str) -> None:
        _read(arch)

    @override
    def sample(self, n: int, generator: torch.Generator) -> NoReturn:
        raise UserError(
            f"of the space {self.name} nothing but graphs is known, so none can be drawn; search those of a table with "
            "search=greedy or half_best"
        )

    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """Returns the graphs, node type 1 + tag; the globals are log(1 + |h|) of each hyper-parameter h, with its sign.

        Raises:
            UserError: where an architecture is larger, or has other tags, than the space allows, or not as many graphs
                or hyper-parameters as the first one.
        """
        read = [_read(arch) for arch in archs]
        for arch, (graphs, hyperparameters) in zip(archs, read, strict=True):
            self._check_size(arch, graphs)
            if len(hyperparameters) != len(read[0][1]):
                raise UserError(
                    f"{arch} has {len(hyperparameters)} hyper-parameters, {archs[0]} has {len(read[0][1])}"
                )
        typed = [([tag + 1 for tag in graph.tags], graph.edges) for graphs, _ in read for graph in graphs]
        values = torch.tensor([hyperparameters for _, hyperparameters in read]).reshape(len(archs), -1)
        features = values.sign() * values.abs().log1p()
        return GraphBatch.of(typed, self.nodes, features, None if self.graphs == 1 else self.graphs)

    def draw(self, arch: str) -> Figure:
        """Draws the graphs below each other, their nodes by their tags, and the hyper-parameters above."""
        from acenas.spaces.drawing import draw_vertex_cells

        graphs, hyperparameters = _read(arch)
        cells = {
            f"graph {number}" if number > 1 else "": (graph.edges, [str(tag) for tag in graph.tags])
            for number, graph in enumerate(graphs, start=1)
        }
        return draw_vertex_cells(cells, ", ".join(f"{value:g}" for value in hyperparameters))

    def _check_size(self, arch: str, graphs: Sequence[Graph]) -> None:
        nodes, tags = max(len(graph.tags) for graph in graphs), max(max(graph.tags) for graph in graphs) + 1
        if len(graphs) != self.graphs or nodes > self.nodes or tags > self.tags:
            raise UserError(
                f"{arch} has {len(graphs)} graph(s) of up to {nodes} nodes and {tags} tags; the space was told "
                f"space.graphs={self.graphs} space.nodes={self.nodes} space.tags={self.tags}"
            )


@lru_cache(maxsize=1 << 16)
def _read(arch: str) -> tuple[tuple[Graph, ...], tuple[float, ...]]:
    """Graphs and hyper-parameters. Raises `UserError`."""
    written, _, hyperparameters = arch.partition(";")
    try:
        graphs = tuple(_read_graph(text) for text in written.split("/"))
        values = tuple(float(value) for value in hyperparameters.split(",") if hyperparameters)
        if not all(map(math.isfinite, values)):
            raise ValueError("a hyper-parameter is not finite")
        return graphs, values
    except ValueError as error:
        raise UserError(f"not a graph with tags: {arch!r:.200}: {error}") from None


def _read_graph(text: str) -> Graph:
    edges_text, colon, tags_text = text.partition(":")
    if not colon:
        raise ValueError("expected edges:tags, as in 0-1,0-2,1-2:0,4,1")
    tags = tuple(int(tag) for tag in tags_text.split(","))
    pairs = [edge.partition("-") for edge in edges_text.split(",") if edges_text]
    edges = tuple((int(source), int(target)) for source, _, target in pairs)
    if not 0 <= min(tags) <= max(tags) < 100_000:
        raise ValueError("a tag is below 0 or above 99,999")
    for source, target in edges:
        if not 0 <= source < target < len(tags):
            raise ValueError(f"edge {source}-{target} does not lead to a higher node among {len(tags)}")
    return Graph(edges, tags)
