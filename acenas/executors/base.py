"""The interface of all executors."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

R = TypeVar("R")


class Lost(NamedTuple):
    """The result of a piece of work whose process was killed in every attempt.

    Attributes:
        why: the last message of what ran it.
    """

    why: str


class Executor(ABC):
    """Runs pieces of work in other processes. Each has a folder of its own, from which it resumes after a kill.

    Attributes:
        here: whether the work runs on this machine, with its devices.
    """

    here = False

    @abstractmethod
    def run(
        self, work: Mapping[Path, Callable[[], R]], logs: Path, limit: int | None = None
    ) -> Iterator[tuple[Path, R | Lost]]:
        """Runs the pieces of `work`.

        A piece must save its state in its folder and must not raise. One whose process was killed is started again, a
        few times.

        Args:
            work: the pieces by their folders; picklable, and run in any order.
            logs: a folder for the files of the executor.
            limit: pieces in flight at once; None for as many as the machines can run.

        Yields:
            The folder and the result of each piece, in the order in which they finish.

        Raises:
            UserError: where the executor cannot run here.
        """
