"""The rules that choose for a front, against drawn values and moocore's hypervolume."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acenas import Choices
from acenas.errors import UserError
from acenas.ranker.baselines import GaussianProcessRanker
from acenas.search import (
    Acquisition,
    AcrossCosts,
    BestAndRandom,
    BudgetedSearch,
    HypervolumeGain,
    PredictedFront,
    Study,
)
from acenas.search.expected import _scores_before
from acenas.search.fronts import _gains
from acenas.search.state import normal_scores
from acenas.seeds import numpy_generator

SPACE = Choices({f"layer{i}": [0, 1, 2, 3] for i in range(4)})
"""256 architectures."""


def price(arch: str) -> float:
    return float(sum(SPACE.choices(arch).values()))


def quality(arch: str) -> float:
    """The more is paid the better, but what is paid for the first layer brings four times as much as for the last."""
    return 50.0 + float(sum((4 - i) * each**0.5 for i, each in enumerate(SPACE.choices(arch).values())))


def study(
    folder: Path, rule: Acquisition, budget: int = 20, seed: int = 0, front: Sequence[str] = ("price", "size")
) -> Study:
    archs = SPACE.enumerate()
    costs = pd.DataFrame({"arch": archs, "price": [price(arch) for arch in archs]})
    costs["size"] = costs["price"] ** 2
    return Study(
        SPACE,
        None,
        folder,
        seed,
        front=front,
        weak_labels=costs,
        ranker=GaussianProcessRanker(SPACE, seed=seed),
        search=BudgetedSearch(budget, per_round=4, growth=0, front_acquisition=rule),
    )


def trained(some: Study) -> list[str]:
    while trials := some.ask():
        for trial in trials:
            some.tell(trial, quality(trial.arch))
    return some.observations["arch"].tolist()


def hypervolume(archs: list[str]) -> float:
    return float(
        moocore.hypervolume(np.array([[-quality(arch), price(arch)] for arch in archs]), ref=[-50.0, 13.0])
    )


@pytest.mark.parametrize("costs_of_front", [1, 2])
def test_the_gain_is_that_of_the_hypervolume_in_the_mean(costs_of_front: int) -> None:
    """Of values that are drawn, and hypervolumes with and without the candidate."""
    generator = np.random.default_rng(0)
    known = np.column_stack([generator.normal(size=6), generator.random((6, costs_of_front))])
    candidate, mean, deviation = generator.random(costs_of_front) / 2, 0.6, 0.7
    lowest = known[:, 0].min()
    side = np.linspace(0, 1, 400 if costs_of_front == 1 else 60, endpoint=False)
    at = np.stack(np.meshgrid(*[side + (side[1] - side[0]) / 2] * costs_of_front), axis=-1).reshape(
        -1, costs_of_front
    )
    within = (known[:, None, 1:] <= at).all(axis=2)
    best = np.where(within, known[:, :1], lowest).max(axis=0)
    arguments = ([candidate], [mean], [deviation**2], at, best)
    (found,) = _gains(*(torch.tensor(np.asarray(each), dtype=torch.float64) for each in arguments))

    reference = [-lowest, *[1.0] * costs_of_front]
    points = known * [-1, *[1] * costs_of_front]
    before = moocore.hypervolume(points, ref=reference)
    drawn = generator.normal(mean, deviation, 4000)
    gained = [
        moocore.hypervolume(np.vstack([points, [-y, *candidate]]), ref=reference) - before for y in drawn
    ]
    assert found.item() == pytest.approx(np.mean(gained), abs=4 * np.std(gained) / 4000**0.5 + 0.01)


@pytest.mark.parametrize(
    "rule", [HypervolumeGain(points=16), PredictedFront(), AcrossCosts(), BestAndRandom()]
)
def test_a_rule_proposes_different_candidates_and_fewer_first(tmp_path: Path, rule: Acquisition) -> None:
    some = study(tmp_path, rule, budget=30)
    trained(some)
    left = some.state.left
    for count in (1, 3, 7):
        positions, reasons = rule.propose_front(some.state, left, count, numpy_generator(0, "here"))
        assert len(reasons) == count == len(set(positions.tolist())) and set(positions) <= set(
            range(len(left))
        )
        if rule.one_by_one(7):
            all_of, _ = rule.propose_front(some.state, left, 7, numpy_generator(0, "here"))
            assert positions.tolist() == all_of[:count].tolist()
    everything, _ = rule.propose_front(some.state, left, len(left), numpy_generator(0, "here"))
    assert sorted(everything.tolist()) == list(range(len(left)))


def test_a_gain_dominates_more_than_the_best_scores_and_chance(tmp_path: Path) -> None:
    rules = {"gain": HypervolumeGain(), "greedy": BestAndRandom(), "random": BestAndRandom(best=0.0)}
    found = {
        name: [
            hypervolume(trained(study(tmp_path / f"{name}{seed}", rule, 20, seed, ["price"])))
            for seed in range(3)
        ]
        for name, rule in rules.items()
    }
    assert found["gain"] > max(found["random"], found["greedy"])


def test_across_costs_trains_cheap_and_dear_ones(tmp_path: Path) -> None:
    prices = sorted(map(price, trained(study(tmp_path, AcrossCosts(part=1.0)))))
    assert prices[2] <= 3 and prices[-3] >= 6


def test_a_predicted_front_takes_what_no_other_is_ahead_of(tmp_path: Path) -> None:
    some = study(tmp_path, AcrossCosts())
    trained(some)
    left = some.state.left
    costs = some.state.front_costs
    assert costs is not None
    points = np.column_stack([-some.state.last_scores, costs])[left]
    first = int(moocore.is_nondominated(points, keep_weakly=True).sum())
    positions, _ = PredictedFront().propose_front(some.state, left, first, numpy_generator(0, "here"))
    assert moocore.is_nondominated(points, keep_weakly=True)[positions].all()


def test_what_was_observed_is_compared_with_the_scores_before_it(tmp_path: Path) -> None:
    some = study(tmp_path, AcrossCosts(), budget=12)
    trained(some)
    scores = some.state.scores.set_index("arch")
    expected = []
    for arch, number in some.observations[["arch", "round"]].to_numpy().tolist():
        fit = scores[f"round_{number - 1}" if number > 1 else "pretrained"]
        expected.append(normal_scores(fit.to_numpy())[scores.index.tolist().index(arch)])
    np.testing.assert_allclose(_scores_before(some.state).squeeze(1).numpy(), expected)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.randoms(use_true_random=False))
def testnormal_scores_follow_the_order_alone(values: list[float], random: Any) -> None:
    one = np.array(values)
    order = list(range(len(values)))
    random.shuffle(order)
    np.testing.assert_allclose(normal_scores(one[order]), normal_scores(one)[order])
    np.testing.assert_allclose(normal_scores(np.append(one, np.nan))[:-1], normal_scores(one))
    assert (
        np.sign(np.subtract.outer(normal_scores(one), normal_scores(one)))
        == np.sign(np.subtract.outer(one, one))
    ).all()


@pytest.mark.parametrize("rule", [HypervolumeGain(), PredictedFront(), AcrossCosts()])
def test_a_rule_for_fronts_needs_one(rule: Acquisition) -> None:
    with pytest.raises(UserError, match=r"name its costs, as in search.front=\[params_m\]"):
        rule.propose(np.zeros(3), 1, numpy_generator(0))


@pytest.mark.parametrize(
    ("make", "message"), [(lambda: AcrossCosts(0), "part of"), (lambda: HypervolumeGain(0), "points")]
)
def test_values_out_of_range(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_a_prediction_is_a_quantile_of_what_was_observed(tmp_path: Path) -> None:
    some = study(tmp_path, HypervolumeGain())
    trained(some)
    predicted = some.predictions()
    costs = pd.DataFrame({"price": list(map(price, SPACE.enumerate()))})
    assert predicted["arch"].tolist() == some.state.archs and len(predicted) == 256
    pd.testing.assert_frame_equal(predicted[["price", "size"]], costs.assign(size=costs["price"] ** 2))
    observed = np.sort(some.observations["observed_accuracy"])
    expected, low, high = predicted.iloc[:, 1:4].to_numpy().T
    assert predicted.columns[1:4].tolist() == ["predicted_accuracy", "predicted_from", "predicted_to"]
    assert (low <= expected).all() and (expected <= high).all() and (low < high).any()
    assert observed[0] <= low.min() and high.max() <= observed[-1]
    # Between two observed values lies what has as many of the observed below it.
    positions = np.interp(expected, observed, np.arange(20))
    true = np.array([quality(arch) for arch in SPACE.enumerate()])
    untrained = ~predicted["arch"].isin(some.observations["arch"]).to_numpy()
    assert np.corrcoef(positions[untrained], np.interp(true, observed, np.arange(20))[untrained])[0, 1] > 0.9
    within = (low <= true) & (true <= high)
    assert 0.4 < within[untrained].mean() <= 1


def test_predictions_of_a_loss_are_in_its_unit(tmp_path: Path) -> None:
    """Of losses, the negative of an accuracy, as of that: with the sides exchanged."""
    frames = []
    for name, sign in (("accuracy", 1), ("loss", -1)):
        archs = SPACE.enumerate()
        some = Study(
            SPACE, 12, tmp_path / name, objective=f"{'max' if sign > 0 else 'min'} {name}", front=["price"],
            weak_labels=pd.DataFrame({"arch": archs, "price": list(map(price, archs))}),
            ranker=GaussianProcessRanker(SPACE),
        )  # fmt: skip
        while trials := some.ask():
            for trial in trials:
                some.tell(trial, sign * quality(trial.arch))
        frames.append(some.predictions())
    accuracy, loss = frames
    np.testing.assert_array_equal(accuracy["predicted_accuracy"], -loss["predicted_loss"])
    np.testing.assert_array_equal(accuracy["predicted_from"], -loss["predicted_to"])


def test_what_is_known_after_a_training_only_is_predicted_under_that_name(tmp_path: Path) -> None:
    some = Study(SPACE, 8, tmp_path, front=["energy"], weak_labels=[], ranker=GaussianProcessRanker(SPACE))
    assert some.predictions().empty, "before anything was told"
    while trials := some.ask():
        for trial in trials:
            some.tell(trial, quality(trial.arch), costs={"energy": 1 + price(trial.arch)})
    predicted = some.predictions()
    assert "energy" not in predicted and predicted["predicted_energy"].notna().all()


@pytest.mark.parametrize("rule", [PredictedFront(), AcrossCosts(), BestAndRandom()])
def test_a_rule_that_takes_scores_as_an_order_predicts_no_values(tmp_path: Path, rule: Acquisition) -> None:
    some = study(tmp_path, rule)
    trained(some)
    predicted = some.predictions()
    assert predicted.empty and {"arch", "predicted_accuracy"} < set(predicted.columns)
