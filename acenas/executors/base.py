"""What all executors have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

R = TypeVar("R")


class Lost(NamedTuple):
    """What became of a piece of work whose process ended without a word, however often it was started."""

    why: str


class Executor(ABC):
    """Runs pieces of work in other processes; each has a folder of its own, in which it goes on where it was killed.

    Attributes:
        here: whether the work runs on this machine, with its devices.
    """

    here = False

    @abstractmethod
    def run(
        self, work: Mapping[Path, Callable[[], R]], logs: Path, limit: int | None = None
    ) -> Iterator[tuple[Path, R | Lost]]:
        """Does the pieces of `work` and yields what each returned, as they come.

        A piece must leave in its folder what it cannot lose, and raise nothing. One that is lost is started again, a
        few times.

        Args:
            work: the pieces by their folders; picklable, and run in any order.
            logs: a folder for what the executor writes.
            limit: pieces in flight at once; None for no limit but that of the machines.

        Raises:
            UserError: where the executor cannot run here.
        """
