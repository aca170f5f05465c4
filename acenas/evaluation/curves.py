"""Trainings that report as they go: their curves, and the rule that stops one. Imports nothing heavy."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

Curve = Sequence[tuple[float, float]]
"""What a training has shown so far: after how many epochs, and the objective then, in its unit; the last point last.

An epoch is whatever the training counts: epochs, steps, seconds."""


class StopRule(ABC):
    """Says of a training that reports whether it goes on.

    It is sent to the processes that train, so it can be pickled and holds numbers alone. Its answer depends on the
    architecture and the training's own curve, not on what else is in training: in whatever order trainings report,
    and on however many processes, the same ones are stopped.
    """

    @abstractmethod
    def goes_on(self, arch: str, curve: Curve) -> bool:
        """Whether the training of `arch`, an architecture that was asked for, goes on after the last point of `curve`.

        It is asked after each point. Once it says no, it says so of every longer curve as well.
        """


class NeverStop(StopRule):
    """Trains everything in full."""

    def goes_on(self, arch: str, curve: Curve) -> bool:
        """Always True."""
        return True


def points_until_stop(rule: StopRule | None, arch: str, curve: Curve, epochs: float) -> int:
    """Returns after how many points of `curve` the rule stops the training of `arch`; 0 where it goes on, or is done.

    The rule is not asked about a full training, which has `epochs` epochs.

    >>> points_until_stop(NeverStop(), "a", [(1, 10.0), (2, 11.0)], epochs=9)
    0
    """
    if rule is not None:
        for count in range(1, len(curve) + 1):
            if curve[count - 1][0] < epochs and not rule.goes_on(arch, curve[:count]):
                return count
    return 0
