"""A run with a larger budget takes over the trainings of a smaller one, and becomes what a fresh one is."""

from pathlib import Path

import pandas as pd
import pytest

import acenas
from acenas.run.takeover import take_over
from tests.integration.conftest import result
from tests.shortcuts import without_figures

SMALL = ["ranker.pretraining.epochs=1", "ranker.finetuning.passes=5", "logger.mode=disabled"]


def searched(root: Path, budget: int, *more: str) -> Path:
    with without_figures():
        return acenas.search(
            "nb201", table="nb201_digits", budget=budget, folder=root, overrides=[*SMALL, *more]
        ).folder


def equal(one: Path, other: Path) -> None:
    for file in ("observations.parquet", "scores.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(one / file), pd.read_parquet(other / file))
    assert result(one) == result(other)
    one_csv, other_csv = (pd.read_csv(run / "metrics.csv") for run in (one, other))
    pd.testing.assert_frame_equal(one_csv, other_csv)
    assert one_csv["pretrain/epoch"].notna().any()


HALF_BEST = ("search=half_best", "search.per_round=4", "search.num_final=2")


@pytest.mark.parametrize("more", [(), pytest.param(HALF_BEST, marks=pytest.mark.slow)])
def test_a_raised_budget_equals_a_fresh_one(
    tmp_path: Path, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    smaller = searched(tmp_path / "raised", 6, *more)
    capsys.readouterr()
    raised = searched(tmp_path / "raised", 12, *more)
    assert f"Taken over: 6 trainings of {smaller}" in capsys.readouterr().out
    equal(raised, searched(tmp_path / "fresh", 12, *more))
    assert take_over(raised) == 0  # its search has begun


@pytest.mark.slow
def test_only_from_a_run_that_differs_in_nothing_else(tmp_path: Path) -> None:
    searched(tmp_path, 6)
    larger = searched(tmp_path, 8, "seed=1")
    (larger / "study.json").unlink()
    assert take_over(larger) == 0
    (larger / "config.yaml").write_text((larger / "config.yaml").read_text().replace("seed: 1", "seed: 0"))
    assert take_over(larger) == 6
