import base64
import gzip
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.image import imread

from acenas.report.figures import save_figure, search_curve
from acenas.report.identity import Identity
from acenas.report.page import POINTS, picture, write_report
from acenas.spaces import NasBench201
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
    assert svg.count("var(--ink)") > 8 and svg.count("var(--ground)") > 8 and "<script" not in svg
    assert style.count("#1c1c21") == 1 and "\n" not in svg
