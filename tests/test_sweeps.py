"""What is said of a sweep's jobs at its end."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from acenas import runs
from acenas.sweeps import SweepSummary


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
        with runs.only_process(tmp_path / name):
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


def test_jobs_of_slurm_do_not_start_again_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing but the configuration is there: what comes after the check would raise another error."""

    def load(_: object, overrides: list[str]) -> Any:
        return OmegaConf.from_dotlist(overrides)

    # Not by an import statement: mypy takes the file for a module without a package.
    launcher = import_module("hydra_plugins.acenas_slurm").SlurmLauncher()
    context: Any = SimpleNamespace(config_loader=SimpleNamespace(load_sweep_config=load))
    launcher.setup(hydra_context=context, task_function=lambda _: None, config=OmegaConf.create())
    with pytest.raises(SystemExit) as ended:
        launcher.launch([["fresh=false"], ["fresh=true"]], 0)
    assert ended.value.code == 2 and "fresh=true works without" in capsys.readouterr().err
