"""What takes longest in a run, left out where a test is about something else."""

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from acenas.executors import LocalProcesses
from acenas.report.runs import PAGE
from acenas.run.commands.run import main
from tests.executors.work import ThisProcess


@contextmanager
def without_figures() -> Iterator[None]:
    """Runs write no figures, and a page of nothing."""

    def nothing(folder: Path, *_: object) -> list[bytes]:
        (folder / PAGE).touch()
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acenas.run.stages.report.write_report", nothing)
        yield


@contextmanager
def in_this_process() -> Iterator[None]:
    """What runs would have trained in other processes is trained here: each of those imports torch first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalProcesses, "run", ThisProcess.run)
        yield


def acenas_here(*overrides: str, cwd: Path, data: bool = False) -> subprocess.CompletedProcess[str]:
    """What `python -m acenas` with `overrides` does and prints in `cwd`, without the seconds that a new process takes.

    Nothing is imported again, but for modules that lie in `cwd`. `data`: whether it may see ACENAS_DATA.
    """
    log, out, err, code = logging.getLogger(), io.StringIO(), io.StringIO(), 0
    handlers, level, imported = log.handlers[:], log.level, set(sys.modules)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.syspath_prepend(str(cwd))
        patch.setattr(sys, "argv", ["acenas", *overrides])
        if not data:
            patch.delenv("ACENAS_DATA", raising=False)
        try:
            code = main()
        except SystemExit as end:
            code = int(end.code or 0)
    log.handlers[:] = handlers  # Hydra has put its own there
    log.setLevel(level)
    for name in set(sys.modules) - imported:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(f"{cwd}{os.sep}"):
            del sys.modules[name]
    return subprocess.CompletedProcess(overrides, code, out.getvalue(), err.getvalue())
