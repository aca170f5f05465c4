"""Searches in a space that is too large to list, under a limit."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.evaluation import Evaluator, Observations
from acenas.evaluation.costs import CostModel
from acenas.evaluation.objective import Objective
from acenas.ranker import Ranker
from acenas.search import (
    BestAndRandom,
    BudgetedSearch,
    Candidates,
    RegularisedEvolution,
    Search,
    SearchResult,
    Study,
    StudyState,
    run_study,
)
from acenas.search.candidates import Pool
from acenas.search.costs import Costs
from acenas.search.events import RoundResult, SearchCallback
from acenas.spaces import GraphBatch, LabelledGraphs, MobileNet
from acenas.spaces.mobilenet.network import Skeleton, Stage

SPACE = MobileNet(Skeleton((Stage(4, 4, 1), Stage(6, 4, 2), Stage(8, 4, 1)), in_channels=1))
CANDIDATES = Candidates(samples=60, population=10, children=40, generations=6)
LIMIT = 30


def kernels(arch: str) -> int:
    return sum(int(name[1]) for name in arch.replace(":", ",").split(",") if name != "skip")


def expansions(archs: Sequence[str]) -> NDArray[np.int64]:
    return np.array(
        [sum(int(n[3]) for n in a.replace(":", ",").split(",") if n != "skip") for a in archs], np.int64
    )


class Expansions(CostModel):
    name, origin = "expansions", "counted"

    def values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        return expansions(archs).astype(np.float64)


LIMITS = Costs({"expansions": LIMIT}, [Expansions()])
within = LIMITS.within


class CountKernels(Evaluator):
    """Accuracy is the sum of the kernel sizes."""

    def evaluate(self, archs: Sequence[str]) -> Observations:
        assert within(archs).all()
        return Observations(list(archs), np.array([float(kernels(a)) for a in archs]), np.ones(len(archs)))


class KnowsKernels(Ranker):
    """Right from the start."""

    def pretrain(self, *_: object, **__: object) -> None: ...

    def save(self, path: Path) -> None: ...

    load = save

    def finetune(self, graphs: GraphBatch, accuracies: torch.Tensor, *, round: int) -> None: ...  # noqa: A002

    def score(self, graphs: GraphBatch) -> torch.Tensor:
        assert len(graphs), "nobody asks for the scores of nothing"
        operation = (graphs.node - 1) % 6  # kernel 3, 3, 5, 5, 7, 7
        return ((3 + 2 * (operation // 2)) * graphs.mask).sum(1).float()


class KilledError(Exception):
    pass


class Recorder(SearchCallback):
    def __init__(self, die_after_round: int | None = None) -> None:
        self.results: list[RoundResult] = []
        self.die_after_round = die_after_round

    def on_round_end(self, result: RoundResult) -> None:
        assert len(result.archs) == len(result.scores) and not np.isnan(result.scores).any()
        if result.round == self.die_after_round:
            raise KilledError
        self.results.append(result)


def budgeted(candidates: Candidates = CANDIDATES) -> BudgetedSearch:
    return BudgetedSearch(
        12,
        growth=0,
        num_first=0,
        first=BestAndRandom(0.5),
        confidence=None,
        candidates=candidates,
    )


def run(folder: Path, search: Search, *callbacks: SearchCallback) -> SearchResult:
    archs = search.candidates.sample(SPACE, within, seed=0)
    return run_study(
        Study(
            SPACE,
            folder=folder,
            search=search,
            ranker=KnowsKernels(),
            archs=Pool(None, archs),
            constraints=LIMITS,
        ),
        CountKernels(),
        callbacks,
    )


def test_a_sample_keeps_the_limit_and_has_each_function_once() -> None:
    archs = CANDIDATES.sample(SPACE, within, seed=3)
    assert len(set(archs)) == 60 == within(archs).sum()
    assert archs == SPACE.canonical_all(archs) == CANDIDATES.sample(SPACE, within, seed=3)
    assert archs != CANDIDATES.sample(SPACE, within, seed=4)
    assert CANDIDATES.sample(SPACE, lambda archs: expansions(archs) < 9, seed=3) == []


def test_evolution_climbs_the_score_within_the_limit(tmp_path: Path) -> None:
    result = run(tmp_path, budgeted())
    without = run(tmp_path / "sample", budgeted(Candidates(samples=60, generations=0)))
    assert len(without.scores) == 60 < len(result.scores), (
        "evolution adds candidates, and a sample alone none"
    )
    assert result.observations["observed_accuracy"].max() > without.observations["observed_accuracy"].max()
    # The most that ten blocks of expansion 3 can have.
    assert result.observations["observed_accuracy"].max() == 70
    assert len({SPACE.canonical(arch) for arch in result.observations["arch"]}) == 12


def test_later_candidates_have_no_score_by_earlier_fits(tmp_path: Path) -> None:
    recorder = Recorder()
    scores = run(tmp_path, budgeted(), recorder).scores
    counts = [scores[f"round_{number}"].notna().sum() for number in range(1, 5)]
    assert [len(result.archs) for result in recorder.results] == counts
    assert counts[0] > 60 and counts == sorted(counts) and counts[-1] == len(scores)
    assert counts[-1] == counts[-2], "after the last round nothing can be chosen any more"


def evolution() -> RegularisedEvolution:
    return RegularisedEvolution(16, population=4, tournament=2, per_round=3, candidates=CANDIDATES)


@pytest.mark.parametrize("make", [budgeted, evolution])
@pytest.mark.parametrize("round_of_death", [1, 3])
def test_a_search_that_was_killed_ends_as_if_it_had_not_been(
    tmp_path: Path, make: type[Search], round_of_death: int
) -> None:
    expected = run(tmp_path / "whole", make())
    with pytest.raises(KilledError):
        run(tmp_path / "killed", make(), Recorder(die_after_round=round_of_death))
    result = run(tmp_path / "killed", make())
    pd.testing.assert_frame_equal(result.observations, expected.observations)
    pd.testing.assert_frame_equal(result.scores, expected.scores)


def test_regularised_evolution_mutates_beyond_the_sample(tmp_path: Path) -> None:
    observed = run(tmp_path, evolution()).observations
    sample = set(CANDIDATES.sample(SPACE, within, seed=0))
    assert observed["reason"].tolist() == ["random"] * 4 + ["mutated"] * 12
    assert not sample >= set(observed["arch"])


def test_too_few_within_the_limits_is_an_error_that_says_so(tmp_path: Path) -> None:
    archs = CANDIDATES.sample(SPACE, within, seed=0)[:5]
    with pytest.raises(
        UserError, match=r"5 distinct .* within search.constraints, fewer than search.budget=12"
    ):
        Study(
            SPACE, folder=tmp_path, search=budgeted(), ranker=KnowsKernels(), archs=archs, constraints=LIMITS
        )


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(UserError, match="at least 1"):
        Candidates(samples=0)


def test_a_space_without_neighbours_keeps_its_sample(tmp_path: Path) -> None:
    space = LabelledGraphs()
    archs = ["0-1:0,1", "0-1:0,2"]
    generator = np.random.default_rng(0)
    state = StudyState(tmp_path, space, Objective())
    state.add_archs(archs)
    assert not CANDIDATES.evolve(state, np.arange(2.0), lambda _: np.zeros(0), generator)
    search = RegularisedEvolution(budget=2, population=2, tournament=1)
    with pytest.raises(
        UserError, match=r"search=evolution needs neighbours.*labelled_graphs knows no neighbours"
    ):
        Study(space, folder=tmp_path, search=search, ranker=KnowsKernels(), archs=archs)
