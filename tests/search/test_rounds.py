import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acenas.errors import UserError
from acenas.evaluation import Evaluator, Observations
from acenas.evaluation.base import Result
from acenas.evaluation.curves import StopRule
from acenas.ranker import Ranker
from acenas.search import BestAndRandom, BudgetedSearch, SearchResult, Study, run_study
from acenas.search.budget import check_budget
from acenas.search.events import RoundResult, SearchCallback
from acenas.search.returned import returned_after_each
from acenas.spaces import GraphBatch, NasBench201

SPACE = NasBench201()
ARCHS = SPACE.enumerate()[::28]


class CountConvolutions(Evaluator):
    """Accuracy is the number of 3x3 convolutions; counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def evaluate(self, archs: Sequence[str]) -> Observations:
        self.asked += archs
        accuracy = np.array([arch.count("3x3~") for arch in archs], dtype=np.float64)
        return Observations(list(archs), accuracy, np.ones(len(archs)))


class LeastSquares(Ranker):
    """Linear regression on the counts of operations: a ranker that is exact and quick."""

    def __init__(self, num_node_types: int = SPACE.num_node_types) -> None:
        self.weights = torch.zeros(num_node_types)
        self.fits = 0

    def features(self, graphs: GraphBatch) -> Tensor:
        return torch.nn.functional.one_hot(graphs.node, len(self.weights)).float().sum(1)

    def pretrain(self, graphs: GraphBatch, weak_labels: Tensor, **_: object) -> None:
        raise AssertionError("the search does not pretrain")

    def save(self, path: Path) -> None:
        raise AssertionError("the search does not save the ranker")

    load = save

    def finetune(self, graphs: GraphBatch, accuracies: Tensor, *, round: int) -> None:  # noqa: A002
        self.fits += 1
        x = self.features(graphs)
        self.weights = torch.linalg.solve(x.T @ x + 0.1 * torch.eye(x.shape[1]), x.T @ accuracies)

    def score(self, graphs: GraphBatch) -> Tensor:
        return self.features(graphs) @ self.weights


class KilledError(Exception):
    pass


class Recorder(SearchCallback):
    def __init__(self, die_after_round: int | None = None) -> None:
        self.results: list[RoundResult] = []
        self.die_after_round = die_after_round

    def on_round_end(self, result: RoundResult) -> None:
        if result.round == self.die_after_round:
            raise KilledError
        self.results.append(result)


def search(
    budget: int = 30, per_round: int = 8, num_final: int = 5, growth: float = 0.0, num_first: int = 0
) -> BudgetedSearch:
    half = BestAndRandom(0.5)
    return BudgetedSearch(
        budget, per_round, growth, num_final, num_first, first=half, acquisition=half, confidence=None
    )


def run(
    folder: Path, *callbacks: SearchCallback, evaluator: Evaluator | None = None, **schedule: int
) -> SearchResult:
    study = Study(SPACE, folder=folder, search=search(**schedule), ranker=LeastSquares(), archs=ARCHS)
    return run_study(study, evaluator or CountConvolutions(), callbacks)


def test_the_budget_counts_everything_and_no_function_is_trained_twice(tmp_path: Path) -> None:
    evaluator = CountConvolutions()
    result = run(tmp_path, evaluator=evaluator)
    trained = result.observations
    assert len(evaluator.asked) == len(trained) == 30
    assert len({SPACE.canonical(arch) for arch in trained["arch"]}) == 30
    assert trained["round"].value_counts(sort=False).tolist() == [8, 8, 8, 1, 5]
    assert list(result.scores.columns) == ["arch", *(f"round_{i}" for i in range(1, 6))]


def test_equal_rounds_before_the_last_depend_on_the_budget() -> None:
    published = BudgetedSearch(110, 3, 0.15, 10, 4, rounds=5)
    assert published.round_sizes == [20] * 5 + [10] and not published.anytime()
    assert published.with_budget(50).round_sizes == [8] * 5 + [10]
    assert published.with_budget(23).round_sizes == [3, 3, 3, 3, 1, 10]
    assert published.with_budget(11).round_sizes == [1, 10]
    with pytest.raises(UserError, match=r"search\.rounds=-1 at least 0"):
        BudgetedSearch(rounds=-1)
    with pytest.raises(UserError, match=r"search\.rounds=5 is of a budget of trainings"):
        check_budget(None, 100, rounds=5)


def test_reasons_say_what_chose(tmp_path: Path) -> None:
    trained = run(tmp_path).observations
    by_round = {n: frame["reason"].value_counts().to_dict() for n, frame in trained.groupby("round")}
    assert by_round == {
        1: {"random": 8},  # there was nothing to go by
        2: {"predicted": 4, "random": 4},
        3: {"predicted": 4, "random": 4},
        4: {"predicted": 1},
        5: {"predicted": 5},
    }


def test_the_final_round_takes_the_best_predicted(tmp_path: Path) -> None:
    result = run(tmp_path)
    final = result.observations[result.observations["round"] == 5]["arch"]
    trained = {SPACE.canonical(arch) for arch in result.observations["arch"]}
    scores = dict(zip(result.scores["arch"], result.scores["round_4"], strict=True))
    passed_over = [scores[arch] for arch in ARCHS if SPACE.canonical(arch) not in trained]
    assert min(scores[arch] for arch in final) >= max(passed_over)


def test_a_raised_budget_is_reported_from_where_it_differs(tmp_path: Path) -> None:
    whole, raised = Recorder(), Recorder()
    run(tmp_path / "whole", whole, budget=30, num_final=0)
    run(tmp_path / "raised", budget=20, num_final=0)
    run(tmp_path / "raised", raised, budget=30, num_final=0)
    assert [(r.round, r.trained) for r in raised.results] == [(3, 24), (4, 30)]
    for one, other in zip(raised.results, whole.results[2:], strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("round_of_death", [1, 3, 5])
def test_a_search_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path, round_of_death: int) -> None:
    whole, evaluator = Recorder(), CountConvolutions()
    expected = run(tmp_path / "whole", whole)
    with pytest.raises(KilledError):
        run(tmp_path / "killed", Recorder(die_after_round=round_of_death), evaluator=evaluator)
    again = Recorder()
    result = run(tmp_path / "killed", again, evaluator=evaluator)
    pd.testing.assert_frame_equal(result.observations, expected.observations)
    pd.testing.assert_frame_equal(result.scores, expected.scores)
    assert len(evaluator.asked) == 30, "what was trained before the kill was not trained again"
    assert [r.round for r in again.results] == list(range(round_of_death, 6)), "every round is reported once"


def test_a_kill_between_training_and_fitting_trains_nothing_again(tmp_path: Path) -> None:
    class Dies(LeastSquares):
        def finetune(self, graphs: GraphBatch, accuracies: Tensor, *, round: int) -> None:  # noqa: A002
            if round == 2:
                raise KilledError
            super().finetune(graphs, accuracies, round=round)

    Dies.__name__ = LeastSquares.__name__  # another ranker would be another study
    evaluator = CountConvolutions()
    with pytest.raises(KilledError):
        run_study(Study(SPACE, folder=tmp_path, search=search(), ranker=Dies(), archs=ARCHS), evaluator)
    result = run(tmp_path, evaluator=evaluator)
    pd.testing.assert_frame_equal(result.observations, run(tmp_path / "whole").observations)
    assert len(evaluator.asked) == 30


def test_callbacks_see_each_round_with_what_was_observed_by_then(tmp_path: Path) -> None:
    recorder = Recorder()
    run(tmp_path, recorder)
    assert [(r.stage, r.round, r.trained) for r in recorder.results] == [
        ("search", 1, 8), ("search", 2, 16), ("search", 3, 24), ("search", 4, 25), ("search", 5, 30)
    ]  # fmt: skip
    for result in recorder.results:
        assert len(result.observations) == result.trained and len(result.scores) == len(result.archs)


def test_a_budget_beyond_the_space_is_refused(tmp_path: Path) -> None:
    few = list(ARCHS[:10])
    with pytest.raises(UserError, match=r"fewer than search\.budget=30"):
        Study(SPACE, folder=tmp_path, search=search(), ranker=LeastSquares(), archs=few)


@pytest.mark.parametrize("schedule", [(10, 20, 10), (0, 1, 0), (10, 0, 0), (10, 1, 0, -0.1)])
def test_an_impossible_schedule_is_refused(schedule: tuple[int, int, int]) -> None:
    with pytest.raises(UserError, match=r"search\.budget"):
        search(*schedule)


@pytest.mark.parametrize("confidence", [None, 0.6])
def test_what_would_be_returned_stands_beside_each_training(tmp_path: Path, confidence: float | None) -> None:
    asked = search()
    asked.confidence = confidence
    result = run_study(
        Study(SPACE, folder=tmp_path, search=asked, ranker=LeastSquares(), archs=ARCHS), CountConvolutions()
    )
    trained = pd.read_parquet(tmp_path / "observations.parquet")
    pd.testing.assert_frame_equal(trained, result.observations)
    archs = trained["arch"].tolist()
    positions = returned_after_each(
        SPACE.encode(archs), trained["observed_accuracy"].to_numpy(), SPACE.num_node_types, confidence
    )
    assert trained["returned"].tolist() == [archs[i] for i in positions]


@pytest.mark.parametrize("confidence", [0.5, 1.0, 95])
def test_a_confidence_that_means_nothing_is_an_error(confidence: float) -> None:
    with pytest.raises(UserError, match=r"search\.confidence"):
        BudgetedSearch(confidence=confidence)


@given(st.integers(1, 300), st.integers(1, 50), st.integers(0, 40), st.floats(0, 2))
def test_rounds_add_up_to_the_budget(budget: int, per_round: int, num_final: int, growth: float) -> None:
    if num_final < budget:
        sizes = search(budget, per_round, num_final, growth, 4).round_sizes
        assert sum(sizes) == budget and min(sizes) >= 1
        assert max(sizes[1:], default=0) <= max(per_round, num_final, growth * budget)
        assert sizes[0] == min(max(per_round, 4), budget - num_final), "the first is of 4, at least"


def test_rounds_grow_with_what_is_trained() -> None:
    assert search(40, 3, num_final=0, growth=0.2).round_sizes == [3] * 7 + [4, 5, 6, 4]
    assert search(40, 3, num_final=0, growth=0.2, num_first=4).round_sizes == [4] + [3] * 6 + [4, 5, 6, 3]


@settings(max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.floats(0, 1), st.floats(0, 1), st.data())
def test_a_proposal_is_distinct_and_holds_the_best(
    scores: list[float], share: float, spread: float, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(scores)))
    rule = BestAndRandom(share, spread=spread)
    chosen, reasons = rule.propose(np.array(scores), k, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == k == len(reasons)
    predicted = [scores[i] for i, reason in zip(chosen, reasons, strict=True) if reason == "predicted"]
    assert len(predicted) == int(np.ceil(share * k))
    assert sorted(predicted, reverse=True) == sorted(scores, reverse=True)[: len(predicted)]


def test_equal_scores_are_chosen_by_chance() -> None:
    first = {
        BestAndRandom(1.0).propose(np.zeros(50), 1, np.random.default_rng(seed))[0].item()
        for seed in range(60)
    }
    assert len(first) > 20


def test_a_share_outside_0_to_1_is_refused() -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        BestAndRandom(1.5)


@settings(max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.floats(0.01, 1), st.data())
def test_the_upper_part_is_all_that_is_chosen_from(
    scores: list[float], part: float, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(scores)))
    chosen, reasons = BestAndRandom(0.0, part).propose(np.array(scores), k, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == k == len(reasons)
    upper = sorted(scores, reverse=True)[: max(k, int(np.ceil(part * len(scores))))]
    assert min(scores[i] for i in chosen) >= upper[-1]


def test_all_of_the_upper_part_may_be_chosen() -> None:
    rule, scores = BestAndRandom(0.0, 0.1), np.arange(100.0)
    seen = {int(i) for seed in range(60) for i in rule.propose(scores, 2, np.random.default_rng(seed))[0]}
    assert seen == set(range(90, 100))


def test_what_is_spread_reaches_every_part_of_the_order() -> None:
    """Half of 12 are from the best tenth; the other 6 leave no third of the order without one, whatever the seed."""
    rule, scores = BestAndRandom(0.0, 0.1, spread=0.5), np.arange(300.0)[::-1]
    for seed in range(30):
        chosen, reasons = rule.propose(scores, 12, np.random.default_rng(seed))
        spread = chosen[np.array(reasons) == "spread"]
        assert len(spread) == 6 and reasons[1::2] == ["spread"] * 6, "every second"
        assert set(spread // 100) == {0, 1, 2}
        assert set(chosen) - set(spread) <= set(range(30))
    with pytest.raises(UserError, match="spread over all"):
        BestAndRandom(spread=1.5)


@pytest.mark.parametrize("part", [0.0, -0.1, 1.1])
def test_a_part_that_is_none_is_refused(part: float) -> None:
    with pytest.raises(UserError, match="above 0"):
        BestAndRandom(0.0, part)


@given(
    st.sampled_from([0.0, 0.3, 0.5, 0.6, 0.75, 1.0]),
    st.sampled_from([0.3, 1.0]),
    st.sampled_from([0.0, 0.5]),
    st.integers(1, 8),
)
def test_one_by_one_means_that_fewer_are_the_first_of_more(
    best: float, part: float, spread: float, k: int
) -> None:
    rule, scores = BestAndRandom(best, part, spread), np.random.default_rng(1).normal(size=40)
    more, _ = rule.propose(scores, k, np.random.default_rng(2))
    same = [
        rule.propose(scores, fewer, np.random.default_rng(2))[0].tolist() == more[:fewer].tolist()
        for fewer in range(1, k)
    ]
    assert rule.one_by_one(k) == all(same)


@pytest.mark.parametrize(
    ("best", "per_round", "num_final", "expected"),
    [(1.0, 10, 0, True), (0.6, 3, 0, True), (0.5, 10, 0, False), (1.0, 10, 10, False)],
)
def test_a_search_is_anytime_where_no_round_looks_ahead(
    best: float, per_round: int, num_final: int, expected: bool
) -> None:
    search = BudgetedSearch(
        100, per_round, growth=0, num_final=num_final, acquisition=BestAndRandom(best, 0.1)
    )
    assert search.anytime() is expected


class Failing(CountConvolutions):
    """Fails some architectures so many times: with an error, with NaN or with no result at all."""

    def __init__(self, times: int = 99, how: str = "error") -> None:
        super().__init__()
        self.times, self.how = times, how

    def results(self, archs: Sequence[str], rule: StopRule | None = None) -> Iterator[Result]:
        for arch in archs:
            self.asked.append(arch)
            if "skip_connect~2" in arch and self.asked.count(arch) <= self.times:
                if self.how != "silent":
                    yield Result(arch, math.nan, failure="it exploded" if self.how == "error" else "")
            else:
                yield Result(arch, float(arch.count("3x3~")), 1.0)


@pytest.mark.parametrize(
    ("evaluator", "attempts"),
    [
        (Failing(), 3),
        (Failing(how="silent"), 1),
        (Failing(times=2), 3),
        (Failing(how="nan"), 3),
        (Failing(times=1, how="nan"), 2),
    ],
)
def test_what_fails_is_given_up_after_so_many_attempts(
    tmp_path: Path, evaluator: Failing, attempts: int
) -> None:
    search = BudgetedSearch(budget=20, per_round=10, growth=0.0, first=BestAndRandom(best=0.0))
    study = Study(SPACE, folder=tmp_path, search=search, ranker=LeastSquares(), archs=ARCHS)
    observations = run_study(study, evaluator, attempts=attempts).observations
    broken = observations["arch"].str.contains("skip_connect~2")
    assert broken.any() and len(observations) == 20
    assert ((observations["state"] == "failed") == (broken & (evaluator.times > attempts))).all()
    assert all(evaluator.asked.count(arch) == attempts for arch in observations["arch"][broken])


def test_one_failure_or_most_of_a_round_stops_the_search(tmp_path: Path) -> None:
    search = BudgetedSearch(budget=12, per_round=6, growth=0.0)
    mostly = [arch for arch in ARCHS if "skip_connect~2" in arch]
    with pytest.raises(
        UserError, match=r"6 of the last 6 trainings failed \(round 1\), 6 of them with: it exploded"
    ):
        few = Study(SPACE, None, tmp_path / "a", 1, search=search, ranker=LeastSquares(), archs=mostly)
        run_study(few, Failing())
    more = search.with_budget(40)
    study = Study(SPACE, folder=tmp_path / "b", search=more, ranker=LeastSquares(), archs=ARCHS)
    with pytest.raises(UserError, match="mend the training"):
        run_study(study, Failing(), stop_on_failure=True)
    assert len(run_study(study, Failing(times=0), stop_on_failure=True).observations) == 40  # it goes on
