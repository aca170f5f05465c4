"""NAS-Bench-101 cells as numbers, so that all 423,624 of them are computed in arrays.

The number of a pruned cell has its number of vertices V in bits 29 to 31, its edges in bits 8 to 28 (edge s → t is bit
t (t - 1) / 2 + s of them) and its operations in bits 0 to 7 (V - 2 digits to the base 3).

The benchmark's enumeration (`generate_graphs.py` of its repository) has the same order. Of isomorphic cells it keeps
the first, which is the one with the smallest number: here the canonical form.
"""

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""The official names in the official order."""

MAX_VERTICES, MAX_EDGES = 7, 9

INPUT_LABEL, OUTPUT_LABEL = -1, -2
"""Labels of the first and the last vertex; those of the others are indices in `OPERATIONS`."""

_NO_ORDER = 1 << 21  # set in the edges of a relabelled cell where an edge would lead backwards

Codes = NDArray[np.int64]


def pack(vertices: int, edges: Codes | int, operations: Codes | int) -> Codes:
    """Returns the numbers of cells from their parts."""
    return np.asarray(vertices << 29 | np.asarray(edges, np.int64) << 8 | operations, np.int64)


def unpack(codes: Codes) -> tuple[Codes, Codes, Codes]:
    """Returns vertices, edges and operations of cells, each ``[N]``."""
    return codes >> 29, codes >> 8 & (1 << 21) - 1, codes & 255


def pairs(vertices: int) -> list[tuple[int, int]]:
    """Returns (source, target) of each bit of the edges, the lowest bit first."""
    return [(source, target) for target in range(vertices) for source in range(target)]


def adjacency(vertices: int, edges: Codes) -> NDArray[np.bool_]:
    """``[N, V, V]``, (source, target), of the edges ``[N]`` of cells of V vertices."""
    matrix = np.zeros((len(edges), vertices, vertices), np.bool_)
    for shift, (source, target) in enumerate(pairs(vertices)):
        matrix[:, source, target] = edges >> shift & 1
    return matrix


def labels(vertices: int, operations: Codes) -> NDArray[np.int64]:
    """``[N, V]``: the index of each vertex' operation; -1 for the input, -2 for the output."""
    digits = np.full((len(operations), vertices), INPUT_LABEL, np.int64)
    digits[:, -1] = OUTPUT_LABEL
    for place in range(vertices - 2):
        digits[:, vertices - 2 - place] = operations // 3**place % 3
    return digits


# --- equal cells ---


def canonical(codes: Codes) -> Codes:
    """Returns for each of the pruned cells ``[N]`` the isomorphic cell with the smallest number; tries all orders."""
    result = np.empty_like(codes)
    size, edges, operations = unpack(codes)
    for vertices in np.unique(size).tolist():
        rows = np.flatnonzero(size == vertices)
        distinct, place = np.unique(edges[rows], return_inverse=True)
        smallest = np.empty_like(distinct)
        reaches = np.empty((len(distinct), len(_orders(vertices))), np.bool_)  # by which orders
        for part in parts(len(distinct)):
            relabelled = _relabel_edges(vertices, distinct[part])
            smallest[part] = relabelled.min(axis=1)
            reaches[part] = relabelled == smallest[part, None]
        table = _operation_tables(vertices)
        for part in parts(len(rows)):
            some = rows[part]
            candidates = np.where(reaches[place[part]], table[operations[some]], 255)
            result[some] = pack(vertices, smallest[place[part]], candidates.min(axis=1).astype(np.int64))
    return result


def is_pruned_cell(matrix: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``[N]``: which of ``[N, V, V]`` have at most 9 edges, and every vertex on a path from the first to the last."""
    # In a graph without cycles, this means an edge into and out of every vertex.
    pruned = np.logical_and(matrix[:, :-1].any(2), matrix[:, :, 1:].any(1)).all(axis=1)
    return np.asarray(pruned & (matrix.sum((1, 2)) <= MAX_EDGES))


def all_cells(max_vertices: int = MAX_VERTICES) -> Codes:
    """Returns the canonical forms of all cells of up to `max_vertices` vertices, ascending.

    >>> [len(all_cells(vertices)) for vertices in (2, 3, 4, 5)]
    [1, 7, 91, 2532]
    """
    found = []
    for vertices in range(2, max_vertices + 1):
        ranges = [np.arange(part.start, part.stop) for part in parts(1 << len(pairs(vertices)))]
        edges = np.concatenate([each[is_pruned_cell(adjacency(vertices, each))] for each in ranges])
        distinct = np.unique(canonical(pack(vertices, edges, 0)))
        labelled = distinct[:, None] | np.arange(3 ** (vertices - 2))
        found.append(np.unique(canonical(labelled.ravel())))
    return np.concatenate(found)


@cache
def _orders(vertices: int) -> list[tuple[int, ...]]:
    """Returns all orders of the vertices that keep the input first and the output last."""
    return [(0, *inner, vertices - 1) for inner in itertools.permutations(range(1, vertices - 1))]


def _relabel_edges(vertices: int, edges: Codes) -> Codes:
    """``[N, P]``: the edges ``[N]`` in each of P orders, at least `_NO_ORDER` where one would lead backwards."""
    result = np.zeros((len(edges), len(_orders(vertices))), np.int64)
    for number, table in enumerate(_edge_tables(vertices)):
        result |= table[edges >> 7 * number & 127]
    return result


@cache
def _edge_tables(vertices: int) -> NDArray[np.int64]:
    """``[3, 128, P]``: where each order takes 7 of the 21 bits of the edges, for all of their values."""
    place = {pair: shift for shift, pair in enumerate(pairs(vertices))}
    moved = np.zeros((21, len(_orders(vertices))), np.int64)
    for (source, target), shift in place.items():
        for number, order in enumerate(_orders(vertices)):
            to = place.get((order[source], order[target]))
            moved[shift, number] = _NO_ORDER if to is None else 1 << to
    values = np.arange(128)
    tables = np.zeros((3, 128, moved.shape[1]), np.int64)
    for shift in range(21):
        tables[shift // 7] |= np.where((values >> shift % 7 & 1)[:, None], moved[shift], 0)
    return tables


@cache
def _operation_tables(vertices: int) -> NDArray[np.uint8]:
    """``[3 ** (V - 2), P]``: the operations of a cell in each of P orders."""
    digits = labels(vertices, np.arange(3 ** (vertices - 2)))
    tables = np.zeros((len(digits), len(_orders(vertices))), np.uint8)
    for number, order in enumerate(_orders(vertices)):
        for vertex in range(1, vertices - 1):
            tables[:, number] += (digits[:, vertex] * 3 ** (vertices - 2 - order[vertex])).astype(np.uint8)
    return tables


def parts(count: int, size: int = 16384) -> Iterator[slice]:
    """Slices that cover `count` rows, so that intermediate arrays stay small."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
