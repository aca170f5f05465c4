"""The metrics against scikit-learn, scipy and plain enumeration of all ways to break ties."""

import itertools
import math
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import dcg_score, ndcg_score
from torch import Tensor

from acenas.ranking.metrics import (
    GainKind,
    best_true_rank,
    dcg_at_k,
    gain,
    kendall,
    ndcg_at_k,
    precision_at_top,
    ranking_metrics,
    regret,
    relevance,
    spearman,
    top_k_accuracy,
)

# Few distinct values, so that ties are the rule.
tied_lists = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=6
).map(lambda rows: torch.tensor(rows, dtype=torch.float32).T)


def tie_breaks(scores: Tensor) -> list[list[int]]:
    """All orders of the items, best score first, that differ only in how ties are broken."""
    groups = [
        torch.where(scores == value)[0].tolist() for value in sorted(set(scores.tolist()), reverse=True)
    ]
    return [
        [item for group in order for item in group]
        for order in itertools.product(*(list(itertools.permutations(group)) for group in groups))
    ]


# --- relevance and gain ---


def test_relevance_is_the_formula() -> None:
    accuracies = torch.tensor(np.random.default_rng(0).normal(90, 3, 101))
    q20, best = np.quantile(accuracies.numpy(), 0.2), accuracies.numpy().max()
    expected = np.clip((accuracies.numpy() - q20) / (best - q20), 0, 1) * 20
    np.testing.assert_allclose(relevance(accuracies).numpy(), expected, rtol=1e-12)


def test_relevance_takes_its_limits_from_the_reference() -> None:
    reference = torch.arange(0.0, 101.0)  # q20 = 20, max = 100
    graded = relevance(torch.tensor([10.0, 20.0, 60.0, 100.0, 120.0]), reference=reference, scale=4.0)
    assert graded.tolist() == [0.0, 0.0, 2.0, 4.0, 4.0]


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ([70.0], [20.0]),  # one item is the best
        ([70.0, 70.0, 70.0], [20.0, 20.0, 20.0]),  # so is each of equals
        ([10.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0], [0.0] + [20.0] * 6),  # q20 = max, yet one is worse
    ],
)
def test_relevance_where_max_equals_q20(accuracies: list[float], expected: list[float]) -> None:
    assert relevance(torch.tensor(accuracies)).tolist() == expected


def test_gain_kinds() -> None:
    graded = torch.tensor([0.0, 0.5, 20.0], dtype=torch.float64)
    np.testing.assert_allclose(gain(graded, "exponential").numpy(), [0.0, math.sqrt(2) - 1, 2**20 - 1])
    assert gain(graded, "linear").tolist() == [0.0, 0.5, 20.0]
    with pytest.raises(ValueError, match="'exponential' or 'linear', not 'cubic'"):
        gain(graded, "cubic")  # type: ignore[arg-type]


# --- DCG and NDCG ---


@pytest.mark.parametrize("distinct_scores", [1, 3, 1000])
@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize("k", [1, 3, 10, 60, 100])
def test_ndcg_equals_scikit_learn(distinct_scores: int, kind: GainKind, k: int) -> None:
    random = np.random.default_rng(k)
    scores = random.integers(distinct_scores, size=60).astype(np.float64)
    graded = random.choice([0.0, 1.0, 2.5, 7.0, 20.0], size=60)
    gains = 2**graded - 1 if kind == "exponential" else graded
    ours = ndcg_at_k(torch.tensor(scores), torch.tensor(graded), k, gain=kind)
    assert ours == pytest.approx(ndcg_score([gains], [scores], k=k), rel=1e-12)
    dcg = dcg_at_k(torch.tensor(scores), torch.tensor(graded), k, gain=kind)
    assert dcg == pytest.approx(dcg_score([gains], [scores], k=k), rel=1e-12)


@given(tied_lists, st.integers(1, 7))
def test_dcg_is_the_mean_over_all_tie_breaks(rows: Tensor, k: int) -> None:
    scores, graded, _ = rows
    over_tie_breaks = [
        sum((2 ** float(graded[item]) - 1) / math.log2(rank + 2) for rank, item in enumerate(order[:k]))
        for order in tie_breaks(scores)
    ]
    assert dcg_at_k(scores, graded, k) == pytest.approx(float(np.mean(over_tie_breaks)))


@given(tied_lists, st.integers(1, 7), st.integers(0, 100))
def test_metrics_do_not_depend_on_the_order_of_listing(rows: Tensor, k: int, seed: int) -> None:
    shuffle = torch.randperm(rows.shape[1], generator=torch.Generator().manual_seed(seed))
    before = ranking_metrics(rows[0], rows[1], rows[2], ks=(k,))
    after = ranking_metrics(rows[0, shuffle], rows[1, shuffle], rows[2, shuffle], ks=(k,))
    assert after == pytest.approx(before, abs=1e-9)


def test_ndcg_of_the_true_order_is_one_and_of_nothing_relevant_zero() -> None:
    graded = torch.tensor([5.0, 0.0, 20.0, 1.0])
    assert ndcg_at_k(graded, graded, 2) == 1.0
    assert ndcg_at_k(graded, torch.zeros(4), 2) == 0.0


def test_ndcg_of_float32_input_is_computed_in_float64() -> None:
    graded = torch.linspace(0, 20, 5000)
    expected = ndcg_at_k(graded.double() % 3, graded.double(), 5000)
    assert ndcg_at_k(graded % 3, graded, 5000) == pytest.approx(expected, rel=1e-9)


# --- what the first places hold ---


@given(tied_lists, st.integers(1, 7))
def test_best_true_rank_is_the_mean_over_all_tie_breaks(rows: Tensor, k: int) -> None:
    scores, accuracies, _ = rows
    true_rank = [1 + int((accuracies > accuracy).sum()) for accuracy in accuracies]
    over_tie_breaks = [min(true_rank[item] for item in order[:k]) for order in tie_breaks(scores)]
    assert best_true_rank(scores, accuracies, k) == pytest.approx(float(np.mean(over_tie_breaks)))


@given(tied_lists, st.integers(1, 7))
def test_top_k_accuracy_is_the_mean_over_all_tie_breaks(rows: Tensor, k: int) -> None:
    scores, observed, _ = rows
    over_tie_breaks = [max(float(observed[item]) for item in order[:k]) for order in tie_breaks(scores)]
    assert top_k_accuracy(scores, observed, k) == pytest.approx(float(np.mean(over_tie_breaks)))


@given(tied_lists, st.integers(1, 7), st.permutations(range(6)))
def test_reported_accuracy_is_that_of_the_best_observed(
    rows: Tensor, k: int, observed_order: list[int]
) -> None:
    scores, _, test = rows
    observed = torch.tensor(observed_order[: len(scores)], dtype=torch.float32)  # no ties: the pick is one
    over_tie_breaks = [
        float(test[max(order[:k], key=lambda item: float(observed[item]))]) for order in tie_breaks(scores)
    ]
    assert top_k_accuracy(scores, observed, k, test) == pytest.approx(float(np.mean(over_tie_breaks)))


def test_picks_that_tie_in_observed_are_reported_by_their_mean() -> None:
    scores = torch.tensor([4.0, 3.0, 2.0, 1.0])
    observed = torch.tensor([90.0, 91.0, 91.0, 91.0])
    test = torch.tensor([80.0, 70.0, 74.0, 100.0])
    assert top_k_accuracy(scores, observed, 3, test) == 72.0


def test_unknown_reported_accuracy_matters_only_where_it_can_be_picked() -> None:
    scores, observed = torch.tensor([3.0, 2.0, 2.0]), torch.tensor([90.0, 91.0, 92.0])
    assert math.isnan(top_k_accuracy(scores, observed, 1, torch.tensor([math.nan, 1.0, 2.0])))
    assert top_k_accuracy(scores, observed, 3, torch.tensor([math.nan, math.nan, 2.0])) == 2.0
    assert top_k_accuracy(scores, observed, 2, torch.tensor([math.nan, 1.0, 2.0])) == 1.5


@pytest.mark.parametrize("percent", [0.5, 1, 10, 50, 100])
def test_precision_at_top_is_the_overlap_of_two_sets(percent: float) -> None:
    random = np.random.default_rng(1)
    accuracies = random.permutation(200).astype(np.float64)
    scores = accuracies + random.normal(0, 30, 200)
    places = round(200 * percent / 100)
    overlap = set(np.argsort(-scores)[:places]) & set(np.argsort(-accuracies)[:places])
    ours = precision_at_top(torch.tensor(scores), torch.tensor(accuracies), percent)
    assert ours == pytest.approx(len(overlap) / places)


def test_precision_at_top_with_ties_and_few_items() -> None:
    accuracies = torch.tensor([90.0, 80.0, 80.0, 70.0])
    # two places; the second best is either of two: both count
    assert precision_at_top(torch.tensor([1.0, 4.0, 3.0, 2.0]), accuracies, 50) == 1.0
    assert precision_at_top(torch.zeros(4), accuracies, 50) == 0.75  # three of the four count
    assert precision_at_top(torch.tensor([2.0, 3.0, 1.0, 0.0]), accuracies, 1) == 0.0  # 1 % of 4: one place
    # 1000 × 16.1 / 100 is a little above 161 in floating point: that must not become a 162nd place
    scores = torch.arange(1000.0)
    accuracies = scores.index_fill(0, torch.tensor([1000 - 162]), 0.0)
    assert precision_at_top(scores, accuracies, 16.1) == 1.0
    for percent in (0, -1, 101):
        with pytest.raises(ValueError, match="percent must be"):
            precision_at_top(scores, accuracies, percent)


def test_regret() -> None:
    known = torch.tensor([90.0, 94.5, 93.0])
    assert regret(torch.tensor([90.0, 93.0]), known) == 1.5
    assert regret(known, known) == 0.0


# --- correlations ---


def test_correlations_equal_scipy_with_ties() -> None:
    random = np.random.default_rng(2)
    scores, accuracies = random.integers(8, size=(2, 100)).astype(np.float64)
    ours = torch.tensor(scores), torch.tensor(accuracies)
    assert kendall(*ours) == pytest.approx(stats.kendalltau(scores, accuracies, variant="b").statistic)
    assert spearman(*ours) == pytest.approx(stats.spearmanr(scores, accuracies).statistic)


@pytest.mark.parametrize("metric", [kendall, spearman])
def test_correlations_without_an_order_are_zero(metric: Callable[[Tensor, Tensor], object]) -> None:
    ascending, constant = torch.arange(3.0), torch.ones(3)
    assert (
        metric(constant, ascending)
        == metric(ascending, constant)
        == metric(torch.ones(1), torch.ones(1))
        == 0
    )


# --- all together ---


def test_ranking_metrics_by_name() -> None:
    random = np.random.default_rng(3)
    observed = torch.tensor(random.normal(90, 2, 50))
    scores, test = observed + torch.tensor(random.normal(0, 1, 50)), observed - 1
    metrics = ranking_metrics(scores, observed, test)
    assert list(metrics) == [
        *("ndcg@1", "ndcg@3", "ndcg@10", "ndcg@30", "kendall", "spearman"),
        *(f"top{k}_observed_accuracy" for k in (1, 3, 10, 30)),
        *(f"top{k}_test_accuracy" for k in (1, 3, 10, 30)),
    ]
    assert metrics["ndcg@10"] == ndcg_at_k(scores, relevance(observed), 10)
    assert metrics["kendall"] == kendall(scores, observed)
    assert metrics["top3_test_accuracy"] == metrics["top3_observed_accuracy"] - 1
    assert set(ranking_metrics(scores, observed)) == {name for name in metrics if "test" not in name}


def test_ranking_metrics_leave_out_what_is_unknown() -> None:
    observed = torch.tensor([math.nan, 90.0, 91.0, math.nan, 92.0])
    scores, test = torch.tensor([9.0, 1.0, 3.0, 8.0, 2.0]), torch.tensor([99.0, 80.0, 81.0, 99.0, 82.0])
    known = torch.tensor([1, 2, 4])
    assert ranking_metrics(scores, observed, test) == ranking_metrics(
        scores[known], observed[known], test[known]
    )


def test_ranking_metrics_of_one_architecture_and_of_constant_scores() -> None:
    one = ranking_metrics(torch.tensor([0.3]), torch.tensor([91.0]), ks=(1, 10))
    assert one == {
        **{"ndcg@1": 1.0, "ndcg@10": 1.0, "kendall": 0.0, "spearman": 0.0},
        **{"top1_observed_accuracy": 91.0, "top10_observed_accuracy": 91.0},
    }
    constant = ranking_metrics(torch.zeros(4), torch.tensor([90.0, 91.0, 92.0, 93.0]), ks=(1,))
    assert constant["top1_observed_accuracy"] == 91.5
    assert 0 < constant["ndcg@1"] < 0.3
    assert constant["kendall"] == constant["spearman"] == 0


TWO_LISTS: list[Callable[[Tensor, Tensor], object]] = [
    lambda scores, accuracies: dcg_at_k(scores, accuracies, 1),
    lambda scores, accuracies: ndcg_at_k(scores, accuracies, 1),
    lambda scores, accuracies: precision_at_top(scores, accuracies, 10),
    lambda scores, accuracies: best_true_rank(scores, accuracies, 1),
    lambda scores, accuracies: top_k_accuracy(scores, accuracies, 1),
    lambda scores, accuracies: ranking_metrics(scores, accuracies),
    kendall,
    spearman,
]


@pytest.mark.parametrize("metric", TWO_LISTS)
def test_input_without_a_ranking_is_refused(metric: Callable[[Tensor, Tensor], object]) -> None:
    fine, empty, nan = torch.tensor([1.0, 2.0]), torch.tensor([]), torch.tensor([1.0, math.nan])
    with pytest.raises(ValueError, match="scores holds 1 NaN"):
        metric(nan, fine)
    with pytest.raises(ValueError, match="scores is empty"):
        metric(empty, empty)
    with pytest.raises(ValueError, match="scores must be 1-d"):
        metric(fine.unsqueeze(0), fine.unsqueeze(0))
    with pytest.raises(ValueError, match=r"equally long, not \[2, 1\]|has the shape"):
        metric(fine, fine[:1])


def test_other_input_is_refused() -> None:
    fine, nan = torch.tensor([1.0, 2.0]), torch.tensor([1.0, math.nan])
    with pytest.raises(ValueError, match="accuracies holds 1 NaN"):
        relevance(nan)
    with pytest.raises(ValueError, match="reference is empty"):
        relevance(fine, reference=torch.tensor([]))
    with pytest.raises(ValueError, match="accuracies holds 1 NaN"):
        kendall(fine, nan)
    with pytest.raises(ValueError, match="known is empty"):
        regret(fine, torch.tensor([]))
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        ndcg_at_k(fine, fine, 0)
    with pytest.raises(ValueError, match="k must be at least 1, not -1"):
        top_k_accuracy(fine, fine, -1)
    with pytest.raises(ValueError, match="reported has the shape"):
        top_k_accuracy(fine, fine, 1, torch.ones(3))
    with pytest.raises(ValueError, match="no observed accuracy is known"):
        ranking_metrics(fine, torch.full((2,), math.nan))


@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([-0.9, -0.4, 0.5], "must be at least 0 and finite, not -0.9"),
        ([1.0, math.inf], "must be at least 0 and finite, not inf"),
        ([0.0, 1e308, 1e308], "1e[+]308 is too large for its"),
    ],
)
def test_relevance_keeps_to_its_range(kind: GainKind, wrong: list[float], message: str) -> None:
    values = torch.tensor(wrong, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        gain(values, kind)
    for metric in (dcg_at_k, ndcg_at_k):
        with pytest.raises(ValueError, match=message):
            metric(values, values, 2, gain=kind)


def test_infinite_accuracies_have_no_relevance_and_no_regret() -> None:
    fine, infinite = torch.tensor([1.0, 2.0]), torch.tensor([1.0, math.inf])
    with pytest.raises(ValueError, match="accuracies holds infinite values"):
        relevance(infinite)
    with pytest.raises(ValueError, match="reference holds infinite values"):
        relevance(fine, reference=infinite)
    with pytest.raises(ValueError, match="chosen holds infinite values"):
        regret(infinite, infinite)


@pytest.mark.parametrize("size", [1.0, 1e300, sys.float_info.max])
def test_accuracies_of_any_finite_magnitude_have_a_relevance(size: float) -> None:
    accuracies = torch.tensor([-1.0, -1.0, 0.0, 1.0], dtype=torch.float64)
    assert relevance(accuracies * size).tolist() == pytest.approx([0.0, 0.0, 10.0, 20.0])
    assert relevance(accuracies[2:] * size, reference=accuracies * size).tolist() == pytest.approx([10, 20])


def test_infinite_scores_rank_like_others() -> None:
    scores = torch.tensor([-math.inf, 0.0, math.inf])
    assert ndcg_at_k(scores, torch.tensor([0.0, 1.0, 2.0]), 3) == 1.0
    assert kendall(scores, torch.tensor([0.0, 1.0, 2.0])) == pytest.approx(1.0)
    assert spearman(scores, torch.tensor([0.0, 1.0, 2.0])) == pytest.approx(1.0)


def test_all_metrics_of_nas_bench_101_take_seconds_at_most() -> None:
    generator = torch.Generator().manual_seed(0)
    accuracies = torch.rand(423_624, generator=generator) * 100
    scores = accuracies + torch.randn(423_624, generator=generator)
    start = time.perf_counter()
    metrics = ranking_metrics(scores, accuracies, accuracies)
    assert time.perf_counter() - start < 10  # about 1 s; scikit-learn-like plain loops take minutes
    assert 0.9 < metrics["kendall"] < 1
