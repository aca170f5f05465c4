"""Pieces of work that leave notes: what the tests' processes import."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from acenas.executors import Executor, LocalProcesses
from acenas.executors.base import R


class ThisProcess(Executor):
    """One piece after the other in the test's own process, where it can be watched and stopped."""

    here = True

    def run(
        self, work: Mapping[Path, Callable[[], R]], logs: Path, limit: int | None = None
    ) -> Iterator[tuple[Path, R]]:
        """See `Executor.run`."""
        for folder, piece in work.items():
            yield folder, piece()


def square(folder: Path, number: int, seconds: float = 0.5, deaths: int = 0) -> int:
    """`number` squared, after so many deaths; every start and end is a file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.time()
    starts = len(list(folder.glob("start-*")))
    (folder / f"start-{start}").touch()
    if starts < deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(seconds)
    (folder / f"end-{start}-{time.time()}").touch()
    return number**2


def most_at_once(root: Path) -> int:
    """The most pieces below `root` that ran at one moment, of those that ended."""
    spans = [[float(t) for t in path.name.split("-")[1:]] for path in root.glob("*/end-*")]
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def own_and_others(root: Path) -> tuple[int, set[int | object]]:
    """The process that this runs in, and those of two pieces that it has done."""
    pieces = {root / name: partial(process_of, root / name) for name in ("a", "b")}
    return os.getpid(), {process for _, process in LocalProcesses().run(pieces, root, 2)}


def process_of(folder: Path, seconds: float = 0.0) -> int:
    """The process that does the piece, also as the content of `folder`'s file `process`."""
    folder.mkdir(parents=True)
    (folder / "process").write_text(f"{os.getpid()}\n")
    time.sleep(seconds)
    return os.getpid()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits, and fails where the condition does not come true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(process: int) -> bool:
    """Whether it runs still; one that has ended may wait for good to be asked how."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
