"""The schema of all benchmark tables: names of columns, metadata, checksums, and writing a table.

A table is one Parquet file. Its column `arch` holds the architectures. Other columns may have any name; what a search
observes and a report shows, and in which unit, is configuration (the query protocol). Some names state their content:

| column | holds |
|---|---|
| `<dataset>.<valid or test or observed>.<epochs>` | accuracy, mean over the training seeds |
| the same with `.s<seed>` | accuracy of the training with that seed |
| `<dataset>.train_seconds.<epochs>` | what that training costs |
| `<dataset>.params_m`, `<dataset>.flops_m` | millions of parameters, of operations for one image (see below) |
| `<dataset>.latency_ms.<device>` | milliseconds on that device |
| `weak.<name>` | a weak label |
| anything else | whatever its source says, such as a loss, or the benchmark's own index |

Accuracies are in percent and checked to be, unless the table's metadata say that its unit is `none`.

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
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.files import atomic_path
from acenas.tables.arrow import is_number, is_text, numbers, present, text

if TYPE_CHECKING:
    import pandas as pd  # a second to import, so only those who have a frame pay for it

ARCH = "arch"
"""Name of the column that holds the architectures."""

Split = Literal["valid", "test", "observed"]
"""`valid` and `observed` are what a search may see; `test` is what only a report may show."""


class _Named:
    """A column whose name is `form`, filled with its fields."""

    form: ClassVar[str]

    def __str__(self) -> str:
        return self.form.format_map(vars(self))


@dataclass(frozen=True)
class Accuracy(_Named):
    """Accuracy after `epochs` epochs: the mean over seeds, or of one training seed."""

    form = "{dataset}.{split}.{epochs}"
    dataset: str
    split: Split
    epochs: int
    seed: int | None = None

    def __str__(self) -> str:
        return super().__str__() + ("" if self.seed is None else f".s{self.seed}")


@dataclass(frozen=True)
class TrainSeconds(_Named):
    """Seconds that training for `epochs` epochs takes."""

    form = "{dataset}.train_seconds.{epochs}"
    dataset: str
    epochs: int


@dataclass(frozen=True)
class Parameters(_Named):
    """Millions of trainable parameters."""

    form = "{dataset}.params_m"
    dataset: str


@dataclass(frozen=True)
class Flops(_Named):
    """Millions of operations for one image, counted as the source of the table does."""

    form = "{dataset}.flops_m"
    dataset: str


@dataclass(frozen=True)
class Latency(_Named):
    """Milliseconds on `device`."""

    form = "{dataset}.latency_ms.{device}"
    dataset: str
    device: str


@dataclass(frozen=True)
class Weak(_Named):
    """A weak label, in any unit: only its order means anything."""

    form = "weak.{name}"
    name: str


@dataclass(frozen=True)
class Other(_Named):
    """A column outside the grammar: its name does not say what it holds."""

    form = "{name}"
    name: str


Column = Accuracy | TrainSeconds | Parameters | Flops | Latency | Weak | Other

_WORD = r"[A-Za-z0-9_-]+"
_DATASET = rf"(?P<dataset>{_WORD})"
_EPOCHS = r"(?P<epochs>0|[1-9][0-9]*)"
_GRAMMAR: tuple[tuple[type[Column], str], ...] = (
    (Weak, rf"weak\.(?P<name>{_WORD}(?:\.{_WORD})*)"),
    (Accuracy, rf"{_DATASET}\.(?P<split>valid|test|observed)\.{_EPOCHS}(?:\.s(?P<seed>0|[1-9][0-9]*))?"),
    (TrainSeconds, rf"{_DATASET}\.train_seconds\.{_EPOCHS}"),
    (Parameters, rf"{_DATASET}\.params_m"),
    (Flops, rf"{_DATASET}\.flops_m"),
    (Latency, rf"{_DATASET}\.latency_ms\.(?P<device>{_WORD})"),
)


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
    for kind, pattern in _GRAMMAR:
        if match := re.fullmatch(pattern, name):
            numbers = {
                key: int(value)
                for key, value in match.groupdict().items()
                if key in ("epochs", "seed") and value
            }
            fields: dict[str, Any] = match.groupdict() | numbers
            return kind(**fields)
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
        unit: of columns named as accuracies: `percent`, or `none` where that is for the query protocol to say.
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


_KEYS = {name: name for name in ("space", "source", "licence", "date", "provenance")} | {
    "unit": "accuracy_unit"
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
        UserError: where a required key is missing or does not parse, or the checksum of the whole is wrong.
    """
    if "space" not in packed:
        raise UserError("its metadata name no search space, so it is not a benchmark table")
    plain = {name: packed[key] for name, key in _KEYS.items() if key in packed}
    unit = plain.setdefault("unit", "none")
    if unit not in ("percent", "none"):
        raise UserError(
            f"the unit of its accuracies (metadata key accuracy_unit) is {unit}, not percent or none"
        )
    try:
        columns = {
            str(name): Provenance(**{key: str(said) for key, said in value.items()})
            for name, value in json.loads(packed.get("columns", "{}")).items()
        }
        digests = {
            str(name): str(value) for name, value in json.loads(packed.get("sha256_columns", "{}")).items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
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

    It does not depend on how `values`, a `pyarrow.ChunkedArray`, are split into chunks, encoded and compressed.
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


def check_values(name: str, values: Any, unit: str) -> None:
    """Checks that the values of a column, a `pyarrow.ChunkedArray`, fit its name and the `unit` of accuracies.

    Raises:
        UserError: for text where a number is due, and infinite values; where the unit is `percent`, for accuracies
            outside 0 to 100, and missing (or NaN) ones. Those of one seed, weak labels and costs may be missing.
    """
    column = parse_column(name)
    if name == ARCH or isinstance(column, Other):
        return
    floats = as_float64(name, values)
    if np.isinf(floats).any():
        row = int(np.flatnonzero(np.isinf(floats))[0])
        raise UserError(f"column {name}: row {row} is infinite; leave the value out where there is none")
    if not isinstance(column, Accuracy) or unit != "percent":
        return
    missing = np.flatnonzero(np.isnan(floats))
    if missing.size and column.seed is None:
        raise UserError(
            f"column {name}: {missing.size:,} of {floats.size:,} accuracies are missing (NaN), the first in "
            f"row {missing[0]}; measure them, or leave these architectures out of the table"
        )
    check_percent(name, floats)


def check_percent(name: str, values: NDArray[np.float64]) -> None:
    """Raises `UserError` where a value is outside 0 to 100."""
    outside = np.flatnonzero((values < 0) | (values > 100))
    if outside.size:
        raise UserError(
            f"column {name}: row {outside[0]} holds {values[outside[0]]:g}, but accuracies are in percent, "
            "0 to 100; convert them"
        )


def as_float64(name: str, values: Any) -> NDArray[np.float64]:
    """Converts a `pyarrow.ChunkedArray` to float64, NaN where a value is missing; raises `UserError` for text."""
    if str(values.type) == "null":  # of a file in which it has no value at all
        return np.full(len(values), np.nan)
    if not is_number(values.type):
        raise UserError(f"column {name} holds {values.type}, not numbers; ask for a column of numbers")
    floats = np.concatenate([np.zeros(0), *(numbers(chunk).astype(np.float64) for chunk in values.chunks)])
    if values.null_count:
        floats[~np.concatenate([present(chunk) for chunk in values.chunks])] = np.nan
    return floats


def check_archs(values: Any) -> None:
    """Raises `UserError` where architectures are not text, or one is missing (`ArchIndex` finds duplicates)."""
    if not is_text(values.type):
        raise UserError(
            f"column {ARCH} holds {values.type}, not text; read it as text, as in pandas.read_csv(..., "
            f'dtype={{"{ARCH}": str}}), which keeps the zeros that a name begins with'
        )
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
        check_values(name, table.column(name), metadata.unit)
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
