"""The files of a study: its trials, what was given, what was scored, and answers that wait for their question."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from acenas.errors import UserError
from acenas.evaluation.curves import Curve
from acenas.evaluation.objective import Objective
from acenas.files import atomic_path, read_frame
from acenas.search.costs import Costs, predicted_costs
from acenas.search.extrapolation import Past
from acenas.spaces import GraphBatch, SearchSpace

QUEUED, PENDING, TRAINED, FAILED, STOPPED = "queued", "pending", "trained", "failed", "stopped"
"""States of a trial: chosen in a round that has begun, asked for, told, failed, or stopped early."""

ENDED = (TRAINED, FAILED, STOPPED)
"""The states of a trial that needs no more."""

WAITING = -1
"""The round of points whose trial was taken back and was not chosen again yet."""

ATTRIBUTES = {
    name: name if name != "observations" else "trials"
    for name in ("observations", "given", "scores", "answers", "curves")
}
"""The attribute of `StudyState` that holds the content of each Parquet file."""


_TRIALS = dict.fromkeys(("arch", "reason", "state", "message"), "text") | dict.fromkeys(
    ("round", "repeat", "seconds"), "numbers"
)
_CURVES = {"arch": "text"} | dict.fromkeys(("round", "epochs", "value"), "numbers")
_REMEDY = (
    "get it back, or remove observations.parquet, scores.parquet and study.json to search again: what is kept in "
    "`trained` is not trained again"
)


class StudyState:
    """The files of a study: its trials, what was given, what was scored, and answers that wait for their question.

    Attributes:
        space: of the architectures.
        objective: what trainings show.
        costs: limits, and costs of the front; none before the study says so.
        epochs: of a full training, where the study counts them; else None.
        archs: everything that can be scored and chosen.
        trials: a row for each trial: `arch`, `round`, `reason`, `repeat`, `state`, the objective's column, `seconds`,
            `message` (why it failed), the costs of the front that are known after a training only, and where the study
            counts them `epochs` that were trained, and `points` of `curves` that were there when its round began.
        curves: a row for each value that a training reported, in the order of arrival: `arch`, `round`, `epochs`,
            `value`.
        given: `arch` and the objective's column of what was trained elsewhere, and the costs of the front that are
            known after a training only (NaN where unknown).
        scores: `arch`, then one column per fit.
    """

    def __init__(self, folder: Path, space: SearchSpace, objective: Objective) -> None:
        self._files = {name: folder / f"{name}.parquet" for name in ATTRIBUTES}
        self._read: dict[str, tuple[int, ...]] = {}
        self.space, self.objective, self._column = space, objective, objective.column
        self.costs = Costs()
        self.epochs: float | None = None
        self._costed: tuple[list[str], NDArray[np.float64]] | None = None
        self._graphs: GraphBatch | None = None
        self.archs: list[str] = []
        self.trials = pd.DataFrame(
            {
                "arch": pd.Series(dtype=str),
                "round": pd.Series(dtype=np.int64),
                "reason": pd.Series(dtype=str),
                "repeat": pd.Series(dtype=np.int64),
                "state": pd.Series(dtype=str),
                self._column: pd.Series(dtype=np.float64),
                "seconds": pd.Series(dtype=np.float64),
                "message": pd.Series(dtype=str),
            }
        )
        self.answers = self.trials.copy()
        self.given = self.trials[["arch", self._column]].copy()
        self.scores = pd.DataFrame({"arch": pd.Series(dtype=str)})
        self.curves = pd.DataFrame(
            {
                "arch": pd.Series(dtype=str),
                "round": pd.Series(dtype=np.int64),
                "epochs": pd.Series(dtype=np.float64),
                "value": pd.Series(dtype=np.float64),
            }
        )
        self._index()

    def read(self) -> None:
        """Takes in what other processes have written."""
        for name, attribute in ATTRIBUTES.items():
            file = self._files[name]
            written = _version(file)
            if written != self._read.get(name, ()):
                columns = {"observations": _TRIALS, "answers": _TRIALS, "curves": _CURVES}
                setattr(self, attribute, read_frame(file, columns.get(name, {"arch": "text"}), _REMEDY))
                self._read[name] = written
                if name == "scores":
                    self._index()

    @property
    def version(self) -> dict[str, tuple[int, ...]]:
        """Differs where anything of the files is another one."""
        return dict(self._read)

    def forget(self) -> None:
        """Makes `read` take in everything anew, as what is in memory may differ from the files."""
        self._read = {}

    def write(self, name: str = "observations") -> None:
        """Writes a file of the state."""
        with atomic_path(self._files[name]) as path:
            getattr(self, ATTRIBUTES[name]).to_parquet(path, index=False)
        self._read[name] = _version(self._files[name])

    def _index(self) -> None:
        archs: list[str] = self.scores["arch"].tolist()
        if self._graphs is not None and self.archs[: len(self._graphs)] != archs[: len(self._graphs)]:
            self._graphs = None  # another process has found others
        self.archs = archs
        self._position = {arch: i for i, arch in enumerate(self.archs)}
        self._distinct: NDArray[np.int64] | None = None
        self._normal: dict[str, NDArray[np.float64]] = {}

    @property
    def candidates(self) -> NDArray[np.int64]:
        """Positions in `archs` of one architecture for each function, without those that were given."""
        if self._distinct is None:
            self._distinct = np.array(self.space.distinct(self.archs), dtype=np.int64)
        if self.given.empty:
            return self._distinct
        given = set(self.space.canonical_all(self.given["arch"].tolist()))
        forms = self.space.canonical_all([self.archs[i] for i in self._distinct])
        return self._distinct[[form not in given for form in forms]]

    @property
    def left(self) -> NDArray[np.int64]:
        """The `candidates` that were not chosen yet."""
        candidates = self.candidates
        return candidates[~np.isin(candidates, self.positions_of(self.trials["arch"]))]

    @property
    def last_round(self) -> int:
        """The last round that has begun; 0 before the first."""
        return int(self.trials["round"].max()) if len(self.trials) else 0

    @property
    def told(self) -> pd.DataFrame:
        """The trials that have ended, in their order."""
        return self.trials[self.trials["state"].isin(ENDED)]

    @property
    def finished(self) -> pd.DataFrame:
        """Those of `told` that were not stopped early."""
        return self.trials[self.trials["state"].isin([TRAINED, FAILED])]

    def positions_of(self, archs: Sequence[str] | pd.Series[str]) -> NDArray[np.int64]:
        """`[n]`, of `archs` among all that can be scored."""
        try:
            return np.array([self._position[arch] for arch in archs], dtype=np.int64)
        except KeyError as lacking:
            raise UserError(
                f"{self._files['scores']} lacks {lacking}, which was trained; {_REMEDY}"
            ) from None

    @property
    def last_scores(self) -> NDArray[np.float32]:
        """`[A]`, the latest scores; all equal where there are none yet."""
        fits = self.scores.columns[1:]
        return self.scores[fits[-1]].to_numpy() if len(fits) else np.zeros(len(self.scores), dtype=np.float32)

    @property
    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """What was given, then what is `finished`: architectures and `[n]` utilities, NaN for failed trainings."""
        done = self.finished
        both = pd.concat([self.given, done[["arch", self._column]]]) if len(self.given) else done
        return both["arch"].tolist(), self.objective.utility(both[self._column].to_numpy())

    @property
    def of_first(self) -> pd.DataFrame:
        """`finished`, where `round` is that of the first training of each architecture."""
        done = self.finished
        return done.assign(round=done.groupby("arch", sort=False)["round"].transform("min"))

    @property
    def graphs(self) -> GraphBatch:
        """Of `archs`. Equal functions are equal graphs."""
        done = 0 if self._graphs is None else len(self._graphs)
        if done < len(self.archs):
            more = self.space.canonical_graphs(self.archs[done:])
            self._graphs = more if self._graphs is None else GraphBatch.cat([self._graphs, more])
        assert self._graphs is not None
        return self._graphs

    @property
    def known_graphs(self) -> GraphBatch:
        """Of `known`."""
        done = self.graphs_of(self.finished["arch"])
        if self.given.empty:
            return done
        return GraphBatch.cat([self.space.canonical_graphs(self.given["arch"].tolist()), done])

    def graphs_of(self, archs: Sequence[str] | pd.Series[str]) -> GraphBatch:
        """Of some of `archs`."""
        return self.graphs[torch.from_numpy(self.positions_of(archs))]

    @property
    def front_costs(self) -> NDArray[np.float64] | None:
        """`[A, m]`: the costs of the front of `archs`, lower is better; None where there is no front.

        They are known of all, as what lacks one cannot be chosen; those known after a training only are predicted from
        the trainings so far (0 before the first). Not in the files, but made anew by each process.
        """
        if not self.costs.front:
            return None
        before, costs = self._costed or ([], self.costs.of_front([]))
        if before != self.archs[: len(before)]:  # another process has found others
            before, costs = [], self.costs.of_front([])
        if len(before) < len(self.archs):
            costs = np.concatenate([costs, self.costs.of_front(self.archs[len(before) :])])
            self._costed = list(self.archs), costs
        return self._with_predictions(costs, self.archs)

    def front_costs_of(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """`[n, m]`: the costs of the front of other architectures as `front_costs`; NaN where one is not known."""
        return self._with_predictions(self.costs.of_front(archs), archs)

    def _with_predictions(self, costs: NDArray[np.float64], archs: Sequence[str]) -> NDArray[np.float64]:
        """`costs` with what is known after a training only, predicted from the trainings so far and what was given."""
        if not self.costs.observed:
            return costs
        worked, costs = self.trials[self.trials["state"] == TRAINED], costs.copy()
        worked = pd.concat([self.given, worked]) if len(self.given) else worked
        for column, (name, sign) in enumerate(zip(self.costs.front, self.costs.signs, strict=True)):
            if name in self.costs.observed:
                told = worked.reindex(columns=["arch", name]).dropna()
                trained, values = told["arch"].tolist(), told[name].to_numpy(np.float64)
                costs[:, column] = sign * predicted_costs(self.space, trained, values, archs)
        return costs

    @property
    def known_costs(self) -> NDArray[np.float64] | None:
        """`[n, m]`: the costs of the front of `known`, lower is better, NaN where unknown; None without a front."""
        if not self.costs.front:
            return None
        done = self.finished
        costs = self.costs.of_front([*self.given["arch"], *done["arch"]])
        for column, (name, sign) in enumerate(zip(self.costs.front, self.costs.signs, strict=True)):
            if name in self.costs.observed:
                parts = [
                    part.reindex(columns=[name])[name].to_numpy(np.float64) for part in (self.given, done)
                ]
                costs[:, column] = sign * np.concatenate(parts)
        return costs

    def scores_before(self, archs: Sequence[str], rounds: NDArray[np.integer]) -> NDArray[np.float64]:
        """`[n]`: the normal scores that architectures had before a round of each; 0 where they had none.

        A score of what the ranker was fitted to says little.
        """
        found, positions = np.zeros(len(archs)), self.positions_of(archs)
        for name in self.scores.columns[1:]:  # in the order of the fits: later ones replace earlier ones
            number = int(name.removeprefix("round_")) if name.startswith("round_") else 0
            if name not in self._normal:  # a round asks for those of all fits before it
                self._normal[name] = normal_scores(self.scores[name].to_numpy())
            scores = self._normal[name][positions]
            later = (rounds > number) & np.isfinite(scores)
            found[later] = scores[later]
        return found

    def past(self, number: int) -> Past:
        """What the curves told when round `number` began, whatever came since; and all that was given, in full."""
        of_round = self.trials[self.trials["round"] == number]
        points = self.curves.iloc[: int(of_round["points"].max()) if len(of_round) else None]
        points = points[(points["round"] < number) & (points["round"] != WAITING)]
        curves = {
            str(arch): list(
                zip(each["epochs"], self.objective.utility(each["value"].to_numpy()), strict=True)
            )
            for arch, each in points.sort_values("epochs", kind="stable").groupby("arch", sort=False)
        }
        first = points.groupby("arch", sort=False)["round"].min()
        archs, rounds = [*curves, *of_round["arch"]], [*first.reindex(list(curves)), *of_round["round"]]
        expected = self.scores_before(archs, np.array(rounds, np.int64))
        scores = dict(zip(archs, expected.tolist(), strict=True))
        assert self.epochs is not None
        given, utilities = (
            self.given["arch"].tolist(),
            self.objective.utility(self.given[self._column].to_numpy()),
        )
        in_full = {
            arch: [(self.epochs, value)] for arch, value in zip(given, utilities.tolist(), strict=True)
        }
        return Past(self.epochs, in_full | curves, dict.fromkeys(given, 0.0) | scores, self.objective.sign)

    def curve(self, arch: str) -> Curve:
        """What the training of `arch` has reported so far."""
        points = self.curves[self.curves["arch"] == arch].sort_values("epochs", kind="stable")
        return list(zip(points["epochs"].tolist(), points["value"].tolist(), strict=True))

    def add_points(self, arch: str, number: int, points: Curve) -> None:
        """Adds to the curve of a training of round `number`; of what was reported before, the first value stands."""
        known = {epochs for epochs, _ in self.curve(arch)}
        new = [(arch, number, float(at), float(value)) for at, value in points if at not in known]
        if new:
            frame = pd.DataFrame(new, columns=self.curves.columns)
            self.curves = pd.concat([self.curves, frame], ignore_index=True) if len(self.curves) else frame
            self.write("curves")

    def cut_curve(self, arch: str, epochs: float) -> None:
        """Forgets what the training of `arch` reported after so many epochs."""
        self.curves = self.curves[(self.curves["arch"] != arch) | (self.curves["epochs"] <= epochs)]
        self.curves = self.curves.reset_index(drop=True)
        self.write("curves")

    @property
    def paid(self) -> float:
        """Epochs that were trained, or will be at most by what is pending."""
        if self.trials.empty:
            return 0.0
        pending = self.trials["state"] == PENDING
        return float(self.trials["epochs"].mask(pending, self.epochs).sum())

    def numbers(self, state: str) -> list[int]:
        """Of the trials in a state."""
        return [int(number) for number in self.trials.index[self.trials["state"] == state]]

    def drop(self, state: str) -> None:
        """Forgets the trials in a state, which are the last ones."""
        self.trials = self.trials[self.trials["state"] != state]

    def update(self, rows: Sequence[int], name: str, values: Mapping[str, Any]) -> None:
        """Sets columns of some rows of a file."""
        for column, value in values.items():
            getattr(self, ATTRIBUTES[name]).loc[list(rows), column] = value

    def begin_round(self, number: int, archs: Sequence[str], reasons: Sequence[str]) -> None:
        """Adds the trials of a round; those that were asked for before are as they were."""
        new = pd.DataFrame(
            {
                "arch": list(archs),
                "round": number,
                "reason": list(reasons),
                "repeat": self._repeats(archs),
                "state": QUEUED,
                self._column: np.nan,
                "seconds": np.nan,
                "message": "",
                **dict.fromkeys(self.costs.observed, np.nan),
            }
        )
        if self.epochs is not None:
            new["epochs"], new["points"] = np.nan, len(self.curves)
        which = ["arch", "repeat"]
        answers = self.answers.drop_duplicates(which, keep="last").set_index(which)
        columns = ["state", self._column, "seconds", "message", *self.costs.observed]
        columns = list(dict.fromkeys([*columns, *(["epochs"] if self.epochs is not None else [])]))
        for row, asked in enumerate(zip(new["arch"], new["repeat"], strict=True)):
            if asked in answers.index:
                new.loc[row, columns] = answers.loc[asked, columns]
        self._take_over(new["arch"].tolist(), number)
        self.trials = pd.concat([self.trials, new], ignore_index=True) if len(self.trials) else new
        self.write()

    def _repeats(self, archs: Sequence[str]) -> list[int]:
        """For each of `archs`, which are asked for now, which training of it that is, from 0."""
        both = pd.Series([*self.trials["arch"], *archs])
        return both.groupby(both, sort=False).cumcount().tolist()[len(self.trials) :]

    def _take_over(self, archs: Sequence[str], number: int) -> None:
        """Counts the points that wait for trials of `archs` as having come in round `number`."""
        theirs = (self.curves["round"] == WAITING) & self.curves["arch"].isin(archs)
        if theirs.any():
            moved = self.curves[theirs].assign(round=number)
            self.curves = pd.concat([self.curves[~theirs], moved], ignore_index=True)
            self.write("curves")

    def restart_from(self, number: int) -> None:
        """Takes back the rounds after `number` and their fits; what was asked for waits until it is chosen again."""
        back = self.trials[(self.trials["round"] > number) & (self.trials["state"] != QUEUED)]
        self.answers = pd.concat([self.answers, back], ignore_index=True) if len(self.answers) else back
        self.write("answers")
        if len(self.curves):
            self.curves.loc[self.curves["round"] > number, "round"] = WAITING
            self.write("curves")
        self.trials = self.trials[self.trials["round"] <= number].reset_index(drop=True)
        fits = [fit for fit in self.scores.columns[1:] if fit.startswith("round_") and int(fit[6:]) > number]
        kept = self.scores.drop(columns=fits)
        if len(kept.columns) > 1:  # what was found after the last kept fit has no scores
            kept = kept[~kept[kept.columns[1:]].isna().all(axis=1)]
        self.scores = kept
        self._index()
        self.write("scores")
        self.write()

    def add_given(self, rows: pd.DataFrame, again: bool = False) -> None:
        """Adds what was trained elsewhere; what is there already is left out, with a warning.

        Args:
            rows: with the columns of `given`.
            again: whether it may have been given before, which is no news then.
        """
        if again:
            before = set(zip(self.given["arch"], self.given[self._column], strict=True))
            pairs = zip(rows["arch"], rows[self._column], strict=True)
            rows = rows[[pair not in before for pair in pairs]]
        there = set(self.space.canonical_all([*self.given["arch"], *self.trials["arch"]]))
        forms = pd.Series(self.space.canonical_all(rows["arch"].tolist()), index=rows.index)
        new = rows[~forms.isin(there) & ~forms.duplicated()]
        if len(left_out := rows.drop(index=new.index)):
            warnings.warn(
                f"given: {len(left_out)} architectures are there twice or were told already, such as "
                f"{left_out['arch'].iloc[0]}; the first value stands",
                stacklevel=4,
            )
        if new.empty:
            return
        both = [self.given, new] if len(self.given) else [new]
        self.given = pd.concat(both, ignore_index=True)
        self.write("given")

    def add_archs(self, archs: Sequence[str]) -> None:
        """Adds what can be chosen from now on; earlier fits did not score it (NaN). Written with the next scores."""
        self.scores = pd.concat([self.scores, pd.DataFrame({"arch": list(archs)})], ignore_index=True)
        self._index()

    def add_scores(self, name: str, scores: NDArray[np.floating]) -> None:
        """Adds the scores `[A]` of a fit."""
        self.scores = pd.concat([self.scores, pd.Series(scores.astype(np.float32), name=name)], axis=1)
        self.write("scores")


def averaged(
    archs: Sequence[str], utilities: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The mean `[n]` of what the trainings of each architecture showed, NaN where all failed; and the first of them."""
    codes, _ = pd.factorize(np.array(archs, dtype=object))
    _, first = np.unique(codes, return_index=True)
    means = pd.Series(utilities).groupby(codes).mean()
    return first.astype(np.int64), np.asarray(means, np.float64)


def normal_scores(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """`[n]`: for each value what a standard normal variable has at its rank among the others; NaN for NaN."""
    ranks = rankdata(values, nan_policy="omit")
    return np.asarray(norm.ppf((ranks - 0.5) / max(np.isfinite(ranks).sum(), 1)))


def _version(file: Path) -> tuple[int, ...]:
    """Changes with each writing of a file, which is a renaming; empty where there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns
