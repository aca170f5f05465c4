"""The command `python -m acenas.tables list | info | verify`."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from acenas.errors import UserError
from acenas.tables.catalogue import DATA_VARIABLE, available_tables, find_table
from acenas.tables.schema import Accuracy, Other, parse_column
from acenas.tables.table import BenchmarkTable


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status: 0, or 1 after a message about what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options, _console())
    except UserError as error:
        _console(stderr=True).print(f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True)
        return 1
    return 0


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
            console.print(f"[yellow]Not usable:[/] {escape(entry.problem)}", soft_wrap=True)


def show_table(options: argparse.Namespace, console: Console) -> None:
    """Shows what a table holds."""
    table = BenchmarkTable.open(find_table(options.table, options.data_dir))
    metadata = table.metadata
    facts = Table.grid(padding=(0, 2))
    facts.add_row("file", escape(str(table.path)))
    facts.add_row("architectures", f"{len(table):,}, all distinct")
    for name in ("space", "unit", "source", "licence", "date", "provenance"):
        facts.add_row(name, escape(getattr(metadata, name) or "not recorded"))
    facts.add_row("data sets", ", ".join(table.datasets) or "none")
    facts.add_row("checksums", "yes" if table.has_checksums else "none: an edited value would not be noticed")
    console.print(facts)
    grid = Table("column", "missing", "min", "mean", "max")
    for shown in grid.columns[1:]:
        shown.justify = "right"
    for name in table.columns:
        grid.add_row(escape(name), *_statistics(table, name))
    console.print(grid)
    for name, origin in metadata.columns.items():
        console.print(
            f"[bold]{escape(name)}[/]: images {escape(origin.images)}; weights {escape(origin.weights)}; "
            f"duration {escape(origin.duration)}",
            soft_wrap=True,
        )


def verify_table(options: argparse.Namespace, console: Console) -> None:
    """Checks a table's file, checksums, values and architectures."""
    path = find_table(options.table, options.data_dir)
    table = BenchmarkTable.open(path, space=options.space)
    table.check()
    notes = (
        [] if table.has_checksums else ["it carries no checksums, so an edited value would not be noticed"]
    )
    validate = _validator(table.metadata.space)
    if validate is None:
        notes.append(
            f"acenas has no space {table.metadata.space}: the grammar of architectures was not checked"
        )
    else:
        for row, arch in enumerate(table.archs):
            try:
                validate(arch)
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
    console.print(
        f"[bold green]Sound:[/] {escape(str(path))}, {len(table):,} architectures of the space "
        f"{escape(table.metadata.space)}, {len(table.columns)} columns",
        soft_wrap=True,
    )
    for note in notes:
        console.print(f"[yellow]Note:[/] {escape(note)}", soft_wrap=True)


def _validator(space: str) -> Callable[[str], None] | None:
    """`SearchSpace.validate` of the space with that name, or None where acenas has no such space."""
    # Tables lie below spaces and never import them. This file is an entry point, and only here, where a user asks for
    # the grammar to be checked, a space is loaded by its name (and torch with it, which `list` and `info` do without).
    if not space.isidentifier():
        return None
    try:
        module = importlib.import_module(f"acenas.spaces.{space}")
    except ModuleNotFoundError as error:
        if error.name != f"acenas.spaces.{space}":
            raise
        return None
    for value in vars(module).values():
        if isinstance(value, type) and getattr(value, "name", None) == space:
            validate: Callable[[str], None] = value().validate
            return validate
    return None


def _statistics(table: BenchmarkTable, name: str) -> list[str]:
    if not table.is_numeric(name):
        return ["", "", "text", ""]
    values = table.column(name)
    known = values[~np.isnan(values)]
    missing = f"{values.size - known.size:,}" if known.size < values.size else "0"
    if not known.size:
        return [missing, "", "", ""]
    return [missing, *(f"{value:,.6g}" for value in (known.min(), known.mean(), known.max()))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m acenas.tables", description="Lists, shows and verifies benchmark tables."
    )
    commands = parser.add_subparsers(required=True, metavar="list | info | verify")
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
    command.set_defaults(run=show_table)
    command = commands.add_parser(
        "verify",
        parents=[named, folder],
        help="check a table's file, checksums, values and architectures; exit status 1 where something is wrong",
    )
    command.add_argument("--space", help="the search space that the table must be of, such as nasbench201")
    command.set_defaults(run=verify_table)
    return parser


def _console(stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)  # in a file or a pipe nothing needs to be cut
    return console


if __name__ == "__main__":
    sys.exit(main())
