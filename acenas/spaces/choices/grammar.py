"""The grammar of choices, and how values of other types are matched to them."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn
from urllib.parse import quote, unquote

import numpy as np

from acenas.errors import UserError, listed, near

Value = str | int | float | bool | None

When = tuple[tuple[int, frozenset[int]], ...]
"""Conditions that must all hold: the number of a column, and the codes of which it must have one."""

DEEPEST = 20
"""Levels of blocks within blocks."""

_MISSING = ("none", "null", "nan", "na", "n/a", "")
_PART = re.compile(r"([^=,()]++)(=?)([^=,()]*+)|(.)", re.DOTALL)


def escape(text: str) -> str:
    """Returns `text` with all but letters, digits and `_.+:/@*-` encoded as in URLs.

    >>> escape("3x3, größer")
    '3x3%2C%20größer'
    """
    return re.sub(r"[^\w.+:/@*-]+", lambda match: quote(match[0], safe="", errors="surrogatepass"), text)


def read_fields(text: str) -> dict[str, Any]:
    """Returns the names and values in `text`, of any space, the values as text.

    Raises:
        UserError: where it is not `name=value` or `name=(...)(...)`, joined by commas.

    >>> read_fields("width=32,block=(kernel=3)(kernel=5)")
    {'width': '32', 'block': [{'kernel': '3'}, {'kernel': '5'}]}
    """
    fields: dict[str, Any] = {}
    outer: list[tuple[dict[str, Any], str]] = []
    here, name = fields, ""
    for found, equals, value, sign in _PART.findall(text):
        if equals and found:
            name = _unescaped(found)
            if name in here:
                raise UserError(f"{name} is there twice in {text!r:.200}")
            here[name] = _unescaped(value)
        elif (
            sign == "("
            and len(outer) < DEEPEST
            and (here.get(name) == "" or isinstance(here.get(name), list))
        ):
            block: dict[str, Any] = {}
            here[name] = here[name] or []
            here[name].append(block)
            outer.append((here, name))
            here, name = block, ""
        elif sign == ")" and outer:
            here, name = outer.pop()
        elif found or sign != ",":
            outer.append((here, name))
            break
    if outer:
        raise UserError(f"expected name=value and name=(name=value), joined by commas, not {text!r:.200}")
    return fields


def _unescaped(text: str) -> str:
    text = text.strip()
    return unquote(text, errors="surrogatepass") if "%" in text else text


def missing(value: Any) -> bool:
    """Returns whether `value` is None, NaN, NaT or NA."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or bool(value != value)


class Column:
    """One choice, in one block where it is repeated; the code of a value is its position in `values`.

    Args:
        place: its name in messages.
        kind: its name, after the names of each `Repeated` around it.
        values: distinct.
        when: the conditions under which it exists.
        is_number: whether it is the number of blocks of a `Repeated`.

    Raises:
        UserError: for values of another type, or equal ones.
    """

    def __init__(
        self, place: str, kind: tuple[str, ...], values: Sequence[Any], when: When, is_number: bool
    ) -> None:
        self.place, self.kind, self.when, self.is_number = place, kind, when, is_number
        self.values = [value.item() if isinstance(value, np.generic) else value for value in values]
        for value in self.values:
            if not isinstance(value, Value) or value != value:
                raise UserError(
                    f"space: {place}: a choice is a number, a name, true, false or none, not {value!r:.200}"
                )
        self._exact = {str(value): code for code, value in enumerate(self.values)}
        if not self.values or min(len(self._exact), len(set(self.values))) < len(self.values):
            raise UserError(f"space: {place} needs choices that differ, as text too, not {self.values}")
        self._loose: dict[str | float, int | None] = {}
        for code, value in enumerate(self.values):
            for key in _keys(value):  # a key that two values share stands for neither
                self._loose[key] = code if self._loose.get(key, code) == code else None
        name = escape(kind[-1])
        self.texts = [f"{name}=" + ("" if is_number else escape(str(value))) for value in self.values]
        """The text of each value in an architecture; blocks follow."""
        self.code_of = {text: code for code, text in enumerate(self.texts)}

    def active(self, row: Sequence[int]) -> bool:
        """Returns whether the choice exists in the architecture of `row`."""
        return not self.when or all(row[number] in codes for number, codes in self.when)

    def code(self, value: Any) -> int:
        """Returns the code of `value`, which may be of another type: `"16"`, `16.0` and `np.int64(16)` are 16.

        Raises:
            UserError: for another value; lists the valid ones.
        """
        codes = (self._exact.get(str(value)), *(self._loose.get(key) for key in _keys(value)))
        for code in codes:
            if code is not None:
                return code
        if missing(value):
            self.absent()
        if self.is_number:
            raise UserError(f"{self.place} has {value} blocks and can have {listed(self.values)}")
        raise UserError(
            f"{self.place} is {value!r:.200} and can be {listed(self.values)}{near(value, self.values)}"
        )

    def absent(self) -> NoReturn:
        """Raises `UserError`: the choice exists and has no value."""
        raise UserError(f"{self.place} is missing and can be {listed(self.values)}")

    def ranks(self) -> list[float] | None:
        """Returns the rank of each number among the values, scaled to -1 to 1; None where they are no numbers."""
        if len(self.values) < 2 or not all(type(value) in (int, float) for value in self.values):
            return None
        order = sorted(self.values)
        return [2 * order.index(value) / (len(order) - 1) - 1 for value in self.values]


def _keys(value: Any) -> Iterator[str | float]:
    """Yields the keys by which `value` is found where types differ, the most specific first."""
    if missing(value):
        yield from _MISSING
        return
    text = str(value).strip().casefold()
    yield text
    if text in _MISSING:
        yield "none"
    if text in ("true", "false"):
        yield float(text == "true")
    try:
        yield float(text)
    except ValueError:
        return
