"""The schema of all benchmark tables: names of columns, metadata, checksums, and writing a table.

A table is one Parquet file. Its column `arch` holds the architectures. The names of the other columns state their
content:

| column | holds |
|---|---|
| `<dataset>.<valid or test or observed>.<epochs>` | accuracy in percent, mean over the training seeds |
| the same with `.s<seed>` | accuracy in percent of the training with that seed |
| `<dataset>.train_seconds.<epochs>` | what that training costs |
| `<dataset>.params_m`, `<dataset>.flops_m` | millions of parameters, of operations for one image (see below) |
| `<dataset>.latency_ms.<device>` | milliseconds on that device |
| `weak.<name>` | a weak label |
| anything else | whatever its source says, such as the benchmark's own index |

What counts as an operation differs between sources, and an import keeps the numbers of its source:

- the official files of NAS-Bench-201 and AceNAS': multiply-adds of convolutions and linear layers, as `Cost.macs_m` of
  `acenas.spaces.cost` counts them; the cell with index 0 of NAS-Bench-201 has 15.64737 million on CIFAR-10;
- tables measured by acenas, such as `nb201_digits`: `Cost.flops_m`, which counts batch normalisation, ReLU and pooling
  as well; the same cell has 17.958592 million;
- NDS: the `flops` of its files, which do not say what they count.

So FLOPs may be compared within one table only.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from acenas.errors import UserError
from acenas.files import atomic_path
from acenas.tables.arrow import is_number, is_text, numbers, present, text

if TYPE_CHECKING:
    import pandas as pd  # a second to import, so only those who have a frame pay for it

ARCH = "arch"
"""Name of the column that holds the architectures."""

Split = Literal["valid", "test", "observed"]
"""`valid` and `observed` are what a search may see; `test` is what only a report may show."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy in percent after `epochs` epochs: the mean over seeds, or of one training seed."""

    dataset: str
    split: Split
    epochs: int
    seed: int | None = None

    def __str__(self) -> str:
        return f"{self.dataset}.{self.split}.{self.epochs}" + ("" if self.seed is None else f".s{self.seed}")


@dataclass(frozen=True)
class TrainSeconds:
    """Seconds that training for `epochs` epochs takes."""

    dataset: str
    epochs: int

    def __str__(self) -> str:
        return f"{self.dataset}.train_seconds.{self.epochs}"


@dataclass(frozen=True)
class Parameters:
    """Millions of trainable parameters."""

    dataset: str

    def __str__(self) -> str:
        return f"{self.dataset}.params_m"


@dataclass(frozen=True)
class Flops:
    """Millions of operations for one image, counted as the source of the table does."""

    dataset: str

    def __str__(self) -> str:
        return f"{self.dataset}.flops_m"


@dataclass(frozen=True)
class Latency:
    """Milliseconds on `device`."""

    dataset: str
    device: str

    def __str__(self) -> str:
        return f"{self.dataset}.latency_ms.{self.device}"


@dataclass(frozen=True)
class Weak:
    """A weak label, in any unit: only its order means anything."""

    name: str

    def __str__(self) -> str:
        return f"weak.{self.name}"


@dataclass(frozen=True)
class Other:
    """A column outside the grammar, which acenas copies and never interprets."""

    name: str

    def __str__(self) -> str:
        return self.name


Column = Accuracy | TrainSeconds | Parameters | Flops | Latency | Weak | Other

_WORD = r"[A-Za-z0-9_-]+"
_NUMBER = r"(?:0|[1-9][0-9]*)"
_ACCURACY = re.compile(rf"({_WORD})\.(valid|test|observed)\.({_NUMBER})(?:\.s({_NUMBER}))?")
_TRAIN_SECONDS = re.compile(rf"({_WORD})\.train_seconds\.({_NUMBER})")
_COUNT = re.compile(rf"({_WORD})\.(params_m|flops_m)")
_LATENCY = re.compile(rf"({_WORD})\.latency_ms\.({_WORD})")
_WEAK = re.compile(rf"weak\.({_WORD}(?:\.{_WORD})*)")


def parse_column(name: str) -> Column:
    """Parses the name of a column; `str()` of the result is `name` again.

    >>> parse_column("cifar10.valid.200")
    Accuracy(dataset='cifar10', split='valid', epochs=200, seed=None)
    >>> parse_column("digits.test.10.s1").seed
    1
    >>> parse_column("weak.supernet.c16.e1000.s0")
    Weak(name='supernet.c16.e1000.s0')
    >>> parse_column("index")
    Other(name='index')
    """
    if match := _WEAK.fullmatch(name):
        return Weak(match[1])
    if match := _ACCURACY.fullmatch(name):
        seed = None if match[4] is None else int(match[4])
        return Accuracy(match[1], cast(Split, match[2]), int(match[3]), seed)
    if match := _TRAIN_SECONDS.fullmatch(name):
        return TrainSeconds(match[1], int(match[2]))
    if match := _COUNT.fullmatch(name):
        return Parameters(match[1]) if match[2] == "params_m" else Flops(match[1])
    if match := _LATENCY.fullmatch(name):
        return Latency(match[1], match[2])
    return Other(name)


@dataclass(frozen=True)
class Provenance:
    """Where the values of one column come from.

    Attributes:
        images: the images they were measured on, such as "CIFAR-10 test images" or "one batch of noise".
        weights: the weights they were measured with, such as "super-net of 16 channels, 1000 epochs".
        duration: how long that took, such as "0.4 CPU-seconds an architecture".
    """

    images: str = "not recorded"
    weights: str = "not recorded"
    duration: str = "not recorded"


@dataclass(frozen=True)
class TableMetadata:
    """The metadata of a table.

    Attributes:
        space: the name of the search space, `SearchSpace.name`.
        unit: the unit of accuracies; "percent" is the only one accepted.
        source: the publication or the command that the values come from.
        licence: under which the values may be used.
        date: when they were measured or imported, in ISO 8601.
        provenance: how they were measured, in words.
        columns: the provenance of single columns, most of all of weak labels.
    """

    space: str
    unit: str = "percent"
    source: str = ""
    licence: str = ""
    date: str = ""
    provenance: str = ""
    columns: Mapping[str, Provenance] = field(default_factory=dict)


_KEYS = {
    "space": "space",
    "unit": "accuracy_unit",
    "source": "source",
    "licence": "licence",
    "date": "date",
    "provenance": "provenance",
}
"""Attribute of `TableMetadata` → key in the Parquet file."""


@dataclass(frozen=True)
class Checksums:
    """SHA-256 of a table's content, independent of how Parquet encodes it.

    Each column has its own, so that a reader of two columns verifies these two. `whole` covers them and the metadata,
    so that any column or metadata added, dropped or changed is noticed.
    """

    columns: Mapping[str, str]
    whole: str


def pack_metadata(metadata: TableMetadata, columns: Mapping[str, str]) -> dict[str, str]:
    """Returns the Parquet key-value metadata of a table whose columns have these digests."""
    packed = {key: getattr(metadata, name) for name, key in _KEYS.items() if getattr(metadata, name)}
    if metadata.columns:
        packed["columns"] = json.dumps({name: asdict(value) for name, value in metadata.columns.items()})
    packed["sha256_columns"] = json.dumps(columns)
    packed["sha256"] = _digest_metadata(packed)
    return packed


def unpack_metadata(packed: Mapping[str, str]) -> tuple[TableMetadata, Checksums | None]:
    """Reads what `pack_metadata` returned. Tables that others wrote may have no checksums.

    Raises:
        UserError: where a required key is missing, does not parse, or does not fit the checksum of the whole.
    """
    if "space" not in packed:
        raise UserError("its metadata name no search space, so it is not a benchmark table")
    plain = {name: packed[key] for name, key in _KEYS.items() if key in packed}
    unit = plain.get("unit", "none")
    if unit != "percent":
        raise UserError(f"the unit of its accuracies (metadata key accuracy_unit) is {unit}, not percent")
    try:
        columns = {
            str(name): Provenance(**{key: str(said) for key, said in value.items()})
            for name, value in json.loads(packed.get("columns", "{}")).items()
        }
        digests = {
            str(name): str(value) for name, value in json.loads(packed.get("sha256_columns", "{}")).items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"its metadata cannot be read ({error})") from error
    metadata = TableMetadata(**plain, columns=columns)
    if "sha256" not in packed:
        return metadata, None
    if packed["sha256"] != _digest_metadata(packed):
        raise UserError("wrong checksum: its metadata are not the ones it was written with")
    return metadata, Checksums(digests, packed["sha256"])


def _digest_metadata(packed: Mapping[str, str]) -> str:
    covered = {*_KEYS.values(), "columns", "sha256_columns"}
    lines = json.dumps({key: value for key, value in packed.items() if key in covered}, sort_keys=True)
    return hashlib.sha256(lines.encode()).hexdigest()


def digest_column(name: str, values: Any) -> str:
    """Returns the SHA-256 (hexadecimal) of a column's name, type, values and missing values, in the order of the rows.

    It does not depend on how the values are split into chunks, encoded and compressed.

    Args:
        name: the column's name.
        values: `pyarrow.ChunkedArray` of strings, booleans, integers or floats.
    """
    kind = "text" if is_text(values.type) else str(values.type)
    filled, sizes, data = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    for chunk in values.chunks:
        filled.update(present(chunk).tobytes())
        if kind == "text":
            lengths, joined = text(chunk)
            sizes.update(lengths.tobytes())
            data.update(joined.data)
        else:
            data.update(numbers(chunk).tobytes())
    parts = (name, kind, str(len(values)), filled.hexdigest(), sizes.hexdigest(), data.hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def check_values(name: str, values: Any) -> None:
    """Checks that a column's values fit its name.

    Args:
        name: the column's name.
        values: `pyarrow.ChunkedArray`, all rows.

    Raises:
        UserError: for text where a number is due, infinite values, accuracies outside 0 to 100, and missing
            (or NaN) accuracies. Accuracies of one seed, weak labels, costs and latencies may be missing.
    """
    column = parse_column(name)
    if name == ARCH or isinstance(column, Other):
        return
    floats = as_float64(name, values)
    if np.isinf(floats).any():
        row = int(np.flatnonzero(np.isinf(floats))[0])
        raise UserError(f"column {name}: row {row} is infinite; leave the value out where there is none")
    if not isinstance(column, Accuracy):
        return
    missing = np.flatnonzero(np.isnan(floats))
    if missing.size and column.seed is None:
        raise UserError(
            f"column {name}: {missing.size:,} of {floats.size:,} accuracies are missing (NaN), the first in "
            f"row {missing[0]}; measure them, or leave these architectures out of the table"
        )
    outside = np.flatnonzero((floats < 0) | (floats > 100))
    if outside.size:
        raise UserError(
            f"column {name}: row {outside[0]} holds {floats[outside[0]]:g}, but accuracies are in percent, "
            "0 to 100; convert them"
        )


def as_float64(name: str, values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Converts a numeric `pyarrow.ChunkedArray` to float64, with NaN where a value is missing.

    Raises:
        UserError: where the column does not hold numbers.
    """
    if not is_number(values.type):
        raise UserError(f"column {name} holds {values.type}, not numbers; ask for a column of numbers")
    floats = np.concatenate([np.zeros(0), *(numbers(chunk).astype(np.float64) for chunk in values.chunks)])
    if values.null_count:
        floats[~np.concatenate([present(chunk) for chunk in values.chunks])] = np.nan
    return floats


def check_archs(values: Any) -> None:
    """Checks that the column of architectures is text and that none is missing (`ArchIndex` finds duplicates).

    Raises:
        UserError: where either is not so; names the rows.
    """
    if not is_text(values.type):
        raise UserError(f"column {ARCH} holds {values.type}, not text")
    if not len(values):
        raise UserError(f"column {ARCH} names no architecture at all")
    missing = sum(int((text(chunk)[0] == 0).sum()) for chunk in values.chunks)
    if missing:
        raise UserError(f"column {ARCH}: {missing:,} rows name no architecture; remove them")


def write_table(frame: "pa.Table | pd.DataFrame", path: str | Path, metadata: TableMetadata) -> None:
    """Writes a benchmark table atomically, with checksums of its content in its metadata.

    Args:
        frame: one row per architecture, with a column `arch` of text; `pandas.DataFrame` (its index is not
            kept) or `pyarrow.Table`. NaN is written as a missing value.
        path: the Parquet file to make or replace.
        metadata: of the table.

    Raises:
        UserError: where the frame breaks the schema: no architectures, one twice, an accuracy outside 0 to 100
            or missing, or provenance for a column that is not there; or where the file cannot be written.
    """
    try:
        table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)
        _write(_normalised(table), Path(path), metadata)
    except (UserError, pa.ArrowException, OSError) as error:
        raise UserError(f"{path} was not written: {error}") from error


def _normalised(table: Any) -> Any:
    """Returns the table with plain column types, and missing values in place of NaN."""
    columns = {}
    for name, values in zip(table.column_names, table.columns, strict=True):
        if name in columns:
            raise UserError(f"there are two columns {name}; drop or rename one")
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if pa.types.is_floating(values.type):
            missing = pc.fill_null(pc.is_nan(values), True)
            values = pc.if_else(missing, pa.scalar(None, values.type), values)
        elif not (is_text(values.type) or is_number(values.type)):
            raise UserError(f"column {name} holds {values.type}, but a table holds text and numbers only")
        columns[name] = values
    return pa.table(columns)


def _write(table: Any, path: Path, metadata: TableMetadata) -> None:
    if ARCH not in table.column_names:
        raise UserError(f"there is no column {ARCH} that names the architectures")
    archs = table.column(ARCH)
    check_archs(archs)
    counts = pc.value_counts(archs)
    if len(counts) < len(archs):
        repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
        raise UserError(f"architecture {repeated[0]} is there more than once; keep one row of each")
    for name in table.column_names:
        check_values(name, table.column(name))
    for name in metadata.columns:
        if name not in table.column_names:
            raise UserError(f"the metadata describe a column {name} that is not there")
    digests = {name: digest_column(name, table.column(name)) for name in table.column_names}
    packed = pack_metadata(metadata, digests)
    unpack_metadata(packed)  # raises where a reader would refuse the metadata
    with atomic_path(path) as temporary:
        # Pages carry their own checksums too, so that a damaged disk or download is noticed while decoding.
        pq.write_table(
            table.replace_schema_metadata(packed), temporary, compression="zstd", write_page_checksum=True
        )


def column_datasets(names: Iterable[str]) -> list[str]:
    """Returns the data sets in the names of these columns, in alphabetic order.

    >>> column_datasets(["cifar10.valid.200", "cifar100.params_m", "weak.snip", "index"])
    ['cifar10', 'cifar100']
    """
    parsed = (parse_column(name) for name in names)
    return sorted({column.dataset for column in parsed if not isinstance(column, Weak | Other)})
