"""Trainings, judges, objectives and configs of the user's own, by command."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.integration.conftest import Command, command, environment, result, run_folders, summary
from tests.shortcuts import acenas_here

MINE = """
import numpy as np
from acenas.evaluation import Evaluator, Judge, Observations
from acenas.spaces import NasBench201

class MyEvaluator(Evaluator):
    def evaluate(self, archs):
        if any("skip_connect~2" in arch for arch in archs):
            raise RuntimeError("CUDA out of memory")
        seen = [np.nan if "none~2" in a else 50.0 + a.count("conv_3x3") for a in archs]
        return Observations(list(archs), np.array(seen), np.ones(len(archs)))

class MyJudge(Judge):
    def __init__(self, folder):
        self.folder = folder
    def test_accuracy(self, archs):
        return np.array([49.0 + a.count("conv_3x3") for a in archs])
    def known(self):
        archs = list(NasBench201().enumerate())
        return archs, self.test_accuracy(archs)
"""
MINE_CONF = {
    "evaluator/mine.yaml": "_target_: mine.MyEvaluator\n",
    "judge/mine.yaml": "_target_: mine.MyJudge\n_partial_: true\n",
    "experiment/mine.yaml": """# @package _global_
defaults:
  - override /table: none
  - override /evaluator: mine
  - override /judge: mine
experiment: mine
weak_labels: []
search: {budget: 9}
ranker: {finetuning: {passes: 5}}
""",
}

TRAIN = """
def train(kernel, width, act):
    if act == "tanh" and width > 32:
        raise RuntimeError("exploded")
    return float("nan") if width == 64 and kernel == 7 else 0.1 * kernel + 1.0 / width
"""
OWN = """# @package _global_
defaults:
  - override /space: choices
  - override /table: none
  - override /evaluator: function
experiment: own
weak_labels: []
space: {choices: {kernel: [1, 3, 5, 7], width: [8, 16, 32, 64], act: [relu, tanh, gelu]}}
evaluator:
  function: losses.train
  objective: {name: val_loss, direction: min}
ranker: {finetuning: {passes: 5}}
"""
INTERRUPTED = """
import time
def train(kernel, width, act):
    with open("log", "a") as log:
        log.write("x")
    time.sleep(60 if len(open("log").read()) == 3 else 0)
    return kernel + width
"""
QUIET = "logger.mode=disabled"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a function that trains, and the experiment that searches with it."""
    write(tmp_path, {"losses.py": TRAIN, "conf/experiment/own.yaml": OWN})
    return tmp_path


def test_an_evaluator_and_a_judge_of_ones_own(tmp_path: Path) -> None:
    write(tmp_path, {"mine.py": MINE} | {f"conf/{name}": text for name, text in MINE_CONF.items()})
    done = acenas_here("--config-dir=conf", "experiment=mine", QUIET, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(tmp_path / "outputs")
    found, observations = summary(folder), pd.read_parquet(folder / "observations.parquet")
    failed = observations[observations["state"] == "failed"]
    assert found["trained"] == len(observations) == 9 and found["failed"] == len(failed) > 0
    assert found["returned"]["test_accuracy"] == found["returned"]["observed_accuracy"] - 1
    assert found["best_known"]["test_accuracy"] == 55.0 and "costs" in found["returned"]
    assert set(failed["message"]) <= {"RuntimeError: CUDA out of memory", "accuracy is nan"}
    assert observations["arch"].is_unique  # nothing that failed is asked for again
    page = (folder / "report.html").read_text()
    assert "Failed trainings" in page and failed["message"].iloc[0] in page
    assert f"Failed: {failed['arch'].iloc[0]}: {failed['message'].iloc[0]}" in done.stdout
    assert f"({len(failed)} failed)" in done.stdout


@pytest.mark.slow
def test_a_loss_that_nobody_tests_and_a_raised_budget(acenas: Command, own: Path) -> None:
    for budget, root in ((6, "outputs"), (10, "outputs"), (10, "fresh")):
        done = acenas(
            "--config-dir=conf",
            "experiment=own",
            QUIET,
            f"search.budget={budget}",
            f"output_root={root}",
            cwd=own,
        )
        assert done.returncode == 0, done.stderr
        assert ("Taken over: 6 trainings" in done.stdout) == ((budget, root) == (10, "outputs"))
    assert "Observed val_loss" in done.stdout and "nobody knows a test value" in done.stdout
    (fresh,) = run_folders(own / "fresh")
    raised = own / "outputs" / fresh.relative_to(own / "fresh")
    assert result(raised) == result(fresh)
    for file in ("observations.parquet", "scores.parquet"):
        # A message names the log, which lies elsewhere.
        one, other = (
            pd.read_parquet(folder / file).drop(columns=["seconds", "message"], errors="ignore")
            for folder in (raised, fresh)
        )
        pd.testing.assert_frame_equal(one, other)
    found = summary(fresh)
    observed = pd.read_parquet(fresh / "observations.parquet")["observed_val_loss"]
    assert found["objective"] == {"name": "val_loss", "unit": "", "direction": "min"}
    assert found["returned"]["observed_val_loss"] == pytest.approx(observed.min())
    assert found["returned"]["test_val_loss"] is found["best_known"] is found["regret"] is None
    assert "nobody knows it" in (fresh / "report.html").read_text()


@pytest.mark.slow
def test_what_was_trained_elsewhere_is_given(acenas: Command, own: Path) -> None:
    given = pd.DataFrame(
        {"kernel": [1, 3], "width": [32, 16], "act": ["relu", "gelu"], "loss": [0.13125, 0.3625]}
    )
    given.to_csv(own / "last_month.csv", index=False)
    more = ["search.budget=4", "search.given=last_month.csv", "search.given_columns={val_loss: loss}"]
    done = acenas("--config-dir=conf", "experiment=own", QUIET, *more, cwd=own)
    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(own / "outputs")
    observations = pd.read_parquet(folder / "observations.parquet")
    assert summary(folder)["trained"] == len(observations) == 4 and summary(folder)["given"] == 2
    assert not {"kernel=1,width=32,act=relu", "kernel=3,width=16,act=gelu"} & set(observations["arch"])
    assert "<h2>Given</h2>" in (folder / "report.html").read_text()
    wrong = acenas("--config-dir=conf", "experiment=own", *more[:1], "search.given=nowhere.csv", cwd=own)
    assert wrong.returncode == 2 and "search.given=nowhere.csv: there is no such file" in wrong.stderr


@pytest.mark.slow
def test_a_program_that_fails_most_of_the_time_stops_the_search(acenas: Command, own: Path) -> None:
    program = f"{sys.executable} -c \"import sys; print('no GPU'); sys.exit(3)\" {{arch}}"
    quoted = program.replace("'", "\\'")
    command = ["--config-dir=conf", "experiment=own", QUIET, "search.budget=6", "evaluator=command"]
    command += [f"evaluator.command='{quoted}'", "~evaluator.function"]
    done = acenas(*command, cwd=own)
    assert done.returncode == 2 and "4 of the last 4 trainings failed (round 1)" in done.stderr, done.stderr
    assert "exit status 3; no GPU" in done.stderr


@pytest.mark.slow
def test_a_benchmark_finds_the_configs_of_the_user(own: Path) -> None:

    write(
        own,
        {
            "conf/experiment/mine.yaml": "# @package _global_\nexperiment: mine\nranker: {pretraining: {epochs: 1}}\n"
        },
    )
    task = "+define.tasks.mine=['experiment=mine']"
    arguments = ["methods=[ace]", "tasks=[mine]", task, "seeds=1", "budgets=[4]"]
    for extra, more in (("--config-dir=conf", {}), ("seeds=1", {"ACENAS_CONF": "conf"})):
        done = subprocess.run(
            [sys.executable, "-m", "acenas.benchmark", extra, *arguments],
            cwd=own,
            env=environment() | more,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
    assert len(run_folders(own / "outputs")) == 2  # the benchmark's own is one


@pytest.mark.slow
@pytest.mark.parametrize("whom", [os.killpg, os.kill], ids=["all, as a terminal does", "the command alone"])
def test_an_interrupt_is_one_sentence_and_the_same_command_goes_on(
    acenas: Command, own: Path, whom: Callable[[int, int], None]
) -> None:
    (own / "losses.py").write_text(INTERRUPTED)
    overrides = ("--config-dir=conf", "experiment=own", QUIET, "search.budget=6", "search.per_round=2")
    piped: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = subprocess.Popen(
        command(*overrides), cwd=own, env=environment(), start_new_session=True, **piped
    )
    while not (own / "log").exists() or (own / "log").read_text() != "xxx":
        assert started.poll() is None, started.communicate()
        time.sleep(0.1)
    whom(started.pid, signal.SIGINT)
    _, stderr = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "acenas: stopped; the same command goes on\n" in stderr and "Traceback" not in stderr
    done = acenas(*overrides, cwd=own)
    assert done.returncode == 0, done.stderr
    assert (own / "log").read_text() == "x" * 7, "what was interrupted is trained again, and nothing else"


def test_a_missing_program_and_a_wrong_objective_are_told(own: Path) -> None:
    for override, told in {
        "evaluator.function=???": "evaluator.function has no value",
        "evaluator.objective.direction=up": "direction=up must be max or min",
        "evaluator.on_failure=ignore": "evaluator.on_failure=ignore skip or stop",
    }.items():
        done = acenas_here("--config-dir=conf", "experiment=own", override, cwd=own)
        assert done.returncode == 2 and told in done.stderr, done.stderr
    assert not list((own / "outputs").glob("*/*"))


@pytest.mark.slow
def test_networks_that_cannot_be_built_are_failures_and_the_search_ends(
    acenas: Command, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text(
        "from acenas.spaces import NasBench201\n"
        "class Broken(NasBench201):\n"
        "    def build(self, arch, num_classes):\n"
        "        if arch.count('nor_conv_3x3') >= 2:\n"
        "            raise RuntimeError('out of memory (pretend)')\n"
        "        return super().build(arch, num_classes)\n"
    )
    (tmp_path / "conf" / "space").mkdir(parents=True)
    (tmp_path / "conf" / "space" / "broken.yaml").write_text(
        "defaults: [nasbench201_digits]\n_target_: broken.Broken\n"
    )
    (tmp_path / "conf" / "experiment").mkdir()
    (tmp_path / "conf" / "experiment" / "broken.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n"
        "  - override /space: broken\n  - override /table: none\n  - override /images: digits\n"
        "  - override /recipe: digits\n  - override /evaluator: train\n  - override /judge: train\n"
        "experiment: broken\nweak_labels: []\nrecipe: {epochs: 1, warmup_epochs: 0}\nsearch: {budget: 9}\n"
    )
    done = subprocess.run(
        command("--config-dir=conf", "experiment=broken", "logger.mode=disabled"),
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(tmp_path / "outputs")
    observed = pd.read_parquet(folder / "observations.parquet")
    many = observed["arch"].str.count("nor_conv_3x3") >= 2
    assert many.any() and (observed["state"][many] == "failed").all() and len(observed) == 9
    assert observed["message"][many].str.contains("out of memory").all()
