"""The settings of a `GraphRanker`. A value outside its range is a `UserError`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from acenas.errors import UserError, require_at_least

LARGEST = 4096
"""Channels or layers of a ranker: more would fill a machine's memory without a word."""

MOST_RANKED = 512
"""Of more observed architectures, a finetuning ranks lists of this size at most, in fewer passes over all of them."""


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How weights are moved: by Adam, at a learning rate that warms up and then falls to 0 as a cosine.

    Attributes:
        learning_rate: the highest.
        warmup: of all steps, the share in which it rises; 0 for none.
        weight_decay: apart from the gradients, as in AdamW, where `decoupled`; else by squared weights in the loss.
        decoupled: see `weight_decay`.
    """

    learning_rate: float = 3e-3
    warmup: float = 0.1
    weight_decay: float = 1e-4
    decoupled: bool = True

    def _check(self, group: str) -> None:
        require_at_least(0, group, weight_decay=self.weight_decay)
        require_at_least(0, group, 1, warmup=self.warmup)


@dataclass(frozen=True, kw_only=True)
class Pretraining(Optimization):
    """The training on weak labels.

    Attributes:
        epochs: passes over the weakly labelled architectures.
        batch_size: architectures of a step.
        samples: of the weakly labelled architectures, as many by chance; None for all.
    """

    epochs: int = 20
    batch_size: int = 128
    samples: int | None = None

    def __post_init__(self) -> None:
        group = "ranker.pretraining."
        self._check(group)
        require_at_least(1, group, epochs=self.epochs, batch_size=self.batch_size, samples=self.samples)


@dataclass(frozen=True, kw_only=True)
class Finetuning(Optimization):
    """The training on observed architectures, repeated from the pretrained weights in every round.

    By default it runs for a fixed number of steps, as a validation set of a few dozen architectures says too little
    about the order of the best.

    Attributes:
        passes: passes over the observed architectures; with `list_size=None` each is one step.
        list_size: observed architectures ranked against each other in a step; None for all.
        patience: passes without a better NDCG of the lists that are trained on, after which it stops; None for never.
        encoder_learning_rate: the highest of the encoder and the heads of the weak labels; `learning_rate` is that of
            the ranking head.
        regression_weight: of the squared errors of the scores against the standardised relevance, beside the ranking
            loss. For scale, LambdaRank is a sum over pairs: 10 to 40 times as large on 100 architectures.
        replay_size: weakly labelled architectures of a step; 0 for none.
        replay_weight: of their squared errors beside the ranking loss.
        fresh_head: whether the ranking head starts from other weights in each round. The scores of architectures that
            the observations do not determine then differ between rounds, as in an ensemble, which keeps a greedy search
            from choosing the same region again.
        start_from_label: whether the ranking head starts as the head of the first weak label; excludes `fresh_head`.
        keep_weights: whether a round goes on from the weights of the round before, and not from the pretrained ones.
    """

    passes: int = 150
    list_size: int | None = None
    patience: int | None = None
    encoder_learning_rate: float = 3e-3
    regression_weight: float = 0.0
    replay_size: int = 64
    replay_weight: float = 10.0
    fresh_head: bool = True
    start_from_label: bool = False
    keep_weights: bool = False

    def __post_init__(self) -> None:
        group, replay = (
            "ranker.finetuning.",
            {"replay_size": self.replay_size, "replay_weight": self.replay_weight},
        )
        self._check(group)
        require_at_least(1, group, passes=self.passes, patience=self.patience)
        require_at_least(2, group, list_size=self.list_size)
        require_at_least(0, group, regression_weight=self.regression_weight, **replay)
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

    Before anything is observed, the prior is a weighted sum of the standardised weak labels; the weight of each is its
    correlation with the first one. From then on a Gaussian process can correct it, see `CorrectedPrior`, so that labels
    that mislead at the top lose their say.

    Attributes:
        weight: of RankNet's loss of the replayed scores against the prior, beside the ranking loss, where nothing is
            observed; 0 for none. With a prior, its order is also that of the scores before the first finetuning.
        size: the number of observed architectures at which the prior's weight is halved.
        corrected: whether the observations correct the prior.
    """

    weight: float = 1.0
    size: float = 10.0
    corrected: bool = True

    def __post_init__(self) -> None:
        require_at_least(0, "ranker.prior.", weight=self.weight)
        if self.weight and not self.size > 0:
            raise UserError(f"ranker.prior.size must be above 0, not {self.size}")

    def weight_after(self, observed: int) -> float:
        """Returns the weight of the prior where so many architectures are observed."""
        return self.weight * self.size / (self.size + observed)
