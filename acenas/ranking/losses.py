"""The losses as values: they hold the parameters, and turn accuracies into the labels of the functions."""

import math
from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from acenas.errors import UserError
from acenas.ranking.functional import (
    RankBy,
    approx_ndcg_loss,
    lambdarank_loss,
    listmle_loss,
    listnet_loss,
    mse_loss,
    pairwise_hinge_loss,
    pairwise_kl_loss,
    ranknet_loss,
    relevance_of_lists,
    standardise,
)
from acenas.ranking.metrics import GainKind


@dataclass(frozen=True)
class RankingLoss:
    """A loss of scores against accuracies; its parameters are plain values, for a config.

    Raises:
        UserError: for a parameter outside its range.
    """

    def __post_init__(self) -> None:
        for name in ("sigma", "scale", "temperature", "margin"):
            value = getattr(self, name, 1.0)
            if not (value > 0 and math.isfinite(value)):
                raise UserError(f"loss: {name} must be a number above 0, not {value}")
        gain = getattr(self, "gain", "linear")
        if gain not in ("exponential", "linear"):
            raise UserError(f"loss: gain must be 'exponential' or 'linear', not {gain!r}")

    def __call__(
        self, scores: Tensor, accuracies: Tensor, mask: Tensor | None = None, reference: Tensor | None = None
    ) -> Tensor:
        """Returns the loss of a batch of lists.

        Args:
            scores: `[lists, items]`, floating point, higher is better.
            accuracies: `[lists, items]`, floating point, percent, NaN where unknown.
            mask: `[lists, items]`, bool: which items count; all by default.
            reference: `[n]`, percent: all accuracies trained so far, which set q20 and max of the relevance, or
                mean and deviation of standardised targets; each list's own by default. Losses that need only the
                order of the accuracies, or their differences, have no use for it.

        Returns:
            Scalar.

        Raises:
            ValueError: see `acenas.ranking.functional`.
        """
        return self.from_labels(scores, self.labels(accuracies, mask, reference), mask)

    def labels(
        self, accuracies: Tensor, mask: Tensor | None = None, reference: Tensor | None = None
    ) -> Tensor:
        """Returns the labels `[lists, items]` of the function: here the accuracies, of which the order or gaps count.

        A training on the same accuracies in many steps computes the labels once. The arguments are those of a call.
        """
        return accuracies

    def from_labels(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the loss of `scores` `[lists, items]` against the result of `labels`; scalar."""
        raise NotImplementedError


class RelevanceLoss(RankingLoss):
    """A loss on the relevance of the accuracies."""

    scale: float
    """Relevance of the best."""

    @override
    def labels(
        self, accuracies: Tensor, mask: Tensor | None = None, reference: Tensor | None = None
    ) -> Tensor:
        return relevance_of_lists(accuracies, mask, reference=reference, scale=self.scale)


@dataclass(frozen=True)
class LambdaRankLoss(RelevanceLoss):
    """`lambdarank_loss` on the relevance of the accuracies.

    Attributes:
        sigma: steepness of the logistic function.
        gain: "exponential" or "linear".
        scale: relevance of the best. With the paper's 20 and exponential gain, it has the gain of a thousand items half
            as relevant.
        truncation_level: only pairs with an item among so many first places count; None for all.
        normalise: as LightGBM's `lambdarank_norm`.
        rank_by: "score", or "label_ascending" as the authors of AceNAS published it.

    >>> import torch
    >>> loss = LambdaRankLoss(scale=5.0)
    >>> round(loss(torch.tensor([[0.3, 0.1, 0.2]]), torch.tensor([[80.0, 91.0, 93.0]])).item(), 4)
    0.3888
    """

    sigma: float = 1.0
    gain: GainKind = "exponential"
    scale: float = 2.0
    truncation_level: int | None = None
    normalise: bool = False
    rank_by: RankBy = "score"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.truncation_level is not None and self.truncation_level < 1:
            raise UserError(
                f"loss: truncation_level must be at least 1, or null for all, not {self.truncation_level}"
            )
        if self.rank_by not in ("score", "label_ascending"):
            raise UserError(f"loss: rank_by must be 'score' or 'label_ascending', not {self.rank_by!r}")

    @override
    def from_labels(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return lambdarank_loss(
            scores,
            labels,
            mask,
            sigma=self.sigma,
            gain=self.gain,
            truncation_level=self.truncation_level,
            normalise=self.normalise,
            rank_by=self.rank_by,
        )


@dataclass(frozen=True)
class RankNetLoss(RankingLoss):
    """`ranknet_loss` on the order of the accuracies.

    Attributes:
        sigma: steepness of the logistic function.
    """

    sigma: float = 1.0

    @override
    def from_labels(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return ranknet_loss(scores, labels, mask, sigma=self.sigma)


@dataclass(frozen=True)
class PairwiseHingeLoss(RankingLoss):
    """`pairwise_hinge_loss` on the order of the accuracies.

    Attributes:
        margin: by how much the better item's score should lead.
    """

    margin: float = 1.0

    @override
    def from_labels(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return pairwise_hinge_loss(scores, labels, mask, margin=self.margin)


@dataclass(frozen=True)
class PairwiseKLLoss(RankingLoss):
    """`pairwise_kl_loss` (BRP-NAS) on the differences of the accuracies.

    Attributes:
        temperature: percentage points that a chance of 73 % stands for.
    """

    temperature: float = 1.0

    @override
    def from_labels(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return pairwise_kl_loss(scores, labels, mask, temperature=self.temperature)


@dataclass(frozen=True)
class ListMLELoss(RankingLoss):
    """`listmle_loss` on the order of the accuracies."""

    @override
    def from_labels(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return listmle_loss(scores, labels, mask)


@dataclass(frozen=True)
class ListNetLoss(RelevanceLoss):
    """`listnet_loss` on the relevance of the accuracies.

    Attributes:
        scale: relevance of the best; the larger, the more of the target's weight lies on the first places.
    """

    scale: float = 20.0

    @override
    def from_labels(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return listnet_loss(scores, labels, mask)


@dataclass(frozen=True)
class ApproxNDCGLoss(RelevanceLoss):
    """`approx_ndcg_loss` on the relevance of the accuracies.

    Attributes:
        temperature: in units of the scores; the smaller, the closer to NDCG.
        gain: "exponential" or "linear".
        scale: relevance of the best.
    """

    temperature: float = 0.1
    gain: GainKind = "exponential"
    scale: float = 20.0

    @override
    def from_labels(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return approx_ndcg_loss(scores, labels, mask, temperature=self.temperature, gain=self.gain)


@dataclass(frozen=True)
class StandardisedMSELoss(RankingLoss):
    """`mse_loss` against the standardised accuracies: by the reference where given, else by each list."""

    @override
    def labels(
        self, accuracies: Tensor, mask: Tensor | None = None, reference: Tensor | None = None
    ) -> Tensor:
        return standardise(accuracies, mask, reference=reference)

    @override
    def from_labels(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return mse_loss(scores, labels, mask)
