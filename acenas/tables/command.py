"""The command `python -m acenas.tables list | info | verify | get | import | join`."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import DownloadColumn, TransferSpeedColumn
from rich.table import Table

from acenas.errors import UserError, exit_status, shortened
from acenas.tables.catalogue import DATA_VARIABLE, available_tables, find_table
from acenas.tables.console import UNCHECKED, find_space, open_console, progress_bar, renamed_columns, say
from acenas.tables.importers.command import add_imports
from acenas.tables.importers.files import check_file, sha256
from acenas.tables.join import join_weak_labels
from acenas.tables.schema import Accuracy, Other, parse_column
from acenas.tables.table import BenchmarkTable
from acenas.tables.weak_labels import WeakLabels


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    return exit_status(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if hasattr(options, "file") and options.sha256:
        check_file(options.file, "the file")
        sha256(options.file, options.sha256)
    options.run(options, open_console())


def list_tables(options: argparse.Namespace, console: Console) -> None:
    """Shows the tables at hand."""
    entries = available_tables(options.data_dir)
    if not entries:
        console.print(f"No tables at hand: name a folder of tables with --data-dir or {DATA_VARIABLE}.")
        return
    grid = Table("table", "space", "rows", "columns", "checksums", "file", title="Benchmark tables at hand")
    grid.columns[2].justify = grid.columns[3].justify = "right"
    for entry in entries:
        if entry.footer is not None:
            footer = entry.footer
            grid.add_row(
                escape(entry.name),
                escape(footer.metadata.space),
                f"{footer.rows:,}",
                f"{len(footer.columns) - 1}",
                "yes" if footer.checksums is not None else "none",
                "in the package" if entry.embedded else escape(str(entry.path)),
            )
    console.print(grid)
    for entry in entries:
        if entry.problem is not None:
            say(console, "Not usable", entry.problem, "yellow")


def show_table(options: argparse.Namespace, console: Console) -> None:
    """Shows what a table holds."""
    table = BenchmarkTable.open(find_table(options.table, options.data_dir))
    metadata = table.metadata
    longest = 10**6 if options.all else 2 * console.width
    facts = Table.grid(padding=(0, 2))
    facts.add_row("file", escape(str(table.path)))
    facts.add_row("architectures", f"{len(table):,}, all distinct")
    for name in ("space", "unit", "source", "licence", "date", "provenance"):
        facts.add_row(name, escape(shortened(getattr(metadata, name) or "not recorded", longest)))
    facts.add_row("data sets", ", ".join(table.datasets) or "none")
    facts.add_row("checksums", "yes" if table.has_checksums else "none: an edited value would not be noticed")
    console.print(facts)
    grid = Table("column", "missing", "min", "mean", "max")
    for shown in grid.columns[1:]:
        shown.justify = "right"
    for line, names in _alike(table, options.all).items():
        grid.add_row(escape(line), *_statistics(table, names))
    console.print(grid)
    for line, names in _alike(table, options.all).items():
        if origin := metadata.columns.get(names[0]):
            text = f"images {origin.images}; weights {origin.weights}; duration {origin.duration}"
            say(console, escape(line), shortened(text, longest - len(line) - 2), "bold")


def verify_table(options: argparse.Namespace, console: Console) -> None:
    """Checks a table's file, checksums, values and architectures."""
    path = find_table(options.table, options.data_dir)
    table = BenchmarkTable.open(path, space=options.space)
    table.check()
    notes = []
    if not table.has_checksums:
        notes.append("it carries no checksums, so an edited value would not be noticed")
    if (space := find_space(table.metadata.space)) is None:
        notes.append(UNCHECKED.format(table.metadata.space))
    else:
        for row, arch in enumerate(table.archs):
            try:
                space.validate(arch)
            except UserError as error:
                raise UserError(
                    f"{path}, row {row}: {error}; correct or remove this architecture and write the table again"
                ) from error
    for name in table.columns:
        if isinstance(parse_column(name), Accuracy | Other):
            continue
        missing = int(np.isnan(table.column(name)).sum())
        if missing:
            notes.append(f"column {name} lacks {missing:,} of {len(table):,} values, which it may")
    what = f"{len(table):,} architectures of the space {table.metadata.space}, {len(table.columns)} columns"
    say(console, "Sound", f"{path}, {what}")
    for note in notes:
        say(console, "Note", note, "yellow")


def join_table(options: argparse.Namespace, console: Console) -> None:
    """Adds weak labels to a table."""
    table = BenchmarkTable.open(find_table(options.table, options.data_dir))
    columns = renamed_columns(options.column)
    join_weak_labels(table, WeakLabels.load(options.labels), columns, options.out)
    say(console, "Joined", f"{', '.join(columns.values())} in {options.out}")


def get_file(options: argparse.Namespace, console: Console) -> None:
    """Downloads an official file, or says how to get it."""
    from acenas.tables.download import get, sources

    official = sources()
    if options.name is None:
        grid = Table("name", "what", "size", "how", title="Official files")
        for source in official.values():
            grid.add_row(source.name, source.title, source.size, "downloaded" if source.url else "by hand")
        console.print(grid)
        return
    if options.name not in official:
        raise UserError(f"there is no official file {options.name}; choose from {', '.join(official)}")
    source = official[options.name]
    folder = options.data_dir or os.environ.get(DATA_VARIABLE)
    if not folder:
        raise UserError(f"name the folder that {source.file} goes to with --data-dir or {DATA_VARIABLE}")
    changes = {"url": options.url, "sha256": options.sha256, "md5": "" if options.sha256 else None}
    source = replace(source, **{key: value for key, value in changes.items() if value is not None})
    if source.url and not (
        source.sha256 or source.md5 or options.yes or (Path(folder) / source.file).exists()
    ):
        _ask(
            f"no checksum of {source.file} is known, so nothing shows whether what comes is the official file"
        )
    with progress_bar(source.file, DownloadColumn(), TransferSpeedColumn()) as progress:
        path, digest = get(source, Path(folder), progress)
    if options.sha256:
        checked = "its checksum is the one you gave"
    elif source.sha256 or source.md5:
        checked = "its checksum is the official one"
    else:
        checked = f"no official checksum is known to compare with; its SHA-256 is {digest}"
    say(console, "Got", f"{path}; {checked}")
    console.print(f"Then: {escape(source.then.format(file=path, folder=folder))}", soft_wrap=True)


def _ask(concern: str) -> None:
    """Asks whether to go on all the same; raises `UserError` where the answer is no, or nobody is there to give one."""
    question = f"{concern}. Download it all the same? [y/N] "
    if not (sys.stdin.isatty() and input(question).strip().lower() in ("y", "yes")):
        raise UserError(f"{concern}: give one with --sha256, or go on without with --yes")


def _alike(table: BenchmarkTable, each: bool) -> dict[str, list[str]]:
    """The columns whose names differ in numbers alone, such as epochs and seeds, by what stands for them in a line."""
    alike: dict[str, list[str]] = {}
    for name in table.columns:
        pattern = name if each or not table.is_numeric(name) else re.sub(r"\.(s?)\d+(?=\.|$)", r".\1*", name)
        alike.setdefault(pattern, []).append(name)
    return {
        names[0] if len(names) == 1 else f"{pattern} ({len(names)} columns)": names
        for pattern, names in alike.items()
    }


def _statistics(table: BenchmarkTable, names: Sequence[str]) -> list[str]:
    if not table.is_numeric(names[0]):
        return ["", "", "text", ""]
    values = np.concatenate([table.column(name) for name in names])
    present = values[~np.isnan(values)]
    missing = f"{values.size - present.size:,}"
    if not present.size:
        return [missing, "", "", ""]
    return [missing, *(f"{value:,.6g}" for value in (present.min(), present.mean(), present.max()))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m acenas.tables",
        description="Lists, shows, verifies, gets, imports and completes benchmark tables.",
    )
    commands = parser.add_subparsers(required=True, metavar="list | info | verify | get | import | join")
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument(
        "--data-dir",
        type=Path,
        metavar="FOLDER",
        help=f"where tables are looked for (default: ${DATA_VARIABLE})",
    )
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("table", metavar="NAME_OR_PATH", help="a name that `list` shows, or a Parquet file")
    command = commands.add_parser("list", parents=[folder], help="show the tables at hand")
    command.set_defaults(run=list_tables)
    command = commands.add_parser("info", parents=[named, folder], help="show what a table holds")
    command.add_argument(
        "--all",
        action="store_true",
        help="each column, those that differ in epochs or seeds alone, too, and all that is known of it",
    )
    command.set_defaults(run=show_table)
    command = commands.add_parser(
        "verify",
        parents=[named, folder],
        help="check a table's file, checksums, values and architectures; exit status 2 where something is wrong",
    )
    command.add_argument("--space", help="the search space that the table must be of, such as nasbench201")
    command.set_defaults(run=verify_table)
    command = commands.add_parser(
        "get",
        parents=[folder],
        help="download an official file, or check one that was fetched by hand; without a name: show what there is",
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="such as nb101; none shows them all")
    command.add_argument("--url", help="another place (https) to download from, such as a mirror")
    command.add_argument("--sha256", metavar="HEX", help="that the file must have instead of the known one")
    command.add_argument("--yes", action="store_true", help="download although no checksum is known")
    command.set_defaults(run=get_file)
    command = commands.add_parser(
        "import", help="make a table of a benchmark's official file, or of your own"
    )
    add_imports(command.add_subparsers(required=True, metavar="nb101 | nb201 | nds | acenas | csv"))
    command = commands.add_parser(
        "join", parents=[named, folder], help="add weak labels to a table, such as those of a super-net's run"
    )
    command.add_argument("labels", type=Path, metavar="LABELS", help="weak_labels.parquet of a run")
    command.add_argument(
        "--column",
        action="append",
        required=True,
        metavar="LABEL=NEW",
        help="take LABEL under the name NEW, as in weak.supernet=weak.supernet.s0; once for each",
    )
    command.add_argument("--out", type=Path, required=True, metavar="TABLE", help="the Parquet file to make")
    command.set_defaults(run=join_table)
    return parser
