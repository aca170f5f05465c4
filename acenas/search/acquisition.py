"""Which architectures to train next."""

from abc import ABC, abstractmethod

import numpy as np

from acenas.errors import UserError


class Acquisition(ABC):
    """Chooses among the candidates of a round.

    The search hands in one candidate per function (canonical form) and leaves out those already trained, so no rule
    can propose one twice.
    """

    @property
    def one_by_one(self) -> bool:
        """Whether the first of `k` proposed are those that it proposes for a smaller `k`."""
        return False

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


class BestAndRandom(Acquisition):
    """A share of the best predicted, the rest at random from what is left (AceNAS, section 3.3: half and half).

    Args:
        best: the share of the best predicted, from 0 (random search) to 1 (greedy). An odd one goes to the best.
    """

    def __init__(self, best: float = 0.5) -> None:
        if not 0 <= best <= 1:
            raise UserError(f"the share of the best predicted lies between 0 and 1, not at {best}")
        self.best = best

    @property
    def one_by_one(self) -> bool:
        """See `Acquisition.one_by_one`."""
        return self.best in (0, 1)

    def propose(
        self, scores: np.ndarray, k: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, list[str]]:
        """See `Acquisition.propose`. Equal scores are ordered by chance."""
        ranked = _ranked(scores, generator)
        best = int(np.ceil(self.best * k))
        rest = generator.permutation(ranked[best:])[: k - best]
        return np.concatenate([ranked[:best], rest]), ["predicted"] * best + ["random"] * len(rest)


class RandomAmongBest(Acquisition):
    """At random among the upper part of the candidates.

    A first round of the best by a weak label alone holds architectures much alike, and its order tells them apart no
    further; one from all of the space is mostly far from the top. The upper part holds both what is good and what
    differs.

    Args:
        part: of the candidates, above 0 and at most 1.
    """

    def __init__(self, part: float = 0.1) -> None:
        if not 0 < part <= 1:
            raise UserError(
                f"the part of the candidates to choose among lies above 0 and up to 1, not at {part}"
            )
        self.part = part

    @property
    def one_by_one(self) -> bool:
        """See `Acquisition.one_by_one`: where the part holds a round, which it does unless a space is tiny."""
        return True

    def propose(
        self, scores: np.ndarray, k: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, list[str]]:
        """See `Acquisition.propose`. Where the part holds fewer than `k`, the best `k` are chosen."""
        upper = _ranked(scores, generator)[: max(k, int(np.ceil(self.part * len(scores))))]
        return generator.permutation(upper)[:k], ["random among the best"] * k


def _ranked(scores: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Positions `[A]` by score, best first; equal scores are ordered by chance."""
    shuffled = generator.permutation(len(scores))
    return shuffled[np.argsort(-scores[shuffled], kind="stable")]
