"""Pickles of official files, read without running what a pickle may ask for."""

import pickle
from array import array
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from acenas.errors import UserError

# What makes NumPy's scalars and arrays, wherever NumPy keeps it.
_SCALAR, _RECONSTRUCT = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 spells bytes in a pickle of protocol 2."""
    if encoding != "latin1":
        raise UserError(f"it holds bytes encoded as {encoding}")
    return text.encode("latin1")


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}


def _find_class(module: str, name: str) -> Any:
    if (module, name) not in _ALLOWED:
        raise UserError(f"it asks for {module}.{name}, which no file of plain data needs")
    return _ALLOWED[module, name]


def _no_tensors(pid: Any) -> Any:
    raise UserError("it holds tensors, which no file of plain data does")


class PlainUnpickler(pickle.Unpickler):
    """Loads what Python has built in (dict, list, str, numbers ...), NumPy's scalars and arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle asks for by name. Raises `UserError` for all but `_ALLOWED`."""
        return _find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """What a pickle keeps elsewhere, such as tensors. Raises `UserError`: plain data have none."""
        return _no_tensors(pid)


def _load_setitems(unpickler: Any) -> None:
    """Fills a dict with items, a thousand at most."""
    pickle._Unpickler.dispatch[pickle.SETITEMS[0]](unpickler)
    if type(unpickler.stack[-1]) is dict:
        unpickler.shrink(unpickler.stack[-1])


class ShrinkingUnpickler(pickle._Unpickler):
    """As `PlainUnpickler`, but hands each dict to `shrink` once it is filled, so that gigabytes fit in memory.

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

    def find_class(self, module: str, name: str) -> Any:
        """See `PlainUnpickler`."""
        return _find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """See `PlainUnpickler`."""
        return _no_tensors(pid)


class _Memo:
    """What a pickle may refer back to, by number: equal strings, of which such files have millions, are kept once."""

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


def load_plain(file: BinaryIO, path: Path, shrink: Callable[[dict[Any, Any]], object] | None = None) -> Any:
    """The content of a pickle.

    Args:
        file: opened for reading bytes.
        path: of the file, for messages.
        shrink: see `ShrinkingUnpickler`; None for files that fit in memory.

    Raises:
        UserError: where the pickle is damaged or cut off, or asks for anything but plain values: nothing of it is run.
    """
    try:
        return (PlainUnpickler(file) if shrink is None else ShrinkingUnpickler(file, shrink)).load()
    except UserError as error:
        raise UserError(f"{path} was not loaded: {error}") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}); get it again") from None
