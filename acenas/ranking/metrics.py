"""Metrics of a ranking of architectures: NDCG, rank correlation, and the quality of its first k places.

Every function is pure and takes 1-d tensors `[n]` with one entry per architecture; a higher score means a better
architecture, accuracies are in percent, and a relevance is at least 0. The conventions are the same everywhere:

- **Ties in the scores** are broken at random, and the value is the expectation over that. So a metric depends
  neither on the order in which architectures are listed nor on luck, and constant scores get exactly what a
  random ranking gets on average.
- **One architecture** is a list like any other: it is first, its NDCG is 1, its correlations are 0.
- **NaN** in scores or accuracies raises `ValueError`: a NaN has no rank. Infinite scores are fine.
- **Empty input**, input that is not 1-d, and lengths that differ raise `ValueError`.
- **k** beyond the number of architectures means all of them; k below 1 raises `ValueError`.

`gain` is "exponential" or "linear", see the function `gain`. Whatever the input's dtype, sums are taken in float64,
since a relevance of 20 is a gain of a million.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from scipy import stats
from torch import Tensor

GainKind = Literal["exponential", "linear"]


def relevance(accuracies: Tensor, *, reference: Tensor | None = None, scale: float = 20.0) -> Tensor:
    """Converts accuracies to the graded relevance of NDCG.

    `clip((accuracy − q20) / (max − q20), 0, 1) · scale`: the worst fifth counts for nothing, the best for
    `scale` (AceNAS, arXiv 2108.03001, section 3.3). q20 is the 20 % quantile with linear interpolation.

    Where max equals q20 (all accuracies equal, or one alone) the formula's limit holds: `scale` for those
    that reach the max, 0 for those below.

    Args:
        accuracies: `[n]`.
        reference: `[m]`: the accuracies that q20 and max are taken from; `accuracies` by default.
        scale: the relevance of the best.

    Returns:
        `[n]`, float64, in [0, scale].

    Raises:
        ValueError: for input that is empty, not 1-d or holds NaN or infinite accuracies.

    >>> relevance(torch.tensor([10.0, 50.0, 60.0, 70.0, 80.0, 90.0]))
    tensor([ 0.,  0.,  5., 10., 15., 20.], dtype=torch.float64)
    >>> relevance(torch.tensor([65.0, 95.0]), reference=torch.tensor([50.0, 90.0]), scale=1.0)
    tensor([0.2188, 1.0000], dtype=torch.float64)
    """
    (accuracies,) = _finite(accuracies=accuracies)
    (among,) = (accuracies,) if reference is None else _finite(reference=reference)
    if max(accuracies.abs().max(), among.abs().max()) > 1e300:  # whose differences may be infinite
        accuracies, among = accuracies / 16, among / 16
    return interpolated_relevance(accuracies, torch.quantile(among, 0.2), among.max(), scale)


def interpolated_relevance(accuracies: Tensor, q20: Tensor, best: Tensor, scale: float) -> Tensor:
    """Computes `relevance` for given limits, which must broadcast against `accuracies` (any shape).

    >>> interpolated_relevance(torch.tensor([60.0, 70.0]), torch.tensor(60.0), torch.tensor(80.0), 20.0)
    tensor([ 0., 10.])
    """
    spread = best - q20
    share = torch.where(
        spread > 0,
        (accuracies - q20) / torch.where(spread > 0, spread, 1.0),
        (accuracies >= best).to(accuracies.dtype),
    )
    return share.clamp(0.0, 1.0) * scale


def gain(relevance: Tensor, kind: GainKind = "exponential") -> Tensor:
    """Returns the gain of items of this relevance (any shape). Raises `ValueError` for another `kind`.

    `2^relevance − 1` (Burges et al., 2005) or the relevance itself (Järvelin & Kekäläinen, 2002).

    Raises:
        ValueError: for another `kind`, and for a relevance below 0, infinite, or so large that the sum of the gains is.

    >>> gain(torch.tensor([0.0, 1.0, 3.0]))
    tensor([0., 1., 7.])
    """
    check_relevance(relevance)
    if kind not in ("exponential", "linear"):
        raise ValueError(f"gain is 'exponential' or 'linear', not {kind!r}")
    gains = torch.exp2(relevance) - 1 if kind == "exponential" else relevance
    if gains.sum().isinf():
        raise ValueError(
            f"relevance {float(relevance.max()):g} is too large for its {kind} gain; scale it down"
        )
    return gains


def check_relevance(relevance: Tensor) -> None:
    """Raises `ValueError` where a relevance, of any shape, is below 0 or infinite."""
    wrong = relevance[(relevance < 0) | relevance.isinf()]
    if len(wrong):
        raise ValueError(f"relevance must be at least 0 and finite, not {float(wrong[0]):g}")


_gain = gain  # below, an argument of the same name hides the function


def discount(ranks: Tensor) -> Tensor:
    """Returns the weight of a place in the ranking: `1 / log2(rank + 1)`, where rank 1 is the first place.

    >>> discount(torch.tensor([1.0, 3.0]))
    tensor([1.0000, 0.5000])
    """
    return 1 / torch.log2(ranks + 1)


def dcg_at_k(scores: Tensor, relevance: Tensor, k: int, *, gain: GainKind = "exponential") -> float:
    """Discounted cumulative gain of the k first by score: `Σ_{rank ≤ k} gain / log2(rank + 1)`.

    >>> dcg_at_k(torch.tensor([0.9, 0.1]), torch.tensor([1.0, 2.0]), k=1)
    1.0
    >>> dcg_at_k(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 2.0]), k=1)  # a coin decides which is first
    2.0
    """
    scores, relevance = _checked(scores=scores, relevance=relevance)
    at_rank = _expected_at_first_ranks(scores, _gain(relevance, gain), k)
    ranks = torch.arange(1, len(at_rank) + 1, dtype=at_rank.dtype, device=at_rank.device)
    return float((at_rank * discount(ranks)).sum())


def ndcg_at_k(scores: Tensor, relevance: Tensor, k: int, *, gain: GainKind = "exponential") -> float:
    """DCG@k divided by the DCG@k of the best possible order, in [0, 1].

    Where no item has any relevance, every order is as good as another and nothing can be found: 0, as in
    scikit-learn.

    >>> ndcg_at_k(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([20.0, 10.0, 0.0]), k=3)
    1.0
    >>> round(ndcg_at_k(torch.tensor([2.0, 3.0, 1.0]), torch.tensor([20.0, 10.0, 0.0]), k=3), 3)
    0.632
    """
    ideal = dcg_at_k(relevance, relevance, k, gain=gain)
    actual = dcg_at_k(scores, relevance, k, gain=gain)
    return actual / ideal if ideal > 0 else 0.0


def precision_at_top(scores: Tensor, accuracies: Tensor, percent: float) -> float:
    """Returns which share (0 to 1) of the `percent` % first by score is among the best `percent` % by accuracy.

    The number of places is rounded up. An accuracy that ties with the last of the best counts as one of them. Raises
    `ValueError` for a `percent` that is not above 0 and at most 100.

    >>> precision_at_top(torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([80.0, 60.0, 90.0, 70.0]), 50)
    0.5
    """
    scores, accuracies = _checked(scores=scores, accuracies=accuracies)
    if not 0 < percent <= 100:
        raise ValueError(f"percent must be above 0 and at most 100, not {percent}")
    places = math.ceil(len(scores) * percent / 100 - 1e-9)  # 1e-9: the rounding error of the product
    is_top = (accuracies >= accuracies.topk(places).values[-1]).to(scores.dtype)
    return float(_expected_at_first_ranks(scores, is_top, places).mean())


def best_true_rank(scores: Tensor, accuracies: Tensor, k: int) -> float:
    """Returns the true rank of the best architecture among the k first by score; 1 is the best of all.

    The true rank is 1 + the number of architectures with a higher accuracy, so equal accuracies share a rank.
    It is a whole number unless scores tie at the k-th place (expectation).

    >>> best_true_rank(torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([60.0, 80.0, 90.0, 70.0]), k=2)
    2.0
    """
    scores, accuracies = _checked(scores=scores, accuracies=accuracies)
    not_higher = torch.searchsorted(accuracies.sort().values, accuracies, right=True).to(torch.float64)
    return _expected_of_best(scores, accuracies, 1.0 + len(accuracies) - not_higher, k)


def top_k_accuracy(scores: Tensor, observed: Tensor, k: int, reported: Tensor | None = None) -> float:
    """Returns the accuracy of the architecture a user would pick: the best *observed* among the k first by score.

    `reported` `[n]` is what is reported of the pick in its place, such as its test accuracy, NaN where unknown. Picks
    that tie in `observed` are reported by their mean.

    >>> scores, observed = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([90.0, 92.0, 95.0])
    >>> top_k_accuracy(scores, observed, k=2)
    92.0
    >>> top_k_accuracy(scores, observed, k=2, reported=torch.tensor([91.0, 90.5, 94.0]))
    90.5
    """
    scores, observed = _checked(scores=scores, observed=observed)
    if reported is None:
        return _expected_of_best(scores, observed, observed, k)
    if reported.shape != scores.shape:
        raise ValueError(f"reported has the shape {list(reported.shape)}, scores {list(scores.shape)}")
    return _expected_of_best(scores, observed, reported.detach().to(torch.float64), k)


def regret(chosen: Tensor, known: Tensor) -> float:
    """Returns by how many percentage points the best known architecture is better than the best chosen one.

    Both are accuracies of one kind (observed or test), `known` `[n]` all of them. The regret is 0 where the best was
    found; below 0 only where `known` lacks the chosen ones.

    >>> regret(torch.tensor([93.5, 94.0]), torch.tensor([90.0, 93.5, 94.0, 94.5]))
    0.5
    """
    (chosen,) = _finite(chosen=chosen)
    (known,) = _finite(known=known)
    return float(known.max() - chosen.max())


def kendall(scores: Tensor, accuracies: Tensor) -> float:
    """Kendall's rank correlation, tau-b (scipy), in [-1, 1].

    Where all scores or all accuracies are equal, scipy's value is undefined; here it is 0, since such scores
    agree with an order as often as they contradict it.

    >>> round(kendall(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([70.0, 90.0, 80.0])), 3)
    0.333
    """
    return _correlation(stats.kendalltau, scores, accuracies)


def spearman(scores: Tensor, accuracies: Tensor) -> float:
    """Spearman's rank correlation (scipy), in [-1, 1]; 0 where all scores or all accuracies are equal.

    >>> round(spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([70.0, 90.0, 80.0])), 3)
    0.5
    """
    return _correlation(stats.spearmanr, scores, accuracies)


def ranking_metrics(
    scores: Tensor,
    observed: Tensor,
    test: Tensor | None = None,
    ks: Sequence[int] = (1, 3, 10, 30),
    scale: float = 20.0,
) -> dict[str, float]:
    """Returns the metrics that a run reports, by name.

    NDCG (exponential gain), Kendall and Spearman are against the observed accuracies, whose own q20 and max
    set the relevance. Architectures whose observed accuracy is unknown (NaN) are left out of every metric.

    Args:
        scores: `[n]`, of all architectures.
        observed: `[n]`, NaN where unknown.
        test: `[n]`, NaN where unknown: only for reports, never for anything that selects.
        ks: the numbers of first places to look at.
        scale: the relevance of the best.

    Returns:
        `ndcg@{k}`, `kendall`, `spearman`, `top{k}_observed_accuracy` and, where `test` is given,
        `top{k}_test_accuracy` (percent; NaN where the test accuracy of the pick is unknown).

    Raises:
        ValueError: where no observed accuracy is known.

    >>> metrics = ranking_metrics(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([80.0, 90.0, torch.nan]))
    >>> metrics["ndcg@10"], metrics["kendall"], metrics["top1_observed_accuracy"]
    (1.0, 1.0, 90.0)
    """
    _checked(scores=scores)
    for name, tensor in {"observed": observed, "test": test}.items():
        if tensor is not None and tensor.shape != scores.shape:
            raise ValueError(f"{name} has the shape {list(tensor.shape)}, scores {list(scores.shape)}")
    known = ~observed.isnan()
    if not known.any():
        raise ValueError("no observed accuracy is known, so there is nothing to compare the scores with")
    scores, observed = scores[known], observed[known]
    graded = relevance(observed, scale=scale)
    metrics = {f"ndcg@{k}": ndcg_at_k(scores, graded, k) for k in ks}
    metrics |= {"kendall": kendall(scores, observed), "spearman": spearman(scores, observed)}
    metrics |= {f"top{k}_observed_accuracy": top_k_accuracy(scores, observed, k) for k in ks}
    if test is not None:
        metrics |= {f"top{k}_test_accuracy": top_k_accuracy(scores, observed, k, test[known]) for k in ks}
    return metrics


def _checked(**tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in float64, without gradient; ValueError unless 1-d, equally long, not empty, no NaN."""
    names, first = " and ".join(tensors), next(iter(tensors.values()))
    for name, tensor in tensors.items():
        if tensor.dim() != 1:
            raise ValueError(f"{name} must be 1-d, one entry per architecture, not {list(tensor.shape)}")
        if len(tensor) == 0:
            raise ValueError(f"{name} is empty: a ranking needs at least one architecture")
        if len(tensor) != len(first):
            raise ValueError(f"{names} must be equally long, not {[len(t) for t in tensors.values()]}")
        if tensor.isnan().any():
            raise ValueError(f"{name} holds {int(tensor.isnan().sum())} NaN, which has no rank")
    return tuple(tensor.detach().to(torch.float64) for tensor in tensors.values())


def _finite(**tensors: Tensor) -> tuple[Tensor, ...]:
    """`_checked`, and ValueError where a value is infinite."""
    for name, tensor in tensors.items():
        if tensor.isinf().any():
            raise ValueError(f"{name} holds infinite values, which have no difference from others")
    return _checked(**tensors)


def _places(k: int, n: int) -> int:
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    return min(k, n)


def _correlation(of: Callable[..., Any], scores: Tensor, accuracies: Tensor) -> float:
    both = _checked(scores=scores, accuracies=accuracies)
    if any((values == values[0]).all() for values in both):
        return 0.0
    return float(of(*(values.cpu().numpy() for values in both)).statistic)


def _expected_at_first_ranks(scores: Tensor, values: Tensor, k: int) -> Tensor:
    """`[min(k, n)]`: `values` at the ranks 1..k, in expectation over random breaking of tied scores."""
    top, order = scores.topk(_places(k, len(scores)))
    _, group, size = torch.unique_consecutive(top, return_inverse=True, return_counts=True)
    total = torch.zeros(len(size), dtype=values.dtype, device=values.device)
    mean: Tensor = total.index_add(0, group, values[order]) / size
    mean[-1] = values[scores == top[-1]].mean()  # only the last group can reach beyond the k-th place
    return mean[group]


def _expected_of_best(scores: Tensor, quality: Tensor, values: Tensor, k: int) -> float:
    """`values` of the item with the highest `quality` among the k first by score.

    In expectation over random breaking of tied scores; items of equal quality stand for each other by the
    mean of their values.
    """
    k = _places(k, len(scores))
    last = scores.topk(k).values[-1]
    # Certain to be among the first k; of those that tie at the k-th place, a few are at random.
    certain = scores > last
    candidates = certain | (scores == last)
    certain, quality, values = certain[candidates], quality[candidates], values[candidates]

    _, group, size = torch.unique(quality, return_inverse=True, return_counts=True)
    total = torch.zeros(len(size), dtype=values.dtype, device=values.device)
    values = (total.index_add(0, group, values) / size)[group]

    by_quality = quality.argsort(descending=True)
    at_stake = by_quality[~certain[by_quality]]
    safe = by_quality[certain[by_quality]][:1]  # the best of those that are certain, if there is one
    if len(safe) > 0:
        at_stake = at_stake[quality[at_stake] > quality[safe]]
    # Of g tied items r are drawn; none of the i best is among them with the chance Π_{j<i} (1 − r/(g − j)).
    tied = int((~certain).sum())
    drawn = k - int(certain.sum())
    j = torch.arange(len(at_stake), dtype=values.dtype, device=values.device)
    none_of_best = torch.cat([values.new_ones(1), (1 - drawn / (tied - j)).clamp(min=0).cumprod(0)])
    chances = torch.cat([none_of_best[:-1] - none_of_best[1:], none_of_best[-1:].expand(len(safe))])
    outcomes = values[torch.cat([at_stake, safe])]
    possible = chances > 0  # an unknown (NaN) value of an impossible outcome must not spread
    return float((chances[possible] * outcomes[possible]).sum())
