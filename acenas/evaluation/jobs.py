"""Trainings in processes, several at once; the folder of a training keeps its result."""

from __future__ import annotations

import hashlib
import json
import math
import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count
from rich import get_console

from acenas.errors import UserError, reason_of, require_at_least
from acenas.evaluation.base import Evaluator, Observations, Result
from acenas.evaluation.curves import StopRule
from acenas.executors import Executor, LocalProcesses, Lost
from acenas.executors.progress import show_progress
from acenas.files import read_json, write_text
from acenas.spaces.base import SearchSpace

RESULT = "result.json"
"""In the folder of an architecture: what its training showed."""

ERROR = "error.log"
"""In the folder of an architecture whose training failed: why."""


class TrainingJobs(Evaluator):
    """Trains each architecture in a process, unless its folder holds a result.

    Its folder in `folder` is named by a hash of its canonical form, which is what is trained: architectures with the
    same canonical form share one training.

    Args:
        space: of the architectures.
        folder: of their folders.
        executor: where trainings run; on this machine by default.
        jobs: trainings at once; None for one for each core, and elsewhere than here for as many as there is room for.
    """

    def __init__(
        self,
        space: SearchSpace,
        folder: str | Path,
        executor: Executor | None = None,
        jobs: int | None = None,
    ) -> None:
        require_at_least(1, "evaluator: ", jobs=jobs)
        self.space = space
        self.folder = Path(folder)
        self.executor = executor or LocalProcesses()
        self.jobs = jobs or (cpu_count() if self.executor.here else None)

    @abstractmethod
    def train(self, arch: str, number: int, folder: Path) -> dict[str, Any]:
        """Trains a canonical architecture, or resumes its training. Called in another process.

        Args:
            arch: to train.
            number: among those that train at once, from 0.
            folder: of this training alone, which exists.

        Returns:
            `value` of the objective in its unit, `seconds` of the training, `costs` that it showed beside by name, and
            whatever else is to be kept.

        Raises:
            Exception: where the training failed; others go on.
        """

    def results(self, archs: Sequence[str], rule: StopRule | None = None) -> Iterator[Result]:
        """Trains `archs` and yields each result as it ends, those of finished trainings first."""
        alike: dict[str, list[str]] = {}
        for form, arch in zip(self.space.canonical_all(archs), archs, strict=True):
            alike.setdefault(form, []).append(arch)
        forms = {arch_folder(self.folder, form): form for form in alike}
        work: dict[Path, Callable[[], str]] = {}
        for folder, form in forms.items():
            if (folder / RESULT).exists():
                yield from _results(alike[form], read_result(folder, form))
            else:
                work[folder] = partial(self.sent()._attempt, form, len(work))
        ended = self.executor.run(work, self.folder / ".submitit", self.jobs)
        for folder, outcome in show_progress(ended, len(work), 0, get_console(), "trained"):
            form = forms[folder]
            if isinstance(outcome, Lost):
                why = f"its process was killed, perhaps for want of memory ({outcome.why})"
            else:
                why = f"{outcome}; see {folder / ERROR}" if outcome else ""
            yield from _results(alike[form], {} if why else read_result(folder, form), why)

    def evaluate(self, archs: Sequence[str]) -> Observations:
        """Returns the results of all of `archs`, NaN for those whose training failed."""
        results = {result.arch: result for result in self.results(archs)}
        values = np.array([(results[arch].value, results[arch].seconds) for arch in archs], dtype=np.float64)
        return Observations(list(archs), *values.reshape(-1, 2).T)

    def sent(self) -> TrainingJobs:
        """Returns what the other processes receive of this evaluator."""
        return self

    def _attempt(self, arch: str, number: int) -> str:
        """Trains `arch`; an error is written to its folder and returned rather than raised, so that others go on."""
        folder = arch_folder(self.folder, arch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            result = self.train(arch, number, folder)
            if not math.isfinite(result["value"]):  # not kept: another attempt trains again
                raise UserError(f"the objective is {result['value']}")
        except (Exception, SystemExit) as error:  # a program that ends itself must not end the search
            write_text(folder / ERROR, f"{arch}\n\n{traceback.format_exc()}")
            return reason_of(error)
        write_text(folder / RESULT, json.dumps({"arch": arch} | result, indent=2) + "\n")
        (folder / ERROR).unlink(missing_ok=True)
        return ""


def arch_folder(folder: Path, arch: str) -> Path:
    """Returns the folder of canonical architecture `arch` in `folder`."""
    return folder / hashlib.sha256(arch.encode()).hexdigest()[:12]


def read_result(folder: Path, arch: str | None = None) -> dict[str, Any]:
    """Reads the result of `arch`, or of any, in its folder. Raises `UserError` where there is none, or another's."""
    path = folder / RESULT
    if not path.exists():
        raise UserError(
            f"{folder.parent} holds no finished training of {arch}; only architectures that the evaluator has "
            "trained have a result"
        )
    kind = {"arch": str, "value?": float, "seconds?": float, "costs?": {str: float}}
    result: dict[str, Any] = read_json(path, kind, f"remove {folder} to train it again")
    if arch not in (None, result["arch"]):
        raise UserError(f"{path} is the result of {result['arch']}, not of {arch}; remove its folder")
    return result


def _results(archs: Sequence[str], kept: Mapping[str, Any], failure: str = "") -> Iterator[Result]:
    """Yields the one result of architectures that compute the same function."""
    for arch in archs:
        value, seconds = (kept.get(name, math.nan) for name in ("value", "seconds"))
        yield Result(arch, value, seconds, failure, kept.get("costs", {}))
