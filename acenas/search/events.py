"""The events of a search. Callbacks receive them and return nothing, so they cannot change what is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from acenas.evaluation.objective import Objective
from acenas.search.state import STOPPED


def stopped_ones(observations: pd.DataFrame) -> NDArray[np.bool_]:
    """`[n]`: which trainings were stopped early; none where nobody counts epochs."""
    if "state" not in observations:
        return np.zeros(len(observations), np.bool_)
    return (observations["state"] == STOPPED).to_numpy()


def failed_ones(observations: pd.DataFrame, objective: Objective) -> NDArray[np.bool_]:
    """`[n]`: which trainings failed: they have no value, and were not stopped early."""
    return observations[objective.column].isna().to_numpy() & ~stopped_ones(observations)


@dataclass(frozen=True)
class RoundResult:
    """The state of a search after one round, or after pretraining and before any architecture was trained."""

    stage: str
    """`"pretrain"` (nothing was trained yet, round 0) or `"search"`."""
    round: int
    """The round that has just ended, counted from 1; 0 after pretraining."""
    rounds: int | None
    """Rounds in all; None where that is not known, as with a budget of epochs."""
    trained: int
    """Architectures trained so far."""
    budget: int
    """Architectures that may be trained in all."""
    archs: Sequence[str]
    """Every architecture that was scored."""
    scores: NDArray[np.float32]
    """`[A]`: scores of `archs` by the ranker as fitted on all that were trained so far; higher is better."""
    observations: pd.DataFrame
    """One row per training, in order: `arch`, `round`, `reason`, `state`, `message` of a failure, `seconds`, and the
    column of the objective, NaN where the training failed."""
    objective: Objective = Objective()  # noqa: RUF009 (frozen)
    """What the trainings show."""
    given: pd.DataFrame = field(default_factory=pd.DataFrame)
    """What was trained elsewhere, none of `trained`; see `StudyState`."""
    budget_epochs: float | None = None
    """Epochs of all trainings together; None for no bound."""

    @property
    def failed(self) -> pd.DataFrame:
        """The trainings so far that failed: rows of `observations`."""
        return self.observations[failed_ones(self.observations, self.objective)]

    @property
    def stopped(self) -> int:
        """The trainings so far that were stopped early, a part of `trained`."""
        return int(stopped_ones(self.observations).sum())

    @property
    def epochs(self) -> float | None:
        """The epochs of all trainings so far; None where nobody counts them."""
        return float(self.observations["epochs"].sum()) if "epochs" in self.observations else None

    @property
    def best(self) -> float | None:
        """The best observed value of the objective, in its unit; None where nothing worked yet."""
        utility = self.objective.sign * self.observations[self.objective.column]
        return None if utility.isna().all() else float(self.objective.sign * utility.max())


class SearchCallback:
    """Receives the events of a search. Every method does nothing here; override those of interest."""

    def on_search_start(self, rounds: int | None, budget: int, done: int) -> None:
        """Is called before the first round; `done` of them were done by an interrupted run.

        `rounds` is the number of all; None where that is not known, as with a budget of epochs.
        """

    def on_round_start(self, round: int, archs: Sequence[str]) -> None:  # noqa: A002 (the field's word)
        """Is called before round `round` (from 1) trains `archs`."""

    def on_round_end(self, result: RoundResult) -> None:
        """Is called once after each round, and once after pretraining (`result.stage`)."""

    def on_search_end(self) -> None:
        """Is called after the last round."""
