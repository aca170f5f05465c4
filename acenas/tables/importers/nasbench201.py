"""NAS-Bench-201 (Dong and Yang, ICLR 2020) and the topology space of NATS-Bench (Dong et al., 2021), from their files.

Both keep for each cell and length of training a state, and in it for each data set and seed a trial. They are pickles,
of which only plain values and NumPy's scalars are loaded.
"""

import bz2
import datetime
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from acenas.errors import UserError
from acenas.files import load_plain, reading, unpacked
from acenas.tables.importers.files import check_file, reading_record
from acenas.tables.importers.kept import KeptParts
from acenas.tables.schema import ARCH, TableMetadata, write_table

if TYPE_CHECKING:
    from acenas.spaces import SearchSpace  # imports torch

WHAT = "a NAS-Bench-201 .pth file, a folder of its archives, or a NATS-tss folder or .pickle.pbz2 file"

_PART = 500  # files that a kill may cost, read in seconds

EPOCHS = {"12": 12, "200": 200, "less": 12, "full": 200}
"""Names of the lengths of training in NATS-Bench and in NAS-Bench-201."""


class Split(NamedTuple):
    """Where an accuracy is kept: the key of the data set, and the set of images that it was measured on."""

    trained_on: str
    images: str


SPLITS = {
    "cifar10": {"valid": Split("cifar10-valid", "x-valid"), "test": Split("cifar10", "ori-test")},
    "cifar100": {"valid": Split("cifar100", "x-valid"), "test": Split("cifar100", "x-test")},
    "imagenet16": {"valid": Split("ImageNet16-120", "x-valid"), "test": Split("ImageNet16-120", "x-test")},
}
"""The official reading: validation on CIFAR-10 is of networks trained on half of the images, testing of others."""


Progress = Callable[[int, int], object]
"""Called with the number of cells read so far, and of all."""


def import_nasbench201(
    path: str | Path, out: str | Path, space: "SearchSpace", progress: Progress | None = None
) -> int:
    """Turns the official file or folder at `path` into a table at `out`; returns its number of cells.

    For each data set D and length of training E (12 and 200 epochs, which are trainings of their own) the table has

    - `D.valid.E`, `D.test.E`: mean accuracy over seeds, and with `.s<seed>` that of each; see `SPLITS`,
    - `D.observed.E`: the validation accuracy of the first seed, which is what a search may see,
    - `D.train_seconds.E`: mean seconds of a training, where all are recorded,

    and `D.params_m`, `D.flops_m` and the official number `index`. A folder is read file by file, and an
    import of one that was killed goes on where it was. A single file is read whole, but of its curves only what is
    due is kept: a small part of the file's size in memory (`benchmarks/imports.md`).

    Args:
        path: a `.pth` file, a folder of `*-FULL.pth`, a NATS-tss folder, or a NATS-tss `.pickle.pbz2` file.
        out: the Parquet file to make or replace.
        space: the search space.
        progress: see `Progress`.

    Raises:
        UserError: where something is missing, damaged or asks to run code, is of another data set or length of training
            than it is filed under, or is no accuracy in percent.
    """
    path = Path(path)
    with reading(path), KeptParts(path, Path(out)) if path.is_dir() else nullcontext() as kept:
        rows = _read_all(path, space, progress, kept)
    if not rows:
        raise UserError(f"{path} holds no cells; name {WHAT}")
    names = sorted({name for row in rows for name in row}, key=_order)
    for name in (f"{dataset}.valid.{epochs}" for dataset in SPLITS for epochs in (12, 200)):
        values = [row[name] for row in rows if name in row]
        if values and max(values) <= 1:  # a single cell may be as bad as that
            raise UserError(f"{path}: no value of {name} is above 1: it holds fractions, and percent is due")
    columns = {name: pa.array([row.get(name) for row in rows]) for name in names}
    metadata = TableMetadata(
        space.name,
        source=f"NAS-Bench-201 (Dong and Yang, 2020, arXiv 2001.00326), {path.name}",
        date=datetime.date.today().isoformat(),
        provenance="imported by acenas; cifar10.valid is of networks trained on half of the training images, "
        "cifar10.test of networks trained on all; D.observed is the first seed of D.valid",
    )
    write_table(pa.table(columns), out, metadata)
    return len(rows)


def _read_all(
    path: Path, space: "SearchSpace", progress: Progress | None, kept: KeptParts | None = None
) -> list[dict[str, Any]]:
    """Returns the columns of each cell; those in `kept` are not read again."""
    rows: list[dict[str, Any]] = []
    for part, _ in kept.read() if kept else ():
        rows += [
            {name: value for name, value in row.items() if value is not None} for row in part.to_pylist()
        ]
    for count, index, info, where in _cells(path, len(rows)):
        with reading_record(where, WHAT):
            rows.append(_row(index, info))
            space.validate(rows[-1][ARCH])
        if kept and len(rows) % _PART == 0:
            kept.add(pa.Table.from_pylist(rows[-_PART:], _schema(rows[-_PART:])), len(rows))
        if progress is not None:
            progress(len(rows), count)
    return rows


def _schema(rows: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """Returns the schema of all columns that one of `rows` has."""
    kinds = {ARCH: pa.string(), "index": pa.int64()}
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.schema({name: kinds.get(name, pa.float64()) for name in names})


def _order(name: str) -> tuple[int, str]:
    return (0 if name == ARCH else 1 if name == "index" else 2, name)


# --- the files ---


def _cells(path: Path, start: int = 0) -> Iterator[tuple[int, int, Any, str]]:
    """Yields (number of cells, index, {length of training: state}, place for messages) of each from `start` on."""
    if path.is_dir():
        archives = sorted(path.glob("*-FULL.pth"))
        if archives:
            for archive in archives[start:]:
                yield len(archives), int(archive.name.split("-")[0]), _load_pth(archive), str(archive)
            return
        meta = _meta(_load_pickle(path / "meta.pickle.pbz2"), path / "meta.pickle.pbz2")
        for index, arch in list(enumerate(meta))[start:]:
            file = path / f"{index:06d}.pickle.pbz2"
            info = _load_pickle(file if file.exists() else path / f"{index}.pickle.pbz2")
            _check_arch(info, arch, file)
            yield len(meta), index, info, str(file)
        return
    load = _load_pickle if path.name.endswith(".pbz2") else _load_pth
    content = load(path, _shrink_trial)
    meta = _meta(content, path)
    infos = content.get("arch2infos")
    if not isinstance(infos, Mapping):
        raise UserError(f"{path} holds no results (arch2infos); name {WHAT}")
    for index, arch in enumerate(meta):
        if index not in infos:
            raise UserError(f"{path} lacks cell {index}, {arch}; get the whole file")
        _check_arch(infos[index], arch, path)
        yield len(meta), index, infos[index], f"{path}, cell {index}"


def _meta(content: Any, path: Path) -> Sequence[str]:
    archs = content.get("meta_archs") if isinstance(content, Mapping) else None
    if not (isinstance(archs, Sequence) and all(isinstance(arch, str) for arch in archs)):
        raise UserError(f"{path} has no list of its cells (meta_archs); name {WHAT}")
    return archs


def _check_arch(info: Any, arch: str, path: Path) -> None:
    for state in info.values() if isinstance(info, Mapping) else ():
        found = state.get("arch_str") if isinstance(state, Mapping) else arch
        if not isinstance(found, str) or found != arch:
            found = found if isinstance(found, str) else type(found).__name__
            raise UserError(f"{path} holds cell {found}, but {arch} is filed there; get it again")


def _shrink_trial(filled: dict[Any, Any]) -> None:
    """Drops of a trial all that `_row` does not read: most of its curves. Other dicts stay as they are."""
    if "eval_acc1es" not in filled or "train_losses" not in filled:
        return
    for name in ("train_acc1es", "train_acc5es", "train_losses", "eval_losses", "eval_times"):
        if filled.get(name):
            filled[name].clear()
    last = f"@{int(filled['epochs']) - 1}"
    accuracies = filled["eval_acc1es"]
    kept = {key: value for key, value in accuracies.items() if key.endswith(last)}
    accuracies.clear()  # which frees its memory, as taking items out would not
    accuracies.update(kept)
    if times := filled.get("train_times"):
        total = math.fsum(map(float, times.values()))
        times.clear()
        times[0] = total


Shrink = Callable[[dict[Any, Any]], object]
"""See `load_plain`."""


def _load_pickle(path: Path, shrink: Shrink | None = None) -> Any:
    check_file(path, WHAT)
    with bz2.open(path) as file:
        return load_plain(unpacked(cast(BinaryIO, file), path.stat().st_size), path, shrink)


_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def _load_pth(path: Path, shrink: Shrink | None = None) -> Any:
    """What `torch.save` wrote: an archive with the pickle `data.pkl`, or, before torch 1.6, pickles in a row."""
    check_file(path, WHAT)
    with reading(path), path.open("rb", buffering=1 << 20) as file:
        if zipfile.is_zipfile(path) or file.read(2) == b"PK":
            with zipfile.ZipFile(file) as archive:
                name = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
                if name is None:
                    raise UserError(
                        f"{path} is an archive, but none of torch: it has no data.pkl; name {WHAT}"
                    )
                with archive.open(name) as member:
                    return load_plain(unpacked(cast(BinaryIO, member), path.stat().st_size), path, shrink)
        file.seek(0)
        magic, _version, _system = (load_plain(file, path) for _ in range(3))
        if magic != _LEGACY_MAGIC:
            raise UserError(f"{path} is a pickle, but none that torch saved; name {WHAT}")
        return load_plain(file, path, shrink)


# --- one cell ---


def _row(index: int, info: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns all columns of a cell. Raises `ValueError`, or what a wrong format leads to."""
    row: dict[str, Any] = {"index": index}
    for name, state in info.items():
        if name not in EPOCHS:
            raise ValueError(
                f"it has trainings called {name!r:.200}, and there are {', '.join(map(repr, EPOCHS))}"
            )
        if not isinstance(state["arch_str"], str):
            raise ValueError(f"its arch_str is a {type(state['arch_str']).__name__}, not text")
        row[ARCH] = str(state["arch_str"])
        for dataset in SPLITS:
            row |= _columns(dataset, EPOCHS[name], state["all_results"])
    if ARCH not in row:
        raise ValueError("it has no trainings")
    return row


def _columns(
    dataset: str, epochs: int, results: Mapping[tuple[str, int], Mapping[str, Any]]
) -> dict[str, float]:
    columns: dict[str, float] = {}
    for split, (trained_on, images) in SPLITS[dataset].items():
        # The seed is that of the key: the trial's own is a string with zeros before it.
        trials = {seed: trial for (key, seed), trial in sorted(results.items()) if key == trained_on}
        if not trials:
            others = ", ".join(sorted({key for key, _ in results}))
            raise ValueError(f"it has no training on {trained_on} for {epochs} epochs, only on {others}")
        of_seed = {seed: _accuracy(trial, trained_on, images, epochs) for seed, trial in trials.items()}
        columns |= {f"{dataset}.{split}.{epochs}.s{seed}": value for seed, value in of_seed.items()}
        columns[f"{dataset}.{split}.{epochs}"] = round(sum(of_seed.values()) / len(of_seed), 6)
        if split == "valid":
            columns[f"{dataset}.observed.{epochs}"] = next(iter(of_seed.values()))
            times = [trial.get("train_times") for trial in trials.values()]
            if all(times):
                seconds = [math.fsum(float(second) for second in time.values()) for time in times if time]
                columns[f"{dataset}.train_seconds.{epochs}"] = sum(seconds) / len(seconds)
        for cost, name in (("params", "params_m"), ("flop", "flops_m")):
            columns[f"{dataset}.{name}"] = _cost({seed: float(trial[cost]) for seed, trial in trials.items()})
    return columns


def _accuracy(trial: Mapping[str, Any], trained_on: str, images: str, epochs: int) -> float:
    """Returns percent, after the last epoch."""
    if trial["name"] != trained_on or int(trial["epochs"]) != epochs:
        raise ValueError(
            f"a training on {trial['name']} for {trial['epochs']} epochs is filed under {trained_on} and {epochs}"
        )
    key = f"{images}@{epochs - 1}"
    if key not in trial["eval_acc1es"]:
        raise ValueError(f"a training on {trained_on} for {epochs} epochs has no accuracy {key}")
    value = float(trial["eval_acc1es"][key])
    if not 0 <= value <= 100:
        raise ValueError(f"accuracy {key} on {trained_on} is {value:g}, and the file holds percent")
    return round(value, 5)  # single precision lies behind these


def _cost(of_seed: Mapping[int, float]) -> float:
    """Returns that of all seeds, or, where they disagree (a known defect), that of seed 888 as in the official fix."""
    first = next(iter(of_seed.values()))
    agree = len({round(value, 5) for value in of_seed.values()}) == 1
    return first if agree else of_seed.get(888, first)
