"""Pickles of gigabytes, read in little memory: each dict can be cut down as soon as it is filled."""

import pickle
from array import array
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

from acenas.errors import UserError
from acenas.files import PlainPickles


def _load_setitems(unpickler: Any) -> None:
    """Fills a dict with items, a thousand at most."""
    pickle._Unpickler.dispatch[pickle.SETITEMS[0]](unpickler)
    if type(unpickler.stack[-1]) is dict:
        unpickler.shrink(unpickler.stack[-1])


class ShrinkingUnpickler(PlainPickles, pickle._Unpickler):
    """As `acenas.files.PlainUnpickler`, but calls `shrink` with each dict once it is filled.

    It is Python's own unpickler in Python, several times slower than that in C.

    Args:
        file: opened for reading bytes.
        shrink: may take items out of a dict, or replace them.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **pickle._Unpickler.dispatch,
        pickle.SETITEMS[0]: _load_setitems,
    }

    def __init__(self, file: BinaryIO, shrink: Callable[[dict[Any, Any]], object]) -> None:
        super().__init__(file)
        self.memo = _Memo()
        self.shrink = shrink


class _Memo:
    """The values that a pickle may refer back to, by number.

    Equal strings, of which such files have millions, are kept once.
    """

    def __init__(self) -> None:
        self._place = array("I")
        self._values: list[Any] = []
        self._strings: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, number: int) -> Any:
        return self._values[self._place[number]]

    def __setitem__(self, number: int, value: Any) -> None:
        new = len(self._values)
        place = self._strings.setdefault(value, new) if type(value) is str else new
        if place == new:
            self._values.append(value)
        gap = number - len(self._place)
        if gap > 1 << 20:
            raise UserError(f"value {number:,} comes after value {len(self._place):,}")
        self._place.extend([0] * (gap + 1))  # none where it is numbered anew
        self._place[number] = place
