"""Curves of runs side by side: what each method would have returned after so many trainings."""

from __future__ import annotations

from itertools import cycle

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acenas.report.figures import BLUE, GREEN, GREY, ORANGE, STYLE, VERMILION

COLOURS = (BLUE, VERMILION, GREEN, ORANGE, "#CC79A7", "#56B4E9", "#F0E442", GREY)
LINES = ("-", "--", ":", "-.")


def curves(results: pd.DataFrame) -> Figure:
    """Test accuracy of the best observed, and NDCG@10, against architectures trained: means, bands of a standard error.

    Args:
        results: see `acenas.report.comparison`; of each method the runs with the largest budget are drawn.

    Returns:
        One row for each task.
    """
    tasks = list(dict.fromkeys(results["task"]))
    methods = list(dict.fromkeys(results["method"]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.8 * len(tasks)), layout="constrained")
        grid = figure.subplots(len(tasks), 2, squeeze=False)
        for (accuracy, ndcg), task in zip(grid, tasks, strict=True):
            part = results[results["task"] == task]
            _draw(accuracy, part, methods, "test_accuracy")
            _draw(ndcg, part, methods, "ndcg@10")
            accuracy.set(title=f"{task}: test accuracy of the returned (%)", xlabel="architectures trained")
            best = (part["test_accuracy"] + part["regret"]).max()
            accuracy.axhline(best, color=GREY, linewidth=0.8)
            # The first few trainings find anything, which would leave no height for the rest.
            settled = part[part["trained"] >= min(10, part["budget"].min())]
            lowest = settled.groupby(["method", "trained"])["test_accuracy"].mean().min()
            accuracy.set_ylim(lowest, best + 0.05 * (best - lowest))
            ndcg.set(title=f"{task}: NDCG@10", xlabel="architectures trained", ylim=(0, 1))
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(methods)))
        return figure


def _draw(axes: Axes, results: pd.DataFrame, methods: list[str], column: str) -> None:
    looks = zip(methods, cycle(COLOURS), strict=False)
    for i, (method, colour) in enumerate(looks):
        mine = results[results["method"] == method]
        mine = mine[mine["budget"] == mine["budget"].max()]
        curve = mine.groupby("trained")[column].agg(["mean", "sem"])
        line = LINES[i // len(COLOURS) % len(LINES)]
        axes.plot(curve.index, curve["mean"], line, color=colour, label=method, linewidth=1.4)
        low, high = curve["mean"] - curve["sem"], curve["mean"] + curve["sem"]
        axes.fill_between(curve.index, low, high, color=colour, alpha=0.15, linewidth=0)
