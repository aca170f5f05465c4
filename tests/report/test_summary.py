import json
import math
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from acenas.evaluation.objective import Objective
from acenas.report.page import write_report
from acenas.report.summary import FinishedSearch, best_architectures, build_summary, round_metrics
from tests.report.example import ARCHS, TEST, finished_search


def test_the_summary_is_what_the_hand_gets() -> None:
    summary = build_summary(finished_search())
    assert summary["returned"] == {"arch": "<f>", "observed_accuracy": 85.0, "test_accuracy": 86.0}
    assert summary["best_known"] == {"arch": "e", "test_accuracy": 88.0}
    assert summary["regret"] == pytest.approx(2.0)
    assert (summary["trained"], summary["seed"], summary["experiment"]) == (4, 3, "debug")
    assert (summary["table"], summary["dataset"], summary["versions"]) == (
        "nb201",
        "cifar10",
        {"acenas": "0.1.0"},
    )
    assert summary["seconds"] == {"total": 5.5, "pretrain": 2.0, "search": 3.5}
    # After round 2 the order is that of the observed accuracies.
    assert summary["metrics"] == pytest.approx(
        {f"ndcg@{k}": 1.0 for k in (1, 3, 10, 30)}
        | {"kendall": 1.0, "spearman": 1.0}
        | {f"top{k}_test_accuracy": 88.0 for k in (1, 3, 10, 30)}
    )
    # Round 1 has c (70 observed, 71 test) as its best. Its order is a b c d e f: q20 = 60, so c, d, e and f have the
    # relevances 20/3, 40/3, 20 and 50/3 and stand third to sixth.
    discounts = [1.0, 0.6309297536, 0.5, 0.4306765581, 0.3868528072, 0.3562071871]
    gain = [2 ** (20 * share / 3) - 1 for share in (1, 2, 3, 2.5)]
    found = sum(g * d for g, d in zip(gain, discounts[2:], strict=True))
    ideal = sum(g * d for g, d in zip(sorted(gain, reverse=True), discounts, strict=False))
    first, second = summary["curve"]
    assert first == {"trained": 2, "returned_test_accuracy": 71.0, "ndcg@10": pytest.approx(found / ideal)}
    assert second == {"trained": 4, "returned_test_accuracy": 86.0, "ndcg@10": pytest.approx(1.0)}


def test_the_summary_is_json_and_unknown_is_null() -> None:
    search = finished_search()
    scores = search.scores.assign(
        round_2=[0.0, 1.0, 0.2, 0.3, 0.5, 0.4]
    )  # b, of unknown test accuracy, is first
    summary = json.loads(json.dumps(build_summary(finished_search(scores=scores)), allow_nan=False))
    assert summary["metrics"]["top1_test_accuracy"] is None
    assert summary["metrics"]["top3_test_accuracy"] == 88.0


def test_what_the_search_returns_need_not_be_the_best_observed() -> None:
    search = finished_search()
    finished = finished_search(observations=search.observations.assign(returned=["c", "c", "<f>", "d"]))
    assert finished.returned == "d"
    summary = build_summary(finished)
    assert summary["returned"] == {"arch": "d", "observed_accuracy": 80.0, "test_accuracy": 83.0}
    assert [row["returned_test_accuracy"] for row in summary["curve"]] == [71.0, 83.0]


def test_round_metrics_are_named_and_placed_as_they_are_logged() -> None:
    pretrained, first, second = round_metrics(finished_search())
    assert {name.split("/")[0] for name in pretrained} == {"pretrain"}
    assert pretrained["pretrain/top1_test_accuracy"] == 86.0
    assert [row["search/trained"] for row in (first, second)] == [2.0, 4.0]
    assert first["search/top1_test_accuracy"] == 51.0
    assert first["search/returned_test_accuracy"] == 71.0
    assert second["search/top10_test_accuracy"] == 88.0
    assert not [name for name in second if name.endswith("observed_accuracy")]
    without = finished_search(scores=finished_search().scores.drop(columns="pretrained"))
    assert len(round_metrics(without)) == 2


def test_the_best_are_in_order_of_what_was_observed() -> None:
    best = best_architectures(finished_search(), count=3)
    expected = pd.DataFrame(
        {
            "arch": ["<f>", "d", "c"],
            "observed_accuracy": [85.0, 80.0, 70.0],
            "test_accuracy": [86.0, 83.0, 71.0],
            "predicted_rank": [2, 3, 4],
            "round": [2, 2, 1],
            "reason": ["best predicted", "random", "random"],
        }
    )
    pd.testing.assert_frame_equal(best, expected, check_dtype=False)


def test_what_does_not_fit_together_is_refused() -> None:
    search = finished_search()
    with pytest.raises(ValueError, match="scores lack round_2"):
        finished_search(scores=search.scores.drop(columns="round_2"))
    with pytest.raises(ValueError, match="test accuracy of the returned architecture <f>"):
        finished_search(test=pd.Series(TEST, index=ARCHS).drop("<f>"))


def test_regret_is_measured_within_the_reference() -> None:
    """The judge knows what was trained alone, from other seeds than the reference."""
    reference = pd.Series({"e": 87.0, "<f>": 84.0})
    search = finished_search(
        test=pd.Series({"c": 70.0, "a": 50.0, "<f>": 86.0, "d": 83.0}), reference=reference
    )
    summary = build_summary(search)
    assert summary["returned"]["test_accuracy"] == 86.0
    assert summary["best_known"] == {"arch": "e", "test_accuracy": 87.0}
    assert summary["regret"] == 3.0


def test_a_ranker_is_not_compared_with_what_it_was_fitted_to() -> None:
    search = finished_search()
    trained = search.observations.set_index("arch")
    alone = finished_search(observed=trained["observed_accuracy"], test=trained["observed_accuracy"] - 1)
    summary = build_summary(alone)
    assert set(summary["metrics"]) == set(build_summary(search)["metrics"])
    assert all(value is None for value in summary["metrics"].values())
    assert [row["ndcg@10"] for row in summary["curve"]] == [None, None]
    assert summary["regret"] == 0.0


def lower_is_better(**changes: object) -> FinishedSearch:
    """The same search for a loss of 100 minus the accuracy, with a failed training."""
    search = finished_search()
    observations = search.observations.rename(columns={"observed_accuracy": "observed_loss"})
    observations["observed_loss"] = 100 - observations["observed_loss"]
    observations["observed_loss"] = observations["observed_loss"].mask(observations["arch"] == "a")
    observations["message"] = ["", "diverged", "", ""]
    values = {
        "observations": observations,
        "observed": 100 - search.observed,
        "test": 100 - pd.Series([*TEST[:1], math.nan, *TEST[2:]], index=ARCHS),
        "objective": Objective("loss", "", "min"),
    }
    return finished_search(**(values | changes))


def test_lower_is_better_where_the_objective_says_so() -> None:
    accuracy, loss = build_summary(finished_search()), build_summary(lower_is_better())
    assert loss["returned"] == {"arch": "<f>", "observed_loss": 15.0, "test_loss": 14.0}
    assert loss["best_known"] == {"arch": "e", "test_loss": 12.0} and loss["regret"] == accuracy["regret"]
    assert loss["failed"] == 1 and loss["trained"] == 4
    for name, value in accuracy["metrics"].items():
        mirrored = loss["metrics"][name.replace("accuracy", "loss")]
        expected = value if value is None or not name.startswith("top") else 100 - value
        assert mirrored == pytest.approx(expected), name
    assert best_architectures(lower_is_better())["arch"].tolist() == ["<f>", "d", "c"]


def test_where_nobody_knows_test_values_observed_ones_are_shown() -> None:
    summary = build_summary(lower_is_better(test=None))
    assert summary["returned"] == {"arch": "<f>", "observed_loss": 15.0, "test_loss": None}
    assert summary["best_known"] is summary["regret"] is None
    assert [row["returned_observed_loss"] for row in summary["curve"]] == [30.0, 15.0]
    assert not [name for name in summary["metrics"] if "test" in name]
    assert "test_loss" not in best_architectures(lower_is_better(test=None))


@pytest.mark.parametrize("test", [pd.Series({"c": 29.0, "<f>": 14.0, "e": 12.0}), None])
def test_the_page_shows_a_loss_and_what_failed(test: "pd.Series[float] | None", tmp_path: Path) -> None:
    search = lower_is_better(test=test, given=pd.DataFrame({"arch": ["b"], "observed_loss": [40.0]}))
    write_report(tmp_path, search, lambda _: Figure(figsize=(1, 1)), "seed: 3")
    page = (tmp_path / "report.html").read_text()
    for shown in (
        "observed loss",
        "diverged",
        "<h2>Given</h2>",
        "best given",
        "15",
        *([] if test is not None else ["nobody knows it"]),
    ):
        assert shown in page
    assert "%" not in page.split("<h2>The search</h2>")[0].split("<body>")[1] and "accuracy" not in page
