"""The hash by which NAS-Bench-101 knows a cell (`graph_util.hash_module` of its repository), of many cells at once."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from acenas.spaces.nasbench101.cells import Codes, adjacency, labels, parts, unpack

_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_SINES = [np.uint32(int(abs(math.sin(i + 1)) * 2**32)) for i in range(64)]
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_HEXADECIMAL = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint16)


def official_hashes(codes: Codes) -> NDArray[np.uint8]:
    """Returns the hashes ``[N, 16]``, as bytes, of the pruned cells with the numbers ``[N]``."""
    result = np.empty((len(codes), 16), np.uint8)
    size, edges, operations = unpack(codes)
    for vertices in np.unique(size).tolist():
        rows = np.flatnonzero(size == vertices)
        for part in parts(len(rows)):
            some = rows[part]
            result[some] = _hash_cells(adjacency(vertices, edges[some]), labels(vertices, operations[some]))
    return result


def _hash_cells(matrix: NDArray[np.bool_], vertex_labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """As `official_hashes`, from the adjacency ``[B, V, V]`` and the labels ``[B, V]``.

    A vertex has the MD5 of its degrees and label, then V times that of its neighbours' and its own; the cell that of
    all vertices'.
    """
    count, size = vertex_labels.shape
    degrees_out, degrees_in = matrix.sum(2).ravel(), matrix.sum(1).ravel()
    kinds, kind = np.unique(
        np.stack([degrees_out, degrees_in, vertex_labels.ravel()], axis=1), axis=0, return_inverse=True
    )
    first = [hashlib.md5(str(tuple(row)).encode(), usedforsecurity=False).digest() for row in kinds.tolist()]
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
    """``[N]``: the first 64 bits of each digest as a number. No two different digests of cells agree in these."""
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


# --- MD5 ---


def md5(messages: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the MD5 (RFC 1321) ``[N, 16]`` of N messages ``[N, L]`` of L bytes.

    Python's `hashlib` takes one message a call: for the 24 million of this space its calls alone take a minute.

    >>> bytes(md5(np.frombuffer(b"abc", np.uint8)[None])[0]).hex()
    '900150983cd24fb0d6963f7d28e17f72'
    """
    count, length = messages.shape
    padded = np.zeros((count, ((length + 8) // 64 + 1) * 64), np.uint8)
    padded[:, :length] = messages
    padded[:, length] = 0x80
    padded[:, -8:] = np.frombuffer((8 * length).to_bytes(8, "little"), np.uint8)
    words = np.ascontiguousarray(padded.view("<u4").T, dtype=np.uint32)
    state = [np.full(count, start, np.uint32) for start in _START]
    for block in range(0, len(words), 16):
        a, b, c, d = state
        for step in range(64):
            match step // 16:
                case 0:
                    mixed, word = d ^ (b & (c ^ d)), step
                case 1:
                    mixed, word = c ^ (d & (b ^ c)), 5 * step + 1
                case 2:
                    mixed, word = b ^ c ^ d, 3 * step + 5
                case _:
                    mixed, word = c ^ (b | ~d), 7 * step
            mixed += a
            mixed += words[block + word % 16]
            mixed += _SINES[step]
            shift = _SHIFTS[step // 16][step % 4]
            turned = mixed << np.uint32(shift)
            mixed >>= np.uint32(32 - shift)
            turned |= mixed
            turned += b
            a, b, c, d = d, turned, b, c
        state = [old + new for old, new in zip(state, (a, b, c, d), strict=True)]
    return np.stack(state, axis=1).astype("<u4").view(np.uint8)


def hexadecimal(digests: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``[N, D]`` bytes as ``[N, 2 D]`` characters, lower case.

    >>> bytes(hexadecimal(np.array([[1, 255]], np.uint8))[0])
    b'01ff'
    """
    return _HEXADECIMAL[digests].view(np.uint8)
