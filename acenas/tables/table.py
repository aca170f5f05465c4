"""Opens benchmark tables and looks architectures up; reads the columns asked for, and verifies them."""

import difflib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.files import open_parquet, reading
from acenas.tables.arrow import equal, from_rows, from_strings, is_number, padded, text
from acenas.tables.schema import (
    ARCH,
    Checksums,
    TableMetadata,
    as_float64,
    check_archs,
    check_values,
    column_datasets,
    digest_column,
    unpack_metadata,
)

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_MAGIC = b"PAR1"


class NotATableError(UserError):
    """A sound Parquet file that is no benchmark table."""


@dataclass(frozen=True)
class Footer:
    """The footer of a table's file: everything but its rows."""

    path: Path
    rows: int
    columns: tuple[str, ...]
    metadata: TableMetadata
    checksums: Checksums | None


def read_footer(path: str | Path, space: str | None = None) -> Footer:
    """Reads the footer of the table at `path`, in about a millisecond.

    `space` is that of a file whose metadata name none, as others write it; its columns are in no unit.

    Raises:
        UserError: where there is no file, or it is a Git-LFS pointer, truncated, damaged or not Parquet; as
            `NotATableError` where it is Parquet but no benchmark table.
    """
    path = Path(path)
    _check_ends(path)
    with reading(path, _fetch_again(path)), open_parquet(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    try:
        packed = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: its metadata are not UTF-8; {_fetch_again(path)}") from error
    if space is not None and "space" not in packed:
        packed = {"space": space}
    names = tuple(schema.names)
    if ARCH not in names:
        raise NotATableError(
            f"{path} has no column {ARCH}, so it is not a benchmark table; name one, or make one with write_table"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path} has two columns {twice}; drop or rename one")
    try:
        metadata, checksums = unpack_metadata(packed)
    except UserError as error:
        kind = UserError if "space" in packed else NotATableError
        raise kind(f"{path}: {error}; {_fetch_again(path)}, or write it with write_table") from error
    if checksums is not None and set(checksums.columns) != set(names):
        changed = ", ".join(sorted(set(checksums.columns) ^ set(names)))
        raise UserError(f"{path}: wrong checksum: columns added or dropped ({changed}); {_fetch_again(path)}")
    return Footer(path, rows, names, metadata, checksums)


class ArchIndex:
    """Finds the rows of architectures in a table, by binary search in their sorted 64-bit hashes.

    It needs 16 bytes a row: a dictionary of 423,624 architectures would need several times the memory of the table.

    Args:
        archs: `pyarrow.ChunkedArray` of text without missing values.

    Raises:
        UserError: where an architecture is there twice.

    >>> import pyarrow as pa
    >>> index = ArchIndex(pa.chunked_array([["b", "a"]]))
    >>> index.rows(["a", "b", "c"]).tolist()
    [1, 0, -1]
    """

    def __init__(self, archs: Any) -> None:
        self._archs = archs
        longest = max((int(text(chunk)[0].max(initial=0)) for chunk in archs.chunks), default=0)
        self._width = max(8, -(-longest // 8) * 8)  # whole 64-bit words
        for salt in itertools.count(1):
            parts = [self._hash(part, salt) for part in archs.chunks]
            hashes = np.concatenate([np.zeros(0, np.uint64), *parts])
            self._salt, self._order = salt, np.argsort(hashes, kind="stable")
            self._hashes = hashes[self._order]
            same = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
            if not same.size:
                break
            first, second = self._order[same], self._order[same + 1]
            repeated = np.flatnonzero(equal(self._take(first), self._take(second)))
            if repeated.size:
                rows = first[repeated[0]], second[repeated[0]]
                name = self._take(first[repeated[:1]])[0]
                raise UserError(f"architecture {name} is there twice, in rows {rows[0]} and {rows[1]}")
            # Two architectures share a hash (probability 10^-8 for 400,000 of them): try another hash.

    def __len__(self) -> int:
        return len(self._order)

    def rows(self, archs: Sequence[str]) -> NDArray[np.int64]:
        """Returns ``[A]`` int64, the row of each of `archs`; -1 for those not in the table."""
        if not len(self) or not len(archs):
            return np.full(len(archs), -1, dtype=np.int64)
        asked = from_strings(archs)
        place = np.searchsorted(self._hashes, self._hash(asked, self._salt))
        rows = self._order[np.minimum(place, len(self) - 1)]
        return np.where(equal(self._take(rows), asked), rows, -1)

    def names(self) -> list[str]:
        """All architectures, in the order of the table."""
        return [str(arch) for arch in self._archs.to_pylist()]

    def _take(self, rows: NDArray[np.int64]) -> Any:
        return self._archs.take(from_rows(rows)).combine_chunks()

    def _hash(self, archs: Any, salt: int) -> NDArray[np.uint64]:
        """Returns ``[A]`` uint64: a hash of length and bytes of `archs`, cut to the length of the table's longest."""
        hashes = np.zeros(len(archs), np.uint64)
        for start in range(0, len(archs), 65536):  # in parts, since padding copies
            part = archs.slice(start, 65536)
            mixed = text(part)[0].astype(np.uint64) * np.uint64(salt)
            for word in padded(part, self._width).view(np.uint64).T:
                mixed = (mixed ^ word) * np.uint64(0x9E3779B97F4A7C15)
                mixed ^= mixed >> np.uint64(29)
            hashes[start : start + len(part)] = mixed
        return hashes


class BenchmarkTable:
    """A benchmark table, opened for reading.

    `open` reads and verifies the footer, the architectures and the columns asked for. Without `columns`, a column is
    read, verified and kept when it is first asked for; with them, no other one is ever read.
    """

    def __init__(self, footer: Footer, index: ArchIndex, columns: Sequence[str]) -> None:
        self._footer = footer
        self._index = index
        self._columns = tuple(columns)
        self._values: dict[str, NDArray[np.float64]] = {}

    @classmethod
    def open(
        cls, path: str | Path, *, space: str | None = None, columns: Sequence[str] | None = None
    ) -> "BenchmarkTable":
        """Opens the table at `path`.

        Args:
            path: a Parquet file of the schema in `acenas.tables.schema`.
            space: the search space that the table must be of, or that of a file which names none; None takes any.
            columns: the only columns (beside `arch`) that this object may read, and reads now; None allows all.

        Raises:
            UserError: where the file is missing, a Git-LFS pointer, truncated, damaged, not Parquet or not a
                table, is of another space, lacks a column, fails a checksum, or has an architecture twice.
        """
        footer = read_footer(path, space)
        if space is not None and footer.metadata.space != space:
            raise UserError(
                f"{path} holds architectures of the space {footer.metadata.space}, not {space}; "
                f"name a table of {space}, or search in {footer.metadata.space}"
            )
        allowed = footer.columns if columns is None else (ARCH, *(name for name in columns if name != ARCH))
        for name in allowed:
            if name not in footer.columns:
                raise UserError(_no_column(footer, name))
        archs = _read_column(footer, ARCH)
        try:
            check_archs(archs)
            index = ArchIndex(archs)
        except UserError as error:
            raise UserError(f"{path}: {error}; {_fetch_again(footer.path)}") from error
        table = cls(footer, index, allowed)
        for name in () if columns is None else table.columns:
            table.column(name)
        return table

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, space={self.metadata.space!r}, rows={len(self)})"

    def __len__(self) -> int:
        return len(self._index)

    @property
    def path(self) -> Path:
        """The file."""
        return self._footer.path

    @property
    def metadata(self) -> TableMetadata:
        """The table's metadata."""
        return self._footer.metadata

    @property
    def has_checksums(self) -> bool:
        """Whether the file carries checksums, so that an edited value is noticed."""
        return self._footer.checksums is not None

    @property
    def columns(self) -> list[str]:
        """Names of the columns that can be read, `arch` aside, in the order of the file."""
        return [name for name in self._columns if name != ARCH]

    @property
    def datasets(self) -> list[str]:
        """The data sets that the readable columns speak of, in alphabetic order."""
        return column_datasets(self.columns)

    @property
    def archs(self) -> list[str]:
        """All architectures, in the order of the file."""
        return self._index.names()

    def column(self, name: str) -> NDArray[np.float64]:
        """``[rows]`` float64, read-only: the whole column in the order of `archs`, NaN where a value is missing.

        Raises:
            UserError: where there is no such column, it holds text, or it fails its checksum.
        """
        if name not in self._values:
            values = as_float64(f"{name} of {self.path}", self.arrow_column(name))
            values.flags.writeable = False
            self._values[name] = values
        return self._values[name]

    def is_numeric(self, name: str) -> bool:
        """Whether `column` can be asked for `name`. Raises as `column` does."""
        return is_number(self.arrow_column(name).type)

    def arrow_column(self, name: str) -> Any:
        """The column as it is stored, a `pyarrow.ChunkedArray` of its own type. Raises as `column` does."""
        if name != ARCH and name not in self._columns:
            raise UserError(_no_column(self._footer, name, self._columns))
        return _read_column(self._footer, name)

    def lookup(self, archs: Sequence[str], column: str) -> NDArray[np.float64]:
        """``[A]`` float64: the column's values of `archs`, in their order, none of them missing.

        Raises:
            UserError: where an architecture is not in the table, has no value in this column, or as `column`.
        """
        values = self.column(column)[self.rows(archs)]
        missing = np.flatnonzero(np.isnan(values))
        if missing.size:
            raise UserError(
                f"{self.path}: column {column} has no value (NaN) for {_some(archs, missing)}; "
                "leave such architectures out, or choose a column that has all values"
            )
        return values

    def find(self, archs: Sequence[str]) -> NDArray[np.int64]:
        """``[A]`` int64: the rows of `archs`; -1 for what is not in the table."""
        return self._index.rows(archs)

    def rows(self, archs: Sequence[str]) -> NDArray[np.int64]:
        """``[A]`` int64: the rows of `archs`. Raises `UserError` where one of them is not in the table."""
        rows = self.find(archs)
        unknown = np.flatnonzero(rows < 0)
        if unknown.size:
            raise UserError(
                f"{self.path} does not know {_some(archs, unknown)}; it holds {len(self):,} architectures of "
                f"the space {self.metadata.space}" + (f", such as {self.archs[0]}" if len(self) else "")
            )
        return rows

    def check(self) -> None:
        """Checks the checksums and values of all readable columns. Raises as `check_values` and `column`."""
        for name in self.columns:
            values = self.arrow_column(name)
            try:
                check_values(name, values, self.metadata.unit)
            except UserError as error:
                raise UserError(f"{self.path}, {error}") from error


def _check_ends(path: Path) -> None:
    """Raises a `UserError` of its own for each damage that Parquet's reader reports alike."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS_POINTER))
            size = file.seek(0, 2)
            file.seek(max(0, size - len(_MAGIC)))
            tail = file.read()
    except FileNotFoundError as error:
        raise UserError(
            f"there is no table {path}; set data_dir or the environment variable ACENAS_DATA to the folder that "
            "holds it, or see `python -m acenas.tables list` for those at hand"
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; name a readable Parquet file") from error
    if head == _LFS_POINTER:
        raise UserError(
            f"{path} is a Git-LFS pointer, not the table itself; run `git lfs pull` in its folder"
        )
    if size == 0:
        raise UserError(f"{path} is empty; {_fetch_again(path)}")
    if not head.startswith(_MAGIC):
        raise UserError(f"{path} is not a Parquet file; name a benchmark table in Parquet")
    if tail != _MAGIC or size < 12:
        raise UserError(f"{path} is truncated: its end is missing; {_fetch_again(path)}")


def _read_column(footer: Footer, name: str) -> Any:
    """Returns the whole column as `pyarrow.ChunkedArray`, its checksum verified."""
    with reading(footer.path, _fetch_again(footer.path)), open_parquet(footer.path) as file:
        # Parquet takes "a.b" for all columns below a.b: asked for d.valid.9 it reads d.valid.9.s0 too.
        values = file.read(columns=[name]).column(name)
        values.validate(full=True)
    if footer.checksums is not None and digest_column(name, values) != footer.checksums.columns[name]:
        raise UserError(
            f"{footer.path}: wrong checksum: column {name} is not what was written, the file was edited or "
            f"damaged; {_fetch_again(footer.path)}"
        )
    return values


def _some(archs: Sequence[str], rows: NDArray[np.int64]) -> str:
    named = ", ".join(archs[int(row)] for row in rows[:3])
    return f"architecture {named}" + (f" and {rows.size - 3:,} more" if rows.size > 3 else "")


def _no_column(footer: Footer, name: str, readable: Sequence[str] | None = None) -> str:
    if readable is not None and name in footer.columns:
        return (
            f"column {name} of {footer.path} was not opened; only these were: "
            f"{', '.join(column for column in readable if column != ARCH) or 'none'}"
        )
    near = difflib.get_close_matches(name, footer.columns, n=3, cutoff=0.5)
    weak = "; choose others with weak_labels=[...], or weak_labels=[]" if name.startswith("weak.") else ""
    return (
        f"{footer.path} has no column {name}; "
        + (f"the nearest are {', '.join(near)}; " if near else "")
        + f"its data sets are {', '.join(column_datasets(footer.columns)) or 'none'}; "
        f"`python -m acenas.tables info {footer.path}` lists all columns{weak}"
    )


def _fetch_again(path: Path) -> str:
    return f"fetch or make {path.name} again"
