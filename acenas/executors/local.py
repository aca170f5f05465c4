"""Processes of this machine."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from joblib import Parallel, delayed

from acenas.executors.base import Executor, Lost, R


class LocalProcesses(Executor):
    """Processes of this machine, by joblib.

    Args:
        retries: times that the pieces are started again which were in flight when a process was killed. What made
            the system kill it, such as want of memory, may be over by then.
    """

    here = True

    def __init__(self, *, retries: int = 2) -> None:
        self.retries = retries

    def run(
        self, work: Mapping[Path, Callable[[], R]], logs: Path, limit: int | None = None
    ) -> Iterator[tuple[Path, R | Lost]]:
        """See `Executor.run`; without a limit there is a process for each core."""
        missing, why = dict(work), ""
        for _ in range(self.retries + 1):
            tasks = [delayed(_named)(folder, piece) for folder, piece in missing.items()]
            parallel = Parallel(min(limit or -1, len(missing)), return_as="generator_unordered")
            try:
                for folder, result in parallel(tasks):
                    del missing[folder]
                    yield folder, result
                return
            except BrokenProcessPool as error:
                why = str(error)
        for folder in missing:
            yield folder, Lost(why)


def _named(folder: Path, piece: Callable[[], R]) -> tuple[Path, R]:
    return folder, piece()
