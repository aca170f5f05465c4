"""The command `python -m acenas.tables list | info | verify | get | import | join`."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn
from rich.table import Table

from acenas.errors import UserError
from acenas.tables.catalogue import DATA_VARIABLE, available_tables, find_table
from acenas.tables.importers.files import check_file, sha256
from acenas.tables.join import join_weak_labels
from acenas.tables.schema import Accuracy, Other, parse_column
from acenas.tables.table import BenchmarkTable
from acenas.tables.weak_labels import WeakLabels


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status: 0, or 1 after a message about what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        if hasattr(options, "file") and options.sha256:
            check_file(options.file, "the file")
            sha256(options.file, options.sha256)
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
    space = _find_space(table.metadata.space)
    if space is None:
        notes.append(
            f"acenas has no space {table.metadata.space}: the grammar of architectures was not checked"
        )
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
    console.print(
        f"[bold green]Sound:[/] {escape(str(path))}, {len(table):,} architectures of the space "
        f"{escape(table.metadata.space)}, {len(table.columns)} columns",
        soft_wrap=True,
    )
    for note in notes:
        console.print(f"[yellow]Note:[/] {escape(note)}", soft_wrap=True)


def join_table(options: argparse.Namespace, console: Console) -> None:
    """Adds weak labels to a table."""
    table = BenchmarkTable.open(find_table(options.table, options.data_dir))
    columns = _renamed(options.column)
    join_weak_labels(table, WeakLabels.load(options.labels), columns, options.out)
    console.print(
        f"[bold green]Joined:[/] {', '.join(columns.values())} in {escape(str(options.out))}", soft_wrap=True
    )


def get_file(options: argparse.Namespace, console: Console) -> None:
    """Downloads an official file, or says how to get it."""
    from acenas.tables.download import get, sources

    known = sources()
    if options.name is None:
        grid = Table("name", "what", "size", "how", title="Official files")
        for source in known.values():
            grid.add_row(source.name, source.title, source.size, "downloaded" if source.url else "by hand")
        console.print(grid)
        return
    if options.name not in known:
        raise UserError(f"there is no official file {options.name}; choose from {', '.join(known)}")
    source = known[options.name]
    folder = options.data_dir or os.environ.get(DATA_VARIABLE)
    if not folder:
        raise UserError(f"name the folder that {source.file} goes to with --data-dir or {DATA_VARIABLE}")
    changes = {"url": options.url, "sha256": options.sha256, "md5": "" if options.sha256 else None}
    source = replace(source, **{key: value for key, value in changes.items() if value is not None})
    with Progress(
        *Progress.get_default_columns(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=_console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(source.file, total=None)
        path, digest = get(
            source, Path(folder), lambda done, total: bar.update(task, completed=done, total=total)
        )
    if options.sha256:
        checked = "its checksum is the one you gave"
    elif source.sha256 or source.md5:
        checked = "its checksum is the official one"
    else:
        checked = f"no official checksum is known to compare with; its SHA-256 is {digest}"
    console.print(f"[bold green]Got:[/] {escape(str(path))}; {checked}", soft_wrap=True)
    console.print(f"Then: {escape(source.then.format(file=path, folder=folder))}", soft_wrap=True)


def import_nb101(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of an official file of NAS-Bench-101."""
    from acenas.tables.importers.nasbench101 import import_nasbench101

    with _reading(options.file) as progress:
        imported = import_nasbench101(options.file, options.out, _space("nasbench101"), progress)
    console.print(
        f"[bold green]Imported:[/] {imported.cells:,} cells from {imported.records:,} trainings of "
        f"{', '.join(map(str, imported.epochs))} epochs to {escape(str(options.out))}; the file is "
        + (
            f"the official {imported.official}"
            if imported.official
            else "[yellow]not one of the official ones[/]"
        ),
        soft_wrap=True,
    )


def import_nb201(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of official files of NAS-Bench-201 or NATS-Bench."""
    from acenas.tables.importers.nasbench201 import import_nasbench201

    with Progress(*Progress.get_default_columns(), console=_console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {options.file.name}", total=None)
        count = import_nasbench201(
            options.file,
            options.out,
            _space("nasbench201"),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    console.print(f"[bold green]Imported:[/] {count:,} cells to {escape(str(options.out))}", soft_wrap=True)


def import_nds_file(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of an official file of NDS."""
    from acenas.spaces.nds.cells import FAMILIES, from_genotype
    from acenas.tables.importers.nds import ToArch, import_nds

    def to_arch(family: str) -> ToArch:
        return lambda genotype, width, depth: str(from_genotype(FAMILIES[family], genotype, width, depth))

    with _reading(options.file) as progress:
        imported = import_nds(
            options.file,
            options.out,
            to_arch,
            name=options.name,
            accuracy=options.accuracy,
            progress=progress,
        )
    console.print(
        f"[bold green]Imported:[/] {imported.architectures:,} architectures from {imported.trainings:,} trainings to "
        f"{escape(str(options.out))}"
        + (f"; {imported.unfinished:,} unfinished trainings left out" if imported.unfinished else ""),
        soft_wrap=True,
    )
    family, dataset, fixed = imported.file
    console.print(
        f"Then: python -m acenas experiment=nds_{family}_ltr table.dataset={dataset}{'_fixed' if fixed else ''} "
        f"table.path={escape(str(options.out))} table.epochs.{dataset}={imported.epochs}",
        soft_wrap=True,
    )


def import_acenas_files(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of files of AceNAS' authors."""
    from acenas.spaces import LabelledGraphs
    from acenas.tables.importers.acenas import import_acenas

    imported = import_acenas(
        options.file,
        options.out,
        LabelledGraphs.write,
        options.dataset,
        options.epochs,
        options.unit,
        options.weak,
    )
    console.print(
        f"[bold green]Imported:[/] {imported.architectures:,} architectures to {escape(str(options.out))}, of them "
        f"{imported.labelled:,} with weak labels",
        soft_wrap=True,
    )
    console.print(
        f"Then: python -m acenas experiment=graphs_ltr table.path={escape(str(options.out))} "
        f"table.dataset={options.dataset} table.epochs={options.epochs} space.graphs={imported.graphs} "
        f"space.nodes={imported.nodes} space.tags={imported.tags}",
        soft_wrap=True,
    )


def import_csv(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of a file of one's own."""
    from acenas.tables.importers.own import import_own

    count = import_own(
        options.file,
        options.out,
        _space(options.space),
        _renamed(options.column),
        options.unit,
        source=options.source,
        licence=options.licence,
        provenance=options.provenance,
    )
    console.print(
        f"[bold green]Imported:[/] {count:,} architectures to {escape(str(options.out))}", soft_wrap=True
    )


def _renamed(columns: Sequence[str]) -> dict[str, str]:
    """Old and new names of columns, from OLD=NEW each."""
    names = {}
    for renamed in columns:
        old, equals, new = renamed.rpartition("=")
        if not (old and equals and new):
            raise UserError(f"--column {renamed}: expected OLD=NEW, as in --column val_acc=cifar10.valid.200")
        names[old] = new
    return names


@contextmanager
def _reading(path: Path) -> Iterator[Callable[..., None]]:
    """Shows how much of a file is read, where someone watches."""
    with Progress(
        *Progress.get_default_columns(), DownloadColumn(), console=_console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(f"reading {path.name}", total=path.stat().st_size if path.exists() else 0)

        def tell(position: int, total: int | None = None) -> None:
            bar.update(task, completed=position, total=total)

        yield tell


def _space(name: str) -> Any:
    """The search space with that name. Raises `UserError` where acenas has none."""
    space = _find_space(name)
    if space is None:
        raise UserError(f"there is no search space {name}; name one of acenas.spaces, such as nasbench201")
    return space


def _find_space(name: str) -> Any:
    """The search space with that name, or None where acenas has none."""
    # Only where a user asks for the grammar to be checked: spaces import torch, which `list` and `info` do without.
    if name.startswith("nds_"):
        return _nds_grammar(name)
    from acenas import spaces

    known = {
        getattr(value, "name", None): value for value in vars(spaces).values() if isinstance(value, type)
    }
    return known[name]() if name in known else None


def _nds_grammar(name: str) -> Any:
    """The grammar of an NDS space, of any width and depth: those differ between its data sets."""
    from acenas.spaces.nds.cells import FAMILIES, parse

    if (family := FAMILIES.get(name.removeprefix("nds_"))) is None:
        return None
    return SimpleNamespace(name=name, validate=lambda arch: parse(family, arch))


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
    command.set_defaults(run=show_table)
    command = commands.add_parser(
        "verify",
        parents=[named, folder],
        help="check a table's file, checksums, values and architectures; exit status 1 where something is wrong",
    )
    command.add_argument("--space", help="the search space that the table must be of, such as nasbench201")
    command.set_defaults(run=verify_table)
    command = commands.add_parser(
        "get",
        parents=[folder],
        help="download an official file, or check one that was fetched by hand; without a name: show what there is",
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="such as nb101; none shows them all")
    command.add_argument("--url", help="another place to download from, such as a mirror")
    command.add_argument("--sha256", metavar="HEX", help="that the file must have instead of the known one")
    command.set_defaults(run=get_file)
    command = commands.add_parser(
        "import", help="make a table of a benchmark's official file, or of your own"
    )
    _add_imports(command.add_subparsers(required=True, metavar="nb101 | nb201 | nds | acenas | csv"))
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


def _add_imports(formats: Any) -> None:
    out = argparse.ArgumentParser(add_help=False)
    out.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="TABLE",
        help="the Parquet file to make; in the data folder it is found by its name, such as nb101.parquet by nb101",
    )
    out.add_argument("--sha256", metavar="HEX", help="that the file must have; anything else is an error")
    command = formats.add_parser(
        "nb101", parents=[out], help="NAS-Bench-101: nasbench_only108.tfrecord or nasbench_full.tfrecord"
    )
    command.add_argument("file", type=Path, metavar="FILE", help="the TFRecord file, uncompressed")
    command.set_defaults(run=import_nb101)
    command = formats.add_parser(
        "nb201",
        parents=[out],
        help="NAS-Bench-201: a .pth file or folder of archives, or NATS-Bench's topology space",
    )
    command.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="NAS-Bench-201-v1_1-096897.pth, NAS-Bench-201-v1_1-archive, or the unpacked NATS-tss-v1_0-3ffb9-simple",
    )
    command.set_defaults(run=import_nb201)
    command = formats.add_parser(
        "nds",
        parents=[out],
        help="NDS: a JSON file of one of its five cell spaces, or the archive that holds them",
    )
    command.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="such as nds_data/DARTS.json, or data.zip as it was downloaded",
    )
    command.add_argument(
        "--name", help="which file, as in the archive: DARTS, DARTS_in, DARTS_fix-w-d, ENAS ..."
    )
    command.add_argument(
        "--accuracy",
        choices=("last", "best"),
        default="last",
        help="after the last epoch, or the best of all, which looks at the images that it is tested on (default: last)",
    )
    command.set_defaults(run=import_nds_file)
    command = formats.add_parser(
        "acenas",
        parents=[out],
        help="AceNAS: its authors' graphs with accuracies, and with labels of their super-nets",
    )
    command.add_argument("file", type=Path, metavar="FILE", help="such as nasbench101_gt_all.pkl")
    command.add_argument(
        "--weak", type=Path, metavar="FILE", help="such as supernet_evaluate_all_test1_nasbench101.json"
    )
    command.add_argument("--dataset", required=True, help="of the accuracies, such as cifar10")
    command.add_argument(
        "--epochs", type=int, required=True, help="that the architectures were trained, such as 108"
    )
    _add_unit(command)
    command.set_defaults(run=import_acenas_files)
    command = formats.add_parser(
        "csv",
        aliases=["parquet"],
        parents=[out],
        help="a CSV (with a header) or Parquet file of your own",
        description="Makes a table of a file of your own, in which each row is an architecture.",
        epilog="example: python -m acenas.tables import csv mine.csv --out mine.parquet --space nasbench201 --unit "
        "fraction --column cell=arch --column val_acc=cifar10.observed.200 --column test_acc=cifar10.test.200",
    )
    command.add_argument("file", type=Path, metavar="FILE", help="Parquet where its name ends so, else CSV")
    command.add_argument("--space", required=True, help="the search space, such as nasbench201")
    command.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="take column OLD under the name NEW: arch, <dataset>.<valid|test|observed>.<epochs>, "
        "<dataset>.params_m, weak.<name> ...; once for each column",
    )
    _add_unit(command)
    for name, what in (
        ("source", "where the values come from (default: the file's name)"),
        ("licence", "under which they may be used"),
        ("provenance", "how they were measured"),
    ):
        command.add_argument(f"--{name}", default="", metavar="TEXT", help=what)
    command.set_defaults(run=import_csv)


def _add_unit(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--unit",
        required=True,
        choices=("percent", "fraction", "error"),
        help="of the file's accuracies: 93.4, 0.934, or the error in percent, 6.6",
    )


def _console(stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)  # in a file or a pipe nothing needs to be cut
    return console


if __name__ == "__main__":
    sys.exit(main())
