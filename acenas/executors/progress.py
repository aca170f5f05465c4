"""The progress of many trainings: a bar in a terminal, a line every half minute elsewhere."""

import time
from collections.abc import Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINES_EVERY = 30.0
"""Seconds between two lines of progress where there is no terminal for a bar."""

T = TypeVar("T")


def show_progress(
    results: Iterator[T], total: int, done: int, console: Console, verb: str, things: str = "architectures"
) -> Iterator[T]:
    """Yields `results` and shows the progress after each.

    Args:
        results: one for each thing that is finished from now on.
        total: number of things, including those finished earlier.
        done: number of things finished earlier.
        console: where to show the progress.
        verb: what is done to the things, such as "trained".
        things: their name, in the plural.
    """
    if console.is_terminal:
        columns = (
            TextColumn(verb),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(verb, total=total, completed=done)
            for result in results:
                yield result
                progress.advance(task)
        return
    start = last = time.monotonic()
    for count, result in enumerate(results, start=1):
        yield result
        now = time.monotonic()
        if now - last >= LINES_EVERY or done + count == total:
            left = (now - start) / count * (total - done - count)
            how_long = f"{left / 60:.0f} minutes" if left >= 120 else f"{left:.0f} seconds"
            console.print(f"{verb} {done + count} of {total} {things}, {how_long} left")
            last = now
