"""Writes a run's folder: its lock, its end, the seconds it took. `acenas.report.runs` reads it.

Nothing heavy is imported here, so that a finished run is shown at once.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from acenas.errors import UserError
from acenas.files import lock_of, read_json, remove_unfinished, sync, write_text
from acenas.report.runs import ERROR, LOCK, PRUNED, STATUS, SUMMARY

if TYPE_CHECKING:
    from acenas.report.live.status import RunStatus

CLEARING = ".clearing"
"""There while the folder is being cleared: what else lies in it is not whole."""

_OF_THIS_PROCESS = {".hydra", LOCK, CLEARING, "run.log", ERROR, PRUNED, STATUS}


class FolderInUseError(UserError):
    """The folder is that of another run, or another process works in it."""


class FolderRemovedError(UserError):
    """The folder was removed under its run; another process may have made it again."""


_held: dict[Path, int] = {}
"""The lock file (its inode) of each folder that this process has locked."""


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which ends with the process, however that ends. An error is noted in the folder.

    Where a process was killed while it cleared the folder, this is done first.

    Raises:
        FolderInUseError: Where another process holds it.
    """
    lock = lock_of(folder / LOCK)
    try:
        lock.acquire(timeout=0.25)  # who asks whether a run is alive holds its lock for an instant
    except Timeout:
        raise FolderInUseError(f"another process is running the same configuration in {folder}") from None
    place = folder.absolute()
    try:
        announce(folder)  # the time of its file tells when the lock was taken
        _held[place] = (folder / LOCK).stat().st_ino
        for of_before in (ERROR, PRUNED):
            (folder / of_before).unlink(missing_ok=True)
        if (folder / CLEARING).exists():
            clear(folder)
        yield
        check_held(folder)
    except Exception as error:
        check_held(folder, error)
        note_error(folder, error)
        raise
    finally:
        _held.pop(place, None)
        lock.release()
        if os.name == "nt":  # there, releasing the lock removes its file
            announce(folder)


def check_held(folder: Path, error: Exception | None = None) -> None:
    """Raises `FolderRemovedError` where the folder that this process has locked was removed; `error` came of it."""
    file = folder / LOCK
    inode = _held.get(folder.absolute())
    if inode is not None and not (file.exists() and file.stat().st_ino == inode):
        raise FolderRemovedError(
            f"{folder} was removed while the run worked in it; the same command starts again"
        ) from error


def announce(folder: Path) -> None:
    """Makes `folder` that of a run, of which nothing is known yet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOCK).touch()


def note_error(folder: Path, error: BaseException) -> None:
    """Writes down in the folder why its run gave up, where it can."""
    with suppress(OSError):  # on a full disk
        announce(folder)  # even where the error came before the run
        write_text(folder / ERROR, f"{type(error).__name__}: {error}\n")


def clear(folder: Path) -> None:
    """Removes what an earlier run of the same configuration left; after a kill `only_process` goes on with it."""
    (folder / CLEARING).touch()
    # First: a folder that lacks something else is not that of a done run.
    (folder / SUMMARY).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name not in _OF_THIS_PROCESS:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / CLEARING).unlink()


def remove_if_unused(folder: Path) -> None:
    """Removes the folder of a run that never began."""
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= _OF_THIS_PROCESS:
        shutil.rmtree(folder)


def finish(folder: Path, summary: Mapping[str, Any]) -> None:
    """Writes the summary, which ends the run; what kills left half written is removed.

    It is written when all else is on the disk: a run that is done is whole, whatever becomes of the machine.
    Raises as `check_held`.
    """
    check_held(folder)
    remove_unfinished(folder, below=True)
    for path in folder.rglob("*"):
        sync(path)
    write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")


class Clock:
    """Seconds spent in each stage, over all processes that worked on a run; kept in `seconds.json` of `folder`.

    Attributes:
        status: Is told of each stage.
        seconds: Of the wall clock, by stage.
        cpu_seconds: Of the processor, by stage: all threads of the run's own process, without those that it starts to
            train architectures.
    """

    def __init__(self, folder: Path, status: RunStatus) -> None:
        self._file = folder / "seconds.json"
        self.status = status
        before: dict[str, dict[str, float]] = {"seconds": {}, "cpu_seconds": {}}
        with suppress(UserError):  # there is none yet, or it is damaged: then the seconds so far are lost
            before = read_json(self._file, {name: {str: float} for name in before})
        self.seconds, self.cpu_seconds = before["seconds"], before["cpu_seconds"]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time of the block to that of stage `name`."""
        check_held(self._file.parent)
        start, cpu_start = time.monotonic(), time.process_time()
        self.status.tell(now=True, stage=name, unit=None, done=None, total=None, seconds_left=None)
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start
            self.cpu_seconds[name] = self.cpu_seconds.get(name, 0.0) + time.process_time() - cpu_start
            write_text(self._file, json.dumps({"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}))

    def summary(self) -> dict[str, dict[str, float]]:
        """Both, each with its total."""
        both = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        return {name: {"total": sum(stages.values()), **stages} for name, stages in both.items()}
