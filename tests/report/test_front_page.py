"""The parts of pages on fronts: what they say, and in a browser what they answer."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from acenas.ranking.fronts import non_dominated
from acenas.report.command import main
from acenas.report.figures import front_figure
from acenas.report.front import attained, steps, true_front, write_front
from acenas.report.page import write_report
from acenas.report.summary import FinishedSearch
from acenas.spaces import NasBench201
from tests.report.conftest import Opened, seconds_to_load, violations
from tests.report.example import finished_search
from tests.report.runs import finished_run
from tests.report.test_front import searched
from tests.report.test_page import Page, data_of, draw

COMMAND = "python -m acenas experiment=final from_run=lab search_member=MEMBER"
TRAINED = 60


def test_the_best_for_so_much_of_a_cost_never_gets_worse() -> None:
    costs, values = np.array([3.0, 1.0, 2.0, 2.0, np.nan]), np.array([7.0, 5.0, 4.0, 6.0, 9.0])
    for direction, sign, expected in (
        ("min", 1, [(1, 5), (2, 6), (2, 6), (3, 7)]),
        ("max", 1, [(3, 7), (2, 7), (2, 7), (1, 7)]),
        ("min", -1, [(1, 5), (2, 4), (2, 4), (3, 4)]),
    ):
        found = [tuple(pair) for pair in zip(*steps(costs, values, direction, sign), strict=True)]
        assert found == expected


def test_the_true_front_is_that_of_the_test_values_known() -> None:
    assert true_front(searched({"params_m": "min"})) == ["a", "c", "d", "<f>", "e"]
    # Of speeds 9, 9, 7, 8, 3, 3 and 51, unknown, 71, 83, 88, 86 percent.
    assert true_front(searched({"speed": "max"})) == ["a", "d", "e"]
    trained = ["a", "c", "d", "<f>"]
    costs = searched({"params_m": "min"}).known_costs.loc[trained]
    assert true_front(searched({"params_m": "min"}, known_costs=costs)) == []


def test_the_page_has_the_members_of_the_front_and_how_to_train_each(tmp_path: Path) -> None:
    write_report(tmp_path, searched({"params_m": "min", "speed": "max"}), draw, "", train_member=COMMAND)
    content = (tmp_path / "report.html").read_text()
    page = Page()
    page.feed(content)
    assert page.open == [] and "Accuracy against cost" in page.text
    assert "3 of the trained architectures: no other is as good at as low a cost." in page.text
    assert "of the true front's hypervolume" in page.text and "search_member=K" in page.text
    table = content[content.index('<div id="members">') : content.index("<h2>The search")]
    assert re.findall(r"<td[^>]*>([^<]*)</td>", table) == [
        "0", "50.00", "51.00", "1", "9", "1", "knee", "a",
        "1", "70.00", "71.00", "2", "7", "1", "–", "c",
        "2", "85.00", "86.00", "5", "3", "2", "–", "&lt;f&gt;",
    ]  # fmt: skip
    assert data_of(tmp_path / "report.html")["front"] == {
        "y": "test accuracy (%)",
        "costs": [{"name": "M parameters", "sign": 1}, {"name": "speed", "sign": -1}],
        "members": ["a", "c", "<f>"],
        "knee": ["a"],
        "true": true_front(searched({"params_m": "min", "speed": "max"})),
        "predicted": None,
        "train": COMMAND,
    }
    assert (tmp_path / "front.svg").exists() and not (tmp_path / "costs.svg").exists()


def test_a_page_without_a_front_says_nothing_of_one(tmp_path: Path) -> None:
    write_report(tmp_path, finished_search(), draw, "")
    content = (tmp_path / "report.html").read_text()
    assert "front" not in data_of(tmp_path / "report.html") and 'id="front"' not in content
    assert not (tmp_path / "front.svg").exists()


def test_a_front_with_limits_is_drawn_once(tmp_path: Path) -> None:
    both = {"limits": {"params_m": 9.0}, "costs": searched({"params_m": "min"}).costs}
    write_report(tmp_path, searched({"params_m": "min"}, **both), draw, "")
    content = (tmp_path / "report.html").read_text()
    assert "<h2>Constraints" in content and content.count("No other trained architecture is as accurate") == 0
    axes = front_figure(searched({"params_m": "min"}, **both)).axes[0]
    assert "limit" in axes.get_legend_handles_labels()[1]


def test_the_figure_draws_both_fronts_as_steps() -> None:
    figure = front_figure(searched({"params_m": "min", "speed": "max"}))
    of_params, of_speed = figure.axes
    true, found = of_params.get_lines()[:2]
    # The true front of both costs, (51, 1), (71, 2), (83, 4), (86, 5), (88, 6), and as good as ever beyond.
    assert np.asarray(true.get_xdata()).tolist() == [1, 2, 4, 5, 6, 6]
    assert np.asarray(true.get_ydata()).tolist() == [51, 71, 83, 86, 88, 88]
    assert np.asarray(found.get_xdata()).tolist() == [1, 2, 5, 6] and found.get_drawstyle() == "steps-post"
    assert np.asarray(found.get_ydata()).tolist() == [51, 71, 86, 86]
    by_speed = of_speed.get_lines()[1]
    assert (
        np.asarray(by_speed.get_xdata()).tolist() == [3, 3, 7, 9] and by_speed.get_drawstyle() == "steps-pre"
    )
    assert np.asarray(by_speed.get_ydata()).tolist() == [86, 86, 71, 51]


@pytest.mark.parametrize(
    "changes",
    [
        {"fronts": pd.DataFrame({"trained": [], "arch": []})},
        {"fronts": pd.DataFrame({"trained": [4], "arch": ["c"]})},
        {"test": None, "known_costs": pd.DataFrame()},
    ],
    ids=["no member", "one member", "only what was trained is known"],
)
def test_any_front_has_a_page(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_report(tmp_path, searched({"params_m": "min"}, **changes), draw, "")
    assert 'id="front"' in (tmp_path / "report.html").read_text()


def of_all_cells() -> FinishedSearch:
    """A search of all NAS-Bench-201 cells for accuracy against three costs, of which one can be negative."""
    archs, random = list(NasBench201().enumerate()), np.random.default_rng(0)
    params = 10 ** random.uniform(-3, 0, len(archs))
    values = pd.Series(90 + 8 * np.log10(params) - random.exponential(3, len(archs)), archs).round(2)
    costs = pd.DataFrame(
        {"params_m": params, "balance": random.normal(0, 1, len(archs)).round(3), "speed": 1 / params}, archs
    )
    trained = random.choice(archs, TRAINED, replace=False).tolist()
    points = np.column_stack(
        [-values[trained], costs.loc[trained, "params_m"], costs.loc[trained, "balance"]]
    )
    members = np.array(trained)[non_dominated(points)]
    observations = pd.DataFrame(
        {"arch": trained, "round": [1] * 30 + [2] * 30, "reason": "gains hypervolume"}
    )
    best = values[trained].idxmax()
    return finished_search(
        observations=observations.assign(
            observed_accuracy=values[trained].to_numpy(), seconds=1.0, returned=best
        ),
        scores=pd.DataFrame({"arch": archs, "round_1": values.to_numpy(), "round_2": values.to_numpy()}),
        observed=values,
        test=values - 0.5,
        front={"params_m": "min", "balance": "min", "speed": "max"},
        fronts=pd.DataFrame({"trained": TRAINED, "arch": members}),
        costs=costs.loc[trained],
        known_costs=costs,
    )


def with_predictions(search: FinishedSearch) -> FinishedSearch:
    """The same with a prediction of each cell, and of its energy, which is known after a training only."""
    value = search.observed.reindex(search.scores["arch"]) + 0.25
    frame = pd.DataFrame({"arch": value.index, "predicted_accuracy": value.to_numpy()})
    frame = frame.assign(predicted_from=value.to_numpy() - 1, predicted_to=value.to_numpy() + 2)
    params = search.known_costs["params_m"]
    energy = 100 * params.reindex(search.observations["arch"])
    return replace(
        search,
        front={"params_m": "min", "energy": "min"},
        costs=search.costs[["params_m"]].assign(energy=energy),
        known_costs=pd.DataFrame(),
        predicted=frame.assign(params_m=params.to_numpy(), predicted_energy=100 * params.to_numpy()),
    )


def test_the_page_has_what_is_predicted_of_what_was_not_trained(tmp_path: Path) -> None:
    base = searched({"params_m": "min", "speed": "max"})
    predicted = pd.DataFrame(
        {
            "arch": ["a", "b", "e"],
            "predicted_accuracy": [50.0, 61.123, 89.0],
            "predicted_from": [49.0, 60.0, 88.0],
            "predicted_to": [51.0, 62.0, 90.0],
            "params_m": [1.0, 1.0, 6.0],
            "predicted_speed": [9.0, 8.5, 3.5],
        }
    )
    write_report(tmp_path, replace(base, predicted=predicted), draw, "")
    data = data_of(tmp_path / "report.html")
    known = dict(zip(data["arch"], zip(*data["front"]["predicted"]["sides"], strict=True), strict=True))
    assert known == {"b": (60, 62), "e": (88, 90)} | dict.fromkeys(["a", "c", "d", "<f>"], (None, None))
    values = dict(zip(data["arch"], data["front"]["predicted"]["value"], strict=True))
    assert values["b"] == 61.12 and values["a"] is None, "what was trained needs no prediction"
    assert data["front"]["predicted"]["label"] == "predicted accuracy (%)"
    assert set(data["front"]["predicted"]["costs"]) == {"speed"}
    text = (tmp_path / "report.html").read_text()
    assert "is shown with what is predicted to be observed of it" in text and 'data-shows="predicted"' in text
    written = pd.read_parquet(write_and_find(tmp_path, replace(base, predicted=predicted)))
    pd.testing.assert_frame_equal(written, predicted)


def test_a_given_member_is_shown_as_one(tmp_path: Path) -> None:
    given = pd.DataFrame({"arch": ["b"], "observed_accuracy": [60.0], "energy": [3.0]})
    base = searched({"params_m": "min"}, test=None, known_costs=pd.DataFrame())
    observed = pd.Series([70.0, 50, 85, 80, 60], ["c", "a", "<f>", "d", "b"])
    fronts = pd.DataFrame({"trained": [4, 4, 4], "arch": ["b", "c", "<f>"]})
    search = replace(base, given=given, fronts=fronts, observed=observed)
    write_report(tmp_path, search, draw, "")
    content, data = (tmp_path / "report.html").read_text(), data_of(tmp_path / "report.html")
    assert "3 of the trained and given architectures" in content
    table = content[content.index('<div id="members">') : content.index("<h2>The search")]
    assert re.findall(r"<td[^>]*>([^<]*)</td>", table)[:6] == ["0", "60.00", "1", "given", "–", "b"]
    assert [data["arch"][place] for place in data["given"]] == ["b"]
    values = dict(zip(data["arch"], data["values"][data["front"]["y"]], strict=True))
    assert values["b"] == 60 and values["e"] is None


def write_and_find(folder: Path, search: FinishedSearch) -> Path:
    write_front(folder, search)
    return folder / "front_predicted.parquet"


def test_where_nothing_predicts_values_the_page_says_so(tmp_path: Path) -> None:
    write_report(tmp_path, searched({"params_m": "min"}), draw, "")
    text = (tmp_path / "report.html").read_text()
    assert "This search predicts no values, only an order" in text and 'data-shows="predicted"' not in text
    assert not write_and_find(tmp_path, searched({"params_m": "min"})).exists()


def test_of_a_large_space_the_best_predicted_are_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acenas.report.page.POINTS", 20)
    monkeypatch.setattr("acenas.report.page.OF_PREDICTED", 500)
    search = with_predictions(of_all_cells())
    write_report(
        tmp_path, replace(search, observed=search.observed[search.observations["arch"]], test=None), draw, ""
    )
    shown = data_of(tmp_path / "report.html")["arch"]
    assert len(shown) <= 20 + 1 + 500 + TRAINED
    rows = search.predicted[~search.predicted["arch"].isin(search.observations["arch"])]
    points = rows[["predicted_accuracy", "params_m", "predicted_energy"]].to_numpy() * [-1, 1, 1]
    front = rows["arch"][non_dominated(points)]
    assert 0 < len(front) <= 500 and set(front) <= set(shown)
    figure = front_figure(replace(search, observed=search.observed[search.observations["arch"]], test=None))
    assert "predicted" in figure.axes[0].get_legend_handles_labels()[1]


@pytest.fixture(scope="module")
def of_front(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("front")
    write_report(folder, of_all_cells(), NasBench201().draw, "a: 1", train_member=COMMAND)
    return folder / "report.html"


@pytest.mark.slow
def test_the_page_of_a_front_of_15625_architectures_is_small_and_there_at_once(
    of_front: Path, browser: Any
) -> None:
    assert of_front.stat().st_size < 3_000_000 and len(data_of(of_front)["arch"]) == 15_625
    assert seconds_to_load(browser, of_front) < 1


def place_of(page: Any, arch: str) -> dict[str, float]:
    """Where an architecture lies in the chart of the front, in pixels."""
    where: dict[str, float] = page.evaluate(
        """arch => {
            const u = plots.find(u => document.querySelector("#front .chart").contains(u.root));
            const x = document.querySelector("#front select").value;
            const [at, y] = window.pointOf(arch, x);
            return {x: u.valToPos(at, "x"), y: u.valToPos(y, "y")};
        }""",
        arch,
    )
    return where


@pytest.fixture
def opened(of_front: Path, browser: Any) -> Any:
    """The page, which can tell the values of an architecture."""
    with Opened(browser, of_front, viewport={"width": 1200, "height": 1400}) as page:
        data = data_of(of_front)
        y = data["values"][data["front"]["y"]]
        points = {
            arch: {name: [column[i], y[i]] for name, column in data["values"].items()}
            for i, arch in enumerate(data["arch"])
            if arch in data["front"]["members"]
        }
        page.evaluate("points => (window.pointOf = (arch, x) => points[arch][x])", points)
        yield page


@pytest.mark.slow
def test_a_member_is_told_on_hover_pinned_on_click_and_marked_in_the_table(
    opened: Any, of_front: Path
) -> None:
    page, front = opened, data_of(of_front)["front"]
    chart, details = page.locator("#front .u-over"), page.locator("#front .details")
    assert chart.count() == 1 and "The returned architecture" in details.inner_text()
    arch = front["knee"][0]
    chart.hover(position=place_of(page, arch))
    told = details.inner_text()
    assert f"member {front['members'].index(arch)} of the front" in told and arch in told.replace("\n", "")
    assert all(cost["name"] in told for cost in front["costs"])
    assert details.locator("img").evaluate("image => image.naturalWidth > 100")
    assert page.locator("#members tr.hovered td").last.locator("[title]").get_attribute("title") == arch
    chart.click(position=place_of(page, arch))
    page.mouse.move(0, 0)
    assert "Pinned, member" in details.inner_text() and page.locator("#front .ring.pinned").is_visible()
    details.locator("button", has_text="copy its string").click()
    assert page.evaluate("navigator.clipboard.readText()") == arch
    assert page.locator("#trained tr.pinned").count() == 1, "and in the table of all trained"
    assert arch in page.locator("#details").inner_text().replace("\n", ""), "and beside the other charts"


@pytest.mark.slow
def test_the_cost_and_a_logarithmic_axis_can_be_chosen(opened: Any, of_front: Path) -> None:
    page, front = opened, data_of(of_front)["front"]
    box, said = page.locator("#front"), page.locator("#front [role=status]").first
    select, log = box.locator("select"), box.locator("input[type=checkbox]")
    names = [cost["name"] for cost in front["costs"]]
    assert select.locator("option").all_inner_texts() == names == ["M parameters", "balance", "speed"]
    data, picture = data_of(of_front), "canvas => canvas.toDataURL()"
    params = dict(zip(data["arch"], data["values"]["M parameters"], strict=True))
    arch = min(
        front["members"], key=lambda arch: abs(params[arch] - 0.03)
    )  # in the middle of a logarithmic axis
    before, drawn = place_of(page, arch), box.locator("canvas").evaluate(picture)
    log.check()
    after = place_of(page, arch)
    assert after["x"] > before["x"] + 40 and after["y"] == before["y"]
    box.locator(".u-over").hover(position=after)
    assert arch in box.locator(".details").inner_text().replace("\n", "")

    select.select_option("balance")
    assert log.is_disabled() and not log.is_checked()
    low = sum(value <= 0 for value in data["values"]["balance"])
    told = f"{low} of 15625 architectures have zero or less of balance: no logarithmic axis shows them."
    assert said.inner_text() == told
    select.select_option("speed")
    assert log.is_enabled() and said.inner_text() == ""
    box.locator(".u-over").hover(position=place_of(page, arch))
    assert arch in box.locator(".details").inner_text().replace("\n", "")
    select.select_option("M parameters")
    page.mouse.move(0, 0)
    assert box.locator("canvas").count() == 1 and box.locator("canvas").evaluate(picture) == drawn
    assert page.evaluate("plots.length") == 4, "no chart is left behind"


@pytest.mark.slow
def test_keys_lead_along_the_front(opened: Any, of_front: Path) -> None:
    page, said = opened, opened.locator("main > [aria-live=polite]")
    chart = page.locator("#front .chart")
    chart.focus()
    page.keyboard.press("Home")
    data = data_of(of_front)
    least = min(range(15_625), key=lambda place: data["values"]["M parameters"][place])
    assert said.inner_text().endswith(data["arch"][least])
    page.keyboard.press("End")
    most = max(range(15_625), key=lambda place: data["values"]["M parameters"][place])
    assert said.inner_text().endswith(data["arch"][most])
    page.keyboard.press("Enter")
    assert said.inner_text().startswith("Pinned: ") and page.locator("#front .ring.pinned").is_visible()
    page.locator("#front select").select_option("speed")
    chart.focus()
    page.keyboard.press("Home")
    assert said.inner_text().endswith(data["arch"][most]), "what has the most parameters is the slowest"


@pytest.mark.slow
def test_the_table_of_members_sorts_filters_and_copies(opened: Any, of_front: Path) -> None:
    page, members = opened, data_of(of_front)["front"]["members"]
    rows = page.locator("#members tbody tr")
    assert rows.count() == len(members) > 5
    heads = page.locator("#members th").all_inner_texts()
    place = 1 + [head.split("\n")[0] for head in heads].index("balance")
    head = page.locator("#members th").nth(place - 1)

    def column(number: int) -> list[float]:
        return [float(text) for text in rows.locator(f"td:nth-child({number})").all_inner_texts()]

    head.locator("button").click()
    assert column(place) == sorted(column(place), reverse=True)
    head.locator("button").press("Enter")
    assert column(place) == sorted(column(place)) and column(1) != sorted(column(1))
    first = int(column(1)[0])
    rows.first.locator("button", has_text="copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == COMMAND.replace("MEMBER", str(first))
    rows.first.hover()
    assert members[first] in page.locator("#front .details").inner_text().replace("\n", "")
    page.locator("#front input[type=search]").fill("knee")
    assert [row.is_visible() for row in rows.all()].count(True) == 1
    assert page.locator("#front [role=status]").last.inner_text() == f"1 of {len(members)} members"
    page.locator("#front input[type=search]").fill("")
    assert all(row.is_visible() for row in rows.all())


@pytest.fixture(scope="module")
def of_predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a search that knows nothing of a cell before it is trained."""
    folder, search = tmp_path_factory.mktemp("predicted"), with_predictions(of_all_cells())
    search = replace(search, observed=search.observed[search.observations["arch"]], test=None)
    write_report(folder, search, NasBench201().draw, "a: 1")
    return folder / "report.html"


@pytest.mark.slow
def test_what_is_predicted_is_told_on_hover_and_can_be_switched_off(of_predicted: Path, browser: Any) -> None:
    data = data_of(of_predicted)
    predicted, params = data["front"]["predicted"], data["values"]["M parameters"]
    # The best predicted of all stands alone.
    best = max(range(len(params)), key=lambda place: predicted["value"][place] or 0)
    assert of_predicted.stat().st_size < 3_000_000
    with Opened(browser, of_predicted, viewport={"width": 1200, "height": 1400}) as page:
        box, details = page.locator("#front"), page.locator("#front .details")

        def hover(cost: str, at: float) -> None:
            where = page.evaluate(
                """([at, y]) => {
                    const u = plots.find(u => document.querySelector("#front .chart").contains(u.root));
                    return {x: u.valToPos(at, "x"), y: u.valToPos(y, "y")};
                }""",
                [at, predicted["value"][best]],
            )
            page.mouse.move(0, 0)
            box.locator(".u-over").hover(position=where)

        hover("M parameters", params[best])
        told = details.inner_text()
        assert "An architecture, predicted" in told and data["arch"][best] in told.replace("\n", "")
        low, high = (side[best] for side in predicted["sides"])
        assert f"{predicted['value'][best]:.2f} ({low:.2f} to {high:.2f})" in told and "never" in told
        assert f"predicted energy\n{predicted['costs']['energy'][best]:g}" in told
        switch, picture = box.locator("button[data-shows=predicted]"), "canvas => canvas.toDataURL()"
        assert switch.get_attribute("aria-pressed") == "true"
        page.mouse.move(0, 0)
        drawn = box.locator("canvas").evaluate(picture)
        switch.click()
        assert switch.get_attribute("aria-pressed") == "false"
        hover("M parameters", params[best])
        assert "predicted" not in details.locator("h3").inner_text()
        page.mouse.move(0, 0)
        assert box.locator("canvas").evaluate(picture) != drawn
        switch.press("Enter")
        page.mouse.move(0, 0)
        assert box.locator("canvas").evaluate(picture) == drawn
        box.locator("select").select_option("energy")
        hover("energy", predicted["costs"]["energy"][best])
        assert data["arch"][best] in details.inner_text().replace("\n", ""), "at its predicted cost"
        assert violations(page) == []


@pytest.mark.slow
@pytest.mark.parametrize("clipboard", [True, False])
def test_a_click_on_its_string_copies_an_architecture(of_front: Path, browser: Any, clipboard: bool) -> None:
    """From a file, without a server; and where a browser has no clipboard that scripts may write to."""
    with Opened(browser, of_front, viewport={"width": 1200, "height": 1400}) as page:
        if not clipboard:
            page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        pasted = page.locator("#filter")

        def copied() -> str:
            pasted.fill("")
            pasted.press("Control+V")
            found: str = pasted.input_value()
            pasted.fill("")
            return found

        data = data_of(of_front)
        in_table = page.locator("#members tbody tr").first.locator("button.string")
        in_table.click()
        page.locator("#members button.string", has_text="copied").wait_for()
        assert copied() == data["front"]["members"][0]
        page.locator("#trained tbody tr").nth(2).hover()
        in_panel = page.locator("#front .details button.string")
        arch = in_panel.inner_text().replace("\n", "")
        page.locator("#trained tbody tr").nth(2).locator("button").first.click()
        in_panel.press("Enter")
        page.locator("#front .details button.string", has_text="copied").wait_for()
        assert copied() == arch
        page.wait_for_timeout(1600)
        assert in_panel.inner_text().replace("\n", "") == arch


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_everyone_can_read_a_front(of_front: Path, browser: Any, scheme: str, width: int) -> None:
    screen = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with Opened(browser, of_front, **screen) as page:
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no sideways scrolling"
        page.emulate_media(media="print")
        assert not page.locator("#front").is_visible() and page.locator("#members table").is_visible()
    with Opened(browser, of_front, **screen, java_script_enabled=False) as page:
        assert page.locator(".static svg").count() == 3 and page.locator(".static svg").first.is_visible()
        assert not page.locator("#front").is_visible() and page.locator("#members table").is_visible()


def test_what_half_of_the_seeds_reach_is_worked_out_by_hand() -> None:
    fronts = [(np.array([3.0, 1.0]), np.array([7.0, 5.0])), (np.array([2.0]), np.array([6.0]))]
    fronts.append((np.array([1.0]), np.array([4.0])))
    median, low, high = attained(fronts, np.array([1.0, 2.0, 3.0]), "min", 1)
    assert median.tolist() == [4, 5, 6] and high.tolist() == [5, 6, 7]
    assert np.isnan(low[0]) and low[1:].tolist() == [4, 4]
    median, *_ = attained(fronts, np.array([1.0, 2.0, 3.0]), "max", 1)
    assert median[:2].tolist() == [6, 6] and np.isnan(median[2]), "one of three is as good as 3"
    losses, _, best = attained(fronts, np.array([3.0]), "min", -1)
    assert losses.tolist() == [5] and best.tolist() == [4]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fronts of two methods, of two seeds each, and a run without one."""
    folder = tmp_path_factory.mktemp("fronts")
    for number in range(4):
        name, seed = ("a", "b")[number // 2], number % 2
        run = finished_run(folder / "runs", number, [f"loss={name}"], loss=name, seed=seed)
        members = [
            {
                "arch": f"{cost}",
                "observed_accuracy": 50.0 + 10 * cost,
                "test_accuracy": 51.0 + 10 * cost + number,
                "costs": {"params_m": cost},
                "knee": cost == 2.0,
            }
            for cost in (1.0, 2.0, 3.0)
        ]
        front = {
            "costs": {"params_m": "min"},
            "reference_point": {"accuracy": 40.0, "params_m": 4.0},
            "hypervolume": 0.5,
            "hypervolume_share": 0.8 + number / 100,
            "igd_plus": 0.1,
            "found": 0.0,
            "members": members,
            "knee": 1,
        }
        summary = json.loads((run / "summary.json").read_text()) | {"front": front}
        (run / "summary.json").write_text(json.dumps(summary))
        curve = pd.DataFrame({"trained": range(1, 21), "hypervolume": 0.5, "igd_plus": 0.1})
        curve.assign(hypervolume_share=np.linspace(0.1, 0.8 + number / 100, 20)).to_parquet(
            run / "front_curve.parquet"
        )
        true = pd.DataFrame({"arch": ["x", "y"], "test_accuracy": [70.0, 99.0], "params_m": [1.0, 2.5]})
        true.to_parquet(run / "front_true.parquet")
    finished_run(folder / "runs", 9, ["loss=a"], loss="a", seed=0)
    assert main([str(folder / "runs"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_fronts_are_compared_by_hypervolume_and_side_by_side(compared: Path) -> None:
    text = (compared / "comparison.md").read_text()
    assert "front of test accuracy" in text and "nb201 cifar10, test accuracy" in text
    assert "| loss=a | 0.805 ± 0.005 |" in text and "| loss=b | 0.825 ± 0.005 |" in text
    assert "hypervolume_share" not in text
    metrics = set(pd.read_csv(compared / "comparison.csv")["metric"])
    assert {
        "hypervolume_share",
        "hypervolume_share_missed",
        "igd_plus",
        "test_accuracy",
        "test_regret",
    } <= metrics
    assert (compared / "fronts.svg").exists() and (compared / "fronts.png").exists()
    charts = data_of(compared / "index.html")["charts"]
    (of_fronts,) = [chart for chart in charts if chart.get("steps")]
    assert (of_fronts["x"], of_fronts["label"], of_fronts["steps"]) == (
        "M parameters",
        "test accuracy (%)",
        "after",
    )
    # Of two seeds, the median is what both reach.
    assert of_fronts["lines"]["loss=a"] == [
        [1, 2, 2.5, 3],
        [61, 71, 71, 81],
        [61, 71, 71, 81],
        [62, 72, 72, 82],
    ]
    assert of_fronts["lines"]["loss=b"][1] == [63, 73, 73, 83]
    assert of_fronts["true"] == [70, 70, 99, 99], "the best that is known for so much"
    assert of_fronts["range"][0] < 61 and of_fronts["range"][1] > 99
    assert (compared / "fronts.svg").read_text().count("stroke-dasharray") >= 1
    shares = next(chart for chart in charts if chart["label"] == "share of hypervolume")
    assert shares["lines"]["loss=a"][1][-1] == pytest.approx(0.805)
    assert len(shares["lines"]["loss=a"][0]) == 20, "after every training"


@pytest.mark.slow
def test_fronts_side_by_side_answer(compared: Path, browser: Any) -> None:
    with Opened(browser, compared / "index.html") as page:
        place = [bool(chart.get("steps")) for chart in data_of(compared / "index.html")["charts"]].index(True)
        chart = page.locator(".chart").nth(place)
        chart.focus()
        page.keyboard.press("ArrowRight")
        said = page.locator("main > [aria-live=polite]").inner_text()
        assert said.startswith("M parameters 1: what half of the seeds reach; true front: 70.00; loss=b: 63")
        assert "loss=a: 61" in said and "quartiles" in said
        page.keyboard.press("End")
        assert "loss=a: 81" in page.locator("main > [aria-live=polite]").inner_text()
        page.locator("#methods input").first.uncheck()
        page.keyboard.press("Escape")
        chart.focus()
        page.keyboard.press("Home")
        assert "loss=a" not in page.locator("main > [aria-live=polite]").inner_text()
        assert violations(page) == []
