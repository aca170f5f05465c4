"""Keeps what an import has read beside the table that it makes, so that a killed import continues."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from acenas.errors import UserError
from acenas.files import atomic_path, reading, write_text


class KeptParts:
    """Keeps rows in Parquet parts, each with the position in the source behind its last row.

    Parts are used only for a source of the same path, size and time of change. The context manager removes them when
    the block ends or raises an `Exception`; they remain where the process is killed or interrupted.

    Args:
        source: the file or folder to import.
        out: the table to be.
    """

    def __init__(self, source: Path, out: Path) -> None:
        self._folder = out.with_name(f".{out.name}.import")
        status = source.stat()
        identity = json.dumps([str(source.resolve()), status.st_size, status.st_mtime_ns])
        source_file = self._folder / "source.json"
        if not source_file.exists() or source_file.read_bytes() != identity.encode():
            self._remove()
            write_text(source_file, identity)
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            self._remove()

    def read(self) -> Iterator[tuple[pa.Table, int]]:
        """Yields the parts in order, and the position behind each."""
        while (path := self._path(self._count)).exists():
            try:
                with reading(path):
                    table = pq.read_table(path)
                    position = int(table.schema.metadata[b"position"])
            except UserError:
                return  # it is read again from the source
            self._count += 1
            yield table, position

    def add(self, rows: pa.Table, position: int) -> None:
        """Adds a part; `read` must be exhausted before."""
        with atomic_path(self._path(self._count)) as temporary:
            pq.write_table(rows.replace_schema_metadata({"position": str(position)}), temporary)
        self._count += 1

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.parquet"

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
