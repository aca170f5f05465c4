"""Sweeps and searches on a real SLURM, disturbed as clusters do it, end as if they had been left alone."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from acenas.tables import WeakLabels
from tests.integration.conftest import Command, command, environment, result, run_folders, summary

pytestmark = pytest.mark.slow

SEARCH = (
    "experiment=debug",
    "logger.mode=disabled",
    "ranker.pretraining.epochs=1",
    "ranker.finetuning.passes=5",
    "search.budget=4",
    "search.per_round=2",
    "search.num_final=2",
)
SLURM = ("-m", "hydra/launcher=slurm")


@pytest.fixture(scope="session")
def on_cluster(slurm: dict[str, str]) -> Command:
    """Runs the command in `cwd`, with the cluster."""

    def run(*overrides: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*overrides),
            cwd=cwd,
            env=environment() | slurm,
            capture_output=True,
            text=True,
            timeout=900,
        )

    return run


def wait_for(there: Callable[[], Any], seconds: float = 300) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := there()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def tell(slurm: dict[str, str], *words: str) -> str:
    """What a command of SLURM answers."""
    return subprocess.run(words, env=environment() | slurm, capture_output=True, text=True, check=True).stdout


def submitted(cwd: Path) -> int:
    return len(list(cwd.glob("outputs/*/.submitit/*/*/*_submitted.pkl")))


def start(slurm: dict[str, str], cwd: Path, *overrides: str) -> subprocess.Popen[bytes]:
    with (cwd / "out.txt").open("ab") as out:
        return subprocess.Popen(
            command(*overrides),
            cwd=cwd,
            env=environment() | slurm,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def test_a_sweep_whose_shell_is_closed_is_collected_by_the_same_command(
    slurm: dict[str, str], on_cluster: Command, acenas: Command, tmp_path: Path
) -> None:
    sweep = (*SLURM, *SEARCH, "seed=range(4)", "ranker.dropout=0.0,2.0", "hydra.launcher.jobs=2")
    shell = start(slurm, tmp_path, *sweep)
    wait_for(lambda: list(tmp_path.glob("outputs/*/*/observations.parquet")))
    os.killpg(shell.pid, signal.SIGHUP)
    shell.wait()

    done = on_cluster(*sweep, cwd=tmp_path)
    *_, last = lines = done.stdout.splitlines()
    assert done.returncode == 1 and last == "4 of 8 jobs done; the same command goes on with the others."
    states = [line.split()[0] for line in lines[-9:-1]]
    assert sorted(states) == ["done"] * 4 + ["failed"] * 4, "a job that fails takes no other with it"
    assert all(
        "dropout=2.0 must lie between 0 and 1" in line for line in lines[-9:-1] if line.startswith("failed")
    )
    failed_before = submitted(tmp_path) - 8
    assert 0 <= failed_before <= 4, "what was done, queued or running was not submitted again"

    again = on_cluster(*sweep[:-2], "ranker.dropout=0.0", cwd=tmp_path)
    assert again.stdout.splitlines()[-1] == "4 of 4 jobs done." and submitted(tmp_path) == 8 + failed_before
    alone = acenas(*SEARCH, "seed=3", "ranker.dropout=0.0", "output_root=alone", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    (folder,) = run_folders(tmp_path / "alone")
    assert result(folder) == result(tmp_path / "outputs/debug" / folder.name)


def test_tasks_of_srun_are_runs_of_their_own(slurm: dict[str, str], tmp_path: Path) -> None:
    typed = " ".join([*command(*SEARCH), "seed=$SLURM_PROCID"]).replace("logger.mode=disabled", "")
    srun = ["srun", "--ntasks=4", "--overcommit", "bash", "-c", typed]
    done = subprocess.run(
        srun, cwd=tmp_path, env=environment() | slurm, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("4 architectures trained") == 4
    folders = run_folders(tmp_path / "outputs")
    assert sorted(summary(folder)["seed"] for folder in folders) == [0, 1, 2, 3]
    assert all((folder / "metrics.csv").exists() and (folder / "wandb").is_dir() for folder in folders)


def test_a_shell_of_an_allocation_starts_ordinary_runs(slurm: dict[str, str], tmp_path: Path) -> None:
    salloc = ["salloc", "--ntasks=2", *command(*SEARCH, "fresh=true")]
    done = subprocess.run(
        salloc, cwd=tmp_path, env=environment() | slurm, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert len(run_folders(tmp_path / "outputs")) == 1


# So long that there is time for a kill in pretraining, and between the first observations and the end.
LONGER = (*SEARCH, "ranker.pretraining.epochs=8", "ranker.finetuning.passes=400")


@pytest.fixture(scope="module")
def undisturbed(acenas: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("undisturbed")
    done = acenas(*LONGER, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return run_folders(cwd / "outputs")[0]


def start_now(slurm: dict[str, str], job: str) -> None:
    """Two minutes earlier than SLURM would start what it has queued again."""
    wait_for(lambda: "BeginTime" in tell(slurm, "squeue", "--noheader", "--format=%r", f"--jobs={job}"))
    tell(slurm, "scontrol", "update", f"JobId={job}", "StartTime=now")


def warned(slurm: dict[str, str], job: str) -> None:
    """As a cluster that gives notice, and at the end of a job's time."""
    tell(slurm, "scancel", "--signal=USR2", job)
    start_now(slurm, job)


def pre_empted(slurm: dict[str, str], job: str) -> None:
    """By a job that is more urgent: SIGTERM, and two seconds later the end."""
    tell(slurm, "sbatch", "--partition=urgent", "--ntasks=2", "--output=/dev/null", "--wrap=sleep 5")
    start_now(slurm, job)


def killed(slurm: dict[str, str], job: str) -> None:
    """As for want of memory."""
    tell(slurm, "scancel", "--signal=KILL", "--full", job)


@pytest.mark.parametrize(
    ("disturb", "there"),
    [(warned, "observations.parquet"), (pre_empted, "pretrain"), (killed, "observations.parquet")],
)
def test_a_disturbed_job_gives_the_result_of_one_that_ran_through(
    disturb: Callable[[dict[str, str], str], None],
    there: str,
    slurm: dict[str, str],
    undisturbed: Path,
    tmp_path: Path,
) -> None:
    sweep = start(slurm, tmp_path, *SLURM, *LONGER)
    folder = tmp_path / "outputs/debug" / undisturbed.name
    wait_for(lambda: (folder / there).exists())
    job = (folder / ".slurm_job").read_text()
    disturb(slurm, Path(job).name)
    assert sweep.wait(timeout=600) == 0, (tmp_path / "out.txt").read_text()
    assert result(folder) == result(undisturbed)
    starts = [line for path in tmp_path.rglob("*_0_log.out") for line in path.read_text().splitlines()]
    assert sum("Starting with" in line for line in starts) == 2, "it was started twice"
    assert submitted(tmp_path) == (2 if disturb is killed else 1), (
        "what SLURM queues again is not submitted again"
    )


SUPERNET = (
    "experiment=digits_supernet",
    "supernet.recipe.epochs=2",
    "supernet.recipe.warmup_epochs=0",
    "scoring.images=100",
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "table=none",
    "logger.mode=disabled",
)


def test_two_tasks_of_a_job_train_one_supernet(
    slurm: dict[str, str], on_cluster: Command, acenas: Command, tmp_path: Path
) -> None:
    done = on_cluster(*SLURM, *SUPERNET, "hydra.launcher.tasks_per_node=2", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert acenas(*SUPERNET, "output_root=here", cwd=tmp_path).returncode == 0
    by_tasks, by_processes = (
        WeakLabels.load(run_folders(tmp_path / root)[0] / "weak_labels.parquet").frame()
        for root in ("outputs", "here")
    )
    pd.testing.assert_frame_equal(by_tasks, by_processes)
    logs = [path.read_text() for path in tmp_path.rglob("*_log.out")]
    assert len(logs) == 2 and all("global_rank=" in text and "(2)" in text for text in logs)


TRAINED = (
    *SEARCH,
    "table=none",
    "weak_labels=[]",
    "space=nasbench201_digits",
    "images=digits",
    "recipe=digits",
    "recipe.epochs=2",
    "recipe.warmup_epochs=0",
    "evaluator=train",
    "judge=train",
    "evaluator.accelerator=cpu",
    "evaluator.jobs=2",
)


def test_a_search_that_is_killed_takes_in_the_trainings_that_went_on(
    slurm: dict[str, str], on_cluster: Command, acenas: Command, tmp_path: Path
) -> None:
    search = (*TRAINED, "evaluator/executor=slurm")
    shell = start(slurm, tmp_path, *search)
    wait_for(lambda: list(tmp_path.glob("outputs/*/*/trained/*/.slurm_job")))
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()
    assert not list(tmp_path.glob("outputs/*/*/trained/*/result.json"))
    done = on_cluster(*search, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert acenas(*TRAINED, "output_root=here", cwd=tmp_path).returncode == 0
    (there,), (here,) = run_folders(tmp_path / "outputs"), run_folders(tmp_path / "here")
    assert here.name == there.name, "where architectures are trained is not what the run is"
    assert result(here) == result(there)
    assert len(list(there.glob("trained/.submitit/*/*/*_submitted.pkl"))) == 4, "each was submitted once"
