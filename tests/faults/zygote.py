"""A process that has imported acenas and forks for each command: a kill then costs no seconds of imports.

    python -m tests.faults.zygote DESCRIPTOR

Over the socket of that number comes a mapping for each command (`argv`, `cwd`, `out`, `tmp`); its process, and when it
has ended its status, go back.
"""

import atexit
import os
import runpy
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

IMPORTED = (
    "acenas.run.pipeline",
    "acenas.report.command",
    "acenas.evaluation.from_scratch",
    "matplotlib.backends.backend_agg",
    "onnxruntime",
    "torch.onnx",
)
"""What commands import while they run; modules that are not installed are left out."""


def main() -> None:
    """Runs what is asked for until nobody asks any more."""
    for module in IMPORTED:
        with suppress(ImportError):
            import_module(module)
    asked = Connection(int(sys.argv[1]))
    while True:
        try:
            command = asked.recv()
        except EOFError:
            return
        if (process := os.fork()) == 0:
            asked.close()
            run(command)
        asked.send(process)
        asked.send(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


def run(command: Mapping[str, Any]) -> None:
    """Does what `python -m` does with `argv`, in a process group of its own, and ends this process."""
    os.setpgid(0, 0)
    os.chdir(command["cwd"])
    os.environ["TMPDIR"], tempfile.tempdir = command["tmp"], None
    out = os.open(command["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    module, *sys.argv[1:] = command["argv"]
    sys.path.insert(0, command["cwd"])
    status: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 0 if status is None else 1)


if __name__ == "__main__":
    main()
