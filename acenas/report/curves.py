"""Curves of runs side by side: what each method would have returned after so many trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acenas.errors import shortened
from acenas.evaluation.objective import Objective
from acenas.report.comparison import axis, best_known, label, objective_of, of_fronts
from acenas.report.figures import AT_END, BLUE, GREEN, GREY, ORANGE, STYLE, VERMILION, label_ends
from acenas.report.front import attained, read_true_front
from acenas.report.runs import finished
from acenas.report.summary import cost_unit
from acenas.spaces.drawing import INK

COLOURS = (BLUE, VERMILION, GREEN, ORANGE, "#C06A9A", "#2B8FC9", GREY)
LINES = ("-", "--", ":", "-.")
MARKERS = "os^DvPX*"


def curves(results: pd.DataFrame, columns: Sequence[str] = ("value", "ndcg@10")) -> Figure:
    """The value of the returned, and NDCG@10, against architectures trained: means, bands of a standard error.

    Args:
        results: see `acenas.report.comparison`; of each method the runs with the largest budget are drawn.
        columns: what is drawn, one beside the other.

    Returns:
        One row for each task.
    """
    tasks = list(dict.fromkeys(results["task"]))
    methods = list(dict.fromkeys(results["method"]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5 * len(columns), 3.8 * len(tasks)), layout="constrained")
        grid = figure.subplots(len(tasks), len(columns), squeeze=False)
        for row, task in zip(grid, tasks, strict=True):
            part = results[results["task"] == task]
            for axes, column in zip(row, columns, strict=True):
                _draw(axes, part, methods, column)
                axes.set(title=f"{task}: {title(part, column)}", xlabel=axis(part))
        if any(shortened(method, AT_END) != method for method in methods):
            handles, names = grid[0, 0].get_legend_handles_labels()
            names = list(map(shortened, names))
            fitting = max(1, int(14 * len(columns) * 4 / (max(map(len, names)) + 6)))
            figure.legend(handles, names, loc="outside lower center", ncols=min(fitting, len(methods)))
        return figure


class FrontLines(NamedTuple):
    """The fronts that the methods found on one task against one cost."""

    direction: str
    """`min` where less of the cost is better, else `max`."""
    value: str
    """What they are fronts of, as in `test accuracy (%)`."""
    sign: int
    """1 where a higher value is better, else -1."""
    of: Mapping[str, pd.DataFrame]
    """By method what half of its seeds reach at a cost (index): `median`, and the quartiles `low` and `high`."""
    true: pd.Series[float] | None
    """The best that is known at these costs; None where no run knows a true front."""


def front_lines(results: pd.DataFrame) -> dict[str, FrontLines]:
    """The fronts of one task by their costs: of each method the runs with the largest budget, read from their folders.

    Args:
        results: of one task. Where they are of no fronts, or the folders have gone, there are no lines.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    largest = results.groupby("method")["budget"].transform("max")
    folders = results[results["budget"] == largest].drop_duplicates("folder")
    for row in folders.to_dict("records"):
        if of_fronts(results) and (summary := finished(Path(row["folder"]))) and "front" in summary:
            found.setdefault(row["method"], []).append(summary)
    every = [summary for its in found.values() for summary in its]
    if not every:
        return {}
    objective, kind = Objective.of(every[0].get("objective", "accuracy")), results["kind"].iloc[0]
    column, costs = f"{kind}_{objective.name}", every[0]["front"]["costs"]
    known = [read_true_front(Path(folder), [column, *costs]) for folder in folders["folder"]]
    true = pd.concat(known).drop_duplicates()
    lines = {}
    for cost, direction in costs.items():
        of_members = [member["costs"][cost] for each in every for member in each["front"]["members"]]
        at, of = np.unique([*of_members, *true[cost]]), {}
        for method, its in found.items():
            fronts = [
                np.array([(member["costs"][cost], member[column]) for member in members], np.float64).reshape(
                    -1, 2
                )
                for members in (each["front"]["members"] for each in its)
            ]
            reached = attained(
                [(front[:, 0], front[:, 1]) for front in fronts], at, direction, objective.sign
            )
            of[method] = pd.DataFrame(dict(zip(("median", "low", "high"), reached, strict=True)), index=at)
        best, *_ = attained([(true[cost].to_numpy(), true[column].to_numpy())], at, direction, objective.sign)
        of_true = pd.Series(best, index=at) if len(true) else None
        lines[cost] = FrontLines(direction, objective.label(kind), objective.sign, of, of_true)
    return lines


def front_curves(results: pd.DataFrame, cost: str | None = None) -> Figure:
    """The fronts of the methods side by side: what half of the seeds reach at each cost, bands of the quartiles.

    Args:
        results: see `acenas.report.comparison`.
        cost: that is drawn; by default all of them, one beside the other.

    Returns:
        One row for each task that has lines.
    """
    methods = list(dict.fromkeys(results["method"]))
    drawn = {str(task): front_lines(part) for task, part in results.groupby("task", sort=False)}
    drawn = {task: {cost: lines[cost]} if cost else lines for task, lines in drawn.items() if lines}
    rows, columns = max(1, len(drawn)), max(map(len, drawn.values()), default=1)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5 * columns, 3.8 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for row, (task, by_cost) in zip(grid, drawn.items(), strict=False):
            for axes, (name, lines) in zip(row, by_cost.items(), strict=False):
                _draw_fronts(axes, lines, methods)
                axes.set(title=f"{task}: fronts", xlabel=cost_unit(name), ylabel=lines.value)
        return figure


def _draw_fronts(axes: Axes, lines: FrontLines, methods: Sequence[str]) -> None:
    ends: dict[str, tuple[float, str]] = {}
    where: Literal["post", "pre"] = "post" if lines.direction == "min" else "pre"
    if lines.true is not None and len(true := lines.true.dropna()):
        axes.step(true.index, true, where=where, color=INK, linestyle="--", linewidth=1)
        ends["true front"] = float(true.iloc[-1]), INK
    for method, look in looks(methods).items():
        line = lines.of.get(method)
        if line is None or line["median"].isna().all():
            continue
        shape: Any = {"color": look["color"], "linestyle": look["linestyle"], "where": where}
        axes.step(line.index, line["median"], label=method, linewidth=1.4, **shape)
        band: Any = {"color": look["color"], "alpha": 0.15, "linewidth": 0, "step": where}
        axes.fill_between(line.index, line["low"], line["high"], **band)
        ends[method] = float(line["median"].dropna().iloc[-1]), look["color"]
    axes.ticklabel_format(useOffset=False)
    label_ends(axes, ends)


def looks(methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, dashes and marker of each method, as `plot` takes them: any two differ in more than the colour."""
    return {
        method: {
            "color": COLOURS[i % len(COLOURS)],
            "linestyle": LINES[i % len(LINES)],
            "marker": MARKERS[i % len(MARKERS)],
        }
        for i, method in enumerate(methods)
    }


def title(results: pd.DataFrame, column: str) -> str:
    """What a curve of one task shows, with its unit."""
    name = objective_of(results).name
    return label(results).replace(name, f"{name} of the returned") if column == "value" else "NDCG@10"


def extent(results: pd.DataFrame, column: str) -> tuple[float, float]:
    """The lowest and the highest value that matters in curves of one task."""
    if column == "ndcg@10":
        return 0, 1
    # The first few trainings find anything, which would leave no height for the rest.
    settled = results[results["trained"] >= min(10, results["budget"].min())]
    drawn = settled.groupby(["method", "trained"])["value"].mean().dropna()
    best = best_known(results)
    values = [*drawn, *([best] if best == best else [])] or [0.0]
    margin = 0.05 * (max(values) - min(values)) or 0.05
    return min(values) - margin, max(values) + margin


def mean_curve(results: pd.DataFrame, method: str, column: str) -> pd.DataFrame:
    """`mean` and `sem` (the standard error) by architectures trained, of a method's runs with the largest budget."""
    mine = results[results["method"] == method]
    groups = mine[mine["budget"] == mine["budget"].max()].groupby("trained")[column]
    return pd.DataFrame({"mean": groups.mean(), "sem": groups.sem()})


def _draw(axes: Axes, results: pd.DataFrame, methods: list[str], column: str) -> None:
    ends = {}
    for method, look in looks(methods).items():
        curve = mean_curve(results, method, column)
        every = max(1, len(curve) // 8)
        axes.plot(
            curve.index, curve["mean"], **look, label=method, linewidth=1.4, markersize=4, markevery=every
        )
        low, high = curve["mean"] - curve["sem"], curve["mean"] + curve["sem"]
        axes.fill_between(curve.index, low, high, color=look["color"], alpha=0.15, linewidth=0)
        if len(known := curve["mean"].dropna()):
            ends[method] = float(known.iloc[-1]), look["color"]
    if column == "value" and best_known(results) == best_known(results):
        axes.axhline(best_known(results), color=GREY, linewidth=0.8)
    axes.set_ylim(*extent(results, column))
    axes.ticklabel_format(axis="y", useOffset=False)
    label_ends(axes, ends)
