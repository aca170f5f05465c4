"""A CSV or Parquet file of one's own: columns are renamed, and accuracies become percent where their unit is known."""

import bz2
import gzip
import lzma
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.files import open_parquet, reading, unpacked
from acenas.tables.arrow import from_strings, is_number
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

Unit = Literal["percent", "fraction", "error", "none"]
"""Of the file's accuracies: 93.4, 0.934, or the error 6.6; none where its values are kept as they are."""


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
    repeated: Literal["first", "mean"] | None = None,
    source: str = "",
    licence: str = "",
    provenance: str = "",
) -> int:
    """Turns the CSV or Parquet file at `path` into a table at `out`; returns its number of architectures.

    Args:
        path: a Parquet file, or CSV with a header, which may be compressed.
        out: the Parquet file to make or replace.
        space: every architecture is checked against its grammar, and written in it.
        columns: name in the file → name in the table. One of them becomes `arch`, unless the file has a column of that
            name. Columns that are not named are left out; where no other one is named, all are taken as they are. A
            `*` in both names stands for whatever there is in the file, as in `acc_*` → `cifar10.observed.*`.
        unit: of all columns named as accuracies (see `acenas.tables.schema`), which become percent. With `none` no
            value is changed, and columns may have any name.
        repeated: what is kept of the rows of one architecture: the first, or the mean of each column of numbers, with
            the first text; None refuses repeated architectures.
        source: where the values come from; the file's name where that is not said.
        licence: under which they may be used.
        provenance: how they were measured.

    Raises:
        UserError: where the file cannot be read or lacks a column, a new name is not in the grammar, an architecture
            is not of the space or there twice, or accuracies are not in `unit`.
    """
    path = Path(path)
    names = dict(columns) if ARCH in columns.values() else {ARCH: ARCH, **columns}
    rows = read_rows(path, [old for old, new in names.items() if new == ARCH])
    names = _by_pattern(names, rows.column_names, path)
    for old, new in names.items():
        if unit != "none" and new not in (old, ARCH) and isinstance(parse_column(new), Other):
            raise UserError(
                f"--column {old}={new}: {new} is not the name of a column of a table; choose one such as "
                "<dataset>.valid.<epochs>, <dataset>.test.<epochs>, <dataset>.params_m or weak.<name>, or --unit none, "
                "which allows any name"
            )
        if list(names.values()).count(new) > 1:
            raise UserError(f"--column: {new} is named twice; give each column a name of its own")
    table, names = _taken(rows, names, path)
    result = {}
    for old, new in names.items():
        values, column = table.column(old), parse_column(new)
        if new != ARCH and (not isinstance(column, Other) or new != old):
            _check_numbers(f"{old} of {path}", values)
        if isinstance(column, Accuracy):
            accuracies = percent(old, as_float64(old, values), unit)
            values = pa.chunked_array([pa.array(accuracies, from_pandas=True)])
        result[new] = values
    check_archs(result[ARCH])
    parsed = []
    for row, text in enumerate(result[ARCH].to_pylist()):
        try:
            parsed.append(space.parse(text))
        except UserError as error:
            raise UserError(f"{path}, row {row}: {error}") from error
    of_table = "none" if unit == "none" else "percent"
    metadata = TableMetadata(space.name, of_table, source or path.name, licence, provenance=provenance)
    table = _distinct(pa.table({**result, ARCH: from_strings(parsed)}), repeated)
    write_table(table, out, metadata)
    return len(table)


def _distinct(table: pa.Table, repeated: Literal["first", "mean"] | None) -> pa.Table:
    """Returns one row for each architecture."""
    rows = table.column(ARCH).to_pylist()
    if len(set(rows)) == len(rows):
        return table
    if repeated is None:
        again = Counter(rows).most_common(1)[0][0]
        raise UserError(
            f"architecture {again} is there more than once; keep one row of each, or choose --repeated first or mean"
        )
    groups = table.to_pandas().groupby(ARCH, sort=False)
    numbers = [name for name in table.column_names if is_number(table.column(name).type)]
    means = groups.first().assign(**groups[numbers].mean()).reset_index()
    return pa.Table.from_pandas(means if repeated == "mean" else groups.nth(0), preserve_index=False)


def _by_pattern(names: Mapping[str, str], columns: Sequence[str], path: Path) -> dict[str, str]:
    """Returns `names` with the columns of the file in the place of each name with a `*`."""
    found: dict[str, str] = {}
    for old, new in names.items():
        if "*" not in old or old in columns:
            found[old] = new
            continue
        before, after = map(re.escape, old.split("*", 1))
        matches = [match for name in columns if (match := re.fullmatch(f"{before}(.+){after}", name))]
        if "*" not in new or not matches:
            raise UserError(
                f"--column {old}={new}: "
                + (
                    f"{path} has no such columns; it has {', '.join(columns)}"
                    if "*" in new
                    else f"{new} has no * for what that of {old} stands for, as in acc_*=cifar10.observed.*"
                )
            )
        found |= {match[0]: new.replace("*", match[1], 1) for match in matches}
    return found


def _taken(table: pa.Table, names: dict[str, str], path: Path) -> tuple[pa.Table, dict[str, str]]:
    """Returns the columns that are to be taken, and old and new name of each."""
    if missing := [name for name in names if name not in table.column_names]:
        raise UserError(
            f"{path} has no column {missing[0]}; it has {', '.join(table.column_names)}. Name those to take with "
            f"--column OLD=NEW, and the one of the architectures with --column OLD={ARCH}"
        )
    if len(names) == 1:
        names = {name: names.get(name, name) for name in table.column_names}
    return table.select(list(names)), names


_PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
"""What reads a compressed file, by its first two bytes."""


def read_rows(path: Path, text: Sequence[str] = (ARCH,)) -> pa.Table:
    """Reads a CSV file with a header, which may be compressed, or a Parquet file, whatever it is called.

    Args:
        path: of the file.
        text: names of columns of a CSV file that are text, also where they look like numbers.

    Raises:
        UserError: where it cannot be read, or has two columns of one name.
    """
    check_file(path, "a CSV or Parquet file")
    with (
        reading(path, "name a CSV file with a header, or a Parquet file"),
        path.open("rb") as file,
        ExitStack() as opened,
    ):
        head = file.read(4)
        file.seek(0)
        if head == b"PAR1" or path.suffix.lower() == ".parquet":
            table = opened.enter_context(open_parquet(path)).read()
        else:
            content: BinaryIO = file
            if unpack := _PACKED.get(head[:2]):
                content = unpacked(opened.enter_context(unpack(file)), path.stat().st_size)
            options = pa.csv.ConvertOptions(column_types=dict.fromkeys(text, pa.string()))
            table = pa.csv.read_csv(content, convert_options=options)
        named = [name for name in table.column_names if name]
        if doubled := [name for name in named if named.count(name) > 1]:
            raise UserError(f"{path} has two columns {doubled[0]}; rename one")
        return table


def _check_numbers(name: str, values: pa.ChunkedArray) -> None:
    """Raises `UserError` that names the first value that is no number."""
    if is_number(values.type) or pa.types.is_null(values.type):
        return
    texts = {row: value for row, value in enumerate(values.to_pylist()) if value is not None}
    first = min(texts, default=None)
    row = next((row for row, text in texts.items() if not re.fullmatch(r"[-+.\deE]+", str(text))), first)
    if row is not None:
        raise UserError(
            f"column {name} holds text, not numbers, such as {texts[row]!r:.200} in row {row}; write numbers "
            "alone, and nothing where a value is missing"
        )


def percent(name: str, values: NDArray[np.float64], unit: Unit) -> NDArray[np.float64]:
    """Returns accuracies of `unit` in percent. Raises `UserError` where they are rather in another unit."""
    given = values[~np.isnan(values)]
    called_error = "err" in name.lower()
    if unit == "none":
        return values
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
