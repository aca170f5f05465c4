"""The NAS-Bench-201 cell space (Dong and Yang, ICLR 2020): 4 nodes, 6 edges, 5 operations, 15,625 cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import Cost, count_cost
from acenas.spaces.graphs import GraphBatch
from acenas.spaces.nasbench201 import cells
from acenas.spaces.nasbench201.cells import EDGES, NONE, OPERATIONS, OUTPUT
from acenas.spaces.nasbench201.network import NasBench201Network
from acenas.spaces.nasbench201.supernet import NasBench201Supernet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class NasBench201(SearchSpace):
    """Cells `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, repeated in a fixed skeleton.

    Args:
        channels: of the first stage; they double from stage to stage.
        cells_per_stage: cells in a stage.
        stages: stages, with a residual block of stride 2 between two of them.
        in_channels: of the images.
        as_written: whether graphs are those of the cells as they are, `none` among their nodes, and not of canonical
            ones: cells with one function then have different graphs, as in the paper of AceNAS.

    The defaults are the benchmark's network; smaller ones suit small images.

    >>> space = NasBench201()
    >>> len(space.enumerate()), len({space.canonical(arch) for arch in space.enumerate()})
    (15625, 6466)
    """

    name = "nasbench201"
    num_node_types = 3 + len(OPERATIONS)  # padding, input, output, operations

    def __init__(
        self,
        channels: int = 16,
        cells_per_stage: int = 5,
        stages: int = 3,
        in_channels: int = 3,
        as_written: bool = False,
    ) -> None:
        self.as_written = as_written
        self.in_channels = in_channels
        sizes = {"channels": channels, "cells_per_stage": cells_per_stage, "stages": stages}
        self._skeleton = sizes | {"in_channels": in_channels}

    # --- the architectures ---

    def operations(self, arch: str) -> tuple[str, ...]:
        """Returns the operations of `arch` in the order of `EDGES`. Raises `UserError` where `arch` is not valid."""
        return cells.parse(arch)

    def from_operations(self, operations: Sequence[str]) -> str:
        """Returns the architecture whose edges carry `operations`, in the order of `EDGES`."""
        return cells.write(operations)

    @override
    def validate(self, arch: str) -> None:
        cells.number_of(arch)

    def parse(self, text: str) -> str:
        """Returns the cell of an official string, or of one of TransNAS-Bench-101, such as `64-41414-1_02_333`."""
        if transnas := re.fullmatch(r"\d+-\d+-([0-3])_([0-3]{2})_([0-3]{3})", text):
            return cells.write([OPERATIONS[int(code)] for code in "".join(transnas.groups())])
        return super().parse(text)

    def enumerate(self) -> Sequence[str]:
        """All 15,625 cells, the last edge changing fastest."""
        return cells.all_archs()

    def neighbours(self, arch: str) -> list[str]:
        """Returns the 24 cells that differ from `arch` in the operation of one edge."""
        operations = cells.parse(arch)
        return [
            cells.write((*operations[:edge], other, *operations[edge + 1 :]))
            for edge in range(len(EDGES))
            for other in OPERATIONS
            if other != operations[edge]
        ]

    # --- equal functions ---

    def canonical(self, arch: str) -> str:
        """Returns the simplest cell with the same function: fewest FLOPs, then fewest operations, then first in order.

        Two cells have the same function where their official isomorphism strings are equal: 6,466 distinct cells. The
        string keeps zeros in a sum, so a few cells with a constant output count as different.
        """
        return cells.all_archs()[int(cells.canonical_numbers()[cells.number_of(arch)])]

    # --- graphs and pictures ---

    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """Returns one graph of 8 nodes per canonical cell: the input, a node for each edge, the output; no globals.

        `none` operations have no node, but where cells are `as_written`. Node types: 0 padding, 1 input, 2 output, 3 +
        index of the operation.
        """
        numbers = np.array([cells.number_of(arch) for arch in archs], np.int64)
        if not self.as_written:
            numbers = cells.canonical_numbers()[numbers]
        return _graphs(self.as_written)[torch.from_numpy(numbers)]

    @override
    def canonical_graphs(self, archs: Sequence[str]) -> GraphBatch:
        """As `encode`, which says whether graphs are those of canonical cells."""
        return self.encode(archs)

    def draw(self, arch: str) -> Figure:
        """Draws the cell as four nodes and their operations."""
        from acenas.spaces.drawing import draw_edge_cell

        operations = zip(EDGES, cells.parse(arch), strict=True)
        edges = [(s, t, operation) for (s, t), operation in operations if operation != "none"]
        return draw_edge_cell(edges, num_nodes=OUTPUT + 1)

    # --- networks ---

    def build(self, arch: str, num_classes: int) -> nn.Module:
        """Builds the network of `arch`, which is not made canonical."""
        return NasBench201Network(cells.parse(arch), num_classes, **self._skeleton)

    def build_supernet(self, num_classes: int) -> NasBench201Supernet:
        """Builds the super-net, see `NasBench201Supernet`."""
        return NasBench201Supernet(num_classes, **self._skeleton)

    @override
    def connected(self, arch: str) -> bool:
        return cells.is_connected(cells.parse(arch))

    def sample_fair(self, generator: torch.Generator) -> list[str]:
        """Draws five cells in which every edge carries each of the five operations once."""
        edges = [torch.randperm(len(OPERATIONS), generator=generator).tolist() for _ in EDGES]
        return [cells.write([OPERATIONS[code] for code in codes]) for codes in zip(*edges, strict=True)]

    def costs(self, archs: Sequence[str], num_classes: int, image_shape: tuple[int, int, int]) -> list[Cost]:
        """See `SearchSpace.costs`; operations cost the same on every edge, so one cell of each is counted."""

        def all_edges(operation: str) -> NDArray[np.float64]:
            cell = cells.write([operation] * len(EDGES))
            return np.array(count_cost(self.build(cell, num_classes), image_shape))

        empty = all_edges("none")
        of_operation = np.stack([(all_edges(name) - empty) / len(EDGES) for name in OPERATIONS])
        codes = cells.all_codes()[np.array([cells.number_of(arch) for arch in archs], np.int64)]
        return [Cost(*cost) for cost in (empty + of_operation[codes].sum(1)).tolist()]


@cache
def _graphs(with_none: bool) -> GraphBatch:
    """Returns the graphs of all cells, not made canonical; `none` operations are nodes or left out."""
    codes = torch.from_numpy(cells.all_codes())
    count, last = len(codes), len(EDGES) + 1
    present = (codes != NONE) | with_none
    ends = torch.ones(count, 1, dtype=torch.bool)
    mask = torch.cat([ends, present, ends], dim=1)
    node = torch.cat([ends.long(), (codes + 3) * present, 2 * ends.long()], dim=1)
    adjacency = _data_flow().expand(count, last + 1, last + 1) & mask[:, :, None] & mask[:, None, :]
    return GraphBatch(node, adjacency, mask, torch.zeros(count, 0))


def _data_flow() -> Tensor:
    """Returns `[8, 8]` bool (source, target): the edges of a graph where every operation is present."""
    nodes = [(-1, 0), *EDGES, (OUTPUT, -1)]  # from which node of the cell to which
    return torch.tensor([[0 <= end == start for start, _ in nodes] for _, end in nodes])
