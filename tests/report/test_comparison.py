"""Means, counts and chances against figures worked out by hand and by a plain loop."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from acenas.report.comparison import comparison, needed, p_values, paired_p_value, to_markdown
from acenas.report.curves import curves, looks


def results(**accuracies: list[list[float]]) -> pd.DataFrame:
    """For each method its seeds, for each seed the test accuracy after 1, 2, ... trainings; budgets are 2 and 4."""
    return pd.DataFrame(
        {
            "task": "t",
            "method": method,
            "seed": seed,
            "budget": len(curve),
            "serves": n in (2, 4),
            "trained": n,
            "value": value,
            "regret": 99.0 - value,
            "kind": "test",
            "objective": "accuracy",
            "unit": "%",
            "direction": "max",
            "ndcg@10": np.nan if n == 1 else value / 100,
            "cpu_seconds": 1.0 + seed,
        }
        for method, seeds in accuracies.items()
        for seed, curve in enumerate(seeds)
        for n, value in enumerate(curve, start=1)
    )


FAST = [[90.0, 94.0, 95.0, 96.0], [90.0, 92.0, 95.0, 96.0]]
SLOW = [[90.0, 90.0, 91.0, 95.0], [89.0, 89.0, 97.0, 93.0]]


def test_means_errors_and_counts_add_up() -> None:
    table = comparison(results(slow=SLOW, fast=FAST), "value")
    assert list(dict.fromkeys(table["method"])) == ["slow", "fast"], "methods keep their order"
    rows = table.set_index(["method", "trained"]).to_dict("index")
    # The deviation of two values is their distance over the root of 2, the standard error half their distance.
    assert rows["fast", 2] == {"mean": 93.0, "standard_error": pytest.approx(1.0), "seeds": 2}
    assert rows["slow", 4] == {"mean": 94.0, "standard_error": pytest.approx(1.0), "seeds": 2}


def test_a_method_needs_the_first_count_at_which_its_mean_is_as_good() -> None:
    counts = needed(results(fast=FAST, slow=SLOW), "fast")
    assert counts["slow", 2] == 3  # its means are 89.5, 89.5, 94, 94; the others' after 2 is 93
    assert np.isnan(counts["slow", 4])
    assert needed(results(fast=FAST, slow=SLOW), "slow")["fast", 4] == 3


@given(st.lists(st.floats(0.01, 5), min_size=6, max_size=10, unique=True))
def test_the_chance_of_one_sided_pairs_is_that_of_equal_signs(differences: list[float]) -> None:
    ours, theirs = np.array(differences), np.zeros(len(differences))
    # Where every pair favours one side, the signed-rank test asks what the sign test asks.
    expected = binomtest(len(differences), len(differences)).pvalue
    assert paired_p_value(ours, theirs) == pytest.approx(expected)
    assert paired_p_value(ours, ours) == 1.0
    assert paired_p_value(ours, theirs) == paired_p_value(theirs, ours)


def test_chances_are_paired_by_seed() -> None:
    shifted = [[value - 0.5 - 0.1 * i for value in FAST[0]] for i in range(6)]
    chances = p_values(results(fast=[FAST[0]] * 6, slow=shifted), "fast")
    assert chances["slow", 4] == pytest.approx(2 / 2**6)


def test_too_few_seeds_tell_nothing_of_chance() -> None:
    shifted = [[value - 0.5 - 0.1 * i for value in FAST[0]] for i in range(5)]
    few = {count: results(fast=[FAST[0]] * count, slow=shifted[:count]) for count in (2, 4, 5)}
    chances = {count: p_values(found, "fast")["slow", 4] for count, found in few.items()}
    assert np.isnan([chances[2], chances[4]]).all() and chances[5] == pytest.approx(2 / 2**5)
    assert "| slow | – | – |" in to_markdown(few[2], "fast")


def test_small_costs_have_digits_that_say_something() -> None:
    found = results(fast=FAST, slow=SLOW).assign(params_m=0.0123)
    found["params_m"] += 0.0002 * found["seed"]
    assert "| fast | 0.0124 ± 0.0001 |" in to_markdown(found, "fast")


def test_the_page_tells_of_every_method_and_of_what_is_never_reached() -> None:
    text = to_markdown(results(fast=FAST, slow=SLOW), "fast")
    assert "over 2 seeds" in text and "tests at 99.00" in text
    assert "| fast | 93.00 ± 1.00 | 96.00 ± 0.00 |" in text
    assert "| slow | 3 (1.5 ×) | > 4 |" in text
    assert "fast 2, slow 2" in text


def test_a_loss_is_better_where_it_is_lower() -> None:
    losses = results(fast=FAST, slow=SLOW).assign(objective="loss", unit="", direction="min")
    losses["value"], losses["regret"] = 100 - losses["value"], 99 - losses["value"]
    assert needed(losses, "fast") == pytest.approx(needed(results(fast=FAST, slow=SLOW), "fast"), nan_ok=True)
    six = results(fast=FAST * 3, slow=SLOW * 3)
    of_losses = six.assign(objective="loss", unit="", direction="min", value=100 - six["value"])
    assert p_values(of_losses, "fast") == pytest.approx(p_values(six, "fast"))
    text = to_markdown(losses, "fast")
    assert "tests at 1.000" in text and "| fast | 7.000 ± 1.000 | 4.000 ± 0.000 |" in text
    axes = curves(losses).axes[0]
    assert (
        axes.get_ylim()[0] < 1 < 6 < axes.get_ylim()[1]
        and axes.get_title("left") == "t: test loss of the returned"
    )


def test_curves_show_every_method_of_every_task() -> None:
    both = pd.concat([results(fast=FAST, slow=SLOW), results(fast=FAST).assign(task="u")])
    axes = curves(both).axes
    assert len(axes) == 4
    drawn = axes[0].get_lines()[1]  # the first line is the best known
    np.testing.assert_allclose(np.asarray(axes[0].get_lines()[0].get_ydata()), [90.0, 93.0, 95.0, 96.0])
    np.testing.assert_allclose(np.asarray(drawn.get_ydata()), [89.5, 89.5, 94.0, 94.0])


def test_chances_are_of_the_seeds_and_budgets_that_both_have() -> None:
    both = results(fast=FAST * 3, slow=SLOW * 3)
    apart = both[(both["method"] == "fast") | (both["trained"] <= 2)]
    chances = p_values(apart, "fast")
    assert chances["slow", 2] == p_values(both, "fast")["slow", 2] and np.isnan(chances["slow", 4])
    other_way = p_values(apart, "slow")
    assert other_way["fast", 2] == chances["slow", 2] and np.isnan(other_way["fast", 4])


def test_runs_of_one_seed_count_once() -> None:
    both = results(fast=FAST * 3, slow=SLOW * 3)
    repeated = pd.concat([both, both[both["method"] == "slow"].assign(folder="again")])
    assert p_values(repeated, "fast") == p_values(both, "fast")
    assert "p-value" in to_markdown(repeated, "fast")


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("ground", ["#ffffff", "#f4f4f6", "#16161a", "#232329"])
def test_lines_stand_out_from_the_ground_and_differ_in_more_than_colour(ground: str) -> None:
    look = looks([f"method {number}" for number in range(28)])
    for each in look.values():
        light, dark = sorted((luminance(each["color"]), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3, each
    assert len({(each["linestyle"], each["marker"]) for each in look.values()}) >= 8
    assert len({tuple(each.values()) for each in look.values()}) == 28
