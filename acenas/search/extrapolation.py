"""What a training that has run for a part of its length would show in the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from acenas.evaluation.curves import Curve

PRIOR_SLOPES = (0.8, 0.2)
"""Of a standardised value, by an earlier one of its training and by the score of its architecture."""

PRIOR_SPREAD = 0.3
"""The deviation of the slopes before anything was seen."""

PRIOR_VARIANCE, PRIOR_SEEN = 0.5, 4
"""The variance around the line before anything was seen, and how many trainings that is worth."""


@dataclass(frozen=True)
class Past:
    """What was known of trainings at some time.

    Attributes:
        full: epochs of a full training.
        curves: of the trainings so far, by architecture; utilities, higher is better.
        expected: the score that each architecture had before its training began, as a normal score; 0 for none.
        sign: 1 where the objective is to be maximised, else -1.
    """

    full: float
    curves: Mapping[str, Curve]
    expected: Mapping[str, float]
    sign: int

    @property
    def best(self) -> float | None:
        """The best utility of a full training; None where there is none."""
        last = (at_level(curve, self.full) for curve in self.curves.values())
        return max((value for value in last if value is not None), default=None)


@dataclass(frozen=True)
class Line:
    """A value at one level of a training, predicted from that at the level before and the score: normal, about a line.

    Attributes:
        centre, scale: `[3]`, of the values before, the scores, and the values predicted.
        slopes: `[2]`, of the predicted values by the others, all of them standardised.
        covariance: `[2, 2]`, of the slopes: what is unlike all that was seen is predicted with less certainty.
        variance: around the line, of standardised values.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    slopes: NDArray[np.float64]
    covariance: NDArray[np.float64]
    variance: float

    def predict(self, mean: float, variance: float, score: float) -> tuple[float, float]:
        """The mean and the variance of the value at the later level, where that at the earlier one has these."""
        at = (np.array([mean, score]) - self.centre[:2]) / self.scale[:2]
        passed_on = (self.slopes[0] / self.scale[0]) ** 2 * variance
        spread = passed_on + self.variance + at @ self.covariance @ at
        return float(self.centre[2] + self.scale[2] * (self.slopes @ at)), float(self.scale[2] ** 2 * spread)


@dataclass(frozen=True)
class Level:
    """A level of a training, and what its value there says of the last one.

    The value at a level is the first that was reported from `epochs` on and before `until`.

    Attributes:
        epochs, until: of the level.
        lines: to the next level, and so on to the last one; None where too little was seen to say anything.
    """

    epochs: float
    until: float
    lines: Sequence[Line] | None

    def predict(self, utility: float, score: float) -> tuple[float, float]:
        """The mean and deviation of the utility after a full training that has shown `utility` here.

        The deviation is infinite where nothing can be said. `score` is as in `Past.expected`.
        """
        if self.lines is None:
            return utility, np.inf
        mean, variance = utility, 0.0
        for line in self.lines:
            mean, variance = line.predict(mean, variance, score)
        return mean, float(np.sqrt(variance))


class Extrapolation(ABC):
    """Predicts what a training shows in the end from what it shows at a level of its length."""

    @abstractmethod
    def fit(self, past: Past, lengths: Sequence[float]) -> list[Level]:
        """Learns from `past`; a level for 0 epochs, where the score alone is known, and one for each of `lengths`."""

    def utilities(self, past: Past, lengths: Sequence[float], archs: Sequence[str]) -> NDArray[np.float64]:
        """`[n]`: predicted for `archs`, of which `past` has curves, each from the last level it reached; else NaN."""
        levels, found = self.fit(past, lengths), np.full(len(archs), np.nan)
        for i, arch in enumerate(archs):
            for level in levels[1:]:  # later ones replace earlier ones
                value = at_level(past.curves[arch], level.epochs, level.until)
                if value is not None and level.lines is not None:
                    found[i] = level.predict(value, past.expected[arch])[0]
        return found


@dataclass(frozen=True)
class Regressions(Extrapolation):
    """A regression from each level to the next one, on all trainings that reached both.

    Many trainings reach the first levels and few the last: a chain of regressions learns from all. Each is linear in
    the value and in the score that the architecture had before its training, with a prior on slopes and variance
    (Bishop, "Pattern recognition and machine learning", section 3.3), as the first ones know four trainings.

    Attributes:
        with_scores: whether the score takes part.
    """

    with_scores: bool = True

    @override
    def fit(self, past: Past, lengths: Sequence[float]) -> list[Level]:
        levels = [Level(lengths[-1], np.inf, ())]
        for epochs in (*reversed(lengths[:-1]), 0.0):
            then = levels[0]
            line = self._line(past, epochs, then)
            lines = None if line is None or then.lines is None else (line, *then.lines)
            levels.insert(0, Level(epochs, then.epochs, lines))
        return levels

    def _line(self, past: Past, epochs: float, then: Level) -> Line | None:
        """To the level `then`, from that of `epochs` before it; None where fewer than two trainings reached both."""
        rows = []
        for arch, curve in past.curves.items():
            # Before the first level there is no value, and the score alone tells.
            value = at_level(curve, epochs, then.epochs) if epochs else 0.0
            later = at_level(curve, then.epochs, then.until)
            if value is not None and later is not None:
                rows.append((value, past.expected[arch], later))
        if len(rows) < 2:
            return None
        table, used = np.array(rows), np.array([epochs > 0, self.with_scores], dtype=np.float64)
        centre, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-9)
        scale[1] = 1.0  # a normal score has a scale
        *inputs, targets = ((table - centre) / scale).T
        known = np.column_stack(inputs) * used
        slopes, variance, n = np.array(PRIOR_SLOPES) * used, PRIOR_VARIANCE, len(rows)
        before = slopes / PRIOR_SPREAD**2
        covariance: NDArray[np.floating] = np.eye(2)
        for _ in range(10):  # each is the best given the other
            covariance = np.linalg.inv(known.T @ known / variance + np.eye(2) / PRIOR_SPREAD**2)
            slopes = covariance @ (known.T @ targets / variance + before)
            errors = targets - known @ slopes
            variance = float((PRIOR_SEEN * PRIOR_VARIANCE + errors @ errors) / (PRIOR_SEEN + n))
        covariance = covariance * np.outer(used, used)
        return Line(centre, scale, slopes * used, covariance, variance * (1 + 1 / n))


def at_level(curve: Curve, epochs: float, until: float = np.inf) -> float | None:
    """The first value that was reported from `epochs` on and before `until`; None where there is none."""
    least = epochs * (1 - 1e-9)
    return next((value for at, value in curve if least <= at < until * (1 - 1e-9)), None)
