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
from acenas.report.figures import BLUE, GREEN, GREY, ORANGE, STYLE, VERMILION

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
                _frame(axes, part, column)
                name = objective_of(part).name
                title = (
                    label(part).replace(name, f"{name} of the returned") if column == "value" else "NDCG@10"
                )
                axes.set(title=f"{task}: {title}", xlabel="architectures trained")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        labels = [shortened(label) for label in labels]
        widest = max(map(len, labels))
        fitting = max(1, int(14 * len(columns) * 4 / (widest + 6)))
        figure.legend(handles, labels, loc="outside lower center", ncols=min(fitting, len(methods)))
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


def _frame(axes: Axes, results: pd.DataFrame, column: str) -> None:
    """Limits that show what matters, and for the value the best known."""
    if column == "ndcg@10":
        axes.set_ylim(0, 1)
        return
    # The first few trainings find anything, which would leave no height for the rest.
    settled = results[results["trained"] >= min(10, results["budget"].min())]
    sign = objective_of(results).sign
    drawn = sign * settled.groupby(["method", "trained"])["value"].mean().dropna()
    best = sign * best_known(results)
    if best == best:
        axes.axhline(sign * best, color=GREY, linewidth=0.8)
    else:
        best = drawn.max()
    margin = 0.05 * (best - drawn.min()) or 0.05
    axes.set_ylim(*sorted([sign * (drawn.min() - margin), sign * (best + margin)]))
    axes.ticklabel_format(axis="y", useOffset=False)


def _draw(axes: Axes, results: pd.DataFrame, methods: list[str], column: str) -> None:
    for method, look in looks(methods).items():
        mine = results[results["method"] == method]
        mine = mine[mine["budget"] == mine["budget"].max()]
        curve = mine.groupby("trained")[column].agg(["mean", "sem"])
        every = max(1, len(curve) // 8)
        axes.plot(
            curve.index, curve["mean"], **look, label=method, linewidth=1.4, markersize=4, markevery=every
        )
        low, high = curve["mean"] - curve["sem"], curve["mean"] + curve["sem"]
        axes.fill_between(curve.index, low, high, color=look["color"], alpha=0.15, linewidth=0)
