"""What a study is told: finds the trial that is meant, and keeps the answer in the study's state."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from acenas.errors import UserError, quotable
from acenas.evaluation.curves import Curve
from acenas.evaluation.objective import as_number
from acenas.search.state import ENDED, PENDING, QUEUED, TRAINED, WAITING, StudyState


@dataclass(frozen=True)
class Trial:
    """One training that a study asks for.

    Attributes:
        number: of the trial, from 0, in the order in which they were chosen.
        arch: what to train.
        round: in which it was chosen, from 1.
        reason: why, such as `predicted` or `random`.
        repeat: which training of this architecture it is, from 0.
        choices: the architecture as a mapping, where its space is one of choices.
    """

    number: int
    arch: str
    round: int = 0
    reason: str = ""
    repeat: int = 0
    choices: Mapping[str, Any] = field(default_factory=dict, compare=False)


Named = Trial | int | np.integer[Any] | str | Mapping[str, Any]
"""A trial, its number, its architecture or its choices."""


@dataclass(frozen=True)
class Reporting:
    """A training that reports: of `arch`, in a round or `WAITING` for it to be chosen again, and whether it ended."""

    arch: str
    round: int
    has_ended: bool


class Answers:
    """Takes in what trainings showed, of trials that the study asked for and of what was trained elsewhere.

    Args:
        state: of the study, which keeps them. Whoever calls `tell` or `give` holds the lock of its folder.
        budget: of the study.
    """

    def __init__(self, state: StudyState, budget: int) -> None:
        self.state, self.budget = state, budget
        self.space, self.objective = state.space, state.objective

    def tell(
        self,
        trial: Named,
        state: str,
        value: float,
        seconds: float,
        message: str,
        costs: Mapping[str, Any] = {},
    ) -> bool:
        """Takes in the end of a training, in one of the states `ENDED`; False where nobody asked for it.

        Raises:
            UserError: where it was told to have ended in another way, there is no such trial or architecture, or
                `costs` lack one of the front that is known after a training only.
        """
        found = self._find(trial)
        if found is not None:
            self._settle(*found, state, value, seconds, message, costs)
        return found is not None

    def report(self, trial: Named, points: Curve) -> Reporting | None:
        """Takes in what a training reports on its way; None where nobody asked for it."""
        found = self._find(trial)
        if found is None:
            return None
        name, number = found
        waits = name == "answers"
        row = (self.state.answers if waits else self.state.trials).loc[number].to_dict()
        if row["state"] not in ENDED and not row["repeat"]:  # of an architecture the first curve is kept
            self.state.add_points(row["arch"], WAITING if waits else row["round"], points)
        return Reporting(row["arch"], WAITING if waits else int(row["round"]), row["state"] in ENDED)

    def arch(self, trial: Named) -> str:
        """The architecture that is meant. Raises `UserError` where it is none of the space."""
        if isinstance(trial, Mapping):
            return self.space.from_choices(trial)
        return self.space.parse(trial.arch if isinstance(trial, Trial) else str(trial))

    def read(self, observed: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame as `Study.give` takes it, with the columns of `StudyState.given`; raises as that does."""
        name = self.objective.name
        if name not in observed.columns:
            raise UserError(
                f"given: there is no column {name}; rename the one that holds it (there are "
                f"{', '.join(map(str, observed.columns))})"
            )
        costs = [cost for cost in self.state.costs.observed if cost in observed]
        columns = {self.objective.column: name} | dict(zip(costs, costs, strict=True))
        read = {
            column: [as_number(value, f"row {row}: {theirs}") for row, value in enumerate(observed[theirs])]
            for column, theirs in columns.items()
        }
        return pd.DataFrame(
            {"arch": self.space.read_frame(observed.drop(columns=list(columns.values())))} | read
        )

    def give(self, observed: pd.DataFrame, again: bool = False) -> None:
        """Takes in what was trained elsewhere, as `read` returns it; `again` as in `StudyState.add_given`."""
        column, costs = self.objective.column, self.state.costs.observed
        rows = observed[np.isfinite(observed[column])].reindex(columns=["arch", column, *costs])
        if len(rows) < len(observed):
            warnings.warn(
                f"given: {len(observed) - len(rows)} without a finite {self.objective.name} are left out",
                stacklevel=3,
            )
        trials = self.state.trials
        open_ones = trials.index[trials["state"].isin([QUEUED, PENDING])]
        forms = self.space.canonical_all(trials["arch"][open_ones].tolist())
        numbers = dict(zip(forms, open_ones.tolist(), strict=True))
        asked: dict[int, int] = {}  # the row that tells a trial
        for row, form in zip(rows.index, self.space.canonical_all(rows["arch"].tolist()), strict=True):
            if form in numbers:
                asked[numbers.pop(form)] = row
        told = rows.loc[list(asked.values())]
        for row in told.to_dict("records"):
            self.state.costs.told(row, row.get("seconds", math.nan))  # raises before any of them is kept
        for number, row in zip(asked, told.to_dict("records"), strict=True):
            seconds = row.get("seconds", math.nan)
            self._settle("observations", number, TRAINED, row[column], seconds, costs=row)
        if asked:
            warnings.warn(
                f"given: {len(asked)} were asked for and count as told, such as {told['arch'].iloc[0]}",
                stacklevel=3,
            )
        given = rows.drop(index=told.index)
        if count := int((~np.isfinite(given[costs].astype(np.float64))).any(axis=1).sum()):
            warnings.warn(
                f"given: {count} without all of {', '.join(costs)} are learned from, and are on no front",
                stacklevel=3,
            )
        self.state.add_given(given, again)
        self._warn_of_fractions(given[column])

    def _find(self, trial: Named) -> tuple[str, int] | None:
        """The file that a trial is in, `observations` or `answers`, and its row; None where it was not asked for."""
        trials = self.state.trials
        if isinstance(trial, int | np.integer):
            if not 0 <= trial < len(trials) or trials["state"][int(trial)] == QUEUED:
                raise UserError(f"there is no trial {trial}; the study asked for {len(trials)}")
            return "observations", int(trial)
        # Where the budget was raised since it was asked for, its number may be that of another one.
        if isinstance(trial, Trial) and trials["arch"].get(trial.number) == trial.arch:
            return "observations", trial.number
        form = self.space.canonical(self.arch(trial))
        for name, frame in (("observations", trials), ("answers", self.state.answers)):
            forms = self.space.canonical_all(frame["arch"].tolist())
            rows = [row for row, other in zip(frame.index, forms, strict=True) if other == form]
            if rows:
                return name, next((row for row in rows if frame["state"][row] in (QUEUED, PENDING)), rows[0])
        return None

    def _settle(
        self,
        name: str,
        row: int,
        state: str,
        value: float,
        seconds: float = math.nan,
        message: str = "",
        costs: Mapping[str, Any] = {},
    ) -> None:
        """Takes in the end of a training, of a row of `observations` or `answers`."""
        column = self.objective.column
        before = (self.state.trials if name == "observations" else self.state.answers).loc[row]
        if before["state"] in ENDED:
            if before["state"] != state or (state == TRAINED and before[column] != value):
                was = before[column] if before["state"] == TRAINED else before["state"]
                raise UserError(
                    f"trial {row} ({before['arch']}) was told before: {was}; that stands, not {value}"
                )
            return
        observed = value if state == TRAINED else math.nan
        told_of = {"state": state, "seconds": seconds, "message": quotable(message), column: observed}
        if state == TRAINED:
            told_of |= self.state.costs.told(costs, seconds)
        if self.state.epochs is not None:
            again = bool(before["repeat"])
            told_of["epochs"] = self.state.epochs if again else self._paid(str(before["arch"]), state)
        self.state.update([row], name, told_of)
        self.state.write(name)
        told = self.state.told[column].dropna()
        if len(told) == min(3, self.budget):
            self._warn_of_fractions(told)

    def _paid(self, arch: str, state: str) -> float | None:
        """The epochs of a training that ended: all of them, or those of its last report."""
        curve = self.state.curve(arch)
        return curve[-1][0] if curve and state != TRAINED else self.state.epochs

    def _warn_of_fractions(self, values: Collection[float]) -> None:
        if self.objective.unit == "%" and len(values) and 0 <= min(values) <= max(values) <= 1:
            warnings.warn(
                f"all {self.objective.name} values so far lie between 0 and 1, and the unit is percent; were fractions "
                "told?",
                stacklevel=4,
            )
