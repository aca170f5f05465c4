"""Runs a program that ends with the process that started this, as does whatever the program itself has started.

    python -I -S supervise.py PROGRAM ARGUMENTS...

Standard input is a pipe whose other end is closed when its process ends, even by a kill. This process must be the first
of a session. A SIGTERM to that session is for the program, which may take its time to end. It is a file rather than a
module of acenas since it starts in a hundredth of a second so.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Ends as the program does: with its status, or by the same signal."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: None)  # unlike SIG_IGN, the program does not inherit it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])  # jobs of a cluster block it
    status = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL)
    if status < 0:
        if -status != signal.SIGKILL:  # which nobody can handle
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _end_with_starter() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
