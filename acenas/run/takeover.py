"""A raised budget: a run takes over the trainings of one that differs in nothing but a smaller budget."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import Timeout
from omegaconf import DictConfig
from rich import get_console

from acenas.errors import UserError
from acenas.evaluation.jobs import RESULT
from acenas.files import lock_of, read_frame
from acenas.report.live import CSVMetrics
from acenas.report.runs import is_running
from acenas.run.config import config_in, run_hash
from acenas.search.description import STUDY, read_description
from acenas.search.state import ATTRIBUTES, ENDED

STAGES = {"weak_labels.parquet": ("supernet", "score"), "pretrain/ranker.pt": ("pretrain",)}
"""Folders of earlier stages, by the file that says that they are done."""


def take_over(folder: Path) -> int:
    """Copies into `folder` what the search needs of the largest run beside it that has a smaller budget, if any.

    The study then raises its budget: it asks what a fresh one would, and what was trained already is not trained again.

    Returns:
        The trainings taken over; 0 where the search has begun already, or there is no such run.
    """
    if (folder / STUDY).exists():
        return 0
    cfg = config_in(folder)
    key = "budget" if cfg.search.get("budget_epochs") is None else "budget_epochs"
    budgets = {path.parent: _budget(path.parent, key) for path in folder.parent.glob(f"*/{STUDY}")}
    smaller = [other for other, budget in budgets.items() if 0 < budget < cfg.search[key]]
    for other in sorted(smaller, key=lambda other: -budgets[other]):
        with suppress(OSError, Timeout, UserError):  # what cannot be read or locked is left alone
            if _alike(other, cfg, f"search.{key}"):
                return _copy(other, folder)
    return 0


def _budget(folder: Path, key: str) -> float:
    try:
        return float(read_description(folder)[key])
    except (UserError, KeyError):
        return 0


def _alike(other: Path, cfg: DictConfig, key: str) -> bool:
    theirs = config_in(other)
    if theirs.get("seed") != cfg.seed:
        return False
    return run_hash(theirs, [key]) == run_hash(cfg, [key])


def _copy(other: Path, folder: Path) -> int:
    """Returns the trainings copied; `study.json` comes last, as it says that all is there."""
    with lock_of(other / ".study.lock").acquire(timeout=60):
        for done, stages in STAGES.items():
            if (other / done).exists():
                for stage in stages:
                    if (other / stage).exists():
                        shutil.copytree(other / stage, folder / stage, dirs_exist_ok=True)
        (folder / "trained").mkdir(exist_ok=True)
        for training in other.glob("trained/[!.]*/"):
            is_whole = (training / RESULT).exists()
            if is_whole or not is_running(other):  # one that was stopped or killed goes on, in either run
                copied = folder / "trained" / training.name
                copy = _link if is_whole else shutil.copy2
                shutil.copytree(training, copied, copy_function=copy, dirs_exist_ok=True)
        for settings in other.glob("trained/*.json"):
            shutil.copy2(settings, folder / "trained" / settings.name)
        for name in (f"{name}.parquet" for name in ATTRIBUTES):
            if (other / name).exists():
                shutil.copy2(other / name, folder / name)
        _copy_metrics(other, folder)
        shutil.copy2(other / STUDY, folder / STUDY)
    observations = read_frame(folder / "observations.parquet", {"state": "text"}, f"remove {folder}")
    count = int(observations["state"].isin(ENDED).sum())
    if count:
        get_console().print(
            f"Taken over: {count} trainings of {other}, a run with a smaller budget.", soft_wrap=True
        )
    return count


def _copy_metrics(other: Path, folder: Path) -> None:
    """What was logged in the epochs before the search; all else is logged again."""
    mine = CSVMetrics(folder / "metrics.csv")
    for (stage, step), row in CSVMetrics(other / "metrics.csv").rows.items():
        if stage not in ("search", "train") and step is not None:
            mine.log_metrics(row, step)


def _link(source: str, target: str) -> None:
    """A file of a training that is done is never written again, so both runs can have the same."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or there already
        shutil.copy2(source, target)
