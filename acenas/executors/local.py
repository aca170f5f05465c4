"""Processes of this machine."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

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
            raise UserError(f"evaluator: executor.retries must be at least 1, not {retries}")
        self.retries = retries

    def run(
        self, work: Mapping[Path, Callable[[], R]], logs: Path, limit: int | None = None
    ) -> Iterator[tuple[Path, R | Lost]]:
        """See `Executor.run`; without a limit there is a process for each core."""
        count = min(limit or cpu_count(), len(work))
        missing = dict(work)
        for _ in range(self.retries):
            tasks = [delayed(_named)(folder, piece) for folder, piece in missing.items()]
            try:
                for folder, result in Parallel(count, return_as="generator_unordered")(tasks):
                    del missing[folder]
                    yield folder, result
                return
            except BrokenProcessPool:
                # One of those that were in flight is to blame: the others go first.
                for folder in list(missing)[:count]:
                    missing[folder] = missing.pop(folder)
        for folder, piece in missing.items():
            try:
                yield folder, Parallel(2)([delayed(piece)()])[0]  # with 2, not in this process
            except BrokenProcessPool as error:
                yield folder, Lost(str(error))


def _named(folder: Path, piece: Callable[[], R]) -> tuple[Path, R]:
    return folder, piece()
