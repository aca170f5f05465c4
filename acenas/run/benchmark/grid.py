"""The runs of a benchmark: one for each method, task and seed, and for each budget where a run cannot serve several."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from hydra import compose
from joblib import cpu_count
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from acenas.errors import UserError
from acenas.evaluation import Evaluator, Judge
from acenas.executors import LocalProcesses, Lost
from acenas.executors.progress import show_progress
from acenas.files import read_frame
from acenas.report.epochs import paid
from acenas.report.finished import FinishedRun, by_epochs, results_of_front, results_of_run
from acenas.report.runs import finished, is_done
from acenas.run.api import complete
from acenas.run.command_line import sentences
from acenas.run.config import (
    check_config,
    check_protocol,
    choice_of,
    composing,
    config_in,
    instantiate,
    instantiate_in,
    run_folder,
)
from acenas.search import Search
from acenas.tables import find_table
from acenas.training.lightning import one_thread


@dataclass(frozen=True)
class Job:
    """One run: an ordinary one, made by overrides as a user would give them.

    Attributes:
        task: its name.
        method: its name.
        seed: of the run.
        budget: architectures that it trains, or the epochs of so many full trainings.
        serves: the budgets that it tells the results of.
        overrides: of `python -m acenas`, the seed apart.
        epochs: of a full training, where methods on its task are compared by epochs paid.
    """

    task: str
    method: str
    seed: int
    budget: int
    serves: tuple[int, ...]
    overrides: tuple[str, ...]
    epochs: float | None = None

    def __str__(self) -> str:
        return f"{self.method} on {self.task}, seed {self.seed}, budget {self.budget}"


class Benchmark:
    """Runs methods on tasks and collects what they found.

    A search that is `anytime` runs once, with the largest budget; its first architectures are those that a smaller
    budget would have trained. Others run once for each budget.

    A method without a budget of trainings (`search.budget=null`) has one of epochs, `search.budget_epochs`: as many as
    so many full trainings have. It runs once for each budget, as its last rounds are cut to what can be paid. On a task
    with such a method all are compared by the epochs that they paid.

    Args:
        methods: for each name, overrides of `python -m acenas`.
        tasks: likewise.
        budgets: architectures trained, all of them.
        seeds: of the runs.
        common: overrides of every run.
        conf_dir: the folder of the configs.
        most: the largest budget of some of the tasks.
        jobs: runs at a time, each of one thread; None for one per core.
        pages: whether each search gets its page, which takes seconds.
    """

    def __init__(
        self,
        methods: Mapping[str, Sequence[str]],
        tasks: Mapping[str, Sequence[str]],
        budgets: Sequence[int],
        seeds: Sequence[int],
        common: Sequence[str],
        conf_dir: str,
        most: Mapping[str, int] | None = None,
        jobs: int | None = None,
        pages: bool = False,
    ) -> None:
        self.methods = methods
        self.tasks = tasks
        self.budgets = tuple(sorted(set(budgets)))
        self.seeds = seeds
        self.common = tuple(common)
        self.conf_dir = conf_dir
        self.most = most or {}
        self.pages = pages
        self.workers = cpu_count() if jobs is None else jobs

    def jobs(self) -> list[Job]:
        """All runs, the seeds outermost: what is interrupted has compared every method on some seeds.

        Raises:
            UserError: where a method or a task cannot be composed or run, or no task has its table.
        """
        missing = self.without_tables()
        if len(missing) == len(self.tasks):
            raise UserError(next(iter(missing.values())))
        tasks = [task for task in self.tasks if task not in missing]
        budgets = {(task, method): self._runs(task, method) for task in tasks for method in self.methods}
        epochs = {
            task: self._epochs(task)
            for task in tasks
            if any(self._counts_epochs(task, method) for method in self.methods)
        }
        return [
            Job(task, method, seed, budget, serves, self._overrides(task, method, budget), epochs.get(task))
            for seed in self.seeds
            for (task, method), served in budgets.items()
            for budget, serves in served.items()
        ]

    def without_tables(self) -> dict[str, str]:
        """The tasks whose tables are not at hand or lack a column, and why; they are left out."""
        missing = {}
        for task in self.tasks:
            cfg = self._without_budget(task, next(iter(self.methods)))
            try:
                if cfg.table:
                    check_protocol(cfg)
            except UserError as error:
                missing[task] = str(error)
        return missing

    def run(self, console: Console) -> tuple[pd.DataFrame, dict[Job, str]]:
        """Makes the runs that are not done yet.

        Returns:
            The results, see `results_of`, and for each job that failed why.
        """
        if absent := self.without_tables():
            why = next(iter(absent.values()))
            console.print(f"Left out: {', '.join(absent)}; {why}", markup=False, soft_wrap=True)
        jobs = self.jobs()
        done = {job: _finished(job, self.conf_dir, self.pages) for job in jobs}
        missing = [job for job, folder in done.items() if not folder]
        by_name = {Path(str(job)): job for job in missing}
        work = {name: partial(_attempt, job, self.conf_dir, self.pages) for name, job in by_name.items()}
        rest = LocalProcesses().run(work, Path(), self.workers)
        failed: dict[Job, str] = {}
        shown = show_progress(rest, len(jobs), len(jobs) - len(missing), console, "ran", "searches")
        for name, result in shown:
            job, outcome = by_name[name], result.why if isinstance(result, Lost) else result
            if isinstance(outcome, Path):
                done[job] = outcome
            else:
                failed[job] = outcome
                console.print(f"Failed: {job}: {outcome.splitlines()[-1]}", markup=False, soft_wrap=True)
        judges: dict[str, Judge] = {}
        frames = [results_of(job, folder, judges) for job, folder in done.items() if folder]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(), failed

    def _overrides(self, task: str, method: str, budget: int | None = None) -> tuple[str, ...]:
        # The method comes last: it may do without the task's weak labels.
        given = (*self.common, *self.tasks[task], *self.methods[method])
        if budget is None:
            return given
        if self._counts_epochs(task, method):
            return (*given, f"search.budget_epochs={budget * self._epochs(task):g}")
        return (*given, f"search.budget={budget}")

    def _without_budget(self, task: str, method: str) -> DictConfig:
        """The config of a method on a task, but for its budget."""
        return _composed(self._overrides(task, method), self.conf_dir)

    def _counts_epochs(self, task: str, method: str) -> bool:
        search = self._without_budget(task, method).search
        return bool(search) and search.budget is None

    def _epochs(self, task: str) -> float:
        """Of a full training."""
        found = _epochs_of(self._overrides(task, next(iter(self.methods))), self.conf_dir)
        if found is None:
            counting = next(method for method in self.methods if self._counts_epochs(task, method))
            raise UserError(
                f"method {counting} has a budget of epochs, and trainings of task {task} do not report on their way: "
                "choose tasks=epochs, or a task with table.curve"
            )
        return found

    def _runs(self, task: str, method: str) -> dict[int, tuple[int, ...]]:
        """The budgets to run, and those that each of them serves."""
        budgets = tuple(budget for budget in self.budgets if budget <= self.most.get(task, budget))
        if not budgets:
            raise UserError(f"task {task} has no budget: choose one of {self.most[task]} or less")
        cfg = _composed(self._overrides(task, method, max(budgets)), self.conf_dir)
        check_config(cfg)
        if not cfg.search:
            raise UserError(f"method {method} on task {task} searches nothing: leave it out")
        if self._counts_epochs(task, method):
            return {budget: (budget,) for budget in budgets}
        search: Search = instantiate(choice_of(cfg, "search"))
        if search.anytime(bool(cfg.search.get("front"))):
            return {max(budgets): budgets}
        return {budget: (budget,) for budget in budgets}


def results_of(job: Job, folder: Path, judges: dict[str, Judge]) -> pd.DataFrame:
    """What a finished run returned after each of its trainings.

    Args:
        job: that made it.
        folder: of the run.
        judges: opened so far, by their configuration; new ones are added.

    Returns:
        Rows as `acenas.report.comparison` describes them, by trainings, or with `job.epochs` by epochs; and beside it
        `arch`, what is returned, and what was observed of it, `observed_<objective>`. Of a search with a front how good
        that was.
    """
    cfg, summary = config_in(folder), finished(folder)
    assert summary is not None
    run = FinishedRun(folder, {}, summary, task=job.task)
    if "front" in summary:
        results = results_of_front(run, job.method)
        return results.assign(serves=results["trained"].isin(job.serves))
    column = run.objective.column
    columns = {"arch": "text", "returned": "text", column: "numbers"}
    observations = read_frame(folder / "observations.parquet", columns, f"remove {folder} to run it again")
    returned = observations["returned"]
    observed = returned.map(observations.groupby("arch")[column].mean())
    judge = _judge(cfg, folder, judges)
    value = observed if judge is None else returned.map(_tested(judge, returned[observed.notna()]))
    trained = np.arange(1, len(returned) + 1)
    results = results_of_run(run, job.method, trained, value).assign(arch=returned, **{column: observed})
    if job.epochs is not None:
        results = by_epochs(run, results, paid(observations), job.epochs)
    return results.assign(serves=results["trained"].isin(job.serves))


def _judge(cfg: DictConfig, folder: Path, judges: dict[str, Judge]) -> Judge | None:
    """The judge of a run; None where there is none. One that needs no folder serves all runs with its configuration."""
    if not cfg.judge:
        return None
    if "path" in cfg.judge:
        cfg.judge.path = str(find_table(cfg.judge.path, cfg.data_dir))
    if cfg.judge.get("_partial_"):
        return cast(Judge, instantiate_in(cfg.judge, folder / "trained"))
    key = OmegaConf.to_yaml(cfg.judge)
    if key not in judges:
        judges[key] = instantiate(cfg.judge)
    return judges[key]


def _tested(judge: Judge, archs: pd.Series[str]) -> dict[str, float]:
    distinct = list(dict.fromkeys(archs))
    return dict(zip(distinct, judge.test_accuracy(distinct).tolist(), strict=True))


@cache
def _epochs_of(overrides: tuple[str, ...], conf_dir: str) -> float | None:
    """The epochs of a full training of runs; None where trainings do not report on their way."""
    cfg = copy.deepcopy(_composed(overrides, conf_dir))
    if cfg.table:
        cfg.table.path = str(find_table(cfg.table.path, cfg.data_dir))
    evaluator: Evaluator = instantiate_in(choice_of(cfg, "evaluator"), run_folder(cfg) / "trained")
    return evaluator.epochs


@cache
def _composed(overrides: tuple[str, ...], conf_dir: str) -> DictConfig:
    """The config of runs whatever their seed, composed apart from that of the benchmark."""
    with sentences(), composing(conf_dir):
        return compose("config", list(overrides))


def _config(job: Job, conf_dir: str) -> DictConfig:
    """The config of the job's run: a copy with its seed, since composing takes much longer."""
    cfg = copy.deepcopy(_composed(job.overrides, conf_dir))
    cfg.seed = job.seed
    return cfg


def _finished(job: Job, conf_dir: str, page: bool) -> Path | None:
    """The folder of the job's run where that is done."""
    folder = run_folder(_config(job, conf_dir))
    return folder if is_done(folder, page) else None


def _attempt(job: Job, conf_dir: str, page: bool) -> Path | str:
    """Makes one run, in a process of its own; its folder, or the last lines of what went wrong."""
    try:
        cfg = _config(job, conf_dir)
        check_config(cfg)
        folder = run_folder(cfg)
        with one_thread(), redirect_stdout(None):
            overrides = [*job.overrides, f"seed={job.seed}"]
            complete(cfg, folder, overrides, named=(job.method, job.task), page=page)
        return folder
    except UserError as error:
        return str(error)
    except Exception:  # one failed run must not take the others along
        return traceback.format_exc()
