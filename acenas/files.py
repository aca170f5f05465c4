"""Files: written whole or not at all, whenever the process is killed, and read without running what they ask for."""

import math
import pickle
import secrets
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from acenas.errors import UserError

ROOM = 1 << 20
"""Bytes of a disk below which it counts as full."""


def is_full(folder: str | Path) -> bool:
    """Whether the disk of `folder` is full; not every library raises an error where it could not write."""
    return shutil.disk_usage(folder).free < ROOM


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, and renames it to `path` when the block ends without an error.

    Removes the temporary file where the block raises. Makes the folder where it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A random name: processes of several containers or machines may have the same number.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` to `path` atomically, as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many digits; a dash where it is unknown."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


# --- pickles ---


def _latin1(text: str, encoding: str) -> bytes:
    """Bytes, as Python 3 writes them in a pickle of protocol 2."""
    if encoding != "latin1":
        raise UserError(f"it holds bytes encoded as {encoding}")
    return text.encode("latin1")


@cache
def _allowed() -> dict[tuple[str, str], Any]:
    """Returns what a pickle may name: the module and name of each class or function."""
    import numpy as np  # every command imports this module, few of them read pickles

    # The functions that make NumPy's scalars and arrays, wherever this version of NumPy keeps them.
    made = {"scalar": np.float64(0).__reduce__()[0], "_reconstruct": np.zeros(0).__reduce__()[0]}
    return {
        ("collections", "OrderedDict"): OrderedDict,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1,
    } | {(f"numpy.{core}.multiarray", name): made[name] for core in ("core", "_core") for name in made}


class PlainPickles:
    """Restricts an unpickler to built-in types (dict, list, str, numbers ...) and NumPy's scalars and arrays."""

    def find_class(self, module: str, name: str) -> Any:
        """Returns the class or function that a pickle names. Raises `UserError` for all but `_allowed`."""
        if (module, name) not in _allowed():
            raise UserError(f"it asks for {module}.{name}, which no file of plain data needs")
        return _allowed()[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Raises `UserError` for what is stored outside the pickle, such as tensors."""
        raise UserError("it holds tensors, which no file of plain data does")


class PlainUnpickler(PlainPickles, pickle.Unpickler):
    """Loads plain values and nothing else. Strings of Python 2 are read as Latin-1."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")


def load_plain(
    file: BinaryIO, name: str | Path, unpickler: Callable[[BinaryIO], Any] = PlainUnpickler
) -> Any:
    """Returns the content of a pickle of plain values; see `PlainPickles`.

    Args:
        file: opened for reading bytes.
        name: of the file, for messages.
        unpickler: makes the unpickler of a file.

    Raises:
        UserError: where the pickle is damaged or cut off, or asks for anything but plain values; nothing that it
            asks for is run.

    >>> from io import BytesIO
    >>> load_plain(BytesIO(pickle.dumps({"labels": [1, 2]})), "batch")
    {'labels': [1, 2]}
    >>> load_plain(BytesIO(pickle.dumps(print)), "batch")
    Traceback (most recent call last):
    acenas.errors.UserError: batch was not loaded: it asks for builtins.print, which no file of plain data needs
    """
    try:
        return unpickler(file).load()
    except UserError as error:
        raise UserError(f"{name} was not loaded: {error}") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise UserError(f"{name} is damaged ({type(error).__name__}: {error}); get it again") from None
