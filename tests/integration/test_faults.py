"""Runs that are killed again and again, at moments of chance: none is lost, no file is torn, the result is the same."""

import json
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

from acenas.report import runs
from acenas.tables import WeakLabels
from tests.integration.conftest import Command, command, environment, result, run_folders
from tests.integration.test_live import SMALL

KILLS = 10
"""Of each experiment."""

KILLS_A_RUN = 3
"""After them a run may end, so that the next one is killed early, too."""

EXPERIMENTS = {
    # Longer in pretraining and search than in the report, so that kills fall into each.
    "from a table": ("experiment=debug", "ranker.pretraining.epochs=10", "ranker.finetuning.passes=100"),
    "really trained": (*(name for name in SMALL if not name.startswith("logger")), "table=none"),
}


def started(cwd: Path, overrides: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """The command, once it is at work: what a status file says is of this process."""
    for status in cwd.glob(f"outputs/*/*/{runs.STATUS}"):
        status.unlink()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command(*overrides), cwd=cwd, env=environment(), stdout=quiet, stderr=quiet)
    while not list(cwd.glob(f"outputs/*/*/{runs.STATUS}")) and process.poll() is None:
        time.sleep(0.01)
    return process


def kill_after(seconds: float, cwd: Path, overrides: tuple[str, ...]) -> str | None:
    """Kills the command (SIGKILL) after so many seconds of work; the stage it was in, None where it ended before."""
    process = started(cwd, overrides)
    try:
        assert process.wait(seconds) == 0, "it failed by itself"
        return None
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (status,) = cwd.glob(f"outputs/*/*/{runs.STATUS}")
    return str(json.loads(status.read_text())["stage"])


def check_files(cwd: Path) -> int:
    """Reads every file of a run that has its final name; how many there are."""
    read = 0
    for file in cwd.glob("outputs/*/*/**/*"):
        if (
            not file.is_file()
            or file.name.endswith(".tmp")
            or "wandb" in file.parts
            or ".hydra" in file.parts
        ):
            continue
        if file.name == "weak_labels.parquet":
            WeakLabels.load(file, space="nasbench201")
        elif file.suffix == ".parquet":
            pd.read_parquet(file)
        elif file.suffix == ".json":
            json.loads(file.read_text())
        elif file.name == "config.yaml":
            assert yaml.safe_load(file.read_text())["experiment"]
        else:
            continue
        read += 1
    return read


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_kills_at_any_moment_lose_nothing(
    name: str, acenas: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides, chance = EXPERIMENTS[name], random.Random(0)
    (whole := tmp_path / "whole").mkdir()
    process, start = started(whole, overrides), time.monotonic()
    assert process.wait() == 0
    length = time.monotonic() - start
    (uninterrupted,) = run_folders(whole / "outputs")

    stages: Counter[str] = Counter()
    killed_runs = files = 0
    while stages.total() < KILLS:
        (cwd := tmp_path / f"run{killed_runs}").mkdir()
        killed_runs += 1
        for _ in range(min(KILLS_A_RUN, KILLS - stages.total())):
            stage = kill_after(chance.uniform(0, length), cwd, overrides)
            files += check_files(cwd)
            if stage is None:
                break
            stages[stage] += 1
        finished = acenas(*overrides, cwd=cwd)
        assert finished.returncode == 0, finished.stderr
        (folder,) = run_folders(cwd / "outputs")
        assert folder.name == uninterrupted.name
        assert result(folder) == result(uninterrupted)
        for table in ("observations.parquet", "scores.parquet"):
            left, right = (pd.read_parquet(run / table) for run in (folder, uninterrupted))
            clock = ["seconds"] if name == "really trained" and table == "observations.parquet" else []
            pd.testing.assert_frame_equal(left.drop(columns=clock), right.drop(columns=clock))
        assert not list(folder.rglob("*.tmp")), "a kill left a temporary file behind"
    with capsys.disabled():
        where = ", ".join(f"{count} in {stage}" for stage, count in stages.most_common())
        print(
            f"\n{name}: {stages.total()} kills ({where}) of {killed_runs} runs: none lost, {files} files read between "
            "them and none torn, the results of all runs as without a kill"
        )
