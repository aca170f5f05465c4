"""The commands `python -m acenas.tables import nb101 | nb201 | nds | acenas | csv`."""

import argparse
import difflib
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.progress import DownloadColumn

from acenas.errors import UserError
from acenas.tables.console import UNCHECKED, find_space, progress_bar, renamed_columns, say


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

    def add(
        run: Callable[..., None], name: str, what: str, files: str, **more: Any
    ) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = formats.add_parser(name, parents=[out], help=what, **more)
        command.add_argument("file", type=Path, metavar="FILE", help=files)
        command.set_defaults(run=run)
        return command

    add(
        import_nb101,
        "nb101",
        "NAS-Bench-101: nasbench_only108.tfrecord or nasbench_full.tfrecord",
        "the TFRecord file, uncompressed",
    )
    add(
        import_nb201,
        "nb201",
        "NAS-Bench-201: a .pth file or folder of archives, or NATS-Bench's topology space",
        "NAS-Bench-201-v1_1-096897.pth, NAS-Bench-201-v1_1-archive, or the unpacked NATS-tss-v1_0-3ffb9-simple",
    )
    command = add(
        import_nds_file,
        "nds",
        "NDS: a JSON file of one of its five cell spaces, or the archive that holds them",
        "such as nds_data/DARTS.json, or data.zip as it was downloaded",
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
    command = add(
        import_acenas_files,
        "acenas",
        "AceNAS: its authors' graphs with accuracies, and with labels of their super-nets",
        "such as nasbench101_gt_all.pkl",
    )
    weak = "such as supernet_evaluate_all_test1_nasbench101.json"
    command.add_argument("--weak", type=Path, metavar="FILE", help=weak)
    command.add_argument("--dataset", required=True, help="of the accuracies, such as cifar10")
    epochs = "that the architectures were trained, such as 108"
    command.add_argument("--epochs", type=int, required=True, help=epochs)
    _add_unit(command)
    command = add(
        import_csv,
        "csv",
        "a CSV (with a header) or Parquet file of your own",
        "Parquet where its name ends so, else CSV, which may be compressed (.csv.gz)",
        aliases=["parquet"],
        description="Makes a table of a file of your own, in which each row is an architecture.",
        epilog="example: python -m acenas.tables import csv mine.csv --out mine.parquet --space nasbench201 --unit "
        "fraction --column cell=arch --column val_acc=cifar10.observed.200 --column test_acc=cifar10.test.200",
    )
    command.add_argument(
        "--space",
        required=True,
        help="the search space: one of acenas, such as nasbench201; one of yours, as module.Class, a YAML file of its "
        "choices or its name in ACENAS_CONF; or any other name, and then the grammar of architectures is not checked",
    )
    command.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="take column OLD under the name NEW: arch, <dataset>.<valid|test|observed>.<epochs>, "
        "<dataset>.params_m, weak.<name> ..., with --unit none any name; once for each column, or for all that a * in "
        "both fits, as in 'acc_*=cifar10.observed.*' (default: all, as they are)",
    )
    command.add_argument(
        "--repeated",
        choices=("first", "mean"),
        help="what is kept of several rows of an architecture: the first, or means (default: that is an error)",
    )
    _add_unit(command, "none")
    for name, what in (
        ("source", "where the values come from (default: the file's name)"),
        ("licence", "under which they may be used"),
        ("provenance", "how they were measured"),
    ):
        command.add_argument(f"--{name}", default="", metavar="TEXT", help=what)


def import_nb101(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of an official file of NAS-Bench-101."""
    from acenas.tables.importers.nasbench101 import import_nasbench101

    with _reading(options.file) as progress:
        imported = import_nasbench101(options.file, options.out, find_space("nasbench101"), progress)
    official = f"the official {imported.official}" if imported.official else "not one of the official ones"
    epochs = ", ".join(map(str, imported.epochs))
    trainings = f"{imported.records:,} trainings of {epochs} epochs"
    say(
        console,
        "Imported",
        f"{imported.cells:,} cells from {trainings} to {options.out}; the file is {official}",
    )
    if 108 not in imported.epochs:
        columns = [f"table.{part}=cifar10.{part}.{imported.epochs[-1]}" for part in ("observed", "test")]
        _then(console, "experiment=nb101_ltr", f"table.path={options.out}", *columns)


def import_nb201(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of official files of NAS-Bench-201 or NATS-Bench."""
    from acenas.tables.importers.nasbench201 import import_nasbench201

    with progress_bar(f"reading {options.file.name}") as progress:
        count = import_nasbench201(options.file, options.out, find_space("nasbench201"), progress)
    say(console, "Imported", f"{count:,} cells to {options.out}")


def import_nds_file(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of an official file of NDS."""
    from acenas.spaces.nds.cells import FAMILIES, from_genotype
    from acenas.tables.importers.nds import ToArch, import_nds

    def to_arch(family: str) -> ToArch:
        return lambda genotype, width, depth: str(from_genotype(FAMILIES[family], genotype, width, depth))

    named = {"name": options.name, "accuracy": options.accuracy}
    with _reading(options.file) as progress:
        imported = import_nds(options.file, options.out, to_arch, **named, progress=progress)
    left_out = f"; {imported.unfinished:,} unfinished trainings left out" if imported.unfinished else ""
    say(
        console,
        "Imported",
        f"{imported.architectures:,} architectures from {imported.trainings:,} trainings to {options.out}{left_out}",
    )
    family, dataset, fixed = imported.file
    _then(
        console,
        f"experiment=nds_{family}_ltr",
        f"table.dataset={dataset}{'_fixed' if fixed else ''}",
        f"table.path={options.out}",
        f"table.epochs.{dataset}={imported.epochs}",
    )


def import_acenas_files(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of files of AceNAS' authors."""
    from acenas.spaces import LabelledGraphs
    from acenas.tables.importers.acenas import import_acenas

    files, said = (options.file, options.out), (options.dataset, options.epochs, options.unit, options.weak)
    imported = import_acenas(*files, LabelledGraphs.write, *said)
    say(
        console,
        "Imported",
        f"{imported.architectures:,} architectures to {options.out}, of them {imported.labelled:,} with weak labels",
    )
    _then(
        console,
        "experiment=graphs_ltr",
        f"table.path={options.out}",
        f"table.dataset={options.dataset}",
        f"table.epochs={options.epochs}",
        *(f"space.{name}={getattr(imported, name)}" for name in ("graphs", "nodes", "tags")),
    )


def import_csv(options: argparse.Namespace, console: Console) -> None:
    """Makes a table of a file of one's own."""
    from acenas.tables.importers.own import import_own

    space, columns = _named_space(options.space), renamed_columns(options.column)
    said = {name: getattr(options, name) for name in ("repeated", "source", "licence", "provenance")}
    checked = space or SimpleNamespace(name=options.space, parse=str)
    count = import_own(options.file, options.out, checked, columns, options.unit, **said)
    say(console, "Imported", f"{count:,} architectures to {options.out}")
    if space is None:
        say(console, "Note", UNCHECKED.format(options.space), "yellow")


def _named_space(name: str) -> Any:
    """Returns the search space that `open_space` opens, or that of acenas of that name; else None.

    Raises:
        UserError: as `open_space`, or where a name is nearly that of a space of acenas.
    """
    from acenas.spaces.described import open_space
    from acenas.spaces.nds.cells import FAMILIES

    if opened := open_space(name):
        return opened[0]
    space = find_space(name)
    known = [
        "nasbench101",
        "nasbench201",
        "mobilenet",
        "labelled_graphs",
        *(f"nds_{family}" for family in FAMILIES),
    ]
    if space is None and (near := difflib.get_close_matches(name, known, 1, 0.8)):
        raise UserError(
            f"there is no search space {name}; did you mean {near[0]}? Name one of your own as module.Class, or "
            "otherwise"
        )
    return space


def _add_unit(command: argparse.ArgumentParser, *more: str) -> None:
    command.add_argument(
        "--unit",
        required=True,
        choices=("percent", "fraction", "error", *more),
        help="of the file's accuracies: 93.4, 0.934, or the error in percent, 6.6"
        + ("; none for other values, kept as they are" if more else ""),
    )


def _then(console: Console, *overrides: str) -> None:
    console.print(f"Then: python -m acenas {shlex.join(overrides)}", soft_wrap=True, markup=False)


def _reading(path: Path) -> AbstractContextManager[Callable[..., None]]:
    """Shows a progress bar over the bytes of a file."""
    size = path.stat().st_size if path.exists() else 0
    return progress_bar(f"reading {path.name}", DownloadColumn(), total=size)
