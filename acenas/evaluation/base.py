"""The interfaces of evaluators, which a search asks, and of judges, which only the report asks."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Observations:
    """The observed accuracies of architectures, in the order in which they were asked for.

    Attributes:
        archs: A architectures.
        observed_accuracy: ``[A]`` float64, in percent.
        seconds: ``[A]`` float64, the seconds that the training of each takes; NaN where they are unknown.

    Raises:
        ValueError: where the three differ in length.

    >>> seen = Observations(["a", "b"], np.array([93.1, 94.0]), np.array([60.0, 75.0]))
    >>> len(seen), float(seen.observed_accuracy.max())
    (2, 94.0)
    """

    archs: Sequence[str]
    observed_accuracy: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = (len(self.archs),)
        if self.observed_accuracy.shape != shape or self.seconds.shape != shape:
            raise ValueError(
                f"{shape[0]} architectures with accuracies {self.observed_accuracy.shape} "
                f"and seconds {self.seconds.shape}: one of each is needed per architecture"
            )

    def __len__(self) -> int:
        return len(self.archs)


class Evaluator(ABC):
    """Trains architectures, or looks their observed accuracies up. All accuracies are in percent."""

    @abstractmethod
    def evaluate(self, archs: Sequence[str]) -> Observations:
        """Returns the observed accuracies of `archs`, in their order; one call a round, so that they train in parallel.

        Raises:
            UserError: where an architecture cannot be evaluated.
        """

    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """Returns all that is known without training: architectures, and their observed accuracies ``[A]`` in percent.

        It is for metrics beside a search, never for its choices. Nothing is known where all must be trained.
        """
        return [], np.zeros(0)


class Judge(ABC):
    """Knows test accuracies. Only the report constructs one; nothing that searches, trains or selects may."""

    @abstractmethod
    def test_accuracy(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """Returns ``[A]`` float64, the test accuracies of `archs` in percent, in their order.

        Raises:
            UserError: where an architecture cannot be judged.
        """

    @abstractmethod
    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """Returns all that is known, for regret in reports: architectures, and test accuracies ``[A]`` in percent."""
