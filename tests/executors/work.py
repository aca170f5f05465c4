"""Pieces of work that leave notes: what the tests' processes import."""

import os
import signal
import time
from pathlib import Path


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
