"""Finds tables: those that the package carries, and those of the user's data folder."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from acenas.errors import UserError
from acenas.files import own_configs
from acenas.tables.table import BenchmarkTable, Footer, NotATableError, read_footer

DATA_VARIABLE = "ACENAS_DATA"
"""Environment variable that names the data folder where no argument does."""

_PATTERNS = ("*.parquet", "*/*.parquet")
"""Not deeper: a data folder may hold millions of images."""


@dataclass(frozen=True)
class Entry:
    """A table, or a damaged file in place of one."""

    name: str
    path: Path
    embedded: bool
    footer: Footer | None
    problem: str | None


def available_tables(data_dir: str | Path | None = None) -> list[Entry]:
    """Lists the embedded tables, then those in the data folder and directly below it, and those of `ACENAS_CONF`.

    Parquet files that are no benchmark tables are left out. A file that cannot be read is listed with its `problem`.

    Args:
        data_dir: the data folder; None takes the environment variable ACENAS_DATA, and none where that is not set.

    Raises:
        UserError: where the data folder does not exist.
    """
    entries = []
    for name, path, embedded in _files(data_dir):
        try:
            entries.append(Entry(name, path, embedded, read_footer(path), None))
        except NotATableError:
            continue
        except UserError as error:
            entries.append(Entry(name, path, embedded, None, str(error)))
    return entries


def find_table(name_or_path: str | Path, data_dir: str | Path | None = None) -> Path:
    """Returns the file of a table, given its path or its name: the file's without `.parquet`, or a configuration's.

    Embedded tables come first, so that no other file changes what their names mean.

    Raises:
        UserError: where no table has that name. A path is returned unchecked; opening it raises where it is wrong.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.lower().endswith(".parquet") or "/" in text or os.sep in text:
        return Path(name_or_path)
    for name, path, _ in _files(data_dir):
        if name == text:
            return path
    names = ", ".join(dict.fromkeys(entry.name for entry in available_tables(data_dir))) or "none"
    raise UserError(
        f"there is no table {text}; at hand are: {names}. Name one of them or a path that ends in .parquet, or set "
        f"data_dir or the environment variable {DATA_VARIABLE} to the folder that holds it"
    )


def table_architectures(path: str, space: str) -> list[str]:
    """Returns all architectures of a table of `space`, in its order. Raises as `find_table` and as opening it."""
    return BenchmarkTable.open(find_table(path), space=space, columns=[]).archs


def check_table(
    name_or_path: str | Path,
    space: str,
    columns: Sequence[str],
    data_dir: str | Path | None = None,
) -> Path:
    """Checks within milliseconds, without torch, that a run can use a table; returns its file.

    Only `columns` and the architectures are read.

    Args:
        name_or_path: as `find_table`.
        space: the search space that the table must be of.
        columns: all columns that the run will need, such as observed and test accuracy and weak labels.
        data_dir: as `available_tables`.

    Raises:
        UserError: as `BenchmarkTable.open` and, for the values, `acenas.tables.schema.check_values`.
    """
    path = find_table(name_or_path, data_dir)
    BenchmarkTable.open(path, space=space, columns=columns).check()
    return path


def _files(data_dir: str | Path | None) -> list[tuple[str, Path, bool]]:
    """Lists all Parquet files where tables are looked for: their names, and whether they are embedded."""
    embedded = Path(str(resources.files("acenas.tables"))) / "data"
    files = [(path.stem, path, True) for path in sorted(embedded.glob("*.parquet"))]
    folder = data_dir if data_dir is not None else os.environ.get(DATA_VARIABLE) or None
    if folder is not None:
        if not Path(folder).is_dir():
            raise UserError(
                f"the data folder {folder} does not exist; make it, or set data_dir or the environment variable "
                f"{DATA_VARIABLE} to one that does"
            )
        found = [path for pattern in _PATTERNS for path in sorted(Path(folder).glob(pattern))]
        files += [(path.stem, path, False) for path in found]
    if own := own_configs():
        files += [
            (described.stem, path, False)
            for described in sorted(own.glob("table/*.yaml"))
            if (path := _file_of(described)) is not None
        ]
    return files


def _file_of(described: Path) -> Path | None:
    """The Parquet file that the configuration of a table names; None where that is not known without composing it."""
    with suppress(OSError, ValueError, yaml.YAMLError):
        found = yaml.safe_load(described.read_text(encoding="utf-8"))
        path = found.get("path") if isinstance(found, dict) else None
        if isinstance(path, str) and path.lower().endswith(".parquet") and "${" not in path:
            return Path(path).expanduser()
    return None
