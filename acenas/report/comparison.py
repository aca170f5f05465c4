"""Compares runs: means and standard errors over seeds, trainings needed, and p-values.

All functions take results: a frame with one row for each number of architectures trained in each run.

- `task`, `method`, `seed`: of the run; methods are compared on the same task.
- `budget`: architectures that the run trained in all.
- `serves`: whether tables show this row; at least the last row of each run.
- `trained`: architectures trained so far.
- `value`, `regret`: of what the run would have returned then, in the unit of the objective; `regret` says by how much
  the best known is better, NaN where that is not known.
- `kind`: `test` where `value` is a test value, `observed` where nobody knows these; one for a task.
- `objective`, `unit`, `direction`: what `value` is, see `Objective`; one for a task.
- `ndcg@10`: of the last fit by then, over the space; NaN before the first.
- `cpu_seconds`: of the whole run, without the trainings; NaN where it is not known.
- `seconds`: that the whole run took, where they are known.
- `folder`: of the run.
- `igd_plus`: of searches for a front, whose `objective` is `HYPERVOLUME`.
- `full_epochs`: of tasks of which a run has a budget of epochs, where known: the epochs of a full training. All runs
  of these tasks are compared by the epochs that they paid: `trained` and `budget` count them, in full trainings. A run
  in full trainings pays one for each.
- costs of what the run returned, where they are known, in its last row: `params_m`, `flops_m`, `latency_ms.<device>`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from acenas.evaluation.objective import Objective
from acenas.files import number
from acenas.markup import latex, markdown, one_line
from acenas.report.summary import cost_unit

COSTS = ("params_m", "flops_m")

HYPERVOLUME = "hypervolume_share"
"""The `objective` of searches for a front: its hypervolume as a share of the true front's."""

LEAST_SEEDS = 5
"""For a test of significance: from four, even differences that all point one way have a p-value of 0.125."""


STEP = 0.1
"""Between two rows of results that count epochs, in full trainings."""


class Table(NamedTuple):
    """A table with words in its cells, by row (a method or a task) and column."""

    title: str
    columns: Sequence[Any]
    cells: Mapping[tuple[str, Any], str]


def objective_of(results: pd.DataFrame) -> Objective:
    """The objective of the results of one task."""
    return Objective(*results.iloc[0][["objective", "unit", "direction"]])


def in_epochs(results: pd.DataFrame) -> bool:
    """Whether the results are compared by epochs paid."""
    return "full_epochs" in results and bool(results["full_epochs"].notna().all())


def unit_of_axis(results: pd.DataFrame) -> str:
    """What `trained` counts in some results."""
    return "full trainings' worth of epochs" if in_epochs(results) else "trainings"


def axis(results: pd.DataFrame) -> str:
    """What an axis along `trained` is called, in the results of one task."""
    if not in_epochs(results):
        return "architectures trained"
    lengths = " or ".join(f"{length:g}" for length in sorted(results["full_epochs"].unique()))
    return f"epochs paid, in full trainings ({lengths} epochs each)"


def count(trained: float) -> int | float:
    """A number of trainings, or of their worth, as tables show it.

    >>> count(20.0), count(7.25)
    (20, 7.2)
    """
    return int(trained) if trained == int(trained) else round(trained, 1)


def along_epochs(
    results: pd.DataFrame, epochs: NDArray[np.float64] | None, full: float, budget: float
) -> pd.DataFrame:
    """The results of one run, by the epochs that it paid.

    Args:
        results: by trainings, one row at least.
        epochs: that were paid by each row; None for full trainings.
        full: epochs of a full training.
        budget: of the run, in full trainings.

    Returns:
        Rows at every `STEP` of `trained`, and at the budget: each as it was when so much was paid, from the first on.
    """
    paid = results["trained"].to_numpy(np.float64) if epochs is None else epochs / full
    steps = np.arange(1, int(budget / STEP + 1e-9) + 1) * STEP
    at = np.unique([*steps.round(6), budget])
    place = np.searchsorted(paid, at + 1e-9, side="right") - 1
    found = results.iloc[place[place >= 0]].reset_index(drop=True)
    return found.assign(trained=at[place >= 0], budget=budget, full_epochs=full)


def of_fronts(results: pd.DataFrame) -> bool:
    """Whether the results of one task are of searches for a front."""
    return bool(results["objective"].iloc[0] == HYPERVOLUME)


def label(results: pd.DataFrame) -> str:
    """What `value` is in the results of one task, as in `test accuracy (%)`."""
    if of_fronts(results):
        return f"share of the true front's hypervolume ({results['kind'].iloc[0]} values)"
    return objective_of(results).label(results["kind"].iloc[0])


def value_name(results: pd.DataFrame) -> str:
    """What `value` is in the results of one task, without its unit, as in `test accuracy`."""
    return "share of hypervolume" if of_fronts(results) else f"{_kind(results)} {objective_of(results).name}"


def regret_name(results: pd.DataFrame) -> str:
    """What `regret` is in the results of one task."""
    return "share of hypervolume missed" if of_fronts(results) else f"{_kind(results)} regret"


def _kind(results: pd.DataFrame) -> str:
    return str(results["kind"].iloc[0])


def labels(results: pd.DataFrame) -> list[str]:
    """What `value` is in the results of several tasks, each once."""
    return list(dict.fromkeys(label(part) for _, part in results.groupby("task", sort=False)))


def digits_of(results: pd.DataFrame) -> int:
    """Decimals of `value` and `regret` in tables: two of percent, else four significant ones; three of hypervolume."""
    if of_fronts(results):
        return 3
    return 2 if results["unit"].iloc[0] == "%" else decimals(results["value"], 4)


def decimals(values: pd.Series[float], significant: int) -> int:
    """With so many decimals a value of middling size has `significant` digits; two where all are 0 or unknown.

    >>> decimals(pd.Series([0.0123, 0.0456]), 3), decimals(pd.Series([1234.5]), 3)
    (4, 0)
    """
    size = values.abs().median()
    return max(0, significant - 1 - math.floor(math.log10(size))) if size > 0 else 2


def best_known(results: pd.DataFrame) -> float:
    """The best value known of one task; NaN where only what was trained is known."""
    return float((results["value"] + objective_of(results).sign * results["regret"]).median())


def tables(results: pd.DataFrame) -> dict[str, tuple[str, int]]:
    """Columns of one task's results that are shown for each budget: title and digits."""
    if of_fronts(results):
        shown = {
            "value": ("Hypervolume as a share of the true front's", 3),
            "igd_plus": ("IGD+ (lower is better)", 4),
        }
        return shown | {"ndcg@10": ("NDCG@10", 3)}
    objective = objective_of(results)
    unit = f" ({objective.unit})" if objective.unit not in ("", "%") else ""
    title = f"{results['kind'].iloc[0].capitalize()} {objective.name} of the returned architecture{unit}"
    return {"value": (title, digits_of(results)), "ndcg@10": ("NDCG@10", 3)}


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


def needed(results: pd.DataFrame, reference: str) -> dict[tuple[str, float], float]:
    """The architectures that each method has to train for the mean value that `reference` has at each budget.

    Args:
        results: of one task.
        reference: a method.

    Returns:
        For each other method and budget: the smallest number of trainings at which the method's mean over its seeds
        is at least that of the reference, NaN where it never is.
    """
    targets = comparison(results[results["method"] == reference], "value").set_index("trained")["mean"]
    return {
        (method, count(budget)): trainings_for(results, method, target)
        for method in _others(results, reference)
        for budget, target in zip(targets.index.tolist(), targets, strict=True)
    }


def trainings_for(results: pd.DataFrame, method: str, target: float) -> float:
    """The smallest number of trainings at which the mean value of `method` is as good as `target`; NaN for none."""
    sign = objective_of(results).sign
    mine = results[results["method"] == method]
    curve = mine[mine["budget"] == mine["budget"].max()].groupby("trained")["value"].mean()
    # Means of equal values in another order may differ in the last digit.
    enough = curve.index[sign * curve.to_numpy() >= sign * target - 1e-9 * max(1.0, abs(target))]
    return float(enough[0]) if len(enough) else np.nan


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


def p_values(results: pd.DataFrame, reference: str) -> dict[tuple[str, float], float]:
    """`paired_p_value` of the values of `reference` and every other method, at each budget.

    Args:
        results: of one task.
        reference: a method.

    Returns:
        For each other method and budget, of the means over the runs of a seed; NaN where fewer seeds than `LEAST_SEEDS`
        have both.
    """
    asked = results[results["serves"]]
    chances = {}
    for budget in sorted(asked["trained"].unique().tolist()):
        means = asked[asked["trained"] == budget].groupby(["seed", "method"])["value"].mean().unstack()
        for method in _others(results, reference):
            # A method that does not have the budget has no column.
            both = means.reindex(columns=[reference, method]).dropna().to_numpy()
            chances[method, budget] = paired_p_value(*both.T) if len(both) >= LEAST_SEEDS else np.nan
    return chances


def beside_reference(results: pd.DataFrame, reference: str) -> list[Table]:
    """The trainings that the others need for what `reference` has, and whether chance explains the difference.

    Args:
        results: of one task.
        reference: a method; where it is none of the task's, or the only one, there are no tables.
    """
    if reference not in set(results["method"]) or results["method"].nunique() < 2:
        return []
    budgets, largest = budgets_of(results), results.groupby("method")["budget"].max()
    digits, what_counts = (1, unit_of_axis(results)) if in_epochs(results) else (0, "trainings")
    counts = {
        (method, budget): f"> {count(largest[method])}"
        if np.isnan(n)
        else f"{n:.{digits}f} ({n / budget:.{max(1, 2 * digits)}f} ×)"
        for (method, budget), n in needed(results, reference).items()
    }
    chances = {
        (method, budget): "–" if np.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"
        for (method, budget), p in p_values(results, reference).items()
    }
    test = "Wilcoxon, paired by seed"
    return [
        Table(
            f"{what_counts[0].upper()}{what_counts[1:]} needed for the mean {value_name(results)} of {reference} after",
            budgets,
            counts,
        ),
        Table(f"p-value of the difference to {reference} ({test}), after", budgets, chances),
    ]


def budgets_of(results: pd.DataFrame) -> list[int | float]:
    """The numbers of trainings, or of their worth, that tables show."""
    return sorted({count(n) for n in results.loc[results["serves"], "trained"].unique().tolist()})


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
    told = several_objectives(results)
    return "\n\n".join(
        [
            *([markdown(told)] if told else []),
            *(_task_to_markdown(task, results[results["task"] == task], reference) for task in tasks),
        ]
    )


def several_objectives(results: pd.DataFrame) -> str:
    """A sentence where the tasks have different objectives; empty where they have not."""
    names = labels(results)
    return f"Compared within each objective: {', '.join(names)}." if len(names) > 1 else ""


def best_sentence(results: pd.DataFrame) -> str:
    """What is known of the best architecture of one task, as the end of a sentence or the whole of one."""
    best, objective = best_known(results), objective_of(results)
    if of_fronts(results):
        return "the true front is that of all values known, and its own share is 1"
    if results["kind"].iloc[0] == "observed":
        return "nobody knows test values, so what was observed is compared"
    unit = "" if objective.unit == "%" else f" {objective.unit}".rstrip()
    return f"the best architecture known tests at {number(best, digits_of(results))}{unit}"


def _task_to_markdown(task: str, results: pd.DataFrame, reference: str) -> str:
    seeds = results.groupby("method")["seed"].nunique()
    fewest, most = seeds.min(), seeds.max()
    budgets = budgets_of(results)
    parts = [
        f"## {markdown(task)}",
        f"Mean ± standard error over {most if fewest == most else f'{fewest} to {most}'} seeds; "
        f"{markdown(best_sentence(results))}."
        + (f" Compared by {axis(results)}." if in_epochs(results) else ""),
    ]
    for column, (title, digits) in tables(results).items():
        means = comparison(results, column).to_dict("records")
        values = {
            (row["method"], count(row["trained"])): _value(row["mean"], row["standard_error"], digits)
            for row in means
        }
        parts.append(markdown_table(f"{title}, after so many {unit_of_axis(results)}", budgets, values))
    parts += [markdown_table(*table) for table in beside_reference(results, reference)]
    if costs := cost_columns(results):
        shown = {
            (row["method"], cost_unit(cost)): _value(row["mean"], row["standard_error"], digits)
            for cost in costs
            for digits in [decimals(results[cost], 3)]
            for row in comparison(results, cost).to_dict("records")
            if count(row["trained"]) == budgets[-1]
        }
        parts.append(
            markdown_table(f"Returned after {budgets[-1]}", [cost_unit(cost) for cost in costs], shown)
        )
    runs = results.drop_duplicates(["method", "seed", "budget"])
    cost = runs[runs["budget"] == runs["budget"].max()].groupby("method", sort=False)["cpu_seconds"].mean()
    seconds = ", ".join(f"{markdown(method)} {mean:.0f}" for method, mean in cost.items())
    parts.append(f"CPU-seconds of a search with the largest budget, without the trainings: {seconds}.")
    return "\n\n".join(parts)


def _value(mean: float, error: float, digits: int) -> str:
    if np.isnan(mean):
        return "–"
    return f"{mean:.{digits}f}" + ("" if np.isnan(error) else f" ± {error:.{digits}f}")


def markdown_table(title: str, columns: Sequence[Any], cells: Mapping[tuple[str, Any], str]) -> str:
    """A Markdown table with a row for each method."""
    rows = [[title, *columns], ["---"] * (len(columns) + 1)]
    for method in dict.fromkeys(method for method, _ in cells):
        rows.append([method, *(cells.get((method, column), "") for column in columns)])
    return "\n".join(f"| {' | '.join(map(markdown, row))} |" for row in rows)


def to_latex(results: pd.DataFrame) -> str:
    """A LaTeX table (booktabs) for each task: mean ± standard error of the value and of NDCG@10.

    Args:
        results: of several tasks.
    """
    return "\n\n".join(
        _task_to_latex(task, results[results["task"] == task]) for task in dict.fromkeys(results["task"])
    )


def _task_to_latex(task: str, results: pd.DataFrame) -> str:
    budgets = budgets_of(results)
    shown = tables(results)
    columns = [(column, digits, budget) for column, (_, digits) in shown.items() for budget in budgets]
    values = {
        (column, row["method"], count(row["trained"])): row
        for column in shown
        for row in comparison(results, column).to_dict("records")
    }
    heads = " & ".join(
        f"\\multicolumn{{{len(budgets)}}}{{c}}{{{latex(title)}}}" for title, _ in shown.values()
    )
    lines = [
        f"% {one_line(task)}",
        f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
        "\\toprule",
        f" & {heads} \\\\",
        f"{'full trainings' if in_epochs(results) else 'trained'} & "
        + " & ".join(str(budget) for _, _, budget in columns)
        + " \\\\",
        "\\midrule",
    ]
    for method in dict.fromkeys(results["method"]):
        cells = []
        for column, digits, budget in columns:
            row = values.get((column, method, budget))
            text = "–" if row is None else _value(row["mean"], row["standard_error"], digits)
            cells.append(text.replace("±", "$\\pm$").replace("–", "--"))
        lines.append(f"{latex(method)} & {' & '.join(cells)} \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])
