"""Processes of this machine."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from joblib import Parallel, cpu_count, delayed
from typing_extensions import override

from acenas.errors import UserError
from acenas.executors.base import Executor, Lost, R
from acenas.executors.parent import end_with_parent


class LocalProcesses(Executor):
    """Processes of this machine, by joblib; without a limit one for each core.

    Args:
        retries: times that the pieces in flight are started again when a process was killed; the last time one after
            the other, when there is most memory.

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

    @override
    def run(
        self, work: Mapping[Path, Callable[[], R]], logs: Path, limit: int | None = None
    ) -> Iterator[tuple[Path, R | Lost]]:
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
    """Runs joblib's `tasks` in `count` other processes and yields their results.

    Not in this process, where a kill would end the run; nor in threads, which joblib takes inside processes of its own
    (`hydra/launcher=joblib`, a benchmark): they share torch's random numbers, so results would not be reproducible.
    """
    if count > 1:
        yield from Parallel(count, backend="loky", return_as="generator_unordered")(tasks)
    else:
        for task in tasks:
            yield from Parallel(2, backend="loky")([task])  # with 1 it would be this process


def _named(parent: int, folder: Path, piece: Callable[[], R]) -> tuple[Path, R]:
    if os.getpid() != parent:
        end_with_parent(parent)
    return folder, piece()
