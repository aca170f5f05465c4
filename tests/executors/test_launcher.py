import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytorch_lightning.utilities import rank_zero_only

from acenas.executors.launcher import launched_rank
from acenas.report.live import run_loggers
from acenas.run.command_line import checked_config
from acenas.run.commands.run import rank_of

VARIABLES = ("TORCHELASTIC_RUN_ID", "RANK", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_JOB_NAME")
TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "RANK": "3"}
SRUN = {"SLURM_NTASKS": "4", "SLURM_PROCID": "2"}
SHELL = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "interactive"}


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, None),
        (TORCHRUN, 3),
        ({"TORCHELASTIC_RUN_ID": "1"}, 0),
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, None),
        (SRUN, 2),
        ({**SRUN, "SLURM_JOB_NAME": "my_job"}, 2),
        (SHELL, None),
        ({**SHELL, "SLURM_JOB_NAME": "bash"}, None),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, None),
        ({"SLURM_NTASKS": ""}, None),
        ({"SLURM_NTASKS": " ", "SLURM_PROCID": ""}, None),
        ({"SLURM_NTASKS": "2(x3)", "SLURM_PROCID": "1"}, None),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": ""}, 0),
        ({"TORCHELASTIC_RUN_ID": "1", "RANK": "none"}, 0),
    ],
)
def test_the_rank_is_that_of_the_launcher(
    environment: dict[str, str], rank: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launched_rank() == rank


@pytest.mark.parametrize(
    ("overrides", "rank"),
    [
        (["experiment=debug"], None),
        (["experiment=debug", "trainer.devices=2"], None),  # nothing in it is trained by several processes
        (["experiment=digits_supernet"], None),
        (["experiment=digits_supernet", "trainer=ddp"], 2),
        (["experiment=digits_supernet", "trainer.num_nodes=2"], 2),
        (["experiment=digits_supernet", "scoring.hardware.devices=2"], 2),
        (["experiment=final", "arch=x", "final.hardware.devices=2"], 2),
        (["experiment=final", "arch=x"], None),
    ],
)
def test_a_rank_matters_where_the_configuration_has_several_processes(
    overrides: list[str], rank: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**SRUN, "SLURM_JOB_NAME": "job"}.items():
        monkeypatch.setenv(name, value)
    assert rank_of(checked_config(overrides)) == rank


@pytest.mark.parametrize("value", ["", "x", "2(x3)", "-1"])
def test_a_rank_that_is_no_number_is_none(value: str) -> None:
    """Lightning reads these variables when it is imported."""
    ranks = dict.fromkeys(("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"), value)
    asked = "import acenas, os; print(set(os.environ) & {'RANK', 'LOCAL_RANK', 'SLURM_PROCID', 'JSM_NAMESPACE_RANK'})"
    done = subprocess.run(
        [sys.executable, "-c", asked], env=os.environ | ranks, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_a_run_logs_whatever_rank_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 3)  # as Lightning sets it where RANK or another variable is 3
    with run_loggers(tmp_path, mode="offline") as loggers:
        for logger in loggers:
            logger.log_metrics({"search/observed_regret": 0.5, "search/trained": 4}, step=4)
    assert "0.5" in (tmp_path / "metrics.csv").read_text()
    assert len(loggers) == 2 and list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
