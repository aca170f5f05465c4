"""A study of one's own: the study with its report, and the loop that trains what it asks for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from rich import get_console
from typing_extensions import override

from acenas.errors import UserError, reason_of
from acenas.evaluation import Evaluator, Observations
from acenas.evaluation.base import Result
from acenas.evaluation.command import call, followed, returned
from acenas.evaluation.curves import StopRule, finished, goes_on
from acenas.evaluation.objective import Objective, as_number
from acenas.evaluation.reports import Reports
from acenas.markup import html_code, html_table
from acenas.report.front import write_front
from acenas.report.live.status import RunStatus
from acenas.report.page import write_report
from acenas.report.runs import SUMMARY
from acenas.report.summary import FinishedSearch, build_summary
from acenas.run.folder import announce, finish, only_process
from acenas.run.result import SearchRun
from acenas.search import Study as SearchStudy
from acenas.search import run_study
from acenas.search.description import read_description
from acenas.search.state import FAILED, PENDING, STOPPED
from acenas.spaces import SearchSpace
from acenas.tables import BenchmarkTable, parse_column
from acenas.tables.schema import Accuracy

Trainer = Callable[..., Any] | Evaluator | BenchmarkTable | pd.DataFrame
"""What tells the objective of an architecture; see `acenas.search`."""


class Study(SearchStudy):
    """Asks for trainings round by round and learns to rank from what it is told (AceNAS, algorithm 1).

        study = acenas.Study(space, budget=50, folder="lab")
        for trial in study.ask():
            study.tell(trial, train(**trial.choices))

    See `acenas.search.Study` for all arguments; this adds what people see.
    """

    _told_version: Mapping[str, Any] | None = None
    """Of the files, when the status was told."""

    @contextmanager
    @override
    def _transaction(self) -> Iterator[None]:
        """As that of the base; then `python -m acenas.status` is told what has changed."""
        with super()._transaction():
            yield
            if self.state.version != self._told_version and self._is_current():
                self._told_version = self.state.version
                self._tell_status()

    def _tell_status(self) -> None:
        told, utilities = self.state.told, self.state.known[1]
        worked = np.isfinite(utilities).any()
        best = self.objective.sign * float(np.nanmax(utilities)) if worked else None
        is_done, epochs = self.is_done, {}
        if self.budget_epochs is not None:
            epochs = {"budget_epochs": self.budget_epochs, **_counted(told)}
        if not is_done:  # a report of before the budget was raised
            (self.folder / SUMMARY).unlink(missing_ok=True)
        announce(self.folder)
        RunStatus(self.folder).tell(
            now=True,
            round=self.state.last_round,
            trained=len(told),
            failed=int((told["state"] == FAILED).sum()),
            given=len(self.state.given),
            pending=len(self.state.numbers(PENDING)),
            budget=self.budget,
            is_done=is_done,
            **{f"best_{self.objective.column}": best},
            **epochs,
        )

    def report(self) -> SearchRun:
        """Writes `report.html` and `summary.json` into the folder, of what has been told so far.

        Returns:
            What a notebook shows: the returned architecture, its value, pictures.

        Raises:
            UserError: before a round is complete in which a training worked.
        """
        start = time.monotonic()
        self.fit()
        told, scores = self.close(), self.state.scores
        fitted = told["round"].map(lambda number: f"round_{number}" in scores)
        column = self.objective.column
        told = told[fitted | told[column].isna()]
        if told[column].isna().all():
            raise UserError(
                f"there is nothing to report yet of {self.folder}: no round in which a training worked"
            )
        trained = told.groupby("arch", sort=False)[column].mean()
        given, fronts = self.state.given, self.fronts()
        costs = pd.concat([self.costs.with_observed(given), self.costs.with_observed(told)])
        finished = FinishedSearch(
            experiment=self.folder.resolve().name,
            seed=self.seed,
            table=f"a study of the space {self.space.name}",
            dataset="",
            observations=told,
            scores=scores,
            observed=pd.concat([given.set_index("arch")[column], trained]),
            test=None,
            seconds={"trainings": float(told["seconds"].sum()), "report": time.monotonic() - start},
            versions={package: version(package) for package in ("acenas", "torch", "numpy")},
            limits=self.costs.at_most,
            costs=costs[~costs.index.duplicated()],
            cost_origins=self.costs.origins,
            objective=self.objective,
            given=given,
            front=self.costs.front,
            spending=self.spending,
            fronts=fronts[
                (fronts["trained"] <= len(told)) & fronts["arch"].isin([*told["arch"], *given["arch"]])
            ],
            predicted=self.predictions(),
        )
        if self.costs.front:
            write_front(self.folder, finished)
        write_report(self.folder, finished, self.space.draw, (self.folder / "study.json").read_text())
        summary = build_summary(finished)
        if self.is_done:
            finish(self.folder, summary)
        return SearchRun(self.folder, self.space, summary)

    @property
    def so_far(self) -> str:
        """How many trainings were told, and what they cost of the budget, in words."""
        told = self.observations
        if self.budget_epochs is None:
            return f"{len(told)} of {self.budget}"
        counted, of = _counted(told), f"{self.budget_epochs:.5g}"
        return f"{len(told)} ({counted['stopped']:.0f} stopped early, {counted['epochs']:.5g} of {of} epochs)"

    def __repr__(self) -> str:
        return f"Study({self.space.name}, {self.so_far} trained, {str(self.folder)!r})"

    def _repr_html_(self) -> str:
        told, best = self.observations, self.returned
        failed = int((told["state"] == FAILED).sum())
        rows = {
            "trained": self.so_far + (f", {failed} of them failed" if failed else ""),
            "pending": str(len(self.pending)),
            "given": str(len(self.state.given)),
        }
        if best is not None:
            value = self.objective.show(best.value)
            rows[f"best {self.objective.name}"] = Markup("{} of {}").format(value, html_code(best.arch))
        return html_table(f"Study in {self.folder}", rows)


def _counted(told: pd.DataFrame) -> dict[str, float]:
    """The epochs of all trainings, and how many of these were stopped early."""
    epochs = told["epochs"].sum() if len(told) else 0.0
    return {"epochs": float(epochs), "stopped": int((told["state"] == STOPPED).sum())}


def run_trainings(
    space: SearchSpace,
    train: Trainer,
    folder: str | Path,
    attempts: int = 1,
    stop_on_failure: bool = False,
    **study: Any,
) -> Study:
    """Runs a study with `train`, or goes on with it: `acenas.run.api.search` says how."""
    kept = read_description(Path(folder))
    objective = Objective.of(study.get("objective") or kept.get("objective", "accuracy"))
    evaluator = _evaluator(space, train, objective, study.get("epochs") or kept.get("epochs"))
    if evaluator.epochs is not None:
        study["epochs"] = evaluator.epochs
    if archs := evaluator.archs():
        study.setdefault("archs", archs)
    with only_process(Path(folder)):
        opened = Study(space, folder=folder, **study)
        run_study(opened, _Shown(evaluator, opened), (), attempts, stop_on_failure)
    return opened


def _evaluator(space: SearchSpace, train: Trainer, objective: Objective, epochs: float | None) -> Evaluator:
    if isinstance(train, Evaluator):
        return train
    if isinstance(train, BenchmarkTable):
        return _Known(train.archs, train.column(_column(train, objective.name)))
    if isinstance(train, pd.DataFrame):
        if objective.name not in train.columns:
            raise UserError(
                f"the table has no column {objective.name}; rename the one that holds it (there are "
                f"{', '.join(map(str, train.columns))})"
            )
        values = [as_number(value, objective.name) for value in train[objective.name]]
        return _Known(space.read_frame(train.drop(columns=objective.name)), np.array(values))
    if callable(train):
        return _Called(space, train, objective.name, epochs)
    raise UserError(
        f"search: give a function, an Evaluator or a table that tells the objective, not {train!r}"
    )


def _column(table: BenchmarkTable, name: str) -> str:
    """The column of that name, else the only one of accuracies that a search may see."""
    if name in table.columns:
        return name
    seen = []
    for column in table.columns:
        kind = parse_column(column)
        if isinstance(kind, Accuracy) and kind.split != "test" and kind.seed is None:
            seen.append(column)
    if len(seen) != 1:
        raise UserError(
            f"the table has no column {name}"
            + (f", and several of accuracies: {', '.join(seen)}" if seen else "")
            + "; read it as a frame and rename the column that holds the objective"
        )
    return seen[0]


class _Called(Evaluator):
    """Calls a function in this process, one architecture after the other; `epochs` as in `FunctionEvaluator`."""

    def __init__(
        self, space: SearchSpace, function: Callable[..., Any], key: str, epochs: float | None
    ) -> None:
        self.space, self.function, self.key, self.epochs = space, function, key, epochs
        self.repeat = 0

    @override
    def repeated(self, number: int) -> Self:
        other = copy(self)
        other.repeat = number
        return other

    @override
    def results(self, archs: Sequence[str], rule: StopRule | None = None) -> Iterator[Result]:
        for arch in archs:
            start = time.monotonic()
            costs: dict[str, float] = {}
            reports = None
            if self.epochs is not None:
                reports = Reports(None, self.epochs, partial(goes_on, rule, [arch], self.epochs))
            try:
                told, failure = call(self.function, self.space, arch, self.repeat), ""
            except UserError:  # a mistake in the call, not in one training
                raise
            except (Exception, SystemExit) as error:
                told, failure = math.nan, reason_of(error)
            try:
                if not failure:
                    told = followed(told, reports.add if reports else None)
                value, costs = returned(told, self.key)
            except (Exception, SystemExit) as error:
                value, failure = math.nan, reason_of(error)
            seconds, curve, stopped = time.monotonic() - start, reports.curve if reports else (), False
            if reports and reports.stopped:
                value, failure, costs, stopped = reports.points[-1].value, "", {}, True
            elif reports and curve and not failure:
                curve = finished(curve, reports.epochs, value)
            yield Result(arch, value, seconds, failure, costs, curve, stopped)

    @override
    def evaluate(self, archs: Sequence[str]) -> Observations:
        found = list(self.results(archs))
        values, seconds = ([getattr(each, name) for each in found] for name in ("value", "seconds"))
        return Observations(list(archs), np.array(values), np.array(seconds))


class _Known(Evaluator):
    """Looks values up; a missing one is that of a failed training."""

    repeats = 1

    def __repr__(self) -> str:
        return "the table"

    def __init__(self, archs: Sequence[str], values: NDArray[np.float64]) -> None:
        self.values: Mapping[str, float] = dict(zip(archs, values.tolist(), strict=True))

    @override
    def evaluate(self, archs: Sequence[str]) -> Observations:
        found = np.array([self.values[arch] for arch in archs], np.float64)
        return Observations(list(archs), found, np.full(len(archs), np.nan))

    @override
    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        return list(self.values), np.array(list(self.values.values()))


class _Shown(Evaluator):
    """Shows each result of another evaluator: as a line in a terminal, in a notebook in one place that changes."""

    def __init__(self, evaluator: Evaluator, study: Study) -> None:
        self.evaluator, self.study, self.repeats = evaluator, study, evaluator.repeats
        self._place: list[Any] = []

    def __repr__(self) -> str:
        return repr(self.evaluator)

    @override
    def repeated(self, number: int) -> Self:
        other = copy(self)
        other.evaluator = self.evaluator.repeated(number)
        return other

    @override
    def results(self, archs: Sequence[str], rule: StopRule | None = None) -> Iterator[Result]:
        for result in self.evaluator.results(archs, rule):
            yield result
            self._show(result)

    def _show(self, result: Result) -> None:
        objective, known = self.study.objective, self.study.state.known[1]
        what = result.failure or f"{objective.name} {objective.show(result.value)}"
        if result.stopped:
            what = f"stopped at {result.curve[-1][0]:.5g} of {self.study.epochs:.5g} epochs: {what}"
        if np.isfinite(known).any():
            what += f", best {objective.show(objective.sign * float(np.nanmax(known)))}"
        given = f", {len(self.study.state.given)} given" if len(self.study.state.given) else ""
        line = f"{self.study.so_far}{given}: {what}"
        if not get_console().is_jupyter:
            print(line, flush=True)
            return
        from IPython.display import HTML, display  # type: ignore[import-not-found,unused-ignore]  # is there

        shown = HTML(f"<pre>{escape(line)}</pre>")
        if self._place:
            self._place[0].update(shown)
        else:
            self._place.append(display(shown, display_id=True))

    @override
    def evaluate(self, archs: Sequence[str]) -> Observations:
        return self.evaluator.evaluate(archs)
