"""What the epochs of a study were spent on, for those who look at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import pandas as pd

from acenas.search.stopping import Stopping


@dataclass(frozen=True)
class Spending:
    """What is known of the epochs of a study.

    Attributes:
        full: epochs of a full training.
        budget: of all trainings together; None for no bound.
        curves: a row for each value that a training reported: `arch`, `round`, `epochs`, `value`.
        rule: that stops trainings, in words, as in `Belief (worth 0.5)`; empty where nothing does.
        levels: the epochs of a training at which it may be stopped, the full length last.
    """

    full: float
    budget: float | None
    curves: pd.DataFrame
    rule: str = ""
    levels: Sequence[float] = ()

    def level(self, epochs: float) -> int:
        """The level, from 1, at which a training was stopped that had so many epochs; 0 for before the first.

        >>> Spending(108, 1080, pd.DataFrame(), "Belief", [4, 12, 36, 108]).level(13)
        2
        """
        return sum(level <= epochs * (1 + 1e-9) for level in self.levels)


def in_words(stopping: Stopping) -> str:
    """The name of a rule and what is its own of its settings.

    >>> from acenas.search.stopping import Belief
    >>> in_words(Belief())
    'Belief (worth 0.5)'
    """
    shared = {field.name for field in fields(Stopping)}
    own = [field.name for field in fields(stopping) if field.name not in shared]
    told = ", ".join(f"{name} {getattr(stopping, name)}" for name in own)
    return type(stopping).__name__ + (f" ({told})" if told else "")
