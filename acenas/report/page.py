"""`report.html`: one file that needs nothing else, to be read on a phone and in the dark as well."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from acenas.files import number, write_text
from acenas.report.figures import (
    INK,
    cost_fronts,
    figure_bytes,
    report_figure,
    save_figure,
    score_scatter,
    search_curve,
)
from acenas.report.summary import (
    FinishedSearch,
    best_architectures,
    build_summary,
    cost_unit,
    pareto_front,
)

STYLE_SHEET = """:root { color-scheme: light dark; --ground: #fff; --card: #f4f4f6; --ink: #1c1c21; --faint: #62626b; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #16161a; --card: #232329; --ink: #ececf1; --faint: #a5a5b0; }
}
body { margin: 0 auto; max-width: 70rem; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p.sub, dt, figcaption, th { color: var(--faint); }
code { overflow-wrap: anywhere; font-size: .85rem; }
dl.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; }
dl.facts div { background: var(--card); border-radius: .5rem; padding: .6rem .8rem; }
dd { margin: 0; font-size: 1.35rem; font-weight: 600; }
.plots, .cells { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
.cells { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
.plots svg { width: 100%; height: auto; }
figure { margin: 0; background: var(--card); border-radius: .5rem; padding: .6rem; }
figure img { width: 100%; background: #fff; border-radius: .3rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { text-align: right; padding: .25rem .75rem .25rem 0; font-variant-numeric: tabular-nums; }
td:not(.text) { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
pre { background: var(--card); border-radius: .5rem; padding: .8rem; overflow-x: auto; font-size: .8rem; }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  .plots { grid-template-columns: 1fr 1fr; }
  .wide { overflow: visible; }
  figure, dl.facts div, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
"""
"""Of every page: light and dark, for a narrow screen and for paper."""

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<h1>$title</h1>
<p class="sub">$subtitle</p>
<h2>Returned architecture</h2>
<p><code>$returned</code></p>
<dl class="facts">$facts</dl>
<h2>The search</h2>
<div class="plots"><figure>$curve</figure><figure>$scatter</figure></div>
$constraints<h2>Metrics of the last round</h2>
<div class="wide">$metrics</div>
<h2>Best trained architectures</h2>
<div class="cells">$cells</div>
<h2>Rounds</h2>
<div class="wide">$rounds</div>
<h2>Time and versions</h2>
<div class="wide">$seconds</div>
<p class="sub">$versions</p>
<details><summary>Configuration</summary><pre>$configuration</pre></details>
</body>
</html>
""")


def write_report(
    folder: str | Path,
    search: FinishedSearch,
    draw: Callable[[str], Figure],
    configuration: str,
    properties: pd.DataFrame | None = None,
) -> None:
    """Writes `report.html`, `report.png`, `search_curve.svg` and `ranking.svg` (and `costs.svg`) into `folder`.

    Args:
        folder: The run folder.
        search: The finished search.
        draw: Makes a picture of an architecture.
        configuration: The resolved configuration, as the page shows it.
        properties: The costs of architectures: one row per architecture (index), columns as `cost_unit` has them.
    """
    folder = Path(folder)
    best = best_architectures(search)
    pictures = [draw(arch) for arch in best["arch"]]
    save_figure(search_curve(search), folder / "search_curve.svg")
    save_figure(score_scatter(search), folder / "ranking.svg")
    if search.limits:
        save_figure(cost_fronts(search), folder / "costs.svg")
    save_figure(report_figure(search, best, pictures), folder / "report.png")
    write_text(folder / "report.html", build_page(search, best, pictures, configuration, properties))


def build_page(
    search: FinishedSearch,
    best: pd.DataFrame,
    pictures: Sequence[Figure],
    configuration: str,
    properties: pd.DataFrame | None = None,
) -> str:
    """The page as HTML; the arguments are those of `write_report`, `best` is `best_architectures(search)`."""
    summary = build_summary(search)
    returned = summary["returned"]
    facts = {
        "observed accuracy": f"{number(returned['observed_accuracy'])} %",
        "test accuracy": f"{number(returned['test_accuracy'])} %",
        "best known, test": f"{number(summary['best_known']['test_accuracy'])} %",
        "regret": number(summary["regret"]),
        "architectures trained": str(summary["trained"]),
    }
    top = {
        name.split("_")[0].removeprefix("top"): name for name in summary["metrics"] if name.startswith("top")
    }
    return _PAGE.substitute(
        style=STYLE_SHEET,
        title=escape(f"{summary['experiment']} · {summary['table']} {summary['dataset']}"),
        subtitle=escape(f"seed {summary['seed']}, {summary['seconds']['total']:.0f} seconds"),
        returned=escape(returned["arch"]),
        facts="".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items()),
        curve=inline_svg(search_curve(search)),
        scatter=inline_svg(score_scatter(search)),
        constraints=_constraints(search) if search.limits else "",
        metrics=_table(
            ["first k by score", *top],
            [
                ["NDCG@k", *(number(summary["metrics"][f"ndcg@{k}"], 3) for k in top)],
                [
                    "test accuracy of the best observed (%)",
                    *(number(summary["metrics"][name]) for name in top.values()),
                ],
            ],
        )
        + f"<p>Kendall {number(summary['metrics']['kendall'], 3)}, "
        f"Spearman {number(summary['metrics']['spearman'], 3)}</p>",
        cells="".join(
            _cell(number, row, picture, {} if properties is None else dict(properties.loc[row["arch"]]))
            for (number, row), picture in zip(enumerate(best.to_dict("records"), 1), pictures, strict=True)
        ),
        rounds=_table(
            ["architectures trained", "test accuracy of the returned (%)", "NDCG@10"],
            [
                [str(row["trained"]), number(row["returned_test_accuracy"]), number(row["ndcg@10"], 3)]
                for row in summary["curve"]
            ],
        ),
        seconds=_table(
            ["stage", "seconds"], [[stage, f"{value:.1f}"] for stage, value in summary["seconds"].items()]
        ),
        versions=escape(", ".join(f"{name} {version}" for name, version in summary["versions"].items())),
        configuration=escape(configuration),
    )


def _constraints(search: FinishedSearch) -> str:
    """Each limit with what the returned architecture costs, and the front of accuracy and cost."""
    limits = _table(
        ["cost", "limit", "returned", "where the figure comes from"],
        [
            [
                name,
                f"{limit:g}",
                f"{search.costs[name][search.returned]:.4g}",
                search.cost_origins.get(name, ""),
            ]
            for name, limit in search.limits.items()
        ],
    )
    front = pareto_front(search)
    rows = [
        [
            number(row["observed_accuracy"]),
            number(row["test_accuracy"]),
            *(f"{row[name]:.4g}" for name in search.limits),
            row["arch"],
        ]
        for row in front.to_dict("records")
    ]
    return (
        f'<h2>Constraints</h2>\n<div class="wide">{limits}</div>\n'
        f'<div class="plots"><figure>{inline_svg(cost_fronts(search))}</figure></div>\n'
        "<p>No other trained architecture is as accurate at as low a cost as one of these:</p>\n"
        f'<div class="wide">{_table(["observed (%)", "test (%)", *search.limits, "architecture"], rows)}</div>\n'
    )


def _cell(place: int, row: Mapping[Any, Any], picture: Figure, properties: Mapping[Any, Any]) -> str:
    """The picture of an architecture and what is known of it."""
    image = base64.b64encode(figure_bytes(picture, "png")).decode()
    facts = [
        f"observed {number(row['observed_accuracy'])} %",
        f"test {number(row['test_accuracy'])} %",
        f"predicted rank {row['predicted_rank']}",
        f"round {row['round']} ({row['reason']})",
        *(f"{value:.3g} {cost_unit(name)}" for name, value in properties.items() if value == value),
    ]
    arch = escape(row["arch"])
    return (
        f'<figure><img alt="{arch}" src="data:image/png;base64,{image}">'
        f"<figcaption><b>{place}.</b> {escape(', '.join(facts))}<br><code>{arch}</code></figcaption></figure>"
    )


def inline_svg(figure: Figure) -> str:
    """`figure` as an element of the page, whose ink follows the page's text colour."""
    return as_element(figure_bytes(figure, "svg").decode())


def as_element(svg: str) -> str:
    """An SVG file of a figure as an element of the page, whose ink follows the page's text colour."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return svg.replace(INK, "currentColor")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table; the cells are plain text."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
