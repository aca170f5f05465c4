import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.image import imread

from acenas.report.figures import save_figure, search_curve
from acenas.report.identity import Identity
from acenas.report.page import write_report
from tests.report.example import finished_search

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
    assert "<script" not in content
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
    told = re.findall(r'<svg role="img" aria-label="([^"]*)"', (tmp_path / "report.html").read_text())
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
