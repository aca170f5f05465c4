"""Who is asked for accuracies: the evaluator, which a search sees, and the judge, which it never does."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Observations:
    """What training some architectures showed: one row per architecture, in the order they were asked for.

    Attributes:
        archs: the architectures.
        observed_accuracy: ``[A]`` float64, in percent.
        seconds: ``[A]`` float64, what training each of them costs in seconds; NaN where nobody recorded it.

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
    """Trains architectures, or looks up what training them showed. All accuracies are in percent."""

    @abstractmethod
    def evaluate(self, archs: Sequence[str]) -> Observations:
        """The observed accuracy of `archs`, in their order; one call a round, so that they train in parallel.

        Raises:
            UserError: where an architecture cannot be evaluated.
        """

    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """All that is known beforehand: architectures, and their observed accuracies ``[A]`` in percent.

        For metrics beside a search, never for its choices: what it learns counts in its budget. Nothing is known
        where every accuracy takes a training.
        """
        return [], np.zeros(0)


class Judge(ABC):
    """Knows test accuracies. Only the report constructs one: nothing that searches, trains or selects may."""

    @abstractmethod
    def test_accuracy(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """``[A]`` float64, the test accuracy of `archs` in percent, in their order.

        Raises:
            UserError: where an architecture cannot be judged.
        """

    @abstractmethod
    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """All that can be judged, for regret in reports: architectures, and test accuracies ``[A]`` in percent."""
