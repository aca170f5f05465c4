"""Many tasks at once: ranks, regret on one scale, and how far a method is from the best of the others on each task.

All functions take results of several tasks, see `acenas.report.comparison`.
"""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import studentized_range

from acenas.errors import shortened
from acenas.report.comparison import (
    Table,
    best_known,
    count,
    digits_of,
    in_epochs,
    objective_of,
    p_values,
    regret_name,
    trainings_for,
    unit_of_axis,
)
from acenas.report.curves import looks
from acenas.report.figures import GREY, STYLE

ALPHA = 0.05
"""The chance of an error that is taken, in tests of significance."""


MEDIAN = "median, where not both are at the best"


def is_suite(results: pd.DataFrame) -> bool:
    """Whether there are enough tasks and methods to say something of all of them."""
    return results["task"].nunique() >= 3 and results["method"].nunique() >= 2


def ranks(results: pd.DataFrame) -> pd.DataFrame:
    """The ranks of the methods' mean values, 1 for the best; equal ones share their mean.

    Returns:
        A row for each budget and each task that all methods have run so far, a column for each method.
    """
    return _utilities(results).dropna().rank(axis=1, ascending=False)


def critical_difference(methods: int, tasks: int) -> float:
    """The difference of two mean ranks that chance exceeds in 5 % of cases: Nemenyi's test (Demšar, JMLR 2006, eq. 6).

    >>> round(critical_difference(methods=4, tasks=14), 2)  # the example of the paper
    1.25
    """
    quantile = studentized_range.ppf(1 - ALPHA, methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * tasks)))


def holm(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values `[T]` of several tests, adjusted so that any error at all is as rare as in one test (Holm, 1979).

    >>> holm(np.array([0.01, 0.04, np.nan, 0.03]))
    array([0.03, 0.06,  nan, 0.06])
    """
    adjusted, order = np.full_like(chances, np.nan), np.argsort(chances)[: np.isfinite(chances).sum()]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * chances[order]))
    return adjusted


def normalised_regret(results: pd.DataFrame) -> pd.DataFrame:
    """Regret on a scale that tasks share: 1 is the mean regret of all methods after the smallest budget.

    Where the best architecture is not known, the best that any run returned takes its place. A task on which all are
    at the best by then is left out.

    Returns:
        `results` with that as `regret`.
    """
    parts = []
    for _, part in results.groupby("task", sort=False):
        sign = objective_of(part).sign
        best = best_known(part)
        regret = (sign * best if best == best else (sign * part["value"]).max()) - sign * part["value"]
        first = part["serves"] & (part["trained"] == part.loc[part["serves"], "trained"].min())
        if (scale := regret[first].mean()) > 0:
            parts.append(part.assign(regret=regret / scale))
    return pd.concat(parts) if parts else results.head(0)


def suite_tables(results: pd.DataFrame, reference: str) -> list[Table]:
    """Mean ranks, regret, NDCG@10 and cost of the methods; `reference` beside the best of the others."""
    frames = {
        "Mean rank over the tasks (1 is best), after": ranks(results),
        f"{_regret_name(results)}, 1 being the mean of all methods after the first of these": _by_task(
            normalised_regret(results), "regret"
        ),
        "NDCG@10, after": _by_task(results, "ndcg@10"),
    }
    tables = []
    for title, frame in frames.items():
        tasks = frame.groupby("trained").size()
        heads = {
            n: f"{count(n)}" if how_many == tasks.max() else f"{count(n)} ({how_many} tasks)"
            for n, how_many in zip(tasks.index.tolist(), tasks, strict=True)
        }
        means = frame.groupby("trained").mean()
        cells = {(str(m), heads[n]): f"{mean:.3f}" for m in means for n, mean in means[m].items()}
        tables.append(Table(title, list(heads.values()), cells))
    largest = results[results["trained"] == results.groupby(["task", "method"])["budget"].transform("max")]
    seconds = largest.pivot_table("cpu_seconds", "task", "method", sort=False).mean()
    cells = {(str(method), "CPU-seconds"): f"{mean:.0f}" for method, mean in seconds.items()}
    tables.append(Table("A search with the largest budget, without the trainings", ["CPU-seconds"], cells))
    if reference in set(results["method"]):
        tables += _beside_the_best(results, reference)
    return tables


def _beside_the_best(results: pd.DataFrame, reference: str) -> Iterator[Table]:
    """Differences to the best of the others on each task, and the trainings for equal quality."""
    by_task = dict(iter(results.groupby("task", sort=False)))
    chances = {task: p_values(part, reference) for task, part in by_task.items()}
    differences: dict[tuple[str, str], str] = {}
    trainings: dict[tuple[str, str], str] = {}
    utilities = _utilities(results).dropna(subset=[reference])
    budgets = utilities.index.unique("trained").tolist()
    digits = 1 if in_epochs(results) else 0
    for budget in budgets:
        head = str(count(budget))
        best: dict[str, tuple[str, float, float]] = {}  # the best of the others, its value, and ours
        for task, row in utilities.loc[budget].dropna(axis=1, how="all").to_dict("index").items():
            ours = row.pop(reference)
            others = {str(name): value for name, value in row.items() if value == value}
            if others:
                method = max(others, key=others.__getitem__)
                best[str(task)] = method, others[method], ours
        adjusted = holm(np.array([chances[task][method, budget] for task, (method, _, _) in best.items()]))
        shares = []
        for (task, (method, target, ours)), chance in zip(best.items(), adjusted.tolist(), strict=True):
            part, sign = by_task[task], objective_of(by_task[task]).sign
            verdict = "" if not chance < ALPHA else ", better" if ours > target else ", worse"
            shown = "–" if np.isnan(chance) else f"{chance:.3f}"
            text = f"{ours - target:+.{digits_of(part)}f} to {shortened(method)} (p {shown}{verdict})"
            differences[task, head] = text
            if min(target, ours) >= sign * best_known(part) - 1e-9:
                trainings[task, head] = "both at the best"
                continue
            needed = trainings_for(part, reference, sign * target)
            shares.append(needed / budget if needed == needed else np.inf)
            trainings[task, head] = (
                f"{needed:.{digits}f} ({shares[-1]:.2f} ×)"
                if needed == needed
                else f"> {count(part['budget'].max())}"
            )
        if shares:
            share = float(np.median(shares))
            trainings[MEDIAN, head] = f"{share:.2f} ×" if np.isfinite(share) else "never"
    heads, tests = [str(count(budget)) for budget in budgets], "Wilcoxon, paired by seed, Holm over tasks"
    title = f"By how much {reference} is better than the best of the others ({tests}), after"
    yield Table(title, heads, differences)
    unit = unit_of_axis(results)
    title = f"{unit[0].upper()}{unit[1:]} with which {reference} has what the best of the others has after"
    order = sorted(trainings, key=lambda key: key[0] == MEDIAN)  # the median last
    yield Table(title, heads, {key: trainings[key] for key in order})


def _axis(results: pd.DataFrame) -> str:
    return unit_of_axis(results) if in_epochs(results) else "architectures trained"


def _regret_name(results: pd.DataFrame) -> str:
    names = {regret_name(part).capitalize() for _, part in results.groupby("task")}
    return names.pop() if len(names) == 1 else "Regret (test, else observed)"


def _by_task(results: pd.DataFrame, column: str) -> pd.DataFrame:
    """The mean of `column`: a row for each budget (`trained`) and task, a column for each method."""
    means = results[results["serves"]].pivot_table(column, ["trained", "task"], "method", sort=False)
    return means.reindex(columns=list(dict.fromkeys(results["method"])))


def _utilities(results: pd.DataFrame) -> pd.DataFrame:
    """The mean value on each task, as `_by_task`; higher is better."""
    signs = results["direction"].map({"max": 1, "min": -1})
    # Means of equal values in another order may differ in the last digit.
    return _by_task(results.assign(value=signs * results["value"]), "value").round(9)


def suite_figure(results: pd.DataFrame) -> Figure:
    """Mean ranks at each budget, with lines that join what no test tells apart, and the curves of normalised regret."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_ranks(left, results)
        _draw_regret(right, results)
        handles, names = left.get_legend_handles_labels()
        figure.legend(
            handles, list(map(shortened, names)), loc="outside lower center", ncols=min(6, len(names))
        )
        return figure


def _draw_ranks(axes: Axes, results: pd.DataFrame) -> None:
    by_budget = ranks(results).groupby("trained")
    for place, (_, ranked) in enumerate(by_budget):
        means = ranked.mean()
        for method, look in looks(list(means.index)).items():
            label = method if place == 0 else None
            axes.plot(means[method], place, **look | {"linestyle": ""}, markersize=8, label=label, zorder=3)
        nearer = critical_difference(len(means), len(ranked))
        ordered, last = np.sort(means.to_numpy()), -np.inf
        for number, start in enumerate(ordered):
            end = ordered[ordered <= start + nearer][-1]
            if end > max(start, last):  # not within a line that is drawn already
                height = place + 0.18 + 0.08 * (number % 4)
                axes.plot([start, end], [height, height], color=GREY, linewidth=3, solid_capstyle="butt")
                last = end
    axes.set_yticks(range(len(by_budget)), [str(count(float(str(n)))) for n in by_budget.groups])
    axes.set(ylabel=_axis(results), xlabel="mean rank over the tasks (1 is best)")
    axes.set(
        ylim=(len(by_budget) - 0.4, -0.5),
        title="Mean ranks; grey joins what Nemenyi's test cannot tell apart",
    )


def _draw_regret(axes: Axes, results: pd.DataFrame) -> None:
    frame = normalised_regret(results)
    largest = frame.groupby(["task", "method"])["budget"].transform("max")
    frame = frame[(frame["budget"] == largest) & (largest == frame["budget"].max())]
    for method, look in looks(list(dict.fromkeys(results["method"]))).items():
        curves = frame[frame["method"] == method].groupby(["trained", "task"])["regret"].mean()
        mean = curves.groupby("trained").mean()
        mean = mean[mean.index >= 5]  # the first few find anything
        every = max(1, len(mean) // 8)
        axes.plot(mean.index, mean, **look, linewidth=1.4, markersize=4, markevery=every)
    axes.set(xlabel=_axis(results), ylabel=_regret_name(results).lower(), yscale="log")
    axes.set_title(
        f"{_regret_name(results)}; 1: mean at the smallest budget ({frame['task'].nunique()} tasks)"
    )
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis(lambda value, _: f"{value:g}")
