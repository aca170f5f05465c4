"""The losses as pure functions of `[lists, items]` batches, and the labels they learn from.

A list is a set of architectures to be ranked against each other. The conventions are the same everywhere:

- `scores`: `[lists, items]`, floating point, higher is better. Gradients flow into the scores alone; scores in half
  precision are converted to float32.
- The labels (`relevance`, `accuracies` in percent, `targets`, or `labels` of which only the order counts): floating
  point, of the same shape, NaN where unknown. A relevance is at least 0.
- `mask`: bool, of the same shape: which items count, all by default. The scores of items that do not count or whose
  label is unknown have no influence, NaN included, and their gradient is 0.
- A loss is a scalar, at least 0: the **mean over the lists that have an order**. A list whose labels are all equal, or
  with fewer than two items that count, has none; its loss and gradient are 0. Within a list it is the mean over pairs
  or items, so that longer lists do not weigh more, except where a docstring says otherwise.
- A NaN score of an item that counts makes the loss NaN, so that a diverged ranker is seen at once.
- `sigma`, `margin` and `temperature` are above 0. `gain` is "exponential" (2^relevance − 1, taken relative to the
  list's best, so that nothing overflows) or "linear".
- `ValueError` for scores that are not `[lists, items]`, for labels or a mask of another shape, for a batch without
  lists or items, and for an unknown `gain`.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from acenas.ranking.metrics import GainKind, check_relevance, discount, interpolated_relevance

RankBy = Literal["score", "label_ascending"]


# --- from accuracies to labels ---


def relevance_of_lists(
    accuracies: Tensor, mask: Tensor | None = None, *, reference: Tensor | None = None, scale: float = 20.0
) -> Tensor:
    """`acenas.ranking.relevance` for a batch of lists: `[lists, items]` in [0, scale], NaN where items do not count.

    `reference` `[n]`, percent, NaN where unknown, holds all accuracies trained so far, whose q20 and max are then those
    of every list; by default each list has its own. Raises `ValueError` where it holds no accuracy.

    >>> relevance_of_lists(torch.tensor([[10.0, 50.0, 60.0, 70.0, 80.0, 90.0], [0.0, 20.0, 90.0, 0.0, 0.0, 0.0]]))
    tensor([[ 0.0000,  0.0000,  5.0000, 10.0000, 15.0000, 20.0000],
            [ 0.0000,  4.4444, 20.0000,  0.0000,  0.0000,  0.0000]])
    >>> relevance_of_lists(torch.tensor([[60.0, 80.0]]), reference=torch.tensor([0.0, 50.0, 100.0]), scale=1.0)
    tensor([[0.5000, 0.7500]])
    """
    accuracies, among = _with_reference(accuracies, mask, reference)
    q20 = torch.nanquantile(among, 0.2, dim=1, keepdim=True)
    best = among.nan_to_num(nan=-math.inf).amax(dim=1, keepdim=True)
    graded = interpolated_relevance(accuracies, q20, best, scale)
    return graded.masked_fill(accuracies.isnan(), math.nan)


def standardise(accuracies: Tensor, mask: Tensor | None = None, *, reference: Tensor | None = None) -> Tensor:
    """Accuracies with mean 0 and (population) standard deviation 1, `[lists, items]`; NaN where items do not count.

    Mean and deviation are those of `reference`, see `relevance_of_lists`. Where that does not deviate, only the mean is
    taken off.

    >>> standardise(torch.tensor([[80.0, 90.0]]))
    tensor([[-1.,  1.]])
    """
    accuracies, among = _with_reference(accuracies, mask, reference)
    mean = among.nanmean(dim=1, keepdim=True)
    deviation = (among - mean).square().nanmean(dim=1, keepdim=True).sqrt()
    return (accuracies - mean) / torch.where(deviation > 0, deviation, 1.0)


# --- losses over pairs ---


def lambdarank_loss(
    scores: Tensor,
    relevance: Tensor,
    mask: Tensor | None = None,
    *,
    sigma: float = 1.0,
    gain: GainKind = "exponential",
    truncation_level: int | None = None,
    normalise: bool = False,
    rank_by: RankBy = "score",
) -> Tensor:
    """LambdaRank: the pairwise logistic loss, each pair weighted by what swapping it changes in NDCG.

    For every pair in which item i is more relevant than item j, the lambda of Burges (MSR-TR-2010-82, section 4)

        λ_ij = −σ / (1 + exp(σ (s_i − s_j))) · |ΔNDCG_ij|
        |ΔNDCG_ij| = |gain_i − gain_j| · |1/log2(rank_i + 1) − 1/log2(rank_j + 1)| / ideal DCG

    pulls i up and pushes j down. This function returns the surrogate `Σ |ΔNDCG_ij| · log(1 + exp(−σ (s_i − s_j)))`
    whose weights are constants to autograd, so that its gradient with respect to the scores is the lambda exactly.

    Ranks are those of the current scores, best first. Items with tied scores (all of them, at a constant start)
    take the expectation of the discount difference over random breaking of ties, not an arbitrary order.

    **The value is a sum over pairs**, as in the paper, and so it grows about linearly with the number of items;
    with `normalise` it grows with the logarithm.

    Args:
        scores: `[lists, items]`.
        relevance: `[lists, items]`.
        mask: `[lists, items]`.
        sigma: steepness of the logistic function.
        gain: "exponential" or "linear".
        truncation_level: only pairs with an item among so many first places count, and the ideal DCG is that of
            so many places (LightGBM's `lambdarank_truncation_level`); None for all.
        normalise: LightGBM's `lambdarank_norm`: divides each pair's weight by 0.01 + |s_i − s_j| (unless all
            scores are equal) and then each list's lambdas by S / log2(1 + S), S being the sum of their
            magnitudes.
        rank_by: "score", or "label_ascending" for comparison with the code that the authors of AceNAS published:
            ranks from the labels, the *least* relevant item first. It then is no gradient of NDCG.

    Raises:
        ValueError: for another `rank_by`, and for a relevance below 0 or infinite.

    >>> scores = torch.tensor([[0.0, 0.0]], requires_grad=True)
    >>> lambdarank_loss(scores, torch.tensor([[0.0, 1.0]])).backward()
    >>> scores.grad  # ±1/2 · (1 − 1/log2(3))
    tensor([[ 0.1845, -0.1845]])
    """
    _check_shapes(scores, relevance)
    return lambdarank_of(
        relevance,
        mask,
        sigma=sigma,
        gain=gain,
        truncation_level=truncation_level,
        normalise=normalise,
        rank_by=rank_by,
    )(scores)


def lambdarank_of(
    relevance: Tensor,
    mask: Tensor | None = None,
    *,
    sigma: float = 1.0,
    gain: GainKind = "exponential",
    truncation_level: int | None = None,
    normalise: bool = False,
    rank_by: RankBy = "score",
) -> Callable[[Tensor], Tensor]:
    """Returns `lambdarank_loss` as a function of the scores: what it knows from the labels alone is computed once."""
    if rank_by not in ("score", "label_ascending"):
        raise ValueError(f"rank_by is 'score' or 'label_ascending', not {rank_by!r}")
    relevance, counts, informative = _prepared_labels(relevance, mask)
    better = _better_pairs(relevance, counts)
    gains = _relative_gain(relevance, counts, gain)
    ideal = _ideal_dcg(gains, truncation_level)
    of_swap = torch.where(better, _pairwise(gains).abs() / ideal[:, None, None], 0.0)

    def loss(scores: Tensor) -> Tensor:
        scores = _prepared_scores(scores, counts)
        with torch.no_grad():
            rank_key = scores if rank_by == "score" else -relevance
            weight = (of_swap * _expected_discount_gap(rank_key, counts, truncation_level)).to(scores.dtype)
            if normalise:
                difference = _pairwise(scores)
                distance = torch.where(better, difference.abs(), 0.0)
                any_distance = (distance > 0).any(dim=2).any(dim=1)[:, None, None]
                weight = torch.where(any_distance, weight / (0.01 + distance), weight)
                lambdas = sigma * torch.sigmoid(-sigma * difference) * weight
                total = 2 * lambdas.sum(
                    dim=(1, 2), keepdim=True
                )  # each pulls one item up and pushes one down
                weight = torch.where(total > 0, weight * torch.log2(1 + total) / total, weight)
        return _mean_over_lists(_logistic(scores, weight, sigma), informative)

    return loss


def ranknet_loss(scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, sigma: float = 1.0) -> Tensor:
    """RankNet: the logistic loss `log(1 + exp(−σ (s_i − s_j)))` over pairs in which i is better than j.

    Burges et al., "Learning to rank using gradient descent" (ICML 2005). Mean over the pairs of a list; pairs
    with equal labels have no order and are left out.

    >>> ranknet_loss(torch.zeros(1, 3), torch.tensor([[70.0, 80.0, 90.0]]))  # log 2
    tensor(0.6931)
    """
    scores, labels, counts, informative = _prepared(scores, labels, mask)
    better = _better_pairs(labels, counts).to(scores.dtype)
    weight = better / better.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    return _mean_over_lists(_logistic(scores, weight, sigma), informative)


def pairwise_hinge_loss(
    scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, margin: float = 1.0
) -> Tensor:
    """The hinge loss `max(0, margin − (s_i − s_j))` over pairs in which i is better than j.

    Herbrich et al., "Support vector learning for ordinal regression" (1999); among predictors of architectures
    GATES uses it. Mean over the pairs of a list; pairs with equal labels are left out.

    >>> pairwise_hinge_loss(torch.tensor([[0.0, 0.25, 2.0]]), torch.tensor([[70.0, 80.0, 90.0]]))
    tensor(0.2500)
    """
    scores, labels, counts, informative = _prepared(scores, labels, mask)
    pair_loss = F.relu(margin - _pairwise(scores))
    return _mean_over_lists(_mean_where(_better_pairs(labels, counts), pair_loss), informative)


def pairwise_kl_loss(
    scores: Tensor, accuracies: Tensor, mask: Tensor | None = None, *, temperature: float = 1.0
) -> Tensor:
    """BRP-NAS: the divergence of the predicted from the true chance that one item of a pair is the better.

    For every pair, KL(p ‖ q) with p = softmax([a_i, a_j] / temperature) and q = softmax([s_i, s_j]); Dudziak et
    al., "BRP-NAS" (NeurIPS 2020), section 4, with the scores of two items in place of a network that reads both.
    Mean over the pairs of a list, those with equal accuracies included (p = 1/2). A lead of `temperature` percentage
    points gives the better item a chance of 73 %.

    >>> pairwise_kl_loss(torch.tensor([[0.0, 1.0]]), torch.tensor([[91.0, 92.0]]))
    tensor(0.)
    """
    scores, accuracies, counts, informative = _prepared(scores, accuracies, mask)
    tied = accuracies.unsqueeze(2) == accuracies.unsqueeze(1)  # infinite ones have no difference
    true = torch.where(tied, 0.0, _pairwise(accuracies) / temperature).to(scores.dtype)
    predicted, chance = _pairwise(scores), torch.sigmoid(true)
    one_side = torch.where(chance > 0, chance * (F.logsigmoid(true) - F.logsigmoid(predicted)), 0.0)
    pair_loss = one_side + one_side.transpose(1, 2)  # the two outcomes: i is better, j is better
    both_count = counts.unsqueeze(2) & counts.unsqueeze(1)
    return _mean_over_lists(_mean_where(both_count.triu(diagonal=1), pair_loss), informative)


# --- losses over lists ---


def listmle_loss(scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """ListMLE: the negative log-likelihood of the true order, picked item by item with softmax chances.

    `−log Π_i exp(s_i) / Σ_{j not better than i} exp(s_j)`, divided by the number of items; Xia et al., "Listwise
    approach to learning to rank" (ICML 2008), with the Plackett-Luce model. Items with equal labels compete with
    one another in each of their picks (as in Breslow's likelihood for ties), so no order among them is preferred.

    >>> listmle_loss(torch.zeros(1, 2), torch.tensor([[80.0, 90.0]]))  # (log 2 + log 1) / 2
    tensor(0.3466)
    """
    scores, labels, counts, informative = _prepared(scores, labels, mask)
    not_better = counts.unsqueeze(1) & (labels.unsqueeze(1) <= labels.unsqueeze(2))
    lowest = torch.finfo(scores.dtype).min  # not −∞: rows of items that do not count would have NaN gradients
    competitors = torch.where(not_better, scores.unsqueeze(1), lowest)
    item_loss = competitors.logsumexp(dim=2) - scores
    return _mean_over_lists(_mean_where(counts, item_loss), informative)


def listnet_loss(scores: Tensor, relevance: Tensor, mask: Tensor | None = None) -> Tensor:
    """ListNet: cross entropy of the chances to be picked first, softmax(relevance) against softmax(scores).

    Cao et al., "Learning to rank: from pairwise approach to listwise approach" (ICML 2007), top-one model. One
    value a list, not divided by its items: log(items) for constant scores, and never below the entropy of
    softmax(relevance).

    >>> listnet_loss(torch.zeros(1, 4), torch.tensor([[0.0, 1.0, 2.0, 3.0]]))  # log 4
    tensor(1.3863)
    """
    scores, relevance, counts, informative = _prepared(scores, relevance, mask)
    check_relevance(relevance)
    lowest = torch.finfo(scores.dtype).min
    chance = relevance.to(scores.dtype).masked_fill(~counts, lowest).softmax(dim=1)
    log_predicted = scores.masked_fill(~counts, lowest).log_softmax(dim=1)
    item_loss = torch.where(counts, -chance * log_predicted, 0.0)
    return _mean_over_lists(item_loss.sum(dim=1), informative)


def approx_ndcg_loss(
    scores: Tensor,
    relevance: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 0.1,
    gain: GainKind = "exponential",
) -> Tensor:
    """ApproxNDCG: 1 − NDCG with smooth ranks.

    `rank_i ≈ 1 + Σ_{j ≠ i} sigmoid((s_j − s_i) / temperature)`; Qin, Liu & Li, "A general approximation framework
    for direct optimization of information retrieval measures" (2010). The smaller the temperature, which has the unit
    of the scores, the closer to NDCG and the flatter its gradient. The NDCG is that of the whole list, so the loss lies
    in [0, 1] whatever the list's length.

    >>> approx_ndcg_loss(torch.tensor([[0.0, 9.0, 5.0]]), torch.tensor([[20.0, 0.0, 0.0]]))  # 1 − 1/log2(1 + 3)
    tensor(0.5000)
    """
    scores, relevance, counts, informative = _prepared(scores, relevance, mask)
    gains = _relative_gain(relevance, counts, gain).to(scores.dtype)
    ahead = torch.sigmoid(-_pairwise(scores) / temperature)  # how far item j (last dimension) is ahead of i
    ranks = 0.5 + torch.where(counts.unsqueeze(1), ahead, 0.0).sum(dim=2)  # an item is half ahead of itself
    dcg = torch.where(counts, gains * discount(ranks), 0.0).sum(dim=1)
    return _mean_over_lists(1 - dcg / _ideal_dcg(gains, truncation_level=None), informative)


def mse_loss(scores: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean squared error of the scores against targets in their unit (see `standardise`), over the items of a list.

    >>> mse_loss(torch.tensor([[0.0, 1.0]]), torch.tensor([[-1.0, 1.0]]))
    tensor(0.5000)
    """
    scores, targets, counts, informative = _prepared(scores, targets, mask)
    return _mean_over_lists(_mean_where(counts, (scores - targets.to(scores.dtype)).square()), informative)


# --- the parts that losses share ---


def _counting_only(labels: Tensor, mask: Tensor | None) -> Tensor:
    """The labels without gradient, NaN where they do not count."""
    labels = labels.detach()
    if mask is None:
        return labels
    if mask.shape != labels.shape or mask.dtype != torch.bool:
        raise ValueError(
            f"the mask must be bool {list(labels.shape)} as the labels are, not {mask.dtype} {list(mask.shape)}"
        )
    return labels.masked_fill(~mask, math.nan)


def _with_reference(
    accuracies: Tensor, mask: Tensor | None, reference: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The accuracies that count, and those that set the limits or moments of each list: the reference `[1, n]`."""
    accuracies = _counting_only(accuracies, mask)
    if reference is None:
        return accuracies, accuracies
    known = reference.detach()[~reference.isnan()]
    if len(known) == 0:
        raise ValueError("the reference holds no accuracy")
    return accuracies, known.unsqueeze(0)


def _check_shapes(scores: Tensor, labels: Tensor) -> None:
    """Raises `ValueError` for scores that are not `[lists, items]`, and for labels of another shape."""
    if scores.dim() != 2 or scores.numel() == 0:
        raise ValueError(f"scores must be [lists, items] with at least one of each, not {list(scores.shape)}")
    if labels.shape != scores.shape:
        raise ValueError(f"scores are {list(scores.shape)}, but their labels {list(labels.shape)}")
    if not scores.is_floating_point() or not labels.is_floating_point():
        raise ValueError(f"scores and labels must be floating point, not {scores.dtype} and {labels.dtype}")


def _prepared(scores: Tensor, labels: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores and labels with 0 where items do not count, which items count, which lists have an order."""
    _check_shapes(scores, labels)
    labels, counts, informative = _prepared_labels(labels, mask)
    return _prepared_scores(scores, counts), labels, counts, informative


def _prepared_scores(scores: Tensor, counts: Tensor) -> Tensor:
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    return scores.masked_fill(~counts, 0.0)


def _prepared_labels(labels: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    labels = _counting_only(labels, mask)
    counts = ~labels.isnan()
    highest = labels.masked_fill(~counts, -math.inf).amax(dim=1)
    lowest = labels.masked_fill(~counts, math.inf).amin(dim=1)
    return labels.masked_fill(~counts, 0.0), counts, highest > lowest


def _pairwise(values: Tensor) -> Tensor:
    """`[lists, items, items]`: value of i − value of j."""
    return values.unsqueeze(2) - values.unsqueeze(1)


class _Logistic(torch.autograd.Function):
    """See `_logistic`. Its gradient is a sum of what the value is made of: a third of the operations of autograd."""

    @staticmethod
    @override
    def forward(ctx: Any, scores: Tensor, weight: Tensor, sigma: float) -> Tensor:
        lead = sigma * _pairwise(scores)
        lambdas = weight * torch.sigmoid(-lead)  # what pulls i up and pushes j down
        ctx.save_for_backward(sigma * (lambdas.sum(dim=1) - lambdas.sum(dim=2)))
        return -(weight * F.logsigmoid(lead)).sum(dim=(1, 2))

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (of_scores,) = ctx.saved_tensors
        return gradients[0].unsqueeze(1) * of_scores, None, None


def _logistic(scores: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """`[lists]`: `Σ_ij weight_ij · log(1 + exp(−σ (s_i − s_j)))`; the weights `[lists, items, items]` are constants."""
    return _Logistic.apply(scores, weight, sigma)  # type: ignore[no-untyped-call,no-any-return]


def _better_pairs(labels: Tensor, counts: Tensor) -> Tensor:
    """`[lists, items, items]`, bool: item i is better than item j, and both count."""
    return (labels.unsqueeze(2) > labels.unsqueeze(1)) & counts.unsqueeze(2) & counts.unsqueeze(1)


def _mean_where(chosen: Tensor, values: Tensor) -> Tensor:
    """`[lists]`: for each list the mean of the chosen values; 0 where none is."""
    chosen, values = chosen.flatten(1), values.flatten(1)
    return torch.where(chosen, values, 0.0).sum(dim=1) / chosen.sum(dim=1).clamp(min=1)


def _mean_over_lists(list_loss: Tensor, informative: Tensor) -> Tensor:
    """Scalar: the mean over informative lists; 0 where none is."""
    return torch.where(informative, list_loss, 0.0).sum() / informative.sum().clamp(min=1)


def _relative_gain(relevance: Tensor, counts: Tensor, kind: GainKind) -> Tensor:
    """`[lists, items]`: gains up to a factor for each list, which NDCG does not see; 0 where items do not count.

    The exponential gain is `2^(relevance − max) − 2^(−max)`, in [0, 1], where `2^relevance` might overflow.
    """
    check_relevance(relevance)
    if kind == "linear":
        return relevance
    if kind != "exponential":
        raise ValueError(f"gain is 'exponential' or 'linear', not {kind!r}")
    best = relevance.amax(dim=1, keepdim=True)
    return torch.where(counts, torch.exp2(relevance - best) - torch.exp2(-best), 0.0)


def _ideal_dcg(gains: Tensor, truncation_level: int | None) -> Tensor:
    """`[lists]`: the DCG of the best order; never 0, so that it can be divided by."""
    best_first = gains.sort(dim=1, descending=True).values[:, :truncation_level]
    ranks = torch.arange(1, best_first.shape[1] + 1, dtype=gains.dtype, device=gains.device)
    return (best_first * discount(ranks)).sum(dim=1).clamp(min=torch.finfo(gains.dtype).tiny)


def _expected_discount_gap(key: Tensor, counts: Tensor, truncation_level: int | None) -> Tensor:
    """`[lists, items, items]`, float64: E |discount(rank_i) − discount(rank_j)|, ranked by `key`, highest first.

    The expectation is over random breaking of ties. Where neither rank is within the truncation level, a pair's
    gap counts as 0. Without ties this is the gap itself.
    """
    items = key.shape[1]
    discounts = discount(torch.arange(1, items + 1, dtype=torch.float64, device=key.device))
    order = key.masked_fill(~counts, -math.inf).argsort(dim=1, descending=True, stable=True)
    ordered, counted = key.gather(1, order), counts.gather(1, order)
    if not ((ordered[:, 1:] == ordered[:, :-1]) & counted[:, 1:]).any():  # much cheaper, and nearly always so
        ranks = order.argsort(dim=1)
        gap = _pairwise(discounts[ranks]).abs()
        if truncation_level is not None:
            beyond = ranks >= truncation_level
            gap = gap.masked_fill(beyond.unsqueeze(2) & beyond.unsqueeze(1), 0.0)
        return gap

    first = (counts.unsqueeze(1) & (key.unsqueeze(1) > key.unsqueeze(2))).sum(dim=2)  # places before i's ties
    last = first + (counts.unsqueeze(1) & (key.unsqueeze(1) == key.unsqueeze(2))).sum(dim=2)
    gap = (discounts.unsqueeze(1) - discounts.unsqueeze(0)).abs()
    if truncation_level is not None:
        gap[truncation_level:, truncation_level:] = 0.0

    # An item may take any of the places of its ties, first..last−1. The sum of the gap over the places of i × those
    # of j comes from the table of sums over leading blocks.
    leading = F.pad(gap.cumsum(0).cumsum(1), (1, 0, 1, 0))
    first_i, last_i = first.unsqueeze(2), last.unsqueeze(2)
    first_j, last_j = first.unsqueeze(1), last.unsqueeze(1)
    total = (
        leading[last_i, last_j]
        - leading[first_i, last_j]
        - leading[last_i, first_j]
        + leading[first_i, first_j]
    )
    tied = first_i == first_j  # two items that tie take two different places
    pairs_of_places = (last_i - first_i) * (last_j - first_j - tied.long())
    return total / pairs_of_places.clamp(min=1)
