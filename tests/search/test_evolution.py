"""Regularised evolution and NSGA-II: their budget, ancestry, and that they can be interrupted."""

from collections.abc import Sequence
from pathlib import Path

import moocore
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acenas.errors import UserError
from acenas.evaluation import Evaluator
from acenas.evaluation.costs import CostModel
from acenas.ranker.baselines import ObservedRanker
from acenas.ranking.fronts import Scale, first_of_fronts, hypervolume
from acenas.search import (
    NSGA2,
    BestAndRandom,
    BudgetedSearch,
    RegularisedEvolution,
    Search,
    SearchResult,
    Study,
    run_study,
)
from acenas.search.costs import Costs
from acenas.spaces import NasBench201
from tests.search.test_rounds import CountConvolutions, KilledError, Recorder

SPACE = NasBench201()
ARCHS = SPACE.enumerate()


def run(
    folder: Path,
    search: Search,
    *callbacks: Recorder,
    evaluator: Evaluator | None = None,
    archs: Sequence[str] = ARCHS,
    seed: int = 0,
) -> SearchResult:
    ranker, evaluator = ObservedRanker(SPACE), evaluator or CountConvolutions()
    return run_study(
        Study(SPACE, None, folder, seed, ranker=ranker, search=search, archs=archs), evaluator, callbacks
    )


@pytest.mark.parametrize("per_round", [1, 4])
def test_every_child_is_a_mutation_of_the_population_and_no_function_is_trained_twice(
    per_round: int, tmp_path: Path
) -> None:
    evaluator = CountConvolutions()
    search = RegularisedEvolution(budget=30, population=8, tournament=3, per_round=per_round)
    trained = run(tmp_path, search, evaluator=evaluator).observations
    assert evaluator.asked == trained["arch"].to_list()
    assert len({SPACE.canonical(arch) for arch in trained["arch"]}) == len(trained) == 30
    assert trained["reason"].to_list() == ["random"] * 8 + ["mutated"] * 22
    for number, frame in trained.groupby("round"):
        before = trained[trained["round"] < number]["arch"].to_list()
        mutations = {SPACE.canonical(other) for arch in before[-8:] for other in SPACE.neighbours(arch)}
        assert number == 1 or {SPACE.canonical(arch) for arch in frame["arch"]} <= mutations


def test_the_best_of_all_is_the_parent_where_all_take_part_in_a_tournament(tmp_path: Path) -> None:
    search = RegularisedEvolution(budget=14, population=8, tournament=8, per_round=1)
    trained = run(tmp_path, search).observations
    for child in range(8, 14):
        members = trained.iloc[child - 8 : child]
        best = members[members["observed_accuracy"] == members["observed_accuracy"].max()]["arch"]
        children = {SPACE.canonical(other) for arch in best for other in SPACE.neighbours(arch)}
        assert SPACE.canonical(trained["arch"][child]) in children


def test_evolution_finds_more_than_chance(tmp_path: Path) -> None:
    random = BestAndRandom(0.0)
    by_chance = BudgetedSearch(40, per_round=20, growth=0, first=random, acquisition=random, confidence=None)
    best: dict[str, list[float]] = {"evolution": [], "chance": []}
    for seed in range(3):
        folder = tmp_path / str(seed)
        evolved = run(folder / "evolution", RegularisedEvolution(40, 10, 5, 2), seed=seed)
        best["evolution"].append(evolved.observations["observed_accuracy"].tail(10).mean())
        ranker = ObservedRanker(SPACE)
        chance = run_study(
            Study(SPACE, None, folder / "chance", seed, ranker=ranker, search=by_chance, archs=ARCHS),
            CountConvolutions(),
        )
        best["chance"].append(chance.observations["observed_accuracy"].mean())
    assert np.mean(best["evolution"]) > np.mean(best["chance"]) + 1


@pytest.mark.parametrize("round_of_death", [1, 3, 6])
def test_a_search_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path, round_of_death: int) -> None:
    search, evaluator = RegularisedEvolution(budget=20, population=8, per_round=2), CountConvolutions()
    expected = run(tmp_path / "whole", search)
    with pytest.raises(KilledError):
        run(tmp_path / "killed", search, Recorder(die_after_round=round_of_death), evaluator=evaluator)
    again = Recorder()
    result = run(tmp_path / "killed", search, again, evaluator=evaluator)
    pd.testing.assert_frame_equal(result.observations, expected.observations)
    pd.testing.assert_frame_equal(result.scores, expected.scores)
    assert len(evaluator.asked) == 20
    assert [r.round for r in again.results] == list(range(round_of_death, 8)), "every round is told of once"


def test_where_no_mutation_is_left_evolution_goes_on_at_random(tmp_path: Path) -> None:
    few = [SPACE.from_operations([op] * 6) for op in ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "none")]
    trained = run(tmp_path, RegularisedEvolution(4, 2, 1), archs=few).observations
    assert sorted(trained["arch"]) == sorted(few)
    assert trained["reason"].to_list() == ["random"] * 4, "none is a neighbour of another"


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 30))
def test_rounds_add_up_to_the_budget(budget: int, population: int, per_round: int) -> None:
    sizes = RegularisedEvolution(budget, population, 1, per_round).round_sizes
    assert sum(sizes) == budget and sizes[0] == min(population, budget)
    assert max(sizes[1:], default=1) <= per_round


@pytest.mark.parametrize(
    ("wrong", "named"), [((10, 3, 4), "tournament=4"), ((10, 0, 0), "tournament=0"), ((0, 5, 2), "budget=0")]
)
def test_an_impossible_schedule_is_refused(wrong: tuple[int, int, int], named: str) -> None:
    with pytest.raises(UserError, match=named):
        RegularisedEvolution(*wrong)
    with pytest.raises(UserError, match="per_round=0"):
        RegularisedEvolution(per_round=0)


# --- NSGA-II ---


class Convolutions(CostModel):
    """More accurate cells have more of them."""

    name, origin = "convolutions", "counted"

    def values(self, archs: Sequence[str]) -> np.ndarray:
        return np.array([float(arch.count("nor_conv_3x3") + arch.count("nor_conv_1x1")) for arch in archs])


def sorted_run(folder: Path, search: Search, *callbacks: Recorder, seed: int = 0) -> Study:
    costs = Costs({}, [Convolutions()], ["convolutions"])
    study = Study(
        SPACE, None, folder, seed, ranker=ObservedRanker(SPACE), search=search, archs=ARCHS, constraints=costs
    )
    run_study(study, CountConvolutions(), callbacks)
    return study


def test_nsga2_takes_its_parents_from_the_best_fronts_of_each_generation(tmp_path: Path) -> None:
    trained = sorted_run(tmp_path, NSGA2(40, population=8, per_round=4)).observations
    assert len({SPACE.canonical(arch) for arch in trained["arch"]}) == len(trained) == 40
    assert trained["reason"].to_list() == ["random"] * 8 + ["mutated"] * 32
    points = np.column_stack([-trained["observed_accuracy"], Convolutions().values(trained["arch"].tolist())])
    members = np.zeros(0, np.int64)
    for number in range(1, 10):
        frame = trained[trained["round"] == number]
        of_round = frame.index.to_numpy()
        if number > 1:
            parents = trained["arch"][members]
            mutations = {SPACE.canonical(other) for arch in parents for other in SPACE.neighbours(arch)}
            assert {SPACE.canonical(arch) for arch in frame["arch"]} <= mutations
        both = np.concatenate([members, of_round])
        ranks = moocore.pareto_rank(points[both])
        members = both[first_of_fronts(points[both], 8)]
        kept = ranks[np.isin(both, members)]
        assert sorted(kept.tolist()) == sorted(ranks.tolist())[: len(members)]


def test_nsga2_finds_more_of_the_front_than_chance(tmp_path: Path) -> None:
    random = BestAndRandom(0.0)
    by_chance = BudgetedSearch(
        60, per_round=20, growth=0, front_acquisition=random, first=random, confidence=None
    )
    volumes: dict[str, list[float]] = {"nsga2": [], "chance": []}
    scale = Scale(np.array([-100.0, 0.0]), np.array([0.0, 6.0]))
    for seed in range(3):
        for name, search in (("nsga2", NSGA2(60, 10, 5)), ("chance", by_chance)):
            front = sorted_run(tmp_path / f"{name}{seed}", search, seed=seed).front()
            points = front[["observed_accuracy", "convolutions"]].to_numpy() * [-1, 1]
            volumes[name].append(hypervolume(points, scale))
    assert np.mean(volumes["nsga2"]) > np.mean(volumes["chance"])


@pytest.mark.parametrize("round_of_death", [1, 3])
def test_nsga2_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path, round_of_death: int) -> None:
    search = NSGA2(30, population=8, per_round=4)
    expected = sorted_run(tmp_path / "whole", search)
    with pytest.raises(KilledError):
        sorted_run(tmp_path / "killed", search, Recorder(die_after_round=round_of_death))
    resumed = sorted_run(tmp_path / "killed", search)
    pd.testing.assert_frame_equal(resumed.observations, expected.observations)
    pd.testing.assert_frame_equal(resumed.front(), expected.front())
    smaller = sorted_run(tmp_path / "smaller", NSGA2(18, population=8, per_round=4)).observations
    assert smaller["arch"].to_list() == expected.observations["arch"][:18].to_list(), "it is anytime"


def test_nsga2_without_a_front_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="search=nsga2 needs a front; say which costs"):
        run(tmp_path, NSGA2(20, 8))
    with pytest.raises(UserError, match=r"search.tournament=2 must be between 1 and search.population=1"):
        NSGA2(20, population=1)
