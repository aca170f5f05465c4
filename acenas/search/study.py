"""The study: asks what to train next, is told what the trainings showed, and keeps all of it in a folder."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, SupportsFloat

import numpy as np
import pandas as pd
from filelock import Timeout
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.evaluation.curves import Curve, StopRule
from acenas.evaluation.objective import Objective, as_number
from acenas.files import lock_of
from acenas.ranker import GraphRanker, Ranker
from acenas.ranking.fronts import knee, non_dominated
from acenas.search.acquisition import Acquisition
from acenas.search.answers import Answers, Named, Trial
from acenas.search.candidates import Pool
from acenas.search.costs import Costs
from acenas.search.description import check_same_study, read_description, settings_of, write_description
from acenas.search.fitting import Fitting
from acenas.search.inputs import Labels, cost_models, costs_of, frame_of, weak_labels_of
from acenas.search.rounds import BudgetedSearch, Search, comparisons
from acenas.search.spending import Spending, in_words
from acenas.search.state import (
    ENDED,
    FAILED,
    PENDING,
    QUEUED,
    STOPPED,
    TRAINED,
    WAITING,
    StudyState,
    averaged,
)
from acenas.seeds import numpy_generator
from acenas.spaces import Choices, Graphs, SearchSpace

BUDGET = 50
"""Trainings of a study that says nothing else."""

GO_ON: Literal["go on"] = "go on"
STOP: Literal["stop"] = "stop"


@dataclass(frozen=True)
class Returned:
    """What a study returns: the architecture, its choices, and the objective that was observed."""

    arch: str
    choices: Mapping[str, Any]
    value: float


class Study:
    """Asks for trainings round by round and learns to rank from what it is told (AceNAS, algorithm 1).

    Its state is its folder: another process goes on with it, on another day. Several processes may ask and tell at
    once; each call holds the folder's lock. What was asked and not yet told is pending and is not asked again. With
    the same seed and the same answers it asks the same questions, in whatever order the answers of a round came.

    Args:
        space: of the architectures.
        budget: trainings in all; by default as many as the folder's study has, else 50, or as many as `budget_epochs`
            can begin. A larger one than the folder's raises it.
        folder: of the study.
        seed: drives every choice.
        objective: what trainings show: an `Objective`, a mapping of its attributes, or in short `"min perplexity"`; by
            default that of the folder's study, else accuracy in percent.
        weak_labels: to pretrain the ranker on, see `acenas.search.inputs.Labels`; what is no frame labels a sample of
            the space, and a `Path` is the folder of an earlier study. By default what the space can count on the
            networks it builds; `[]` for none.
        given: what was trained elsewhere, as a frame or a CSV or Parquet file; see `give`.
        constraints: upper limits on costs, such as `{"params_m": 2.0}`: counted on the networks, or a column of
            `weak_labels`. `Costs` as they are, with the front.
        front: costs to find the best values of the objective for, three at most: names of costs to minimise, or each
            with its direction, such as `{"throughput": "max"}`; known as those of `constraints` are, or else told with
            each training: `study.tell(trial, 93.1, costs={"energy": 2.0})`. By default that of the folder's study.
        missing_costs: of architectures without a cost of the front that others have: `leave_out` warns, or `error`.
        ranker: scores architectures; a `GraphRanker` by default.
        search: how many each round trains, and which; a `BudgetedSearch` by default.
        acquisition: of the default search.
        archs: what can be chosen where that is not the space, such as what a table knows; a `Pool` where they may be a
            sample of it. To a sample the study adds after each round what `Search.extend` finds.
        pretrained: whether `ranker` was pretrained already; None for a study that does it.
        budget_epochs: of all trainings together, those that are stopped early (`Search.stopping`) included; None for no
            bound. An epoch is what `tell(at=)` counts: epochs, steps or seconds. A training begins only where its full
            length is left.
        epochs: of a full training.

    Raises:
        UserError: where the folder holds another study, or the space has too few architectures.
    """

    def __init__(
        self,
        space: SearchSpace,
        budget: int | None = None,
        folder: str | Path = "lab",
        seed: int = 0,
        *,
        objective: Objective | Mapping[str, Any] | str | None = None,
        weak_labels: Labels | None = None,
        given: pd.DataFrame | str | Path | None = None,
        constraints: Mapping[str, float] | Costs | None = None,
        front: Mapping[str, str] | Sequence[str] | None = None,
        missing_costs: Literal["leave_out", "error"] = "leave_out",
        ranker: Ranker | None = None,
        search: Search | None = None,
        acquisition: Acquisition | None = None,
        archs: Sequence[str] | Pool | None = None,
        pretrained: bool | None = None,
        budget_epochs: float | None = None,
        epochs: float | None = None,
    ) -> None:
        if not isinstance(space, SearchSpace):
            raise UserError(
                f"study: the space is a {type(space).__name__}, no SearchSpace such as acenas.Choices(...)"
            )
        self.space = space
        self.folder = Path(folder)
        if self.folder.is_file():
            raise UserError(f"study: {folder} is a file; name a folder")
        self.seed = seed
        kept = read_description(self.folder)
        if search is None:
            rule = acquisition or BudgetedSearch.acquisition
            search = BudgetedSearch(kept.get("budget", BUDGET), acquisition=rule)
        elif acquisition is not None:
            raise UserError("study: give the acquisition to the search, or no search")
        self.epochs: float | None = kept.get("epochs") if epochs is None else float(epochs)
        self.budget_epochs: float | None = (
            kept.get("budget_epochs") if budget_epochs is None else float(budget_epochs)
        )
        if budget is None and budget_epochs is not None:
            budget = search.most_trainings(budget_epochs, self.epochs)
        self.search = search if budget is None else search.with_budget(budget)
        self.ranker = GraphRanker(space, seed=seed) if ranker is None else ranker
        self.objective = Objective.of(kept.get("objective", "accuracy") if objective is None else objective)
        if self.objective.name in space.choice_columns:
            raise UserError(
                f"study: {self.objective.name} is the objective and a choice of the space; call one of them otherwise"
            )
        if weak_labels is None and kept.get("weak_labels") == "none":
            weak_labels = []
        self.state = StudyState(self.folder, space, self.objective)
        self.state.epochs = self.epochs
        self._rules: dict[int, StopRule] = {}
        self.fitting = Fitting(
            self.ranker, self.state, self.folder, seed, weak_labels, pretrained, self.search.stopping
        )
        limits = kept.get("constraints") if constraints is None else constraints
        directions = kept.get("front") if front is None else front
        self.costs = self.state.costs = costs_of(
            space, limits, directions, self.fitting.known_labels, missing_costs
        )
        if taken := ({*self.state.trials.columns} - {"seconds"}) & {*self.costs.observed}:
            raise UserError(f"study: {taken.pop()} is a column of the trials; call the cost otherwise")
        if self.search.repeats > 1 and (self.costs.front or self.budget_epochs is not None):
            raise UserError(
                f"search.repeats={self.search.repeats} is neither for a front nor for a budget of epochs yet; choose "
                "search.repeats=1"
            )
        self._lock = lock_of(self.folder / ".study.lock")
        self._answers = Answers(self.state, self.budget)
        with self._transaction():
            self._open(archs)
        if given is not None:
            rows = self._answers.read(frame_of(given))
            with self._transaction():
                self._answers.give(rows, again=True)

    def _open(self, archs: Sequence[str] | Pool | None) -> None:
        """Begins the study, goes on with it, or raises its budget."""
        before = read_description(self.folder)
        mine = {
            "space": self.space.name,
            "choices": f"{self.space} of {self.space.size}" if isinstance(self.space, Choices) else "",
            "objective": asdict(self.objective),
            "constraints": self.costs.at_most,
            "front": self.costs.front,
            "weak_labels": "some" if self.fitting.pretrained else "none",
            "graphs": f"{self.space}" if isinstance(self.space, Graphs) else "",
            "ranker": type(self.ranker).__name__,
            **settings_of(self.ranker, "ranker"),
            "seed": int(self.seed),
            "budget": int(self.budget),
            **({} if self.epochs is None else {"epochs": self.epochs}),
            **({} if self.budget_epochs is None else {"budget_epochs": self.budget_epochs}),
        }
        check_same_study(self.folder, before, mine)
        if archs is None and before:  # as they are in the folder
            mine["listed"] = before["listed"]
        else:
            pool = archs
            if not isinstance(pool, Pool):
                pool = self.search.candidates.pool(self.space, self.costs, self.seed, pool)
            mine["listed"] = pool.listed is not None
            if not self.state.archs:
                self.state.add_archs(pool.archs)
        self._is_sample = not mine["listed"]
        self.search.check(self.state)
        if before.get("budget") == self.budget and before.get("budget_epochs") == self.budget_epochs:
            return
        self._check_budget()
        if before:
            self.state.restart_from(self._rounds_alike(before["budget"]))
        else:
            self.state.write("scores")
        self.fitting.save_labels()
        write_description(self.folder, mine)

    # --- asking and telling ---

    def ask(self, count: int | None = None) -> list[Trial]:
        """What to train next: the rest of a round that has begun, or else a new round.

        A new round learns from all that was told; what is still pending then is not waited for.

        Args:
            count: trials to ask for, at most; a round by default.

        Returns:
            New trials; none where the budget is used up.

        Raises:
            UserError: where `count` is below 1, or another process has raised the budget.
        """
        if count is not None and count < 1:
            raise UserError(f"ask: the count {count} must be at least 1")
        with self._transaction():
            asked: list[int] = []
            while not asked or (count is not None and len(asked) < count):
                if not self.state.numbers(QUEUED) and not self._begin_round():
                    break
                queued = self.state.numbers(QUEUED)  # none where all of the round is known already
                now = queued[: min(self._affordable(), (count or self.budget) - len(asked))]
                if queued and not now:  # epochs may be left once what is pending was told
                    break
                self.state.update(now, "observations", {"state": PENDING})
                asked += now
            self.state.write()
            return [self.trial(number) for number in asked]

    def tell(
        self,
        trial: Named,
        value: SupportsFloat,
        seconds: float = math.nan,
        costs: Mapping[str, Any] | None = None,
        at: float | None = None,
        curve: Curve = (),
    ) -> Literal["go on", "stop"]:
        """Takes in what a training showed. A value that is not finite is a failed training.

        Args:
            trial: that was asked for, its number, its architecture or its choices. What was not asked for becomes a
                given architecture, with a warning.
            value: of the objective, in its own unit.
            seconds: that the training took.
            costs: of the front, those that are known after a training only; `seconds` may be one. Others are ignored.
            at: the epochs that were trained so far, of the study's `epochs`; None for all.
            curve: what it showed before: pairs of epochs and values, as if each had been told by itself.

        Returns:
            "go on" where a training that was told of so far is worth the rest of its length; else "stop", and then it
            has ended and is not asked for again.

        Raises:
            UserError: for what is no number, for a trial that was told another value before, where a cost of the front
                is missing, or for an `at` outside the study's `epochs`.
        """
        name = self.objective.name
        observed = as_number(value, name)
        points = self._points(curve, at, observed)
        if at is not None and at < (self.epochs or 0) and math.isfinite(observed):
            return self._report(trial, points, seconds)
        state, message = (TRAINED, "") if math.isfinite(observed) else (FAILED, f"{name} is {observed}")
        with self._transaction():
            self._answers.report(trial, points)
            if not self._answers.tell(trial, state, observed, seconds, message, costs or {}):
                arch = self._answers.arch(trial)
                warnings.warn(f"{arch} was not asked for; it is taken as given", stacklevel=4)
                known = {**(costs or {}), "seconds": seconds}
                read = {cost: as_number(known.get(cost, math.nan), cost) for cost in self.costs.observed}
                self._answers.give(pd.DataFrame({"arch": [arch], self.objective.column: observed} | read))
        return STOP

    def _points(self, curve: Curve, at: float | None, value: float) -> Curve:
        """The points of a curve, checked, with the last one; none where the study does not count epochs."""
        if self.epochs is None:
            if at is not None or curve:
                raise UserError(
                    "tell: at what epoch says nothing here; say how many a training has: Study(epochs=90)"
                )
            return []
        name = self.objective.name
        points = [
            (as_number(e, "at"), as_number(v, name))
            for e, v in [*curve, (self.epochs if at is None else at, value)]
        ]
        for (epochs, _), (before, _) in zip(points, [(0.0, 0.0), *points], strict=False):
            if not before < epochs <= self.epochs:
                raise UserError(f"tell: at={epochs:g} must be above {before:g} and at most {self.epochs:g}")
        return [(epochs, value) for epochs, value in points if math.isfinite(value)]

    def _report(self, trial: Named, points: Curve, seconds: float) -> Literal["go on", "stop"]:
        """Takes in what a training shows on its way; stops it where the rule of its round says so."""
        with self._transaction():
            reporting = self._answers.report(trial, points)
            if reporting is None:
                raise UserError(f"{trial} was not asked for, so it has no epochs to tell of")
            if reporting.has_ended:
                return STOP
            curve = [(at, value) for at, value in self.state.curve(reporting.arch) if at <= points[-1][0]]
            rule = None if reporting.round == WAITING else self.rule(reporting.round)
            if rule is None or rule.goes_on(reporting.arch, curve):
                return GO_ON
            self._answers.tell(trial, STOPPED, math.nan, seconds, "")
            return STOP

    def rule(self, number: int) -> StopRule | None:
        """The rule that stops trainings of round `number`, by what was known when it began; None where nothing does."""
        if self.budget_epochs is None:
            return None
        if number not in self._rules:
            of_round = self.state.trials["arch"][self.state.trials["round"] == number]
            self._rules[number] = self.search.stopping.rule(self.state.past(number), of_round.tolist())
        return self._rules[number]

    def fail(
        self,
        trial: Named,
        reason: str = "no reason",
        seconds: float = math.nan,
    ) -> None:
        """Notes that a training failed: it counts, ranks below all that worked, and is not asked for again."""
        with self._transaction():
            if not self._answers.tell(trial, FAILED, math.nan, seconds, str(reason)):
                raise UserError(f"{trial} was not asked for, so it cannot fail")

    def give(self, observed: pd.DataFrame) -> None:
        """Takes in what was trained elsewhere: it is learned from, costs no budget, and is never asked for.

        What was asked for and is not told yet counts as told; rows without a finite value are left out. Both are warned
        of.

        Args:
            observed: a row for each architecture: `arch` (in any form that the space parses), or a column for each
                choice, and a column with the objective's name; one for each cost of the front that is known after a
                training only, without which a row is on no front.

        Raises:
            UserError: where a column is missing, a value is no number, or an architecture is not of the space.
        """
        rows = self._answers.read(observed)
        with self._transaction():
            self._answers.give(rows)

    @property
    def pending(self) -> list[Trial]:
        """What was asked for and is not told yet."""
        with self._transaction():
            return [self.trial(number) for number in self.state.numbers(PENDING)]

    # --- what is known ---

    @property
    def budget(self) -> int:
        """Trainings in all."""
        return self.search.budget

    @property
    def is_done(self) -> bool:
        """Whether all trainings are told, as many as the budget says, or as there are architectures."""
        with self._transaction():
            return self._is_done()

    @property
    def observations(self) -> pd.DataFrame:
        """A row for each trial that was told; see `StudyState.trials`."""
        with self._transaction():
            return self.state.told

    @property
    def returned(self) -> Returned | None:
        """The best of what was told and given, noise aside (`Search.confidence`); None before anything worked."""
        with self._transaction():
            archs, utilities = self.state.known
        if np.isnan(utilities).all():
            return None
        (best,) = self.search.returned(self.space, archs, utilities, [len(archs)])
        (value,) = self._values(archs, utilities)[[archs[best]]]
        return Returned(archs[best], self.space.choices(archs[best]), float(value))

    def _values(self, archs: list[str], utilities: NDArray[np.float64]) -> pd.Series[float]:
        """What each architecture has shown, by its name: the mean of its trainings."""
        first, means = averaged(archs, utilities)
        return pd.Series(self.objective.utility(means), index=[archs[i] for i in first])

    def ranking(self) -> pd.DataFrame:
        """Every architecture that can be scored, best first: `arch`, `score` and what was observed (NaN: nothing)."""
        with self._transaction():
            self._fit_last()
            archs, utilities = self.state.known
            frame = pd.DataFrame({"arch": self.state.archs, "score": self.state.last_scores})
        values = self._values(archs, utilities)
        frame = frame.merge(
            pd.DataFrame({"arch": values.index}), "outer"
        )  # what was given may not be among them
        frame[self.objective.column] = values.reindex(frame["arch"]).to_numpy()
        return frame.sort_values("score", ascending=False, kind="stable").reset_index(drop=True)

    def front(self, *names: str, costs: pd.DataFrame | None = None) -> pd.DataFrame:
        """What nothing else that was observed beats: no other is at least as good in all, and better in one.

        Args:
            names: of costs, lower is better, such as `params_m`. Without any, and without `costs`, it is the front that
                the study searches for, noise aside (`Search.returned_fronts`).
            costs: a frame with these columns, as weak labels are given; else the costs are those of the study's weak
                labels, or counted on the networks.

        Returns:
            `arch`, the objective's column and the costs, the cheapest first. Of the study's own front also `knee`:
            whether it bends most there (`acenas.ranking.fronts.knee`).

        Raises:
            UserError: where nothing tells a cost.
        """
        with self._transaction():
            archs, utilities = self.state.known
            known_costs = self.state.known_costs
        if known_costs is not None and not names and costs is None:
            return self._front_of(archs, utilities, known_costs)
        labels = self.fitting.known_labels
        if costs is not None:
            labels = weak_labels_of(self.space, [], costs, self.folder)
        worked = pd.DataFrame({"arch": archs, "utility": -utilities}).dropna().drop_duplicates("arch")
        for model in cost_models(self.space, names, labels):
            worked[model.name] = model.values(worked["arch"].tolist())
        worked = worked.dropna()
        front = worked[non_dominated(worked[["utility", *names]].to_numpy())]
        front = front.assign(utility=self.objective.utility(-front["utility"].to_numpy()))
        front = front.rename(columns={"utility": self.objective.column})
        return front.sort_values(list(names) or self.objective.column, kind="stable").reset_index(drop=True)

    def _front_of(
        self, archs: list[str], utilities: NDArray[np.float64], costs: NDArray[np.float64]
    ) -> pd.DataFrame:
        """The study's own front of what is known: architectures, `[n]` utilities and `[n, m]` costs."""
        (members,) = self.search.returned_fronts(self.space, archs, utilities, costs, [len(archs)])
        order = members[np.lexsort(costs[members].T[::-1])]  # by the first cost, then by the others
        frame = pd.DataFrame(
            {
                "arch": [archs[i] for i in order],
                self.objective.column: self.objective.utility(utilities[order]),
                **dict(zip(self.costs.front, (costs[order] * self.costs.signs).T, strict=True)),
            }
        )
        bend = [knee(np.column_stack([-utilities, costs])[order])] if len(order) else []
        return frame.assign(knee=frame.index.isin(bend))

    def predictions(self) -> pd.DataFrame:
        """What training each architecture would show, as the rule for the study's front expects it.

        Returns:
            A row for each that can be scored: `arch`, `predicted_<objective>`, `predicted_from` and `predicted_to` (a
            deviation to either side, without the noise of a training), and the costs of the front; those that are known
            after a training only as `predicted_<cost>`. No rows where the rule predicts no values.
        """
        with self._transaction():
            self._fit_last()
            expected, costs = self.search.predicted(self.state), self.state.front_costs
            archs = self.state.archs
        names = [f"predicted_{name}" if name in self.costs.observed else name for name in self.costs.front]
        columns = ["arch", f"predicted_{self.objective.name}", "predicted_from", "predicted_to", *names]
        if expected is None or costs is None:
            return pd.DataFrame(columns=columns)
        value, *sides = self.objective.utility(expected)
        rows = [archs, value, *np.sort(sides, axis=0), *(costs * self.costs.signs).T]
        return pd.DataFrame(dict(zip(columns, rows, strict=True)))

    def fronts(self) -> pd.DataFrame:
        """The front that is returned after each training that was told: `trained` and `arch`, a row for each member.

        It starts from what was given. Of very many trainings only after every tenth, and after each round.
        """
        with self._transaction():
            told, (archs, utilities), costs = self.state.finished, self.state.known, self.state.known_costs
            # Those that were stopped early count as well, though they are of no front.
            trained = np.flatnonzero(self.state.told.index.isin(told.index)) + 1
        found: list[tuple[int, str]] = []
        if costs is not None:
            given, rounds = len(self.state.given), told.groupby("round").size().cumsum().tolist()
            after = sorted({*comparisons(len(told)), *rounds})
            known = [given + n for n in after]
            sets = self.search.returned_fronts(self.space, archs, utilities, costs, known)
            found = [(int(trained[n - 1]), archs[i]) for n, its in zip(after, sets, strict=True) for i in its]
        return pd.DataFrame(found, columns=["trained", "arch"])

    def trial(self, number: int) -> Trial:
        """The trial with that number."""
        row = self.state.trials.loc[number].to_dict()
        known = {name: row[name] for name in ("arch", "round", "reason", "repeat")}
        return Trial(number, **known, choices=self.space.choices(row["arch"]))

    def fit(self) -> None:
        """Fits the ranker to all that was told, where the last round is complete and that was not done yet."""
        with self._transaction():
            self._fit_last()

    def close(self) -> pd.DataFrame:
        """The observations, with what is returned after each; written for the report.

        What no epochs were left for is not among them: a larger budget chooses it again.
        """
        with self._transaction():
            if self._is_done():
                self.state.drop(QUEUED)
            told = self.state.told
            returned = self.search.returned(
                self.space,
                told["arch"].tolist(),
                self.objective.utility(told[self.objective.column].to_numpy()),
            )
            names = pd.Series(told["arch"].to_numpy()[returned], index=told.index)
            self.state.trials["returned"] = names.reindex(self.state.trials.index, fill_value="")
            self.state.write()
            return self.state.told

    @property
    def spending(self) -> Spending | None:
        """What the epochs were spent on; None where the study does not count them."""
        if self.epochs is None:
            return None
        rule, levels = "", [self.epochs]
        if self.budget_epochs is not None:
            rule, levels = in_words(self.search.stopping), self.search.stopping.lengths(self.epochs)
        with self._transaction():
            return Spending(self.epochs, self.budget_epochs, self.state.curves.copy(), rule, levels)

    # --- rounds ---

    def _begin_round(self) -> bool:
        """Chooses the architectures of the next round; False where there is none, or no architecture is left."""
        if not self._is_current():
            raise UserError(
                f"another process has raised the budget of {self.folder}; open the study again to go on with it"
            )
        number = self.state.last_round + 1
        if len(self.state.trials) >= self.budget or not self._affordable():
            return False
        self._fit(number - 1)
        left = self.state.left
        if not len(left):
            asked = f"{len(self.state.trials)} of {self.budget}"
            warnings.warn(f"no architecture is left to ask for; {asked} were asked for", stacklevel=3)
            return False
        generator = numpy_generator(self.seed, "acquisition", number)
        positions, reasons = self.search.choose(number, left, self.state, generator)
        self.state.begin_round(number, [self.state.archs[i] for i in positions], reasons)
        self._stop_anew(number)
        return True

    def _stop_anew(self, number: int) -> None:
        """Asks the rule of a new round about trainings of it that ended before the budget was raised."""
        rule, trials = self.rule(number), self.state.trials
        taken = trials[(trials["round"] == number) & trials["state"].isin([TRAINED, STOPPED])]
        for row, arch, state in zip(taken.index, taken["arch"], taken["state"], strict=True):
            curve = self.state.curve(arch) if rule is not None else []
            for count, (at, _) in enumerate(curve, start=1):
                if rule is not None and at < (self.epochs or 0) and not rule.goes_on(arch, curve[:count]):
                    self.state.cut_curve(arch, at)
                    stopped = {"state": STOPPED, self.objective.column: math.nan, "epochs": at}
                    self.state.update([row], "observations", stopped)
                    break
            else:
                if state == STOPPED:  # it goes on now
                    self.state.update([row], "observations", {"state": QUEUED, "epochs": math.nan})
        if len(taken):
            self.state.write()

    def _affordable(self) -> int:
        """Trainings that can begin: as many full ones as there are epochs left for."""
        if self.budget_epochs is None or self.epochs is None:
            return self.budget
        left: float = self.budget_epochs - self.state.paid
        return int(left * (1 + 1e-9) // self.epochs)

    def _is_done(self) -> bool:
        trials = self.state.trials
        if (trials["state"] == PENDING).any():
            return False
        if not self._affordable():
            return True
        spent = len(trials) >= self.budget or len(self.state.left) == 0
        return bool(spent and trials["state"].isin(ENDED).all())

    def _rounds_alike(self, smaller: int) -> int:
        """The rounds so far that a search of this budget begins with, where it was `smaller` trainings before."""
        if self.budget_epochs is None:
            return self.search.rounds_alike(smaller)
        sizes = self.state.trials.groupby("round").size().tolist()
        whole = [size == self.search.round_size(sum(sizes[:i])) for i, size in enumerate(sizes)]
        whole = [*whole[:-1], whole[-1] and not self.state.numbers(QUEUED)] if whole else []
        return min(self.search.rounds_alike(smaller), [*whole, False].index(False))

    def _check_budget(self) -> None:
        """Raises `UserError` where there are fewer architectures than the budget, or epochs than a training has."""
        if self.budget_epochs is not None and (self.epochs is None or self.budget_epochs < self.epochs):
            raise UserError(
                f"search.budget_epochs={self.budget_epochs:g} must be enough for a full training, and it must be known "
                f"how many epochs that has, not {self.epochs}"
            )
        if self.budget_epochs is not None and len(self.state.candidates):
            return  # it may begin more trainings than there are architectures, and ends with these
        if (count := len(self.state.candidates)) < self.budget:
            within, or_limits = (
                (" within search.constraints", " or higher limits") if self.costs.at_most else ("", "")
            )
            raise UserError(
                f"there are {count} distinct architectures to choose from{within}, fewer than "
                f"search.budget={self.budget}; choose a smaller budget{or_limits}"
            )

    def _is_current(self) -> bool:
        """Whether the folder's study still has this one's budget: another process may have raised it."""
        return bool(read_description(self.folder).get("budget", self.budget) == self.budget)

    def _fit_last(self) -> None:
        """Fits the ranker after the last round where that is complete, or no epochs are left for the rest of it."""
        last = self.state.last_round
        of_round = self.state.trials[self.state.trials["round"] == last]
        if (of_round["state"].isin(ENDED).all() or self._is_done()) and self._is_current():
            self._fit(last)

    def _fit(self, number: int) -> None:
        """Scores everything by what is known after round `number`, unless that was done; 0: before the first."""
        state = self.state
        if number == 0 and state.given.empty:
            if self.fitting.pretrained and "pretrained" not in state.scores:
                first = self.fitting.first_scores()
                if first is not None:
                    state.add_scores("pretrained", first)
            return
        name = f"round_{number}" if number else "given"
        if name in state.scores or np.isnan(state.known[1]).all():
            return
        scores = self.fitting.fit(number)
        if self._is_sample and len(state.trials) < self.budget:
            generator = numpy_generator(self.seed, "candidates", number)
            more = self.search.extend(state, scores, self.fitting.score, generator)
            if more:
                scores = np.concatenate([scores, self.fitting.score(more)])
                state.add_archs(more)
        state.add_scores(name, scores)

    # --- files and locks ---

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Holds the folder's lock, with the state as it is in the folder now."""
        try:
            with self._lock.acquire(timeout=600):
                self.state.read()
                try:
                    yield
                except BaseException:
                    self.state.forget()
                    raise
        except Timeout:
            raise UserError(f"another process has held the lock of {self.folder} for ten minutes") from None
