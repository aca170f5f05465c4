"""The runs of a benchmark: one for each method, task and seed, and for each budget where a run cannot serve several."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from hydra import compose
from joblib import cpu_count
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from acenas.errors import UserError
from acenas.evaluation import TableJudge
from acenas.executors import LocalProcesses, Lost
from acenas.executors.progress import show_progress
from acenas.files import read_frame
from acenas.report.runs import finished
from acenas.run.api import complete
from acenas.run.config import check_config, choice_of, composing, instantiate, run_folder
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
        budget: architectures that it trains.
        serves: the budgets that it tells the results of.
        overrides: of `python -m acenas`, the seed apart.
    """

    task: str
    method: str
    seed: int
    budget: int
    serves: tuple[int, ...]
    overrides: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} on {self.task}, seed {self.seed}, budget {self.budget}"


class Benchmark:
    """Runs methods on tasks and collects what they found.

    A search that is `anytime` runs once, with the largest budget; its first architectures are those that a smaller
    budget would have trained. Others run once for each budget.

    Args:
        methods: for each name, overrides of `python -m acenas`.
        tasks: likewise.
        budgets: architectures trained, all of them.
        seeds: of the runs.
        common: overrides of every run.
        conf_dir: the folder of the configs.
        jobs: runs at a time, each of one thread; None for one per core.
    """

    def __init__(
        self,
        methods: Mapping[str, Sequence[str]],
        tasks: Mapping[str, Sequence[str]],
        budgets: Sequence[int],
        seeds: Sequence[int],
        common: Sequence[str],
        conf_dir: str,
        jobs: int | None = None,
    ) -> None:
        self.methods = methods
        self.tasks = tasks
        self.budgets = tuple(sorted(set(budgets)))
        self.seeds = seeds
        self.common = tuple(common)
        self.conf_dir = conf_dir
        self.workers = cpu_count() if jobs is None else jobs

    def jobs(self) -> list[Job]:
        """All runs, the seeds outermost: what is interrupted has compared every method on some seeds.

        Raises:
            UserError: where a method or a task cannot be composed or run.
        """
        budgets = {(task, method): self._runs(task, method) for task in self.tasks for method in self.methods}
        return [
            Job(task, method, seed, budget, serves, self._overrides(task, method, budget))
            for seed in self.seeds
            for (task, method), served in budgets.items()
            for budget, serves in served.items()
        ]

    def run(self, console: Console) -> tuple[pd.DataFrame, dict[Job, str]]:
        """Makes the runs that are not done yet.

        Returns:
            The results, see `results_of`, and for each job that failed why.
        """
        jobs = self.jobs()
        done = {job: _finished(job, self.conf_dir) for job in jobs}
        missing = [job for job, folder in done.items() if not folder]
        by_name = {Path(str(job)): job for job in missing}
        work = {name: partial(_attempt, job, self.conf_dir) for name, job in by_name.items()}
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
        judges: dict[str, TableJudge] = {}
        frames = [results_of(job, folder, judges) for job, folder in done.items() if folder]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(), failed

    def _overrides(self, task: str, method: str, budget: int) -> tuple[str, ...]:
        # The method comes last: it may do without the task's weak labels.
        return (*self.common, *self.tasks[task], *self.methods[method], f"search.budget={budget}")

    def _runs(self, task: str, method: str) -> dict[int, tuple[int, ...]]:
        """The budgets to run, and those that each of them serves."""
        cfg = _composed(self._overrides(task, method, max(self.budgets)), self.conf_dir)
        check_config(cfg)
        if not cfg.search:
            raise UserError(f"method {method} on task {task} searches nothing: leave it out")
        search: Search = instantiate(choice_of(cfg, "search"))
        if search.anytime:
            return {max(self.budgets): self.budgets}
        return {budget: (budget,) for budget in self.budgets}


def results_of(job: Job, folder: Path, judges: dict[str, TableJudge]) -> pd.DataFrame:
    """What a finished run returned after each of its trainings.

    Args:
        job: that made it.
        folder: of the run.
        judges: of the tables opened so far, by file and column; new ones are added.

    Returns:
        Rows as `acenas.report.comparison` describes them, and beside it `arch`, what is returned, and its
        `observed_accuracy` in percent.
    """
    cfg = OmegaConf.load(folder / "config.yaml")
    summary = finished(folder)
    assert isinstance(cfg, DictConfig) and summary is not None
    key = f"{cfg.table.path} {cfg.table.test}"
    if key not in judges:
        path = find_table(cfg.table.path, cfg.data_dir)
        judges[key] = TableJudge(str(path), cfg.table.space, cfg.table.test, cfg.table.get("objective"))
    columns = {"arch": "text", "returned": "text", "observed_accuracy": "numbers"}
    observations = read_frame(folder / "observations.parquet", columns, f"remove {folder} to run it again")
    returned = observations["returned"].tolist()
    test = judges[key].test_accuracy(returned)
    observed = observations.set_index("arch")["observed_accuracy"]
    rounds = pd.DataFrame(summary["curve"]).set_index("trained")
    trained = np.arange(1, len(returned) + 1)
    last_fit = rounds.reindex(trained).ffill()
    return pd.DataFrame(
        {
            "task": job.task,
            "method": job.method,
            "seed": job.seed,
            "budget": job.budget,
            "serves": np.isin(trained, job.serves),
            "trained": trained,
            "arch": returned,
            "observed_accuracy": observed[returned].to_numpy(),
            "test_accuracy": test,
            "regret": summary["best_known"]["test_accuracy"] - test,
            "ndcg@10": last_fit["ndcg@10"].to_numpy(dtype=np.float64),
            "cpu_seconds": summary["cpu_seconds"]["total"],
            "folder": str(folder),
        }
    )


@cache
def _composed(overrides: tuple[str, ...], conf_dir: str) -> DictConfig:
    """The config of runs whatever their seed, composed apart from that of the benchmark."""
    with composing(conf_dir):
        return compose("config", list(overrides))


def _config(job: Job, conf_dir: str) -> DictConfig:
    """The config of the job's run: a copy with its seed, since composing takes much longer."""
    cfg = copy.deepcopy(_composed(job.overrides, conf_dir))
    cfg.seed = job.seed
    return cfg


def _finished(job: Job, conf_dir: str) -> Path | None:
    """The folder of the job's run where that is done."""
    folder = run_folder(_config(job, conf_dir))
    return folder if finished(folder) else None


def _attempt(job: Job, conf_dir: str) -> Path | str:
    """Makes one run, in a process of its own; its folder, or the last lines of what went wrong."""
    try:
        cfg = _config(job, conf_dir)
        check_config(cfg)
        folder = run_folder(cfg)
        with one_thread(), redirect_stdout(None):
            complete(cfg, folder)
        return folder
    except UserError as error:
        return str(error)
    except Exception:  # one failed run must not take the others along
        return traceback.format_exc()
