"""Files: written whole or not at all, whenever the process is killed, and read without running what they ask for."""

import errno
import io
import json
import logging
import math
import os
import pickle
import secrets
import shutil
import tempfile
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, cast

from acenas.errors import UserError

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import pandas as pd  # a second to import, and most commands read no frame
    from filelock import BaseFileLock

ROOM = 1 << 20
"""Bytes of a disk below which it counts as full."""


def own_configs() -> Path | None:
    """Returns the folder of the user's own configurations, which `ACENAS_CONF` names; None where it names none.

    Raises:
        UserError: where there is no such folder.
    """
    named = os.environ.get("ACENAS_CONF")
    if not named:
        return None
    folder = Path(named).expanduser().absolute()
    if not folder.is_dir():
        raise UserError(
            f"ACENAS_CONF={named}: there is no such folder; name that of your configs, or unset it"
        )
    return folder


def is_full(folder: str | Path) -> bool:
    """Whether the disk of `folder` is full; not every library raises an error where it could not write."""
    return shutil.disk_usage(folder).free < ROOM


# --- writing ---


@contextmanager
def atomic_path(path: str | Path, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path in the same folder, and renames it to `path` when the block ends without an error.

    Removes the temporary file where the block raises. Makes the folder where it is missing. With `durable` the file is
    on the disk when this returns: what is written afterwards is never there without it, whatever becomes of the
    machine.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A random name: processes of several containers or machines may have the same number.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path, below: bool = False) -> None:
    """Removes what `atomic_path` of processes that were killed has left in `folder`, and `below` it."""
    for path in (folder.rglob if below else folder.glob)(".*.tmp"):
        path.unlink(missing_ok=True)


_NOT_FOR_THIS = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EPERM, errno.EBADF)


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk; not every file system and folder can tell."""
    try:
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno not in _NOT_FOR_THIS:
            raise


def write_text(path: str | Path, text: str, durable: bool = True) -> None:
    """Writes `text` to `path` atomically, as UTF-8; `durable` as in `atomic_path`."""
    with atomic_path(path, durable) as temporary:
        temporary.write_text(
            text, encoding="utf-8", errors="backslashreplace"
        )  # names of files may be no UTF-8


def lock_of(file: Path) -> "BaseFileLock":
    """A lock of `filelock`, which ends with its process, however that ends. Makes the folder where it is missing.

    Where the file system has no locks (Lustre may be mounted so, or NFS), a file beside it says who holds it.
    """
    from filelock import FileLock, SoftFileLock

    file.parent.mkdir(parents=True, exist_ok=True)
    if (kind := _flock_error(file.parent)) is None:
        return FileLock(file)
    log.warning("%s has no locks (%s); %s.held stands for one", file.parent, kind, file)
    return SoftFileLock(f"{file}.held")


def is_held(file: Path) -> bool:
    """Whether a process of this machine holds the lock of `file`; asking disturbs none that does or wants to."""
    from filelock import Timeout

    try:
        import fcntl

        with file.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: others may ask at the same time
        return False
    except BlockingIOError:
        return True
    except (ImportError, OSError):  # Windows, or a file system without locks
        try:
            with lock_of(file).acquire(timeout=0):
                pass
        except Timeout:
            return True
        file.touch()  # where releasing the lock removed it
        return False


def _flock_error(folder: Path) -> str | None:
    """Why files of a folder cannot be locked; None where they can, or where nothing can be written."""
    try:
        import fcntl

        with tempfile.TemporaryFile(dir=folder) as probe:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows has others
        return None
    except OSError as error:
        return error.strerror if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK) else None
    return None


def number(value: float | None, digits: int = 2) -> str:
    """A number with so many digits; a dash where it is unknown."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def shown(value: float | None, unit: str) -> str:
    """A value with its unit: two decimals of percent, five digits of anything else; a dash where it is unknown.

    >>> shown(93.104, "%"), shown(0.031479, ""), shown(12.5, "ms")
    ('93.10 %', '0.031479', '12.5 ms')
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.2f} %" if unit == "%" else f"{value:.5g} {unit}".rstrip()


# --- reading ---

GET_AGAIN = "get it again"


@contextmanager
def reading(what: str | Path, remedy: str = GET_AGAIN) -> Iterator[None]:
    """Turns whatever a file leads to that cannot be read into one `UserError`, with its name and what to do about it.

    >>> with reading("notes.json", "remove it"):
    ...     json.loads("{")
    Traceback (most recent call last):
    acenas.errors.UserError: notes.json is damaged, or not what is due here (Expecting property name ...); remove it
    """
    try:
        if isinstance(what, Path) and what.exists() and not (what.is_file() or what.is_dir()):
            raise ValueError("a pipe or a device, which may have no end")
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"there is no file {what}; name one, or make it first") from error
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise UserError(f"{what} cannot be read ({error.strerror}); make it a file that can be") from error
    except Exception as error:  # a damaged file can fail in any way
        reason = (str(error).splitlines() or [""])[0].split(". ")[0][:200]
        if not reason or isinstance(error, LookupError):
            reason = f"{type(error).__name__} {reason}".strip()
        raise UserError(f"{what} is damaged, or not what is due here ({reason}); {remedy}") from error


Kind = Any
"""What a value of JSON must be: a type or several, `[kind]` for a list, a mapping of names to kinds for an object. In
that `name?` need not be there, and the kind of `str` is that of all other names, which may be anything without it."""

_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}


def read_json(path: Path, kind: Kind, remedy: str = GET_AGAIN) -> Any:
    """Reads a JSON file. Raises `UserError` where it is damaged, or not of that kind; see `reading`."""
    with reading(path, remedy):
        return parse_json(path.read_bytes(), kind)


def parse_json(text: str | bytes, kind: Kind) -> Any:
    """Returns the value of JSON in UTF-8.

    Raises:
        ValueError, RecursionError: where it is none, or not of that kind.

    >>> parse_json('{"arch": "a", "value": "b"}', {"arch": str, "value": float})
    Traceback (most recent call last):
    ValueError: its value is 'b', not a number
    """
    value = json.loads(text)
    check_kind(value, kind)
    return value


def check_kind(value: Any, kind: Kind, place: str = "") -> None:
    """Raises `ValueError` that names the place where `value` is not of this kind."""
    where = f"its {place}" if place else "it"
    if isinstance(kind, tuple) and isinstance(kind[0], Mapping):
        if value is None and type(None) in kind:
            return
        kind = kind[0]
    if isinstance(kind, Mapping):
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {value!r:.50}, not an object")
        for name in (name for name in kind if isinstance(name, str) and name not in value):
            if not name.endswith("?"):
                raise ValueError(f"{where} has no {name}")
        for name, one in value.items():
            check_kind(
                one, kind.get(name, kind.get(f"{name}?", kind.get(str, object))), f"{place}.{name}".strip(".")
            )
    elif isinstance(kind, list):
        if not isinstance(value, list):
            raise ValueError(f"{where} is {value!r:.50}, not a list")
        for index, one in enumerate(value):
            check_kind(one, kind[0], f"{place}[{index}]")
    else:
        kinds = kind if isinstance(kind, tuple) else (kind,)
        fits = type(value) in kinds or object in kinds
        if type(value) is int:  # a whole number is a number, and one that no float can hold is none
            fits = object in kinds or (not {int, float}.isdisjoint(kinds) and abs(value) < 1 << 63)
        if not fits:
            names = " or ".join(_KINDS.get(one, "an object") for one in kinds)
            raise ValueError(f"{where} is {value!r:.50}, not {names}")


def open_parquet(path: Path) -> Any:
    """Opens a Parquet file as `pyarrow.parquet.ParquetFile`; raises `UserError` for a bomb, and whatever damage may."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path, page_checksum_verification=True)
    if file.metadata.num_rows > 100_000_000:
        raise UserError(
            f"{path} has {file.metadata.num_rows:,} rows, as no table of architectures or images does"
        )
    return file


_ARROW = {
    "text": ("string", "large_string"),
    "numbers": ("int", "uint", "double", "float"),
    "truths": ("bool",),
}


def read_frame(path: Path, columns: Mapping[str, str], remedy: str = GET_AGAIN) -> "pd.DataFrame":
    """Reads a Parquet file that was written here.

    Args:
        path: of the file.
        columns: that it must have, each with its kind, `text`, `numbers` or `truths`.
        remedy: see `reading`.

    Raises:
        UserError: where it is damaged, or lacks a column of that kind.
    """
    import pandas as pd

    with reading(path, remedy), open_parquet(path) as file:
        for name, kind in columns.items():
            found = str(file.schema_arrow.field(name).type)
            if not found.startswith(_ARROW[kind]):
                raise ValueError(f"its column {name} holds {found}, not {kind}")
        return pd.read_parquet(path)


def read_state(path: Path, remedy: str) -> Any:
    """Reads what `torch.save` wrote, tensors and plain values, on the CPU; runs nothing. Raises as `reading`."""
    import torch

    with reading(path, remedy):
        return torch.load(path, map_location="cpu", weights_only=True)


class _Bounded(io.RawIOBase):
    """The content of a compressed file, up to so many bytes."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise UserError("it unpacks to more than a hundred times its size, as no file of data does")
        buffer[: len(content)] = content
        return len(content)


def unpacked(file: BinaryIO, packed_bytes: int) -> BinaryIO:
    """The content of a compressed file of so many bytes, buffered. Reading on raises `UserError` for a bomb."""
    raw = _Bounded(file, (1 << 26) + 100 * packed_bytes)
    return cast(BinaryIO, io.BufferedReader(raw, 1 << 20))  # archives hand out a few bytes at a time slowly


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


def _load_setitems(unpickler: Any) -> None:
    """Fills a dict with items, a thousand at most."""
    pickle._Unpickler.dispatch[pickle.SETITEMS[0]](unpickler)
    if unpickler.shrink is not None and type(unpickler.stack[-1]) is dict:
        unpickler.shrink(unpickler.stack[-1])


def _load_tuple(code: int, unpickler: Any) -> None:
    """Makes a tuple. In tuples within tuples a few bytes can repeat others so often that a hash takes for ever."""
    pickle._Unpickler.dispatch[code](unpickler)
    inner = [part for part in unpickler.stack[-1] if type(part) is tuple]
    if any(type(part) is tuple for parts in inner for part in parts):
        raise UserError("it holds tuples in tuples in tuples, which no file of plain data does")


class _PlainUnpickler(pickle._Unpickler):
    """Loads plain values and nothing else. Strings of Python 2 are read as Latin-1.

    It is Python's own unpickler in Python, several times slower than that in C, whose memory a few damaged bytes can
    fill: here values are numbered without large gaps, and tuples, which keys of dicts are made of, are not deep.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **pickle._Unpickler.dispatch,
        pickle.SETITEMS[0]: _load_setitems,
        **{
            code[0]: partial(_load_tuple, code[0])
            for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
        },
    }

    def __init__(self, file: BinaryIO, shrink: Callable[[dict[Any, Any]], object] | None) -> None:
        super().__init__(file, encoding="latin1")
        self.memo = _Memo()
        self.shrink = shrink

    def find_class(self, module: str, name: str) -> Any:
        """Returns the class or function that a pickle names. Raises `UserError` for all but `_allowed`."""
        if (module, name) not in _allowed():
            raise UserError(f"it asks for {module}.{name}, which no file of plain data needs")
        return _allowed()[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Raises `UserError` for what is stored outside the pickle, such as tensors."""
        raise UserError("it holds tensors, which no file of plain data does")


class _Memo:
    """The values that a pickle may refer back to, by number.

    Equal strings, of which large files have millions, are kept once.
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


def load_plain(
    file: BinaryIO, name: str | Path, shrink: Callable[[dict[Any, Any]], object] | None = None
) -> Any:
    """Returns the content of a pickle of plain values: built-in types (dict, list, str, numbers ...) and NumPy's.

    Args:
        file: opened for reading bytes.
        name: of the file, for messages.
        shrink: is called with each dict once it is filled and may take items out of it, or replace them: pickles of
            gigabytes are then read in little memory.

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
        with reading(name):
            return _PlainUnpickler(file, shrink).load()
    except UserError as error:
        if error.__cause__ is not None:
            raise
        raise UserError(f"{name} was not loaded: {error}") from None
