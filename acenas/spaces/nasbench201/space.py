"""The NAS-Bench-201 cell space (Dong and Yang, ICLR 2020): 4 nodes, 6 edges, 5 operations, 15,625 cells."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import Cost, count_cost
from acenas.spaces.drawing import draw_edge_cell
from acenas.spaces.graphs import GraphBatch
from acenas.spaces.nasbench201.network import NasBench201Network
from acenas.spaces.nasbench201.supernet import NasBench201Supernet, is_connected

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The official names in the official order."""

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, target) of each edge, in the order of the architecture string."""

NONE, SKIP, CONV_1X1, CONV_3X3, POOL = range(5)

# FLOPs of an operation relative to one another: enough to say which of two cells is simpler.
_COST = np.array([0.0, 0.0, 4.4, 35.8, 1.3])


class NasBench201(SearchSpace):
    """Cells `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, repeated in a fixed skeleton.

    Args:
        channels: width of the first stage; it doubles from stage to stage.
        cells_per_stage: cells in a stage.
        stages: stages, with a residual block of stride 2 between two of them.
        in_channels: channels of the images.

    The defaults are the benchmark's own network; smaller ones serve small images.

    >>> space = NasBench201()
    >>> len(space.enumerate()), len({space.canonical(arch) for arch in space.enumerate()})
    (15625, 6466)
    """

    name = "nasbench201"
    num_node_types = 3 + len(OPERATIONS)  # padding, input, output, operations

    def __init__(
        self, channels: int = 16, cells_per_stage: int = 5, stages: int = 3, in_channels: int = 3
    ) -> None:
        self.channels = channels
        self.cells_per_stage = cells_per_stage
        self.stages = stages
        self.in_channels = in_channels

    # --- grammar ---

    def operations(self, arch: str) -> tuple[str, ...]:
        """The six operations of `arch` in the order of `EDGES`. Raises `UserError` where `arch` is not valid."""
        return tuple(OPERATIONS[code] for code in self._codes[self._index(arch)])

    def from_operations(self, operations: Sequence[str]) -> str:
        """The architecture whose edges carry `operations`, in the order of `EDGES`."""
        terms = [f"{operation}~{source}" for operation, (source, _) in zip(operations, EDGES, strict=True)]
        arch = f"|{terms[0]}|+|{terms[1]}|{terms[2]}|+|{terms[3]}|{terms[4]}|{terms[5]}|"
        self.validate(arch)
        return arch

    def validate(self, arch: str) -> None:
        """Raises `UserError` that names what is wrong where `arch` is not one of the 15,625 cells."""
        self._index(arch)

    def enumerate(self) -> Sequence[str]:
        """All 15,625 cells, the last edge changing fastest."""
        return self._archs

    def sample(self, n: int, generator: torch.Generator) -> list[str]:
        """`n` cells drawn independently and uniformly from the 15,625."""
        return [self._archs[i] for i in torch.randint(len(self._archs), (n,), generator=generator).tolist()]

    def neighbours(self, arch: str) -> list[str]:
        """The 24 cells that differ from `arch` in the operation of one edge."""
        operations = self.operations(arch)
        return [
            self.from_operations((*operations[:edge], other, *operations[edge + 1 :]))
            for edge in range(len(EDGES))
            for other in OPERATIONS
            if other != operations[edge]
        ]

    # --- equal functions ---

    def canonical(self, arch: str) -> str:
        """The simplest cell with the same function: fewest FLOPs, then fewest operations, then first in order.

        Two cells have the same function where their official isomorphism strings agree, which leaves 6,466
        distinct cells. That string keeps zeros inside a sum, so a few cells that output a constant count apart.
        """
        return self._archs[int(self._canonical[self._index(arch)])]

    # --- graphs ---

    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """One graph of 8 nodes per cell: the input, one node per edge of the cell, the output; no globals.

        The graph is that of the canonical cell, so cells with the same function are the same graph. Edges follow
        the data. The node of a `none` operation is not in the graph. Node types: 0 padding, 1 input, 2 output,
        3 + index of the operation.
        """
        index = torch.tensor([self._index(arch) for arch in archs], dtype=torch.long)
        return self._graphs[torch.from_numpy(self._canonical)[index]]

    # --- networks and pictures ---

    def build(self, arch: str, num_classes: int) -> nn.Module:
        """The network of `arch` in the skeleton of this space; the operations are those of `arch` as written."""
        return NasBench201Network(
            self.operations(arch),
            num_classes,
            in_channels=self.in_channels,
            channels=self.channels,
            cells_per_stage=self.cells_per_stage,
            stages=self.stages,
        )

    def build_supernet(self, num_classes: int) -> NasBench201Supernet:
        """The skeleton of this space with all operations on every edge."""
        return NasBench201Supernet(
            num_classes,
            in_channels=self.in_channels,
            channels=self.channels,
            cells_per_stage=self.cells_per_stage,
            stages=self.stages,
        )

    def connected(self, arch: str) -> bool:
        """Whether a way without `none` leads from the input of the cell to its output."""
        return is_connected(self.operations(arch))

    def sample_fair(self, generator: torch.Generator) -> list[str]:
        """Five cells in which every edge carries each of the five operations once."""
        edges = [torch.randperm(len(OPERATIONS), generator=generator).tolist() for _ in EDGES]
        return [
            self.from_operations([OPERATIONS[code] for code in codes]) for codes in zip(*edges, strict=True)
        ]

    def costs(self, archs: Sequence[str], num_classes: int, image_shape: tuple[int, int, int]) -> list[Cost]:
        """See `SearchSpace.costs`; an operation costs the same on every edge, so only one cell of each is counted."""

        def all_edges(operation: str) -> NDArray[np.float64]:
            cell = self.from_operations([operation] * len(EDGES))
            return np.array(count_cost(self.build(cell, num_classes), image_shape))

        empty = all_edges("none")
        of_operation = np.stack([(all_edges(name) - empty) / len(EDGES) for name in OPERATIONS])
        codes = np.array([self._codes[self._index(arch)] for arch in archs], dtype=np.int64).reshape(
            -1, len(EDGES)
        )
        return [Cost(*cost) for cost in (empty + of_operation[codes].sum(1)).tolist()]

    def draw(self, arch: str) -> Figure:
        """The cell as four nodes and their operations."""
        edges = [(s, t, op) for (s, t), op in zip(EDGES, self.operations(arch), strict=True) if op != "none"]
        return draw_edge_cell(edges, num_nodes=4)

    # --- the whole space, made once when it is first needed ---

    @cached_property
    def _codes(self) -> list[tuple[int, ...]]:
        return list(itertools.product(range(len(OPERATIONS)), repeat=len(EDGES)))

    @cached_property
    def _archs(self) -> list[str]:
        nodes = [
            ["|" + "|".join(f"{op}~{i}" for i, op in enumerate(ops)) + "|" for ops in product]
            for product in (itertools.product(OPERATIONS, repeat=n) for n in (1, 2, 3))
        ]
        return ["+".join(parts) for parts in itertools.product(*nodes)]

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {arch: i for i, arch in enumerate(self._archs)}

    def _index(self, arch: str) -> int:
        try:
            return self._index_of[arch]
        except KeyError:
            raise UserError(f"not a NAS-Bench-201 cell: {arch!r}: {_what_is_wrong(arch)}") from None

    @cached_property
    def _canonical(self) -> NDArray[np.int64]:
        """`[15625]`, for each cell the index of its canonical form."""
        codes = np.array(self._codes)
        simplest_first = np.lexsort((np.arange(len(codes)), (codes != NONE).sum(1), _COST[codes].sum(1)))
        canonical = np.empty(len(codes), dtype=np.int64)
        first: dict[str, int] = {}
        for i in simplest_first.tolist():
            canonical[i] = first.setdefault(_isomorphism_string(self._codes[i]), i)
        return canonical

    @cached_property
    def _graphs(self) -> GraphBatch:
        """The graphs of all cells as they are written, `none` operations left out."""
        codes = torch.tensor(self._codes)
        count, last = len(codes), len(EDGES) + 1
        present = codes != NONE
        ends = torch.ones(count, 1, dtype=torch.bool)
        mask = torch.cat([ends, present, ends], dim=1)
        node = torch.cat([ends.long(), (codes + 3) * present, 2 * ends.long()], dim=1)
        return GraphBatch(
            node,
            _DATA_FLOW.expand(count, last + 1, last + 1) & mask[:, :, None] & mask[:, None, :],
            mask,
            torch.zeros(count, 0),
        )


def _data_flow() -> Tensor:
    """`[8, 8]` bool: which node of the graph feeds which, where every operation is present."""
    last = len(EDGES) + 1
    adjacency = torch.zeros(last + 1, last + 1, dtype=torch.bool)
    for i, (source, target) in enumerate(EDGES, start=1):
        if source == 0:
            adjacency[0, i] = True
        if target == 3:
            adjacency[i, last] = True
        for j, (other, _) in enumerate(EDGES, start=1):
            adjacency[i, j] |= target == other
    return adjacency


_DATA_FLOW = _data_flow()


def _isomorphism_string(codes: Sequence[int]) -> str:
    """The official string of a cell's function: equal strings, equal functions.

    A term is `#` (zero) for `none` and for anything read from a node that is exactly `#`; a skip copies its node.
    Zero terms stay in the sum, as they do in the official code: that is what makes 6,466 of 15,625.
    """
    nodes = ["0"]
    for target in (1, 2, 3):
        terms = []
        for code, (source, end) in zip(codes, EDGES, strict=True):
            if end == target:
                if code == NONE or nodes[source] == "#":
                    terms.append("#")
                elif code == SKIP:
                    terms.append(nodes[source])
                else:
                    terms.append(f"({nodes[source]})@{OPERATIONS[code]}")
        nodes.append("+".join(sorted(terms)))
    return nodes[3]


def _what_is_wrong(arch: str) -> str:
    example = "expected the form |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
    parts = arch.split("+")
    if len(parts) != 3:
        return f"it has {len(parts)} node(s) instead of 3; {example}"
    for number, part in enumerate(parts, start=1):
        if len(part) < 2 or part[0] != "|" or part[-1] != "|":
            return f"node {number} is not enclosed in |...|; {example}"
        terms = part[1:-1].split("|")
        if len(terms) != number:
            return f"node {number} has {len(terms)} input(s) instead of {number}; {example}"
        for source, term in enumerate(terms):
            operation, _, origin = term.partition("~")
            if operation not in OPERATIONS:
                return f"unknown operation {operation!r}; known: {', '.join(OPERATIONS)}"
            if origin != str(source):
                return f"input {source + 1} of node {number} reads from {origin!r} instead of {source}"
    return example
