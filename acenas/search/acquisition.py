"""Which architectures to train next."""

from abc import ABC, abstractmethod

import numpy as np

from acenas.errors import UserError


class Acquisition(ABC):
    """Chooses among the candidates of a round.

    The search hands in one candidate per function (canonical form) and leaves out those already trained, so no rule
    can propose one twice.
    """

    @abstractmethod
    def propose(
        self, scores: np.ndarray, k: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, list[str]]:
        """Chooses `k` of the candidates.

        Args:
            scores: `[A]` float, the ranker's score of each candidate, higher is better.
            k: how many to choose, at most A.
            generator: the only source of chance.

        Returns:
            The distinct positions `[k]` of the chosen, and for each the reason it was chosen (`predicted`,
            `random`, or `random among the best`).
        """

    def one_by_one(self, k: int) -> bool:
        """Whether the first of `k` proposed are always those that are proposed where fewer are asked for."""
        return False


class BestAndRandom(Acquisition):
    """A share of the best predicted, the rest at random (AceNAS, section 3.3: half and half).

    The rest can be drawn from the upper part of the candidates alone. In a first round, the best by a weak label are
    much alike and its order tells them apart no further, while most of the space is far from the top: its upper part
    holds both what is good and what differs.

    Args:
        best: the share of the best predicted, from 0 (random search) to 1 (greedy). An odd one goes to the best.
        part: of the candidates, the best of which the rest are drawn from; above 0, and 1 for all.
    """

    def __init__(self, best: float = 0.5, part: float = 1.0) -> None:
        if not 0 <= best <= 1:
            raise UserError(f"the share of the best predicted lies between 0 and 1, not at {best}")
        if not 0 < part <= 1:
            raise UserError(
                f"the part of the candidates to choose among lies above 0 and up to 1, not at {part}"
            )
        self.best = best
        self.part = part

    def propose(
        self, scores: np.ndarray, k: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, list[str]]:
        """See `Acquisition.propose`. Equal scores are ordered by chance; a part of fewer than `k` is made `k`."""
        shuffled = generator.permutation(len(scores))
        ranked = shuffled[np.argsort(-scores[shuffled], kind="stable")]
        best = self._number_of_best(k)
        upper = ranked[best : max(k, int(np.ceil(self.part * len(scores))))]
        rest = generator.permutation(upper)[: k - best]
        reason = "random" if self.part == 1 else "random among the best"
        return np.concatenate([ranked[:best], rest]), ["predicted"] * best + [reason] * len(rest)

    def one_by_one(self, k: int) -> bool:
        """See `Acquisition.one_by_one`."""
        best = self._number_of_best(k)
        return all(self._number_of_best(fewer) == min(fewer, best) for fewer in range(1, k))

    def _number_of_best(self, k: int) -> int:
        return int(np.ceil(self.best * k))
