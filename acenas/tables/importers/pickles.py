"""Pickles of official files, read without running what a pickle may ask for."""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from acenas.errors import UserError

SCALAR = cast(
    Callable[..., Any], np.float64(0).__reduce__()[0]
)  # what makes a scalar, wherever NumPy keeps it


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 spells bytes in a pickle of protocol 2."""
    if encoding != "latin1":
        raise UserError(f"it holds bytes encoded as {encoding}")
    return text.encode("latin1")


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy.core.multiarray", "scalar"): SCALAR,
    ("numpy._core.multiarray", "scalar"): SCALAR,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
}


class PlainUnpickler(pickle.Unpickler):
    """Loads what Python has built in (dict, list, str, numbers ...) and NumPy's scalars, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle asks for by name. Raises `UserError` for all but `_ALLOWED`."""
        if (module, name) not in _ALLOWED:
            raise UserError(f"it asks for {module}.{name}, which no file of plain results needs")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """What a pickle keeps elsewhere, such as tensors. Raises `UserError`: results have none."""
        raise UserError("it holds tensors, which no file of plain results does")


def load_plain(file: BinaryIO, path: Path) -> Any:
    """The content of a pickle.

    Args:
        file: opened for reading bytes.
        path: of the file, for messages.

    Raises:
        UserError: where the pickle is damaged or cut off, or asks for anything but plain values: nothing of it is run.
    """
    try:
        return PlainUnpickler(file).load()
    except UserError as error:
        raise UserError(f"{path} was not loaded: {error}") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}); get it again") from None
