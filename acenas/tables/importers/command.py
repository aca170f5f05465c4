"""The commands `python -m acenas.tables import nb101 | nb201 | nds | acenas | csv`."""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import DownloadColumn

from acenas.errors import UserError
from acenas.tables.console import find_space, progress_bar, renamed_columns


def add_imports(formats: Any) -> None:
    """Adds a command for each format to `formats`, the subparsers of `import`."""
    out = argparse.ArgumentParser(add_help=False)
    out.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="TABLE",
        help="the Parquet file to make; in the data folder it is found by its name, such as nb101.parquet by nb101",
    )
    out.add_argument("--sha256", metavar="HEX", help="that the file must have; anything else is an error")
    for add in (_add_nb101, _add_nb201, _add_nds, _add_acenas, _add_csv):
        add(formats, out)


def _add_nb101(formats: Any, out: argparse.ArgumentParser) -> None:
    command = formats.add_parser(
        "nb101", parents=[out], help="NAS-Bench-101: nasbench_only108.tfrecord or nasbench_full.tfrecord"
    )
    command.add_argument("file", type=Path, metavar="FILE", help="the TFRecord file, uncompressed")
    command.set_defaults(run=import_nb101)


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


def _add_nb201(formats: Any, out: argparse.ArgumentParser) -> None:
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


def import_nb201(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of official files of NAS-Bench-201 or NATS-Bench."""
    from acenas.tables.importers.nasbench201 import import_nasbench201

    with progress_bar(f"reading {options.file.name}") as progress:
        count = import_nasbench201(options.file, options.out, _space("nasbench201"), progress)
    console.print(f"[bold green]Imported:[/] {count:,} cells to {escape(str(options.out))}", soft_wrap=True)


def _add_nds(formats: Any, out: argparse.ArgumentParser) -> None:
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


def _add_acenas(formats: Any, out: argparse.ArgumentParser) -> None:
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


def _add_csv(formats: Any, out: argparse.ArgumentParser) -> None:
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


def import_csv(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of a file of one's own."""
    from acenas.tables.importers.own import import_own

    count = import_own(
        options.file,
        options.out,
        _space(options.space),
        renamed_columns(options.column),
        options.unit,
        source=options.source,
        licence=options.licence,
        provenance=options.provenance,
    )
    console.print(
        f"[bold green]Imported:[/] {count:,} architectures to {escape(str(options.out))}", soft_wrap=True
    )


def _add_unit(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--unit",
        required=True,
        choices=("percent", "fraction", "error"),
        help="of the file's accuracies: 93.4, 0.934, or the error in percent, 6.6",
    )


def _space(name: str) -> Any:
    """Returns the search space of that name. Raises `UserError` where acenas has none."""
    space = find_space(name)
    if space is None:
        raise UserError(f"there is no search space {name}; name one of acenas.spaces, such as nasbench201")
    return space


def _reading(path: Path) -> AbstractContextManager[Callable[..., None]]:
    """A progress bar over the bytes of a file."""
    size = path.stat().st_size if path.exists() else 0
    return progress_bar(f"reading {path.name}", DownloadColumn(), total=size)
