"""The losses as values: they hold the parameters, and turn accuracies into the labels of the functions."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from torch import Tensor
from typing_extensions import override

from acenas.errors import UserError, require_at_least, require_one_of
from acenas.ranking import functional
from acenas.ranking.functional import RankBy
from acenas.ranking.metrics import GainKind


@dataclass(frozen=True)
class RankingLoss:
    """A loss of scores against accuracies. Its attributes are plain values, for a config.

    A loss of one's own overrides `from_labels`, and `labels` where it needs other labels than the accuracies.

    Raises:
        UserError: for an attribute outside its range.
    """

    function: ClassVar[Callable[..., Tensor]]
    """The function of `acenas.ranking.functional`; the attributes, but for `scale`, are its keyword arguments."""

    def __post_init__(self) -> None:
        for name in ("sigma", "scale", "temperature", "margin"):
            value = getattr(self, name, 1.0)
            if not (value > 0 and math.isfinite(value)):
                raise UserError(f"loss: {name} must be a number above 0, not {value}")
        require_one_of("loss: gain", getattr(self, "gain", "linear"), ("exponential", "linear"))

    def __call__(
        self, scores: Tensor, accuracies: Tensor, mask: Tensor | None = None, reference: Tensor | None = None
    ) -> Tensor:
        """Returns the loss of a batch of lists.

        Args:
            scores: `[lists, items]`, floating point, higher is better.
            accuracies: `[lists, items]`, floating point, percent, NaN where unknown.
            mask: `[lists, items]`, bool: which items count; all by default.
            reference: `[n]`, percent: all accuracies trained so far, which set q20 and max of the relevance, or
                mean and deviation of standardised targets; each list's own by default.

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
        return type(self).function(scores, labels, mask, **self._parameters())

    def for_labels(self, labels: Tensor) -> Callable[[Tensor], Tensor]:
        """Returns `from_labels` as a function of the scores alone, for many steps with the same labels."""
        return lambda scores: self.from_labels(scores, labels)

    def _parameters(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "scale"}


class RelevanceLoss(RankingLoss):
    """A loss on the relevance of the accuracies."""

    scale: float
    """Relevance of the best."""

    @override
    def labels(
        self, accuracies: Tensor, mask: Tensor | None = None, reference: Tensor | None = None
    ) -> Tensor:
        return functional.relevance_of_lists(accuracies, mask, reference=reference, scale=self.scale)


@dataclass(frozen=True)
class LambdaRankLoss(RelevanceLoss):
    """`lambdarank_loss` on the relevance of the accuracies.

    With the paper's `scale` of 20 and exponential gain, the best has the gain of a thousand items half as relevant.

    >>> import torch
    >>> loss = LambdaRankLoss(scale=5.0)
    >>> round(loss(torch.tensor([[0.3, 0.1, 0.2]]), torch.tensor([[80.0, 91.0, 93.0]])).item(), 4)
    0.3888
    """

    function = functional.lambdarank_loss
    sigma: float = 1.0
    gain: GainKind = "exponential"
    scale: float = 2.0
    truncation_level: int | None = None
    normalise: bool = False
    rank_by: RankBy = "score"

    @override
    def for_labels(self, labels: Tensor) -> Callable[[Tensor], Tensor]:
        return functional.lambdarank_of(labels, **self._parameters())

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, "loss: ", truncation_level=self.truncation_level)
        require_one_of("loss: rank_by", self.rank_by, ("score", "label_ascending"))


@dataclass(frozen=True)
class RankNetLoss(RankingLoss):
    """`ranknet_loss` on the order of the accuracies."""

    function = functional.ranknet_loss
    sigma: float = 1.0


@dataclass(frozen=True)
class PairwiseHingeLoss(RankingLoss):
    """`pairwise_hinge_loss` on the order of the accuracies."""

    function = functional.pairwise_hinge_loss
    margin: float = 1.0


@dataclass(frozen=True)
class PairwiseKLLoss(RankingLoss):
    """`pairwise_kl_loss` (BRP-NAS) on the differences of the accuracies."""

    function = functional.pairwise_kl_loss
    temperature: float = 1.0


@dataclass(frozen=True)
class ListMLELoss(RankingLoss):
    """`listmle_loss` on the order of the accuracies."""

    function = functional.listmle_loss


@dataclass(frozen=True)
class ListNetLoss(RelevanceLoss):
    """`listnet_loss` on the relevance: the larger `scale`, the more of the target's weight lies on the first places."""

    function = functional.listnet_loss
    scale: float = 20.0


@dataclass(frozen=True)
class ApproxNDCGLoss(RelevanceLoss):
    """`approx_ndcg_loss` on the relevance of the accuracies."""

    function = functional.approx_ndcg_loss
    temperature: float = 0.1
    gain: GainKind = "exponential"
    scale: float = 20.0


@dataclass(frozen=True)
class StandardisedMSELoss(RankingLoss):
    """`mse_loss` against the standardised accuracies: by the reference where given, else by each list."""

    function = functional.mse_loss

    @override
    def labels(
        self, accuracies: Tensor, mask: Tensor | None = None, reference: Tensor | None = None
    ) -> Tensor:
        return functional.standardise(accuracies, mask, reference=reference)
