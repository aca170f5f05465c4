"""Many tasks at once: ranks, regret on one scale, and how far a method is from the best of the others on each task.

All functions take results of several tasks, see `acenas.report.comparison`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import studentized_range

from acenas.report.comparison import best_known, digits_of, objective_of, p_values, trainings_for
from acenas.report.curves import looks
from acenas.report.figures import GREY, STYLE

ALPHA = 0.05
"""The chance of an error that is taken, in tests of significance."""


class Table(NamedTuple):
    """A table with words in its cells, by row and column."""

    title: str
    columns: Sequence[str]
    cells: Mapping[tuple[str, str], str]


def is_suite(results: pd.DataFrame) -> bool:
    """Whether there are enough tasks and methods to say something of all of them."""
    return results["task"].nunique() >= 3 and results["method"].nunique() >= 2


def ranks(results: pd.DataFrame, budget: int) -> pd.DataFrame:
    """The ranks of the methods' mean values after `budget` trainings, 1 for the best; equal ones share their mean.

    Returns:
        A row for each task that all methods have run so far, a column for each method.
    """
    return _utilities(results, budget).dropna().rank(axis=1, ascending=False)


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
    budgets = sorted(results.loc[results["serves"], "trained"].unique().tolist())
    methods = list(dict.fromkeys(results["method"]))
    ranked = {budget: ranks(results, budget) for budget in budgets}
    heads = {budget: _head(budget, len(ranked[budget]), results["task"].nunique()) for budget in budgets}
    runs = results.drop_duplicates(["task", "method", "seed", "budget"])
    largest = runs["budget"] == runs.groupby(["task", "method"])["budget"].transform("max")
    cost = runs[largest].groupby(["task", "method"])["cpu_seconds"].mean().groupby("method").mean()
    cells = {(m, heads[b]): f"{ranked[b][m].mean():.2f}" for b in budgets for m in methods if len(ranked[b])}
    cells |= {(method, "CPU-seconds"): f"{cost[method]:.0f}" for method in methods}
    tables = [Table("Mean rank over the tasks (1 is best), after", [*heads.values(), "CPU-seconds"], cells)]
    for column, title, frame in (
        (
            "regret",
            "Regret, 1 being the mean of all methods after the first of these",
            normalised_regret(results),
        ),
        ("ndcg@10", "NDCG@10, after", results),
    ):
        asked = frame[frame["serves"]].groupby(["method", "trained", "task"])[column].mean()
        means = asked.groupby(["method", "trained"]).mean()
        cells = {
            (m, heads[b]): f"{means[m, b]:.3f}" for m in methods for b in budgets if (m, b) in means.index
        }
        tables.append(Table(title, list(heads.values()), cells))
    if reference in methods:
        tables += _beside_the_best(results, reference, budgets)
    return tables


def _head(budget: int, count: int, tasks: int) -> str:
    return str(budget) if count == tasks else f"{budget} ({count} tasks)"


def _beside_the_best(results: pd.DataFrame, reference: str, budgets: Sequence[int]) -> Iterator[Table]:
    """Differences to the best of the others on each task, and the trainings for equal quality."""
    by_task = dict(iter(results.groupby("task", sort=False)))
    chances = {task: p_values(part, reference) for task, part in by_task.items()}
    heads = [str(budget) for budget in budgets]
    differences: dict[tuple[str, str], str] = {}
    trainings: dict[tuple[str, str], str] = {}
    for budget in budgets:
        best: dict[str, tuple[str, float, float]] = {}  # the best of the others, its value, and ours
        for task, row in _utilities(results, budget).to_dict("index").items():
            ours, others = (
                row.pop(reference),
                {str(name): value for name, value in row.items() if value == value},
            )
            if others and ours == ours:
                method = max(others, key=others.__getitem__)
                best[str(task)] = method, others[method], ours
        adjusted = holm(np.array([chances[task][method, budget] for task, (method, _, _) in best.items()]))
        shares = []
        for (task, (method, target, ours)), chance in zip(best.items(), adjusted.tolist(), strict=True):
            part, sign = by_task[task], objective_of(by_task[task]).sign
            verdict = "" if not chance < ALPHA else ", better" if ours > target else ", worse"
            shown = "–" if np.isnan(chance) else f"{chance:.3f}"
            text = f"{ours - target:+.{digits_of(part)}f} to {method} (p {shown}{verdict})"
            differences[task, str(budget)] = text
            if target >= sign * best_known(part) - 1e-9:
                trainings[task, str(budget)] = "all at the best"
                continue
            needed = trainings_for(part, reference, sign * target)
            shares.append(needed / budget if needed == needed else np.inf)
            count = f"{needed:.0f} ({shares[-1]:.2f} ×)" if needed == needed else f"> {part['budget'].max()}"
            trainings[task, str(budget)] = count
        if shares:
            trainings["median of those below the best", str(budget)] = f"{np.median(shares):.2f} ×"
    title = f"{reference} beside the best of the others, {{}}, after"
    tests = "positive is better; p-values by Wilcoxon, paired by seed, Holm over tasks"
    yield Table(title.format(tests), heads, differences)
    order = sorted(trainings, key=lambda key: key[0].startswith("median of"))  # the median last
    title = title.format("trainings that it needs for what that one has")
    yield Table(title, heads, {key: trainings[key] for key in order})


def _utilities(results: pd.DataFrame, budget: int) -> pd.DataFrame:
    """The mean value of each method (columns) on each task (rows) after `budget` trainings; higher is better."""
    asked = results[results["serves"] & (results["trained"] == budget)]
    utility = asked["value"] * asked["direction"].map({"max": 1, "min": -1})
    means = utility.groupby([asked["task"], asked["method"]], sort=False).mean().unstack()
    methods = dict.fromkeys(results["method"])
    # Means of equal values in another order may differ in the last digit.
    return means.reindex(columns=list(methods)).round(9)


def suite_figure(results: pd.DataFrame) -> Figure:
    """Mean ranks at each budget, with lines that join what no test tells apart, and the curves of normalised regret."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_ranks(left, results)
        _draw_regret(right, results)
        handles, names = left.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(6, len(names)))
        return figure


def _draw_ranks(axes: Axes, results: pd.DataFrame) -> None:
    budgets = sorted(results.loc[results["serves"], "trained"].unique().tolist())
    for place, budget in enumerate(budgets):
        ranked = ranks(results, budget)
        if ranked.empty:
            continue
        means = ranked.mean()
        for method, (colour, _) in looks(list(means.index)).items():
            label = method if place == 0 else None
            axes.plot(means[method], place, "o", color=colour, markersize=8, label=label, zorder=3)
        nearer = critical_difference(len(means), len(ranked))
        ordered, last = np.sort(means.to_numpy()), -np.inf
        for number, start in enumerate(ordered):
            end = ordered[ordered <= start + nearer][-1]
            if end > max(start, last):  # not within a line that is drawn already
                height = place + 0.18 + 0.08 * (number % 4)
                axes.plot([start, end], [height, height], color=GREY, linewidth=3, solid_capstyle="butt")
                last = end
    axes.set_yticks(range(len(budgets)), [str(budget) for budget in budgets])
    axes.set(ylabel="architectures trained", xlabel="mean rank over the tasks (1 is best)")
    axes.set(
        ylim=(len(budgets) - 0.4, -0.5), title="A grey line joins what Nemenyi's test does not tell apart"
    )


def _draw_regret(axes: Axes, results: pd.DataFrame) -> None:
    frame = normalised_regret(results)
    largest = frame.groupby(["task", "method"])["budget"].transform("max")
    frame = frame[(frame["budget"] == largest) & (largest == frame["budget"].max())]
    for method, (colour, line) in looks(list(dict.fromkeys(results["method"]))).items():
        curves = frame[frame["method"] == method].groupby(["trained", "task"])["regret"].mean()
        mean = curves.groupby("trained").mean()
        mean = mean[mean.index >= 5]  # the first few find anything
        axes.plot(mean.index, mean, line, color=colour, linewidth=1.4)
    axes.set(xlabel="architectures trained", ylabel="regret", yscale="log")
    axes.set_title(f"Regret, 1 being the mean at the smallest budget ({frame['task'].nunique()} tasks)")
