"""Which architectures to train next."""

from abc import ABC, abstractmethod

import numpy as np


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
            The distinct positions `[k]` of the chosen, and for each the reason it was chosen (`predicted` or
            `random`).
        """


class BestAndRandom(Acquisition):
    """A share of the best predicted, the rest at random from what is left (AceNAS, section 3.3: half and half).

    Args:
        best: the share of the best predicted, from 0 (random search) to 1 (greedy). An odd one goes to the best.
    """

    def __init__(self, best: float = 0.5) -> None:
        if not 0 <= best <= 1:
            raise ValueError(f"the share of the best predicted lies between 0 and 1, not at {best}")
        self.best = best

    def propose(
        self, scores: np.ndarray, k: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, list[str]]:
        """See `Acquisition.propose`. Equal scores are ordered by chance."""
        shuffled = generator.permutation(len(scores))
        ranked = shuffled[np.argsort(-scores[shuffled], kind="stable")]
        best = int(np.ceil(self.best * k))
        rest = generator.permutation(ranked[best:])[: k - best]
        return np.concatenate([ranked[:best], rest]), ["predicted"] * best + ["random"] * len(rest)
