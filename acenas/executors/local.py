"""Processes of this machine."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path
from typing import Any

from joblib import Parallel, cpu_count, delayed

from acenas.errors import UserError
from acenas.executors.base import Executor, Lost, R


class LocalProcesses(Executor):
    """Processes of this machine, by joblib.

    Args:
        retries: times that the pieces are started again which were in flight when a process was killed; the last time
            one after the other, when there is most memory.

    Raises:
        UserError: where `retries` is below 1: a process that is killed takes others with it.
    """

    here = True

    def __init__(self, *, retries: int = 2) -> None:
        if retries < 1:
            raise UserError(
                f"executor or launcher: retries must be at least 1, not {retries}: a process that is killed takes "
                "others with it"
            )
        self.retries = retries

    def run(
        self, work: Mapping[Path, Callable[[], R]], logs: Path, limit: int | None = None
    ) -> Iterator[tuple[Path, R | Lost]]:
        """See `Executor.run`; without a limit there is a process for each core."""
        if not work:
            return
        count = min(limit or cpu_count(), len(work))
        missing = dict(work)
        for _ in range(self.retries):
            tasks = [delayed(_named)(os.getpid(), folder, piece) for folder, piece in missing.items()]
            try:
                for folder, result in _processes(count, tasks):
                    del missing[folder]
                    yield folder, result
                return
            except BrokenProcessPool:
                # One of those that were in flight is to blame: the others go first.
                for folder in list(missing)[:count]:
                    missing[folder] = missing.pop(folder)
        for folder, piece in missing.items():
            try:
                yield next(_processes(1, [delayed(_named)(os.getpid(), folder, piece)]))
            except BrokenProcessPool as error:
                yield folder, Lost(str(error))


def _processes(count: int, tasks: Sequence[Any]) -> Iterator[tuple[Path, Any]]:
    """Does joblib's `tasks`, so many at a time, in other processes.

    Never in this one, where a kill would end the run; nor in threads, which joblib takes inside processes of its own
    (`hydra/launcher=joblib`, a benchmark): they share torch's random numbers, so results would be those of chance.
    """
    if count > 1:
        yield from Parallel(count, backend="loky", return_as="generator_unordered")(tasks)
    else:
        for task in tasks:
            yield from Parallel(2, backend="loky")([task])  # with 1 it would be this process


def _named(parent: int, folder: Path, piece: Callable[[], R]) -> tuple[Path, R]:
    if os.getpid() != parent:
        _end_with(parent)
    return folder, piece()


@cache
def _end_with(parent: int) -> None:
    """Ends this process when its parent is killed: else it works on, beside those that the same command starts."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
