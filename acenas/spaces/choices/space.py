"""The space of a mapping of choices."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from acenas.errors import UserError
from acenas.spaces.choices.grammar import read_fields
from acenas.spaces.choices.layout import Layout, Row
from acenas.spaces.custom import CustomSpace, called, named
from acenas.spaces.graphs import GraphBatch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LISTABLE = 200_000
"""A space of more architectures than this is sampled rather than listed."""


class Choices(CustomSpace):
    """Architectures with one value for each choice.

    An architecture is written `width=32,block=(kernel=3)(kernel=5),kind=conv`: its choices in the order of the space,
    without those that do not exist in it. Characters of names and values other than letters, digits and `_.+:/@*-`
    are written as in URLs (`%20`).

    Args:
        choices: for each name a list of values, a `Choice` or a `Repeated`. In YAML these two are mappings:
            `{values: [true, false], when: {kind: mbconv}}` and `{choices: {kernel: [3, 5]}, times: [1, 2, 3]}`.
        build: makes a network, `build(**choices)`: a value for each name, for a `Repeated` a list of mappings. Choices
            that do not exist are not passed. A parameter `num_classes` is passed the number of classes.
        canonical: from the choices of an architecture (a mapping) to those of the simplest one that computes the same
            function. Without it, all architectures are different.
        read: from strings in another format to choices, for `parse` and tables: a function, or a regular expression
            with a named group for each choice. Groups named as choices of a `Repeated` give a block for each match, or
            for each item where they hold lists joined by commas.
        example_input: the input of networks that do not take images, see `count_cost`.
        name: in tables of this space.

    In YAML, a function is a dotted name. Raises `UserError` for invalid choices.

    >>> from acenas.spaces import Choice, Repeated
    >>> space = Choices(
    ...     {
    ...         "width": [16, 32, 64],
    ...         "block": Repeated({"kernel": [3, 5]}, times=[1, 2, 3]),
    ...         "kind": ["conv", "mbconv"],
    ...         "squeeze": Choice([True, False], when={"kind": "mbconv"}),
    ...     }
    ... )
    >>> space.size
    126
    >>> space.parse({"kind": "conv", "width": "32", "block": [{"kernel": 3.0}, {"kernel": 5}], "squeeze": True})
    'width=32,block=(kernel=3)(kernel=5),kind=conv'
    >>> space.choices("width=16,block=(kernel=3),kind=mbconv,squeeze=False")
    {'width': 16, 'block': [{'kernel': 3}], 'kind': 'mbconv', 'squeeze': False}
    """

    def __init__(
        self,
        choices: Mapping[str, Any],
        build: Callable[..., nn.Module] | str | None = None,
        *,
        canonical: Callable[[dict[str, Any]], Mapping[str, Any]] | str | None = None,
        read: Callable[[str], Mapping[str, Any]] | str | None = None,
        example_input: Any = None,
        name: str = "choices",
    ) -> None:
        super().__init__(name, build, example_input)
        self._layout = Layout(choices)
        self.choice_columns = frozenset(self._layout.names())
        self._canonical = named("space.canonical", canonical)
        is_pattern = isinstance(read, str) and "(?P<" in read
        self._read = self._reader(str(read)) if is_pattern else named("space.read", read)
        self._rows: dict[str, Row] = {}
        """Of architectures that were read or written lately."""
        columns = self._layout.columns
        self._nodes = [number for number, column in enumerate(columns) if not column.is_number]
        self._first_type: dict[tuple[str, ...], int] = {}
        self.num_node_types = 1  # 0 is padding
        for column in (columns[number] for number in self._nodes):
            if column.kind not in self._first_type:
                self._first_type[column.kind] = self.num_node_types
                self.num_node_types += len(column.values)

    def __repr__(self) -> str:
        columns, shown = self._layout.columns, dict[str, str]()
        for column in columns:
            conditions = ((columns[number], sorted(codes)) for number, codes in column.when)
            when = {".".join(c.kind): [c.values[code] for code in codes] for c, codes in conditions}
            text = f"Choice({column.values}, when={when})" if when else f"{column.values}"
            shown.setdefault(".".join(column.kind), text)
        return "Choices({" + ", ".join(f"{kind!r}: {text}" for kind, text in shown.items()) + "})"

    # --- grammar ---

    def validate(self, arch: str) -> None:
        """Raises `UserError` where `arch` is not of this space, or written in another way; says what is wrong."""
        self._row(arch)

    def parse(self, text: str | Mapping[str, Any]) -> str:
        """Returns the architecture of a string, in this grammar or that of `read`, or of a mapping of choices.

        The order of choices is free, those that do not exist are ignored, and types may differ: `"16"`, `16.0` and
        `np.int64(16)` are the choice 16. Raises `UserError` for unknown or missing choices; lists the valid ones.
        """
        if not isinstance(text, str):
            return self._written(lambda: text, text)
        try:
            return self._written(lambda: read_fields(text), text)
        except UserError:
            if self._read is None:
                raise
        return self._written(lambda: called(self._read, text), text)

    def _written(self, read: Callable[[], Mapping[str, Any]], told: object) -> str:
        try:
            return self._layout.write(self._layout.row(read()))
        except UserError as error:
            raise UserError(f"not an architecture of this space: {error}: {told!r:.200}") from None

    def _reader(self, pattern: str) -> Callable[[str], Mapping[str, Any]]:
        """Returns a function that reads a string by a regular expression, see `Choices`."""
        compiled = re.compile(pattern)

        def read(text: str) -> dict[str, Any]:
            matches = [match.groupdict() for match in compiled.finditer(text)]
            if not matches:
                raise UserError(f"nothing in it matches {pattern!r:.200}")
            found: dict[str, Any] = {}
            for name, _, blocks in self._layout.items:
                if blocks:
                    names = [item.name for item in blocks[0] if item.name in compiled.groupindex]
                    lists = [[one for match in matches for one in (match[n] or "").split(",")] for n in names]
                    if len(set(map(len, lists))) > 1:
                        raise UserError(f"the lists of {', '.join(names)} differ in length")
                    found[name] = [dict(zip(names, block, strict=True)) for block in zip(*lists, strict=True)]
                elif name in compiled.groupindex:
                    found[name] = matches[0][name]
            return found

        return read

    def from_choices(self, choices: Mapping[str, Any]) -> str:
        """Returns the architecture with these choices, nested, or flat as in `choice_columns` (`block.0.kernel`)."""
        return self._written(lambda: self._layout.nested(choices), choices)

    def choices(self, arch: str) -> dict[str, Any]:
        """Returns the choices of `arch` by name, as `build` takes them. Raises `UserError` as `validate`."""
        return self._layout.choices(self._row(arch))

    def _row(self, arch: str) -> Row:
        if arch not in self._rows:
            try:
                self._remember([arch], [self._layout.read(arch)])
            except UserError as error:
                raise UserError(f"not an architecture of this space: {error}: {arch!r:.200}") from None
        return self._rows[arch]

    def _remember(self, archs: Sequence[str], rows: Sequence[Row]) -> None:
        if len(self._rows) > LISTABLE:
            self._rows.clear()
        self._rows.update(zip(archs, rows, strict=True))

    # --- equal functions ---

    def canonical(self, arch: str) -> str:
        """Returns the result of the function `canonical`; without one, `arch`."""
        self.validate(arch)
        return arch if self._canonical is None else self.parse(self._canonical(self.choices(arch)))

    # --- listing, sampling, neighbours ---

    @property
    def size(self) -> int:
        """The number of architectures."""
        return self._layout.size

    def enumerate(self) -> list[str]:
        """Returns all architectures. Raises `NotImplementedError` where there are more than 200,000."""
        if self.size > LISTABLE:
            super().enumerate()
        rows = self._layout.all_rows().tolist()
        archs = list(map(self._layout.write, rows))
        self._remember(archs, rows)
        return archs

    def sample(self, n: int, generator: torch.Generator) -> list[str]:
        """Draws `n` architectures independently and uniformly."""
        words = (
            self.size.bit_length() // 62 + 2
        )  # one more than needed, so that the remainder is nearly uniform
        drawn = torch.randint(1 << 62, (n, words), generator=generator).tolist()
        numbers = (sum(word << 62 * place for place, word in enumerate(each)) % self.size for each in drawn)
        rows = [self._layout.numbered(number) for number in numbers]
        archs = list(map(self._layout.write, rows))
        self._remember(archs, rows)
        return archs

    def neighbours(self, arch: str) -> list[str]:
        """Returns all architectures that differ from `arch` in one choice.

        The number of blocks of a `Repeated` becomes the next smaller, by removing some, or the next larger, by copying
        one. Choices that exist only after the change take all their values, or the first one above 64 architectures.
        """
        changed = map(self._layout.write, self._layout.changed(self._row(arch)))
        return [other for other in dict.fromkeys(changed) if other != arch]

    # --- graphs ---

    def encode(self, archs: Sequence[str]) -> GraphBatch:
        """Returns a chain of nodes, one for each choice that exists; each choice has a fixed position.

        Node types: 0 padding, then one for each value of each choice, the same in all blocks of a `Repeated`. The
        globals are the rank of each number among its values, from -1 to 1 (0 where it does not exist); and for choices
        with the same values (of a `Repeated`, or of several names) the share of each value, and their mean rank.
        """
        columns = self._layout.columns
        codes = np.array([self._row(arch) for arch in archs], np.int64).reshape(len(archs), len(columns))
        mask = codes[:, self._nodes] >= 0
        first = np.array([self._first_type[columns[number].kind] for number in self._nodes])
        node = np.where(mask, codes[:, self._nodes] + first, 0)
        place = mask.cumsum(axis=1, dtype=np.int16)  # among those that exist; an edge leads to the next
        adjacency = (place[:, None, :] - place[:, :, None] == 1) & mask[:, None, :] & mask[:, :, None]
        features = _globals(self._layout, codes)
        return GraphBatch(*map(torch.from_numpy, (node, adjacency, mask, features)))

    # --- networks and pictures ---

    def _arguments(self, arch: str) -> dict[str, Any]:
        return self.choices(arch)

    def draw(self, arch: str) -> Figure:
        """Draws a row for each choice, with a box for each block; later values of a list are darker."""
        from matplotlib import colormaps  # half a second to import, for those who draw
        from matplotlib.figure import Figure

        from acenas.spaces.drawing import INK

        row = self._row(arch)
        kinds: dict[tuple[str, ...], list[int]] = {}
        for number in self._nodes:
            kinds.setdefault(self._layout.columns[number].kind, []).append(number)
        width = 1 + max(
            (x for all_of in kinds.values() for x, n in enumerate(all_of) if row[n] >= 0), default=0
        )
        plain: Any = {"fontsize": 8, "parse_math": False}  # names may have a $
        figure = Figure(figsize=(1.6 + 0.75 * width, 0.4 + 0.36 * len(kinds)), layout="constrained")
        axes = figure.add_subplot()
        for y, numbers in enumerate(kinds.values()):
            for x, number in ((x, number) for x, number in enumerate(numbers) if row[number] >= 0):
                values, code = self._layout.columns[number].values, int(row[number])
                shade = 0.1 + 0.7 * code / max(len(values) - 1, 1)
                axes.barh(y, 0.94, left=x, color=colormaps["viridis_r"](shade))
                colour = "white" if shade > 0.4 else "black"
                axes.text(x + 0.47, y, str(values[code]), ha="center", va="center", color=colour, **plain)
        axes.set_yticks(range(len(kinds)), [".".join(kind) for kind in kinds], color=INK, **plain)
        axes.set_xlim(0, width)
        axes.set_ylim(len(kinds) - 0.4, -0.6)
        axes.xaxis.set_visible(False)
        axes.spines[:].set_visible(False)
        return figure


def _globals(layout: Layout, codes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the globals `[B, G]` of `Choices.encode` for rows `[B, columns]`."""
    found: list[NDArray[np.floating]] = []
    alike: dict[tuple[object, ...], list[int]] = {}
    for number, column in enumerate(layout.columns):
        kind = column.kind if len(column.kind) > 1 else ()
        alike.setdefault((kind, *map(str, column.values)), []).append(number)
        if ranks := column.ranks():
            found.append(np.array([*ranks, 0.0])[codes[:, number]])
    for places in (places for places in alike.values() if len(places) > 1):
        column, here = layout.columns[places[0]], codes[:, places]
        found += [(here == code).mean(axis=1) for code in range(len(column.values))]
        if ranks := column.ranks():
            found.append(((np.array([*ranks, -1.0])[here] + 1) / 2).mean(axis=1))
    return np.array(found, np.float32).reshape(len(found), len(codes)).T.copy()
