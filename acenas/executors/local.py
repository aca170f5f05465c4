"""Processes of this machine."""

import atexit
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

from cloudpickle import dumps
from joblib import cpu_count
from typing_extensions import override

from acenas.executors.base import Executor, Lost, R

K = TypeVar("K")

START = "import sys; sys.path[:] = {path!r}; from acenas.executors.worker import main; main()"
THREADS = (
    *(f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMBA", "NUMEXPR")),
    "VECLIB_MAXIMUM_THREADS",
)
"""Variables that say how many threads a process uses; where they are not set the processes share the cores."""


class LocalProcesses(Executor):
    """Processes of this machine; without a limit one for each core.

    Args:
        retries: times that a piece is started again whose process was killed; the last time alone, when there is most
            memory.
    """

    here = True

    def __init__(self, *, retries: int = 2) -> None:
        self.retries = retries

    @override
    def run(
        self, work: Mapping[Path, Callable[[], R]], logs: Path, limit: int | None = None
    ) -> Iterator[tuple[Path, R | Lost]]:
        missing, lost = dict(work), dict[Path, Lost]()
        for attempt in range(self.retries + 1):
            limit = 1 if 0 < attempt == self.retries else limit or cpu_count()
            for folder, result in in_processes(list(missing.items()), limit):
                if isinstance(result, Lost):
                    lost[folder] = result
                else:
                    del missing[folder]
                    yield folder, result
        yield from ((folder, lost[folder]) for folder in missing)


def in_processes(work: Iterable[tuple[K, Callable[[], R]]], count: int) -> Iterator[tuple[K, R | Lost]]:
    """Runs the pieces of `work` in `count` other processes at once, which are kept for the next pieces.

    Processes of its own, rather than those of joblib or multiprocessing: they end with this one from their first
    instruction on, whatever ends it, and leave nothing in /dev/shm. Never in threads, which would share torch's random
    numbers. On Windows, where sockets cannot be inherited, the pieces run in this process.

    Args:
        work: pieces by any key; picklable, by value where they are defined in the main module or in a function.
        count: processes, at least 1.

    Yields:
        The key and the result of each piece, in the order in which they finish; `Lost` where its process was killed.

    Raises:
        Exception: that of the first piece that raises one; the others are ended.
    """
    if sys.platform == "win32":
        yield from ((key, piece()) for key, piece in work)
        return
    waiting, ended = iter(work), list[tuple[K, R | Lost]]()
    busy: dict[Any, tuple[_Process, K]] = {}
    try:
        while True:
            for key, piece in islice(waiting, count - len(busy)):
                process = _Process.take(count)
                busy[process.channel] = process, key
                process.send(dumps(piece))
            yield from ended
            ended.clear()
            if not busy:
                return
            for channel in wait(list(busy)):
                process, key = busy.pop(channel)
                ended.append((key, process.result()))
    finally:
        _end([process for process, _ in busy.values()])


class _Process:
    """A process that does one piece of work after the other. See `worker`."""

    def __init__(self, kind: tuple[object, ...], environment: Mapping[str, str]) -> None:
        self.kind = kind
        self.channel, there = Pipe()
        start = [sys.executable, "-c", START.format(path=sys.path)]
        with there:
            self.process = subprocess.Popen(start, stdin=there.fileno(), env=environment)

    @classmethod
    def take(cls, count: int) -> "_Process":
        """Returns one of `count` that are to work at once: one that is idle, or a new one."""
        threads = {name: os.environ.get(name, str(max(cpu_count() // max(count, 2), 1))) for name in THREADS}
        kind = (*threads.values(), Path.cwd(), *sys.path)
        while _IDLE:
            process = _IDLE.pop()
            if process.kind == kind and not process.channel.poll():  # one that has ended can be read
                return process
            _end([process])
        return cls(kind, os.environ | threads)

    def send(self, piece: bytes) -> None:
        """Sends a piece of work. A process that has ended meanwhile has no result."""
        with suppress(OSError):
            self.channel.send_bytes(piece)

    def result(self) -> Any:
        """Returns the result of the last piece, or `Lost`; raises its exception."""
        try:
            done, result = pickle.loads(self.channel.recv_bytes())
        except (EOFError, OSError):
            _end([self])
            return Lost(how_it_ended(self.process.returncode))
        _IDLE.append(self)
        if not done:
            raise result
        return result


def how_it_ended(status: int) -> str:
    """Says how a process ended: by a signal, or with an exit status.

    >>> how_it_ended(-9), how_it_ended(3)
    ('SIGKILL', 'exit status 3')
    """
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


_IDLE: list[_Process] = []


def end_idle() -> None:
    """Ends the processes that are kept for later work."""
    _end(_IDLE)
    _IDLE.clear()


def _end(processes: list[_Process]) -> None:
    for process in processes:
        process.channel.close()  # which they notice
    for process in processes:
        try:
            process.process.wait(5)
        except subprocess.TimeoutExpired:
            process.process.kill()
            process.process.wait()


atexit.register(end_idle)
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_IDLE.clear)
