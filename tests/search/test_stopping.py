"""Trainings that are stopped early: the rules, what is extrapolated, and a study that pays by epochs."""

import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from acenas.errors import UserError
from acenas.evaluation import Evaluator, Observations
from acenas.evaluation.base import Result
from acenas.evaluation.curves import Curve, StopRule
from acenas.search import (
    Belief,
    BestAndRandom,
    BudgetedSearch,
    Halving,
    InFull,
    Regressions,
    Stopping,
    Study,
    run_study,
)
from acenas.search.extrapolation import Past
from acenas.seeds import numpy_generator
from tests.search.test_rounds import ARCHS, SPACE, LeastSquares

FULL = 27
EARLY = Belief(levels=4, worth=1.0)
"""Stops earlier, and more, than the default."""


def curve_of(arch: str) -> list[tuple[float, float]]:
    """It rises to the share of 3x3 convolutions, with noise that shrinks."""
    generator = numpy_generator(0, "curve", arch)
    epochs = np.arange(1, FULL + 1)
    noise = generator.normal(0, 0.3, FULL) / np.sqrt(epochs)
    values = 50 + arch.count("3x3~") * (1 - np.exp(-epochs / 5)) + noise
    return list(zip(epochs.tolist(), values.tolist(), strict=True))


class Reporting(Evaluator):
    """Reports every epoch."""

    epochs = FULL

    def __init__(self) -> None:
        self.trained = 0

    def results(self, archs: Sequence[str], rule: StopRule | None = None) -> Iterator[Result]:
        for arch in archs:
            curve: list[tuple[float, float]] = []
            for at, value in curve_of(arch):
                self.trained += 1
                curve.append((at, value))
                if at < FULL and rule is not None and not rule.goes_on(arch, curve):
                    yield Result(arch, value, curve=curve, stopped=True)
                    break
            else:
                yield Result(arch, curve[-1][1], curve=curve)

    def evaluate(self, archs: Sequence[str]) -> Observations:
        raise NotImplementedError


def study(
    folder: Path, budget_epochs: float = 10 * FULL, stopping: Stopping | None = None, **more: Any
) -> Study:
    search = BudgetedSearch(4, 3, 0.3, first=BestAndRandom(0.0), stopping=stopping or EARLY)
    counted = {"budget_epochs": budget_epochs, "epochs": FULL}
    return Study(SPACE, None, folder, ranker=LeastSquares(), search=search, archs=ARCHS, **counted | more)


def trained(asked: Study, order: random.Random | None = None) -> Study:
    """Told epoch by epoch, as a user does."""
    while trials := asked.ask():
        if order is not None:
            order.shuffle(trials)
        for trial in trials:
            for at, value in curve_of(trial.arch):
                if asked.tell(trial, value, at=at) == "stop":
                    break
    asked.fit()
    return asked


@pytest.mark.parametrize("stopping", [Belief(), EARLY, Halving(), Halving(brackets=4), InFull()])
@pytest.mark.parametrize("budget", [3 * FULL, 10.5 * FULL])
def test_every_epoch_counts_and_none_is_trained_beyond_the_budget(
    tmp_path: Path, stopping: Stopping, budget: float
) -> None:
    evaluator, asked = Reporting(), study(tmp_path, budget, stopping)
    result = run_study(asked, evaluator)
    paid = result.observations["epochs"].sum()
    assert evaluator.trained == paid == len(asked.state.curves) <= budget < paid + FULL
    assert asked.is_done and asked.ask() == []
    stopped = result.observations["state"] == "stopped"
    assert (result.observations["epochs"][stopped] < FULL).all() and (
        result.observations["epochs"][~stopped] == FULL
    ).all()
    if not isinstance(stopping, Belief) and budget > 3 * FULL:
        assert stopped.any() != isinstance(stopping, InFull)
    assert result.observations["observed_accuracy"].isna().equals(stopped)
    assert asked.returned is not None and asked.returned.arch in set(result.observations["arch"][~stopped])


def test_a_loop_by_hand_an_evaluator_and_any_order_are_the_same_study(tmp_path: Path) -> None:
    by_hand = trained(study(tmp_path / "hand"))
    driven = study(tmp_path / "driven")
    run_study(driven, Reporting())
    shuffled = trained(study(tmp_path / "shuffled"), random.Random(1))
    columns = ["arch", "round", "reason", "state", "observed_accuracy", "epochs"]
    for other in (driven, shuffled):
        pd.testing.assert_frame_equal(by_hand.observations[columns], other.observations[columns])
        pd.testing.assert_frame_equal(by_hand.state.scores, other.state.scores)


def test_another_process_goes_on_after_each_epoch(tmp_path: Path) -> None:
    whole = trained(study(tmp_path / "whole", 5 * FULL)).observations
    killed, dice = tmp_path / "killed", random.Random(0)
    while trials := study(killed, 5 * FULL).pending or study(killed, 5 * FULL).ask(1):
        for at, value in curve_of(trials[0].arch):
            asked = study(killed, 5 * FULL)  # each is another process
            if asked.tell(trials[0], value, at=at) == "stop" or dice.random() < 0.1:
                break
    pd.testing.assert_frame_equal(study(killed, 5 * FULL).observations, whole)


@pytest.mark.parametrize("closed", [True, False])
def test_a_raised_budget_asks_what_a_larger_one_would_have(tmp_path: Path, closed: bool) -> None:
    smaller = trained(study(tmp_path / "raised", 6.5 * FULL))
    assert smaller.state.numbers("queued"), "a round is cut"
    if closed:
        smaller.close()
        kept = pd.read_parquet(tmp_path / "raised" / "observations.parquet")
        assert set(kept["state"]) <= {"trained", "stopped"} and (kept["returned"] != "").all()
    raised = trained(study(tmp_path / "raised", 12 * FULL))
    fresh = trained(study(tmp_path / "fresh", 12 * FULL))
    columns = ["arch", "round", "reason", "state", "observed_accuracy", "epochs"]
    pd.testing.assert_frame_equal(raised.observations[columns], fresh.observations[columns])
    pd.testing.assert_frame_equal(raised.state.scores, fresh.state.scores)
    with pytest.raises(UserError, match="a budget can be raised, not lowered to 54"):
        study(tmp_path / "raised", 2 * FULL)


def test_the_ranker_learns_of_stopped_trainings_what_they_would_have_shown(tmp_path: Path) -> None:
    learned = trained(study(tmp_path / "learned", stopping=Halving()))
    ignored = trained(study(tmp_path / "ignored", stopping=Halving(extrapolation=None)))
    alike = learned.observations["arch"].tolist() == ignored.observations["arch"].tolist()
    assert not alike, "another ranker asks other questions"
    stopped = learned.observations["arch"][learned.observations["state"] == "stopped"].tolist()
    past = learned.state.past(learned.state.last_round + 1)
    expected = Regressions().utilities(past, EARLY.lengths(FULL), stopped)
    truth = np.array([curve_of(arch)[-1][1] for arch in stopped])
    last = np.array([past.curves[arch][-1][1] for arch in stopped])
    assert len(stopped) > 5
    assert np.abs(expected - truth).mean() < 0.5 * np.abs(last - truth).mean()


def test_what_was_given_is_to_be_improved(tmp_path: Path) -> None:
    given = pd.DataFrame({"arch": ARCHS[:1], "accuracy": [99.0]})
    asked = study(tmp_path, given=given)
    assert asked.state.past(1).best == 99.0
    trained(asked)
    assert asked.state.past(2).best == 99.0


def test_a_failed_training_pays_what_it_reported(tmp_path: Path) -> None:
    asked = study(tmp_path)
    one, other, third, *_ = asked.ask()
    asked.tell(one, 50.0, at=3)
    asked.fail(one, "out of memory")
    asked.fail(other, "never began")
    asked.tell(third, 50.0, at=2)
    assert asked.tell(third, math.nan, at=5) == "stop"
    told = asked.observations
    assert told["state"].tolist() == ["failed"] * 3 and told["epochs"].tolist() == [3, FULL, 2]


def test_bad_reports_are_one_sentence(tmp_path: Path) -> None:
    asked = study(tmp_path / "counted")
    trial, *_ = asked.ask()
    for at in (0, -1, 28):
        with pytest.raises(UserError, match=f"at={at} must be above 0 and at most 27"):
            asked.tell(trial, 50.0, at=at)
    with pytest.raises(UserError, match="at=3 must be above 5"):
        asked.tell(trial, 50.0, at=3, curve=[(5, 50.0)])
    with pytest.raises(UserError, match="was not asked for, so it has no epochs to tell of"):
        asked.tell(asked.state.archs[asked.state.left[0]], 50.0, at=3)
    with pytest.raises(UserError, match="accuracy must be a number"):
        asked.tell(trial, "good", at=3)  # type: ignore[arg-type]
    assert asked.state.curves.empty
    plain = Study(SPACE, 4, tmp_path / "plain", ranker=LeastSquares(), archs=ARCHS)
    with pytest.raises(UserError, match=r"say how many a training has: Study\(epochs=90\)"):
        plain.tell(plain.ask()[0], 50.0, at=3)
    with pytest.raises(UserError, match="must be enough for a full training"):
        study(tmp_path / "small", FULL - 1)
    with pytest.raises(UserError, match="how many epochs that has, not None"):
        study(tmp_path / "unknown", epochs=None)
    with pytest.raises(UserError, match="whose trainings have 27 epochs, not 30"):
        study(tmp_path / "counted", epochs=30)
    with pytest.raises(UserError, match="brackets=5 must be between 1 and levels=4"):
        Halving(brackets=5)
    with pytest.raises(UserError, match="a belief needs an extrapolation"):
        Belief(extrapolation=None)


def past_of(curves: dict[str, Curve]) -> Past:
    return Past(FULL, curves, dict.fromkeys([*curves, "new"], 0.0), sign=1)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_halving_is_the_published_rule(values: list[float]) -> None:
    """ASHA that stops, trained one after the other: a plain loop over what was seen at each level."""
    levels = [1.0, 3.0, 9.0]
    seen: dict[float, list[float]] = {level: [] for level in levels}
    curves: dict[str, Curve] = {}
    for i, value in enumerate(values):
        rule = Halving().rule(past_of(curves), ["new"])
        curve: list[tuple[float, float]] = []
        for at in range(1, FULL + 1):
            curve.append((at, value))
            expected = True
            if at in seen:
                seen[at].append(value)
                better = sum(other > value for other in seen[at])
                enough = len(seen[at]) >= 3
                expected = not enough or better < int(len(seen[at]) / 3)
            if at < FULL:
                assert rule.goes_on("new", curve) == expected
            if not expected:
                break
        curves[f"arch{i}"] = curve


def test_brackets_share_the_budget() -> None:
    archs = [f"arch{i}" for i in range(4000)]
    counts = np.bincount([Halving(brackets=4)._bracket(arch) for arch in archs], minlength=4)
    costs = np.array(
        [4 / 27, 3 / 9, 2 / 3, 1]
    )  # each level costs about as much as the first one of a bracket
    shares = counts * costs
    assert shares.min() > 0.8 * shares.max()


def test_regressions_are_those_of_scikit_learn_where_much_was_seen() -> None:
    generator = np.random.default_rng(0)
    n, ends = 2000, np.array([1, 3, 9, 27])
    values = generator.normal(50, 3, (n, 1)) + np.cumsum(
        generator.normal([0, 5, 3, 1], [0, 2, 1, 0.5], (n, 4)), 1
    )
    curves: dict[str, Curve] = {
        f"arch{i}": list(zip(ends.tolist(), row.tolist(), strict=True)) for i, row in enumerate(values)
    }
    first = Regressions(with_scores=False).fit(past_of(curves), EARLY.lengths(FULL))[1]
    reference = LinearRegression().fit(values[:, :1], values[:, 3])
    errors = values[:, 3] - reference.predict(values[:, :1])
    for value in (45.0, 50.0, 55.0):
        mean, deviation = first.predict(value, 0.0)
        assert mean == pytest.approx(reference.predict([[value]])[0], abs=0.15)
        assert deviation == pytest.approx(errors.std(), rel=0.05)


def test_what_reports_only_in_the_end_says_nothing_of_earlier_levels() -> None:
    curves: dict[str, Curve] = {f"arch{i}": [(FULL, 50.0 + i)] for i in range(9)}
    assert EARLY.rule(past_of(curves), ["new"]).goes_on("new", [(1, 0.0)])
    assert Halving().rule(past_of(curves), ["new"]).goes_on("new", [(1, 0.0)])


@given(st.floats(0.1, 5))
@settings(max_examples=20, deadline=None)
def test_belief_stops_more_where_more_is_asked(worth: float) -> None:
    generator = np.random.default_rng(0)
    curves: dict[str, Curve] = {
        f"arch{i}": [(1, v - 9), (3, v - 5), (9, v - 2), (27, v)]
        for i, v in enumerate(generator.normal(60, 2, 20))
    }
    little, much = (Belief(worth=w, levels=4).rule(past_of(curves), ["new"]) for w in (worth / 2, worth))
    for value in np.linspace(40, 70, 31):
        goes_on = [rule.goes_on("new", [(1, float(value))]) for rule in (little, much)]
        assert goes_on[0] >= goes_on[1]
    assert Belief(worth=0, levels=4).rule(past_of(curves), ["new"]).goes_on("new", [(1, 0.0)])


@pytest.mark.parametrize("sign", [1, -1])
def test_first_epochs_that_say_nothing_stop_nothing_and_those_that_say_all_stop_the_worse(sign: int) -> None:
    generator = np.random.default_rng(0)
    finals, noise = generator.normal(60, 2, 200), generator.normal(0, 2, 200)
    blind: dict[str, Curve] = {
        f"a{i}": [(1, 50 + e), (27, v)] for i, (v, e) in enumerate(zip(finals, noise, strict=True))
    }
    telling: dict[str, Curve] = {f"a{i}": [(1, v - 10), (27, v)] for i, v in enumerate(finals)}
    belief = Belief(levels=2, rate=27, worth=0.7)
    for curves, stopped in ((blind, 0), (telling, 1)):
        past = Past(FULL, curves, dict.fromkeys([*curves, "new"], 0.0), sign)
        rule = belief.rule(past, ["new"])
        assert rule.goes_on("new", [(1, sign * 55.0)])
        assert rule.goes_on("new", [(1, sign * 49.0)]) != stopped


def test_rules_are_sent_to_other_processes(tmp_path: Path) -> None:
    import pickle

    asked = trained(study(tmp_path))
    rule = asked.rule(asked.state.last_round)
    assert rule is not None
    other: StopRule = pickle.loads(pickle.dumps(rule))
    archs = asked.state.trials["arch"][asked.state.trials["round"] == asked.state.last_round]
    for arch in archs:
        curve = curve_of(arch)
        for count in range(1, FULL):
            assert other.goes_on(arch, curve[:count]) == rule.goes_on(arch, curve[:count])
