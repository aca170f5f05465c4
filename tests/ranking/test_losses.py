"""The losses, value and gradient, against plain loops, finite differences and LightGBM."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acenas.errors import UserError
from acenas.ranking import functional
from acenas.ranking.functional import lambdarank_loss, relevance_of_lists, standardise
from acenas.ranking.losses import (
    ApproxNDCGLoss,
    LambdaRankLoss,
    ListMLELoss,
    ListNetLoss,
    PairwiseHingeLoss,
    PairwiseKLLoss,
    RankingLoss,
    RankNetLoss,
    StandardisedMSELoss,
)
from acenas.ranking.metrics import ndcg_at_k, relevance

Loss = Callable[..., Tensor]
Scores = list[float]
FloatArray = npt.NDArray[np.floating[Any]]

SMOOTH: dict[str, Loss] = {
    "ranknet": functional.ranknet_loss,
    "hinge": functional.pairwise_hinge_loss,  # smooth but for its kink, which random scores do not meet
    "kl": functional.pairwise_kl_loss,
    "listmle": functional.listmle_loss,
    "listnet": functional.listnet_loss,
    "approx_ndcg": functional.approx_ndcg_loss,
    "mse": functional.mse_loss,
}
FUNCTIONS: dict[str, Loss] = {
    **SMOOTH,
    "lambdarank": lambdarank_loss,
    "lambdarank_normalised": lambda *args: lambdarank_loss(*args, normalise=True, truncation_level=2),
    "lambdarank_label_ascending": lambda *args: lambdarank_loss(*args, rank_by="label_ascending"),
}
MODULES: list[RankingLoss] = [
    LambdaRankLoss(),
    LambdaRankLoss(scale=20.0),
    LambdaRankLoss(sigma=2.0, gain="linear", scale=5.0, truncation_level=3, normalise=True),
    LambdaRankLoss(scale=20.0, rank_by="label_ascending"),
    RankNetLoss(),
    PairwiseHingeLoss(),
    PairwiseKLLoss(),
    ListMLELoss(),
    ListNetLoss(),
    ApproxNDCGLoss(),
    StandardisedMSELoss(),
]


def value_and_gradient(loss: Loss, scores: Tensor, *args: Any, **kwargs: Any) -> tuple[float, Tensor]:
    scores = scores.clone().requires_grad_()
    value = loss(scores, *args, **kwargs)
    value.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    return float(value.detach()), scores.grad


# --- plain loops: the definitions, one list at a time ---


def pairs_in_order(labels: Scores) -> list[tuple[int, int]]:
    return [(i, j) for i in range(len(labels)) for j in range(len(labels)) if labels[i] > labels[j]]


def ranknet(s: Scores, y: Scores) -> float:
    return float(np.mean([math.log1p(math.exp(-(s[i] - s[j]))) for i, j in pairs_in_order(y)]))


def hinge(s: Scores, y: Scores) -> float:
    return float(np.mean([max(0.0, 1 - (s[i] - s[j])) for i, j in pairs_in_order(y)]))


def kl(s: Scores, y: Scores) -> float:
    total = []
    for i, j in itertools.combinations(range(len(s)), 2):
        p = 1 / (1 + math.exp(y[j] - y[i]))
        q = 1 / (1 + math.exp(s[j] - s[i]))
        total.append(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
    return float(np.mean(total))


def listmle(s: Scores, y: Scores) -> float:
    rest = [math.log(sum(math.exp(s[j]) for j in range(len(s)) if y[j] <= y[i])) for i in range(len(s))]
    return float(np.mean([rest[i] - s[i] for i in range(len(s))]))


def listnet(s: Scores, y: Scores) -> float:
    p = [math.exp(label) / sum(map(math.exp, y)) for label in y]
    return -sum(p[i] * math.log(math.exp(s[i]) / sum(map(math.exp, s))) for i in range(len(s)))


def approx_ndcg(s: Scores, y: Scores) -> float:
    dcg = 0.0
    for i in range(len(s)):
        rank = 1 + sum(1 / (1 + math.exp((s[i] - s[j]) / 0.1)) for j in range(len(s)) if j != i)
        dcg += (2 ** y[i] - 1) / math.log2(1 + rank)
    return 1 - dcg / ideal_dcg(y, None)


def mse(s: Scores, y: Scores) -> float:
    return float(np.mean([(a - b) ** 2 for a, b in zip(s, y, strict=True)]))


LOOPS: dict[str, Callable[[Scores, Scores], float]] = {
    **{"ranknet": ranknet, "hinge": hinge, "kl": kl, "listmle": listmle},
    **{"listnet": listnet, "approx_ndcg": approx_ndcg, "mse": mse},
}


def ideal_dcg(y: Scores, level: int | None) -> float:
    return sum((2**label - 1) / math.log2(i + 2) for i, label in enumerate(sorted(y, reverse=True)[:level]))


def orders(keys: Scores) -> list[list[int]]:
    """All orders, highest key first, that differ only in how ties are broken."""
    groups = [[i for i, key in enumerate(keys) if key == value] for value in sorted(set(keys), reverse=True)]
    return [
        list(itertools.chain(*parts)) for parts in itertools.product(*map(itertools.permutations, groups))
    ]


def lambdas(
    s: Scores, y: Scores, *, sigma: float, level: int | None, normalise: bool, keys: Scores | None = None
) -> Scores:
    """The gradient as LightGBM's rank_objective.hpp computes it (and Burges' report, without normalisation)."""
    n, result, total = len(s), [0.0] * len(s), 0.0
    all_orders = orders(s if keys is None else keys)
    for i, j in pairs_in_order(y):
        gap = 0.0
        for order in all_orders:
            a, b = order.index(i), order.index(j)
            if level is None or min(a, b) < level:
                gap += abs(1 / math.log2(a + 2) - 1 / math.log2(b + 2)) / len(all_orders)
        delta = (2 ** y[i] - 2 ** y[j]) * gap / ideal_dcg(y, level)
        if normalise and max(s) != min(s):
            delta /= 0.01 + abs(s[i] - s[j])
        pull = sigma * delta / (1 + math.exp(sigma * (s[i] - s[j])))
        result[i] -= pull
        result[j] += pull
        total += 2 * pull
    scale = math.log2(1 + total) / total if normalise and total > 0 else 1.0
    return [result[i] * scale for i in range(n)]


def finite_differences(loop: Callable[[Scores, Scores], float], s: Scores, y: Scores) -> Scores:
    step = 1e-5

    def moved(i: int, by: float) -> float:
        return loop([score + by * (i == j) for j, score in enumerate(s)], y)

    return [(moved(i, step) - moved(i, -step)) / (2 * step) for i in range(len(s))]


LABELS: dict[str, Callable[[int, np.random.Generator], FloatArray]] = {
    "distinct": lambda n, random: random.permutation(n) * 0.7,
    "tied": lambda n, random: np.append(random.integers(0, 3, n - 1), 3.0),
    "graded": lambda n, random: np.append(random.uniform(0, 8, n - 1), 8.0),
}


# --- value and gradient ---


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("spread", [0.1, 3.0])
@pytest.mark.parametrize("items", [2, 5, 12])
@pytest.mark.parametrize("name", SMOOTH)
def test_value_and_gradient_equal_plain_loops(name: str, items: int, spread: float, labels: str) -> None:
    random = np.random.default_rng(items)
    scores = random.normal(0, spread, (3, items))
    targets = np.stack([LABELS[labels](items, random) for _ in range(3)]).astype(np.float64)
    value, gradient = value_and_gradient(SMOOTH[name], torch.tensor(scores), torch.tensor(targets))
    rows = [(s.tolist(), y.tolist()) for s, y in zip(scores, targets, strict=True)]
    assert value == pytest.approx(np.mean([LOOPS[name](*row) for row in rows]), rel=1e-9)
    expected = np.array([finite_differences(LOOPS[name], *row) for row in rows]) / 3
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradcheck(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.rand(2, 6, generator=generator, dtype=torch.float64) * 5
    mask = torch.tensor([[True] * 6, [True, False, True, True, False, True]])
    assert torch.autograd.gradcheck(lambda s: SMOOTH[name](s, labels, mask), (scores,))


@pytest.mark.parametrize("scores", ["distinct", "tied", "constant"])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("level", [None, 1, 3])
@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_lambdarank_gradient_is_the_lambda(
    scores: str, labels: str, normalise: bool, level: int | None, sigma: float
) -> None:
    random = np.random.default_rng(5)
    s = {"distinct": random.normal(0, 1, 5), "tied": random.integers(0, 3, 5), "constant": np.ones(5)}[scores]
    y = LABELS[labels](5, random)
    loop = lambdas(s.tolist(), y.tolist(), sigma=sigma, level=level, normalise=normalise)
    value, gradient = value_and_gradient(
        lambdarank_loss,
        torch.tensor(s, dtype=torch.float64).unsqueeze(0),
        torch.tensor(y, dtype=torch.float64).unsqueeze(0),
        **{"sigma": sigma, "truncation_level": level, "normalise": normalise},
    )
    np.testing.assert_allclose(gradient[0].numpy(), loop, rtol=1e-9, atol=1e-12)
    assert np.abs(loop).max() > 1e-3
    assert value > 0


def test_lambdarank_with_ranks_from_ascending_labels() -> None:
    scores, graded = [0.3, 1.5, 2.0, 0.1], [1.0, 4.0, 0.0, 2.5]
    loop = lambdas(scores, graded, sigma=1.0, level=None, normalise=False, keys=[-label for label in graded])
    _, gradient = value_and_gradient(
        lambdarank_loss,
        torch.tensor([scores], dtype=torch.float64),
        torch.tensor([graded], dtype=torch.float64),
        rank_by="label_ascending",
    )
    np.testing.assert_allclose(gradient[0].numpy(), loop, rtol=1e-9)
    _, by_score = value_and_gradient(lambdarank_loss, torch.tensor([scores]), torch.tensor([graded]))
    assert not np.allclose(by_score[0].numpy(), loop, rtol=0.1)


@pytest.mark.parametrize(("normalise", "level", "sigma"), [(False, 40, 1.0), (True, 40, 1.0), (True, 5, 2.0)])
def test_lambdarank_equals_lightgbm(normalise: bool, level: int, sigma: float) -> None:
    """With a huge L2 penalty, LightGBM's leaves predict −(sum of their items' gradients) / penalty."""
    random = np.random.default_rng(7)
    graded, scores = random.integers(0, 6, (2, 20)), random.normal(0, 1, (2, 20))
    _, gradient = value_and_gradient(
        lambdarank_loss,
        torch.tensor(scores),
        torch.tensor(graded, dtype=torch.float64),
        **{"sigma": sigma, "truncation_level": level, "normalise": normalise},
    )
    ours = 2 * gradient.numpy().ravel()  # ours is the mean over two lists, theirs the sum
    penalty = 1e4
    parameters = {
        **{"objective": "lambdarank", "lambdarank_norm": normalise, "lambdarank_truncation_level": level},
        **{"sigmoid": sigma, "lambda_l2": penalty, "learning_rate": 1.0, "num_leaves": 40, "num_threads": 1},
        **{"min_data_in_leaf": 1, "min_data_in_bin": 1, "min_sum_hessian_in_leaf": 0.0, "verbose": -1},
    }
    for _ in range(10):  # each arrangement of the items along a feature makes other leaves of them
        feature = random.permutation(40).astype(np.float64).reshape(-1, 1)
        data = lightgbm.Dataset(
            feature, graded.ravel(), group=[20, 20], init_score=scores.ravel(), params=parameters
        )
        tree = lightgbm.train(parameters, data, num_boost_round=1)
        leaf = np.asarray(tree.predict(feature, pred_leaf=True), dtype=np.int64).ravel()
        theirs = -penalty * np.asarray(tree.predict(feature, raw_score=True))
        assert leaf.max() > 0
        sums = np.bincount(leaf, weights=ours)
        np.testing.assert_allclose(sums[leaf], theirs, rtol=5e-3, atol=1e-3)


def test_lambdarank_improves_ndcg() -> None:
    graded = torch.linspace(0, 20, 30).unsqueeze(0)
    scores = torch.zeros(1, 30).requires_grad_()
    optimiser = torch.optim.Adam([scores], lr=0.1)
    for _ in range(50):
        optimiser.zero_grad()
        lambdarank_loss(scores, graded).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert ndcg_at_k(scores[0], graded[0], 10) > 0.99


# --- properties ---

batches = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(0, 10_000), st.booleans())


def batch_of(lists: int, items: int, seed: int, ties: bool) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(lists, items, generator=generator, dtype=torch.float64)
    accuracies = torch.rand(lists, items, generator=generator, dtype=torch.float64) * 10 + 85
    return (scores.round(), accuracies.round()) if ties else (scores, accuracies)


@pytest.mark.parametrize("loss", MODULES, ids=repr)
@settings(max_examples=15)
@given(batches)
def test_permuted_items_have_permuted_gradients(loss: RankingLoss, shape: tuple[int, int, int, bool]) -> None:
    scores, accuracies = batch_of(*shape)
    order = torch.randperm(shape[1], generator=torch.Generator().manual_seed(shape[2]))
    value, gradient = value_and_gradient(loss, scores, accuracies)
    value2, gradient2 = value_and_gradient(loss, scores[:, order], accuracies[:, order])
    assert value2 == pytest.approx(value, rel=1e-9, abs=1e-12)
    torch.testing.assert_close(gradient2, gradient[:, order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", MODULES, ids=repr)
@settings(max_examples=15)
@given(batches)
def test_padding_changes_nothing(loss: RankingLoss, shape: tuple[int, int, int, bool]) -> None:
    scores, accuracies = batch_of(*shape)
    lists, items = scores.shape
    value, gradient = value_and_gradient(loss, scores, accuracies)
    mask = torch.arange(items + 3).expand(lists, -1) < items
    for filler in (99.0, math.nan, math.inf):
        padding = torch.full((lists, 3), filler, dtype=torch.float64)
        padded = torch.cat([scores, padding], dim=1), torch.cat([accuracies, padding], dim=1)
        value2, gradient2 = value_and_gradient(loss, *padded, mask)
        assert value2 == pytest.approx(value, rel=1e-9, abs=1e-12)
        torch.testing.assert_close(gradient2[:, :items], gradient, rtol=1e-9, atol=1e-12)
        assert (gradient2[:, items:] == 0).all()
    unknown = torch.cat([accuracies, torch.full((lists, 3), math.nan, dtype=torch.float64)], dim=1)
    assert float(loss(torch.cat([scores, scores.new_ones(lists, 3)], dim=1), unknown)) == pytest.approx(value)


@pytest.mark.parametrize("loss", [m for m in MODULES if not isinstance(m, StandardisedMSELoss)], ids=repr)
@settings(max_examples=15)
@given(batches, st.integers(-8, 8))
def test_only_score_differences_matter(
    loss: RankingLoss, shape: tuple[int, int, int, bool], shift: int
) -> None:
    scores, accuracies = batch_of(*shape)
    value, gradient = value_and_gradient(loss, scores, accuracies)
    value2, gradient2 = value_and_gradient(loss, scores + shift, accuracies)
    assert value2 == pytest.approx(value, rel=1e-6, abs=1e-9)
    torch.testing.assert_close(gradient2, gradient, rtol=1e-6, atol=1e-9)
    assert float(gradient.sum()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_batch_is_the_mean_of_its_lists_with_an_order(name: str) -> None:
    scores, labels = batch_of(3, 6, 1, False)
    labels[1] = 90.0  # says nothing about an order
    whole = FUNCTIONS[name](scores, labels)
    first, last = (FUNCTIONS[name](scores[i : i + 1], labels[i : i + 1]) for i in (0, 2))
    assert float(whole) == pytest.approx(float(first + last) / 2)


@pytest.mark.parametrize("loss", MODULES, ids=repr)
@pytest.mark.parametrize("case", ["one item", "all tied", "one unmasked", "one known", "none known"])
def test_lists_without_an_order_have_zero_loss_and_gradient(loss: RankingLoss, case: str) -> None:
    scores, accuracies, mask = torch.randn(2, 4), torch.rand(2, 4) * 100, torch.ones(2, 4, dtype=torch.bool)
    if case == "one item":
        scores, accuracies, mask = scores[:, :1], accuracies[:, :1], mask[:, :1]
    elif case == "all tied":
        accuracies[:] = 90.0
    elif case == "one unmasked":
        mask[:, 1:] = False
    else:
        accuracies[:, int(case == "one known") :] = math.nan
    value, gradient = value_and_gradient(loss, scores, accuracies, mask)
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("loss", MODULES, ids=repr)
def test_extreme_but_finite_input_has_finite_gradients(loss: RankingLoss) -> None:
    accuracies = torch.linspace(10, 95, 100).unsqueeze(0)
    ramp = torch.linspace(-1e4, 1e4, 100).unsqueeze(0)
    for scores in (ramp, -ramp, torch.zeros(1, 100), ramp * 1e-12):
        value, gradient = value_and_gradient(loss, scores, accuracies)
        assert math.isfinite(value)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("scale", [20.0, 500.0])
def test_no_relevance_scale_overflows(scale: float) -> None:
    accuracies = torch.linspace(10, 95, 50).unsqueeze(0)
    for loss in (LambdaRankLoss(scale=scale), ApproxNDCGLoss(temperature=1.0, scale=scale)):
        value, gradient = value_and_gradient(loss, torch.linspace(1, 0, 50).unsqueeze(0), accuracies)
        assert math.isfinite(value)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 1e-4


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_scores_show(name: str) -> None:
    scores, labels = torch.tensor([[1.0, math.nan, 0.0]]), torch.tensor([[1.0, 2.0, 3.0]])
    assert math.isnan(float(FUNCTIONS[name](scores, labels)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_input_of_the_wrong_shape_is_refused(name: str) -> None:
    loss, fine = FUNCTIONS[name], torch.rand(2, 3)
    with pytest.raises(ValueError, match=r"scores must be \[lists, items\]"):
        loss(fine[0], fine[0])
    with pytest.raises(ValueError, match="at least one of each"):
        loss(fine[:, :0], fine[:, :0])
    with pytest.raises(ValueError, match=r"scores are \[2, 3\], but their labels \[2, 2\]"):
        loss(fine, fine[:, :2])
    with pytest.raises(ValueError, match="the mask must be bool"):
        loss(fine, fine, torch.ones(2, 3))
    with pytest.raises(ValueError, match="floating point"):
        loss(fine, fine.long())


def test_half_precision_scores_are_computed_with_in_single() -> None:
    scores, labels = torch.tensor([[0.5, 0.25, 1.0]]), torch.tensor([[90.0, 91.0, 92.0]])
    for loss in MODULES:
        value, gradient = value_and_gradient(loss, scores.bfloat16(), labels)
        assert gradient.dtype == torch.bfloat16
        assert value == float(loss(scores, labels))


# --- labels from accuracies ---


@given(batches)
def test_relevance_of_lists_is_that_of_each_list(shape: tuple[int, int, int, bool]) -> None:
    _, accuracies = batch_of(*shape)
    mask = torch.rand(accuracies.shape, generator=torch.Generator().manual_seed(shape[2])) < 0.7
    mask[:, 0] = True
    reference = torch.tensor([80.0, 85.0, math.nan, 94.0], dtype=torch.float64)
    own = relevance_of_lists(accuracies, mask, scale=7.0)
    shared = relevance_of_lists(accuracies, mask, reference=reference, scale=7.0)
    for row, row_mask, row_own, row_shared in zip(accuracies, mask, own, shared, strict=True):
        known = row[row_mask]
        torch.testing.assert_close(row_own[row_mask], relevance(known, scale=7.0))
        by_reference = relevance(known, reference=reference[[0, 1, 3]], scale=7.0)
        torch.testing.assert_close(row_shared[row_mask], by_reference)
        assert row_own[~row_mask].isnan().all()
        assert row_shared[~row_mask].isnan().all()


def test_standardise() -> None:
    accuracies = torch.tensor([[80.0, 90.0, math.nan], [70.0, 70.0, 100.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    own = standardise(accuracies, mask)
    assert own[0, :2].tolist() == [-1, 1]
    assert own[1, :2].tolist() == [0, 0]
    assert own[:, 2].isnan().all()
    reference = torch.tensor([60.0, math.nan, 80.0])
    assert standardise(accuracies, mask, reference=reference)[:, :2].tolist() == [[1, 2], [0, 0]]


@pytest.mark.parametrize(
    "loss", [LambdaRankLoss(), ListNetLoss(), ApproxNDCGLoss(), StandardisedMSELoss()], ids=repr
)
def test_the_reference_sets_the_labels(loss: RankingLoss) -> None:
    scores, accuracies = batch_of(2, 5, 3, False)
    own = float(loss(scores, accuracies))
    assert float(loss(scores, accuracies, reference=torch.tensor([50.0, 90.0, 99.0]).double())) != own
    one_list = float(loss(scores[:1], accuracies[:1]))
    assert float(loss(scores[:1], accuracies[:1], reference=accuracies[0])) == pytest.approx(one_list)
    with pytest.raises(ValueError, match="the reference holds no accuracy"):
        loss(scores, accuracies, reference=torch.tensor([math.nan]))


# --- parameters ---


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LambdaRankLoss(sigma=0), "sigma must be a number above 0, not 0"),
        (lambda: LambdaRankLoss(scale=-1), "scale must be a number above 0, not -1"),
        (lambda: LambdaRankLoss(truncation_level=0), "truncation_level must be at least 1"),
        (lambda: LambdaRankLoss(gain="cubic"), "gain is exponential or linear, not 'cubic'"),  # type: ignore[arg-type]
        (lambda: LambdaRankLoss(rank_by="luck"), "rank_by is score or label_ascending"),  # type: ignore[arg-type]
        (lambda: RankNetLoss(sigma=math.nan), "sigma must be"),
        (lambda: PairwiseHingeLoss(margin=0), "margin must be"),
        (lambda: PairwiseKLLoss(temperature=-2), "temperature must be"),
        (lambda: ListNetLoss(scale=math.inf), "scale must be"),
        (lambda: ApproxNDCGLoss(temperature=0), "temperature must be"),
    ],
)
def test_parameters_outside_their_range_are_refused(build: Callable[[], RankingLoss], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()


def test_functions_refuse_unknown_choices() -> None:
    scores = torch.rand(1, 3)
    with pytest.raises(ValueError, match="gain is"):
        lambdarank_loss(scores, scores, gain="cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rank_by is"):
        lambdarank_loss(scores, scores, rank_by="luck")  # type: ignore[arg-type]


def test_repr_shows_the_parameters() -> None:
    assert repr(LambdaRankLoss(sigma=2.0)) == (
        "LambdaRankLoss(sigma=2.0, gain='exponential', scale=2.0, truncation_level=None, "
        "normalise=False, rank_by='score')"
    )


@pytest.mark.parametrize("name", ["lambdarank", "listnet", "approx_ndcg"])
@pytest.mark.parametrize("wrong", [-0.5, math.inf])
def test_relevance_below_zero_or_infinite_is_refused(name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match=f"relevance must be at least 0 and finite, not {wrong:g}"):
        FUNCTIONS[name](torch.zeros(1, 3), torch.tensor([[0.0, 1.0, wrong]]))
    FUNCTIONS[name](torch.zeros(1, 3), torch.tensor([[0.0, 1.0, math.nan]]))


@pytest.mark.parametrize(
    ("accuracies", "scores", "expected"),
    [
        ([0.0, math.inf], [0.0, 1.0], math.log(1 + math.exp(-1))),  # the better one is so for certain
        ([-math.inf, 0.0], [0.0, 1.0], math.log(1 + math.exp(-1))),
        ([math.inf, math.inf, 0.0], [2.0, 2.0, 1.0], 2 / 3 * math.log(1 + math.exp(-1))),  # two tie
        ([0.0, 1e300], [0.0, 1.0], math.log(1 + math.exp(-1))),
        ([0.0, 1.0], [0.0, math.inf], math.inf),  # what can be was ruled out
        ([0.0, math.inf], [0.0, math.inf], 0.0),
    ],
)
def test_pairwise_kl_takes_infinities_to_their_limits(
    accuracies: list[float], scores: list[float], expected: float
) -> None:
    given_scores = torch.tensor([scores], requires_grad=True)
    loss = functional.pairwise_kl_loss(given_scores, torch.tensor([accuracies], dtype=torch.float64))
    assert loss.item() == pytest.approx(expected)
    if all(map(math.isfinite, scores)):
        (gradient,) = torch.autograd.grad(loss, given_scores)
        assert gradient.isfinite().all()
