"""`index.html` of a comparison: one file that needs nothing else, to be sorted, filtered and printed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

import pandas as pd
from matplotlib.figure import Figure

from acenas.files import number
from acenas.report.comparison import COSTS, comparison, cost_columns
from acenas.report.curves import TITLES, curves
from acenas.report.figures import figure_bytes
from acenas.report.page import STYLE_SHEET, inline_svg
from acenas.report.summary import cost_unit

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
$style
th[aria-sort] { cursor: pointer; user-select: none; }
th[aria-sort]:focus-visible, input:focus-visible { outline: 2px solid #0072B2; }
th[aria-sort=ascending]::after { content: " ▲"; }
th[aria-sort=descending]::after { content: " ▼"; }
th[aria-sort=none]::after { content: " ▲"; visibility: hidden; }
thead th { border-bottom: 1px solid var(--faint); vertical-align: bottom; }
td.best { font-weight: 700; }
td.text, th.text { text-align: left; }
figcaption, li { overflow-wrap: anywhere; }
input { font: inherit; padding: .4rem .6rem; width: min(100%, 22rem); box-sizing: border-box; color: inherit;
  background: var(--card); border: 1px solid var(--faint); border-radius: .4rem; }
td:first-child { min-width: 10rem; overflow-wrap: anywhere; }
section .plots { margin-top: 1rem; }
@media print {
  input, label { display: none; }
  table { font-size: 7pt; }
  th, td, td:not(.text) { padding-right: .4rem; white-space: normal; }
  td:first-child { min-width: 0; }
}
</style>
</head>
<body>
<h1>$title</h1>
<p class="sub">$subtitle</p>
<p><label>Show rows with <input id="filter" type="search" placeholder="part of a name" autocomplete="off"></label></p>
$tasks
$extra
<h2>Runs</h2>
<div class="wide">$runs</div>
$left_out
<script>
const value = cell => cell.dataset.value === undefined ? cell.textContent : parseFloat(cell.dataset.value);
const compare = (a, b) => typeof a === "number" && typeof b === "number"
  ? (isNaN(a) ? -Infinity : a) - (isNaN(b) ? -Infinity : b) : String(a).localeCompare(String(b));
function sort(head) {
  const rising = head.getAttribute("aria-sort") === "descending";
  for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const body = head.closest("table").tBodies[0], place = head.cellIndex;
  const rows = [...body.rows].sort((a, b) => compare(value(a.cells[place]), value(b.cells[place])));
  body.append(...(rising ? rows : rows.reverse()));
}
for (const head of document.querySelectorAll("th[aria-sort]")) {
  head.addEventListener("click", () => sort(head));
  head.addEventListener("keydown", event => { if (event.key === "Enter") sort(head); });
}
document.getElementById("filter").addEventListener("input", event => {
  const wanted = event.target.value.toLowerCase();
  for (const row of document.querySelectorAll("tbody tr, figure:has(figcaption)"))
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
});
</script>
</body>
</html>
""")

Cell = tuple[str, float | None, str]
"""What a cell shows, as plain text or HTML that is safe; the number it is sorted by; its class."""


def build_comparison_page(
    results: pd.DataFrame,
    title: str,
    *,
    pictures: Sequence[tuple[str, Figure]] = (),
    rankings: Mapping[str, str] | None = None,
    left_out: Mapping[Path, str] | None = None,
    relative_to: Path | None = None,
) -> str:
    """The page as HTML.

    Args:
        results: see `acenas.report.comparison`.
        title: of the page.
        pictures: of the best architectures found, each with a line about it.
        rankings: for each method an SVG of the scores of one run against observed accuracies.
        left_out: run folders that were not compared, and why.
        relative_to: where the page will lie, for links to the reports of the runs; without it there are none.
    """
    tasks = list(dict.fromkeys(results["task"]))
    count = results.groupby(["task", "method", "seed", "budget"]).ngroups
    return _PAGE.substitute(
        style=STYLE_SHEET,
        title=escape(title),
        subtitle=f"{count} runs; mean ± standard error over seeds. A click on the head of a column sorts by it.",
        tasks="".join(_task(task, results[results["task"] == task]) for task in tasks),
        extra=_rankings(rankings or {}) + _pictures(pictures),
        runs=_runs(results, relative_to),
        left_out=_left_out(left_out or {}),
    )


def _task(task: str, results: pd.DataFrame) -> str:
    best = (results["test_accuracy"] + results["regret"]).max()
    header = ["test accuracy (%)", "regret (points)", "NDCG@10", "CPU-seconds"]
    columns = {"test_accuracy": 2, "regret": 2, "ndcg@10": 3, "cpu_seconds": 0}
    costs = cost_columns(results)
    drawn = "".join(f"<figure>{inline_svg(curves(results, [column]))}</figure>" for column in TITLES)
    of_costs = _means(results, [cost_unit(cost) for cost in costs], dict.fromkeys(costs, 2))
    return (
        f"<section><h2>{escape(task)}</h2><p>The best architecture known tests at {best:.2f} %.</p>"
        f'{_means(results, header, columns)}<div class="plots">{drawn}</div>'
        + (f"<h3>Costs of the returned architectures</h3>{of_costs}" if costs else "")
        + "</section>"
    )


def _means(results: pd.DataFrame, header: Sequence[str], columns: Mapping[str, int]) -> str:
    """A table of means ± standard errors, a row for each method and budget; `columns` says how many digits."""
    tables = {column: _by_row(results, column) for column in columns}
    rows: list[list[Cell]] = []
    for (method, trained), (_, _, seeds) in next(iter(tables.values()), {}).items():
        row: list[Cell] = [(escape(method), None, ""), (str(trained), trained, ""), (str(seeds), seeds, "")]
        for column, digits in columns.items():
            mean, error, _ = tables[column][method, trained]
            spread = f" ± {error:.{digits}f}" if error == error else ""
            rivals = [value for (_, n), (value, _, _) in tables[column].items() if n == trained]
            wins = mean == (max if column in ("test_accuracy", "ndcg@10") else min)(rivals)
            marked = "best" if wins and len(set(rivals)) > 1 else ""
            rows_value = number(mean, digits) + spread if mean == mean else "–"
            row.append((rows_value, mean, marked))
        rows.append(row)
    head = ["method", "trained", "seeds", *header]
    return f'<div class="wide">{_table(head, rows)}</div>' if rows else ""


def _by_row(results: pd.DataFrame, column: str) -> dict[tuple[str, int], tuple[float, float, int]]:
    """For each method and number trained: mean, standard error, seeds."""
    return {
        (row["method"], row["trained"]): (row["mean"], row["standard_error"], row["seeds"])
        for row in comparison(results, column).to_dict("records")
    }


def _runs(results: pd.DataFrame, relative_to: Path | None) -> str:
    ends = results[results["trained"] == results["budget"]].drop_duplicates("folder")
    costs = [cost for cost in cost_columns(results) if cost in COSTS]
    rows: list[list[Cell]] = []
    for row in ends.to_dict("records"):
        folder = Path(row["folder"])
        name = escape(folder.name)
        report = folder / "report.html"
        if relative_to is not None and report.exists():
            name = f'<a href="{escape(_link(report, relative_to))}">{name}</a>'
        rows.append(
            [
                (escape(row["task"]), None, ""),
                (escape(row["method"]), None, ""),
                (str(row["seed"]), row["seed"], ""),
                (str(row["trained"]), row["trained"], ""),
                (number(row["test_accuracy"]), row["test_accuracy"], ""),
                (number(row["regret"]), row["regret"], ""),
                (number(row["ndcg@10"], 3), row["ndcg@10"], ""),
                *((number(row[cost]), row[cost], "") for cost in costs),
                (name, None, ""),
            ]
        )
    header = [
        "task",
        "method",
        "seed",
        "trained",
        "test accuracy (%)",
        "regret (points)",
        "NDCG@10",
        *map(cost_unit, costs),
        "folder",
    ]
    return _table(header, rows)


def _link(target: Path, place: Path) -> str:
    target, place = target.resolve(), place.resolve()
    try:
        return target.relative_to(place, walk_up=True).as_posix()  # type: ignore[call-arg]
    except (TypeError, ValueError):  # before Python 3.12, or on another drive
        return target.as_uri()


def _rankings(rankings: Mapping[str, str]) -> str:
    if not rankings:
        return ""
    figures = "".join(
        f"<figure>{svg}<figcaption>{escape(name)}</figcaption></figure>" for name, svg in rankings.items()
    )
    return f'<h2>Scores against observed accuracy, one run each</h2><div class="plots">{figures}</div>'


def _pictures(pictures: Sequence[tuple[str, Figure]]) -> str:
    if not pictures:
        return ""
    figures = []
    for caption, picture in pictures:
        image = base64.b64encode(figure_bytes(picture, "png")).decode()
        text = escape(caption)
        figures.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{image}"><figcaption>{text}</figcaption></figure>'
        )
    return f'<h2>Best architectures returned</h2><div class="cells">{"".join(figures)}</div>'


def _left_out(left_out: Mapping[Path, str]) -> str:
    if not left_out:
        return ""
    items = "".join(
        f"<li><code>{escape(str(folder))}</code>: {escape(why)}</li>" for folder, why in left_out.items()
    )
    return f"<h2>Left out</h2><ul>{items}</ul>"


def _table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """An HTML table that can be sorted. Columns of words are on the left, of numbers on the right."""
    words = [value is None for _, value, _ in rows[0]]
    head = "".join(
        f'<th aria-sort="none" tabindex="0"{_class("text" if word else "")}>{escape(cell)}</th>'
        for cell, word in zip(header, words, strict=True)
    )
    body = "".join(f"<tr>{''.join(_td(*cell) for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _td(shown: str, value: float | None, marked: str) -> str:
    data = "" if value is None else f' data-value="{value}"'
    return f"<td{_class('text' if value is None else marked)}{data}>{shown}</td>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
