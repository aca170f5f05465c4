"""What is said of a sweep's jobs at its end."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from acenas.errors import UserError
from acenas.report import runs
from acenas.run.folder import finish, only_process
from acenas.run.sweeps import SweepSummary, note_jobs


def test_a_sweep_over_experiments_tells_of_the_jobs_of_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = OmegaConf.create(
        {
            "experiment": "nb201_ltr",  # what is composed for a sweep has the default where something is swept
            "hydra": {
                "sweep": {"dir": f"{tmp_path}/${{experiment}}"},
                "overrides": {"task": ["experiment=debug,digits_live", "seed=range(2)"]},
            },
        }
    )
    summary = SweepSummary()
    summary.on_multirun_start(config)
    for name in ("debug/a", "debug/b", "digits_live/c", "nb201_ltr/of_another_sweep"):
        with only_process(tmp_path / name):
            if name != "debug/b":
                (tmp_path / name / runs.SUMMARY).write_text("{}")
    with pytest.raises(SystemExit):
        summary.on_multirun_end(config)
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].split()[:2] for line in lines] == [
        ["done", str(tmp_path / "debug/a")],
        ["stopped", str(tmp_path / "debug/b")],
        ["done", str(tmp_path / "digits_live/c")],
    ]
    assert last.startswith("2 of 3 jobs done")


def test_jobs_that_other_commands_start_meanwhile_are_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = OmegaConf.create({"hydra": {"runtime": {"output_dir": f"{tmp_path}/here"}}})
    summary = SweepSummary()
    summary.on_multirun_start(config)
    summary.on_job_start(config)
    context: Any = SimpleNamespace(callbacks=SimpleNamespace(callbacks=[summary]))
    note_jobs(context, {tmp_path / name: config for name in ("elsewhere", "here")})
    for name in ("here", "elsewhere", "of_another_command"):
        with only_process(tmp_path / name):
            finish(tmp_path / name, {})
    summary.on_multirun_end(config)
    *lines, last = capsys.readouterr().out.splitlines()
    assert [Path(line.split()[1]).name for line in lines] == ["here", "elsewhere"]
    assert last == "2 of 2 jobs done."


def test_jobs_of_slurm_do_not_start_again_what_is_done() -> None:
    # Not by an import statement: mypy takes the file for a module without a package.
    launcher = import_module("hydra_plugins.acenas_launchers").SlurmLauncher()
    configs = {Path(name): OmegaConf.create({"fresh": name == "b"}) for name in "ab"}
    with pytest.raises(UserError, match="fresh=true works without"):
        launcher.executor(configs)
