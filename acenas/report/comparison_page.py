"""`index.html` of a comparison: one file that needs nothing else, to be sorted, filtered and printed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from matplotlib.figure import Figure

from acenas.files import number
from acenas.report.comparison import (
    COSTS,
    Table,
    axis,
    beside_reference,
    best_known,
    best_sentence,
    comparison,
    cost_columns,
    count,
    decimals,
    digits_of,
    in_epochs,
    label,
    objective_of,
    of_fronts,
    regret_name,
    several_objectives,
    unit_of_axis,
    value_name,
)
from acenas.report.curves import (
    FrontLines,
    curves,
    extent,
    front_curves,
    front_lines,
    looks,
    mean_curve,
    title,
)
from acenas.report.figures import figure_bytes
from acenas.report.identity import identity_of
from acenas.report.page import PAGES, Cell, as_element, packed, picture, plain
from acenas.report.runs import PAGE, points
from acenas.report.suite import is_suite, suite_figure, suite_tables
from acenas.report.summary import cost_unit

CURVES = ("value", "ndcg@10")
"""Columns of results that there is a chart of, for each task."""

IGD_PLUS = "IGD+"
"""What a table calls it."""


def build_comparison_page(
    results: pd.DataFrame,
    title: str,
    *,
    reference: str = "",
    pictures: Sequence[tuple[str, Figure]] = (),
    rankings: Mapping[str, str] | None = None,
    left_out: Mapping[Path, str] | None = None,
    relative_to: Path | None = None,
    settings: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """The page as HTML.

    Args:
        results: see `acenas.report.comparison`.
        title: of the page.
        reference: a method that the others are compared with.
        pictures: of the best architectures found, each with a line about it.
        rankings: for each method an SVG of the scores of one run against observed accuracies.
        left_out: run folders that were not compared, and why.
        relative_to: where the page will lie, for links to the reports of the runs; without it there are none.
        settings: of methods that are configurations of a sweep, the values of what differs.
    """
    tasks = {task: results[results["task"] == task] for task in dict.fromkeys(results["task"])}
    number_of_runs = results.groupby(["task", "method", "seed", "budget"]).ngroups
    runs_header, runs = _runs(results, relative_to)
    return PAGES.get_template("comparison.html").render(
        title=title,
        subtitle=f"{number_of_runs} runs; mean ± standard error over seeds. {several_objectives(results)}",
        suite=_suite(results, reference) if is_suite(results) else None,
        tasks=[_task(task, part, reference, settings or {}) for task, part in tasks.items()],
        rankings=rankings or {},
        pictures=[(caption, picture(figure)) for caption, figure in pictures],
        runs_header=runs_header,
        runs=runs,
        left_out=left_out or {},
        data=packed(_data(list(tasks.values()), list(dict.fromkeys(results["method"])))),
    )


def _suite(results: pd.DataFrame, reference: str) -> dict[str, Any]:
    return {
        "figure": as_element(
            figure_bytes(suite_figure(results), "svg"),
            "Mean ranks of the methods over the tasks, and their regret against trainings, as the tables below",
        ),
        "tables": [_table(table) for table in suite_tables(results, reference)],
    }


def _table(table: Table) -> tuple[str, list[str], list[list[Cell | str]]]:
    """Title, header and rows."""
    rows: list[list[Cell | str]] = [
        [Cell(row, method=True), *(table.cells.get((row, column), "") for column in table.columns)]
        for row in dict.fromkeys(row for row, _ in table.cells)
    ]
    return table.title, ["", *map(str, table.columns)], rows


def _data(tasks: Sequence[pd.DataFrame], methods: Sequence[str]) -> dict[str, Any]:
    """What the charts show."""
    dashes = {"-": [], "--": [8, 4], ":": [2, 3], "-.": [8, 3, 2, 3]}
    return {
        "methods": [
            {
                "name": method,
                "colour": look["color"],
                "dash": dashes[look["linestyle"]],
                "marker": look["marker"],
            }
            for method, look in looks(methods).items()
        ],
        "charts": [chart for part in tasks for chart in _charts(part)],
    }


def _charts(part: pd.DataFrame) -> list[dict[str, Any]]:
    """What the charts of one task show: curves over trainings, then fronts."""
    of_curves = [
        {
            "x": axis(part),
            "unit": unit_of_axis(part),
            "label": value_name(part) if of_fronts(part) and column == "value" else title(part, column),
            "range": extent(part, column),
            "best": None if best_known(part) != best_known(part) or column != "value" else best_known(part),
            "sign": 1 if column == "ndcg@10" else objective_of(part).sign,
            "digits": 3 if column == "ndcg@10" else digits_of(part),
            "lines": {
                method: [
                    [count(n) for n in curve.index.tolist()],
                    *map(plain, (curve["mean"], curve["mean"] - curve["sem"], curve["mean"] + curve["sem"])),
                ]
                for method in dict.fromkeys(part["method"])
                for curve in [mean_curve(part, method, column)]
            },
        }
        for column in CURVES
    ]
    return of_curves + [_front_chart(name, lines) for name, lines in front_lines(part).items()]


def _front_chart(cost: str, lines: FrontLines) -> dict[str, Any]:
    """The fronts of the methods as a chart has them; `before` where a step leads up to its cost."""
    medians = pd.concat([line["median"] for line in lines.of.values()]).dropna()
    best = medians if lines.true is None else lines.true.dropna()
    ends = [*medians, (lines.sign * best).max() * lines.sign]  # the true front begins where nobody looks
    margin = 0.05 * (max(ends) - min(ends)) or 0.05
    return {
        "x": cost_unit(cost),
        "label": lines.value,
        "range": [min(ends) - margin, max(ends) + margin] if len(medians) else [0, 1],
        "best": None,
        "true": None if lines.true is None else plain(lines.true),
        "sign": lines.sign,
        "digits": decimals(medians, 4) if len(medians) else 2,
        "steps": "after" if lines.direction == "min" else "before",
        "lines": {
            method: [line.index.tolist(), *(plain(line[name]) for name in ("median", "low", "high"))]
            for method, line in lines.of.items()
        },
    }


def _parallel(results: pd.DataFrame, settings: Mapping[str, Mapping[str, str]]) -> dict[str, Any] | None:
    """Parallel coordinates of the configurations of a sweep and their results on one task; None for too few."""
    ends = results[
        results["serves"] & (results["trained"] == results.groupby("method")["budget"].transform("max"))
    ]
    values = ends.groupby("method", sort=False)["value"].mean().dropna()
    frame = pd.DataFrame({method: settings[method] for method in values.index if method in settings}).T
    if len(frame) < 3 or not 2 <= frame.shape[1] <= 8:
        return None
    values, keys = values[frame.index], ", ".join(map(str, frame))
    frame = frame.fillna("–").assign(
        **{label(results): [f"{value:.{digits_of(results)}f}" for value in values]}
    )
    uprights, points = [], dict.fromkeys(frame.index, "")
    for upright, key in enumerate(map(str, frame)):
        place = pd.to_numeric(frame[key], errors="coerce")
        if place.isna().any():  # words, in their order
            place = frame[key].rank(method="dense")
        elif place.min() > 0 and place.max() > 20 * place.min():
            place = place.map(math.log)
        x, y = 20 + 130 * upright, 280 - 240 * (place - place.min()) / (place.max() - place.min() or 1)
        ticks = dict(zip(frame[key], y.round(1), strict=True))
        ends_of_it = {text: at for text, at in ticks.items() if at in (y.min().round(1), y.max().round(1))}
        uprights.append(
            (x, key, [(at, text) for text, at in (ticks if len(ticks) < 8 else ends_of_it).items()])
        )
        for method, at in y.round(1).items():
            points[method] += f"{x},{at} "
    best = (objective_of(results).sign * values).idxmax()
    lines = [
        (method, ", ".join(f"{key} {text}" for key, text in row.items()), points[method], method == best)
        for method, row in frame.to_dict("index").items()
    ]
    told = f"{len(frame)} configurations by {keys}, and the {label(results)} of each: the best is {best}"
    return {"width": 130 * frame.shape[1] + 60, "uprights": uprights, "lines": lines, "told": told}


def _task(
    task: str, results: pd.DataFrame, reference: str, settings: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    costs = cost_columns(results)
    first = ["method", "full trainings" if in_epochs(results) else "trained", "seeds"]
    digits = digits_of(results)
    return {
        "name": task,
        "best": best_sentence(results),
        "means_header": [
            *first,
            label(results),
            *([IGD_PLUS] if of_fronts(results) else [_regret(results)]),
            "NDCG@10",
            "CPU-seconds",
        ],
        "means": _means(
            results,
            {
                "value": digits,
                **({"igd_plus": 4} if of_fronts(results) else {"regret": digits}),
                "ndcg@10": 3,
                "cpu_seconds": 0,
            },
        ),
        "curves": {
            told: as_element(figure_bytes(curves(results, [column]), "svg"), told)
            for column in CURVES
            for told in [
                f"{title(results, column)} of each method against {unit_of_axis(results)} on {task}: "
                "the table above has its values"
            ]
        }
        | {
            told: as_element(figure_bytes(front_curves(results, cost), "svg"), told)
            for cost, lines in front_lines(results).items()
            for told in [
                f"Fronts on {task}: the {lines.value} that half of the seeds reach at so many {cost_unit(cost)}"
            ]
        },
        "beside": [_table(table) for table in beside_reference(results, reference)],
        "settings": _parallel(results, settings),
        "costs_header": [*first, *map(cost_unit, costs)],
        "costs": _means(results, {cost: decimals(results[cost], 3) for cost in costs}),
    }


def _regret(results: pd.DataFrame) -> str:
    unit = points(objective_of(results).unit)
    return regret_name(results) + (f" ({unit})" if unit else "")


def _means(results: pd.DataFrame, columns: Mapping[str, int]) -> list[list[Cell]]:
    """Means ± standard errors, a row for each method and budget; `columns` says how many digits."""
    tables = {column: _by_row(results, column) for column in columns}
    higher_is_better = {"ndcg@10", *(["value"] if objective_of(results).sign > 0 else [])}
    rows: list[list[Cell]] = []
    for (method, trained), (_, _, seeds) in next(iter(tables.values()), {}).items():
        row = [Cell(method, method=True), Cell(str(count(trained)), trained), Cell(str(seeds), seeds)]
        for column, digits in columns.items():
            mean, error, _ = tables[column][method, trained]
            spread = f" ± {error:.{digits}f}" if error == error else ""
            rivals = [value for (_, n), (value, _, _) in tables[column].items() if n == trained]
            wins = mean == (max if column in higher_is_better else min)(rivals)
            text = number(mean, digits) + spread if mean == mean else "–"
            row.append(Cell(text, mean, best=wins and len(set(rivals)) > 1))
        rows.append(row)
    return rows


def _by_row(results: pd.DataFrame, column: str) -> dict[tuple[str, float], tuple[float, float, int]]:
    """For each method and number trained: mean, standard error, seeds."""
    return {
        (row["method"], row["trained"]): (row["mean"], row["standard_error"], row["seeds"])
        for row in comparison(results, column).to_dict("records")
    }


def _runs(results: pd.DataFrame, relative_to: Path | None) -> tuple[list[str], list[list[Cell]]]:
    """Header and rows: the end of each run, with a link to its report."""
    ends = results[results["trained"] == results["budget"]].drop_duplicates("folder")
    costs = [cost for cost in cost_columns(results) if cost in COSTS]
    digits = {str(task): digits_of(part) for task, part in results.groupby("task")}
    of_costs = {cost: decimals(ends[cost], 3) for cost in costs}
    rows = []
    for row in ends.to_dict("records"):
        report = Path(row["folder"]) / PAGE
        link = _link(report, relative_to) if relative_to is not None and report.exists() else None
        who = identity_of(report.parent)
        rows.append(
            [
                Cell(row["task"]),
                Cell(row["method"], method=True),
                Cell(str(row["seed"]), row["seed"]),
                Cell(str(count(row["trained"])), row["trained"]),
                *(Cell(number(row[name], digits[row["task"]]), row[name]) for name in ("value", "regret")),
                Cell(number(row["ndcg@10"], 3), row["ndcg@10"]),
                *(Cell(number(row[cost], of_costs[cost]), row[cost]) for cost in costs),
                Cell(number(row.get("seconds"), 0), row.get("seconds", math.nan)),
                Cell(who.date),
                Cell(" ".join(filter(None, [who.version, who.commit]))),
                Cell(report.parent.name, link=link, hint=who.command),
            ]
        )
    names = {label(part): _regret(part) for _, part in results.groupby("task")}
    value, regret = names.popitem() if len(names) == 1 else ("value", "regret")
    header = [
        "task",
        "method",
        "seed",
        "full trainings" if in_epochs(results) else "trained",
        value,
        regret,
        "NDCG@10",
    ]
    return [*header, *map(cost_unit, costs), "seconds", "began (UTC)", "acenas", "folder"], rows


def _link(target: Path, place: Path) -> str:
    try:
        relative = Path(os.path.relpath(target.resolve(), place.resolve())).as_posix()
        return f"./{quote(relative)}"  # a folder's name may be javascript:
    except ValueError:  # on another drive
        return target.resolve().as_uri()
