"""The command as the script that pip installs, which is not `python -m acenas`."""

import subprocess
import sys
from pathlib import Path

import pytest

from acenas import __version__
from tests.integration.conftest import environment, run_folders

SCRIPT = "import sys\nfrom acenas.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    """What pip writes for an entry point."""
    (tmp_path / "acenas-script.py").write_text(SCRIPT)
    return [sys.executable, str(tmp_path / "acenas-script.py")]


def test_the_script_tells_its_version(script: list[str], tmp_path: Path) -> None:
    out = subprocess.run(
        [*script, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert out == f"acenas {__version__}\n"


@pytest.mark.slow
def test_jobs_of_two_processes_each(script: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *script,
            "-m",
            "experiment=digits_supernet",
            "seed=0,1",
            "table=none",
            "trainer=ddp",
            "trainer.accelerator=cpu",
            "trainer.devices=2",
            "supernet.recipe.epochs=1",
            "supernet.recipe.warmup_epochs=0",
            "scoring.archs=4",
            "scoring.images=50",
            "logger.mode=disabled",
        ],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "2 of 2 jobs done."
    assert len(run_folders(tmp_path / "outputs")) == 2
