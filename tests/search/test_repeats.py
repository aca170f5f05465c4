"""Training again what was trained: how much it tells, and what a study makes of it."""

import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from acenas.errors import UserError
from acenas.ranker.baselines import RandomForestRanker
from acenas.search import BudgetedSearch, Study
from acenas.search.repeats import knowledge_gradients
from acenas.search.returned import returned_after_each
from acenas.spaces import Choices
from tests.search.test_rounds import LeastSquares

OWN = Choices({f"layer{i}": [0, 1, 2, 3] for i in range(3)})
"""64 architectures."""


def quality(arch: str) -> float:
    return float(80 + sum(OWN.choices(arch).values()))


def noise(arch: str, repeat: int, size: float) -> float:
    """Of a training, the same in every run of a test."""
    generator = np.random.default_rng(zlib.crc32(f"{arch} {repeat}".encode()))
    return float(size * generator.standard_normal())


def study(folder: Path, budget: int = 30, repeats: int = 3, **more: Any) -> Study:
    search = BudgetedSearch(budget, repeats=repeats)
    more.setdefault("ranker", LeastSquares(OWN.num_node_types))
    return Study(OWN, None, folder, search=search, **{"pretrained": False} | more)


def finish(opened: Study, size: float = 3.0, rounds: int = 100) -> Study:
    for _ in range(rounds):
        if not (trials := opened.ask()):
            break
        for trial in trials:
            opened.tell(trial, quality(trial.arch) + noise(trial.arch, trial.repeat, size))
    return opened


# --- how much a training tells ---


def drawn_beliefs(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(count, count + 1, generator=generator, dtype=torch.float64)
    return torch.randn(count, generator=generator, dtype=torch.float64), factor @ factor.T / count


def test_the_gain_is_that_of_many_drawn_observations() -> None:
    mean, covariance = drawn_beliefs(0, 6)
    known = torch.tensor([True, True, True, True, False, False])
    found = knowledge_gradients(mean, covariance, 0.3, known)
    generator = np.random.default_rng(0)
    for i in range(6):
        spread = float(covariance[i, i] + 0.3) ** 0.5
        observed = mean[i] + spread * torch.from_numpy(generator.standard_normal(200_000))
        means = mean + torch.outer((observed - mean[i]) / spread**2, covariance[i])
        could_be = known.clone()
        could_be[i] = True
        gain = means[:, could_be].amax(dim=1).mean() - mean[known].max()
        assert found[i] == pytest.approx(float(gain), abs=0.01)


def test_of_two_that_are_independent_the_gain_is_in_closed_form() -> None:
    """One is known without doubt: the other one improves on it by its expected improvement."""
    mean = torch.tensor([1.0, 0.4], dtype=torch.float64)
    covariance = torch.diag(torch.tensor([0.0, 0.5], dtype=torch.float64))
    spread = 0.5 / np.sqrt(0.5 + 0.2)
    z = (0.4 - 1.0) / spread
    expected = spread * (z * norm.cdf(z) + norm.pdf(z))
    for known in ([True, True], [True, False]):
        found = knowledge_gradients(mean, covariance, 0.2, torch.tensor(known))
        assert found.tolist() == pytest.approx([0.0, expected], abs=1e-4)


@given(st.integers(0, 10_000), st.integers(2, 8), st.floats(0.01, 10.0))
@settings(deadline=None, max_examples=40)
def test_an_observation_never_does_harm_and_less_noise_tells_more(
    seed: int, count: int, least: float
) -> None:
    mean, covariance = drawn_beliefs(seed, count)
    known = torch.arange(count) < max(count // 2, 1)
    less, more = (knowledge_gradients(mean, covariance, each, known) for each in (least, 2 * least))
    assert (less >= more - 1e-6).all() and (more >= -1e-6).all()
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    permuted = knowledge_gradients(mean[order], covariance[order][:, order], least, known[order])
    torch.testing.assert_close(permuted, less[order])


# --- in a study ---


def test_where_trainings_are_noisy_the_best_are_trained_again(tmp_path: Path) -> None:
    done = finish(study(tmp_path))
    told = done.observations
    assert len(told) == 30, "each training counts"
    counts = Counter(told["arch"])
    assert 1 < max(counts.values()) <= 3
    assert told.index[told["repeat"] > 0].min() >= 21, "in the last rounds"
    for _, rows in told.groupby("arch"):
        assert rows["repeat"].tolist() == list(range(len(rows)))
        assert (rows["reason"] == "repeated").tolist() == [False] + [True] * (len(rows) - 1)
    again = [quality(arch) for arch, count in counts.items() if count > 1]
    assert np.mean(again) > np.mean([quality(arch) for arch in counts])


def test_where_a_training_tells_all_nothing_is_trained_again(tmp_path: Path) -> None:
    assert (finish(study(tmp_path), size=0.0).observations["repeat"] == 0).all()


def test_by_default_nothing_is_trained_again(tmp_path: Path) -> None:
    assert (finish(study(tmp_path, repeats=1)).observations["repeat"] == 0).all()


class Noted(LeastSquares):
    """Notes what it is fitted to."""

    def __init__(self) -> None:
        super().__init__(OWN.num_node_types)
        self.seen: list[list[float]] = []

    def finetune(self, graphs: Any, accuracies: torch.Tensor, *, round: int) -> None:  # noqa: A002
        super().finetune(graphs, accuracies, round=round)
        self.seen.append(accuracies.tolist())


def test_the_ranker_learns_the_mean_of_the_trainings_of_each(tmp_path: Path) -> None:
    ranker = Noted()
    done = finish(study(tmp_path, ranker=ranker))
    done.fit()
    means = done.observations.groupby("arch", sort=False)["observed_accuracy"].mean()
    assert ranker.seen[-1] == pytest.approx(means.tolist(), abs=1e-4) and len(means) < 30
    ranking = done.ranking().dropna().set_index("arch")["observed_accuracy"]
    pd.testing.assert_series_equal(ranking.sort_index(), means.sort_index(), check_names=False)
    best = done.returned
    assert best is not None and best.value == pytest.approx(means[best.arch])


def test_a_stopped_study_goes_on_to_the_same_trainings(tmp_path: Path) -> None:
    whole = finish(study(tmp_path / "whole")).observations
    finish(study(tmp_path / "stopped"), rounds=6)
    again = finish(study(tmp_path / "stopped")).observations
    pd.testing.assert_frame_equal(again, whole)


def test_a_larger_budget_takes_over_each_training_of_an_architecture(tmp_path: Path) -> None:
    """What was trained again keeps its own value, though a larger budget may choose it in another round."""
    whole = finish(study(tmp_path / "whole", 34)).observations
    finish(study(tmp_path / "raised", 30))
    raised = finish(study(tmp_path / "raised", 34)).observations
    columns = ["arch", "round", "repeat", "observed_accuracy"]
    pd.testing.assert_frame_equal(raised[columns], whole[columns])


def test_what_was_given_is_not_trained_again(tmp_path: Path) -> None:
    best = OWN.from_choices({"layer0": 3, "layer1": 3, "layer2": 3})
    given = pd.DataFrame({"arch": [best], "accuracy": [95.0]})
    assert best not in finish(study(tmp_path, given=given)).observations["arch"].tolist()


def test_with_a_front_or_a_budget_of_epochs_nothing_is_repeated(tmp_path: Path) -> None:
    costs = pd.DataFrame({"arch": OWN.enumerate(), "price": range(64)})
    with pytest.raises(
        UserError, match=r"search\.repeats=3 is neither for a front nor for a budget of epochs"
    ):
        study(tmp_path / "front", weak_labels=costs, front=["price"], pretrained=None)
    with pytest.raises(UserError, match="nor for a budget of epochs"):
        study(tmp_path / "epochs", budget_epochs=100, epochs=10)
    with pytest.raises(UserError, match=r"search\.repeats must be at least 1"):
        BudgetedSearch(repeats=0)


def test_a_forest_repeats_as_well(tmp_path: Path) -> None:
    forest = RandomForestRanker(OWN)
    assert finish(study(tmp_path, ranker=forest)).observations["repeat"].max() > 0


# --- what is returned ---


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1.0, 2.0, 4.0, np.nan])), min_size=1, max_size=15)
)
@settings(deadline=None, max_examples=60)
def test_the_best_observed_is_the_best_mean(trainings: list[tuple[int, float]]) -> None:
    arms, _ = pd.factorize(np.array([arm for arm, _ in trainings]))
    accuracies = np.array([accuracy for _, accuracy in trainings])
    graphs = OWN.encode([OWN.enumerate()[arm] for arm in arms])
    found = returned_after_each(graphs, accuracies, OWN.num_node_types, None, arms=arms)
    for n, position in enumerate(found.tolist(), start=1):
        seen = pd.Series(accuracies[:n]).groupby(arms[:n]).mean().dropna()
        if seen.empty:
            assert position == 0
        else:
            assert arms[position] == seen.idxmax() and not np.isnan(accuracies[position])


def test_what_is_returned_with_confidence_may_have_been_trained_several_times() -> None:
    """The luckiest of many was trained again and was not so good: it is not returned."""
    archs = OWN.enumerate()
    values = [quality(arch) for arch in archs]
    lucky = archs.index(OWN.from_choices({"layer0": 0, "layer1": 0, "layer2": 0}))
    order = [*range(64), lucky, lucky]
    accuracies = np.array([*values, 80.0, 80.0])
    accuracies[lucky] = 95.0
    arms = np.array(order)
    graphs = OWN.encode([archs[arm] for arm in arms])
    found = returned_after_each(graphs, accuracies, OWN.num_node_types, 0.95, arms=arms)
    assert arms[found[-1]] != lucky and values[arms[found[-1]]] > 86
