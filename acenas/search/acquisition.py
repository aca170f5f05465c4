"""Rules that choose which architectures to train next."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from acenas.errors import UserError
from acenas.search.state import StudyState

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, are spread evenly over [0, 1) however many they are (an additive recurrence)."""


class Acquisition(ABC):
    """Chooses among the candidates of a round.

    The search passes one candidate per function (canonical form) and none that is trained already, so no rule can
    propose an architecture twice.
    """

    @abstractmethod
    def propose(
        self, scores: np.ndarray, k: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, list[str]]:
        """Chooses `k` of the candidates.

        Args:
            scores: `[A]` float, the ranker's score of each candidate, higher is better.
            k: how many to choose, at most A.
            generator: the only source of randomness.

        Returns:
            The distinct positions `[k]` of the chosen, and the reason for each (`predicted`, `random`, `random among
            the best`, or `spread`).
        """

    def propose_front(
        self, state: StudyState, left: np.ndarray, k: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, list[str]]:
        """Chooses `k` of the candidates of a study with a front; by default by their scores alone.

        Args:
            state: its `last_scores` `[A]` and `front_costs` `[A, m]` are those of `state.archs`; its `known` and
                `known_costs` are what was observed.
            left: `[L]`, the positions of the candidates in `state.archs`.
            k: how many to choose, at most L.
            generator: the only source of randomness.

        Returns:
            The distinct positions `[k]` of the chosen in `left`, and the reason for each.
        """
        return self.propose(state.last_scores[left], k, generator)

    def predicted(self, state: StudyState) -> NDArray[np.float64] | None:
        """What the rule expects that training each of `state.archs` would show; None where it predicts no values.

        Returns:
            `[3, A]` utilities (higher is better): the expected one, and those of a deviation below and above it.
        """
        return None

    def one_by_one(self, k: int) -> bool:
        """Returns whether a proposal of fewer than `k` is always the beginning of a proposal of `k`."""
        return False


@dataclass(frozen=True)
class BestAndRandom(Acquisition):
    """Chooses a share of the best predicted, and the rest at random (AceNAS, section 3.3: half and half).

    The rest can be drawn from the best part of the candidates alone, which suits a first round. The best by a weak
    label are similar to each other and hardly distinguished by its order, while most of the space is far from the top:
    the best part contains architectures that are both good and diverse. Some of the rest can be spread evenly over the
    whole order instead: what those show says what the order is worth, which the best part alone cannot.

    Attributes:
        best: the share of the best predicted, from 0 (random search) to 1 (greedy); the number is rounded up.
        part: the share of the candidates, best first, that the rest are drawn from; above 0, and 1 for all.
        spread: the share of the rest, rounded down, that is spread over the order of all candidates instead.

    Raises:
        UserError: for a value outside its range.
    """

    best: float = 1.0
    part: float = 1.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.best <= 1:
            raise UserError(f"the share of the best predicted lies between 0 and 1, not at {self.best}")
        if not 0 <= self.spread <= 1:
            raise UserError(f"the share that is spread over all lies between 0 and 1, not at {self.spread}")
        if not 0 < self.part <= 1:
            raise UserError(
                f"the part of the candidates to choose among lies above 0 and up to 1, not at {self.part}"
            )

    @override
    def propose(
        self, scores: np.ndarray, k: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, list[str]]:
        """Chooses `k` of the candidates. Ties are broken at random; a part of fewer than `k` is extended to `k`."""
        shuffled = generator.permutation(len(scores))
        ranked = shuffled[np.argsort(-scores[shuffled], kind="stable")]
        best = self._number_of_best(k)
        upper = iter(generator.permutation(ranked[best : max(k, int(np.ceil(self.part * len(scores))))]))
        start = generator.random()
        chosen = dict.fromkeys(ranked[:best].tolist(), "predicted")
        for i in range(k - best):
            spread = int(self.spread * (i + 1))  # so many by then: fewer are the first of more
            if spread > int(self.spread * i):
                place = int((start + spread * GOLDEN) % 1 * len(ranked))
                source, reason = iter(np.roll(ranked, -place)), "spread"
            else:
                source, reason = upper, "random" if self.part == 1 else "random among the best"
            chosen[next(int(each) for each in source if int(each) not in chosen)] = reason
        return np.array(list(chosen), dtype=np.int64), list(chosen.values())

    @override
    def one_by_one(self, k: int) -> bool:
        best = self._number_of_best(k)
        return all(self._number_of_best(fewer) == min(fewer, best) for fewer in range(1, k))

    def _number_of_best(self, k: int) -> int:
        return int(np.ceil(self.best * k))
