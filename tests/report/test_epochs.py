"""Epochs in reports: what was paid, on what, the curves, and runs side by side, on curves worked out by hand."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from acenas.evaluation.curves import Curve
from acenas.report.comparison import (
    along_epochs,
    beside_reference,
    budgets_of,
    comparison,
    needed,
    to_latex,
    to_markdown,
)
from acenas.report.comparison_page import build_comparison_page
from acenas.report.epochs import curves_of, epochs_summary, paid, where_spent, why_stopped
from acenas.report.finished import method_names, read_runs, results_of
from acenas.report.live import CSVMetrics, RankingMetrics, RoundTable
from acenas.report.page import write_report
from acenas.report.suite import suite_tables
from acenas.report.summary import FinishedSearch, build_summary, round_metrics
from acenas.run.commands import status
from acenas.run.study import Study
from acenas.search import run_study
from acenas.search.events import RoundResult
from acenas.search.spending import Spending
from tests.learning import FULL, SPACE, Learning, options, study
from tests.report.conftest import Opened, violations
from tests.report.example import finished_search
from tests.report.test_comparison import results
from tests.report.test_page import Page, data_of, draw

CURVES: Mapping[str, Curve] = {
    "c": [(1, 40.0), (3, 60.0), (9, 70.0)],
    "a": [(1, 30.0)],
    "<f>": [(1, 45.0), (3, 70.0), (9, 85.0)],
    "d": [(1, 44.0), (3, 50.0)],
}
"""Of full trainings of 9 epochs: `a` was stopped after the first one, `d` failed after the third."""


def rows_of(curves: Mapping[str, Curve]) -> pd.DataFrame:
    rows = [(arch, 1, at, value) for arch, curve in curves.items() for at, value in curve]
    return pd.DataFrame(rows, columns=["arch", "round", "epochs", "value"])


def counted(**changes: Any) -> FinishedSearch:
    """The example with a budget of 27 epochs."""
    observations = finished_search().observations.assign(
        state=["trained", "stopped", "trained", "failed"],
        observed_accuracy=[70.0, np.nan, 85.0, np.nan],
        epochs=[9.0, 1.0, 9.0, 3.0],
        message=["", "", "", "diverged"],
    )
    spending = Spending(9.0, 27.0, rows_of(CURVES), "Belief (probability 0.1)", [1.0, 3.0, 9.0])
    return finished_search(**{"observations": observations, "spending": spending, **changes})


def test_epochs_are_counted_and_stopped_ones_have_not_failed() -> None:
    search = counted()
    summary = build_summary(search)
    assert summary["epochs"] == {"budget": 27.0, "paid": 22.0, "full": 9.0, "stopped": 1}
    assert (summary["trained"], summary["failed"]) == (4, 1)
    assert [point["epochs"] for point in summary["curve"]] == [10.0, 22.0]
    assert [row["search/epochs"] for row in round_metrics(search) if "search/trained" in row] == [10.0, 22.0]
    assert "epochs" not in summary["metrics"]
    np.testing.assert_array_equal(paid(search.observations), [9, 10, 19, 22])


def test_where_nobody_counts_epochs_nothing_of_them_is_said(tmp_path: Path) -> None:
    summary = build_summary(finished_search())
    assert "epochs" not in summary and not any("epochs" in point for point in summary["curve"])
    assert paid(finished_search().observations) is None and epochs_summary(finished_search()) == {}
    assert where_spent(finished_search()) == [] and curves_of(finished_search()) == ([], 0)
    write_report(tmp_path, finished_search(), draw, "")
    text = (tmp_path / "report.html").read_text()
    assert not (tmp_path / "curves.svg").exists() and 'id="along"' not in text and 'id="curves"' not in text
    assert not {"paid", "why", "curves"} & data_of(tmp_path / "report.html").keys()


def test_where_the_epochs_went_adds_up() -> None:
    parts = where_spent(counted())
    assert [tuple(part) for part in parts] == [
        ("trained in full", 2, 18.0),
        ("stopped at level 1, from 1 epochs on", 1, 1.0),
        ("failed", 1, 3.0),
    ]
    assert sum(part.epochs for part in parts) == build_summary(counted())["epochs"]["paid"]
    assert why_stopped(counted(), 1) == "stopped at 1 of 9 epochs by Belief (probability 0.1), level 1 of 3"


def test_curves_are_those_told_and_bounded_in_number_and_length() -> None:
    found, left_out = curves_of(counted())
    assert left_out == 0 and [each.training for each in found] == [1, 2, 3, 4]
    told = {each.arch: list(zip(each.at, each.values, strict=True)) for each in found}
    assert told == {arch: [(float(at), value) for at, value in curve] for arch, curve in CURVES.items()}
    few, left_out = curves_of(counted(), most=3)
    assert left_out == 1 and {each.arch for each in few if each.state == "trained"} == {"c", "<f>"}
    short = {each.arch: each.at for each in curves_of(counted(), points=2)[0]}
    assert short == {"c": [1, 9], "a": [1], "<f>": [1, 9], "d": [1, 3]}, "the first and the last point stay"


def test_a_page_of_thousands_of_curves_is_no_larger_than_one_of_a_thousand(tmp_path: Path) -> None:
    def packed(count: int) -> int:
        archs = [f"arch {i}" for i in range(count)]
        observations = pd.DataFrame({"arch": archs, "round": 1, "reason": "random", "state": "stopped"})
        observations.loc[0, "state"] = "trained"
        observations = observations.assign(
            observed_accuracy=np.nan, seconds=1.0, epochs=3.0, returned=archs[0]
        )
        observations.loc[0, "observed_accuracy"] = 90.0
        at = np.arange(1, 91)
        values = np.random.default_rng(0).uniform(50, 90, len(archs) * len(at)).round(2)
        curves = pd.DataFrame({"arch": np.repeat(archs, 90), "round": 1, "epochs": np.tile(at, count)})
        search = finished_search(
            observations=observations,
            scores=pd.DataFrame({"arch": archs, "round_1": np.arange(float(count))}),
            observed=pd.Series([90.0] * count, index=archs),
            test=None,
            spending=Spending(90.0, 9000.0, curves.assign(value=values), "Halving", [30.0, 90.0]),
        )
        found, left_out = curves_of(search)
        assert len(found) == 1000 and left_out == count - 1000 and max(len(each.at) for each in found) == 24
        return sum(len(each.at) for each in found)

    assert packed(1500) == packed(3000) == 24_000


def test_the_page_says_what_was_stopped_and_why(tmp_path: Path) -> None:
    write_report(tmp_path, counted(), draw, "")
    page = Page()
    page.feed((tmp_path / "report.html").read_text())
    assert page.open == [] and (tmp_path / "curves.svg").exists()
    for words in ("22 of 27", "Where the epochs went", "stopped at level 1, from 1 epochs on", "81.8 %"):
        assert words in page.text
    data = data_of(tmp_path / "report.html")
    assert data["paid"] == [9, 10, 19, 22]
    assert data["why"] == {"1": "stopped at 1 of 9 epochs by Belief (probability 0.1), level 1 of 3: 30.00 %"}
    assert data["curves"][1] == [1, "stopped", [1], [30.0]]
    assert len(data["curves"]) == 4


@pytest.mark.slow
def test_a_curve_that_is_pointed_at_says_when_and_why_it_ended(browser: Any, tmp_path: Path) -> None:
    write_report(tmp_path, counted(), draw, "")
    with Opened(browser, tmp_path / "report.html") as page:
        assert page.locator("#along select").input_value() == "epochs"
        chart = page.locator("#curves .u-over")
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        told = set()
        for across in range(5, int(box["width"]), 8):
            for down in range(5, int(box["height"]), 8):
                page.mouse.move(box["x"] + across, box["y"] + down)
                told.add(page.locator("#curves .details code").inner_text())
        assert told == {"c", "a", "<f>", "d"}
        page.locator("#trained tbody tr", has_text="stopped").locator("button").click()
        assert "stopped at 1 of 9 epochs by Belief" in page.locator("#curves .details").inner_text()
        page.locator("#along select").select_option("trainings")
        assert page.locator("#curves .details").is_visible() and violations(page) == []


def run_folder(tmp_path: Path, name: str, **changes: Any) -> Path:
    opened = study(tmp_path / name, **changes)
    opened.report()
    return opened.folder


def test_a_study_with_a_budget_of_epochs_says_so_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = study(tmp_path / "lab", 10)
    told = opened.observations
    stopped, epochs = int((told["state"] == "stopped").sum()), told["epochs"].sum()
    assert stopped > 0 and epochs <= 270
    words = f"{len(told)} ({stopped} stopped early, {epochs:g} of 270 epochs)"
    assert words in repr(opened) and words in opened._repr_html_()
    run = opened.report()
    assert run.summary["epochs"] == {"budget": 270.0, "paid": epochs, "full": FULL, "stopped": stopped}
    assert f"{stopped} of them stopped early, for {epochs:g} epochs," in str(run)
    assert len(run.observations) == len(told)
    line = status.look_at(opened.folder)
    out = io.StringIO()
    status.show([line], tmp_path, Console(file=out, width=160))
    assert f"{len(told)}, {stopped} stopped" in out.getvalue() and f"{epochs:g}/270" in out.getvalue()
    data = data_of(opened.folder / "report.html")
    assert len(data["why"]) == stopped and len(data["curves"]) == len(told)


def test_rounds_show_epochs_of_the_budget_and_how_many_were_stopped(tmp_path: Path) -> None:
    out, csv = io.StringIO(), CSVMetrics(tmp_path / "metrics.csv")
    metrics = RankingMetrics([], np.zeros(0), [csv])
    table = RoundTable(metrics, Console(file=out, width=100))
    seen: list[RoundResult] = []

    class Kept(RoundTable):
        def on_round_end(self, result: RoundResult) -> None:
            seen.append(result)

    opened = Study(SPACE, folder=tmp_path / "lab", **options(10))
    run_study(opened, Learning(), [metrics, table, Kept(metrics)])
    last = seen[-1]
    told = opened.observations
    assert last.rounds is None and last.budget_epochs == 270
    assert last.epochs == told["epochs"].sum() and last.stopped == (told["state"] == "stopped").sum() > 0
    assert len(last.failed) == 0, "what is stopped has not failed"
    lines = out.getvalue().splitlines()
    assert "of 270" in out.getvalue() and max(map(len, lines)) <= 80
    row = csv.rows["search", last.trained]
    assert row["search/epochs"] == last.epochs and row["search/stopped"] == last.stopped
    assert f"{last.epochs:g}" in lines[-1]


# --- runs side by side ---


def test_results_along_epochs_are_what_would_be_returned_when_so_much_was_paid() -> None:
    run = results(fast=[[80.0, 85.0, 90.0]]).assign(serves=True)
    # Of full trainings of 10 epochs: in full, stopped at 4, in full.
    along = along_epochs(run, np.array([10.0, 14.0, 24.0]), 10.0, 2.5).set_index("trained")["value"]
    assert along.index[0] == 1.0 and along.index[-1] == 2.5
    assert (
        along[1.0] == along[1.3] == 80 and along[1.4] == along[2.3] == 85 and along[2.4] == along[2.5] == 90
    )
    in_full = along_epochs(run, None, 10.0, 3.0).set_index("trained")["value"]
    assert in_full[1.9] == 80 and in_full[2.0] == 85 and in_full[3.0] == 90


def side_by_side() -> pd.DataFrame:
    """`stopping` reaches after 1.5 full trainings what `full` has after 2."""
    parts = []
    for method, epochs in (("full", None), ("stopping", np.array([10.0, 15.0, 20.0, 30.0]))):
        for seed in (0, 1):
            values = [90.0, 92.0, 93.0] if epochs is None else [90.0, 92.0, 94.0, 95.0]
            run = results(**{method: [[value + seed for value in values]]}).assign(seed=seed)
            parts.append(along_epochs(run, epochs, 10.0, 3.0))
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(serves=frame["trained"].isin([2, 3]), folder="nowhere")


def test_methods_are_compared_by_epochs() -> None:
    frame = side_by_side()
    assert budgets_of(frame) == [2, 3]
    means = comparison(frame, "value").set_index(["method", "trained"])["mean"]
    assert means["full", 2] == 92.5 and means["stopping", 2] == 94.5
    assert needed(frame, "full") == {("stopping", 2): 1.5, ("stopping", 3): 2.0}
    (table, _) = beside_reference(frame, "full")
    assert table.title.startswith("Full trainings' worth of epochs needed")
    assert table.cells["stopping", 2] == "1.5 (0.75 ×)"
    text = to_markdown(frame, "full")
    assert "Compared by epochs paid, in full trainings (10 epochs each)." in text
    assert "after so many full trainings' worth of epochs | 2 | 3 |" in text
    assert "full trainings & 2 & 3" in to_latex(frame)
    three = pd.concat([frame.assign(task=name) for name in "abc"], ignore_index=True)
    titles = [table.title for table in suite_tables(three, "stopping")]
    assert titles[-1].startswith("Full trainings' worth of epochs with which stopping has")
    page = build_comparison_page(frame, "Compared", reference="full")
    assert "full trainings (10 epochs each)" in page


def test_runs_of_a_task_are_by_epochs_where_one_has_a_budget_of_them(tmp_path: Path) -> None:
    run_folder(tmp_path, "stopping", full_trainings=10)
    run_folder(tmp_path, "full", budget=6, budget_epochs=None)
    finished, _ = read_runs([tmp_path])
    frame = results_of(finished, method_names(finished))
    frame["name"] = [Path(folder).name for folder in frame["folder"]]
    ends = frame[frame["serves"]].set_index("name")
    assert ends["trained"].to_dict() == {"full": 6.0, "stopping": 10.0} and set(frame["full_epochs"]) == {
        FULL
    }
    for run in finished:
        told = run.summary["curve"]
        of_run = frame[frame["folder"] == str(run.folder)].set_index("trained")["value"]
        assert of_run.iloc[-1] == told[-1]["returned_observed_accuracy"]
        first = told[0]["epochs"] / FULL
        assert (
            of_run.index[0] == pytest.approx(first, abs=0.1)
            and of_run.iloc[0] == told[0]["returned_observed_accuracy"]
        )
    alone, _ = read_runs([tmp_path / "full"])
    assert "full_epochs" not in results_of(alone, method_names(alone))


def test_a_front_counts_those_that_were_stopped_as_all_else_does(tmp_path: Path) -> None:
    labels = pd.DataFrame(
        {"arch": (archs := SPACE.enumerate()), "size": [float(len(set(arch))) for arch in archs]}
    )
    opened = study(tmp_path / "lab", 10, weak_labels=labels, front=["size"])
    summary = opened.report().summary
    stopped = summary["epochs"]["stopped"]
    assert stopped > 0 and summary["trained"] == len(opened.observations)
    fronts = opened.fronts()
    told = opened.observations.reset_index(drop=True)
    for trained in fronts["trained"].unique().tolist():
        part = fronts[fronts["trained"] == trained]
        assert told["state"][trained - 1] == "trained" and part["arch"].isin(told["arch"][:trained]).all()
    assert all("hypervolume" in point for point in summary["curve"])
