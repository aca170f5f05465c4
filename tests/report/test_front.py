"""The front of a finished search: members, reference point, and how near it comes to the true one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from acenas.report.front import front_curve, front_members, front_metrics, write_front
from acenas.report.runs import finished, headline
from acenas.report.summary import FinishedSearch, build_summary
from tests.report.example import ARCHS, finished_search

# Of a, b, c, d, e, <f>; test accuracies 51, unknown, 71, 83, 88, 86.
PARAMS = [1.0, 1.0, 2.0, 4.0, 6.0, 5.0]
SPEED = [9.0, 9.0, 7.0, 8.0, 3.0, 3.0]
COSTS = pd.DataFrame({"params_m": PARAMS, "speed": SPEED}, index=ARCHS)


def searched(front: dict[str, str], **changes: object) -> FinishedSearch:
    names = list(front)
    fronts = pd.DataFrame({"trained": [1, 2, 2, 4, 4, 4], "arch": ["c", "c", "a", "<f>", "a", "c"]})
    values = {"front": front, "fronts": fronts, "costs": COSTS[names], "known_costs": COSTS[names]}
    return finished_search(**{**values, **changes})


def test_the_members_are_those_of_the_last_training_the_cheapest_first() -> None:
    members = front_members(searched({"params_m": "min"}))
    assert members["arch"].tolist() == ["a", "c", "<f>"]
    assert members["observed_accuracy"].tolist() == [50.0, 70.0, 85.0]
    assert members["test_accuracy"].tolist() == [51.0, 71.0, 86.0]
    assert members["params_m"].tolist() == [1.0, 2.0, 5.0]
    assert members["knee"].tolist() == [False, True, False]
    by_speed = front_members(searched({"speed": "max"}))
    assert by_speed["speed"].tolist() == [9.0, 7.0, 3.0], "the fastest is the cheapest"


def test_metrics_are_worked_out_by_hand() -> None:
    """The true front of test accuracy and parameters: (51, 1), (71, 2), (83, 4), (86, 5), (88, 6)."""
    search = searched({"params_m": "min"})
    assert front_curve(search)["trained"].tolist() == [1, 2, 4]
    first, last = front_metrics(search)  # at the ends of both rounds
    assert first["front/trained"] == 2 and last["front/trained"] == 4
    width, height = 5.0, 37.0  # from the ideal (88, 1) to the nadir (51, 6)

    def area(points: list[tuple[float, float]]) -> float:
        right, bottom, total = 1 + 1.1 * width, 88 - 1.1 * height, 0.0
        for (test, params), (_, following) in zip(points, [*points[1:], (0, right)], strict=True):
            total += (following - params) * (test - bottom)
        return total / (1.1 * width * 1.1 * height)

    true = area([(51, 1), (71, 2), (83, 4), (86, 5), (88, 6)])
    assert first["front/hypervolume"] == pytest.approx(area([(51, 1), (71, 2)]))
    assert last["front/hypervolume"] == pytest.approx(area([(51, 1), (71, 2), (86, 5)]))
    assert last["front/hypervolume_share"] == pytest.approx(area([(51, 1), (71, 2), (86, 5)]) / true)
    assert (first["front/found"], last["front/found"]) == (2 / 5, 3 / 5)
    # (83, 4) is missed by 1 parameter in 5 with <f>, or by 12 points in 37 with c; (88, 6) by 2 points with <f>.
    assert last["front/igd_plus"] == pytest.approx((1 / 5 + 2 / 37) / 5)


def test_where_no_more_is_known_than_what_was_trained_there_is_no_true_front() -> None:
    trained = ["a", "c", "d", "<f>"]
    search = searched({"params_m": "min"}, known_costs=COSTS.loc[trained, ["params_m"]])
    for row in front_metrics(search):
        assert set(row) == {"front/trained", "front/hypervolume"}
    found = build_summary(search)["front"]
    assert found["hypervolume_share"] is None and 0 < found["hypervolume"] < 1
    observed = searched({"params_m": "min"}, test=None)
    assert front_metrics(observed)[-1]["front/hypervolume_share"] < 1
    assert "test_accuracy" not in front_members(observed)


def test_the_summary_has_the_front_in_natural_units(tmp_path: Path) -> None:
    search = searched({"params_m": "min", "speed": "max"})
    summary = build_summary(search)
    front = summary["front"]
    assert front["costs"] == {"params_m": "min", "speed": "max"}
    assert front["reference_point"] == pytest.approx(
        {"accuracy": 88 - 1.1 * 37, "params_m": 6.5, "speed": 9 - 1.1 * 6}
    )
    assert [member["arch"] for member in front["members"]] == ["a", "c", "<f>"]
    assert front["members"][1]["costs"] == {"params_m": 2.0, "speed": 7.0}
    assert [member["knee"] for member in front["members"]].index(True) == front["knee"]
    assert summary["curve"][-1]["hypervolume_share"] == front["hypervolume_share"]
    assert "constraints" not in summary
    write_front(tmp_path, search)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "front.parquet"), front_members(search))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "front_curve.parquet"), front_curve(search))
    text = headline(summary | {"space": "s"})
    assert "Front of accuracy, params_m, speed: 3 architectures with 0." in text and "its knee is" in text


def test_a_summary_with_a_front_is_read_again(tmp_path: Path) -> None:
    import json

    (tmp_path / "summary.json").write_text(json.dumps(build_summary(searched({"params_m": "min"}))))
    assert finished(tmp_path) is not None


def test_a_front_with_limits_takes_the_place_of_their_by_product() -> None:
    limited = searched({"speed": "max"}, limits={"params_m": 9.0}, costs=COSTS)
    told = build_summary(limited)
    assert told["constraints"]["returned"] == {"params_m": 5.0} and "pareto_front" not in told["constraints"]
    assert "pareto_front" in build_summary(searched({}, limits={"params_m": 9.0}, costs=COSTS))["constraints"]


def test_nothing_that_worked_is_no_front() -> None:
    nothing = searched({"params_m": "min"}, fronts=pd.DataFrame({"trained": [], "arch": []}))
    front = build_summary(nothing)["front"]
    assert front["members"] == [] and front["knee"] is None and front["hypervolume"] is None


def test_a_minimised_objective_is_shown_as_it_is() -> None:
    from acenas.evaluation.objective import Objective

    base = searched({"params_m": "min"})
    renamed = base.observations.rename(columns={"observed_accuracy": "observed_loss"})
    search = searched({"params_m": "max"}, objective=Objective.of("min loss"), observations=renamed)
    front = build_summary(search)["front"]
    assert [member["observed_loss"] for member in front["members"]] == [85.0, 70.0, 50.0]
    assert front["reference_point"]["loss"] > np.nanmax([front["members"][i]["test_loss"] for i in (1, 2)])


def test_a_given_member_is_on_the_front(tmp_path: Path) -> None:
    """Of b, which nobody trained here: as cheap as a, and better."""
    base = searched({"params_m": "min"}, test=None, known_costs=pd.DataFrame())
    given = pd.DataFrame({"arch": ["b"], "observed_accuracy": [60.0]})
    fronts = pd.DataFrame({"trained": [4, 4, 4], "arch": ["b", "c", "<f>"]})
    search = replace(
        base,
        given=given,
        fronts=fronts,
        observed=pd.Series([70.0, 50, 85, 80, 60], ["c", "a", "<f>", "d", "b"]),
    )
    members = front_members(search)
    assert members["arch"].tolist() == ["b", "c", "<f>"]
    assert members["observed_accuracy"].tolist() == [60, 70, 85]
    (row,) = front_metrics(search)
    # From (85, 1) to (60, 5), with a margin of a tenth: all on the front of observed values.
    box = 1.1 * 25 * 1.1 * 4
    expected = (1 * (60 - 57.5) + 3 * (70 - 57.5) + 0.4 * (85 - 57.5)) / box
    assert row["front/hypervolume"] == pytest.approx(expected)
    assert "front/hypervolume_share" not in row, "nothing else is known"
