"""Reads finished runs to compare: their results, and the differences of their configurations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from acenas.errors import UserError
from acenas.evaluation.objective import Objective
from acenas.files import check_kind, read_frame
from acenas.report import runs
from acenas.report.comparison import HYPERVOLUME, along_epochs
from acenas.report.front import CURVE, read_true_front
from acenas.report.identity import Identity, identity_of, is_chance, key_of, method_overrides
from acenas.search.description import STUDY

DEFAULT = "default"
"""The name of a method of which nothing is said that is not said of all."""

OF_THE_TABLE = ("table", "table.dataset")
"""Overrides that say on what methods are compared."""


@dataclass(frozen=True)
class FinishedRun:
    """A run that is done.

    Attributes:
        folder: of the run.
        config: its keys, dotted, as in `search.budget`.
        summary: the content of `summary.json`.
        overrides: that were given for it, but for those of `NO_DIFFERENCE`; none where they are not known.
        space: the configuration of its search space, as it is in the file. It may come from a stranger: see
            `acenas.trust.build`.
        task: table and data set (of a benchmark's run: what that calls them), and the objective where other runs on
            these have another one.
        identity: what it is called.
    """

    folder: Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    overrides: Sequence[str] = ()
    space: Any = None
    task: str = ""
    identity: Identity = Identity("")  # noqa: RUF009 (frozen)

    @property
    def objective(self) -> Objective:
        """What its trainings showed."""
        return Objective.of(self.summary.get("objective", "accuracy"))

    @property
    def kind(self) -> str:
        """`test` where the run was judged, else `observed`: what is compared."""
        return "observed" if self.summary["best_known"] is None else "test"

    @property
    def column(self) -> str:
        """The key of what is compared, as in `test_accuracy`."""
        return f"{self.kind}_{self.objective.name}"

    @property
    def of_front(self) -> bool:
        """Whether it searched for a front, and the true one is known: then these are compared."""
        return (self.summary.get("front") or {}).get("hypervolume_share") is not None

    @property
    def in_epochs(self) -> bool:
        """Whether it had a budget of epochs: then its task is compared by what was paid of these."""
        return (self.summary.get("epochs") or {}).get("budget") is not None and not self.of_front

    @property
    def label(self) -> str:
        """What is compared, as in `test accuracy (%)`."""
        label = self.objective.label(self.kind)
        return f"front of {label} and {', '.join(self.summary['front']['costs'])}" if self.of_front else label


def read_runs(roots: Sequence[Path], benchmarks: bool = False) -> tuple[list[FinishedRun], dict[Path, str]]:
    """Reads the finished searches at or below `roots`, ordered by overrides and seeds; returns why others are left out.

    A run that lies below several roots is read once. Runs on the same table with different objectives, or of which only
    some were judged, are of different tasks.

    Args:
        roots: folders.
        benchmarks: whether to read the runs that benchmarks have made, rather than a person's own. They are read in
            any case where there are no others.

    Raises:
        UserError: where a root is missing or there is no finished search.
    """
    finished: list[FinishedRun] = []
    found: dict[Path, list[FinishedRun]] = {}
    left_out: dict[Path, str] = {}
    seen: set[Path] = set()
    for root in roots:
        if not root.is_dir():
            raise UserError(f"there is no folder {root}; name a run's folder, or one of runs")
        for folder in runs.run_folders(root):
            if folder.resolve() in seen:
                continue
            seen.add(folder.resolve())
            try:
                found.setdefault(root, []).append(_read(folder))
            except _LeftOutError as reason:
                left_out[folder] = str(reason)
    kinds = {run.identity.benchmark for its in found.values() for run in its}
    for root, its in found.items():
        chosen = [run for run in its if len(kinds) == 1 or run.identity.benchmark == benchmarks]
        finished += chosen
        if len(chosen) < len(its):
            whose = "a person's own, compared without" if benchmarks else "of benchmarks, compared with"
            left_out[root] = f"{len(its) - len(chosen)} runs {whose} --benchmark"
    if not finished:
        names = ", ".join(str(root) for root in roots)
        why = next((f" ({folder}: {why})" for folder, why in left_out.items() if why != _UNFINISHED), "")
        raise UserError(f"no finished search in {names}{why}; python -m acenas.status shows how far runs are")
    shown: dict[str, set[str]] = {}
    for run in finished:
        shown.setdefault(run.task, set()).add(run.label)
    finished = [
        replace(run, task=f"{run.task}, {run.label}") if len(shown[run.task]) > 1 else run for run in finished
    ]
    finished.sort(key=lambda run: (run.task, *run.overrides, f"{run.summary['seed']:09}"))
    return finished, left_out


_UNFINISHED = "not finished"


class _LeftOutError(Exception):
    """Why a run cannot be compared."""


def _read(folder: Path) -> FinishedRun:
    if not (folder / runs.SUMMARY).exists():
        raise _LeftOutError(_UNFINISHED)
    try:
        summary = runs.finished(folder) or {}
        if "returned" not in summary:
            raise _LeftOutError("no search: it returned no architecture")
        check_kind(summary, _COMPARED)
        column, maybe = FinishedRun(folder, {}, summary).column, (float, type(None))
        check_kind(summary, {"returned": {column: float}, "curve": [{f"returned_{column}": maybe}]})
        check_kind(summary["best_known"], ({column: float}, type(None)), "best_known")
        config = runs.config_of(folder, *([] if (folder / runs.CONFIG).exists() else [STUDY]))
        identity = identity_of(folder, summary)
        task = identity.task if identity.benchmark else f"{summary['table']} {summary['dataset']}".strip()
        overrides = method_overrides(folder)
        # Not every text of JSON is one of UTF-8, which pages are written in.
        json.dumps([summary, config, overrides], ensure_ascii=False, default=str).encode()
        run = FinishedRun(
            folder, dict(runs.flat(config)), summary, overrides, config.get("space"), task, identity
        )
        if run.of_front:
            results_of_front(run, "")  # it can be read
            read_true_front(folder, [column, *summary["front"]["costs"]])
        return run
    except _LeftOutError:
        raise
    except Exception as error:  # damaged files can fail in any way, and must not hide other runs
        told = str(error) if isinstance(error, UserError) else f"damaged: {type(error).__name__}: {error}"
        raise _LeftOutError(told) from error


_COMPARED = {
    "experiment": str,
    "seed": int,
    "table": str,
    "dataset": str,
    "trained": int,
    "best_known": (dict, type(None)),
    "returned": {"arch": str, "costs?": {str: float}},
    "curve": [{"trained": int, "ndcg@10": (float, type(None)), "epochs?": float}],
}
"""What is compared of the summaries of searches."""


def method_names(finished: Sequence[FinishedRun], group_by: Sequence[str] = ()) -> list[str]:
    """Names each run by its differences to the others; runs of the same name differ at most in `NO_DIFFERENCE`.

    Args:
        finished: the runs.
        group_by: the keys to name runs by, whatever else differs; by default all that differ.

    Returns:
        The overrides that were given for a run and not for all, as in `loss=ranknet, search.budget=50`, and `default`
        where there are none; of a benchmark's runs the names of its methods. Where that is ambiguous on a task, with
        the values of the keys in which runs of that name differ. With `group_by`, the values of its keys alone.

    Raises:
        UserError: for a key that no run has.
    """
    for key in group_by:
        if all(_value(run, key) is None for run in finished):
            raise UserError(f"no run has a key {key}; one such as loss._target_ or search.budget is meant")
    if group_by:
        return [_by_values(run, group_by) for run in finished]
    common = set.intersection(*(set(run.overrides) for run in finished))
    names = [
        run.identity.method
        if run.identity.benchmark
        else ", ".join(o for o in run.overrides if o not in common and key_of(o) not in OF_THE_TABLE)
        or DEFAULT
        for run in finished
    ]
    alike: dict[tuple[str, str], list[int]] = {}
    for number, (run, name) in enumerate(zip(finished, names, strict=True)):
        alike.setdefault((run.task, name), []).append(number)
    for (_, name), its in alike.items():
        if len({_without_chance(finished[number]) for number in its}) > 1:
            keys = _differing([finished[number] for number in its])
            for number in its:
                values = _by_values(finished[number], keys)
                names[number] = f"{name}, {values}" if name != DEFAULT and values else values or DEFAULT
    # One configuration has one name, however it was written.
    first = {_without_chance(run): name for run, name in reversed(list(zip(finished, names, strict=True)))}
    return [first[_without_chance(run)] for run in finished]


def settings_of(finished: Sequence[FinishedRun], methods: Sequence[str]) -> dict[str, dict[str, str]]:
    """Of each method that is a configuration of a person's own the values of the overrides that not all share."""
    own = [pair for pair in zip(finished, methods, strict=True) if not pair[0].identity.benchmark]
    common = set.intersection(*(set(run.overrides) for run, _ in own)) if own else set()
    return {
        method: {
            key_of(override): override.partition("=")[2]
            for override in run.overrides
            if override not in common and key_of(override) not in OF_THE_TABLE
        }
        for run, method in own
    }


def _differing(finished: Sequence[FinishedRun]) -> list[str]:
    keys = sorted({key for run in finished for key in run.config})
    differing = [key for key in keys if len({_written(_value(run, key)) for run in finished}) > 1]
    return [key for key in differing if not _is_no_difference(finished[0], key)]


def _by_values(run: FinishedRun, keys: Sequence[str]) -> str:
    """The values of those of `keys` that the run has."""
    values = {key: _value(run, key) for key in keys}
    there = [key for key in keys if values[key] is not None or key in run.config] or keys
    return ", ".join(f"{key.removesuffix('._target_')}={_written(values[key])}" for key in there)


def _value(run: FinishedRun, key: str) -> Any:
    """The value of a key, or all below it; None where there is none."""
    below = {other: value for other, value in run.config.items() if other.startswith(f"{key}.")}
    return run.config.get(key, below or None)


def _without_chance(run: FinishedRun) -> str:
    return json.dumps(
        {key: value for key, value in run.config.items() if not _is_no_difference(run, key)},
        sort_keys=True,
        default=str,
    )


def _is_no_difference(run: FinishedRun, key: str) -> bool:
    """Whether runs of one method may differ in it; a benchmark's method is tried with several budgets."""
    return is_chance(key) or (run.identity.benchmark and key in ("search.budget", "search.budget_epochs"))


def _written(value: Any) -> str:
    if value is None:
        return "–"
    text = json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else str(value)
    return text.rsplit(".", 1)[-1] if text.startswith("acenas.") else text


def results_of(finished: Sequence[FinishedRun], methods: Sequence[str]) -> pd.DataFrame:
    """Returns the results that `acenas.report.comparison` takes: one row for each round of each run.

    Of searches for a front one for each training; where a run has a budget of epochs, its task is by epochs paid.

    Args:
        finished: the runs.
        methods: their names.
    """
    parts, counting = [], {run.task: run.summary["epochs"]["full"] for run in finished if run.in_epochs}
    for run, method in zip(finished, methods, strict=True):
        if run.of_front:
            part = results_of_front(run, method)
        else:
            curve = pd.DataFrame(run.summary["curve"])
            part = results_of_run(run, method, curve["trained"], curve[f"returned_{run.column}"])
            if run.task in counting:
                part = by_epochs(run, part, curve.get("epochs"), counting[run.task])
        part["serves"] = part["trained"] == part["budget"]
        for name, cost in run.summary["returned"].get("costs", {}).items():
            part[name] = np.where(part["serves"], cost, np.nan)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def results_of_run(run: FinishedRun, method: str, trained: ArrayLike, value: ArrayLike) -> pd.DataFrame:
    """Returns the results of one run, but for `serves`.

    Args:
        run: that is done.
        method: its name.
        trained: `[N]`, numbers of trainings.
        value: `[N]`, of what the run would have returned then; NaN or None where nothing had worked.
    """
    summary, objective = run.summary, run.objective
    frame = pd.DataFrame({"trained": np.asarray(trained), "value": np.asarray(value, np.float64)})
    best = np.nan if summary["best_known"] is None else summary["best_known"][run.column]
    last_fit = pd.DataFrame(summary["curve"]).set_index("trained")["ndcg@10"].astype(np.float64)
    columns = {
        "task": run.task,
        "method": method,
        "seed": summary["seed"],
        "budget": summary["trained"],
        "regret": objective.sign * (best - frame["value"]),
        "kind": run.kind,
        "objective": objective.name,
        "unit": objective.unit,
        "direction": objective.direction,
        "ndcg@10": last_fit.reindex(frame["trained"], method="ffill").to_numpy(),
        "cpu_seconds": summary.get("cpu_seconds", {}).get("total", np.nan),
        "seconds": summary.get("seconds", {}).get("total", np.nan),
        "folder": str(run.folder),
    }
    return frame.assign(**columns)


def read_results(file: Path) -> pd.DataFrame:
    """Returns the results that a comparison or a benchmark has written, such as one of another machine.

    Raises:
        UserError: where the file holds something else.
    """
    text = dict.fromkeys(("task", "method", "kind", "objective", "unit", "direction", "folder"), "text")
    counted = dict.fromkeys(
        ("seed", "budget", "trained", "value", "regret", "ndcg@10", "cpu_seconds"), "numbers"
    )
    remedy = "name results.parquet of a comparison or of a benchmark, or folders of runs"
    results = read_frame(file, text | counted | {"serves": "truths"}, remedy)
    return results.assign(folder=[str(file.parent / folder) for folder in results["folder"]])


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Joins results of several places; a run that is in two of them, by task, method, seed and budget, is of the first.

    Raises:
        UserError: where a task has another objective in one of them, or is compared by epochs in one alone.
    """
    results = pd.concat(parts, ignore_index=True)
    by = (
        results.reindex(columns=["full_epochs"])["full_epochs"]
        .notna()
        .map({True: "along epochs", False: "along trainings"})
    )
    for task, of_task in results.assign(by=by).groupby("task", sort=False):
        what = of_task[["kind", "objective", "unit", "direction", "by"]].drop_duplicates()
        if len(what) > 1:
            one, other, *_ = (" ".join(map(str, row)) for row in what.itertuples(index=False))
            raise UserError(f"{task} is compared by {one} in one place and by {other} in another")
    run, place = ["task", "method", "seed", "budget"], np.repeat(range(len(parts)), [*map(len, parts)])
    first = results.assign(place=place).groupby(run, dropna=False)["place"].transform("min")
    kept: pd.DataFrame = results[place == first].reset_index(drop=True)
    return kept


def by_epochs(run: FinishedRun, results: pd.DataFrame, epochs: ArrayLike | None, full: float) -> pd.DataFrame:
    """The results of one run as `acenas.report.comparison.along_epochs` has them.

    Args:
        run: that is done.
        results: of it, by trainings.
        epochs: `[N]`, paid by each row; None where that run did not count them.
        full: epochs of a full training.
    """
    counted = run.summary.get("epochs") or {"budget": None, "full": full}
    full, of = counted["full"], counted["budget"]
    budget = float(run.summary["trained"]) if of is None else of / full
    return along_epochs(results, None if epochs is None else np.asarray(epochs, np.float64), full, budget)


def results_of_front(run: FinishedRun, method: str) -> pd.DataFrame:
    """Returns the results of a run that searched for a front, but for `serves`.

    Their `value` is the hypervolume of the front as a share of the true front's (`acenas.report.front`), and `igd_plus`
    is there beside it. Where the true front is not known, there are no values.

    Args:
        run: that is done.
        method: its name.
    """
    remedy = f"remove {run.folder} to run it again"
    curve = read_frame(run.folder / CURVE, {"trained": "numbers", "hypervolume": "numbers"}, remedy)
    curve = curve.reindex(columns=["trained", "hypervolume_share", "igd_plus"])
    # Before anything worked there is no front.
    trained = np.arange(1, run.summary["trained"] + 1)
    curve = curve.set_index("trained").reindex(trained, method="ffill")
    found = results_of_run(run, method, trained, curve["hypervolume_share"].to_numpy())
    of = {"objective": HYPERVOLUME, "unit": "", "direction": "max"}
    return found.assign(**of, regret=1 - found["value"], igd_plus=curve["igd_plus"].to_numpy())
