"""The study: asked and told by several processes, in any order, killed, raised, given."""

import json
import math
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acenas.errors import UserError
from acenas.evaluation import Evaluator, Observations
from acenas.evaluation.costs import CostModel
from acenas.evaluation.objective import Objective
from acenas.ranker import Finetuning, GraphRanker
from acenas.ranker.baselines import RandomForestRanker
from acenas.ranking import LambdaRankLoss
from acenas.search import BestAndRandom, BudgetedSearch, Candidates, Study, Trial, run_study
from acenas.search.costs import Costs
from acenas.search.events import RoundResult, SearchCallback
from acenas.spaces import Choice, Choices, GraphBatch, Graphs
from acenas.tables import WeakLabels
from tests.search.test_rounds import ARCHS, SPACE, LeastSquares


def study(folder: Path, budget: int = 20, seed: int = 0, **more: Any) -> Study:
    search = BudgetedSearch(budget, 3, 0.3, first=BestAndRandom(0.0))
    return Study(SPACE, None, folder, seed, ranker=LeastSquares(), search=search, archs=ARCHS, **more)


def accuracy(trial: Trial) -> float:
    return trial.arch.count("3x3~") + trial.number / 1000


def told(
    asked: Study, train: Callable[[Trial], float] = accuracy, order: random.Random | None = None
) -> Study:
    while trials := asked.ask():
        if order is not None:
            order.shuffle(trials)
        for trial in trials:
            asked.tell(trial, train(trial))
    return asked


class Remembers(LeastSquares):
    """Continues from the round before: its scores are those of a fit plus half of the scores before."""

    continues = True

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        self.sum = torch.zeros(())
        self.rounds: list[int] = []

    def finetune(self, graphs: GraphBatch, accuracies: Tensor, *, round: int) -> None:  # noqa: A002
        super().finetune(graphs, accuracies, round=round)
        self.sum = self.sum / 2 + self.weights
        self.rounds.append(round)

    def score(self, graphs: GraphBatch) -> Tensor:
        return self.features(graphs) @ self.sum


def test_a_ranker_that_continues_is_fitted_to_all_rounds_after_a_stop(tmp_path: Path) -> None:
    def opened(name: str) -> tuple[Study, Remembers]:
        ranker, rounds = Remembers(), BudgetedSearch(20, 4, 0.0)
        return Study(SPACE, None, tmp_path / name, ranker=ranker, search=rounds, archs=ARCHS), ranker

    def train(trial: Trial) -> float:
        return math.nan if trial.number < 4 else accuracy(trial)  # nothing is learned from the first round

    whole, ranker = opened("whole")
    told(whole, train)
    assert ranker.rounds == [2, 3, 4]
    stopped, _ = opened("stopped")
    for _ in range(3):
        for trial in stopped.ask():
            stopped.tell(trial, train(trial))
    again, ranker = opened("stopped")
    told(again, train)
    assert ranker.rounds == [2, 3, 4]
    pd.testing.assert_frame_equal(again.observations, whole.observations, check_exact=True)
    pd.testing.assert_frame_equal(again.state.scores, whole.state.scores, check_exact=True)


def test_the_budget_is_asked_for_and_nothing_twice(tmp_path: Path) -> None:
    done = told(study(tmp_path))
    assert len(done.observations) == 20 == done.observations["arch"].map(SPACE.canonical).nunique()
    assert done.ask() == [] == done.pending
    best = done.observations["observed_accuracy"].max()
    assert done.returned is not None and done.returned.value == best
    ranking = done.ranking()
    assert len(ranking) == len(ARCHS) and ranking["observed_accuracy"].notna().sum() == 20
    assert ranking["score"].is_monotonic_decreasing


def test_the_order_of_the_answers_within_a_round_changes_nothing(tmp_path: Path) -> None:
    one, other = told(study(tmp_path / "a")), told(study(tmp_path / "b"), order=random.Random(1))
    pd.testing.assert_frame_equal(one.observations, other.observations)
    pd.testing.assert_frame_equal(one.ranking(), other.ranking())


def test_another_process_goes_on_wherever_the_last_one_stopped(tmp_path: Path) -> None:
    whole = told(study(tmp_path / "whole")).observations
    while True:
        trials = [*study(tmp_path / "killed").pending, *study(tmp_path / "killed").ask(1)]
        if not trials:
            break
        for trial in trials:  # each call is another process
            study(tmp_path / "killed").tell(trial, accuracy(trial))
    pd.testing.assert_frame_equal(study(tmp_path / "killed").observations, whole)


def test_a_study_of_12_that_goes_on_to_20_is_one_of_20(tmp_path: Path) -> None:
    told(study(tmp_path / "raised", budget=12))
    raised, trained = study(tmp_path / "raised", budget=20), []

    def train(trial: Trial) -> float:
        trained.append(trial.number)
        return accuracy(trial)

    told(raised, train)
    fresh = told(study(tmp_path / "fresh", budget=20))
    pd.testing.assert_frame_equal(raised.observations, fresh.observations)
    pd.testing.assert_frame_equal(raised.state.scores, fresh.state.scores)
    assert trained == list(range(12, 20)), "what the first 12 showed is not trained again"


def test_what_was_asked_and_not_told_is_not_asked_again(tmp_path: Path) -> None:
    one, other = study(tmp_path), study(tmp_path)
    asked = [*one.ask(2), *other.ask(2), *one.ask(), *other.ask()]
    assert len({trial.arch for trial in asked}) == len(asked) == len(one.pending)
    for trial in reversed(asked):
        other.tell(trial, accuracy(trial))
    assert one.pending == []


WORKER = """
import sys
from pathlib import Path
from tests.search.test_study import share, study
mine = study(Path(sys.argv[1]))
first = mine.ask(1)
print("asked", flush=True)
print(share(mine, first))
"""


def share(mine: Study, trials: list[Trial]) -> int:
    """Trains what was asked for, and one after the other until nothing is left; returns how many it has trained."""
    trained = 0
    while trials:
        mine.tell(trials[0], accuracy(trials[0]))
        trained, trials = trained + 1, mine.ask(1)
    return trained


def test_two_processes_share_a_study(tmp_path: Path) -> None:
    mine = study(tmp_path)
    first = mine.ask(1)
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "asked\n"
        here = share(mine, first)
        there = int(other.stdout.read())
    assert other.returncode == 0 and here + there == 20 and here > 0 < there
    trained = study(tmp_path).observations
    assert len(trained) == 20 == trained["arch"].nunique() and trained["observed_accuracy"].notna().all()


def test_what_is_pending_while_another_process_raises_the_budget_is_not_lost(tmp_path: Path) -> None:
    one = study(tmp_path / "raised", budget=12)
    while len(trials := one.ask()) + len(one.observations) < 12:
        for trial in trials:
            one.tell(trial, accuracy(trial))
    other = study(tmp_path / "raised", budget=20)  # the last round is taken back: it is longer now
    one.tell(trials[0], accuracy(trials[0]))
    with pytest.raises(UserError, match="another process has raised the budget"):
        one.ask()
    for trial in trials[1:]:
        one.tell(trial, accuracy(trial))
    fresh = told(study(tmp_path / "fresh", budget=20))
    pd.testing.assert_frame_equal(told(other).observations, fresh.observations)
    pd.testing.assert_frame_equal(other.state.scores, fresh.state.scores)


def test_a_failed_training_counts_and_is_not_asked_for_again(tmp_path: Path) -> None:
    asked = study(tmp_path)
    first, second, third = asked.ask(3)
    asked.fail(first, "diverged")
    asked.tell(second, float("nan"))
    asked.tell(third, 3.0)
    told(asked)
    observed = asked.observations
    assert len(observed) == 20 and observed["arch"].nunique() == 20
    assert observed["state"].tolist() == ["failed", "failed", *["trained"] * 18]
    assert observed["message"].tolist()[:2] == ["diverged", "accuracy is nan"]
    assert asked.returned is not None and np.isfinite(asked.returned.value)


def test_what_failed_ranks_below_the_only_one_that_worked(tmp_path: Path) -> None:
    """Where all else failed, or all that worked are alike."""
    fits: list[list[float]] = []

    class Watched(LeastSquares):
        def finetune(self, graphs: GraphBatch, accuracies: Tensor, *, round: int) -> None:  # noqa: A002
            fits.append(accuracies.tolist())
            super().finetune(graphs, accuracies, round=round)

    def values(trial: Trial) -> float:
        return 7e9 if trial.number in (1, 3) else 6e9 if trial.number == 5 else math.nan

    asked = Study(SPACE, 9, tmp_path, ranker=Watched(), archs=ARCHS, weak_labels=[])
    told(asked, values).ranking()
    first, second, *_ = fits
    assert first[0] == first[2] < first[1] and second[0] == second[2] == second[4] < second[1] == second[3]


def test_a_study_in_which_all_failed_goes_on(tmp_path: Path) -> None:
    asked = study(tmp_path)
    while trials := asked.ask():
        for trial in trials:
            asked.fail(trial, "out of memory")
    assert asked.returned is None and len(asked.observations) == 20


def test_a_loss_is_minimised(tmp_path: Path) -> None:
    loss = Objective("perplexity", "", "min")
    asked = told(study(tmp_path / "loss", objective=loss), lambda trial: -accuracy(trial))
    mirrored = told(study(tmp_path / "accuracy"))
    assert asked.observations["arch"].tolist() == mirrored.observations["arch"].tolist()
    assert (
        asked.returned is not None and asked.returned.value == asked.observations["observed_perplexity"].min()
    )


def test_what_is_given_costs_nothing_and_is_learned_from(tmp_path: Path) -> None:
    given = pd.DataFrame({"arch": ARCHS[:40], "accuracy": [arch.count("3x3~") for arch in ARCHS[:40]]})
    asked = study(tmp_path)
    with pytest.warns(UserWarning, match="there twice"):  # some cells are one function
        asked.give(given)
    with pytest.warns(UserWarning, match="there twice"):
        asked.give(given[:2])
    first = asked.ask()
    assert {trial.reason for trial in first} == {"predicted"}, "the first round knows what was given"
    for trial in first:
        asked.tell(trial, accuracy(trial))
    told(asked)
    forms = set(SPACE.canonical_all(list(ARCHS[:40])))
    assert len(asked.observations) == 20 and not forms & set(map(SPACE.canonical, asked.observations["arch"]))
    assert asked.ranking()["observed_accuracy"].notna().sum() == 20 + len(forms)


def test_a_tell_that_nobody_asked_for_is_taken_as_given(tmp_path: Path) -> None:
    asked = study(tmp_path)
    with pytest.warns(UserWarning, match="not asked for"):
        asked.tell(ARCHS[5], 3.0)
    assert asked.state.given["arch"].tolist() == [ARCHS[5]]


def test_a_tell_takes_what_a_user_has_at_hand(tmp_path: Path) -> None:
    asked = own(tmp_path)
    first, _, third, fourth = asked.ask()
    asked.tell(dict(first.choices), np.float32(0.5))
    asked.tell(np.int64(1), torch.tensor([0.25], requires_grad=True))
    asked.tell(fourth, 0.75)
    assert asked.observations["observed_accuracy"].tolist() == [0.5, 0.25, 0.75]
    (fifth,) = asked.ask(1)
    waiting = asked.state.trials["arch"].tolist()[5:]
    asked.tell(waiting[0], 3.0)  # chosen, and not asked for yet
    with pytest.warns(UserWarning, match="2 were asked for and count as told"):
        asked.give(pd.DataFrame([{**trial.choices, "accuracy": 2.0} for trial in (third, fifth)]))
    assert len(asked.observations) == 6 and asked.state.given.empty
    with pytest.warns(UserWarning, match="1 without a finite accuracy"):
        asked.give(pd.DataFrame({"arch": OWN.enumerate()[:1], "accuracy": [math.nan]}))
    asked.fail(asked.ask(1)[0])
    assert asked.observations["message"].tolist() == [*[""] * 6, "no reason"]
    assert len(asked.ask(50)) == 5 and asked.ask(50) == []


def test_a_space_may_be_used_up(tmp_path: Path) -> None:
    small = Choices({"width": [1, 2, 3, 4, 5]})
    asked = Study(small, 5, tmp_path, ranker=LeastSquares(small.num_node_types), pretrained=False)
    asked.give(pd.DataFrame({"width": [3, 4], "accuracy": [70, 71]}))
    with pytest.warns(UserWarning, match="no architecture is left to ask for; 3 of 5 were"):
        told(asked, lambda trial: 70.0 + trial.number)
    assert len(asked.observations) == 3
    with pytest.raises(
        UserError, match=r"5 distinct architectures to choose from, fewer than search\.budget=6"
    ):
        Study(small, 6, tmp_path / "more")


def test_bad_tells_are_one_sentence_and_change_nothing(tmp_path: Path) -> None:
    asked = study(tmp_path)
    first, second, _ = asked.ask(3)
    asked.tell(first, 3.0)
    asked.tell(first, 3.0)  # the same again is no harm
    before = asked.observations
    for wrong, match in (
        (partial(asked.tell, first, 4.0), "was told before"),
        (partial(asked.tell, second, cast(float, "good")), "must be a number"),
        (partial(asked.tell, 99, 3.0), "no trial 99"),
        (partial(asked.tell, "no cell", 3.0), "no cell"),
        (partial(asked.tell, second, torch.zeros(2)), "must be a number"),
        (partial(asked.ask, 0), "must be at least 1"),
        (partial(asked.fail, ARCHS[5], "x"), "not asked for"),
        (partial(asked.give, pd.DataFrame({"arch": ARCHS[:1], "acc": [1.0]})), "no column accuracy"),
    ):
        with pytest.raises(UserError, match=match):
            wrong()
    pd.testing.assert_frame_equal(asked.observations, before)


def test_fractions_told_where_percent_are_expected_are_noticed(tmp_path: Path) -> None:
    asked = study(tmp_path)
    with pytest.warns(UserWarning, match="fractions"):
        for trial in asked.ask():
            asked.tell(trial, 0.9)


class Size(CostModel):
    name, origin = "size", "counted"

    def values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        return np.zeros(len(archs))


def test_a_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    told(study(tmp_path, budget=12))
    with pytest.raises(UserError, match="another seed"):
        study(tmp_path, seed=1)
    with pytest.raises(UserError, match="another objective"):
        study(tmp_path, objective=Objective("loss", "", "min"))
    with pytest.raises(UserError, match="raised, not lowered"):
        study(tmp_path, budget=10)
    with pytest.raises(UserError, match="another set of constraints"):
        Study(
            SPACE,
            12,
            tmp_path,
            constraints=Costs({"size": 1.0}, [Size()]),
            ranker=LeastSquares(),
            archs=ARCHS,
        )
    with pytest.raises(UserError, match="another ranker"):
        Study(SPACE, 12, tmp_path, archs=ARCHS)
    with pytest.raises(UserError, match="another set of weak labels"):
        study(tmp_path, weak_labels=pd.DataFrame({"arch": ARCHS, "size": 1.0}))
    assert json.loads((tmp_path / "study.json").read_text())["budget"] == 12


def test_other_settings_of_a_ranker_and_other_graphs_are_refused(tmp_path: Path) -> None:
    chain, pair = (["in", "conv", "out"], [(0, 1), (1, 2)]), (["in", "out"], [(0, 1)])
    graphs = Graphs({"chain": chain, "pair": pair})
    Study(graphs, 2, tmp_path, weak_labels=[])
    Study(graphs, 2, tmp_path, ranker=GraphRanker(graphs, accelerator="auto"))
    for ranker, name in (
        (GraphRanker(graphs, finetuning=Finetuning(passes=9)), r"ranker\.finetuning\.passes \(150, not 9\)"),
        (GraphRanker(graphs, loss=LambdaRankLoss(sigma=2.0)), r"ranker\.loss\.sigma \(1\.0, not 2\.0\)"),
    ):
        with pytest.raises(UserError, match=f"another {name}"):
            Study(graphs, 2, tmp_path, ranker=ranker)
    with pytest.raises(UserError, match=r"another space \(Graphs\(2 architectures, .*, not Graphs\(1 arch"):
        Study(Graphs({"chain": chain}), 2, tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "lab").touch()
    with pytest.raises(UserError, match="is a file; name a folder"):
        study(tmp_path / "lab")


def test_an_objective_that_is_a_choice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="width is the objective and a choice"):
        Study(Choices({"width": [1, 2]}), 2, tmp_path, objective="min width")


@pytest.mark.parametrize(
    "scale",
    [(1e300, 0), (-1e300, 0), (1e-300, 0), (1e-6, 1e9)],
    ids=["huge", "negative", "tiny", "far from 0"],
)
def test_values_of_any_size_are_learned_from(tmp_path: Path, scale: tuple[float, float]) -> None:
    space, (factor, offset) = Choices({name: list(range(4)) for name in "abc"}), scale

    def asked(name: str, factor: float, offset: float) -> list[str]:
        direction, ranker = "max" if factor > 0 else "min", RandomForestRanker(space)
        objective = f"{direction} score"
        own = Study(space, 12, tmp_path / name, objective=objective, weak_labels=[], ranker=ranker)
        told(own, lambda trial: offset + factor * sum(trial.choices.values()))
        assert own.returned is not None
        return [*own.observations["arch"], own.returned.arch]

    assert asked("scaled", factor, offset) == asked("as it is", 1, 100)


@pytest.mark.parametrize("file", ["observations.parquet", "scores.parquet", "study.json"])
@pytest.mark.parametrize("length", [0, 100])
def test_a_cut_file_is_one_sentence_that_names_it(tmp_path: Path, file: str, length: int) -> None:
    told(study(tmp_path, budget=12))
    os.truncate(tmp_path / file, length)
    with pytest.raises(UserError, match=rf"{file} is damaged, .*; get it back, or remove"):
        study(tmp_path, budget=12)


def test_files_of_two_studies_do_not_go_together(tmp_path: Path) -> None:
    told(study(tmp_path, budget=12))
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    scores.iloc[:0].to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(UserError, match=r"scores.parquet lacks .*, which was trained; get it back"):
        study(tmp_path, budget=20).ask()


@pytest.mark.parametrize("content", ["", "[]", '{"next": "x"}'])
def test_rounds_are_handed_over_again_where_that_is_not_known(tmp_path: Path, content: str) -> None:
    evaluator = TableOfAccuracies()
    run_study(study(tmp_path, budget=12), evaluator)
    (tmp_path / "rounds_reported.json").write_text(content)
    seen = Rounds()
    run_study(study(tmp_path, budget=12), evaluator, [seen])
    assert seen.numbers == [1, 2, 3, 4]


class TableOfAccuracies(Evaluator):
    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        return [], np.zeros(0)

    def evaluate(self, archs: Sequence[str]) -> Observations:
        return Observations(
            list(archs), np.array([float(arch.count("3x3~")) for arch in archs]), np.ones(len(archs))
        )


class Rounds(SearchCallback):
    def __init__(self) -> None:
        self.numbers: list[int] = []

    def on_round_end(self, result: RoundResult) -> None:
        self.numbers.append(result.round)


def test_nothing_warns_without_a_reason(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told(study(tmp_path))


# --- defaults, for a space of one's own ---

OWN = Choices({f"layer{i}": ["none", "small", "large"] for i in range(4)} | {"width": [16, 32, 64]})


def size(width: int, **layers: str) -> float:
    return width * (1 + sum({"none": 0, "small": 1, "large": 3}[kind] for kind in layers.values()))


def own(folder: Path, budget: int | None = 12, **more: Any) -> Study:
    more.setdefault("ranker", LeastSquares(OWN.num_node_types))
    return Study(OWN, budget, folder, **{"pretrained": False} | more)


def loss(trial: Trial) -> float:
    return (
        30 - size(**trial.choices) / 64 + trial.number / 1000
    )  # no two alike, which rounding errors might order


def test_all_but_the_space_has_a_default(tmp_path: Path) -> None:
    asked = Study(OWN, folder=tmp_path, weak_labels=size)
    assert asked.budget == 50 and asked.objective == Objective()
    trials = asked.ask()
    assert [trial.reason for trial in trials] == ["random among the best", "spread"] * 2, "by the weak labels"
    assert trials[0].choices == OWN.choices(trials[0].arch)
    asked.tell(trials[0], 3.0)
    again = Study(OWN, folder=tmp_path)  # weak labels are those of the folder
    assert again.fitting.pretrained and [trial.number for trial in again.pending] == [1, 2, 3]
    assert len(WeakLabels.load(tmp_path / "pretrain" / "weak_labels.parquet")) == 243


def test_what_is_not_said_is_what_the_folder_says(tmp_path: Path) -> None:
    own(tmp_path, 8, objective="min perplexity")
    again = own(tmp_path, None)
    assert again.budget == 8 and again.objective == Objective("perplexity", "", "min")
    with pytest.raises(UserError, match="another objective"):
        own(tmp_path, objective="max bleu")
    conditional = {"a": [1, 2], "b": [1, 2]}
    Study(
        Choices({**conditional, "c": Choice([1, 2], when={"a": 1})}), budget=4, folder=tmp_path / "conditions"
    )
    with pytest.raises(UserError, match="another space"):
        Study(
            Choices({**conditional, "c": Choice([1, 2], when={"b": 1})}),
            budget=4,
            folder=tmp_path / "conditions",
        )
    with pytest.raises(UserError, match="another space"):
        Study(Choices({"layer0": ["none", "other"]}), 1, tmp_path, ranker=LeastSquares())
    assert own(tmp_path, 10).budget == 10


def test_frames_are_weak_labels_and_limits(tmp_path: Path) -> None:
    archs = OWN.enumerate()
    frame = pd.DataFrame([OWN.choices(arch) for arch in archs])
    frame["milliseconds"] = [size(**OWN.choices(arch)) for arch in archs]
    asked = Study(
        OWN, 9, tmp_path, weak_labels=frame, constraints={"milliseconds": 100}, objective="min perplexity"
    )
    for trial in (trial for _ in range(3) for trial in asked.ask()):
        assert size(**trial.choices) <= 100
        asked.tell(trial, loss(trial))
    front = asked.front("milliseconds")
    assert (
        front["milliseconds"].is_monotonic_increasing and front["observed_perplexity"].is_monotonic_decreasing
    )
    assert front["observed_perplexity"].min() == asked.observations["observed_perplexity"].min()
    with pytest.raises(UserError, match="nothing tells the cost joules"):
        asked.front("joules")
    with pytest.raises(UserError, match="none of 243 architectures"):
        Study(OWN, 9, tmp_path / "none", weak_labels=frame, constraints={"milliseconds": 1})
    with pytest.raises(UserError, match="other weak labels"):
        Study(OWN, 9, tmp_path, weak_labels=frame.assign(milliseconds=1.0), constraints={"milliseconds": 100})


def test_costs_are_counted_on_the_networks(tmp_path: Path) -> None:
    space = Choices(
        {"width": [8, 16, 32], "depth": [1, 2, 3]},
        build=lambda width, depth: nn.Sequential(*[nn.Linear(width, width) for _ in range(depth)]),
        example_input=lambda: torch.zeros(1, 8),
    )
    narrow = Choices({"width": [8], "depth": [1, 2, 3]}, build=space._build, example_input=torch.zeros(1, 8))
    asked = Study(
        narrow, 2, tmp_path, ranker=LeastSquares(), pretrained=False, constraints={"params_m": 150e-6}
    )
    trials = asked.ask()
    assert {trial.choices["depth"] for trial in trials} == {1, 2}
    for trial in trials:
        asked.tell(trial, 1.0)
    assert asked.front("params_m")["params_m"].tolist() == [72e-6], "more parameters showed nothing more"


def test_a_space_too_large_to_list_is_sampled_and_evolves(tmp_path: Path) -> None:
    large = Choices({f"x{i}": list(range(10)) for i in range(12)})
    candidates = Candidates(samples=200, population=5, children=20, generations=2)

    def opened() -> Study:
        search = BudgetedSearch(9, candidates=candidates)
        return Study(
            large, folder=tmp_path, ranker=LeastSquares(large.num_node_types), search=search, pretrained=False
        )

    assert len(opened().state.archs) == 200
    told(opened(), lambda trial: float(sum(trial.choices.values())))
    assert len(opened().state.archs) > 200
    assert opened().ranking()["observed_accuracy"].notna().sum() == 9


def test_what_is_given_at_the_opening_may_be_given_again(tmp_path: Path) -> None:
    file = tmp_path / "last_month.csv"
    pd.DataFrame({"layer0": ["none"], "layer1": ["none"], "layer2": ["none"], "layer3": ["large"], "width": [64],
                  "accuracy": [70.0]}).to_csv(file, index=False)  # fmt: skip
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            asked = own(tmp_path / "lab", given=file)
    assert len(asked.state.given) == 1 and asked.returned is not None and asked.returned.value == 70
    with pytest.raises(UserError, match=r"there is no file .*none.csv"):
        own(tmp_path / "lab", given=tmp_path / "none.csv")


def test_what_was_given_from_outside_the_candidates_is_in_the_ranking(tmp_path: Path) -> None:
    archs = OWN.enumerate()
    asked = own(tmp_path, 3, archs=archs[:100], given=pd.DataFrame({"arch": archs[-1:], "accuracy": [70.0]}))
    ranking = told(asked, loss).ranking()
    assert ranking.set_index("arch")["observed_accuracy"][archs[-1]] == 70
    assert len(ranking) == 101


@pytest.mark.parametrize(
    ("space", "budget", "match"),
    [
        ({"width": [1]}, 1, "is a dict, no SearchSpace"),
        (OWN, 0, "search.budget=0"),
        (OWN, 2.5, "whole number"),
    ],
)
def test_a_study_of_something_else_is_refused(tmp_path: Path, space: Any, budget: Any, match: str) -> None:
    with pytest.raises(UserError, match=match):
        Study(space, budget, tmp_path / "lab")
    assert not (tmp_path / "lab").exists()


def test_an_objective_in_short() -> None:
    assert Objective.of("accuracy") == Objective() == Objective.of({"name": "accuracy"})
    assert Objective.of("max ssim") == Objective("ssim", "", "max") == Objective.of({"name": "ssim"})
    assert Objective.of("min error %") == Objective("error", "%", "min")
    for wrong in ("perplexity", "best perplexity", "min a b c", {"nam": "x"}):
        with pytest.raises(UserError, match="objective"):
            Objective.of(wrong)


KILLED = """
import os, sys, threading, time
from pathlib import Path
from tests.search.test_study import own, loss
threading.Thread(target=lambda: (time.sleep(float(sys.argv[2])), os._exit(9)), daemon=True).start()
asked = own(Path(sys.argv[1]))
while trials := asked.pending or asked.ask(1):
    for trial in trials:
        asked.tell(trial, loss(trial))
os._exit(0)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    generator, killed = random.Random(0), 0
    while True:
        seconds = generator.uniform(
            0, 0.05 * 1.3**killed
        )  # longer and longer, so that a slow machine ends, too
        arguments = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(seconds)]
        status = subprocess.run(arguments).returncode
        if status == 0:
            break
        assert status == 9
        killed += 1
    whole = told(own(tmp_path / "whole"), loss)
    pd.testing.assert_frame_equal(own(tmp_path / "killed").observations, whole.observations)
    assert killed > 1
