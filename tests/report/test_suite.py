"""Figures over many tasks, against those worked out by hand and by scipy."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from acenas.report.command import write_comparison
from acenas.report.comparison_page import build_comparison_page
from acenas.report.suite import (
    MEDIAN,
    critical_difference,
    holm,
    is_suite,
    normalised_regret,
    ranks,
    suite_figure,
    suite_tables,
)
from tests.report.test_comparison import FAST, SLOW, results


def tasks() -> pd.DataFrame:
    """`fast` is better on two tasks, of which one is a loss; all are equal on the third; the best known is 99 or 1."""
    accuracy = results(fast=FAST, slow=SLOW)
    loss = results(slow=SLOW, fast=FAST).assign(task="loss", objective="loss", unit="", direction="min")
    loss["value"] = 100 - loss["value"]  # the best known is 1
    return pd.concat([accuracy, loss, results(fast=FAST, slow=FAST).assign(task="equal")], ignore_index=True)


def test_ranks_are_those_of_the_means_whatever_is_better() -> None:
    ranked = pd.DataFrame(ranks(tasks()).loc[2])
    assert ranked.to_dict("index") == {
        "t": {"fast": 1.0, "slow": 2.0},
        "loss": {"fast": 1.0, "slow": 2.0},
        "equal": {"fast": 1.5, "slow": 1.5},
    }
    assert list(ranked) == ["fast", "slow"]
    assert ranked.to_numpy()[0].tolist() == rankdata([-93.0, -89.5]).tolist()
    some = tasks().query("not (task == 'equal' and method == 'slow' and trained == 4)")
    assert list(ranks(some).loc[4].index) == ["t", "loss"], "a task that a method has not run is left out"


def test_the_critical_difference_is_that_of_demsar_table_5() -> None:
    # q at 0.05 for 2 to 5 methods, as printed.
    for methods, q in {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728}.items():
        assert critical_difference(methods, 10) == pytest.approx(
            q * (methods * (methods + 1) / 60) ** 0.5, rel=1e-3
        )


def test_adjusted_chances_are_those_of_holm() -> None:
    chances = np.array([0.001, 0.2, np.nan, 0.02, 0.02])
    np.testing.assert_allclose(holm(chances), [0.004, 0.2, np.nan, 0.06, 0.06])


def test_regret_is_1_on_average_at_the_first_budget() -> None:
    both = normalised_regret(tasks())
    first = both[both["trained"] == 2]
    assert first.groupby("task")["regret"].mean().to_dict() == pytest.approx({"t": 1, "loss": 1, "equal": 1})
    # After 2 the regrets of the accuracies are 5, 7 (fast), 9 and 10 (slow), 7.75 on average.
    assert first[(first["task"] == "t") & (first["method"] == "fast")]["regret"].to_list() == pytest.approx(
        [5 / 7.75, 7 / 7.75]
    )
    unknown = normalised_regret(tasks().assign(regret=np.nan))
    # Nobody knows the best: 97, which one run returned, stands for it.
    last = unknown.query("task == 't' and trained == 3 and method == 'slow'")["regret"].to_list()
    assert last[1] == 0 and last[0] == pytest.approx(6 / 5.75)


def test_each_task_tells_how_far_a_method_is_from_the_best_of_the_others() -> None:
    tables = {table.title: table.cells for table in suite_tables(tasks(), "slow")}
    mean_ranks, regrets, _, cost, beside, needed = tables.values()
    assert mean_ranks["fast", "2"] == "1.167" and cost["slow", "CPU-seconds"] == "2"  # 1 and 2 s by seed
    assert float(regrets["fast", "4"]) < float(regrets["slow", "4"])
    assert beside["t", "2"] == "-3.50 to fast (p –)" and beside["loss", "4"] == "-2.000 to fast (p –)"
    # What fast has after 2 (93 on average), slow has after 3; what it has after 4 slow never has.
    assert needed["t", "2"] == needed["loss", "2"] == "3 (1.50 ×)" and needed["t", "4"] == "> 4"
    assert needed["equal", "2"] == "2 (1.00 ×)" and list(needed)[-1] == (
        MEDIAN,
        "4",
    )
    at_the_best = tasks()
    at_the_best.loc[at_the_best["task"] == "equal", "regret"] -= 3  # the best known is 96
    assert suite_tables(at_the_best, "slow")[-1].cells["equal", "4"] == "both at the best"


def test_a_difference_that_chance_hardly_makes_is_told() -> None:
    better = [[value + 0.1 * seed for value in FAST[0]] for seed in range(8)]
    worse = [[value - 0.5 for value in one] for one in better]
    many = pd.concat(
        [results(ours=better, theirs=worse).assign(task=name) for name in ("a", "b")]
        + [results(ours=worse, theirs=better).assign(task="c")]
    )
    beside = suite_tables(many, "ours")[-2].cells
    assert beside["a", "4"] == "+0.50 to theirs (p 0.023, better)"  # 3 × 2 / 2⁸
    assert beside["c", "4"] == "-0.50 to theirs (p 0.023, worse)"


def test_page_and_tables_begin_with_what_holds_over_all_tasks(tmp_path: Path) -> None:
    both = tasks().assign(folder="a run's")
    text = write_comparison(tmp_path, both, "fast", build_comparison_page(both, "Suite", reference="fast"))
    assert text.startswith("## Over all tasks\n\n| Mean rank over the tasks (1 is best), after | 2 | 4 |")
    page = (tmp_path / "index.html").read_text()
    assert page.index("Over all tasks") < page.index("<section>") and MEDIAN in page
    assert (tmp_path / "suite.png").stat().st_size > 10_000
    left, right = suite_figure(both).axes
    drawn = [tuple(np.asarray(line.get_xdata())) for line in left.get_lines()]
    assert (7 / 6,) in drawn and (7 / 6, 11 / 6) in drawn, "three tasks tell nothing apart"
    assert len(right.get_lines()) == 2 and not is_suite(results(fast=FAST, slow=SLOW))
