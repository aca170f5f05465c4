"""Curves of runs side by side: what each method would have returned after so many trainings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acenas.errors import shortened
from acenas.report.comparison import best_known, label, objective_of
from acenas.report.figures import AT_END, BLUE, GREEN, GREY, ORANGE, STYLE, VERMILION, label_ends

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
                axes.set(title=f"{task}: {title(part, column)}", xlabel="architectures trained")
        if any(shortened(method, AT_END) != method for method in methods):
            handles, names = grid[0, 0].get_legend_handles_labels()
            names = list(map(shortened, names))
            fitting = max(1, int(14 * len(columns) * 4 / (max(map(len, names)) + 6)))
            figure.legend(handles, names, loc="outside lower center", ncols=min(fitting, len(methods)))
        return figure


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
