"""The algebra of NAS-Bench-101 cells: numbers for cells, equal cells, all cells, and the official hash.

A pruned cell is one number, so that all 423,624 of them are handled in arrays: its number of vertices V in bits 29 to
31, its edges in bits 8 to 28 (edge s → t is bit t (t - 1) / 2 + s of them) and its operations in bits 0 to 7 (as a
number of V - 2 digits to the base 3).

The benchmark's own enumeration (`generate_graphs.py` of its repository) counts edges and operations up in this order
and keeps of equal cells the one that it meets first: the cell with the smallest number, here the canonical form.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from acenas.spaces.nasbench101.md5 import hexadecimal, md5

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""The official names in the official order."""

MAX_VERTICES, MAX_EDGES = 7, 9

_INPUT, _OUTPUT = -1, -2  # labels of vertices, beside the indices of operations
_NO_ORDER = 1 << 21  # set in the edges of a relabelled cell where an edge would lead backwards

Codes = NDArray[np.int64]


def pack(vertices: int, edges: Codes | int, operations: Codes | int) -> Codes:
    """The numbers of cells from their parts."""
    return np.asarray(vertices << 29 | np.asarray(edges, np.int64) << 8 | operations, np.int64)


def unpack(codes: Codes) -> tuple[Codes, Codes, Codes]:
    """Vertices, edges and operations of cells, each ``[N]``."""
    return codes >> 29, codes >> 8 & (1 << 21) - 1, codes & 255


def pairs(vertices: int) -> list[tuple[int, int]]:
    """(source, target) of each bit of the edges, the lowest first."""
    return [(source, target) for target in range(vertices) for source in range(target)]


def adjacency(vertices: int, edges: Codes) -> NDArray[np.bool_]:
    """``[N, V, V]``, (source, target), of the edges ``[N]`` of cells of V vertices."""
    matrix = np.zeros((len(edges), vertices, vertices), np.bool_)
    for shift, (source, target) in enumerate(pairs(vertices)):
        matrix[:, source, target] = edges >> shift & 1
    return matrix


def labels(vertices: int, operations: Codes) -> NDArray[np.int64]:
    """``[N, V]``: the index of each vertex' operation; -1 for the input, -2 for the output."""
    digits = np.full((len(operations), vertices), _INPUT, np.int64)
    digits[:, -1] = _OUTPUT
    for place in range(vertices - 2):
        digits[:, vertices - 2 - place] = operations // 3**place % 3
    return digits


# --- equal cells ---


def canonical(codes: Codes) -> Codes:
    """For each cell, the one with the smallest number among those that differ only in the order of their vertices.

    All orders are tried in which edges lead forwards, so two cells have one canonical form exactly where they are
    isomorphic.

    Args:
        codes: ``[N]``, pruned cells.

    Returns:
        ``[N]``.
    """
    result = np.empty_like(codes)
    size, edges, operations = unpack(codes)
    for vertices in np.unique(size).tolist():
        rows = np.flatnonzero(size == vertices)
        distinct, place = np.unique(edges[rows], return_inverse=True)
        smallest = np.empty_like(distinct)
        reaches = np.empty((len(distinct), len(_orders(vertices))), np.bool_)  # by which orders
        for part in _parts(len(distinct)):
            relabelled = _relabel_edges(vertices, distinct[part])
            smallest[part] = relabelled.min(axis=1)
            reaches[part] = relabelled == smallest[part, None]
        table = _operation_tables(vertices)
        for part in _parts(len(rows)):
            some = rows[part]
            candidates = np.where(reaches[place[part]], table[operations[some]], 255)
            result[some] = pack(vertices, smallest[place[part]], candidates.min(axis=1).astype(np.int64))
    return result


def is_pruned_cell(matrix: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``[N]``: which of ``[N, V, V]`` have at most 9 edges, and every vertex on a way from the first to the last."""
    # In a graph without circles that is where every vertex has a way in and a way out.
    pruned = np.logical_and(matrix[:, :-1].any(2), matrix[:, :, 1:].any(1)).all(axis=1)
    return np.asarray(pruned & (matrix.sum((1, 2)) <= MAX_EDGES))


def all_cells(max_vertices: int = MAX_VERTICES) -> Codes:
    """The canonical forms of all cells of up to `max_vertices` vertices, ascending.

    >>> [len(all_cells(vertices)) for vertices in (2, 3, 4, 5)]
    [1, 7, 91, 2532]
    """
    found = []
    for vertices in range(2, max_vertices + 1):
        shapes: list[Codes] = []
        for part in _parts(1 << len(pairs(vertices))):
            edges = np.arange(part.start, part.stop)
            shapes.append(edges[is_pruned_cell(adjacency(vertices, edges))])
        distinct = np.unique(canonical(pack(vertices, np.concatenate(shapes), 0)))
        labelled = distinct[:, None] | np.arange(3 ** (vertices - 2))
        found.append(np.unique(canonical(labelled.ravel())))
    return np.concatenate(found)


@cache
def _orders(vertices: int) -> list[tuple[int, ...]]:
    """All places that the vertices can take: the input stays first and the output last."""
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


def _parts(count: int, size: int = 16384) -> Iterator[slice]:
    """Slices that cover `count` rows, so that what is made of them stays small."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


# --- the official hash ---


def official_hash(matrix: Sequence[Sequence[int]], vertex_labels: Sequence[int]) -> str:
    """The hash of a pruned cell by which NAS-Bench-101 knows it (`graph_util.hash_module` of its repository).

    Args:
        matrix: ``V × V``, 0 or 1, (source, target).
        vertex_labels: V of them: -1 for the input, -2 for the output, else the index of the operation.
    """
    size = range(len(vertex_labels))
    ins = [[u for u in size if matrix[u][v]] for v in size]
    outs = [[u for u in size if matrix[v][u]] for v in size]
    hashes = [_md5(str((len(outs[v]), len(ins[v]), int(vertex_labels[v])))) for v in size]
    for _ in size:
        hashes = [
            _md5(
                "".join(sorted(hashes[u] for u in ins[v]))
                + "|"
                + "".join(sorted(hashes[u] for u in outs[v]))
                + "|"
                + hashes[v]
            )
            for v in size
        ]
    return _md5(str(sorted(hashes)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def official_hashes(codes: Codes) -> NDArray[np.uint8]:
    """`official_hash` of many cells: ``[N]`` numbers to ``[N, 16]`` bytes."""
    result = np.empty((len(codes), 16), np.uint8)
    size, edges, operations = unpack(codes)
    for vertices in np.unique(size).tolist():
        rows = np.flatnonzero(size == vertices)
        for part in _parts(len(rows)):
            some = rows[part]
            result[some] = _hash_cells(adjacency(vertices, edges[some]), labels(vertices, operations[some]))
    return result


def _hash_cells(matrix: NDArray[np.bool_], vertex_labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """As `official_hash`, for ``[B, V, V]`` and ``[B, V]``: ``[B, 16]``."""
    count, size = vertex_labels.shape
    degrees_out, degrees_in = matrix.sum(2).ravel(), matrix.sum(1).ravel()
    kinds, kind = np.unique(
        np.stack([degrees_out, degrees_in, vertex_labels.ravel()], axis=1), axis=0, return_inverse=True
    )
    first = [bytes.fromhex(_md5(str(tuple(row)))) for row in kinds.tolist()]
    digests = np.frombuffer(b"".join(first), np.uint8).reshape(-1, 16)[kind.ravel()]

    # Vertices of equal degrees have their neighbours in one array; those with as many neighbours have messages of
    # one length.
    rows_in = matrix.transpose(0, 2, 1).reshape(-1, size)
    rows_out = matrix.reshape(-1, size)
    groups: dict[int, list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]] = {}
    for degree_in, degree_out in np.unique(np.stack([degrees_in, degrees_out], axis=1), axis=0).tolist():
        vertices = np.flatnonzero((degrees_in == degree_in) & (degrees_out == degree_out))
        offset = (vertices // size * size)[:, None]
        ins = rows_in[vertices].nonzero()[1].reshape(len(vertices), degree_in) + offset
        outs = rows_out[vertices].nonzero()[1].reshape(len(vertices), degree_out) + offset
        groups.setdefault(degree_in + degree_out, []).append((vertices, ins, outs))
    for _ in range(size):
        text, order = hexadecimal(digests), _ranks(digests)
        digests = np.empty_like(digests)
        for group in groups.values():
            messages = [
                _join(text, [_sorted_by(order, ins), b"|", _sorted_by(order, outs), b"|", vertices[:, None]])
                for vertices, ins, outs in group
            ]
            digests[np.concatenate([vertices for vertices, _, _ in group])] = md5(np.concatenate(messages))
    everyone = _sorted_by(_ranks(digests), np.arange(count * size).reshape(count, size))
    listed: list[bytes | NDArray[np.int64]] = [b"['", everyone[:, :1]]
    for place in range(1, size):
        listed += [b"', '", everyone[:, place : place + 1]]
    return md5(_join(hexadecimal(digests), [*listed, b"']"]))


def _ranks(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """``[N]``: the first half of each digest as a number; two that differ only in the other half there are none."""
    return digests.view(">u8")[:, 0].astype(np.uint64)


def _sorted_by(order: NDArray[np.uint64], vertices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each row of `vertices` ``[N, D]``, ascending by `order`."""
    if vertices.shape[1] < 2:
        return vertices
    return np.take_along_axis(vertices, order[vertices].argsort(axis=1), axis=1)


def _join(text: NDArray[np.uint8], parts: Sequence[bytes | NDArray[np.int64]]) -> NDArray[np.uint8]:
    """``[N, L]``: the rows of `text` that each part ``[N, D]`` names, and the bytes between them."""
    count = next(len(part) for part in parts if not isinstance(part, bytes))
    return np.concatenate(
        [
            np.broadcast_to(np.frombuffer(part, np.uint8), (count, len(part)))
            if isinstance(part, bytes)
            else text[part].reshape(count, -1)
            for part in parts
        ],
        axis=1,
    )
