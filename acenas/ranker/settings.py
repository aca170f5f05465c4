"""The settings of a `GraphRanker`: its two trainings, and the prior between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from acenas.errors import UserError

LARGEST = 4096
"""Channels or layers of a ranker: more would fill a machine's memory without a word."""

MOST_RANKED = 512
"""Of more observed architectures, a finetuning ranks lists of this size at most, in fewer passes over all of them."""


@dataclass(frozen=True)
class Pretraining:
    """The training on weak labels.

    Attributes:
        epochs: passes over the weakly labelled architectures.
        batch_size: architectures of a step.
        learning_rate: the highest of its schedule.

    Raises:
        UserError: for a value outside its range.
    """

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        require_at_least(1, {"pretraining.epochs": self.epochs, "pretraining.batch_size": self.batch_size})


@dataclass(frozen=True)
class Finetuning:
    """The training on observed architectures, repeated from the pretrained weights in every round.

    It runs for a fixed number of steps while the learning rate falls to 0, instead of stopping early: a validation set
    taken from a few dozen architectures says too little about the order of the best.

    Attributes:
        passes: passes over the observed architectures; with `list_size=None` each is one step.
        list_size: observed architectures ranked against each other in a step; None for all.
        learning_rate: of the ranking head, the highest of its schedule.
        encoder_learning_rate: of the encoder and the heads of the weak labels.
        regression_weight: of the squared errors of the scores against the standardised relevance, beside the ranking
            loss; 0 for the ranking loss alone. LambdaRank is a sum over pairs: 10 to 40 times as large on 100.
        replay_size: weakly labelled architectures of a step; 0 for none.
        replay_weight: of their squared errors beside the ranking loss.
        fresh_head: whether the ranking head starts from other weights in each round instead of the same. The scores of
            architectures that the few observations do not determine then differ between rounds, as between the members
            of an ensemble, which keeps a greedy search from choosing the same region again and again.
        start_from_label: whether the ranking head starts as the head of the first weak label instead of fresh weights.

    Raises:
        UserError: for a value outside its range, and where both `fresh_head` and `start_from_label` are set.
    """

    passes: int = 150
    list_size: int | None = None
    learning_rate: float = 3e-3
    encoder_learning_rate: float = 3e-3
    regression_weight: float = 0.0
    replay_size: int = 64
    replay_weight: float = 10.0
    fresh_head: bool = True
    start_from_label: bool = False

    def __post_init__(self) -> None:
        require_at_least(1, {"finetuning.passes": self.passes})
        if self.list_size is not None:
            require_at_least(2, {"finetuning.list_size": self.list_size})
        for name in ("regression_weight", "replay_size", "replay_weight"):
            require_at_least(0, {f"finetuning.{name}": getattr(self, name)})
        if self.fresh_head and self.start_from_label:
            raise UserError("ranker.finetuning: choose one of fresh_head and start_from_label")

    def bounded(self, observed: int) -> Finetuning:
        """Returns the settings for so many observed architectures: the cost stops growing at `MOST_RANKED`."""
        if observed <= MOST_RANKED:
            return self
        passes = max(round(self.passes * MOST_RANKED / observed), 1)
        return replace(self, passes=passes, list_size=min(self.list_size or MOST_RANKED, MOST_RANKED))


@dataclass(frozen=True)
class Prior:
    """The order of the weak labels as a prior of the scores: a loss on replayed architectures while finetuning.

    The prior is a weighted sum of the standardised weak labels. Before anything is observed, the weight of a label is
    its correlation with the first one. From then on a ridge regression around these correlations can fit the weights
    to the observations, so that a label that misleads at the top loses its weight.

    Attributes:
        weight: of RankNet's loss of the replayed scores against the prior, beside the ranking loss, where nothing is
            observed; 0 for none. With a prior, its order is also that of the scores before the first finetuning.
        size: the number of observed architectures at which the prior's weight is halved.
        ridge: the strength of the regression towards the correlations, see `observed_weights`; above 0. None for
            weights that do not follow the observations.

    Raises:
        UserError: for a value outside its range.
    """

    weight: float = 1.0
    size: float = 10.0
    ridge: float | None = 3.0

    def __post_init__(self) -> None:
        require_at_least(0, {"prior.weight": self.weight})
        if self.weight and not self.size > 0:
            raise UserError(f"ranker.prior.size must be above 0, not {self.size}")
        if self.ridge is not None and not self.ridge > 0:
            raise UserError(f"ranker.prior.ridge must be above 0, or null, not {self.ridge}")

    def weight_after(self, observed: int) -> float:
        """Returns the weight of the prior where so many architectures are observed."""
        return self.weight * self.size / (self.size + observed)


def require_at_least(least: int, values: dict[str, float], most: float = math.inf) -> None:
    """Raises `UserError` for the first of the ranker's named `values` that is below `least` or above `most`."""
    for name, value in values.items():
        if not least <= value <= most:
            above = f" and at most {most}" if most < math.inf else ""
            raise UserError(f"ranker.{name} must be at least {least}{above}, not {value}")
