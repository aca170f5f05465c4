"""Compares runs: means and standard errors over seeds, trainings needed, and p-values.

All functions take results: a frame with one row for each number of architectures trained in each run.

- `task`, `method`, `seed`: of the run; methods are compared on the same task.
- `budget`: architectures that the run trained in all.
- `serves`: whether tables show this row; at least the last row of each run.
- `trained`: architectures trained so far.
- `test_accuracy`, `regret`: of what the run would have returned then, in percent and points.
- `ndcg@10`: of the last fit by then, over the space; NaN before the first.
- `cpu_seconds`: of the whole run, without the trainings; NaN where it is not known.
- `folder`: of the run.
- costs of what the run returned, where they are known, in its last row: `params_m`, `flops_m`, `latency_ms.<device>`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from acenas.report.summary import cost_unit

TABLES = {"test_accuracy": ("Test accuracy of the returned architecture", 2), "ndcg@10": ("NDCG@10", 3)}
"""Columns of the results that are shown for each budget: title and digits."""


COSTS = ("params_m", "flops_m")


def cost_columns(results: pd.DataFrame) -> list[str]:
    """The columns of costs of which there is one at least."""
    names = [name for name in map(str, results) if name in COSTS or name.startswith("latency_ms.")]
    return [name for name in names if results[name].notna().any()]


def comparison(results: pd.DataFrame, column: str) -> pd.DataFrame:
    """The mean of `column` over seeds, for each method and budget.

    Args:
        results: of one task.
        column: of numbers.

    Returns:
        One row for each method and budget, in their order: `method`, `trained`, `mean`, `standard_error` (NaN for one
        seed) and `seeds`.
    """
    asked = results[results["serves"]]
    groups = asked.groupby(["method", "trained"], sort=False)[column]
    return groups.agg(mean="mean", standard_error="sem", seeds="count").reset_index()


def needed(results: pd.DataFrame, reference: str) -> dict[tuple[str, int], float]:
    """The architectures that each method has to train for the mean test accuracy that `reference` has at each budget.

    Args:
        results: of one task.
        reference: a method.

    Returns:
        For each other method and budget: the smallest number of trainings at which the method's mean over its seeds
        is at least that of the reference, NaN where it never is.
    """
    curves = results[results["budget"] == results.groupby("method")["budget"].transform("max")]
    mean = curves.groupby(["method", "trained"])["test_accuracy"].mean()
    asked = results[results["serves"] & (results["method"] == reference)]
    targets = asked.groupby("trained")["test_accuracy"].mean()
    trainings = {}
    for method in _others(results, reference):
        curve = mean[method]
        for budget, target in targets.items():
            # Means of equal values in another order may differ in the last digit.
            enough = curve.index[curve.to_numpy() >= target - 1e-9]
            trainings[method, int(str(budget))] = float(enough[0]) if len(enough) else np.nan
    return trainings


def paired_p_value(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """The chance of differences this far from 0 if neither is better: Wilcoxon's signed-rank test, two-sided.

    Args:
        ours: `[S]`, one value for each seed.
        theirs: `[S]`, of the same seeds.

    Returns:
        1 where all pairs are equal; pairs that are equal count half for each side (Pratt's zeros, split).

    >>> paired_p_value(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    1.0
    """
    difference = ours - theirs
    if not np.any(difference):
        return 1.0
    return float(wilcoxon(difference, zero_method="zsplit").pvalue)


def p_values(results: pd.DataFrame, reference: str) -> dict[tuple[str, int], float]:
    """`paired_p_value` of the test accuracies of `reference` and every other method, at each budget.

    Args:
        results: of one task.
        reference: a method.

    Returns:
        For each other method and budget, of the means over the runs of a seed; NaN where fewer than two seeds have
        both.
    """
    asked = results[results["serves"]]
    chances = {}
    for budget in sorted(asked["trained"].unique().tolist()):
        means = (
            asked[asked["trained"] == budget].groupby(["seed", "method"])["test_accuracy"].mean().unstack()
        )
        for method in _others(results, reference):
            # A method that does not have the budget has no column.
            both = means.reindex(columns=[reference, method]).dropna().to_numpy()
            chances[method, budget] = paired_p_value(*both.T) if len(both) > 1 else np.nan
    return chances


def _others(results: pd.DataFrame, reference: str) -> list[str]:
    """All methods but the reference, in their order."""
    return [method for method in dict.fromkeys(results["method"]) if method != reference]


def to_markdown(results: pd.DataFrame, reference: str) -> str:
    """All tables of all tasks.

    Args:
        results: of several tasks.
        reference: the method that the others are compared with.
    """
    tasks = dict.fromkeys(results["task"])
    return "\n\n".join(_task_to_markdown(task, results[results["task"] == task], reference) for task in tasks)


def _task_to_markdown(task: str, results: pd.DataFrame, reference: str) -> str:
    best = (results["test_accuracy"] + results["regret"]).iloc[0]
    seeds = results.groupby("method")["seed"].nunique()
    fewest, most = seeds.min(), seeds.max()
    budgets = sorted(results.loc[results["serves"], "trained"].unique().tolist())
    parts = [
        f"## {task}",
        f"Mean ± standard error over {most if fewest == most else f'{fewest} to {most}'} seeds; the best architecture "
        f"known tests at {best:.2f}.",
    ]
    for column, (title, digits) in TABLES.items():
        means = comparison(results, column).to_dict("records")
        values = {
            (row["method"], row["trained"]): _value(row["mean"], row["standard_error"], digits)
            for row in means
        }
        parts.append(_markdown_table(f"{title}, after so many trainings", budgets, values))
    if reference in seeds.index and len(seeds) > 1:
        largest = results.groupby("method")["budget"].max()
        counts = {
            (method, budget): f"> {largest[method]}" if np.isnan(n) else f"{n:.0f} ({n / budget:.1f} ×)"
            for (method, budget), n in needed(results, reference).items()
        }
        title = f"Trainings needed for the mean test accuracy of {reference} after"
        parts.append(_markdown_table(title, budgets, counts))
        chances = {
            (method, budget): "–" if np.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"
            for (method, budget), p in p_values(results, reference).items()
        }
        title = f"p-value of the difference to {reference} (Wilcoxon, paired by seed), after"
        parts.append(_markdown_table(title, budgets, chances))
    if costs := cost_columns(results):
        shown = {
            (row["method"], cost_unit(cost)): _value(row["mean"], row["standard_error"], 2)
            for cost in costs
            for row in comparison(results, cost).to_dict("records")
            if row["trained"] == budgets[-1]
        }
        parts.append(
            _markdown_table(f"Returned after {budgets[-1]}", [cost_unit(cost) for cost in costs], shown)
        )
    runs = results.drop_duplicates(["method", "seed", "budget"])
    cost = runs[runs["budget"] == runs["budget"].max()].groupby("method", sort=False)["cpu_seconds"].mean()
    seconds = ", ".join(f"{method} {mean:.0f}" for method, mean in cost.items())
    parts.append(f"CPU-seconds of a search with the largest budget, without the trainings: {seconds}.")
    return "\n\n".join(parts)


def _value(mean: float, error: float, digits: int) -> str:
    if np.isnan(mean):
        return "–"
    return f"{mean:.{digits}f}" + ("" if np.isnan(error) else f" ± {error:.{digits}f}")


def _markdown_table(title: str, columns: Sequence[Any], cells: Mapping[tuple[str, Any], str]) -> str:
    """A Markdown table with a row for each method."""
    lines = [f"| {title} | " + " | ".join(map(str, columns)) + " |", "|---" * (len(columns) + 1) + "|"]
    for method in dict.fromkeys(method for method, _ in cells):
        lines.append(
            f"| {method} | " + " | ".join(cells.get((method, column), "") for column in columns) + " |"
        )
    return "\n".join(lines)


def to_latex(results: pd.DataFrame) -> str:
    """A LaTeX table (booktabs) for each task: mean ± standard error of the test accuracy and of NDCG@10.

    Args:
        results: of several tasks.
    """
    return "\n\n".join(
        _task_to_latex(task, results[results["task"] == task]) for task in dict.fromkeys(results["task"])
    )


def _task_to_latex(task: str, results: pd.DataFrame) -> str:
    budgets = sorted(results.loc[results["serves"], "trained"].unique().tolist())
    columns = [(column, digits, budget) for column, (_, digits) in TABLES.items() for budget in budgets]
    values = {
        (column, row["method"], row["trained"]): row
        for column in TABLES
        for row in comparison(results, column).to_dict("records")
    }
    heads = " & ".join(
        f"\\multicolumn{{{len(budgets)}}}{{c}}{{{_tex(title)}}}" for title, _ in TABLES.values()
    )
    lines = [
        f"% {task}",
        f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
        "\\toprule",
        f" & {heads} \\\\",
        "trained & " + " & ".join(str(budget) for _, _, budget in columns) + " \\\\",
        "\\midrule",
    ]
    for method in dict.fromkeys(results["method"]):
        cells = []
        for column, digits, budget in columns:
            row = values.get((column, method, budget))
            shown = "–" if row is None else _value(row["mean"], row["standard_error"], digits)
            cells.append(shown.replace("±", "$\\pm$").replace("–", "--"))
        lines.append(f"{_tex(method)} & {' & '.join(cells)} \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])


def _tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    for character in "\\&%$#_{}":
        text = text.replace(character, f"\\{character}" if character != "\\" else "/")
    return text
