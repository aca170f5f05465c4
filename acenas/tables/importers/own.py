"""A CSV or Parquet file of one's own: columns are renamed to the schema, and accuracies become percent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.tables.arrow import from_strings
from acenas.tables.importers.files import check_file
from acenas.tables.schema import (
    ARCH,
    Accuracy,
    Other,
    TableMetadata,
    as_float64,
    check_archs,
    parse_column,
    write_table,
)

Unit = Literal["percent", "fraction", "error"]
"""Of the file's accuracies: 93.4, 0.934, or the error 6.6."""


class Space(Protocol):
    """What the import needs of the search space; every `acenas.spaces.SearchSpace` has it."""

    name: str

    def parse(self, text: str) -> str:
        """The architecture that `text` names. Raises `UserError` where it is not of this space."""


def import_own(
    path: str | Path,
    out: str | Path,
    space: Space,
    columns: Mapping[str, str],
    unit: Unit,
    *,
    source: str = "",
    licence: str = "",
    provenance: str = "",
) -> int:
    """Turns the CSV or Parquet file at `path` into a table at `out`; returns its number of architectures.

    Args:
        path: a Parquet file where its name ends in `.parquet`, else CSV with a header.
        out: the Parquet file to make or replace.
        space: the search space; every architecture is checked against its grammar, and written in it.
        columns: name in the file → name in the table, in the grammar of `acenas.tables.schema`. One of them becomes
            `arch`, unless the file has a column of that name. Columns that are not named are left out.
        unit: of all accuracies of the file.
        source: where the values come from; the file's name where that is not said.
        licence: under which they may be used.
        provenance: how they were measured.

    Raises:
        UserError: where the file cannot be read or lacks a column, a new name is not in the grammar, an architecture
            is not of the space or there twice, or accuracies are not in `unit`.
    """
    path = Path(path)
    check_file(path, "a CSV or Parquet file")
    names = dict(columns) if ARCH in columns.values() else {ARCH: ARCH, **columns}
    for old, new in names.items():
        if new != ARCH and isinstance(parse_column(new), Other) and ("." in new or new != old):
            raise UserError(
                f"--column {old}={new}: {new} is not the name of a column of a table; choose one such as "
                "<dataset>.valid.<epochs>, <dataset>.test.<epochs>, <dataset>.params_m or weak.<name>"
            )
        if list(names.values()).count(new) > 1:
            raise UserError(f"--column: {new} is named twice; give each column a name of its own")
    table = _read(path, names)
    result = {}
    for old, new in names.items():
        values = table.column(old)
        column = parse_column(new)
        if isinstance(column, Accuracy):
            values = pa.chunked_array(
                [pa.array(percent(old, as_float64(old, values), unit), from_pandas=True)]
            )
        result[new] = values
    check_archs(result[ARCH])
    parsed = []
    for row, text in enumerate(result[ARCH].to_pylist()):
        try:
            parsed.append(space.parse(text))
        except UserError as error:
            raise UserError(f"{path}, row {row}: {error}") from error
    archs = pa.chunked_array([from_strings(parsed)])
    check_archs(archs)
    metadata = TableMetadata(space.name, source=source or path.name, licence=licence, provenance=provenance)
    write_table(pa.table({**result, ARCH: archs}), out, metadata)
    return len(archs)


def _read(path: Path, names: Mapping[str, str]) -> Any:
    """The columns `names` of the file, a `pyarrow.Table`."""
    parquet = path.suffix == ".parquet"
    text = {old: pa.string() for old, new in names.items() if new == ARCH}
    try:
        if parquet:
            with pq.ParquetFile(path) as file:
                present = file.schema_arrow.names
        else:
            with path.open("rb") as stream, pa.csv.open_csv(stream) as reader:
                present = reader.schema.names
        missing = [name for name in names if name not in present]
        if missing:
            raise UserError(
                f"{path} has no column {missing[0]}; it has {', '.join(present)}. Name those to take with "
                f"--column OLD=NEW, and the one of the architectures with --column OLD={ARCH}"
            )
        if parquet:
            return pq.read_table(path).select(list(names))
        options = pa.csv.ConvertOptions(include_columns=list(names), column_types=text)
        return pa.csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be read as {'Parquet' if parquet else 'CSV'}: {reason}") from error


def percent(name: str, values: NDArray[np.float64], unit: Unit) -> NDArray[np.float64]:
    """Accuracies of `unit` in percent. Raises `UserError` where they are rather in another unit."""
    given = values[~np.isnan(values)]
    called_error = "err" in name.lower()
    if called_error != (unit == "error") and (called_error or "acc" in name.lower()):
        raise UserError(
            f"column {name} seems to hold {'errors' if called_error else 'accuracies'}, but the unit is {unit}; choose "
            f"--unit {'error' if called_error else 'percent or --unit fraction'}, or rename it in the file"
        )
    if unit == "fraction":
        if (given > 1).any():
            raise UserError(
                f"column {name} holds {given.max():g}, which is no fraction; choose --unit percent (or error)"
            )
        return 100 * values
    if given.size and given.max() <= 1:
        raise UserError(
            f"column {name} holds nothing above 1, so it seems to hold fractions rather than percent; choose "
            "--unit fraction"
        )
    return 100 - values if unit == "error" else values
