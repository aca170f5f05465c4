import base64
import gzip
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from acenas.report.curves import MARKERS
from acenas.report.figures import save_figure, search_curve
from acenas.report.identity import Identity
from acenas.report.page import POINTS, picture, write_report
from acenas.spaces import NasBench201
from tests.report.conftest import Opened, seconds_to_load, violations
from tests.report.example import finished_search
from tests.report.runs import CELL

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that elements close as they open, and gathers what the page says and loads."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.loaded += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "data")
        ]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def data_of(page: Path) -> Any:
    """What the charts of a page are drawn from."""
    (packed,) = re.findall('<script type="text/plain" id="data">([^<]*)</script>', page.read_text())
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def draw(arch: str) -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.text(0.5, 0.5, arch)
    return figure


def test_the_report_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    properties = pd.DataFrame({"params_m": [1.5, 2.5, 3.5, 4.5]}, index=["<f>", "d", "c", "a"])
    write_report(tmp_path, finished_search(), draw, "seed: 3\nname: <b>\n", properties)
    content = (tmp_path / "report.html").read_text()
    page = Page()
    page.feed(content)
    page.close()
    assert page.open == []
    assert len([source for source in page.loaded if source.startswith("data:image/png")]) >= 4
    assert all(source.startswith(("data:", "#")) for source in page.loaded)
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", content))
    assert "@import" not in content
    assert content.count("<script") == 2, "the script, and its data"
    for expected in (
        "debug on nb201 cifar10",
        "<f>",
        "86.00 %",
        "88.00 %",
        "1.5 M parameters",
        "name: <b>",
        "acenas 0.1.0",
    ):
        assert expected in page.text
    assert "prefers-color-scheme: dark" in content
    assert 'name="viewport"' in content
    assert content.count("currentColor") > 20  # the plots' ink is the page's


def test_the_page_begins_with_what_the_run_is_called_and_how_it_came_about(tmp_path: Path) -> None:
    Identity(
        "debug, loss=<b>",
        "nb201 cifar10",
        3,
        command="python -m acenas loss='<b>'",
        date="2026-11-30 07:31",
        version="0.2.0",
        commit="1919a27+",
    ).write(tmp_path)
    write_report(tmp_path, finished_search(), draw, "")
    content = (tmp_path / "report.html").read_text()
    body = content[content.index("<body>") :]
    assert "<h1>debug, loss=&lt;b&gt; on nb201 cifar10</h1>" in body and "<b>'" not in body
    told = "seed 3 · began 2026-11-30 07:31 UTC · took 6 s · acenas 0.2.0 (commit 1919a27+)"
    assert told in body and "python -m acenas loss=&#39;&lt;b&gt;&#39;" in body
    assert body.index(told) < body.index("<h2>")


def test_figures_say_what_they_show_to_those_who_do_not_see_them(tmp_path: Path) -> None:
    write_report(tmp_path, finished_search(), draw, "")
    content = (tmp_path / "report.html").read_text()
    told = re.findall(r'<svg role="img" aria-label="([^"]*)"', content)
    assert all(f'class="chart" role="img" aria-label="{text}"' in content for text in told)
    assert len(told) == 2 and "86 at the end" in told[0] and "the returned one has rank 2" in told[1]


def test_the_figures_are_written_and_stay_the_same(tmp_path: Path) -> None:
    search = finished_search()
    write_report(tmp_path, search, draw, "seed: 3\n")
    height, width, _ = imread(tmp_path / "report.png").shape
    assert width == 1800
    assert 900 < height < 2000
    save_figure(search_curve(search), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "search_curve.svg").read_bytes()
    assert b"<image" in (tmp_path / "ranking.svg").read_bytes()  # the cloud of points


def test_one_trained_architecture_is_enough_for_a_report(tmp_path: Path) -> None:
    search = finished_search()
    one = finished_search(
        observations=search.observations.head(1),
        scores=search.scores[["arch", "round_1"]],
        observed=pd.Series({"c": 70.0}),
    )
    write_report(tmp_path, one, draw, "")
    assert (tmp_path / "report.png").exists()


def test_the_charts_show_the_space_by_predicted_rank_and_what_was_trained_when(tmp_path: Path) -> None:
    properties = pd.DataFrame({"params_m": [1.5, 2.5]}, index=["<f>", "d"])
    write_report(tmp_path, finished_search(), draw, "", properties, train="train ARCHITECTURE")
    data = data_of(tmp_path / "report.html")
    assert data["arch"] == ["e", "<f>", "d", "c", "b", "a"] and data["rank"] == [1, 2, 3, 4, 5, 6]
    assert data["values"] == {
        "observed accuracy (%)": [90, 85, 80, 70, 60, 50],
        "test accuracy (%)": [88, 86, 83, 71, None, 51],
        "M parameters": [None, 1.5, 2.5, None, None, None],
    }
    assert data["trained"] == [
        [3, 70, 1, "random"], [5, 50, 1, "random"], [1, 85, 2, "best predicted"], [2, 80, 2, "random"],
    ]  # fmt: skip
    assert (data["returned"], data["best"], data["best_value"], data["would"]) == (1, 0, 88, [71, 71, 86, 86])
    assert sorted(data["pictures"]) == ["1", "2", "3", "5"] and data["train"] == "train ARCHITECTURE"
    page = Page()
    page.feed((tmp_path / "report.html").read_text())
    assert "train <f>" in page.text and page.text.index("best predicted") < page.text.index("All trained")


def test_all_trained_are_a_table_the_best_first_and_failed_ones_last(tmp_path: Path) -> None:
    search = finished_search()
    frame = search.observations.assign(state="trained", message="")
    frame.loc[1, "observed_accuracy"] = math.nan
    write_report(tmp_path, finished_search(observations=frame), draw, "")
    content = (tmp_path / "report.html").read_text()
    table = content[content.index('<div id="trained">') : content.index("<h2>Rounds")]
    assert re.findall(r'<tr><td data-value="(\d)">', table.replace("\n", "")) == ["3", "4", "1", "2"]
    assert '<th scope="col" aria-sort="none">observed accuracy (%)</th>' in table


def test_of_a_large_space_a_page_has_the_best_ranked_and_all_trained(tmp_path: Path) -> None:
    count, trained = 40_000, ["a39999", "a17", "a30001"]
    archs = [f"a{number}" for number in range(count)]
    scores = pd.DataFrame({"arch": archs, "round_1": [-1.0 * number for number in range(count)]})
    observations = pd.DataFrame({"arch": trained, "round": 1, "reason": "random", "seconds": 1.0})
    observations = observations.assign(observed_accuracy=[1.0, 3.0, 2.0], returned=["a39999", "a17", "a17"])
    values = pd.Series([100.0 - number / count for number in range(count)], index=archs)
    search = finished_search(observations=observations, scores=scores, observed=values, test=values)
    write_report(tmp_path, search, draw, "")
    data = data_of(tmp_path / "report.html")
    assert (
        POINTS // 2 < len(data["arch"]) <= POINTS + 4 and data["arch"][: POINTS // 2] == archs[: POINTS // 2]
    )
    assert set(trained) < set(data["arch"]) and data["rank"] == sorted(data["rank"])
    assert all(arch == f"a{rank - 1:.0f}" for arch, rank in zip(data["arch"], data["rank"], strict=True))
    assert (tmp_path / "report.html").stat().st_size < 3_000_000


def test_pictures_of_cells_have_the_colours_of_the_page(tmp_path: Path) -> None:
    url = picture(NasBench201().draw(CELL))
    svg = base64.b64decode(url.removeprefix("data:image/svg+xml;base64,")).decode()
    style = svg[svg.index("<style>svg{") :]
    assert "--ink:#1c1c21;--ground:#f4f4f6" in style and "(prefers-color-scheme:dark)" in style
    assert svg.count("var(--ink)") > 8 and svg.count("var(--ground)") >= 8 and "<script" not in svg
    assert style.count("#1c1c21") == 1 and "\n" not in svg


TRAINED = 40


@pytest.fixture(scope="module")
def of_whole_space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of_whole_space(tmp_path_factory.mktemp("run"))


def page_of_whole_space(folder: Path) -> Path:
    """The page of a search of all NAS-Bench-201 cells, whose accuracies fall with their place."""
    space = NasBench201()
    archs = list(space.enumerate())
    values = pd.Series(94 - 20 * np.linspace(0, 1, len(archs)) ** 0.5, index=archs)
    trained = [archs[place**2 * 9] for place in range(TRAINED)]
    observations = pd.DataFrame({"arch": trained, "round": [1] * 20 + [2] * 20, "reason": "predicted"})
    observations = observations.assign(observed_accuracy=values[trained].to_numpy(), seconds=1.0)
    observations.loc[:2, "reason"] = "random"
    search = finished_search(
        observations=observations.assign(returned=trained[0]),
        scores=pd.DataFrame({"arch": archs, "round_1": values.to_numpy(), "round_2": values.to_numpy()}),
        observed=values,
        test=values - 0.5,
    )
    Identity("nb201_ltr", "nb201", 0, command="python -m acenas experiment=nb201_ltr").write(folder)
    costs = pd.Series(np.linspace(1, 2, len(archs)), archs).to_frame("params_m")
    write_report(folder, search, space.draw, "a: 1", costs, "train 'arch=\"ARCHITECTURE\"'")
    return folder / "report.html"


@pytest.mark.slow
def test_the_page_of_15625_architectures_is_small_and_there_within_a_second(
    of_whole_space: Path, browser: Any
) -> None:
    assert of_whole_space.stat().st_size < 3_000_000 and len(data_of(of_whole_space)["arch"]) == 15_625
    assert seconds_to_load(browser, of_whole_space) < 1


@pytest.mark.slow
def test_what_is_touched_in_a_chart_is_told_pinned_and_marked_elsewhere(
    of_whole_space: Path, browser: Any
) -> None:
    data = data_of(of_whole_space)
    with Opened(browser, of_whole_space) as page:
        details, rings = page.locator("#details"), page.locator(".ring.pinned")
        assert "The returned architecture" in details.inner_text() and data["arch"][0] in details.inner_text()

        # The best by far is the first in the ranking, at the left end; a training of the middle in the curve.
        ranking, curve = (page.locator(".chart .u-over").nth(n) for n in (0, 1))
        for chart in (ranking, curve):
            chart.scroll_into_view_if_needed()
            width, height = chart.bounding_box()["width"], chart.bounding_box()["height"]
            chart.hover(position={"x": width * 0.6, "y": height * 0.3})
            told = details.inner_text()
            assert "An architecture" in told and "observed accuracy (%)" in told and "M parameters" in told
            assert data["arch"][0] not in told
        assert "training " in told and details.locator("img").evaluate("image => image.naturalWidth > 100")
        curve.click(position={"x": width * 0.6, "y": height * 0.3})
        assert "Pinned" in details.inner_text()
        assert rings.count() == 2 and rings.first.is_visible()
        row = page.locator("#trained tr.pinned")
        assert row.count() == 1 and row.locator("button").first.get_attribute("aria-pressed") == "true"
        arch = details.locator("code").inner_text()
        assert row.locator("td").last.locator("[title]").get_attribute("title") == arch
        page.mouse.move(0, 0)
        assert arch in details.inner_text(), "it stays pinned"

        # A row does the same, by mouse and by keys.
        other = page.locator("#trained tbody tr").nth(7)
        other.hover()
        assert arch not in details.inner_text()
        other.locator("button").first.press("Enter")
        assert (
            page.locator("#trained tr.pinned button").first.inner_text()
            == other.locator("button").first.inner_text()
        )
        other.locator("button").first.press(" ")
        assert "The returned architecture" in details.inner_text(), "once more lets go"


@pytest.mark.slow
def test_keys_move_from_point_to_point_and_pin_what_is_said(of_whole_space: Path, browser: Any) -> None:
    data = data_of(of_whole_space)
    with Opened(browser, of_whole_space) as page:
        details, said = page.locator("#details"), page.locator("main > [aria-live=polite]")
        curve, rounds = page.locator(".chart").all()[1:]

        def told(*pressed: str) -> str:
            for key in pressed:
                page.keyboard.press(key)
            return str(said.inner_text())

        page.locator("#filter").focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('aria-roledescription')") == "chart"
        assert told() == "" and page.locator("#keys").inner_text().startswith("In a chart the arrow keys")
        place = 3
        observed = f"observed accuracy {data['values']['observed accuracy (%)'][place]:.2f} %"
        right = told(*["ArrowRight"] * place)
        assert right.startswith(f"predicted rank 4, {observed}, test accuracy")
        assert right.endswith(f"M parameters 1.0002, trained never, {data['arch'][place]}")
        assert (
            data["arch"][place] in details.inner_text() and page.locator(".ring.hovered:visible").count() == 1
        )
        assert told("Enter") == f"Pinned: {right}" and "Pinned" in details.inner_text()
        assert told("ArrowUp").startswith("predicted rank 3,") and told("ArrowLeft").startswith(
            "predicted rank 2,"
        )
        assert told("Shift+ArrowDown").startswith("predicted rank 12,")
        assert told("End").startswith("predicted rank 15625,") and told("Home").startswith(
            "predicted rank 1,"
        )
        assert told("Enter").startswith("The returned architecture: predicted rank 1,")
        told("ArrowRight", "Escape")
        assert page.locator(".ring.hovered:visible").count() == 0, "let go"

        curve.focus()
        assert "training 2, round 1 93.5" in told("ArrowRight") and "training 40, round 2" in told("End")
        told("Enter")
        assert page.locator("#trained tr.pinned button").first.inner_text() == "40", (
            "and what was pinned is in the table"
        )
        rounds.focus()
        assert told("ArrowRight") == "after 20 trainings; NDCG@10 1; Kendall 1"
        assert told("ArrowRight").startswith("after 40") and rounds.locator(".tip").is_visible()


@pytest.mark.slow
def test_what_charts_show_differs_in_more_than_colour(of_whole_space: Path, browser: Any) -> None:
    with Opened(browser, of_whole_space) as page:
        signs = page.locator(".answers .plots figure").first.locator("figcaption i")
        shapes = signs.evaluate_all("all => all.map(i => getComputedStyle(i).clipPath + i.clientWidth)")
        assert len(shapes) == 5 and len(set(shapes)) == 4, "trained points are larger ones of the same shape"
        drawn = page.evaluate(
            """name => {
                const canvas = new OffscreenCanvas(20, 20), context = canvas.getContext("2d");
                return Object.entries(MARKERS).map(([name, shape]) => {
                    const path = new Path2D();
                    shape(path, 10, 10, 6);
                    context.clearRect(0, 0, 20, 20);
                    context.fill(path);
                    const alpha = context.getImageData(0, 0, 20, 20).data.filter((_, i) => i % 4 === 3);
                    return [name, [...alpha].map(each => (each > 127 ? 1 : 0)).join("")];
                });
            }"""
        )
        assert {name for name, _ in drawn} == set(MARKERS) and len({shape for _, shape in drawn}) == len(
            MARKERS
        )
        assert all(60 < shape.count("1") < 150 for _, shape in drawn), "of about one size"


@pytest.mark.slow
def test_the_page_searches_sorts_and_copies(of_whole_space: Path, browser: Any) -> None:
    data = data_of(of_whole_space)
    with Opened(browser, of_whole_space) as page:
        rows = page.locator("#trained tbody:first-of-type tr")

        def column(number: int) -> list[float]:
            return [float(text) for text in rows.locator(f"td:nth-child({number})").all_inner_texts()]

        assert column(2) == sorted(column(2), reverse=True), "the best first"
        head = page.locator("#trained th", has_text="M parameters")
        head.locator("button").press(" ")
        assert head.get_attribute("aria-sort") == "descending" and column(5) == sorted(
            column(5), reverse=True
        )
        head.locator("button").press("Enter")
        assert head.get_attribute("aria-sort") == "ascending" and column(5) == sorted(column(5))

        page.fill("#filter", "random")
        assert [row.is_visible() for row in rows.all()].count(True) == 3, "any column of the table"
        page.fill("#filter", "none~0|+|NONE~0 avg_pool_3x3~2")
        count = sum("none~0|+|none~0" in arch and "avg_pool_3x3~2" in arch for arch in data["arch"])
        assert f"{count} of 15625 architectures match" in page.locator("#found").inner_text()
        untrained = page.locator("#trained tbody:last-of-type tr")
        assert untrained.count() == 30 and "not trained" in untrained.first.inner_text()
        untrained.first.locator("button").first.click()
        assert "never" in page.locator("#details").inner_text()
        page.fill("#filter", "")
        assert untrained.count() == 0 and all(row.is_visible() for row in rows.all())

        for what, expected in {
            "code:has-text('experiment=nb201_ltr') + button": "python -m acenas experiment=nb201_ltr",
            f"code:text-is('{data['arch'][0]}') + button": data["arch"][0],
            "code:has-text('train ') + button": f"train 'arch=\"{data['arch'][0]}\"'",
        }.items():
            page.locator(what).first.click()
            assert page.evaluate("navigator.clipboard.readText()") == expected
        page.locator("#trained button").nth(4).click()
        page.locator("#details button", has_text="command").click()
        arch = page.locator("#details code").inner_text()
        assert page.evaluate("navigator.clipboard.readText()") == f"train 'arch=\"{arch}\"'"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_everyone_can_read_the_page(of_whole_space: Path, browser: Any, scheme: str, width: int) -> None:
    screen = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with Opened(browser, of_whole_space, **screen) as page:
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no sideways scrolling"
        page.emulate_media(media="print")
        assert not page.locator("#filter").is_visible() and not page.locator(".chart").first.is_visible()
        assert page.locator(".static svg").first.is_visible() and page.locator("pre").is_visible()
    with Opened(browser, of_whole_space, **screen, java_script_enabled=False) as page:
        assert page.locator(".static svg").count() == 2 and page.locator(".static svg").first.is_visible()
        assert not page.locator("#filter").is_visible() and page.locator("button").count() == 0
        assert page.locator("#trained tbody tr").count() == TRAINED


@pytest.mark.slow
def test_a_drag_zooms_in_and_two_clicks_zoom_out(of_whole_space: Path, browser: Any) -> None:
    with Opened(browser, of_whole_space, viewport={"width": 1200, "height": 1400}) as page:
        chart = page.locator(".chart .u-over").first
        before = page.locator(".chart canvas").first.evaluate("canvas => canvas.toDataURL()")
        box = chart.bounding_box()
        page.mouse.move(box["x"] + 40, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + 120, steps=4)
        page.mouse.up()
        near = page.locator(".chart canvas").first.evaluate("canvas => canvas.toDataURL()")
        assert near != before and "The returned" in page.locator("#details").inner_text(), (
            "a drag pins nothing"
        )
        chart.dblclick()
        page.mouse.move(0, 0)
        assert page.locator(".chart canvas").first.evaluate("canvas => canvas.toDataURL()") == before
