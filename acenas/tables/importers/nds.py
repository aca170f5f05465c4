"""NDS (Radosavovic et al., ICCV 2019, arXiv 1905.13214): the cell spaces among the JSON files of its archive.

A record is one training. Its accuracies are errors in percent, measured on test images (of CIFAR-10) or validation
images (of ImageNet) after each epoch: there is no other split.
"""

import datetime
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast

import numpy as np
import pyarrow as pa

from acenas.errors import UserError
from acenas.files import reading, unpacked
from acenas.tables.importers.files import check_file, reading_record, repeats, sha256
from acenas.tables.importers.jsonlist import read_items
from acenas.tables.schema import ARCH, TableMetadata, write_table

WHAT = "a file of NDS such as DARTS.json, or its archive data.zip"

SPACES = {"DARTS": "darts", "ENAS": "enas", "PNAS": "pnas", "NASNet": "nasnet", "Amoeba": "amoeba"}
"""How the names of the cell spaces' files begin → the family of architectures."""

_DEPTHS = {"cifar10": {4, 8, 12, 16, 20}, "imagenet": {6, 10, 14, 18, 22}}

Accuracy = Literal["last", "best"]
"""After the last epoch, or the best of all epochs: a choice that looks at test images."""

ToArch = Callable[[Mapping[str, Any], int, int], str]
"""The architecture of a genotype, a width and a depth; raises `UserError` where there is none."""


class File(NamedTuple):
    """The parts of a file's name."""

    family: str
    dataset: str
    fixed: bool  # one width and depth for all


def file_of(name: str) -> File:
    """What the file called `name` (without `.json`) holds.

    Raises:
        UserError: where it is not one of those whose trainings differ in cells, width and depth alone.

    >>> file_of("PNAS_fix-w-d")
    File(family='pnas', dataset='cifar10', fixed=True)
    >>> file_of("DARTS_in").dataset
    'imagenet'
    """
    space, _, variant = name.partition("_")
    if variant.startswith("lr-wd"):
        raise UserError(
            f"{name} holds trainings with different learning rates and weight decays: it ranks those as well as "
            f"architectures; choose {space}" + variant.removeprefix("lr-wd")
        )
    if space not in SPACES or variant not in ("", "in", "fix-w-d"):
        raise UserError(
            f"{name} is not a file of cells; choose one of {', '.join(SPACES)}, or with _in (ImageNet) or _fix-w-d "
            "(one width and depth) behind it, and leave the files their official names"
        )
    return File(SPACES[space], "imagenet" if variant == "in" else "cifar10", variant == "fix-w-d")


class Imported(NamedTuple):
    """What an import read: `unfinished` trainings, with fewer epochs than planned, are left out."""

    trainings: int
    architectures: int
    unfinished: int
    file: File
    epochs: int


def import_nds(
    path: str | Path,
    out: str | Path,
    to_arch: Callable[[str], ToArch],
    *,
    name: str | None = None,
    accuracy: Accuracy = "last",
    progress: Callable[[int, int], object] | None = None,
) -> Imported:
    """Turns an official file into a table at `out`.

    The table of a file of data set D (`cifar10` or `imagenet`) whose trainings had E epochs has, in percent,

    - `D.observed.E`: the accuracy of an architecture's first training, which is what a search may see,
    - `D.test.E`: the mean of all of its trainings, and with `.s0`, `.s1` ... each, where one was trained repeatedly,

    and `D.params_m`, `D.flops_m` (as in the file, in millions). All accuracies are measured on the same images, so
    those that a search observes are optimistic.

    Args:
        path: a JSON file, or the archive.
        out: the Parquet file to make or replace.
        to_arch: for a family such as `darts`, what writes its architectures.
        name: of the file, as in the archive, without `.json`; None for that of `path`.
        accuracy: which one is taken.
        progress: called with the bytes read so far, and the size of the file.

    Raises:
        UserError: as `file_of` and `read_items`, for genotypes that are not of the family, values that are no errors
            in percent, trainings that differ in more than their architectures, and files of the other data set.
    """
    path = Path(path)
    with _opened(path, name) as (file, size, name):
        what = file_of(name)
        rows = _Rows(what, accuracy, to_arch(what.family))
        where = f"{path}, {name}" if path.suffix == ".zip" else str(path)
        report_bytes = None if progress is None else lambda done: progress(done, size)
        number = 0
        for number, record in enumerate(read_items(file, where, report_bytes), start=1):
            with reading_record(f"{where}, record {number - 1:,}", WHAT):
                rows.add(record)
    try:
        table = rows.table()
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    taken = (
        "after the last epoch" if accuracy == "last" else "the best of all epochs, chosen by the same images"
    )
    write_table(
        table,
        out,
        TableMetadata(
            f"nds_{what.family}",
            source=f"NDS (Radosavovic et al., 2019, arXiv 1905.13214), {name}.json",
            date=datetime.date.today().isoformat(),
            provenance=f"imported by acenas from a file with SHA-256 {sha256(path)}; 100 minus the top-1 error on "
            f"{_IMAGES[what.dataset]}, {taken}; there is no other split: observed and test are of the same images",
        ),
    )
    return Imported(number, len(table), rows.unfinished, what, rows.epochs)


_IMAGES = {"cifar10": "test images of CIFAR-10", "imagenet": "validation images of ImageNet"}


@contextmanager
def _opened(path: Path, name: str | None) -> Iterator[tuple[BinaryIO, int, str]]:
    """Yields the JSON file, its size in bytes, and its official name; what is wrong with it then is one `UserError`."""
    check_file(path, WHAT)
    with reading(path), path.open("rb") as file:
        if path.suffix != ".zip":
            yield file, path.stat().st_size, name or path.stem
            return
        with zipfile.ZipFile(file) as archive:
            files = [info for info in archive.infolist() if info.filename.endswith(".json")]
            members = {Path(info.filename).stem: info for info in files}
            if name not in members:
                cells = [member for member in members if member.partition("_")[0] in SPACES]
                raise UserError(
                    f"{path}: say which file with --name: {', '.join(cells) or 'it has none of cells'}"
                )
            with archive.open(members[name]) as member:
                yield unpacked(cast(BinaryIO, member), path.stat().st_size), members[name].file_size, name


class _Rows:
    """The trainings of each architecture, as they are read."""

    def __init__(self, what: File, accuracy: Accuracy, to_arch: ToArch) -> None:
        self._what, self._accuracy, self._to_arch = what, accuracy, to_arch
        self._of_arch: dict[str, list[float]] = {}
        self._costs: dict[str, tuple[float, float]] = {}
        self._plans: set[tuple[float, float, int]] = set()  # learning rate, weight decay, epochs
        self._sizes: set[tuple[int, int]] = set()  # width, depth
        self._gains: list[float] = []  # by how much the error fell over each training
        self.unfinished = 0

    @property
    def epochs(self) -> int:
        """Of every training."""
        ((_, _, epochs),) = self._plans
        return epochs

    def add(self, record: Mapping[str, Any]) -> None:
        """Raises `ValueError`, or what a wrong format makes of it."""
        net, optim, errors = record["net"], record["optim"], record["test_ep_top1"]
        if "genotype" not in net:
            raise ValueError("its network has no genotype: it is of a space without cells")
        self._plans.add((float(optim["base_lr"]), float(optim["wd"]), int(optim["max_ep"])))
        if len(self._plans) > 1:
            raise ValueError(
                "learning rate, weight decay or epochs (base_lr, wd, max_ep) differ from those of the records before "
                f"it: {sorted(self._plans)}"
            )
        arch = self._to_arch(net["genotype"], net["width"], net["depth"])
        self._sizes.add((net["width"], net["depth"]))
        if len(errors) < optim["max_ep"]:
            self.unfinished += 1
            return
        if len(errors) > optim["max_ep"]:
            raise ValueError(
                f"it has {len(errors)} errors, one for each epoch, and only {optim['max_ep']} epochs"
            )
        if not all(0 <= error <= 100 for error in errors):  # NaN is not either
            raise ValueError("test_ep_top1 holds values outside 0 to 100, and errors in percent are due")
        best = float(record.get("min_test_top1", min(errors)))
        if not math.isclose(best, min(errors), abs_tol=1e-3):
            raise ValueError(
                f"min_test_top1 is {best:g}, and the smallest of test_ep_top1 is {min(errors):g}"
            )
        self._gains.append(errors[0] - errors[-1])
        error = errors[-1] if self._accuracy == "last" else best
        self._of_arch.setdefault(arch, []).append(round(100 - error, 6))
        self._costs[arch] = record["params"] / 1e6, record["flops"] / 1e6

    def table(self) -> pa.Table:
        """One row for each architecture. Raises `ValueError` where the trainings as a whole are not what is due."""
        if not self._of_arch:
            raise ValueError("it has no finished trainings")
        dataset = self._what.dataset
        depths = {depth for _, depth in self._sizes}
        for other, its_depths in _DEPTHS.items():
            if other != dataset and depths <= its_depths:
                raise ValueError(
                    f"its depths {sorted(depths)} are those of {other}, and its name says {dataset}"
                )
        if self._what.fixed and len(self._sizes) > 1:
            raise ValueError(f"its name says fix-w-d, and there are {len(self._sizes)} widths and depths")
        best = max(max(values) for values in self._of_arch.values())
        if min(min(values) for values in self._of_arch.values()) >= 99:
            raise ValueError("no error is above 1: it holds fractions, and percent is due")
        if np.median(self._gains) < 0:
            raise ValueError(
                f"errors grow in most trainings (to {100 - best:g} at least): it holds accuracies"
            )
        epochs = self.epochs
        trainings = list(self._of_arch.values())
        columns = {
            ARCH: pa.array(list(self._of_arch)),
            f"{dataset}.observed.{epochs}": pa.array([values[0] for values in trainings]),
            f"{dataset}.test.{epochs}": pa.array([sum(values) / len(values) for values in trainings]),
        }
        of_each = repeats(f"{dataset}.test.{epochs}", trainings)
        columns |= {name: pa.array(values) for name, values in of_each.items()}
        params, flops = np.array([self._costs[arch] for arch in self._of_arch]).T
        return pa.table(
            columns | {f"{dataset}.params_m": pa.array(params), f"{dataset}.flops_m": pa.array(flops)}
        )
