"""The interfaces of evaluators, which a search asks, and of judges, which only the report asks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from acenas.errors import UserError, reason_of
from acenas.evaluation.curves import Curve, StopRule


@dataclass(frozen=True, eq=False)
class Observations:
    """The observed accuracies of architectures, in the order in which they were asked for.

    Attributes:
        archs: A architectures.
        observed_accuracy: ``[A]`` float64, in percent.
        seconds: ``[A]`` float64, of the training of each; NaN where unknown.

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


@dataclass(frozen=True)
class Result:
    """What one training showed.

    Attributes:
        arch: that was trained.
        value: of the objective, in its unit; NaN where the training failed.
        seconds: that it took; NaN where unknown.
        failure: why it failed; empty where it did not.
        costs: what else it showed, by name, such as its energy.
        curve: what it showed on the way, the last point included; empty where it reports nothing.
        stopped: whether a rule stopped it early; `value` is then that of the last point.
    """

    arch: str
    value: float
    seconds: float = math.nan
    failure: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    curve: Curve = ()
    stopped: bool = False


class Evaluator(ABC):
    """Trains architectures, or looks their observed accuracies up. All accuracies are in percent.

    Attributes:
        epochs: of a full training, in what it reports on its way (see `curves.Curve`); None for an evaluator whose
            trainings report nothing: it trains in full, whatever a rule says.
        resumable: whether a stopped training can go on later from where it was.
        repeats: trainings of one architecture that it can show, at most; None for any number.
    """

    epochs: float | None = None
    resumable: bool = False
    repeats: int | None = None

    def repeated(self, number: int) -> Evaluator:
        """The evaluator of each architecture's training `number`, from 0: by default this one, asked again."""
        return self

    def results(self, archs: Sequence[str], rule: StopRule | None = None) -> Iterator[Result]:
        """Yields the results of the distinct `archs`, each as soon as it is there, in any order.

        A result depends on the architecture and `rule` alone: a training that was stopped goes on where the rule lets
        it, and of one that went further the result is what it had shown where the rule stops it.

        By default it calls `evaluate` on all of them; where that raises, on each alone, so that one failure costs no
        other result. An evaluator that trains for long, or reports, overrides it.

        Args:
            archs: to train.
            rule: says after each report whether a training goes on; None for all in full.
        """
        try:
            seen = self.evaluate(archs)
        except UserError:  # of the whole evaluation, not of one training
            raise
        except (Exception, SystemExit) as error:
            if len(archs) == 1:
                yield Result(archs[0], math.nan, failure=reason_of(error))
            else:
                for arch in archs:
                    yield from self.results([arch], rule)
        else:
            yield from map(Result, seen.archs, seen.observed_accuracy.tolist(), seen.seconds.tolist())

    @abstractmethod
    def evaluate(self, archs: Sequence[str]) -> Observations:
        """Returns the observed accuracies of `archs`, in their order; one call a round, so that they train in parallel.

        Raises:
            UserError: where nothing can be evaluated.
        """

    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """Returns all that is known without training: architectures, and observed accuracies ``[A]`` in percent.

        It is for metrics beside a search, never for its choices.
        """
        return [], np.zeros(0)

    def archs(self) -> list[str]:
        """Returns all that can be evaluated, with those that fail; none where they are not listed."""
        return self.known()[0]


class Judge(ABC):
    """Knows test accuracies. Only the report constructs one; nothing that searches, trains or selects may."""

    @abstractmethod
    def test_accuracy(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """Returns ``[A]`` float64, the test accuracies of `archs` in percent. Raises `UserError` for an unknown one."""

    @abstractmethod
    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """Returns all that is known, for regret in reports: architectures, and test accuracies ``[A]`` in percent."""
