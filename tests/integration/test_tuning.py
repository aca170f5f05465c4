"""Hyper-parameter search with Optuna: trials are given up early, and a study that was killed goes on."""

import shlex
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

import acenas.run.config  # noqa: F401 (it knows `sqlite`)
from tests.integration.conftest import Command, command, environment

optuna = pytest.importorskip("optuna", reason="needs the extra sweeps")

SEARCH = (
    "-m",
    "experiment=debug",
    "hydra/sweeper=optuna",
    "hydra.sweeper.pruner.n_startup_trials=1",
    "hydra.sweeper.pruner.n_warmup_steps=4",
    "logger.mode=disabled",
    "loss=choice(lambdarank,mse)",
    "ranker.finetuning.passes=range(5,50,15)",
    "ranker.finetuning.learning_rate=tag(log,interval(1e-5,1e-1))",
)


def study(cwd: Path) -> pd.DataFrame:
    (table,) = cwd.glob("outputs/debug/optuna-*.csv")
    return pd.read_csv(table)


def test_a_mistake_is_one_message(acenas: Command, tmp_path: Path) -> None:
    done = acenas("-m", "experiment=debug", "hydra/sweeper=optuna", cwd=tmp_path)
    assert done.returncode == 2 and "nothing to search" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(acenas: Command, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    done = acenas(*SEARCH, "hydra.sweeper.trials=5", cwd=whole)
    assert done.returncode == 0, done.stderr
    expected = study(whole)
    assert set(expected["state"]) == {"complete", "pruned"}
    assert len(expected.filter(like="ranker.finetuning.learning_rate").drop_duplicates()) == 5
    complete = expected[expected["state"] == "complete"]
    best = complete.sort_values("search/ndcg@10").iloc[-1]
    assert f"Best: trial {best['trial']}, search/ndcg@10 {best['search/ndcg@10']:.4f}" in done.stdout
    assert done.stdout.splitlines()[-1] == "5 of 5 jobs done."
    assert len(list(whole.glob("outputs/debug/*/pruned.txt"))) == sum(expected["state"] == "pruned")

    process = subprocess.Popen(
        command(*SEARCH, "hydra.sweeper.trials=5"), cwd=killed, env=environment(), stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while len(list(killed.glob("outputs/debug/*/observations.parquet"))) < 2:  # in the second trial
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert acenas(*SEARCH, "hydra.sweeper.trials=3", cwd=killed).returncode == 0
    pd.testing.assert_frame_equal(study(killed), expected.head(3))
    more = acenas(*SEARCH, "hydra.sweeper.trials=5", cwd=killed)  # what is done is not done again
    assert more.returncode == 0 and "Trial 3:" not in more.stdout and "Trial 4:" in more.stdout
    pd.testing.assert_frame_equal(study(killed), expected)


@pytest.mark.slow
def test_a_trial_that_failed_is_tried_again_by_the_same_command(acenas: Command, tmp_path: Path) -> None:
    search = (
        "-m",
        "experiment=debug",
        "hydra/sweeper=optuna",
        "ranker.dropout=choice(2.0)",
        "logger.mode=disabled",
    )
    for _ in range(2):  # what fails for a passing reason, such as too little memory, may end well then
        done = acenas(*search, "hydra.sweeper.trials=1", cwd=tmp_path)
        assert done.returncode == 1 and "dropout=2.0 must lie between 0 and 1" in done.stdout + done.stderr
        assert "0 of 1 jobs done; the same command goes on" in done.stdout


@pytest.mark.parametrize("name", ["x?1", "a%3Fb#c", "[1]=@:,", "lr 0.1"])
def test_a_database_has_the_name_of_its_folder(name: str) -> None:
    from sqlalchemy import make_url

    path = f"/outputs/{name}/debug/optuna.db"
    url = OmegaConf.create({"path": path, "url": "${sqlite:${path}}"}).url
    assert make_url(url).database == path


@pytest.mark.slow
def test_a_folder_with_a_question_mark_holds_all_of_a_search(acenas: Command, tmp_path: Path) -> None:
    names = (
        "experiment=debug",
        "loss.scale=interval(1,20)",
        "output_root='OUT/x?1'",
        "ranker.finetuning.passes=5",
    )
    done = acenas("-m", "hydra/sweeper=optuna", "hydra.sweeper.trials=2", *names, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["OUT"]
    assert [path.name for path in (tmp_path / "OUT").iterdir()] == ["x?1"]
    assert (tmp_path / "OUT/x?1/debug/optuna.db").stat().st_size > 0
    (best,) = (line for line in done.stdout.splitlines() if line.startswith("python -m acenas "))
    again = acenas(*shlex.split(best)[3:], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "OUT/x?1/debug").glob("*/summary.json"))) == 2, "it is one of the trials"
