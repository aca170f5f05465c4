"""Studies with a front: their costs, what is chosen and returned, and what is refused."""

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from acenas import Choices
from acenas.errors import UserError
from acenas.ranker import Ranker
from acenas.ranking.fronts import knee, non_dominated
from acenas.search import (
    Acquisition,
    BestAndRandom,
    BudgetedSearch,
    Candidates,
    Study,
    StudyState,
    Trial,
    run_study,
)
from acenas.search.candidates import Pool
from acenas.search.costs import Costs, predicted_costs
from acenas.search.returned import returned_fronts
from acenas.spaces import GraphBatch, NasBench201
from tests.search import test_candidates as large

OWN = Choices({f"layer{i}": ["none", "small", "large"] for i in range(4)})
"""81 architectures."""

PRICE = {"none": 0.0, "small": 1.0, "large": 3.0}


def price(choices: Mapping[str, Any]) -> float:
    return float(sum(PRICE[each] for each in choices.values()))


def quality(choices: Mapping[str, Any]) -> float:
    """More is better, the more so in the first layers."""
    return 50.0 + sum((4 - i) * float(PRICE[each] ** 0.5) for i, each in enumerate(choices.values()))


def labels(**columns: Any) -> pd.DataFrame:
    archs = OWN.enumerate()
    frame = pd.DataFrame({"arch": archs, "price": [price(OWN.choices(arch)) for arch in archs]})
    return frame.assign(speed=10 - frame["price"], **columns)


class Guess(Ranker):
    """Knows nothing, and always the same."""

    def pretrain(self, *_: object, **__: object) -> None: ...

    def save(self, path: Path) -> None: ...

    load = save

    def finetune(self, graphs: GraphBatch, accuracies: torch.Tensor, *, round: int) -> None: ...  # noqa: A002

    def score(self, graphs: GraphBatch) -> torch.Tensor:
        return graphs.node.float().sum(dim=1)


def study(folder: Path, budget: int = 20, **more: Any) -> Study:
    arguments = {"front": ["price"], "weak_labels": labels(), "ranker": Guess(), "pretrained": None}
    return Study(OWN, budget, folder, **{**arguments, **more})


def finish(study: Study) -> Study:
    while trials := study.pending or study.ask():
        for trial in trials:
            study.tell(trial, quality(trial.choices))
    return study


def test_the_state_has_the_costs_of_all_and_of_what_is_known(tmp_path: Path) -> None:
    opened = study(tmp_path, 12, front={"speed": "max", "price": "min"})
    opened.give(pd.DataFrame({"arch": OWN.enumerate()[3:4], "accuracy": 51.0}))
    finish(opened)
    state, prices = opened.state, labels().set_index("arch")
    costs, known = state.front_costs, state.known_costs
    assert costs is not None and known is not None
    np.testing.assert_array_equal(costs, prices.loc[state.archs, ["speed", "price"]] * [-1, 1])
    archs, utilities = state.known
    assert len(archs) == len(utilities) == len(known) == 13
    np.testing.assert_array_equal(known, prices.loc[archs, ["speed", "price"]] * [-1, 1])
    assert state.front_costs is costs, "computed once"


def test_without_a_front_there_are_no_costs(tmp_path: Path) -> None:
    opened = study(tmp_path, front=None)
    assert opened.state.front_costs is None and opened.state.known_costs is None


def test_the_front_is_what_nothing_dominates_and_has_one_knee(tmp_path: Path) -> None:
    opened = finish(study(tmp_path, 30, search=BudgetedSearch(30, confidence=None)))
    front = opened.front()
    assert front.columns.tolist() == ["arch", "observed_accuracy", "price", "knee"]
    told = opened.observations
    prices = [price(OWN.choices(arch)) for arch in told["arch"]]
    points = np.column_stack([-told["observed_accuracy"], prices])
    expected = told[non_dominated(points)]
    assert sorted(front["arch"]) == sorted(expected["arch"])
    assert front["price"].is_monotonic_increasing and front["observed_accuracy"].is_monotonic_increasing
    bend = knee(np.column_stack([-front["observed_accuracy"], front["price"]]))
    assert np.flatnonzero(front["knee"]).tolist() == [bend]
    by_name = opened.front("price").drop(columns="price")
    pd.testing.assert_frame_equal(by_name, front[["arch", "observed_accuracy"]])


def test_a_maximised_cost_is_shown_as_it_is(tmp_path: Path) -> None:
    front = finish(study(tmp_path, front={"speed": "max"})).front()
    assert front["speed"].tolist() == sorted(front["speed"], reverse=True), "the cheapest first"
    assert front["speed"].max() > 0


def test_a_front_before_anything_was_told_is_empty(tmp_path: Path) -> None:
    assert len(study(tmp_path).front()) == 0


def test_a_study_keeps_its_front_and_refuses_another(tmp_path: Path) -> None:
    expected = finish(study(tmp_path)).front()
    again = study(tmp_path, front=None)
    assert again.costs.front == {"price": "min"}
    pd.testing.assert_frame_equal(again.front(), expected)
    with pytest.raises(
        UserError, match=r"a study with another front \({'price': 'min'}, not {'speed': 'max'}\)"
    ):
        study(tmp_path, front={"speed": "max"})
    with pytest.raises(UserError, match="another front"):
        study(tmp_path, front=[])
    study(tmp_path / "without", front=None)
    with pytest.raises(UserError, match="another front"):
        study(tmp_path / "without")


@pytest.mark.parametrize(
    ("front", "message"),
    [
        (["pric"], r"nothing tells the cost pric \(did you mean price\?\); there are price, speed"),
        (["flat"], "flat says nothing: all 81 architectures have the same 7"),
        (["nowhere"], "nowhere is not known of any of 81 architectures"),
        (["price", "speed", "flat", "partly"], "4 costs, and 3 are the most"),
    ],
)
def test_a_front_that_makes_no_sense_is_one_sentence(tmp_path: Path, front: list[str], message: str) -> None:
    odd = labels(flat=7.0, nowhere=np.nan, partly=[1.0, np.nan, 2.0] * 27)
    with pytest.raises(UserError, match=message):
        study(tmp_path, front=front, weak_labels=odd)


def test_what_lacks_a_cost_is_never_asked_for(tmp_path: Path) -> None:
    odd = labels(partly=[1.0, np.nan, 2.0] * 27)
    with pytest.warns(
        UserWarning, match="of 27 of 81 architectures not all of partly are known, so they are left out"
    ):
        opened = study(tmp_path, 54, front=["partly"], weak_labels=odd)
    asked = finish(opened).observations["arch"]
    assert len(asked) == len(set(asked)) == 54
    assert odd.set_index("arch").loc[asked, "partly"].notna().all()
    with pytest.raises(
        UserError, match=r"27 of 81 .* not all of partly are known \(search.missing_costs=leave_out"
    ):
        study(tmp_path / "strict", 54, front=["partly"], weak_labels=odd, missing_costs="error")
    with pytest.raises(UserError, match="missing_costs=stop: choose leave_out or error"):
        study(tmp_path / "word", 54, front=["partly"], weak_labels=odd, missing_costs="stop")


def test_a_limit_and_a_front_may_be_of_one_cost(tmp_path: Path) -> None:
    opened = finish(study(tmp_path, constraints={"price": 4}))
    assert opened.front()["price"].max() <= 4
    assert labels().set_index("arch").loc[opened.state.archs, "price"].max() <= 4
    with pytest.raises(UserError, match="none of 81 architectures has price <= -1"):
        study(tmp_path / "none", constraints={"price": -1})


class CheapestOf(Acquisition):
    """Chooses the cheapest."""

    @override
    def propose(
        self, scores: np.ndarray, k: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, list[str]]:
        raise AssertionError("a study with a front chooses by its costs, too")

    @override
    def propose_front(
        self, state: StudyState, left: np.ndarray, k: int, generator: np.random.Generator
    ) -> tuple[np.ndarray, list[str]]:
        assert state.front_costs is not None
        return np.argsort(state.front_costs[left, 0], kind="stable")[:k], ["cheap"] * k


def test_the_acquisition_of_a_front_chooses_every_round(tmp_path: Path) -> None:
    search = BudgetedSearch(20, front_acquisition=CheapestOf(), acquisition=CheapestOf(), first=CheapestOf())
    told = finish(study(tmp_path, search=search)).observations
    assert set(told["reason"]) == {"cheap"}
    prices = [price(OWN.choices(arch)) for arch in told["arch"]]
    assert prices == sorted(prices) and prices == sorted(labels()["price"])[:20]
    assert search.anytime() is False and search.anytime(with_front=True) is False
    assert BudgetedSearch(20, acquisition=CheapestOf()).anytime(with_front=True)


def test_by_default_a_rule_goes_by_the_scores(tmp_path: Path) -> None:
    opened = finish(study(tmp_path))
    left = opened.state.left
    with_costs = BestAndRandom().propose_front(opened.state, left, 3, np.random.default_rng(0))
    by_scores = BestAndRandom().propose(opened.state.last_scores[left], 3, np.random.default_rng(0))
    assert with_costs[0].tolist() == by_scores[0].tolist()


def test_candidates_evolve_along_the_front(tmp_path: Path) -> None:
    """With a score that the largest maximise, and a cost, both ends of the front evolve, not the largest alone."""
    wide = Choices({f"layer{i}": ["none", "small", "large"] for i in range(12)})
    candidates = Candidates(samples=40, population=20, children=60, generations=8)
    archs = candidates.sample(wide, lambda archs: np.ones(len(archs), bool), 0)
    cost = pd.Series({arch: price(wide.choices(arch)) for arch in archs})

    class Prices(Guess):
        def score(self, graphs: GraphBatch) -> torch.Tensor:
            return graphs.node.float().sum(dim=1)

    class Model:
        name, origin = "price", "computed"

        def values(self, archs: Sequence[str]) -> np.ndarray:
            return np.array([price(wide.choices(arch)) for arch in archs])

    grown = {}
    for front in ([], ["price"]):
        costs = Costs({} if front else {"price": 99.0}, [Model()], front)  # type: ignore[list-item]
        opened = Study(
            wide, 6, tmp_path / str(len(front)), ranker=Prices(), weak_labels=[], constraints=costs,
            search=BudgetedSearch(6, candidates=candidates), archs=Pool(None, archs),
        )  # fmt: skip
        finish(opened)
        grown[len(front)] = [price(wide.choices(arch)) for arch in opened.state.archs[len(archs) :]]
    assert min(grown[0]) > cost.median(), "by the score alone only the largest evolve"
    assert min(grown[1]) < cost.min() < cost.max() < max(grown[1])


def test_two_processes_ask_one_study(tmp_path: Path) -> None:
    one, other = study(tmp_path), study(tmp_path)
    asked = [*one.ask(2), *other.ask(2), *one.ask(3), *other.ask(3)]
    assert len({trial.arch for trial in asked}) == len(asked) == 10
    for trial in asked:
        other.tell(trial, quality(trial.choices))
    alone = study(tmp_path / "alone")
    while len(alone.observations) < 10:
        for trial in alone.ask():
            alone.tell(trial, quality(trial.choices))
    assert {t.arch for t in asked[:4]} == set(alone.observations["arch"][:4])
    pd.testing.assert_frame_equal(one.front(), other.front())


def test_a_raised_budget_asks_what_a_larger_study_would_have(tmp_path: Path) -> None:
    finish(study(tmp_path, 10))
    raised, whole = finish(study(tmp_path, 20)), finish(study(tmp_path / "whole", 20))
    pd.testing.assert_frame_equal(raised.observations, whole.observations)
    pd.testing.assert_frame_equal(raised.front(), whole.front())


# --- costs that are known after a training only ---


def energy(choices: Mapping[str, Any]) -> float:
    return float(np.exp(0.3 * price(choices)))


def tell_all(study: Study, trials: Sequence[Trial]) -> None:
    for trial in trials:
        study.tell(trial, quality(trial.choices), 7.0, costs={"energy": energy(trial.choices), "other": 3})


def test_an_observed_cost_is_told_kept_and_predicted(tmp_path: Path) -> None:
    opened = study(tmp_path, 24, front={"energy": "min", "price": "min"})
    assert opened.costs.observed == ["energy"]
    costs = opened.state.front_costs
    assert costs is not None and (costs[:, 0] == 0).all(), "nothing is known before the first training"
    while trials := opened.ask():
        tell_all(opened, trials)
    told, again = opened.observations, study(tmp_path, 24, front=None)
    true = {arch: energy(OWN.choices(arch)) for arch in OWN.enumerate()}
    assert told["energy"].tolist() == [true[arch] for arch in told["arch"]] and "other" not in told
    for same in (opened, again):
        archs, costs, known = same.state.archs, same.state.front_costs, same.state.known_costs
        assert costs is not None and known is not None
        np.testing.assert_array_equal(known[:, 0], told["energy"])
        expected = np.array([true[arch] for arch in archs])
        assert np.corrcoef(np.log(costs[:, 0]), np.log(expected))[0, 1] > 0.95
        np.testing.assert_array_equal(costs[:, 1], labels().set_index("arch").loc[archs, "price"])
    front = again.front()
    assert front["energy"].tolist() == [true[arch] for arch in front["arch"]]
    pd.testing.assert_frame_equal(front, opened.front())


def test_a_cost_is_told_after_a_training_whose_name_is_a_little_like_a_label(tmp_path: Path) -> None:
    opened = study(tmp_path, front=["energy"], weak_labels=labels(neg=labels()["price"] - 5))
    assert opened.costs.observed == ["energy"]


def test_a_cost_that_was_not_told_is_named(tmp_path: Path) -> None:
    opened = study(tmp_path, front={"energy": "min", "seconds": "min"})
    (first, *_) = opened.ask()
    with pytest.raises(UserError, match=r"needs energy of each training.*costs={'energy': ...}"):
        opened.tell(first, 50.0, 3.0)
    with pytest.raises(UserError, match=r"needs seconds of each training.*seconds=..."):
        opened.tell(first, 50.0, costs={"energy": 3.0})
    with pytest.raises(UserError, match="energy must be a number, not 'much'"):
        opened.tell(first, 50.0, 3.0, costs={"energy": "much"})
    opened.tell(first, 50.0, 3.0, costs={"energy": "2.5"})
    assert opened.observations[["energy", "seconds"]].to_numpy().tolist() == [[2.5, 3.0]]
    opened.fail(opened.pending[0])
    opened.tell(opened.pending[0], float("nan"))
    assert len(opened.front()) == 1, "what failed needs no costs"


def test_a_cost_may_not_be_called_as_a_column_of_the_trials(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="round is a column of the trials; call the cost otherwise"):
        study(tmp_path, front=["round"])


def test_where_all_observed_costs_are_equal_the_objective_decides(tmp_path: Path) -> None:
    opened = study(tmp_path, 20, front=["energy"])
    while trials := opened.ask():
        for trial in trials:
            opened.tell(trial, quality(trial.choices), costs={"energy": 0.7})
    every = [quality(OWN.choices(arch)) for arch in OWN.enumerate()]
    (best,) = opened.front()["observed_accuracy"]
    assert best == max(every) and best in opened.observations["observed_accuracy"][:12].tolist()


@pytest.mark.parametrize("observed", [[2.0], [2.0, 2.0], [0.0, -1.0, 4.0]])
def test_few_equal_and_negative_costs_are_predicted(observed: list[float]) -> None:
    archs = OWN.enumerate()
    found = predicted_costs(OWN, archs[: len(observed)], np.array(observed), archs)
    assert found.shape == (81,) and np.isfinite(found).all()
    assert min(observed) - 1 < found.mean() < max(observed) + 1
    assert (predicted_costs(OWN, [], np.zeros(0), archs) == 0).all()


def test_a_raised_budget_keeps_observed_costs(tmp_path: Path) -> None:
    for budget in (7, 20):
        opened = study(tmp_path, budget, front=["energy"])
        while trials := opened.ask():
            tell_all(opened, trials)
    whole = study(tmp_path / "whole", 20, front=["energy"])
    while trials := whole.ask():
        tell_all(whole, trials)
    pd.testing.assert_frame_equal(opened.observations, whole.observations)


# --- what was given ---


def test_a_front_starts_from_what_was_given(tmp_path: Path) -> None:
    archs = OWN.enumerate()
    best = max(archs, key=lambda arch: quality(OWN.choices(arch)))
    opened = study(tmp_path, 6, given=pd.DataFrame({"arch": [archs[0], best], "accuracy": [70.0, 99.0]}))
    assert set(opened.front()["arch"]) == {archs[0], best}, "before anything was trained"
    told = finish(opened).observations
    assert set(told["reason"]) == {"gains hypervolume"}, "from the first round on"
    fronts = opened.fronts()
    assert fronts["trained"].unique().tolist() == list(range(1, 7))
    for _, its in fronts.groupby("trained"):
        assert {archs[0], best} <= set(its["arch"]), "nothing is as cheap as the one, or as good as the other"
    assert sorted(fronts.loc[fronts["trained"] == 6, "arch"]) == sorted(opened.front()["arch"])


def test_a_given_cost_that_is_known_after_a_training_only_is_learned_from(tmp_path: Path) -> None:
    archs = OWN.enumerate()[::4]
    choices = list(map(OWN.choices, archs))
    given = pd.DataFrame({"arch": archs, "accuracy": list(map(quality, choices)), "other": "text"})
    opened = study(tmp_path, 8, front=["energy"], given=given.assign(energy=list(map(energy, choices))))
    costs, true = opened.state.front_costs, [energy(OWN.choices(arch)) for arch in opened.state.archs]
    assert costs is not None and np.corrcoef(np.log(costs[:, 0]), np.log(true))[0, 1] > 0.9
    front = opened.front()
    points = np.column_stack([-given["accuracy"], list(map(energy, choices))])
    assert set(front["arch"]) == set(np.array(archs)[non_dominated(points)])
    assert front["energy"].tolist() == [energy(OWN.choices(arch)) for arch in front["arch"]]
    again = study(tmp_path, 8, front=None)
    pd.testing.assert_frame_equal(again.front(), front)


def test_what_is_given_without_such_a_cost_is_on_no_front(tmp_path: Path) -> None:
    archs = OWN.enumerate()
    given = pd.DataFrame({"arch": archs[:3], "accuracy": [70.0, 80.0, 90.0]})
    with pytest.warns(
        UserWarning, match="given: 3 without all of energy are learned from, and are on no front"
    ):
        opened = study(tmp_path, 8, front=["energy"], given=given)
    assert opened.front().empty and opened.returned is not None and opened.returned.value == 90
    with pytest.warns(UserWarning, match="given: 1 without all of energy"):
        opened.give(pd.DataFrame({"arch": archs[3:5], "accuracy": 85.0, "energy": [np.nan, 3.0]}))
    assert opened.front()["arch"].tolist() == [archs[4]]
    (trial, *_) = opened.ask()
    asked = pd.DataFrame({"arch": [trial.arch], "accuracy": 75.0})
    with pytest.raises(UserError, match="the front needs energy of each training"):
        opened.give(asked)
    assert trial in opened.pending
    with pytest.warns(UserWarning, match="1 were asked for and count as told"):
        opened.give(asked.assign(energy=2.0))
    assert opened.observations["energy"].tolist() == [2.0]
    with pytest.warns(UserWarning, match="was not asked for; it is taken as given"):
        opened.tell(archs[40], 60.0, costs={"energy": "1.5"})
    assert opened.state.given["energy"].tolist()[-1] == 1.5


# --- what is returned ---

CELLS = NasBench201()


def returned_front(
    archs: Sequence[str], observed: np.ndarray, costs: np.ndarray, confidence: float | None
) -> np.ndarray:
    seen = CELLS.encode(archs), observed, costs, CELLS.num_node_types, confidence
    (front,) = returned_fronts(*seen, [len(archs)])
    return front


def misled(count: int, seed: int) -> tuple[list[str], np.ndarray, np.ndarray, int]:
    """Cells, their costs, what is observed of them, and which middling one is observed best by its noise alone."""
    archs = CELLS.sample(count, torch.Generator().manual_seed(seed))
    accuracies = np.array([80.0 + 2 * arch.count("nor_conv_3x3") for arch in archs])
    observed = accuracies + 0.3 * np.random.default_rng(seed).standard_normal(count)
    costs = np.array([float(arch.count("nor_conv_3x3") + arch.count("nor_conv_1x1")) for arch in archs])
    lucky = int(np.flatnonzero((accuracies == 84.0) & (costs == costs[accuracies == 84.0].max()))[0])
    observed[lucky] = observed.max() + 0.1
    return archs, costs[:, None], observed, lucky


def test_a_stroke_of_luck_is_not_on_the_front() -> None:
    archs, costs, observed, lucky = misled(150, 1)
    naive = returned_front(archs, observed, costs, None)
    careful = returned_front(archs, observed, costs, 0.95)
    points = np.column_stack([-observed, costs])
    assert naive.tolist() == np.flatnonzero(non_dominated(points)).tolist()
    assert lucky in naive and lucky not in careful
    assert non_dominated(points[careful]).all() and len(careful)
    assert careful.tolist() == sorted(careful)


def test_costs_that_are_unknown_and_failed_trainings_are_on_no_front() -> None:
    archs, costs, observed, lucky = misled(30, 2)
    costs[lucky], observed[0] = np.nan, np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        front = returned_front(archs, observed, costs, 0.95)
    assert len(front) and not {0, lucky} & set(front.tolist())
    nothing = np.full(30, np.nan)
    assert not len(returned_front(archs, nothing, costs, 0.95))


def test_a_member_is_replaced_by_none_that_costs_more() -> None:
    """Where the lucky one is the cheapest, nothing can replace it, however sure it is that others are better."""
    archs, costs, observed, lucky = misled(150, 1)
    costs[lucky] = -1.0
    front = returned_front(archs, observed, costs, 0.95)
    assert lucky in front


def test_of_very_many_the_best_fronts_are_compared() -> None:
    archs, costs, observed, lucky = misled(400, 3)
    front = returned_front(archs, observed, costs, 0.95)
    assert lucky not in front and non_dominated(np.column_stack([-observed, costs])[front]).all()


def test_the_fronts_after_rounds_are_those_of_searches_that_end_there() -> None:
    archs, costs, observed, _ = misled(60, 4)
    observed[7] = np.nan
    after = [3, 12, 30, 60]
    seen = CELLS.encode(archs), observed, costs, CELLS.num_node_types, 0.95
    for n, front in zip(after, returned_fronts(*seen, after), strict=True):
        np.testing.assert_array_equal(front, returned_front(archs[:n], observed[:n], costs[:n], 0.95))


def test_the_fronts_of_a_study_are_those_after_each_training(tmp_path: Path) -> None:
    opened = finish(study(tmp_path))
    fronts = opened.fronts()
    assert fronts["trained"].unique().tolist() == list(range(1, 21))
    last = fronts[fronts["trained"] == 20]["arch"]
    assert sorted(last) == sorted(opened.front()["arch"])
    assert finish(study(tmp_path / "without", front=None)).fronts().empty


# --- whatever happens on the way ---


@pytest.mark.parametrize("round_of_death", [1, 2, 3])
@pytest.mark.parametrize("front", [["expansions"], {"expansions": "max"}])
def test_a_search_for_a_front_that_was_killed_ends_as_if_it_had_not_been(
    tmp_path: Path, round_of_death: int, front: Any
) -> None:
    """In a space too large to list, whose candidates evolve along the front."""
    sample = large.CANDIDATES.sample(large.SPACE, large.within, 0)

    def run(name: str, *callbacks: large.Recorder) -> Study:
        opened = Study(
            large.SPACE, folder=tmp_path / name, search=large.budgeted(), ranker=large.KnowsKernels(),
            archs=Pool(None, sample), constraints=Costs({"expansions": large.LIMIT}, [large.Expansions()], front),
        )  # fmt: skip
        run_study(opened, large.CountKernels(), callbacks)
        return opened

    whole = run("whole")
    with pytest.raises(large.KilledError):
        run("killed", large.Recorder(die_after_round=round_of_death))
    resumed = run("killed")
    pd.testing.assert_frame_equal(resumed.observations, whole.observations)
    pd.testing.assert_frame_equal(resumed.state.scores, whole.state.scores)
    pd.testing.assert_frame_equal(resumed.front(), whole.front())
    pd.testing.assert_frame_equal(resumed.fronts(), whole.fronts())
    assert len(whole.state.archs) > len(sample)


@given(
    st.data(),
    st.integers(1, 12),
    st.sampled_from([["price"], {"speed": "max"}, {"price": "min", "energy": "min"}, ["energy", "seconds"]]),
)
@settings(deadline=None, max_examples=15)
def test_nothing_is_proposed_twice(data: st.DataObject, budget: int, front: Any) -> None:
    """Whatever was given, fails, is told late, out of order or without being asked for."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = data.draw(st.lists(st.integers(0, 80), max_size=3, unique=True), "given")
        opened = study(Path(folder), budget, front=front)
        opened.give(pd.DataFrame({"arch": [OWN.enumerate()[i] for i in given], "accuracy": 51.0}))
        asked: list[Trial] = []
        while trials := opened.ask(data.draw(st.sampled_from([None, 1, 4]), "count")):
            asked += trials
            for trial in data.draw(st.permutations(opened.pending), "order"):
                how = data.draw(st.sampled_from(["tell", "tell", "fail", "later"]), "how")
                if how == "tell":
                    costs = {"energy": energy(trial.choices)}
                    opened.tell(trial, quality(trial.choices), 1.0, costs=costs)
                elif how == "fail":
                    opened.fail(trial)
            if data.draw(st.booleans(), "again"):
                opened = study(Path(folder), budget, front=front)
        archs = [trial.arch for trial in asked]
        assert len(set(archs)) == len(archs) == budget
        assert not set(archs) & {OWN.enumerate()[i] for i in given}
        found = opened.front()
        assert set(found["arch"]) <= set(opened.state.known[0])
        assert found["knee"].sum() == (len(found) > 0)
