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


def goes_on(rule: StopRule | None, archs: Sequence[str], epochs: float, curve: Curve) -> bool:
    """Whether a training goes on after the last point of `curve` for one of `archs`, which are trained as one.

    The rule is not asked about a full training, which has `epochs` epochs.
    """
    return rule is None or curve[-1][0] >= epochs or any(rule.goes_on(arch, curve) for arch in archs)


def points_until_stop(rule: StopRule | None, arch: str, epochs: float, curve: Curve) -> int:
    """Returns after how many points of `curve` the training of `arch` stops; 0 where it goes on, or is done.

    >>> points_until_stop(NeverStop(), "a", 9, [(1, 10.0), (2, 11.0)])
    0
    """
    for count in range(1, len(curve) + 1):
        if not goes_on(rule, [arch], epochs, curve[:count]):
            return count
    return 0


def finished(curve: Curve, epochs: float, value: float) -> Curve:
    """Returns the curve of a training that has ended, with its result as the last point: by itself it ends in full.

    >>> finished([(1, 10.0), (2, 11.0)], 9, 12.0)
    [(1, 10.0), (2, 11.0), (9.0, 12.0)]
    """
    return [*(point for point in curve if point[0] < epochs), (float(epochs), value)]
