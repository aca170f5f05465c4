"""A run with a larger budget takes over the trainings of a smaller one, and becomes what a fresh one is."""

import sys
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


PROGRAM = """
import os, sys, time
arch, checkpoint = sys.argv[1:]
done = int(open(checkpoint).read()) if os.path.exists(checkpoint) else 0
for epoch in range(done + 1, 10):
    print(epoch, arch.count("conv") + epoch / 10, flush=True)
    open(checkpoint, "w").write(str(epoch))
    time.sleep(0.2)
"""


@pytest.mark.slow
def test_trainings_that_were_stopped_can_go_on_from_their_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    more = [
        "table=none",
        "evaluator=command",
        f"evaluator.command='{sys.executable} {tmp_path / 'train.py'} {{arch}} {{checkpoint}}'",
        "evaluator.epochs=9",
        "evaluator.jobs=4",
        "search=random",
        "search.budget=null",
        "search.per_round=2",
        "search/stopping=halving",
        "weak_labels=[]",
        "logger.mode=disabled",
    ]
    with without_figures():
        smaller, larger = (
            acenas.search(
                "nb201", folder=tmp_path / "runs", overrides=[*more, f"search.budget_epochs={epochs}"]
            )
            for epochs in (45, 90)
        )
    kept = {file.parent.name: file for file in smaller.folder.glob("trained/*/checkpoint")}
    stopped = {name: file for name, file in kept.items() if not (file.parent / "result.json").exists()}
    assert stopped and len(kept) > len(stopped)
    for name, file in stopped.items():
        taken = larger.folder / "trained" / name / "checkpoint"
        assert int(taken.read_text()) >= int(file.read_text())
        assert not taken.samefile(file), "going on in one run would change the other"
