"""The front of accuracy and cost, and what summary and page say of constraints."""

from pathlib import Path

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from acenas.report.page import write_report
from acenas.report.runs import headline
from acenas.report.summary import FinishedSearch, build_summary, pareto_front
from tests.report.example import finished_search

# Of c, a, <f>, d in order of training; observed accuracies 70, 50, 85, 80.
COSTS = pd.DataFrame(
    {"params_m": [1.0, 0.5, 2.0, 1.0], "latency_ms.cpu": [5.0, 4.0, 9.0, 6.0]}, index=["c", "a", "<f>", "d"]
)


def constrained(costs: pd.DataFrame = COSTS) -> FinishedSearch:
    limits = dict.fromkeys(costs.columns, 10.0)
    origins = {name: f"counted {name}" for name in costs.columns}
    return finished_search(limits=limits, costs=costs, cost_origins=origins)


def test_the_front_holds_what_nothing_is_better_than() -> None:
    assert pareto_front(constrained())["arch"].tolist() == ["a", "c", "d", "<f>"], "c is faster than d"
    front = pareto_front(constrained(), only="params_m")
    assert front["arch"].tolist() == ["a", "d", "<f>"], "d is as small as c and better"
    assert front["params_m"].tolist() == [0.5, 1.0, 2.0]
    assert front["observed_accuracy"].tolist() == [50.0, 80.0, 85.0]
    assert front["test_accuracy"].tolist() == [51.0, 83.0, 86.0]


numbers = st.lists(st.integers(1, 3).map(float), min_size=4, max_size=4)


@given(numbers, numbers, numbers)
@settings(max_examples=50, deadline=None)
def test_the_front_is_that_of_plain_loops(
    accuracy: list[float], first: list[float], second: list[float]
) -> None:
    costs = pd.DataFrame({"params_m": first, "flops_m": second}, index=COSTS.index)
    search = constrained(costs)
    search.observations["observed_accuracy"] = accuracy
    rows = [(-a, p, f) for a, p, f in zip(accuracy, first, second, strict=True)]
    expected = set()
    for i, row in enumerate(rows):
        better = (
            all(x <= y for x, y in zip(other, row, strict=True)) and (other != row or j < i)
            for j, other in enumerate(rows)
            if j != i
        )
        if not any(better):
            expected.add(COSTS.index[i])
    assert set(pareto_front(search)["arch"]) == expected


def test_summary_and_headline_tell_limits_costs_and_their_origin() -> None:
    summary = build_summary(constrained())
    told = summary["constraints"]
    assert told["limits"] == {"params_m": 10.0, "latency_ms.cpu": 10.0}
    assert told["returned"] == {"params_m": 2.0, "latency_ms.cpu": 9.0}
    assert [row["arch"] for row in told["pareto_front"]] == ["a", "c", "d", "<f>"]
    text = headline(summary | {"space": "s"})
    assert "Constraint latency_ms.cpu <= 10: 9 (counted latency_ms.cpu)." in text
    assert "constraints" not in build_summary(finished_search())


def test_the_page_has_the_front(tmp_path: Path) -> None:
    write_report(tmp_path, constrained(), lambda _: Figure(figsize=(1, 1)), "")
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Constraints</h2>" in page and "counted params_m" in page
    assert page.count("<svg") == 3
    assert page.index("<h2>Constraints</h2>") < page.index("<h2>Metrics")
    assert "&lt;f&gt;" in page
