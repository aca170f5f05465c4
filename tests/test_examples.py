"""Each file of examples/ runs as it is."""

import subprocess
import sys
from pathlib import Path

import pytest

import acenas
from tests.integration.conftest import environment

EXAMPLES = Path(acenas.__file__).parents[1] / "examples"
SAYS = {
    "own_space.py": "Returned: width=",
    "own_command.py": "Returned(arch='width=",
    "transformer.py": "observed_perplexity",
    "failing_models.py": "failed",
    "last_month.py": "31 given, 9 trained",
    "two_days.sh": "6 of 6 trainings told, 2 of them failed",
}
ELSEWHERE = {"wandb_view.py"}  # by tests/integration/test_wandb.py


def test_each_is_short_and_run_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == ELSEWHERE | set(SAYS)
    for name in ELSEWHERE | set(SAYS):
        assert len((EXAMPLES / name).read_text().splitlines()) < 60, name


@pytest.mark.slow
@pytest.mark.parametrize("name", SAYS)
def test_it_runs(name: str, tmp_path: Path) -> None:
    shell = ["bash"] if name.endswith(".sh") else [sys.executable, "-W", "ignore"]
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    done = subprocess.run(
        [*shell, str(EXAMPLES / name)],
        cwd=tmp_path, env=environment() | {"PATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
