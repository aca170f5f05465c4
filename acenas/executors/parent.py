"""Processes that end with their parent, however that ends."""

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import cache


@cache
def end_with_parent(parent: int, worker: int = 0) -> None:
    """Ends this process within a tenth of a second after its parent has ended, even by a kill.

    Otherwise it would work on beside the processes that a restarted command starts, and keep the locks that it has
    inherited. A parent that has ended before this call is noticed, too. On Windows this does nothing, as a process
    there keeps the number of a parent that has ended.

    Args:
        parent: number of the process that started this one.
        worker: ignored; torch passes it to the `worker_init_fn` of a `DataLoader`.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.1)
        os._exit(1)  # not sys.exit: the main thread may wait for other processes for ever

    if sys.platform != "win32":
        threading.Thread(target=watch, daemon=True).start()


class EndWithParent(str):
    """The name of a process to spawn, which makes it end with its maker.

    It is the first thing that the process unpickles, before the imports of a script or of its target, which take
    seconds in which the maker may be killed.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[[int, str], str], tuple[int, str]]:
        return _named, (os.getpid(), str(self))


def _named(parent: int, name: str) -> str:
    end_with_parent(parent)
    return name
