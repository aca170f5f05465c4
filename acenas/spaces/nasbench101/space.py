"""The NAS-Bench-101 cell space (Ying et al., ICML 2019, arXiv 1902.09635): up to 7 vertices, 9 edges, 3 operations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from platformdirs import user_cache_path
from torch import nn

from acenas.errors import UserError
from acenas.files import atomic_path
from acenas.spaces.base import SearchSpace
from acenas.spaces.cost import Cost
from acenas.spaces.drawing import draw_vertex_cell
from acenas.spaces.graphs import GraphBatch
from acenas.spaces.nasbench101.cells import (
    MAX_EDGES,
    MAX_VERTICES,
    OPERATIONS,
    adjacency,
    all_cells,
    canonical,
    is_pruned_cell,
    labels,
    official_hash,
    official_hashes,
    pack,
    pairs,
    unpack,
)
from acenas.spaces.nasbench101.network import NasBench101Network
from acenas.spaces.nasbench101.supernet import NasBench101Supernet

INPUT, OUTPUT = "input", "output"

_HASHES_SHA256 = "1f4a7db984f8bb44da50e51b6c7e830bd26a761a39d60997ef500b7610ef0449"
"""Of the official hashes of all cells, in the order of `NasBench101.enumerate`."""


class NasBench101(SearchSpace):
    """Cells `matrix:operations`: a directed graph whose vertices carry the operations, repeated in a fixed skeleton.

    `matrix` holds the V × V digits of the adjacency, row by row, row = source and column = target, all edges above
    the diagonal. `operations` are the V names joined by commas, `input` first and `output` last. These are the
    fields `adjacency` and `operations` of the benchmark's own file, joined by a colon. Vertices off every way from
    input to output may be written; they are pruned, and what is left may have up to 9 edges.

    Args:
        channels: width of the first stage; it doubles from stage to stage.
        cells_per_stage: cells in a stage.
        stages: stages, with a max pool of stride 2 between two of them.
        in_channels: channels of the images.
        distribution: what `sample` draws from: `uniform` over the 423,624 distinct cells, or `published`, the
            distribution of AceNAS' super-net (see `sample`).

    The defaults are the benchmark's own network; smaller ones serve small images.

    >>> space = NasBench101()
    >>> space.canonical("0110000100010000:input,maxpool3x3,conv3x3-bn-relu,output")
    '0110000100010000:input,conv3x3-bn-relu,maxpool3x3,output'
    >>> space.official_hash("0100:input,output")
    '043721b9c7fe8c5fad811d47d83132ec'
    """

    name = "nasbench101"
    num_node_types = 3 + len(OPERATIONS)  # padding, input, output, operations

    def __init__(
        self,
        channels: int = 128,
        cells_per_stage: int = 3,
        stages: int = 3,
        in_channels: int = 3,
        distribution: Literal["uniform", "published"] = "uniform",
    ) -> None:
        self.channels = channels
        self.cells_per_stage = cells_per_stage
        self.stages = stages
        self.in_channels = in_channels
        self.distribution = distribution

    # --- grammar ---

    def cell(self, arch: str) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
        """The pruned cell: adjacency ``[V, V]`` (source, target) and V names. Raises `UserError` as `validate`."""
        code = self._codes([arch])
        vertices, edges, operations = unpack(code)
        size = int(vertices[0])
        inner = labels(size, operations)[0, 1:-1].tolist()
        return adjacency(size, edges)[0], (INPUT, *(OPERATIONS[label] for label in inner), OUTPUT)

    def from_cell(self, matrix: NDArray[np.bool_], operations: Sequence[str]) -> str:
        """The architecture with this adjacency ``[V, V]`` and these V names, as it is written."""
        arch = "".join("01"[int(digit)] for digit in np.asarray(matrix).ravel()) + ":" + ",".join(operations)
        self.validate(arch)
        return arch

    def validate(self, arch: str) -> None:
        """Raises `UserError` that names what is wrong where `arch` is not a cell of this space."""
        _code(arch)

    def enumerate(self) -> Sequence[str]:
        """The canonical forms of all 423,624 cells, those of fewer vertices first. Made once, in seconds."""
        return self._archs

    def sample(self, n: int, generator: torch.Generator) -> list[str]:
        """`n` canonical cells, drawn independently.

        `uniform`: all distinct cells are equally likely. `published`, as AceNAS trains its super-net: the number of
        vertices V is 2 to 7 with weight 2^V; operations are uniform and every edge is there with probability 1/2,
        drawn again until the cell needs no pruning and has at most 9 edges. Cells that can be written in many
        orders are then more likely than others.
        """
        if self.distribution == "uniform":
            return [
                self._archs[i] for i in torch.randint(len(self._archs), (n,), generator=generator).tolist()
            ]
        weights = torch.tensor([float(2**size) for size in range(2, MAX_VERTICES + 1)])
        drawn = torch.multinomial(weights, n, replacement=True, generator=generator).tolist() if n else []
        return _write(canonical(np.array([_draw_published(2 + i, generator) for i in drawn], np.int64)))

    def neighbours(self, arch: str) -> list[str]:
        """All other cells, in canonical form, one change away from `arch`.

        A change flips an edge (without making a circle; what is then off every way is pruned), changes an operation,
        or sets a new vertex between two vertices, with any operation: the reverse of cutting it off.
        """
        code = self._codes([arch])
        vertices, edges, operations = (int(part[0]) for part in unpack(code))
        matrix, ops = adjacency(vertices, np.array([edges]))[0], labels(vertices, np.array([operations]))[0]
        reaches, found = _closure(matrix), []
        for vertex, other in product(range(1, vertices - 1), range(len(OPERATIONS))):
            changed = ops.copy()
            changed[vertex] = other
            found.append(_from_graph(matrix, changed))
        for source, target in product(range(vertices - 1), range(1, vertices)):
            if reaches[target, source]:  # itself, or an edge that would close a circle
                continue
            flipped = matrix.copy()
            flipped[source, target] ^= True
            found.append(_from_graph(flipped, ops))
            if vertices < MAX_VERTICES:
                grown = np.zeros((vertices + 1, vertices + 1), np.bool_)
                grown[1:, 1:] = matrix  # the new vertex is number 0 here; `_from_graph` sorts
                grown[source + 1, 0] = grown[0, target + 1] = True
                found += [_from_graph(grown, np.array([new, *ops])) for new in range(len(OPERATIONS))]
        codes = np.unique(canonical(np.array([cell for cell in found if cell is not None], np.int64)))
        return _write(codes[codes != canonical(code)])

    # --- equal cells ---

    def canonical(self, arch: str) -> str:
        """The cell of the same graph, pruned, that is first in the benchmark's enumeration: the one that it trained.

        Two cells have one canonical form exactly where their pruned graphs are isomorphic, which is where the
        benchmark's hashes agree: there are 423,624. (Cells of different graphs may still compute one function, such
        as two max pools that share their sum; the benchmark tells them apart, and so does this.)
        """
        return self.canonical_all([arch])[0]

    def canonical_all(self, archs: Sequence[str]) -> list[str]:
        """`canonical` of many cells, hundreds of thousands in a second or two."""
        return _write(canonical(self._codes(archs)))

    def official_hash(self, arch: str) -> str:
        """The hash of the pruned cell by which the benchmark knows it, 32 hexadecimal digits."""
        matrix, operations = self.cell(arch)
        return official_hash(
            matrix.tolist(), [-1, *(OPERATIONS.index(name) for name in operations[1:-1]), -2]
        )

    def hash_all(self, archs: Sequence[str]) -> list[str]:
        """`official_hash` of many cells, tens of thousands in a second."""
        return _hexadecimal(official_hashes(self._codes(archs)).tobytes())

    def official_hashes(self) -> list[str]:
        """`official_hash` of all cells of `enumerate`: half a minute once, then from the user's cache folder."""
        path = user_cache_path("acenas") / "nasbench101_hashes.bin"
        digests = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(digests).hexdigest() != _HASHES_SHA256:
            digests = official_hashes(self._all).tobytes()
            _keep(digests, path)
        return _hexadecimal(digests)

    # --- graphs ---

    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """One graph of 7 nodes per cell, its vertices in the order of the canonical form; no globals.

        Edges follow the data. Node types: 0 padding, 1 input, 2 output, 3 + index of the operation.
        """
        codes = canonical(self._codes(archs))
        node = np.zeros((len(codes), MAX_VERTICES), np.int64)
        matrix = np.zeros((len(codes), MAX_VERTICES, MAX_VERTICES), np.bool_)
        sizes, edges, operations = unpack(codes)
        for size in np.unique(sizes).tolist():
            rows = np.flatnonzero(sizes == size)
            node_type = labels(size, operations[rows]) + 3
            node_type[:, 0], node_type[:, -1] = 1, 2
            node[rows, :size] = node_type
            matrix[rows, :size, :size] = adjacency(size, edges[rows])
        node_tensor = torch.from_numpy(node)
        return GraphBatch(node_tensor, torch.from_numpy(matrix), node_tensor > 0, torch.zeros(len(codes), 0))

    # --- networks and pictures ---

    def build(self, arch: str, num_classes: int) -> nn.Module:
        """The network of the canonical form in the skeleton of this space.

        Where the vertices before the output cannot share its channels evenly, the first ones are one channel wider,
        and the order of the vertices makes networks of different sizes: the benchmark trained the canonical one.
        """
        return NasBench101Network(
            *self.cell(self.canonical(arch)),
            num_classes,
            in_channels=self.in_channels,
            channels=self.channels,
            cells_per_stage=self.cells_per_stage,
            stages=self.stages,
        )

    def build_supernet(self, num_classes: int) -> NasBench101Supernet:
        """The skeleton of this space with all operations on every vertex; a path is the canonical form of its cell."""
        return NasBench101Supernet(
            lambda arch: self.cell(self.canonical(arch)),
            num_classes,
            in_channels=self.in_channels,
            channels=self.channels,
            cells_per_stage=self.cells_per_stage,
            stages=self.stages,
        )

    def costs(self, archs: Sequence[str], num_classes: int, image_shape: tuple[int, int, int]) -> list[Cost]:
        """See `SearchSpace.costs`; counted on networks without values, which is a hundred times as fast."""
        with torch.device("meta"):
            return super().costs(archs, num_classes, image_shape)

    def draw(self, arch: str) -> Figure:
        """The pruned cell: its vertices from left to right, each by the longest way that leads to it."""
        matrix, operations = self.cell(arch)
        return draw_vertex_cell([(s, t) for s, t in np.argwhere(matrix).tolist()], operations)

    # --- the whole space, made once when it is first needed ---

    def _codes(self, archs: Sequence[str]) -> NDArray[np.int64]:
        return np.fromiter((_code(arch) for arch in archs), np.int64, len(archs))

    @cached_property
    def _all(self) -> NDArray[np.int64]:
        return all_cells()

    @cached_property
    def _archs(self) -> list[str]:
        return _write(self._all)


# --- from strings to numbers and back ---


def _code(arch: str) -> int:
    """The number of the pruned cell `arch`. Matrices and operations recur, so each is read once."""
    matrix, _, operations = arch.partition(":")
    try:
        kept, code = _read_matrix(matrix)
        return code | _read_operations(operations, kept)
    except ValueError as error:
        raise UserError(f"not a NAS-Bench-101 cell: {arch!r}: {error}") from None


@lru_cache(maxsize=1 << 18)
def _read_matrix(digits: str) -> tuple[tuple[int, ...], int]:
    """The vertices that pruning keeps (and how many there were, last), and the cell's number without operations.

    Raises:
        ValueError: says what is wrong.
    """
    size = round(len(digits) ** 0.5)
    if size * size != len(digits) or not 2 <= size <= MAX_VERTICES:
        raise ValueError(
            f"expected 4, 9, 16, 25, 36 or 49 digits (V × V of an adjacency, V from 2 to 7) before ':', "
            f"found {len(digits)}"
        )
    if set(digits) - {"0", "1"}:
        raise ValueError("the adjacency before ':' has digits other than 0 and 1")
    matrix = np.array([digit == "1" for digit in digits]).reshape(size, size)
    if np.tril(matrix).any():
        source, target = np.argwhere(np.tril(matrix))[0].tolist()
        raise ValueError(f"edge {source} → {target} leads backwards; number the vertices along the data")
    reaches = _closure(matrix)
    kept = np.flatnonzero(reaches[0] & reaches[:, -1])
    if not kept.size:
        raise ValueError("no way leads from the input to the output")
    pruned = matrix[np.ix_(kept, kept)]
    if pruned.sum() > MAX_EDGES:
        raise ValueError(f"it has {pruned.sum()} edges, and {MAX_EDGES} are the most")
    return (*kept.tolist(), size), int(pack(len(kept), _edge_bits(pruned), 0))


@lru_cache(maxsize=1 << 18)
def _read_operations(text: str, kept: tuple[int, ...]) -> int:
    """The operations of the vertices `kept[:-1]` of `kept[-1]` as a number. Raises `ValueError` as `_read_matrix`."""
    names = text.split(",")
    if len(names) != kept[-1]:
        raise ValueError(f"expected {kept[-1]} operations after ':', as many as vertices, found {len(names)}")
    if names[0] != INPUT or names[-1] != OUTPUT:
        raise ValueError(f"the operations after ':' must begin with {INPUT} and end with {OUTPUT}")
    for name in names[1:-1]:
        if name not in OPERATIONS:
            raise ValueError(f"unknown operation {name!r}; known: {', '.join(OPERATIONS)}")
    return _operation_number([OPERATIONS.index(names[vertex]) for vertex in kept[1:-2]])


def _operation_number(inner: Sequence[int]) -> int:
    number = 0
    for label in inner:
        number = 3 * number + int(label)
    return number


def _edge_bits(matrix: NDArray[np.bool_]) -> int:
    return sum(int(matrix[pair]) << shift for shift, pair in enumerate(pairs(len(matrix))))


def _write(codes: NDArray[np.int64]) -> list[str]:
    """The strings of cells."""
    result = np.empty(len(codes), object)
    sizes, edges, operations = unpack(codes)
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        distinct, place = np.unique(edges[rows], return_inverse=True)
        digits = np.array(list("01"))[adjacency(size, distinct).reshape(len(distinct), -1).astype(np.intp)]
        matrices = ["".join(row) + ":" for row in digits.tolist()]
        names = [",".join((INPUT, *inner, OUTPUT)) for inner in product(OPERATIONS, repeat=size - 2)]
        result[rows] = [
            matrices[i] + names[j] for i, j in zip(place.tolist(), operations[rows].tolist(), strict=True)
        ]
    return [str(arch) for arch in result]


# --- graphs ---


def _closure(matrix: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``[V, V]``: whether a way, of no edge or more, leads from one vertex to another."""
    reaches = matrix | np.eye(len(matrix), dtype=np.bool_)
    for _ in range(3):  # ways of up to 8 edges
        reaches = reaches @ reaches
    return reaches


def _from_graph(matrix: NDArray[np.bool_], vertex_labels: NDArray[np.int64]) -> int | None:
    """The number of the pruned cell of a graph without circles whose vertices are in any order.

    None where no way leads from the input (label -1) to the output (-2), or too many edges are left.
    """
    reaches = _closure(matrix)
    first, last = np.flatnonzero(vertex_labels == -1)[0], np.flatnonzero(vertex_labels == -2)[0]
    kept = np.flatnonzero(reaches[first] & reaches[:, last])
    if not kept.size or matrix[np.ix_(kept, kept)].sum() > MAX_EDGES:
        return None
    order = kept[
        reaches[np.ix_(kept, kept)].sum(0).argsort(kind="stable")
    ]  # all that lead to a vertex before it
    inner = vertex_labels[order[1:-1]]
    return int(pack(len(order), _edge_bits(matrix[np.ix_(order, order)]), _operation_number(inner)))


def _draw_published(size: int, generator: torch.Generator) -> int:
    """See `NasBench101.sample`. Few matrices are cells, so hundreds are drawn at once, and the first counts."""
    while True:
        edges = torch.randint(1 << len(pairs(size)), (256,), generator=generator).numpy()
        valid = edges[is_pruned_cell(adjacency(size, edges))]
        if valid.size:
            operations = torch.randint(3 ** (size - 2), (1,), generator=generator)
            return int(pack(size, int(valid[0]), int(operations)))


def _hexadecimal(digests: bytes) -> list[str]:
    text = digests.hex()
    return [text[start : start + 32] for start in range(0, len(text), 32)]


def _keep(content: bytes, path: Path) -> None:
    """Writes a file of the cache. Where that cannot be written, the next process computes again."""
    with suppress(OSError), atomic_path(path) as temporary:
        temporary.write_bytes(content)
