"""The wheel works outside the checkout: configs and the embedded table travel inside it."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import acenas
from tests.integration.conftest import environment, run_folders

CHECKOUT = Path(acenas.__file__).parents[1]


@pytest.mark.slow
def test_the_command_works_from_an_installed_wheel(tmp_path: Path) -> None:
    dist, site, cwd = tmp_path / "dist", tmp_path / "site", tmp_path / "cwd"
    cwd.mkdir()
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "-o", str(dist), str(CHECKOUT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = dist.glob("acenas-*.whl")
    names = ZipFile(wheel).namelist()
    assert "hydra_plugins/acenas_launchers.py" in names
    assert {f"acenas/report/templates/uplot/{name}" for name in ("uPlot.iife.min.js", "LICENSE")} < set(names)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True)
    env = environment() | {"PYTHONPATH": str(site)}
    where = [sys.executable, "-c", "import acenas; print(acenas.__file__)"]
    assert str(site) in subprocess.run(where, cwd=cwd, env=env, capture_output=True, text=True).stdout
    command = [sys.executable, "-m", "acenas", "experiment=debug"]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(run_folders(cwd / "outputs")) == 1
    listed = [sys.executable, "-m", "acenas.tables", "list"]
    assert "nb201_digits" in subprocess.run(listed, cwd=cwd, env=env, capture_output=True, text=True).stdout
    sweep = [sys.executable, "-m", "acenas", "-m", "experiment=debug", "seed=5", "hydra/launcher=slurm"]
    refused = subprocess.run(sweep, cwd=cwd, env=env | {"PATH": "/"}, capture_output=True, text=True)
    assert refused.returncode == 2 and "there is no SLURM here" in refused.stderr, (
        "the launcher is inside, too"
    )
    assert len(list(cwd.glob("outputs/*/*/"))) == 1, "a run that never began leaves no folder"
