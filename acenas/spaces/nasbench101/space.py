"""The NAS-Bench-101 cell space (Ying et al., ICML 2019, arXiv 1902.09635): up to 7 vertices, 9 edges, 3 operations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from platformdirs import user_cache_path
from torch import nn
from typing_extensions import override

from acenas.errors import UserError
from acenas.files import atomic_path
from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import Cost
from acenas.spaces.graphs import GraphBatch
from acenas.spaces.nasbench101 import cells, grammar
from acenas.spaces.nasbench101.hashes import official_hashes
from acenas.spaces.nasbench101.network import NasBench101Network
from acenas.spaces.nasbench101.supernet import NasBench101Supernet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HASHES_SHA256 = "1f4a7db984f8bb44da50e51b6c7e830bd26a761a39d60997ef500b7610ef0449"
"""Of the official hashes of all cells, in the order of `NasBench101.enumerate`."""


class NasBench101(SearchSpace):
    """Cells `matrix:operations`, repeated in a fixed skeleton: directed graphs with operations on their vertices.

    `matrix` is the V × V digits of the adjacency, row by row; row = source, column = target, all edges above the
    diagonal. `operations` is the V names joined by commas, `input` first and `output` last. These are the fields
    `adjacency` and `operations` of the benchmark's file, joined by a colon. Vertices that are on no path from input to
    output are pruned; at most 9 edges may be left.

    Args:
        channels: of the first stage; they double from stage to stage.
        cells_per_stage: cells in a stage.
        stages: stages, with a max pool of stride 2 between two of them.
        in_channels: of the images.
        distribution: of `sample`: `uniform` over the 423,624 distinct cells, or `published`, as AceNAS samples for its
            super-net.

    The defaults are the benchmark's network; smaller ones suit small images.

    >>> space = NasBench101()
    >>> space.canonical("0110000100010000:input,maxpool3x3,conv3x3-bn-relu,output")
    '0110000100010000:input,conv3x3-bn-relu,maxpool3x3,output'
    >>> space.official_hash("0100:input,output")
    '043721b9c7fe8c5fad811d47d83132ec'
    """

    name = "nasbench101"
    num_node_types = 3 + len(cells.OPERATIONS)  # padding, input, output, operations

    def __init__(
        self,
        channels: int = 128,
        cells_per_stage: int = 3,
        stages: int = 3,
        in_channels: int = 3,
        distribution: Literal["uniform", "published"] = "uniform",
    ) -> None:
        self.in_channels = in_channels
        sizes = {"channels": channels, "cells_per_stage": cells_per_stage, "stages": stages}
        self._skeleton = sizes | {"in_channels": in_channels}
        self.distribution = distribution

    # --- grammar ---

    def cell(self, arch: str) -> grammar.Cell:
        """Returns adjacency ``[V, V]`` and V names after pruning. Raises `UserError` as `validate`."""
        return grammar.to_cell(grammar.parse(arch))

    def from_cell(self, matrix: ArrayLike, operations: Sequence[str]) -> str:
        """Returns the architecture with this adjacency ``[V, V]`` of 0 and 1, of any type, and these V names.

        Raises:
            UserError: for another adjacency, and as `validate`.
        """
        try:
            digits = np.asarray(matrix)
        except ValueError as error:
            raise UserError(f"the adjacency is no matrix: {error}") from None
        if digits.ndim != 2 or len(digits) != digits.shape[1]:
            raise UserError(f"the adjacency is {list(digits.shape)}, and V x V is needed")
        for row, column in np.argwhere(~((digits == 0) | (digits == 1))).tolist():
            raise UserError(
                f"entry ({row}, {column}) of the adjacency is {digits[row, column]!s:.200}, not 0 or 1"
            )
        arch = (
            "".join("1" if digit else "0" for digit in digits.ravel().tolist()) + ":" + ",".join(operations)
        )
        self.validate(arch)
        return arch

    @override
    def validate(self, arch: str) -> None:
        grammar.parse(arch)

    def enumerate(self) -> Sequence[str]:
        """Returns the canonical forms of all 423,624 cells, ordered by their number of vertices; cached."""
        return self._archs

    def sample(self, n: int, generator: torch.Generator) -> list[str]:
        """Draws `n` canonical cells independently.

        `uniform`: all distinct cells are equally likely. `published`: the number of vertices V is 2 to 7 with weight
        2^V, operations are uniform, and each edge exists with probability 1/2; edges are drawn again until the cell
        needs no pruning and has at most 9 edges. Cells with many vertex orders are more likely then.
        """
        if self.distribution == "uniform":
            return super().sample(n, generator)
        weights = torch.tensor([float(2**size) for size in range(2, cells.MAX_VERTICES + 1)])
        drawn = torch.multinomial(weights, n, replacement=True, generator=generator).tolist() if n else []
        return grammar.write(
            cells.canonical(np.array([_draw_published(2 + i, generator) for i in drawn], np.int64))
        )

    def neighbours(self, arch: str) -> list[str]:
        """Returns all other cells, in canonical form, one change away from `arch`.

        A change adds or removes an edge (without making a cycle; the cell is pruned then), changes an operation, or
        adds a vertex with any operation between two vertices.
        """
        code = grammar.parse(arch)
        matrix, ops = grammar.to_graph(code)
        vertices = len(matrix)
        reaches, found = grammar.closure(matrix), []
        for vertex, other in product(range(1, vertices - 1), range(len(cells.OPERATIONS))):
            changed = ops.copy()
            changed[vertex] = other
            found.append(grammar.from_graph(matrix, changed))
        for source, target in product(range(vertices - 1), range(1, vertices)):
            if reaches[target, source]:  # the same vertex, or an edge that would close a cycle
                continue
            flipped = matrix.copy()
            flipped[source, target] ^= True
            found.append(grammar.from_graph(flipped, ops))
            if vertices < cells.MAX_VERTICES:
                grown = np.zeros((vertices + 1, vertices + 1), np.bool_)
                grown[1:, 1:] = matrix  # the new vertex is number 0 here; `from_graph` sorts
                grown[source + 1, 0] = grown[0, target + 1] = True
                labels = (np.array([new, *ops]) for new in range(len(cells.OPERATIONS)))
                found += [grammar.from_graph(grown, each) for each in labels]
        codes = np.unique(cells.canonical(np.array([cell for cell in found if cell is not None], np.int64)))
        return grammar.write(codes[codes != cells.canonical(np.array([code]))])

    # --- equal cells ---

    def canonical(self, arch: str) -> str:
        """Returns the pruned cell of the same graph that is first in the benchmark's enumeration: the one it trained.

        Cells have the same canonical form where their pruned graphs are isomorphic, as their hashes in the benchmark
        say: there are 423,624. Cells that are equal for other reasons (such as two max pools in place of one) stay
        apart, as in the benchmark.
        """
        return self.canonical_all([arch])[0]

    def canonical_all(self, archs: Sequence[str]) -> list[str]:
        """Returns `canonical` of each cell, hundreds of thousands within two seconds."""
        return grammar.write(cells.canonical(grammar.parse_all(archs)))

    def official_hash(self, arch: str) -> str:
        """Returns the benchmark's hash of the pruned cell, 32 hexadecimal digits."""
        return self.hash_all([arch])[0]

    def hash_all(self, archs: Sequence[str]) -> list[str]:
        """Returns `official_hash` of each cell, tens of thousands in a second."""
        return _hexadecimal(official_hashes(grammar.parse_all(archs)).tobytes())

    def official_hashes(self) -> list[str]:
        """Returns `official_hash` of all cells; computed once in half a minute, then read from the user's cache."""
        path = user_cache_path("acenas") / "nasbench101_hashes.bin"
        digests = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(digests).hexdigest() != _HASHES_SHA256:
            digests = official_hashes(self._all).tobytes()
            with suppress(OSError), atomic_path(path) as temporary:  # without a cache, it is computed again
                temporary.write_bytes(digests)
        return _hexadecimal(digests)

    # --- graphs ---

    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """Returns one graph of 7 nodes per cell: the canonical form. There are no globals.

        Node types: 0 padding, 1 input, 2 output, 3 + index of the operation.
        """
        codes = cells.canonical(grammar.parse_all(archs))
        node = np.zeros((len(codes), cells.MAX_VERTICES), np.int64)
        matrix = np.zeros((len(codes), cells.MAX_VERTICES, cells.MAX_VERTICES), np.bool_)
        sizes, edges, operations = cells.unpack(codes)
        for size in np.unique(sizes).tolist():
            rows = np.flatnonzero(sizes == size)
            node_type = cells.labels(size, operations[rows]) + 3
            node_type[:, 0], node_type[:, -1] = 1, 2
            node[rows, :size] = node_type
            matrix[rows, :size, :size] = cells.adjacency(size, edges[rows])
        node_tensor = torch.from_numpy(node)
        return GraphBatch(node_tensor, torch.from_numpy(matrix), node_tensor > 0, torch.zeros(len(codes), 0))

    # --- networks and pictures ---

    def build(self, arch: str, num_classes: int) -> nn.Module:
        """Builds the network of the canonical form, which the benchmark trained.

        The order of the vertices matters: where those before the output cannot share its channels evenly, the first
        ones are one channel wider.
        """
        matrix, operations = grammar.canonical_cell(arch)
        return NasBench101Network(matrix, operations, num_classes, **self._skeleton)

    def build_supernet(self, num_classes: int) -> NasBench101Supernet:
        """Builds the super-net, see `NasBench101Supernet`."""
        return NasBench101Supernet(num_classes, **self._skeleton)

    def costs(self, archs: Sequence[str], num_classes: int, image_shape: tuple[int, int, int]) -> list[Cost]:
        """See `SearchSpace.costs`; counts on networks without values, which is a hundred times as fast."""
        with torch.device("meta"):
            return super().costs(archs, num_classes, image_shape)

    def draw(self, arch: str) -> Figure:
        """Draws the pruned cell."""
        from acenas.spaces.drawing import draw_vertex_cells

        matrix, operations = self.cell(arch)
        return draw_vertex_cells({"": ([(s, t) for s, t in np.argwhere(matrix).tolist()], operations)})

    # --- the whole space, computed when it is first needed ---

    @cached_property
    def _all(self) -> NDArray[np.int64]:
        return cells.all_cells()

    @cached_property
    def _archs(self) -> list[str]:
        return grammar.write(self._all)


def _draw_published(size: int, generator: torch.Generator) -> int:
    """Draws a cell as `NasBench101.sample` says: the first valid one of hundreds of matrices, as few are valid."""
    while True:
        edges = torch.randint(1 << len(cells.pairs(size)), (256,), generator=generator).numpy()
        valid = edges[cells.is_pruned_cell(cells.adjacency(size, edges))]
        if valid.size:
            operations = torch.randint(3 ** (size - 2), (1,), generator=generator)
            return int(cells.pack(size, int(valid[0]), int(operations)))


def _hexadecimal(digests: bytes) -> list[str]:
    text = digests.hex()
    return [text[start : start + 32] for start in range(0, len(text), 32)]
