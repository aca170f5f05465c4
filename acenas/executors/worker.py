"""What the processes of `local` run: pieces of work that come over a socket, until its other end is closed."""

import os
import pickle
import select
import signal
import sys
import threading
import traceback
from contextlib import suppress

IDLE = 300.0
"""Seconds without work after which a process ends."""


def main() -> None:
    """Runs what comes over standard input, a socket, and answers with the result or the exception."""
    channel = os.dup(0)
    threading.Thread(target=_end_with, args=(channel,), daemon=True).start()

    from multiprocessing.connection import Connection

    signal.signal(signal.SIGINT, lambda *_: None)  # the other end decides; it closes the socket
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    connection = Connection(channel)
    with suppress(EOFError, OSError):  # the other end is closed, which this thread may see first
        while connection.poll(IDLE):
            connection.send_bytes(_answer(connection.recv_bytes()))


def _end_with(channel: int) -> None:
    """Ends this process, whatever it does, as soon as the other end of `channel` is closed, even by a kill."""
    hung_up = select.poll()
    hung_up.register(channel, 0)
    while not hung_up.poll():
        pass
    os._exit(1)


def _answer(piece: bytes) -> bytes:
    """Returns the pickled pair of whether the piece worked, and its result or exception."""
    from cloudpickle import dumps

    answer: tuple[bool, object]
    try:
        answer = True, pickle.loads(piece)()
    except BaseException as error:
        error.add_note(traceback.format_exc())
        answer = False, error
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        return dumps(answer)  # type: ignore[no-any-return]
    except Exception:
        return dumps((False, RuntimeError(f"cannot be sent to another process: {answer[1]!r}")))  # type: ignore[no-any-return]
