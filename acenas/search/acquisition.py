"""Rules that choose which architectures to train next."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from acenas.errors import UserError


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
            The distinct positions `[k]` of the chosen, and the reason for each (`predicted`, `random`, or `random
            among the best`).
        """

    def one_by_one(self, k: int) -> bool:
        """Returns whether a proposal of fewer than `k` is always the beginning of a proposal of `k`."""
        return False


@dataclass(frozen=True)
class BestAndRandom(Acquisition):
    """Chooses a share of the best predicted, and the rest at random (AceNAS, section 3.3: half and half).

    The rest can be drawn from the best part of the candidates alone, which suits a first round. The best by a weak
    label are similar to each other and hardly distinguished by its order, while most of the space is far from the top:
    the best part contains architectures that are both good and diverse.

    Attributes:
        best: the share of the best predicted, from 0 (random search) to 1 (greedy); the number is rounded up.
        part: the share of the candidates, best first, that the rest are drawn from; above 0, and 1 for all.

    Raises:
        UserError: for a value outside its range.
    """

    best: float = 1.0
    part: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.best <= 1:
            raise UserError(f"the share of the best predicted lies between 0 and 1, not at {self.best}")
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
        upper = ranked[best : max(k, int(np.ceil(self.part * len(scores))))]
        rest = generator.permutation(upper)[: k - best]
        reason = "random" if self.part == 1 else "random among the best"
        return np.concatenate([ranked[:best], rest]), ["predicted"] * best + [reason] * len(rest)

    @override
    def one_by_one(self, k: int) -> bool:
        best = self._number_of_best(k)
        return all(self._number_of_best(fewer) == min(fewer, best) for fewer in range(1, k))

    def _number_of_best(self, k: int) -> int:
        return int(np.ceil(self.best * k))
