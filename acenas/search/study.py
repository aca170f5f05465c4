"""The study: asks what to train next, is told what the trainings showed, and keeps all of it in a folder."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.evaluation.labels import counted_by_default, informative
from acenas.evaluation.objective import Objective
from acenas.files import read_json, write_text
from acenas.ranker import GraphRanker, Ranker
from acenas.search.acquisition import Acquisition
from acenas.search.candidates import Within, list_space
from acenas.search.constraints import Limits, non_dominated
from acenas.search.inputs import (
    Labels,
    archs_of,
    cost_models,
    limits_of,
    read_frame,
    weak_labels_of,
)
from acenas.search.rounds import BudgetedSearch, Search
from acenas.search.state import FAILED, PENDING, QUEUED, TRAINED, StudyState
from acenas.seeds import numpy_generator, torch_generator
from acenas.spaces import Choices, GraphBatch, SearchSpace
from acenas.tables import WeakLabels

STUDY, SCORES, LABELS = "study.json", "scores.parquet", "pretrain/weak_labels.parquet"
"""Files of a study: what it is, what can be chosen with its scores, and what its ranker is pretrained on."""


BUDGET = 50
"""Trainings of a study that says nothing else."""


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
        budget: trainings in all; by default as many as the folder's study has, else 50. A larger one than the folder's
            raises it.
        folder: of the study.
        seed: drives every choice.
        objective: what trainings show: an `Objective`, a mapping of its attributes, or in short `"min perplexity"`; by
            default that of the folder's study, else accuracy in percent.
        weak_labels: to pretrain the ranker on, see `acenas.search.inputs.Labels`; what is no frame labels a sample of
            the space. By default what the space can count on the networks it builds; `[]` for none.
        given: what was trained elsewhere, as a frame or a CSV or Parquet file; see `give`.
        constraints: upper limits on costs, such as `{"params_m": 2.0}`: counted on the networks, or a column of
            `weak_labels`.
        ranker: scores architectures; a `GraphRanker` by default.
        search: how many each round trains, and which; a `BudgetedSearch` by default.
        acquisition: of the default search.
        archs: what can be chosen where that is not the space, such as what a table knows.
        within: where `archs` are only a sample of the space: which of further architectures keep the constraints.
            After each round the study then adds what `Search.extend` finds.
        pretrained: whether `ranker` was pretrained already; None for a study that does it.

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
        constraints: Mapping[str, float] | Limits | None = None,
        ranker: Ranker | None = None,
        search: Search | None = None,
        acquisition: Acquisition | None = None,
        archs: Sequence[str] | None = None,
        within: Within | None = None,
        pretrained: bool | None = None,
    ) -> None:
        self.space = space
        self.folder = Path(folder)
        self.seed = seed
        kept = self._kept()
        if search is None:
            budget = kept.get("budget", BUDGET) if budget is None else budget
            search = (
                BudgetedSearch(budget)
                if acquisition is None
                else BudgetedSearch(budget, acquisition=acquisition)
            )
        elif acquisition is not None:
            raise UserError("study: give the acquisition to the search, or no search")
        self.search = search if budget is None else search.with_budget(budget)
        self.ranker = GraphRanker(space, seed=seed) if ranker is None else ranker
        self.objective = Objective.of(kept.get("objective", "accuracy") if objective is None else objective)
        self._labels = self._read_labels(weak_labels) if pretrained is None else []
        self.pretrained = not (isinstance(self._labels, Sequence) and not self._labels)
        if pretrained is not None:
            self.pretrained = pretrained
        self._ready = pretrained is not None
        self.constraints = kept.get("constraints") if constraints is None else constraints
        labels = self._labels if isinstance(self._labels, WeakLabels) else None
        self.limits = limits_of(space, self.constraints, labels)
        self.within = within
        self._graphs: GraphBatch | None = None
        self._distinct_of: list[str] = []
        self._distinct = np.zeros(0, dtype=np.int64)
        self._lock = FileLock(self.folder / ".study.lock")
        self._chosen_here = archs is None
        self.state = StudyState(self.folder, self._choosable(kept, archs), self.objective)
        with self._transaction():
            self._open()
        if given is not None:
            self._give(read_frame(given), again=True)

    # --- asking and telling ---

    def ask(self, count: int | None = None) -> list[Trial]:
        """What to train next: the rest of a round that has begun, or else a new round.

        A new round learns from all that was told; what is still pending then is not waited for.

        Args:
            count: trials to ask for, at most; a round by default.

        Returns:
            New trials; none where the budget is used up.
        """
        with self._transaction():
            asked: list[int] = []
            while not asked or (count is not None and len(asked) < count):
                queued = self.state.numbers(QUEUED)
                if not queued and not self._begin_round():
                    break
                queued = queued or self.state.numbers(QUEUED)  # none where all of the round is known already
                asked += queued[: None if count is None else count - len(asked)]
                self.state.update(asked, state=PENDING)
            self.state.write()
            return [self.trial(number) for number in asked]

    def tell(self, trial: Trial | int | str, value: float, seconds: float = math.nan) -> None:
        """Takes in what a training showed. A value that is not finite is a failed training.

        Args:
            trial: that was asked for, its number, or its architecture. An architecture that was not asked for becomes
                a given one, with a warning.
            value: of the objective, in its own unit.
            seconds: that the training took.

        Raises:
            UserError: for what is no number, or for a trial that was told another value before.
        """
        number, observed = self._number(trial), _as_float(value, self.objective.name)
        if number is None:
            arch = str(trial)
            warnings.warn(f"{arch} was not asked for; it is taken as given", stacklevel=2)
            self.give(pd.DataFrame({"arch": [arch], self.objective.name: [observed]}))
        elif math.isfinite(observed):
            self._settle(number, TRAINED, observed, seconds)
        else:
            self._settle(number, FAILED, math.nan, seconds, f"{self.objective.name} is {observed}")

    def fail(self, trial: Trial | int | str, reason: str, seconds: float = math.nan) -> None:
        """Notes that a training failed: it counts, ranks below all that worked, and is not asked for again."""
        number = self._number(trial)
        if number is None:
            raise UserError(f"{trial} was not asked for, so it cannot fail")
        self._settle(number, FAILED, math.nan, seconds, reason)

    def give(self, observed: pd.DataFrame) -> None:
        """Takes in what was trained elsewhere: it is learned from, costs no budget, and is never asked for.

        Args:
            observed: a row for each architecture: `arch` (in any form that the space parses), or a column for each
                choice, and a column with the objective's name.

        Raises:
            UserError: where a column is missing, a value is no number, or an architecture is not of the space.
        """
        self._give(observed)

    def _give(self, observed: pd.DataFrame, again: bool = False) -> None:
        name = self.objective.name
        if name not in observed.columns:
            raise UserError(
                f"given: there is no column {name}; rename the one that holds it (there are "
                f"{', '.join(map(str, observed.columns))})"
            )
        archs = archs_of(self.space, observed.drop(columns=name))
        values = [_as_float(value, f"row {row}: {name}") for row, value in enumerate(observed[name])]
        with self._transaction():
            self.state.add_given(archs, values, self.space, again)

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
        value = float(self.objective.utility(utilities)[best])
        return Returned(archs[best], self.space.choices(archs[best]), value)

    def ranking(self) -> pd.DataFrame:
        """Every architecture that can be scored, best first: `arch`, `score` and what was observed (NaN: nothing)."""
        with self._transaction():
            if self._round_complete(self.state.last_round):
                self._fit(self.state.last_round)
            archs, utilities = self.state.known
            frame = pd.DataFrame({"arch": self.state.archs, "score": self.state.last_scores})
        values = pd.Series(self.objective.utility(utilities), index=archs)
        values = values[~values.index.duplicated()]
        frame = frame.merge(
            pd.DataFrame({"arch": values.index}), "outer"
        )  # what was given may not be among them
        frame[self.objective.column] = values.reindex(frame["arch"]).to_numpy()
        return frame.sort_values("score", ascending=False, kind="stable").reset_index(drop=True)

    def front(self, *names: str, costs: pd.DataFrame | None = None) -> pd.DataFrame:
        """What nothing else that was observed beats: no other is at least as good in all, and better in one.

        Args:
            names: of costs, lower is better, such as `params_m`.
            costs: a frame with these columns, as weak labels are given; else the costs are those of the study's weak
                labels, or counted on the networks.

        Returns:
            `arch`, the objective's column and the costs, the cheapest first.

        Raises:
            UserError: where nothing tells a cost.
        """
        with self._transaction():
            archs, utilities = self.state.known
        told = self._labels if isinstance(self._labels, WeakLabels) else None
        labels = told if costs is None else weak_labels_of(self.space, [], costs, self.folder)
        worked = pd.DataFrame({"arch": archs, "utility": -utilities}).dropna().drop_duplicates("arch")
        for model in cost_models(self.space, names, labels):
            worked[model.name] = model.values(worked["arch"].tolist())
        worked = worked.dropna()
        front = worked[non_dominated(worked[["utility", *names]].to_numpy())]
        front = front.assign(utility=self.objective.utility(-front["utility"].to_numpy()))
        front = front.rename(columns={"utility": self.objective.column})
        return front.sort_values(list(names) or self.objective.column, kind="stable").reset_index(drop=True)

    def trial(self, number: int) -> Trial:
        """The trial with that number."""
        row = self.state.trials.loc[number].to_dict()
        known = {name: row[name] for name in ("arch", "round", "reason", "repeat")}
        return Trial(number, **known, choices=self.space.choices(row["arch"]))

    def fit(self) -> None:
        """Fits the ranker to all that was told, where the last round is complete and that was not done yet."""
        with self._transaction():
            if self._round_complete(self.state.last_round):
                self._fit(self.state.last_round)

    def close(self) -> pd.DataFrame:
        """The observations, with what is returned after each; written for the report."""
        with self._transaction():
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

    # --- rounds ---

    def _open(self) -> None:
        """Begins the study, goes on with it, or raises its budget."""
        file = self.folder / STUDY
        limits = self.limits.at_most if self.limits else {}
        mine: dict[str, Any] = {
            "space": self.space.name,
            "choices": f"{self.space} of {self.space.size}" if isinstance(self.space, Choices) else "",
            "objective": asdict(self.objective),
            "constraints": limits,
            "ranker": type(self.ranker).__name__,
            "seed": self.seed,
        }
        theirs = mine | {"budget": self.budget} | self._kept()
        for name, value in mine.items():
            if theirs[name] != value:
                both = [shorten(str(each), 150, placeholder=" ...") for each in (theirs[name], value)]
                what = "space" if name == "choices" else name
                raise UserError(
                    f"{self.folder} holds a study with another {what} ({both[0]}, not {both[1]}); choose another folder"
                )
        if theirs["budget"] > self.budget:
            raise UserError(
                f"{self.folder} holds a study of {theirs['budget']} trainings; a budget can be raised, not lowered to "
                f"{self.budget}"
            )
        self._candidates()
        self.search.check_space(self.space, self.state.archs)
        if theirs["budget"] < self.budget:
            self.state.restart_from(_last_round_alike(self.search, theirs["budget"]))
        if not file.exists() or theirs["budget"] < self.budget:
            self._write_labels()
            if self._chosen_here and not file.exists():
                self.state.write("scores")
            more = {"budget": self.budget, "listed": self.within is None}
            write_text(file, json.dumps(mine | more, indent=2) + "\n")

    def _kept(self) -> dict[str, Any]:
        """What the folder says of its study; nothing where there is none."""
        file = self.folder / STUDY
        kind = {
            "budget": int,
            "listed": bool,
            "seed": int,
            "objective": {"name": str, "unit": str, "direction": str},
            "constraints": {str: float},
        }
        remedy = "get it back, or remove the folder to begin again"
        return read_json(file, kind, remedy) if file.exists() else {}

    def _choosable(self, kept: Mapping[str, Any], archs: Sequence[str] | None) -> list[str]:
        """Everything that can be chosen from the beginning, and `within` where that is a sample."""
        limits = self.limits

        def within(archs: Sequence[str]) -> NDArray[np.bool_]:
            return limits.within(archs) if limits else np.ones(len(archs), np.bool_)

        if archs is None:
            if kept and (self.folder / SCORES).exists():  # they are in the folder
                self.within = None if kept["listed"] else within
                return []
            archs = list_space(self.space)
        if archs is None:
            self.within = within
            found = self.search.candidates.sample(self.space, within, self.seed)
        else:
            found = [arch for arch, keep in zip(archs, within(archs).tolist(), strict=True) if keep]
        if limits and not found:
            some = archs or self.space.sample(1000, torch_generator(self.seed, "candidates"))
            raise limits.nothing_left(some)
        return found

    def _candidates(self) -> NDArray[np.int64]:
        """Positions of one architecture for each function. Raises `UserError` where they are too few."""
        if len(self._distinct_of) != len(self.state.archs):
            self._distinct_of = self.state.archs
            self._distinct = np.array(self.space.distinct(self._distinct_of), dtype=np.int64)
        candidates = self._distinct
        given = set(self.space.canonical_all(self.state.given["arch"].tolist()))
        if given:
            forms = self.space.canonical_all([self.state.archs[i] for i in candidates])
            candidates = candidates[[form not in given for form in forms]]
        if len(candidates) < self.budget:
            raise UserError(
                f"there are {len(candidates)} distinct architectures to choose from"
                + (" within search.constraints" if self.search.constraints else "")
                + f", fewer than search.budget={self.budget}; choose a smaller budget"
                + (" or higher limits" if self.search.constraints else "")
            )
        return candidates

    def _begin_round(self) -> bool:
        """Chooses the architectures of the next round; False where there is none."""
        sizes, number = self.search.round_sizes, self.state.last_round + 1
        if number > len(sizes):
            return False
        self._fit(number - 1)
        candidates = self._candidates()
        left = candidates[~np.isin(candidates, self.state.positions)]
        generator = numpy_generator(self.seed, "acquisition", number)
        positions, reasons = self.search.choose(
            number, self.space, self.state.archs, left, self.state, generator
        )
        self.state.begin_round(number, [self.state.archs[i] for i in positions], reasons)
        return True

    def _round_complete(self, number: int) -> bool:
        of_round = self.state.trials[self.state.trials["round"] == number]
        return bool(of_round["state"].isin([TRAINED, FAILED]).all())

    def _fit(self, number: int) -> None:
        """Scores everything by what is known after round `number`, unless that was done; 0: before the first."""
        told, given = self.state.told, self.state.given
        if number == 0 and given.empty:
            if self.pretrained and "pretrained" not in self.state.scores:
                self._make_ready()
                if self.pretrained:
                    self.state.add_scores("pretrained", self.ranker.score(self.graphs))
            return
        name = f"round_{number}" if number else "given"
        _, utilities = self.state.known
        if name in self.state.scores or np.isnan(utilities).all():
            return
        self._make_ready()
        graphs = self.graphs[torch.from_numpy(self.state.positions_of(told["arch"]))]
        if len(given):
            graphs = GraphBatch.cat([self._encode(given["arch"].tolist()), graphs])
        worst = np.nanmin(utilities)  # what failed is no better than the worst that worked
        observed = torch.tensor(np.where(np.isnan(utilities), worst, utilities), dtype=torch.float32)
        self.ranker.finetune(graphs, observed, round=number)
        scores = self.ranker.score(self.graphs)
        if self.within is not None and number < len(self.search.round_sizes):
            more = self.search.extend(
                self.space,
                self.state.archs,
                scores.numpy(),
                self.within,
                lambda others: self.ranker.score(self.space.encode(others)).numpy(),
                self.state,
                numpy_generator(self.seed, "candidates", number),
            )
            if more:
                added = self.space.encode(more)
                self._graphs = GraphBatch.cat([self.graphs, added])
                scores = torch.cat([scores, self.ranker.score(added)])
                self.state.add_archs(more)
        self.state.add_scores(name, scores)

    @property
    def graphs(self) -> GraphBatch:
        """Of all that can be scored, in the order of `state.archs`. Equal functions are equal graphs."""
        size = 0 if self._graphs is None else len(self._graphs)
        if size < len(self.state.archs):
            more = self._encode(self.state.archs[size:])
            self._graphs = more if self._graphs is None else GraphBatch.cat([self._graphs, more])
        assert self._graphs is not None
        return self._graphs

    def _encode(self, archs: Sequence[str]) -> GraphBatch:
        return self.space.canonical_graphs(archs)

    # --- weak labels ---

    def _read_labels(self, given: Labels | None) -> Labels:
        """Frames are read at once; a function, or names of what can be counted, when the ranker is first used."""
        file = self.folder / LABELS
        if given is None and file.exists():
            return WeakLabels.load(file, space=self.space.name)
        if given is None:
            return counted_by_default(self.space)
        if isinstance(given, pd.DataFrame | WeakLabels):
            given = weak_labels_of(self.space, [], given, self.folder)
            if file.exists() and not WeakLabels.load(file).frame().equals(given.frame()):
                raise UserError(f"{self.folder} holds a study with other weak labels; choose another folder")
        return given

    def _write_labels(self) -> None:
        if isinstance(self._labels, WeakLabels):
            self._labels.save(self.folder / LABELS)

    def _make_ready(self) -> None:
        """Pretrains the ranker, or loads it."""
        if self._ready or not self.pretrained:
            return
        file, folder = self.folder / LABELS, self.folder / "pretrain"
        if not isinstance(self._labels, WeakLabels):
            if not file.exists():
                archs = [self.state.archs[i] for i in self._candidates()]
                made = weak_labels_of(self.space, archs, self._labels, folder, self.seed)
                informative(made).save(file)
            self._labels = WeakLabels.load(file, space=self.space.name)
        if not self._labels.names:
            self.pretrained = False
            return
        done = folder / "ranker.pt"
        if done.exists():
            self.ranker.load(done)
        else:
            self.ranker.pretrain(
                self.space.canonical_graphs(self._labels.archs),
                torch.tensor(self._labels.frame().to_numpy()),
                label_names=self._labels.names,
                folder=folder,
            )
            self.ranker.save(done)
        self._ready = True

    # --- files and locks ---

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Holds the folder's lock, with the state as it is in the folder now."""
        self.folder.mkdir(parents=True, exist_ok=True)
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

    def _number(self, trial: Trial | int | str) -> int | None:
        """The number of a trial that was asked for; None where it was not."""
        with self._transaction():
            trials = self.state.trials
            if isinstance(trial, Trial):
                trial = trial.number
            if isinstance(trial, int):
                if not 0 <= trial < len(trials) or trials["state"][trial] == QUEUED:
                    raise UserError(f"there is no trial {trial}; the study asked for {len(trials)}")
                return trial
            form = self.space.canonical(self.space.parse(trial))
            forms = self.space.canonical_all(trials["arch"].tolist())
            of_arch = [i for i, other in enumerate(forms) if other == form and trials["state"][i] != QUEUED]
            open_ones = [i for i in of_arch if trials["state"][i] == PENDING]
            return next(iter(open_ones or of_arch), None)

    def _settle(self, number: int, state: str, value: float, seconds: float, message: str = "") -> None:
        with self._transaction():
            before = self.state.trials.loc[number]
            if before["state"] in (TRAINED, FAILED):
                same = before["state"] == state and (
                    state == FAILED or before[self.objective.column] == value
                )
                if not same:
                    was = before[self.objective.column] if before["state"] == TRAINED else "failed"
                    raise UserError(
                        f"trial {number} ({before['arch']}) was told before: {was}; that stands, not {value}"
                    )
                return
            self.state.update([number], state=state, seconds=seconds, message=message)
            self.state.update([number], **{self.objective.column: value})
            self.state.write()
            self._warn_of_fractions()

    def _warn_of_fractions(self) -> None:
        values = self.state.told[self.objective.column].dropna()
        if self.objective.unit == "%" and len(values) == 3 and values.between(0, 1).all():
            warnings.warn(
                f"all {self.objective.name} values so far lie between 0 and 1, and the unit is percent; were "
                "fractions told?",
                stacklevel=3,
            )


def _last_round_alike(search: Search, smaller: int) -> int:
    """The number of rounds, but for the last, that begin a search of `smaller` trainings and this one alike."""
    before, now = search.with_budget(smaller).round_sizes, search.round_sizes
    alike = [a == b for a, b in zip(before[:-1], now, strict=False)]
    return alike.index(False) if False in alike else len(alike)


def _as_float(value: object, name: str) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UserError(f"{name} must be a number, not {value!r:.200}") from None
