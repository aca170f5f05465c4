"""A JSON file that is one long list, read one item at a time: memory holds an item, not the file."""

import codecs
import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from acenas.errors import UserError

_BLOCK = 1 << 20  # bytes read at a time
_LARGEST = 1 << 26  # characters of an item; a longer one is not whole


def read_items(
    file: BinaryIO, where: str, progress: Callable[[int], object] | None = None
) -> Iterator[dict[str, Any]]:
    """Yields the objects of a list `[{...}, ...]`, or of an object of such lists `{"top": [...], ...}`, in order.

    `NaN` and `Infinity`, which Python writes, are accepted.

    Args:
        file: opened for reading bytes, in UTF-8.
        where: the file in messages.
        progress: called now and then with the number of bytes read.

    Raises:
        UserError: where the file is cut off, is no JSON, or is of another shape.
    """
    text = _Text(file, where, progress)
    if text.take("[{") == "[":
        yield from _list(text)
    else:
        while text.take('"}', keep=True) == '"':
            text.value()  # the name of a list
            text.take(":")
            text.take("[")
            yield from _list(text)
            if text.take(",}") == "}":
                return


def _list(text: "_Text") -> Iterator[dict[str, Any]]:
    """Yields the objects up to the `]` that ends their list."""
    while text.take("{]", keep=True) == "{":
        yield text.value()
        text.items += 1
        if text.take(",]") == "]":
            return
    text.take("]")


class _Text:
    """The part of the file that is read and not parsed yet."""

    def __init__(self, file: BinaryIO, where: str, progress: Callable[[int], object] | None) -> None:
        self.items = 0
        self._file, self._where, self._progress = file, where, progress
        self._json, self._utf8 = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._place, self._bytes = "", 0, 0

    def take(self, expected: str, keep: bool = False) -> str:
        """Returns the next character but spaces, one of those `expected`, and skips it unless told to `keep` it."""
        while not (rest := self._text[self._place : self._place + 64].lstrip()):
            self._place += 64
            if self._place >= len(self._text):
                self._read()
        self._place = self._text.index(rest[0], self._place) + (not keep)
        if rest[0] not in expected:
            due = " or ".join(repr(sign) for sign in expected)
            raise UserError(
                f"{self._where}: {rest[0]!r:.200} stands where {due} is due (item {self.items:,})"
            )
        return rest[0]

    def value(self) -> Any:
        """Parses the next value."""
        while True:
            try:
                value, self._place = self._json.raw_decode(self._text, self._place)
                return value
            except json.JSONDecodeError as error:  # it is not whole yet, or never will be
                if len(self._text) - self._place > _LARGEST:
                    raise UserError(f"{self._where}: item {self.items:,} is no JSON ({error.msg})") from None
            self._read(len(self._text) - self._place)  # doubled, so that a long value is not begun often

    def _read(self, size: int = 0) -> None:
        block = self._file.read(max(size, _BLOCK))
        if not block:
            raise UserError(f"{self._where} is truncated in item {self.items:,}; get it again")
        self._bytes += len(block)
        try:
            self._text, self._place = self._text[self._place :] + self._utf8.decode(block), 0
        except UnicodeDecodeError:
            raise UserError(f"{self._where} is no text in UTF-8 (before byte {self._bytes:,})") from None
        if self._progress is not None:
            self._progress(self._bytes)
