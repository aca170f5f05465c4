"""The choices of a space as a table: a column for each choice that may exist, a row for each architecture."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acenas.errors import UserError, listed, near
from acenas.spaces.choices.grammar import Column, Value, When, missing, read_fields

COMPLETIONS = 64
"""The largest number of rows in which choices that a change adds take all values; above, they take the first one."""

Row = list[int]
"""The code of each column, -1 for a choice that does not exist."""


@dataclass(frozen=True)
class Choice:
    """A choice that exists where a condition holds.

    Attributes:
        values: numbers, names, booleans, None.
        when: by the name of an earlier choice the value or values that it must have; the name of a `Repeated` stands
            for its number of blocks.
    """

    values: Sequence[Value]
    when: Mapping[str, Value | Sequence[Value]] = field(default_factory=dict)


@dataclass(frozen=True)
class Repeated:
    """A sequence of blocks, each with its own choices.

    Attributes:
        choices: of a block, as those of `Choices`; their conditions may also name choices before the `Repeated`.
        times: the number of blocks, or the possible numbers.
        when: see `Choice`.
    """

    choices: Mapping[str, Any]
    times: int | Sequence[int]
    when: Mapping[str, Value | Sequence[Value]] = field(default_factory=dict)


class Item(NamedTuple):
    """A choice, its column, and for a `Repeated` the items of each possible block."""

    name: str
    column: int
    blocks: list[list[Item]] | None


class Layout:
    """The columns of `choices`, and the architectures as rows. Raises `UserError` for choices that are invalid.

    Rows are counted column by column, each column after those that its conditions name. The state is the set of later
    columns that cannot exist any more; values that exclude the same columns form one branch.
    """

    def __init__(self, choices: Mapping[str, Any]) -> None:
        self.columns: list[Column] = []
        self.items = self._items(choices, {}, (), (), "")
        self._is_flat = not any(column.when or column.is_number for column in self.columns)
        if "arch" in (item.name for item in self.items):
            raise UserError("space: arch is the name of the whole architecture; call the choice otherwise")
        if doubled := [name for name, times in Counter(self.names()).items() if times > 1]:
            raise UserError(f"space: {doubled[0]} would be the column of two choices; call one otherwise")
        self._order = self._conditions_first()
        self._branches: list[dict[frozenset[int], list[tuple[Row, frozenset[int]]]]] = []
        """For each column in `_order` and each state: codes, and the state after any of them."""
        states = {frozenset[int]()}
        for number in self._order:
            self._branches.append({state: self._branch(number, state) for state in states})
            states = {after for branches in self._branches[-1].values() for _, after in branches}
        self._counts: list[dict[frozenset[int], int]] = [{frozenset(): 1}]
        for step in reversed(self._branches):
            later = self._counts[0]
            here = {state: sum(len(codes) * later[after] for codes, after in step[state]) for state in step}
            self._counts.insert(0, here)

    # --- from the mapping to columns ---

    def _items(
        self,
        choices: Mapping[str, Any],
        scope: Mapping[str, int],
        exists: When,
        kind: tuple[str, ...],
        place: str,
    ) -> list[Item]:
        if not isinstance(choices, Mapping) or not choices:
            raise UserError(f"space: {place}choices are a mapping of names to values, not {choices!r:.200}")
        if len(set(map(str, choices))) < len(choices) or not all(str(name).strip() for name in choices):
            raise UserError(f"space: {place}choices need names that differ, not {listed(choices)}")
        items, scope = [], dict(scope)
        for name, given in ((str(name), given) for name, given in choices.items()):
            spec = _spec(place + name, given)
            when = exists + tuple(self._condition(place + name, scope, *each) for each in spec.when.items())
            times = _times(place + name, spec.times) if isinstance(spec, Repeated) else None
            values = spec.values if isinstance(spec, Choice) else times or []
            number = scope[name] = len(self.columns)
            self.columns.append(Column(place + name, (*kind, name), values, when, times is not None))
            blocks: list[list[Item]] | None = None
            if isinstance(spec, Repeated) and times is not None:
                blocks = []
                for block in range(max(times)):
                    here = ((number, frozenset(code for code, n in enumerate(times) if n > block)),)
                    inner = f"{place}{name} {block + 1}: "
                    blocks.append(self._items(spec.choices, scope, here, (*kind, name), inner))
            items.append(Item(name, number, blocks))
        return items

    def _condition(
        self, place: str, scope: Mapping[str, int], name: str, values: Any
    ) -> tuple[int, frozenset[int]]:
        if name not in scope:
            hint = near(name, scope)
            raise UserError(f"space: {place} depends on {name!r:.200}, which is no choice before it{hint}")
        several = isinstance(values, Iterable) and not isinstance(values, str)
        try:
            codes = frozenset(map(self.columns[scope[name]].code, values if several else [values]))
        except UserError as error:
            raise UserError(f"space: the condition of {place}: {error}") from None
        return scope[name], codes

    def _conditions_first(self) -> list[int]:
        """Returns the columns, each right after the last one that its conditions name, so that there are few states."""
        order: dict[int, None] = {}

        def put(number: int) -> None:
            order[number] = None
            for later in self._dependents[number]:
                if later not in order and all(before in order for before, _ in self.columns[later].when):
                    put(later)

        self._dependents: list[list[int]] = [[] for _ in self.columns]
        for number, column in enumerate(self.columns):
            for before, _ in column.when:
                self._dependents[before].append(number)
        for number, column in enumerate(self.columns):
            if not column.when:
                put(number)
        return list(order)

    def _branch(self, number: int, state: frozenset[int]) -> list[tuple[Row, frozenset[int]]]:
        if number in state:
            return [([-1], (state | frozenset(self._dependents[number])) - {number})]
        branches: dict[frozenset[int], Row] = {}
        for code in range(len(self.columns[number].values)):
            excluded = {
                later
                for later in self._dependents[number]
                if any(before == number and code not in codes for before, codes in self.columns[later].when)
            }
            branches.setdefault(state | excluded, []).append(code)
        return [(codes, after) for after, codes in branches.items()]

    # --- between rows and what is written ---

    def row(self, choices: Mapping[str, Any]) -> Row:
        """Returns the row of these choices; ignores those that do not exist. Raises `UserError`."""
        row = [-1] * len(self.columns)
        self._place(self.items, choices, row, "")
        return row

    def _place(self, items: Sequence[Item], choices: Any, row: Row, place: str) -> None:
        if not isinstance(choices, Mapping):
            raise UserError(f"{place}expected choices by their names, not {choices!r:.200}")
        names = [item.name for item in items]
        for name in (name for name in choices if name not in names):
            raise UserError(
                f"{place}there is no choice {name!r:.200}, but {listed(names)}{near(name, names)}"
            )
        for name, number, blocks in items:
            column = self.columns[number]
            if column.active(row):
                if name not in choices:
                    column.absent()
                if blocks is None:
                    row[number] = column.code(choices[name])
                    continue
                value = choices[name] or []
                if isinstance(value, str) or not isinstance(value, Sequence):
                    raise UserError(f"{column.place} is a list of blocks, not {value!r:.200}")
                row[number] = column.code(len(value))
                for i, (block, inner) in enumerate(zip(blocks, value, strict=False), start=1):
                    self._place(block, inner, row, f"{place}{name} {i}: ")

    def read(self, arch: str) -> Row:
        """Returns the row that `write` writes as `arch`. Raises `UserError` that says what is wrong."""
        if self._is_flat:
            with suppress(KeyError, ValueError):
                texts = zip(self.columns, arch.split(","), strict=True)
                return [column.code_of[text] for column, text in texts]
        row = self.row(read_fields(arch))
        if (written := self.write(row)) != arch:
            raise UserError(f"not as this space writes it, {written!r}")
        return row

    def write(self, row: Sequence[int]) -> str:
        """Returns the architecture of `row`."""
        if self._is_flat:
            return ",".join([column.texts[code] for column, code in zip(self.columns, row, strict=True)])
        return self._write(self.items, row)

    def _write(self, items: Sequence[Item], row: Sequence[int]) -> str:
        texts = []
        for _, number, blocks in items:
            code = row[number]
            if code >= 0:
                text = self.columns[number].texts[code]
                if blocks is not None:
                    present = blocks[: self.columns[number].values[code]]
                    text += "".join([f"({self._write(block, row)})" for block in present])
                texts.append(text)
        return ",".join(texts)

    def choices(self, row: Sequence[int], items: Sequence[Item] | None = None) -> dict[str, Any]:
        """Returns the mapping of `row`."""
        found: dict[str, Any] = {}
        for name, number, blocks in self.items if items is None else items:
            if row[number] >= 0:
                value = self.columns[number].values[row[number]]
                found[name] = value if blocks is None else [self.choices(row, b) for b in blocks[:value]]
        return found

    def names(self, items: Sequence[Item] | None = None, prefix: str = "") -> Iterator[str]:
        """Yields the names of columns that `nested` reads."""
        for name, _, blocks in self.items if items is None else items:
            yield prefix + name
            for i, block in enumerate(blocks or []):
                yield from self.names(block, f"{prefix}{name}.{i}.")

    def nested(
        self, cells: Mapping[str, Any], items: Sequence[Item] | None = None, prefix: str = ""
    ) -> dict[str, Any]:
        """Returns the mapping in a row of a table with columns `name`, and `name.0.inner` for the first block.

        For a `Repeated`, the column `name` is a list of its blocks or their number; without it the last block is the
        last one of which anything is there.
        """
        found: dict[str, Any] = {}
        for name, number, blocks in self.items if items is None else items:
            told = cells.get(prefix + name)
            if isinstance(told, list | np.ndarray):
                found[name] = list(told)
            elif blocks is not None:
                inner = [self.nested(cells, block, f"{prefix}{name}.{i}.") for i, block in enumerate(blocks)]
                if not _empty(told):
                    inner = inner[: self.columns[number].values[self.columns[number].code(told)]]
                while _empty(told) and inner and all(map(_empty, inner[-1].values())):
                    inner.pop()
                found[name] = inner
            elif prefix + name in cells:
                found[name] = told
        return found

    # --- counting, and what is one change away ---

    @property
    def size(self) -> int:
        """The number of rows."""
        return self._counts[0][frozenset()]

    def numbered(self, number: int) -> Row:
        """Returns row `number` of `all_rows`."""
        row, state = [-1] * len(self.columns), frozenset[int]()
        for column, step, later in zip(self._order, self._branches, self._counts[1:], strict=True):
            for codes, after in step[state]:
                each = later[after]
                if number < each * len(codes):
                    code, number = divmod(number, each)
                    row[column], state = codes[code], after
                    break
                number -= each * len(codes)
        return row

    def all_rows(self) -> NDArray[np.int16]:
        """Returns all rows, `[size, columns]`."""
        later = {frozenset[int](): np.full((1, len(self.columns)), -1, np.int16)}
        for number, step in zip(reversed(self._order), reversed(self._branches), strict=True):
            here = {}
            for state, branches in step.items():
                parts = []
                for codes, after in branches:
                    part = np.tile(later[after], (len(codes), 1))
                    part[:, number] = np.repeat(codes, len(later[after]))
                    parts.append(part)
                here[state] = np.concatenate(parts)
            later = here
        return later[frozenset()]

    def changed(self, row: Row) -> Iterator[Row]:
        """Yields the rows that differ from `row` in one choice; see `Choices.neighbours`."""
        for number, column in enumerate(self.columns):
            if row[number] >= 0 and not column.is_number:
                for code in range(len(column.values)):
                    yield from self._completed([*row[:number], code, *row[number + 1 :]])
        for item in self._all_items(self.items):
            if item.blocks and row[item.column] >= 0:
                for other in self._resized(item, item.blocks, row):
                    yield from self._completed(other)

    def _all_items(self, items: Sequence[Item]) -> Iterator[Item]:
        for item in items:
            yield item
            for block in item.blocks or []:
                yield from self._all_items(block)

    def _resized(self, item: Item, places: Sequence[Sequence[Item]], row: Row) -> Iterator[Row]:
        """Yields rows with the next smaller and larger number of blocks: some left out, or one copied."""
        times, start = self.columns[item.column].values, places[0][0].column
        width = sum(1 for _ in self._all_items(places[0]))
        before = times[row[item.column]]
        blocks = [row[start + width * i : start + width * (i + 1)] for i in range(len(places))]
        blocks, absent = blocks[:before], [[-1] * width] * len(places)
        for code in (row[item.column] - 1, row[item.column] + 1):
            if not 0 <= code < len(times):
                continue
            if (fewer := before - times[code]) > 0:
                others = [blocks[:i] + blocks[i + fewer :] for i in range(times[code] + 1)]
            else:
                others = [blocks[:i] + [blocks[i]] * -fewer + blocks[i:] for i in range(before)] or [[]]
            for other in others:
                filled = itertools.chain.from_iterable([*other, *absent[len(other) :]])
                changed = [*row[:start], *filled, *row[start + width * len(places) :]]
                changed[item.column] = code
                yield changed

    def _completed(self, row: Row) -> list[Row]:
        """Returns `row` without choices that do not exist, and with all values, or the first, of missing ones."""
        rows = [row]
        for number in self._order:
            column, before, rows = self.columns[number], rows, []
            few = len(before) * len(column.values) <= COMPLETIONS
            for each in before:
                codes: Sequence[int] = range(len(column.values) if few else 1)
                if not column.active(each):
                    codes = [-1]
                elif each[number] >= 0:
                    codes = [each[number]]
                rows += [[*each[:number], code, *each[number + 1 :]] for code in codes]
        return rows


def _spec(place: str, given: Any) -> Choice | Repeated:
    """Converts what is given for one name to a `Choice` or `Repeated`."""
    if isinstance(given, Choice | Repeated):
        return given
    if isinstance(given, Mapping):
        for kind in (Choice, Repeated):
            needed = {"values"} if kind is Choice else {"choices", "times"}
            if needed <= set(given) <= needed | {"when"}:
                return kind(**{**given, "when": given.get("when") or {}})
        raise UserError(
            f"space: {place}: expected values and when, or choices, times and when, not {listed(given)}"
        )
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UserError(f"space: {place} needs a list of choices, not {given!r:.200}")
    return Choice(list(given))


def flat(choices: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns choices as a row of a table, which `Layout.nested` reads.

    >>> flat({"width": 32, "block": [{"kernel": 3}, {"kernel": 5}]})
    {'width': 32, 'block': 2, 'block.0.kernel': 3, 'block.1.kernel': 5}
    """
    found: dict[str, Any] = {}
    for name, value in choices.items():
        if isinstance(value, list):
            found[prefix + name] = len(value)
            for number, block in enumerate(value):
                found |= flat(block, f"{prefix}{name}.{number}.")
        else:
            found[prefix + name] = value
    return found


def _empty(cell: Any) -> bool:
    return cell == "" or cell == [] if isinstance(cell, str | list) else missing(cell)


def _times(place: str, times: Any) -> list[int]:
    several = list(times) if isinstance(times, Iterable) and not isinstance(times, str) else [times]
    if not several or any(
        isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0 for n in several
    ):
        raise UserError(f"space: {place}: times are whole numbers from 0 on, not {times!r:.200}")
    return sorted({int(number) for number in several})
