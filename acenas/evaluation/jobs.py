"""Trainings in processes, several at once; the folder of a training keeps its result."""

from __future__ import annotations

import hashlib
import json
import math
import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from joblib import cpu_count
from rich import get_console
from typing_extensions import override

from acenas.errors import UserError, reason_of, require_at_least
from acenas.evaluation.base import Evaluator, Observations, Result
from acenas.evaluation.curves import StopRule, finished, goes_on, points_until_stop
from acenas.evaluation.reports import GoesOn, read_points
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

    Trainings that report keep their curve there. Nothing marks a stopped one: it is one without a result, whose curve a
    rule stops, and goes on as soon as it is asked for with a rule that does not. The process that trains asks the rule.

    Args:
        space: of the architectures.
        folder: of their folders.
        executor: where trainings run; on this machine by default.
        jobs: trainings at once; None for one for each core, and elsewhere than here for as many as there is room for.
        epochs: of a full training, where trainings report on their way; None where they do not.
    """

    value_column = "value"
    """Of the objective in the file of the curve."""

    repeat = 0
    """Which training of an architecture this trains, see `repeated`."""

    def __init__(
        self,
        space: SearchSpace,
        folder: str | Path,
        executor: Executor | None = None,
        jobs: int | None = None,
        epochs: float | None = None,
    ) -> None:
        require_at_least(1, "evaluator: ", jobs=jobs, epochs=epochs)
        self.epochs = epochs
        self.space = space
        self.folder = Path(folder)
        self.executor = executor or LocalProcesses()
        self.jobs = jobs or (cpu_count() if self.executor.here else None)

    @abstractmethod
    def train(self, arch: str, number: int, folder: Path, goes_on: GoesOn) -> dict[str, Any] | None:
        """Trains a canonical architecture, or resumes its training. Called in another process.

        Args:
            arch: to train.
            number: among those that train at once, from 0.
            folder: of this training alone, which exists.
            goes_on: is asked after each report.

        Returns:
            `value` of the objective in its unit, `seconds` of the training, `costs` that it showed beside by name, and
            whatever else is to be kept; None where the training was stopped.

        Raises:
            Exception: where the training failed; others go on.
        """

    def results(self, archs: Sequence[str], rule: StopRule | None = None) -> Iterator[Result]:
        """Trains `archs` and yields each result as it ends, those of finished and of stopped trainings first."""
        alike: dict[str, list[str]] = {}
        for form, arch in zip(self.space.canonical_all(archs), archs, strict=True):
            alike.setdefault(form, []).append(arch)
        forms = {arch_folder(self.folder, form): form for form in alike}
        work: dict[Path, Callable[[], str]] = {}
        for folder, form in forms.items():
            if (shown := self._known_results(folder, form, alike[form], rule)) is not None:
                yield from shown
            else:
                asked = partial(goes_on, rule, alike[form], self.epochs or math.inf)
                work[folder] = partial(self.sent()._attempt, form, len(work), asked)
        ended = self.executor.run(work, self.folder / ".submitit", self.jobs)
        for folder, outcome in show_progress(ended, len(work), 0, get_console(), "trained"):
            form = forms[folder]
            # One that was stopped may have failed, or been killed, before it could end.
            if (shown := self._known_results(folder, form, alike[form], rule)) is not None:
                yield from shown
                continue
            if isinstance(outcome, Lost):
                why = f"its process was killed, perhaps for want of memory ({outcome.why})"
            elif outcome:
                why = f"{outcome}; see {folder / ERROR}"
            else:  # of a job of a cluster that another process has submitted
                why = "another rule has stopped it; asked for again, it goes on"
            yield from (Result(arch, math.nan, failure=why) for arch in alike[form])

    def _known_results(
        self, folder: Path, form: str, archs: Sequence[str], rule: StopRule | None
    ) -> list[Result] | None:
        """The results of `archs`, which are one training, as far as `rule` lets it go; None where it has to go on."""
        points = [] if self.epochs is None else read_points(folder, self.value_column)
        curve = [(epoch, value) for epoch, value, _ in points]
        full = read_result(folder, form) if (folder / RESULT).exists() else None
        results = []
        for arch in archs:
            if self.epochs and (end := points_until_stop(rule, arch, self.epochs, curve)):
                _, value, seconds = points[end - 1]
                results.append(Result(arch, value, seconds, curve=curve[:end], stopped=True))
            elif full is None:
                return None
            else:
                value, seconds = (full.get(name, math.nan) for name in ("value", "seconds"))
                shown = finished(curve, self.epochs, value) if self.epochs and curve else []
                results.append(Result(arch, value, seconds, costs=full.get("costs", {}), curve=shown))
        return results

    def evaluate(self, archs: Sequence[str]) -> Observations:
        """Returns the results of all of `archs`, NaN for those whose training failed."""
        results = {result.arch: result for result in self.results(archs)}
        values = np.array([(results[arch].value, results[arch].seconds) for arch in archs], dtype=np.float64)
        return Observations(list(archs), *values.reshape(-1, 2).T)

    @override
    def repeated(self, number: int) -> Self:
        """With a folder of its own, and where there is a seed, with another one."""
        other = copy(self)
        other.repeat = number
        if number:
            other.folder = self.folder / f"repeat_{number}"
        return other

    def sent(self) -> TrainingJobs:
        """Returns what the other processes receive of this evaluator."""
        return self

    def _attempt(self, arch: str, number: int, goes_on: GoesOn) -> str:
        """Trains `arch`; an error is written to its folder and returned rather than raised, so that others go on."""
        folder = arch_folder(self.folder, arch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            result = self.train(arch, number, folder, goes_on)
            if result is not None and not math.isfinite(result["value"]):  # another attempt trains again
                raise UserError(f"the objective is {result['value']}")
        except (Exception, SystemExit) as error:  # a program that ends itself must not end the search
            write_text(folder / ERROR, f"{arch}\n\n{traceback.format_exc()}")
            return reason_of(error)
        if result is not None:
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
