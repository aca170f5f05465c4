"""NAS-Bench-101 (Ying et al., ICML 2019, arXiv 1902.09635): `nasbench_only108.tfrecord` and `nasbench_full.tfrecord`.

A record is a JSON array: the cell's hash, the epochs of the training, the adjacency, the operations, and the metrics
as a protocol buffer in base64. The three trainings of a cell for so many epochs are three records, told apart by
nothing but their order.
"""

import binascii
import datetime
import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.files import reading
from acenas.tables.importers.files import check_file, reading_record, sha256
from acenas.tables.importers.kept import KeptParts
from acenas.tables.importers.tfrecord import framed_size, read_records
from acenas.tables.schema import TableMetadata, write_table

if TYPE_CHECKING:
    from acenas.spaces import NasBench101  # imports torch

EPOCHS = (4, 12, 36, 108)
"""The lengths of the trainings."""

OFFICIAL = {
    "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1": "nasbench_only108.tfrecord",
    "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c": "nasbench_full.tfrecord",
}
"""SHA-256 of the files that the benchmark's authors publish."""

_PART = 1 << 16  # records that a kill may cost, read in two seconds

WHAT = "nasbench_only108.tfrecord or nasbench_full.tfrecord"


class Metrics(NamedTuple):
    """What one training showed: accuracies as fractions, seconds of training alone, number of parameters."""

    epochs: float
    train_seconds: float
    valid: float
    test: float
    parameters: int


class Imported(NamedTuple):
    """What an import read."""

    records: int
    cells: int
    epochs: tuple[int, ...]
    official: str | None  # the name of the official file, where it is one


def import_nasbench101(
    path: str | Path, out: str | Path, cells: "NasBench101", progress: Callable[[int], object] | None = None
) -> Imported:
    """Turns the official file at `path` into a table at `out`.

    Cells are written in canonical form. For each number of epochs E that the file has, the table has

    - `cifar10.observed.E`: validation accuracy of the first training, which is what a search may see,
    - `cifar10.valid.E`, `cifar10.test.E`: mean accuracy of all trainings, and with `.s0`, `.s1`, `.s2` of each, where
      there are several: three in the official files, and as many of each cell in any other,
    - `cifar10.train_seconds.E`: mean seconds of a training,

    and `cifar10.params_m` and the official `module_hash`. Memory holds one row per cell, not the file. An import that
    was killed goes on where it was.

    Args:
        path: the TFRecord file.
        out: the Parquet file to make or replace.
        cells: the search space.
        progress: called now and then with the number of bytes read.

    Raises:
        UserError: as `read_records`, for a pointer file, records of another form or version, accuracies that are not
            fractions, a hash that is not the cell's, and cells with fewer trainings than others.
    """
    path = Path(path)
    check_file(path, WHAT)
    with reading(path), KeptParts(path, Path(out)) as kept:
        trainings, records = _read_all(path, kept, progress)
        try:
            archs = trainings.check(cells)
        except ValueError as error:
            raise UserError(f"{path}: {error}; fetch {WHAT} again") from error
        digest = sha256(path)
        official = OFFICIAL.get(digest)
        write_table(
            trainings.table(archs),
            out,
            TableMetadata(
                cells.name,
                source="NAS-Bench-101 (Ying et al., 2019, arXiv 1902.09635), "
                + (f"{official}" if official else f"{path.name}, which is not one of the official files"),
                date=datetime.date.today().isoformat(),
                provenance=f"imported by acenas from a file with SHA-256 {digest}; "
                + (
                    "trained on the first 40,000 training images of CIFAR-10, validated on the other 10,000"
                    if official
                    else f"{trainings.repeats} training(s) of each cell"
                ),
            ),
        )
    return Imported(records, len(archs), trainings.epochs, official)


def _read_all(
    path: Path, kept: KeptParts, progress: Callable[[int], object] | None
) -> tuple["_Trainings", int]:
    """Returns all trainings of the file, and the number of its records; those in `kept` are not read again."""
    trainings, records, position = _Trainings(), 0, 0
    for part, behind in kept.read():
        position = behind
        for key, length, written, *metrics in zip(*(one.to_pylist() for one in part.columns), strict=True):
            trainings.add(key, length, written, Metrics(*metrics))
        records += len(part)
    rows: list[tuple[bytes, int, str, Metrics]] = []
    for record in read_records(path, progress, start=(records, position)):
        with reading_record(f"{path}, record {records:,}", f"{WHAT} of NAS-Bench-101"):
            rows.append(_read(record))
            trainings.add(*rows[-1])
        records += 1
        position += framed_size(record)
        if len(rows) == _PART:
            kept.add(_as_table(rows), position)
            rows = []
    return trainings, records


def _as_table(rows: Sequence[tuple[bytes, int, str, Metrics]]) -> pa.Table:
    keys, lengths, written, metrics = zip(*rows, strict=True)
    columns = [keys, lengths, written, *zip(*metrics, strict=True)]
    return pa.table(list(map(pa.array, columns)), names=["key", "length", "written", *Metrics._fields])


class _Trainings:
    """The trainings of all cells, in arrays that grow with the number of cells."""

    def __init__(self) -> None:
        self._row: dict[bytes, int] = {}
        self._written: list[str] = []
        self._parameters: list[int] = []
        # By epochs: [cells, 3 trainings, (valid, test, seconds)]
        self._values: dict[int, NDArray[np.float64]] = {}
        self._count: dict[int, NDArray[np.uint8]] = {}  # epochs → [cells]

    @property
    def epochs(self) -> tuple[int, ...]:
        return tuple(sorted(self._values))

    @property
    def repeats(self) -> int:
        """Trainings of each cell for so many epochs, after `check`."""
        return max(int(count.max()) for count in self._count.values())

    def add(self, module_hash: bytes, epochs: int, written: str, metrics: Metrics) -> None:
        row = self._row.setdefault(module_hash, len(self._row))
        if row == len(self._written):
            self._written.append(written)
            self._parameters.append(metrics.parameters)
        if epochs not in self._values or row >= len(self._count[epochs]):
            self._grow(epochs, row)
        number = self._count[epochs][row]
        if number == 3:
            raise ValueError(f"it is the fourth training of cell {module_hash.hex()} for {epochs} epochs")
        self._values[epochs][row, number] = metrics.valid, metrics.test, metrics.train_seconds
        self._count[epochs][row] = number + 1

    def _grow(self, epochs: int, row: int) -> None:
        size = max(1024, row + row // 4 + 1)
        values, count = np.full((size, 3, 3), np.nan), np.zeros(size, np.uint8)
        if epochs in self._values:
            values[: len(self._values[epochs])] = self._values[epochs]
            count[: len(self._count[epochs])] = self._count[epochs]
        self._values[epochs], self._count[epochs] = values, count

    def check(self, cells: "NasBench101") -> list[str]:
        """Returns the cells in canonical form. Raises `ValueError` where something is missing or does not fit."""
        if not self._written:
            raise ValueError("it has no records")
        for epochs, count in self._count.items():
            whole = np.zeros(len(self._written), np.uint8)
            whole[: len(count)] = count[: len(whole)]
            fewer = whole < self.repeats
            if fewer.any():
                row = int(fewer.argmax())
                raise ValueError(
                    f"it has {whole[row]} of the {self.repeats} trainings for {epochs} epochs of cell "
                    f"{self._written[row]} (and {fewer.sum() - 1:,} more cells lack some)"
                )
        hashes = _in_parts(cells.hash_all, self._written)
        for cell, given, found in zip(self._written, self._row, hashes, strict=True):
            if given.hex() != found:
                raise ValueError(f"cell {cell} is filed under {given.hex()}, but its hash is {found}")
        return list(_in_parts(cells.canonical_all, self._written))

    def table(self, archs: list[str]) -> pa.Table:
        columns = {"arch": pa.array(archs), "module_hash": pa.array([key.hex() for key in self._row])}
        for epochs in self.epochs:
            values = self._values[epochs][: len(archs), : self.repeats]
            # Whole numbers of images and TPU arithmetic lie behind these: six digits keep all of it.
            percent = np.round(100 * values[:, :, :2], 6)
            columns[f"cifar10.observed.{epochs}"] = pa.array(percent[:, 0, 0])
            for place, split in enumerate(("valid", "test")):
                columns[f"cifar10.{split}.{epochs}"] = pa.array(percent[:, :, place].mean(axis=1))
                for training in range(self.repeats if self.repeats > 1 else 0):
                    columns[f"cifar10.{split}.{epochs}.s{training}"] = pa.array(percent[:, training, place])
            columns[f"cifar10.train_seconds.{epochs}"] = pa.array(values[:, :, 2].mean(axis=1))
        columns["cifar10.params_m"] = pa.array(np.array(self._parameters) / 1e6)
        return pa.table(columns)


def _in_parts(function: Callable[[Sequence[str]], list[str]], archs: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(archs), 65536):
        yield from function(archs[start : start + 65536])


# --- one record ---


def _read(record: bytes) -> tuple[bytes, int, str, Metrics]:
    """Returns hash, epochs, cell as it is written, and metrics. Raises `ValueError`."""
    try:
        module_hash, epochs, adjacency, operations, encoded = json.loads(record)
        key = bytes.fromhex(module_hash)
        metrics = decode_metrics(binascii.a2b_base64(encoded))
        arch = f"{adjacency}:{operations}"
    except (ValueError, TypeError, struct.error, IndexError) as error:
        raise ValueError(f"it is not [hash, epochs, adjacency, operations, metrics] ({error})") from error
    if epochs not in EPOCHS:
        raise ValueError(
            f"it is of a training for {epochs!r:.200} epochs, and there are {', '.join(map(str, EPOCHS))}"
        )
    if not abs(metrics.epochs - epochs) <= 0.1 * epochs:
        raise ValueError(f"its metrics end after {metrics.epochs:g} of {epochs} epochs")
    for name, value in (("validation", metrics.valid), ("test", metrics.test)):
        if not 0 <= value <= 1:
            raise ValueError(f"its {name} accuracy is {value:g}, and the file holds fractions from 0 to 1")
    if not (math.isfinite(metrics.train_seconds) and metrics.train_seconds >= 0 and metrics.parameters > 0):
        raise ValueError(
            f"{metrics.train_seconds:g} seconds and {metrics.parameters} parameters are no costs"
        )
    return key, epochs, arch, metrics


_DOUBLE = struct.Struct("<d")


def decode_metrics(message: bytes) -> Metrics:
    """Reads a `ModelMetrics` message (`nasbench/lib/model_metrics.proto`): the last of its evaluations, and its costs.

    Raises:
        ValueError, IndexError, struct.error: where it is none, or is cut off.
    """
    evaluations, parameters = [], 0
    for field, value in _fields(message):
        if field == 1 and isinstance(value, bytes):
            evaluations.append(value)
        elif field == 2 and isinstance(value, int):
            parameters = value
    if len(evaluations) < 3:  # at the start, halfway and at the end
        raise ValueError(f"it has {len(evaluations)} evaluation(s) instead of 3")
    last = {field: value for field, value in _fields(evaluations[-1]) if isinstance(value, float)}
    return Metrics(last.get(1, 0.0), last.get(2, 0.0), last.get(4, 0.0), last.get(5, 0.0), parameters)


def _fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yields (number, value) of each field, by the wire format of protocol buffers; 64-bit values are doubles."""
    place, end = 0, len(message)
    while place < end:
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 1:
            yield tag >> 3, _DOUBLE.unpack_from(message, place)[0]
            place += 8
        elif kind == 0:
            number, place = _varint(message, place)
            yield tag >> 3, number
        elif kind == 2:
            length, place = _varint(message, place)
            yield tag >> 3, message[place : place + length]
            place += length
        elif kind == 5:
            place += 4  # a 32-bit value: this format has none
        else:
            raise ValueError(f"its metrics are no protocol buffer (wire type {kind})")
    if place > end:
        raise ValueError("its metrics are cut off")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Returns the whole number at `place`, seven bits a byte, and the place behind it."""
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return number, place
        shift += 7
