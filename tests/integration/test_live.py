"""Runs without a table: a super-net of one's own, and architectures that are really trained."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from acenas.tables import WeakLabels
from tests.integration.conftest import Command, command, environment, run_folders, summary
from tests.shortcuts import acenas_here, in_this_process

SMALL = (
    "experiment=digits_live",
    "supernet.recipe.epochs=2",
    "supernet.recipe.warmup_epochs=0",
    "scoring.images=100",
    "recipe.epochs=1",
    "recipe.warmup_epochs=0",
    "ranker.pretraining.epochs=1",
    "ranker.finetuning.passes=10",
    "search.budget=4",
    "search.per_round=2",
    "search.num_final=2",
    "evaluator.jobs=1",
    "trainer.accelerator=cpu",
    "logger.mode=disabled",
)


def test_the_loop_runs_without_any_table(tmp_path: Path) -> None:
    with in_this_process():
        done = acenas_here(*SMALL, "table=none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(tmp_path / "outputs")
    found = summary(folder)
    trained = pd.read_parquet(folder / "observations.parquet")
    assert found["trained"] == len(trained) == 4
    assert (trained["seconds"] > 0).all(), "they were really trained"
    assert found["returned"]["observed_accuracy"] == trained["observed_accuracy"].max()
    assert found["metrics"]["ndcg@10"] is None, "there is nothing to compare the ranking with"
    labels = WeakLabels.load(folder / "weak_labels.parquet", space="nasbench201")
    assert {"weak.supernet", "weak.supernet_loss", "digits.flops_m", "digits.params_m"} == set(labels.names)
    assert (
        "the first 100 of 1600 looks at 400 validation images of digits"
        in labels.provenance["weak.supernet"].images
    )
    assert {"supernet", "score", "pretrain", "search", "report"} <= found["seconds"].keys()
    assert "nothing to compare" not in done.stdout and "Returned:" in done.stdout


OWN = """# @package _global_
defaults:
  - override /space: nasbench201_digits
  - override /table: none
  - override /images: digits
  - override /recipe: digits
  - override /evaluator: train
  - override /judge: train
experiment: params
weak_labels: [digits.flops_m, digits.params_m]
search: {budget: 6}
recipe: {epochs: 1, warmup_epochs: 0}
evaluator: {jobs: 1}
"""


@pytest.mark.slow
def test_an_experiment_of_ones_own_counts_its_labels(acenas: Command, tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "params.yaml").write_text(OWN)
    done = acenas("--config-dir=conf", "experiment=params", "logger.mode=disabled", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(tmp_path / "outputs")
    assert WeakLabels.load(folder / "weak_labels.parquet").names == ["digits.flops_m", "digits.params_m"]
    assert summary(folder)["trained"] == 6


@pytest.mark.slow
def test_two_jobs_of_two_processes_each_keep_to_their_folders(acenas: Command, tmp_path: Path) -> None:
    """Data parallelism under --multirun, on processors: the ranks of a job work in its folder and nowhere else."""
    few = [
        name
        for name in SMALL
        if not name.startswith(("search", "ranker", "recipe", "evaluator", "experiment"))
    ]
    done = acenas(
        "-m", "experiment=digits_supernet", "seed=0,1", "trainer=ddp", "table=none", *few, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    folders = run_folders(tmp_path / "outputs")
    assert len(folders) == 2
    for folder in folders:
        assert {"supernet", "score", "weak_labels.parquet", "summary.json"} <= {
            p.name for p in folder.iterdir()
        }
        rows = pd.read_csv(folder / "metrics.csv")
        assert rows["supernet/epoch"].tolist() == [0, 1], (
            "every epoch is told once, by the first process alone"
        )
    first, second = (WeakLabels.load(folder / "weak_labels.parquet").frame() for folder in folders)
    assert not first["weak.supernet"].equals(second["weak.supernet"])


@pytest.mark.slow
@pytest.mark.parametrize("there", ["supernet/supernet.ckpt", "score/chunks/*.json", "trained/*/result.json"])
def test_a_live_run_killed_in_any_stage_ends_as_if_it_had_not_been(
    acenas: Command, tmp_path: Path, there: str
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert acenas(*SMALL, cwd=whole).returncode == 0
    process = subprocess.Popen(command(*SMALL), cwd=killed, env=environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(killed.glob(f"outputs/*/*/{there}")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert acenas(*SMALL, cwd=killed).returncode == 0
    results = [summary(run_folders(cwd / "outputs")[0]) for cwd in (whole, killed)]
    for result in results:
        del result["seconds"], result["cpu_seconds"]
    assert json.dumps(results[0]) == json.dumps(results[1])


@pytest.mark.slow
def test_the_live_experiment_finds_one_of_the_best_within_six_minutes(
    acenas: Command, tmp_path: Path
) -> None:
    start = time.monotonic()
    done = acenas("experiment=digits_live", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 360
    found = summary(run_folders(tmp_path / "outputs")[0])
    # The best cells differ by less than two trainings of one cell do: seeds differ by 1.7 points (standard deviation).
    assert found["regret"] < 5
    assert found["weak_labels"]["weak.supernet"]["kendall"] > 0.6
