"""NAS-Bench-101 cells as strings and as graphs; both are converted to the cells' numbers (see `cells`) and back."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.spaces.nasbench101.cells import (
    INPUT_LABEL,
    MAX_EDGES,
    MAX_VERTICES,
    OPERATIONS,
    OUTPUT_LABEL,
    Codes,
    adjacency,
    canonical,
    labels,
    pack,
    pairs,
    unpack,
)

INPUT, OUTPUT = "input", "output"
"""Names of the first and the last vertex."""

Cell = tuple[NDArray[np.bool_], tuple[str, ...]]
"""A pruned cell: adjacency ``[V, V]``, (source, target), and V names; edges lead to higher vertices."""


def parse(arch: str) -> int:
    """Returns the number of the cell `arch` after pruning. Raises `UserError` that says what is wrong."""
    # Many cells share a matrix or operations, so the results for each are cached.
    matrix, _, operations = arch.partition(":")
    try:
        kept, code = _read_matrix(matrix)
        return code | _read_operations(operations, kept)
    except ValueError as error:
        raise UserError(f"not a NAS-Bench-101 cell: {arch!r:.200}: {error}") from None


def parse_all(archs: Sequence[str]) -> Codes:
    """Returns the numbers ``[N]`` of pruned cells. Raises `UserError` as `parse`."""
    return np.fromiter((parse(arch) for arch in archs), np.int64, len(archs))


def to_graph(code: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Returns adjacency ``[V, V]`` and labels ``[V]`` of the cell with this number."""
    vertices, edges, operations = unpack(np.array([code], np.int64))
    return adjacency(int(vertices[0]), edges)[0], labels(int(vertices[0]), operations)[0]


def to_cell(code: int) -> Cell:
    """Returns adjacency and names of the cell with this number."""
    matrix, vertex_labels = to_graph(code)
    return matrix, (INPUT, *(OPERATIONS[label] for label in vertex_labels[1:-1].tolist()), OUTPUT)


@lru_cache(maxsize=4096)
def canonical_cell(arch: str) -> Cell:
    """Returns adjacency and names of the canonical form of `arch`. Raises `UserError` as `parse`."""
    return to_cell(int(canonical(parse_all([arch]))[0]))


@lru_cache(maxsize=1 << 18)
def _read_matrix(digits: str) -> tuple[tuple[int, ...], int]:
    """Returns the vertices that pruning keeps, followed by V, and the cell's number without operations.

    Raises:
        ValueError: says what is wrong.
    """
    size = round(len(digits) ** 0.5)
    if size * size != len(digits) or not 2 <= size <= MAX_VERTICES:
        raise ValueError(
            f"expected V × V digits of an adjacency, V from 2 to 7, before ':', found {len(digits)}"
        )
    if set(digits) - {"0", "1"}:
        raise ValueError("the adjacency before ':' has digits other than 0 and 1")
    matrix = np.array([digit == "1" for digit in digits]).reshape(size, size)
    if np.tril(matrix).any():
        source, target = np.argwhere(np.tril(matrix))[0].tolist()
        raise ValueError(f"edge {source} → {target} leads backwards; edges must lead to higher vertices")
    reaches = closure(matrix)
    kept = np.flatnonzero(reaches[0] & reaches[:, -1])
    if not kept.size:
        raise ValueError("no path leads from the input to the output")
    pruned = matrix[np.ix_(kept, kept)]
    if pruned.sum() > MAX_EDGES:
        raise ValueError(f"it has {pruned.sum()} edges, and {MAX_EDGES} are the most")
    return (*kept.tolist(), size), int(pack(len(kept), _edge_bits(pruned), 0))


@lru_cache(maxsize=1 << 18)
def _read_operations(text: str, kept: tuple[int, ...]) -> int:
    """Returns the number of the operations, see `cells`; `kept` as `_read_matrix` returns it. Raises `ValueError`."""
    names = text.split(",")
    if len(names) != kept[-1]:
        raise ValueError(f"expected {kept[-1]} operations after ':', as many as vertices, found {len(names)}")
    if names[0] != INPUT or names[-1] != OUTPUT:
        raise ValueError(f"the operations after ':' must begin with {INPUT} and end with {OUTPUT}")
    for name in names[1:-1]:
        if name not in OPERATIONS:
            raise ValueError(f"unknown operation {name!r:.200}; known: {', '.join(OPERATIONS)}")
    return _operation_number([OPERATIONS.index(names[vertex]) for vertex in kept[1:-2]])


def _operation_number(inner: Sequence[int]) -> int:
    number = 0
    for label in inner:
        number = 3 * number + int(label)
    return number


def _edge_bits(matrix: NDArray[np.bool_]) -> int:
    return sum(int(matrix[pair]) << shift for shift, pair in enumerate(pairs(len(matrix))))


def write(codes: NDArray[np.int64]) -> list[str]:
    """Returns the strings of cells."""
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


def closure(matrix: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``[V, V]``: whether a path leads from one vertex (row) to another; each vertex reaches itself."""
    reaches = matrix | np.eye(len(matrix), dtype=np.bool_)
    for _ in range(3):  # paths of up to 8 edges
        reaches = reaches @ reaches
    return reaches


def from_graph(matrix: NDArray[np.bool_], vertex_labels: NDArray[np.int64]) -> int | None:
    """Returns the number of a graph without cycles, after pruning; its vertices may be in any order.

    None where no path leads from the input to the output, or more than 9 edges are left.
    """
    reaches = closure(matrix)
    first, last = (int((vertex_labels == label).argmax()) for label in (INPUT_LABEL, OUTPUT_LABEL))
    kept = np.flatnonzero(reaches[first] & reaches[:, last])
    if not kept.size or matrix[np.ix_(kept, kept)].sum() > MAX_EDGES:
        return None
    order = kept[reaches[np.ix_(kept, kept)].sum(0).argsort(kind="stable")]  # predecessors come first
    inner = vertex_labels[order[1:-1]]
    return int(pack(len(order), _edge_bits(matrix[np.ix_(order, order)]), _operation_number(inner)))
