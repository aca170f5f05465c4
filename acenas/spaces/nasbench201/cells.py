"""The cells of NAS-Bench-201: their strings, the operations of their edges, and which cells are equal.

All 15,625 cells are listed once, when the first is asked for; the number of a cell is its place in that list.
"""

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from acenas.errors import UserError

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The official names in the official order."""

NONE, SKIP = 0, 1
"""Indices of `none` and `skip_connect` in `OPERATIONS`."""

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, target) of each edge, in the order of the architecture string."""

OUTPUT = 3
"""The node that is a cell's output; node 0 is its input."""

Cell = tuple[str, ...]
"""The operations of the six edges, in the order of `EDGES`."""

# FLOPs of an operation relative to one another: enough to say which of two cells is simpler.
_COST = np.array([0.0, 0.0, 4.4, 35.8, 1.3])


# --- strings ---


@cache
def all_archs() -> list[str]:
    """The strings of all 15,625 cells, the last edge changing fastest."""
    return [_write(cell) for cell in itertools.product(OPERATIONS, repeat=len(EDGES))]


@cache
def all_codes() -> NDArray[np.int64]:
    """`[15625, 6]`: the index in `OPERATIONS` of the operation on each edge of each cell."""
    return np.array(list(itertools.product(range(len(OPERATIONS)), repeat=len(EDGES))), np.int64)


def number_of(arch: str) -> int:
    """Returns the number of the cell `arch`. Raises `UserError` that names what is wrong where there is none."""
    try:
        return _numbers()[arch]
    except KeyError:
        raise UserError(f"not a NAS-Bench-201 cell: {arch!r:.200}: {_what_is_wrong(arch)}") from None


@cache
def _numbers() -> dict[str, int]:
    return {arch: number for number, arch in enumerate(all_archs())}


def parse(arch: str) -> Cell:
    """Returns the six operations of `arch`. Raises `UserError` as `number_of`."""
    return tuple(OPERATIONS[code] for code in all_codes()[number_of(arch)].tolist())


def write(operations: Sequence[str]) -> str:
    """Returns the string of the cell with these six operations. Raises `UserError` where one is unknown."""
    arch = _write(operations)
    number_of(arch)
    return arch


def _write(operations: Sequence[str]) -> str:
    terms = [f"{operation}~{source}" for operation, (source, _) in zip(operations, EDGES, strict=True)]
    return f"|{terms[0]}|+|{terms[1]}|{terms[2]}|+|{terms[3]}|{terms[4]}|{terms[5]}|"


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
                return f"unknown operation {operation!r:.200}; known: {', '.join(OPERATIONS)}"
            if origin != str(source):
                return f"input {source + 1} of node {number} reads from {origin!r:.200} instead of {source}"
    return example


# --- what a cell computes ---


def is_connected(operations: Sequence[str]) -> bool:
    """Returns whether a path without `none` leads from the input of a cell to its output."""
    reached = {0}
    for (source, target), name in zip(EDGES, operations, strict=True):
        if source in reached and name != "none":
            reached.add(target)
    return OUTPUT in reached


@cache
def live_operations(arch: str) -> Cell:
    """Returns the operations of `arch` with `none` on every edge from which no path leads to the output.

    >>> live_operations("|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|")
    ('none', 'none', 'none', 'skip_connect', 'none', 'nor_conv_3x3')
    """
    operations = list(parse(arch))
    leads_on = {OUTPUT}
    for i, (source, target) in reversed(list(enumerate(EDGES))):
        if target not in leads_on:
            operations[i] = "none"
        elif operations[i] != "none":
            leads_on.add(source)
    return tuple(operations)


def isomorphism_string(codes: Sequence[int]) -> str:
    """Returns the official string of a cell's function: equal strings, equal functions.

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
    return nodes[OUTPUT]


@cache
def canonical_numbers() -> NDArray[np.int64]:
    """`[15625]`: the number of the canonical form of each cell (see `NasBench201.canonical`)."""
    codes = all_codes()
    simplest_first = np.lexsort((np.arange(len(codes)), (codes != NONE).sum(1), _COST[codes].sum(1)))
    canonical = np.empty(len(codes), dtype=np.int64)
    first: dict[str, int] = {}
    for i in simplest_first.tolist():
        canonical[i] = first.setdefault(isomorphism_string(codes[i].tolist()), i)
    return canonical
