"""Libraries of charts side by side: their size, and the time until 15,625 points are drawn; see pages.md.

`npm install uplot plotly.js-basic-dist-min vega vega-lite d3 @observablehq/plot`, then
`python -m benchmarks.pages node_modules`; needs `.[browser]` and a Chromium. Without a folder of
libraries the pages of the slow tests are made and loaded.
"""

import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

POINTS, TRIES = 15_625, 5
LIBRARIES = {
    "uPlot": (
        ["uplot/dist/uPlot.iife.min.js"],
        """new uPlot({width: 700, height: 450, scales: {x: {time: false, distr: 3}},
        series: [{}, {paths: () => null, points: {show: true, size: 4}}]}, D, document.getElementById("c"))""",
    ),
    "Observable Plot": (
        ["d3/dist/d3.min.js", "@observablehq/plot/dist/plot.umd.min.js"],
        """document.getElementById("c").append(Plot.plot({width: 700, height: 450, x: {type: "log"},
        marks: [Plot.dot(D[0].map((x, i) => [x, D[1][i]]), {tip: true})]}))""",
    ),
    "Vega-Lite": (
        ["vega/build/vega.min.js", "vega-lite/build/vega-lite.min.js"],
        """new vega.View(vega.parse(vegaLite.compile({data: {values: D[0].map((x, i) => ({x, y: D[1][i]}))},
        mark: {type: "point", tooltip: true}, width: 700, height: 450, encoding: {
        x: {field: "x", type: "quantitative", scale: {type: "log"}}, y: {field: "y", type: "quantitative"}}}).spec),
        {renderer: "canvas", container: "#c", hover: true}).run()""",
    ),
    "Plotly basic": (
        ["plotly.js-basic-dist-min/plotly-basic.min.js"],
        """Plotly.newPlot("c", [{x: D[0], y: D[1], mode: "markers", type: "scatter"}],
        {xaxis: {type: "log"}, width: 700, height: 450})""",
    ),
}


def pages() -> None:
    """Prints a row for each page of the slow tests: kilobytes, seconds of the core and of the clock, medians."""
    from playwright.sync_api import sync_playwright

    from tests.report.conftest import seconds_to_load
    from tests.report.test_page import page_of_whole_space
    from tests.report.test_report_command import page_of_benchmark

    with sync_playwright() as started, tempfile.TemporaryDirectory() as folder:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for make in (page_of_whole_space, page_of_benchmark):
            place = Path(folder) / make.__name__
            place.mkdir()
            with redirect_stdout(None):
                page = make(place)
            clock, core = [], []
            for _ in range(TRIES):
                start = time.monotonic()
                core.append(seconds_to_load(browser, page))
                clock.append(time.monotonic() - start)
            row = (
                f"{page.stat().st_size / 1000:.0f}",
                *(f"{statistics.median(each):.2f}" for each in (core, clock)),
            )
            print(f"| {' | '.join((make.__name__, *row))} |")


def main(modules: Path) -> None:
    """Prints a row for each library."""
    from playwright.sync_api import sync_playwright

    chance = random.Random(0)
    values = [round(95 - 8 * (i / POINTS) ** 0.7 - chance.expovariate(0.5), 2) for i in range(POINTS)]
    data = json.dumps([list(range(1, POINTS + 1)), values])
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    drawn = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    with sync_playwright() as started, tempfile.TemporaryDirectory() as folder:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (files, draw) in LIBRARIES.items():
            code = [(modules / file).read_text(encoding="utf-8") for file in files]
            scripts = "".join(f"<script>{each}</script>" for each in [*code, f"const D = {data}; {draw}"])
            page = Path(folder) / "page.html"
            page.write_text(f"<!doctype html><meta charset=utf-8><div id=c></div>{scripts}", encoding="utf-8")
            clock, core = [], []
            for _ in range(TRIES):
                opened = browser.new_context().new_page()
                start = time.monotonic()
                opened.goto(page.as_uri())
                opened.evaluate(drawn)
                clock.append(time.monotonic() - start)
                session = opened.context.new_cdp_session(opened)
                session.send("Performance.enable")
                metrics = session.send("Performance.getMetrics")["metrics"]
                core.append(next(one["value"] for one in metrics if one["name"] == "ProcessTime"))
                opened.context.close()
            kilobytes = sum(len(each.encode()) for each in code) / 1000
            print(f"| {name} | {kilobytes:.0f} | {min(clock):.2f} | {statistics.median(core):.2f} |")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1])) if sys.argv[1:] else pages()
