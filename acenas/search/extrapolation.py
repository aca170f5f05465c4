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
class Level:
    """The utility after a full training, predicted from an earlier one: a line and a deviation around it.

    The earlier one is the first that was reported from `epochs` on and before `until`.
    """

    epochs: float
    until: float
    constant: float
    slope: float
    of_score: float
    deviation: float

    def predict(self, utility: float, expected: float) -> float:
        """The utility after a full training, of one that has shown `utility` and was `expected` as in `Past`."""
        return self.constant + self.slope * utility + self.of_score * expected


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
                if value is not None and np.isfinite(level.deviation):
                    found[i] = level.predict(value, past.expected[arch])
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
        levels = [Level(lengths[-1], np.inf, 0.0, 1.0, 0.0, 0.0)]
        for epochs in (*reversed(lengths[:-1]), 0.0):
            then = levels[0]
            constant, slope, of_score, variance = self._line(past, epochs, then)
            levels.insert(
                0,
                Level(
                    epochs,
                    then.epochs,
                    then.constant + then.slope * constant,
                    then.slope * slope,
                    then.of_score + then.slope * of_score,
                    float(np.sqrt(then.deviation**2 + then.slope**2 * variance)),
                ),
            )
        return levels

    def _line(self, past: Past, epochs: float, then: Level) -> tuple[float, float, float, float]:
        """Constant, slopes and variance of the utilities at the level `then`, by those from `epochs` on and scores."""
        rows = []
        for arch, curve in past.curves.items():
            value = (
                at_level(curve, epochs, then.epochs) if epochs else 0.0
            )  # before the first one there is none
            later = at_level(curve, then.epochs, then.until)
            if value is not None and later is not None:
                rows.append((value, past.expected[arch], later))
        if len(rows) < 2:
            return 0.0, 1.0, 0.0, np.inf
        table = np.array(rows)
        mean, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-9)
        scale[1] = 1.0  # a normal score has a scale
        inputs = ((table - mean) / scale)[:, :2] * [epochs > 0, self.with_scores]
        targets = (table[:, 2] - mean[2]) / scale[2]
        slopes, variance, n = np.array(PRIOR_SLOPES), PRIOR_VARIANCE, len(rows)
        for _ in range(10):  # each is the best given the other
            precision = inputs.T @ inputs / variance + np.eye(2) / PRIOR_SPREAD**2
            slopes = np.linalg.solve(
                precision, inputs.T @ targets / variance + np.array(PRIOR_SLOPES) / PRIOR_SPREAD**2
            )
            errors = targets - inputs @ slopes
            variance = float((PRIOR_SEEN * PRIOR_VARIANCE + errors @ errors) / (PRIOR_SEEN + n))
        slope, of_score = slopes * scale[2] / scale[:2] * [epochs > 0, self.with_scores]
        constant = mean[2] - slope * mean[0] - of_score * mean[1]
        return float(constant), float(slope), float(of_score), float(variance * scale[2] ** 2 * (1 + 1 / n))


def at_level(curve: Curve, epochs: float, until: float = np.inf) -> float | None:
    """The first value that was reported from `epochs` on and before `until`; None where there is none."""
    least = epochs * (1 - 1e-9)
    return next((value for at, value in curve if least <= at < until * (1 - 1e-9)), None)
