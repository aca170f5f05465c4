import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


def command(*overrides: str) -> list[str]:
    """What a user types."""
    return [sys.executable, "-m", "acenas", *overrides]


def environment() -> dict[str, str]:
    """The user's, on a machine without data or account."""
    return {k: v for k, v in os.environ.items() if k not in ("ACENAS_DATA", "WANDB_API_KEY", "NO_COLOR")}


@pytest.fixture(scope="session")
def acenas() -> Command:
    """Runs the command in `cwd` and returns what it printed: without colours or bars, as no terminal reads it."""

    def run(*overrides: str, cwd: Path, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command(*overrides), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout
        )
        assert "\x1b" not in done.stdout + done.stderr
        return done

    return run


def run_folders(outputs: Path) -> list[Path]:
    """The folders of finished runs below `outputs`."""
    return sorted(path.parent for path in outputs.glob("*/*/summary.json"))


def summary(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return loaded


def result(folder: Path) -> dict[str, Any]:
    """What two runs of one configuration must agree in: all of the summary but the clock."""
    return {name: value for name, value in summary(folder).items() if name not in ("seconds", "cpu_seconds")}
