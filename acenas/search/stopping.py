"""When a training is stopped early: by its own curve, and by what was known when its round began."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import ndtr
from typing_extensions import override

from acenas.errors import UserError
from acenas.evaluation.curves import Curve, NeverStop, StopRule
from acenas.search.extrapolation import Extrapolation, Level, Past, Regressions, at_level
from acenas.seeds import numpy_generator


@dataclass(frozen=True)
class Stopping(ABC):
    """Decides at a few lengths of a training, its levels, whether it goes on.

    The levels are the full length divided by powers of `rate`, as in successive halving: with 108 epochs 4, 12, 36.

    Attributes:
        rate: between two levels.
        levels: of a training, the full length included.
        extrapolation: of the curves of stopped trainings to the full length: what the ranker learns of them; None for
            nothing.

    Raises:
        UserError: for a number outside its range.
    """

    rate: float = 3.0
    levels: int = 4
    extrapolation: Extrapolation | None = Regressions()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        if self.rate <= 1 or self.levels < 1:
            raise UserError(
                f"search.stopping: rate={self.rate} must be above 1 and levels={self.levels} at least 1"
            )

    def lengths(self, full: float) -> list[float]:
        """The levels of a training of `full` epochs, in epochs; the last one is `full`.

        >>> Halving().lengths(108)
        [4.0, 12.0, 36.0, 108.0]
        """
        return [full / self.rate**level for level in reversed(range(self.levels))]

    @abstractmethod
    def rule(self, past: Past, archs: Sequence[str]) -> StopRule:
        """The rule for the trainings of a round, of `archs`, by what was known when it began."""


@dataclass(frozen=True)
class InFull(Stopping):
    """Stops nothing."""

    @override
    def rule(self, past: Past, archs: Sequence[str]) -> StopRule:
        return NeverStop()


@dataclass(frozen=True)
class Belief(Stopping):
    """Stops a training whose remaining epochs promise much less than as many epochs of one that is begun anew.

    What is promised is the expected improvement over the best one so far (Jones et al., Journal of Global Optimization
    13, 1998), by the extrapolation of the curve, or by the score alone before a training has begun. Where the first
    epochs say nothing, both promise the same, and nothing is stopped.

    Attributes:
        worth: how many times as much as that each of its epochs has to promise; 0 for nothing, so that all goes on.
        levels: see `Stopping`. First epochs show what will be bad, but not which of the good ones is the best, and
            an architecture that is trained in full tells the ranker most.
    """

    worth: float = 0.5
    levels: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.worth < 0:
            raise UserError(f"search.stopping.worth={self.worth} must be at least 0")
        if self.extrapolation is None:
            raise UserError("search.stopping: a belief needs an extrapolation")

    @override
    def rule(self, past: Past, archs: Sequence[str]) -> StopRule:
        if past.best is None:
            return NeverStop()
        assert self.extrapolation is not None
        start, *levels = self.extrapolation.fit(past, self.lengths(past.full))
        best, expected = past.best, {arch: past.expected[arch] for arch in archs}
        anew = [_improvement(*start.predict(0.0, score), best) for score in expected.values()]
        least = self.worth * sum(anew) / max(len(anew), 1) / past.full
        return BeliefRule(levels[:-1], best, least, past.full, past.sign, expected)


@dataclass(frozen=True)
class BeliefRule(StopRule):
    """See `Belief`. Values are utilities: higher is better.

    Attributes:
        levels: at which it is decided.
        best: the utility that is to be improved.
        least: what each epoch has to promise.
        full: epochs of a full training.
        sign: 1 where the objective is to be maximised, else -1.
        expected: of the architectures, as in `Past`.
    """

    levels: Sequence[Level]
    best: float
    least: float
    full: float
    sign: int
    expected: Mapping[str, float]

    @override
    def goes_on(self, arch: str, curve: Curve) -> bool:
        for level in self.levels:
            value = at_level(curve, level.epochs, level.until)
            if value is not None and level.lines is not None:
                promised = _improvement(*level.predict(self.sign * value, self.expected[arch]), self.best)
                if promised < self.least * (self.full - level.epochs):
                    return False
        return True


def _improvement(mean: float, deviation: float, best: float) -> float:
    """The expected improvement over `best` of a normal variable; 0 where nothing is known of it."""
    if not np.isfinite(deviation):
        return 0.0
    z = (mean - best) / max(deviation, 1e-12)
    return float(deviation * (z * ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)))


@dataclass(frozen=True)
class Halving(Stopping):
    """Stops at each level what is not among the best of those that came so far: asynchronous successive halving.

    ASHA in the form that stops (Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020): at a
    level a training goes on where its value is within the best share of 1 / rate of those seen there, its own included.
    Those of its own round are not seen; with `search.per_round=1` it is as published.

    Attributes:
        brackets: of Hyperband (Li et al., JMLR 18(185), 2018): an architecture of bracket s is first looked at s levels
            later; it is drawn into one so that brackets take equal shares of the budget. 1 for successive halving.
    """

    brackets: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.brackets <= self.levels:
            raise UserError(
                f"search.stopping.brackets={self.brackets} must be between 1 and levels={self.levels}"
            )

    @override
    def rule(self, past: Past, archs: Sequence[str]) -> StopRule:
        least = []
        for epochs, until in pairwise(self.lengths(past.full)):
            reached = [at_level(curve, epochs, until) for curve in past.curves.values()]
            seen = sorted((value for value in reached if value is not None), reverse=True)
            # with its own value there are one more: it goes on where it is among the first of these
            first = int((len(seen) + 1) / self.rate)
            least.append((epochs, until, seen[first - 1] if first else -np.inf))
        return HalvingRule(least, past.sign, {arch: self._bracket(arch) for arch in archs})

    def _bracket(self, arch: str) -> int:
        if self.brackets == 1:
            return 0
        # A bracket's trainings cost about as many levels as it has left, and 1 / rate go on at each.
        counts = np.array(
            [self.rate ** (self.levels - 1 - s) / (self.levels - s) for s in range(self.brackets)]
        )
        return int(numpy_generator(0, "bracket", arch).choice(self.brackets, p=counts / counts.sum()))


@dataclass(frozen=True)
class HalvingRule(StopRule):
    """See `Halving`: each level (see `Level`) with the least utility that goes on, and each architecture's bracket."""

    least: Sequence[tuple[float, float, float]]
    sign: int
    brackets: Mapping[str, int]

    @override
    def goes_on(self, arch: str, curve: Curve) -> bool:
        for epochs, until, least in self.least[self.brackets[arch] :]:
            value = at_level(curve, epochs, until)
            if value is not None and self.sign * value < least:
                return False
        return True
