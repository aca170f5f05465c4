"""Architectures of the NDS spaces (Radosavovic et al., ICCV 2019, arXiv 1905.13214): cells, genotypes, strings.

An architecture is a normal cell, a reduction cell, a width and a depth. A cell has n nodes; each is the sum of two
operations on earlier states. State 0 is the output of the cell before the previous one, state 1 is the output of the
previous one, state 2 + i is node i. The output concatenates the nodes that the rule of the family names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from acenas.errors import UserError

Cell = tuple[tuple[tuple[str, int], tuple[str, int]], ...]
"""For each node its two inputs, as the name of the operation and the state that it reads."""

NONE = "none"
"""The operation whose output is zero."""

_STATES = frozenset(map(str, range(10)))

MIN_DEPTH = 3
"""A network has three stages."""


class CellGraph(NamedTuple):
    """The nodes of a cell, and the states that its output concatenates."""

    nodes: Cell
    outputs: tuple[int, ...]

    @property
    def reads(self) -> tuple[bool, bool]:
        """Whether an operation other than `none` reads state 0, and state 1."""
        read = {source for node in self.nodes for name, source in node if name != NONE}
        return 0 in read, 1 in read


@dataclass(frozen=True)
class Family:
    """One of the five spaces.

    Attributes:
        name: as in the space's name `nds_<name>`.
        title: as published.
        operations: names in the official order.
        nodes: of a cell.
        output: which nodes the output concatenates: all, or those that no other node reads ("loose").
        imagenet_widths: channels of the first cells of the benchmark's networks on ImageNet.
    """

    name: str
    title: str
    operations: tuple[str, ...]
    nodes: int
    output: Literal["all", "loose"]
    imagenet_widths: tuple[int, ...] = (32, 48, 64, 80)

    def graph(self, cell: Cell) -> CellGraph:
        """Returns `cell` with the states that its output concatenates (`concat` in the official files)."""
        read = {source for node in cell for _, source in node} if self.output == "loose" else ()
        return CellGraph(cell, tuple(state for state in range(2, len(cell) + 2) if state not in read))


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "darts", "DARTS",
            ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect",
             "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
            4, "all", (32, 48, 64, 80, 96),
        ),
        Family(
            "enas", "ENAS",
            ("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"),
            5, "loose",
        ),
        Family(
            "pnas", "PNAS",
            ("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "conv_7x1_1x7",
             "skip_connect", "avg_pool_3x3", "max_pool_3x3", "dil_conv_3x3"),
            5, "all",
        ),
        Family(
            "nasnet", "NASNet",
            ("skip_connect", "conv_3x1_1x3", "conv_7x1_1x7", "dil_conv_3x3", "avg_pool_3x3", "max_pool_3x3",
             "max_pool_5x5", "max_pool_7x7", "conv_1x1", "conv_3x3", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"),
            5, "loose", (32, 48, 64),
        ),
        Family(
            "amoeba", "AmoebaNet",
            ("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7",
             "avg_pool_3x3", "max_pool_3x3", "dil_sep_conv_3x3", "conv_7x1_1x7"),
            5, "loose",
        ),
    )
}  # fmt: skip
"""The five spaces by name."""


@dataclass(frozen=True)
class Architecture:
    """A normal cell, a reduction cell, the channels of the first stage and the number of cells."""

    normal: CellGraph
    reduce: CellGraph
    width: int
    depth: int

    def cell(self, reduction: bool) -> CellGraph:
        """Returns the reduction or the normal cell."""
        return self.reduce if reduction else self.normal

    def __str__(self) -> str:
        normal, reduce = _write(self.normal.nodes), _write(self.reduce.nodes)
        return f"normal={normal};reduce={reduce};width={self.width};depth={self.depth}"


@lru_cache(maxsize=1 << 16)
def canonical_cell(cell: Cell, operations: tuple[str, ...]) -> Cell:
    """Returns `cell` with its nodes, and the two inputs of each node, in the first of all possible orders.

    Nodes are placed one by one; the next is the smallest of those whose inputs are placed. Where several are equal,
    which one comes first matters for the nodes that read them, so each is tried.
    """
    best: list[tuple[tuple[int, int], ...]] | None = None

    def place(number_of: dict[int, int], placed: list[tuple[tuple[int, int], ...]]) -> None:
        """Places the other nodes; `number_of` holds the new numbers of the states placed so far."""
        nonlocal best
        if best is not None and placed > best[: len(placed)]:
            return
        if len(placed) == len(cell):
            best = list(placed)
            return
        ready = {}
        for node, inputs in enumerate(cell):
            numbers = [0 if name == NONE else number_of.get(state, -1) for name, state in inputs]
            if node + 2 not in number_of and -1 not in numbers:
                codes = (operations.index(name) for name, _ in inputs)
                ready[node] = tuple(sorted(zip(numbers, codes, strict=True)))
        first = min(ready.values())
        for node, written in ready.items():
            if written == first:
                place({**number_of, node + 2: len(placed) + 2}, [*placed, written])

    place({0: 0, 1: 1}, [])
    assert best is not None
    return tuple(((operations[a], i), (operations[b], j)) for (i, a), (j, b) in best)


# --- strings and genotypes ---


def parse(family: Family, arch: str) -> Architecture:
    """Returns the architecture of the string `normal=CELL;reduce=CELL;width=16;depth=20`.

    A cell is `|op~state|op~state|` for each node, joined by `+`.

    Raises:
        UserError: says what is wrong.

    >>> cell = "|skip_connect~0|sep_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~2|"
    >>> two_nodes = Family("two", "Two", FAMILIES["enas"].operations, 2, "loose")
    >>> arch = parse(two_nodes, f"normal={cell};reduce={cell};width=16;depth=20")
    >>> arch.normal.nodes[1], arch.normal.outputs
    ((('skip_connect', 0), ('avg_pool_3x3', 2)), (3,))
    """
    try:
        keys, values = zip(*(part.partition("=")[::2] for part in arch.split(";")), strict=True)
        if keys != ("normal", "reduce", "width", "depth"):
            raise ValueError("expected the form normal=CELL;reduce=CELL;width=NUMBER;depth=NUMBER")
        for key, number in zip(keys[2:], values[2:], strict=True):
            if not (number.isascii() and number.isdecimal() and len(number) < 10) or number.startswith("0"):
                raise ValueError(f"{key}={number:.200} is not a whole number from 1 to 999,999,999")
        normal, reduce = (_read(family, key, text) for key, text in zip(keys[:2], values[:2], strict=True))
        return _checked(family, normal, reduce, int(values[2]), int(values[3]))
    except ValueError as error:
        raise UserError(f"not an architecture of nds_{family.name}: {arch!r:.200}: {error}") from None


def from_genotype(family: Family, genotype: Mapping[str, Any], width: int, depth: int) -> Architecture:
    """Returns the architecture of the fields `genotype`, `width` and `depth` of the official files (`net` of a record).

    Args:
        family: of the architecture.
        genotype: `normal` and `reduce`, flat lists of two (operation, state) a node, and `normal_concat` and
            `reduce_concat`, the states that the output concatenates.
        width: channels of the first stage.
        depth: number of cells.

    Raises:
        UserError: where a field is missing or invalid; also where the output concatenates other states than the
            family's rule says, which a string cannot express.
    """
    try:
        cells = []
        for key in ("normal", "reduce"):
            for needed in (key, f"{key}_concat"):
                if needed not in genotype:
                    raise ValueError(f"the genotype has no {needed}")
            cell = _cell(family, key, genotype[key])
            joined, expected = list(genotype[f"{key}_concat"]), list(family.graph(cell).outputs)
            if sorted(joined) != expected:
                raise ValueError(
                    f"{key}_concat is {joined}, but {family.title} joins {family.output} nodes: {expected}"
                )
            cells.append(cell)
        for key, number in (("width", width), ("depth", depth)):
            if type(number) is not int or number < 1:
                raise ValueError(f"{key} is {number!r:.200}, not a whole number above 0")
        return _checked(family, cells[0], cells[1], width, depth)
    except (ValueError, TypeError) as error:
        raise UserError(f"not a genotype of nds_{family.name}: {genotype!s:.200}: {error}") from None


def _cell(family: Family, key: str, pairs: Sequence[Sequence[Any]]) -> Cell:
    """Returns the cell of a flat list of (operation, state). Raises `ValueError` that says what is wrong."""
    if len(pairs) != 2 * family.nodes:
        raise ValueError(
            f"{key} has {len(pairs)} operations instead of {2 * family.nodes}, two for each of {family.nodes} nodes"
        )
    terms = []
    for number, (operation, source) in enumerate(pairs):
        node = number // 2
        if operation not in family.operations:
            raise ValueError(
                f"{key}: unknown operation {operation!r:.200}; known: {', '.join(family.operations)}"
            )
        if type(source) is not int or not 0 <= source < node + 2:
            raise ValueError(f"{key}: node {node} reads state {source!r:.200}, but may read 0 to {node + 1}")
        terms.append((str(operation), source))
    return tuple(zip(terms[::2], terms[1::2], strict=True))


def _checked(family: Family, normal: Cell, reduce: Cell, width: int, depth: int) -> Architecture:
    if depth < MIN_DEPTH:
        raise ValueError(f"depth is {depth}, but a network has three stages and at least {MIN_DEPTH} cells")
    return Architecture(family.graph(normal), family.graph(reduce), width, depth)


@lru_cache(maxsize=1 << 16)
def _read(family: Family, key: str, text: str) -> Cell:
    pairs: list[tuple[str, Any]] = []
    for number, node in enumerate(text.split("+")):
        terms = node[1:-1].split("|")
        if len(node) < 2 or node[0] != "|" or node[-1] != "|" or len(terms) != 2:
            raise ValueError(f"{key}: node {number} is {node!r:.200}; expected the form |op~state|op~state|")
        for term in terms:
            operation, _, source = term.partition("~")
            pairs.append((operation, int(source) if source in _STATES else source))
    return _cell(family, key, pairs)


def _write(cell: Cell) -> str:
    return "+".join(f"|{'|'.join(f'{operation}~{source}' for operation, source in node)}|" for node in cell)
