"""Trainings by a program in any language, or by a function."""

import csv
import inspect
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from acenas.errors import UserError, listed
from acenas.evaluation.jobs import TrainingJobs
from acenas.evaluation.objective import as_number, numbers_beside
from acenas.executors import Executor, supervise
from acenas.executors.local import how_it_ended
from acenas.spaces.base import SearchSpace
from acenas.spaces.custom import named

PLACEHOLDERS = ("arch", "choices", "seed", "folder", "out")
"""What a command can name in braces."""

OUTPUT = "output.log"
"""In the folder of an architecture: what its program printed."""

LONGEST_LINE = 1 << 16
"""Bytes of the output in which its last line is looked for: of a long training there may be gigabytes."""


class CommandEvaluator(TrainingJobs):
    """Runs a program for each architecture and reads its result.

    The command is split as a shell would split it, but no shell runs it, as an architecture may hold any character. It
    may name `{arch}`, the architecture; `{choices}`, its choices as JSON; `{seed}`; `{folder}`, a folder of this
    training alone; and `{out}`, a file for the result. A program that does not write that file prints its result last.
    A result is a number or JSON: a number, or an object with `key`. Of a CSV file the last row counts. Other numbers of
    an object or a row are costs of the training.

    Args:
        space: of the architectures.
        command: as in `python train.py --arch {arch} --out {out}`.
        folder: of the architectures' folders.
        key: of the value in JSON or CSV; None where there is one number only.
        seed: of all trainings.
        time_limit: seconds, after which a training is ended and has failed; None for none.
        executor: see `TrainingJobs`.
        jobs: see `TrainingJobs`.

    Raises:
        UserError: where the command names an unknown placeholder, or does not name the architecture.
    """

    def __init__(
        self,
        space: SearchSpace,
        command: str,
        folder: str | Path,
        *,
        key: str | None = None,
        seed: int = 0,
        time_limit: float | None = None,
        executor: Executor | None = None,
        jobs: int | None = None,
    ) -> None:
        super().__init__(space, folder, executor, jobs)
        self.words = shlex.split(command)
        if not any("{arch}" in word or "{choices}" in word for word in self.words):
            raise UserError(
                f"evaluator.command={command!r} names neither {{arch}} nor {{choices}}, so all are alike"
            )
        self.key = key
        self.seed = seed
        self.time_limit = time_limit

    def train(self, arch: str, number: int, folder: Path) -> dict[str, Any]:
        """Runs the program. See `TrainingJobs.train`."""
        out, log = folder / "out", folder / OUTPUT
        out.unlink(missing_ok=True)
        values = {
            "arch": arch,
            "choices": json.dumps(self.space.choices(arch)),
            "seed": str(self.seed),
            "folder": str(folder),
            "out": str(out),
        }
        start = time.monotonic()
        status = _run([_filled(word, values) for word in self.words], log, self.time_limit)
        seconds = time.monotonic() - start
        if status is None:
            raise TimeoutError(f"ended after {self.time_limit:g} s (evaluator.time_limit)")
        if status:
            raise RuntimeError(f"{how_it_ended(status)}; {_last_line(log)[:200]}; output in {log}")
        value, costs = self._shown(out, log)
        return {"value": value, "seconds": seconds, "costs": costs}

    def _shown(self, out: Path, log: Path) -> tuple[float, dict[str, float]]:
        """The number in the result file, or in the last line of the output where there is none; and the others."""
        where, text = str(out), ""
        if out.exists():
            text = out.read_text(encoding="utf-8-sig", errors="replace").strip()
        if not text:
            where, text = f"the last line of {log}", _last_line(log)
        found: Any = text
        costs: dict[str, float] = {}
        with suppress(ValueError):
            found = json.loads(text)
        if isinstance(found, str) and self.key is not None:
            found = [found, *csv.DictReader(text.splitlines())][-1]
        if isinstance(found, Mapping):
            if self.key not in found:
                raise UserError(f"{where} has no {self.key}, only {listed(found)}; set evaluator.key")
            costs, found = numbers_beside(found, str(self.key)), found[self.key]
        return as_number(found, f"{where}{f' ({self.key})' if self.key else ''}"), costs


class FunctionEvaluator(TrainingJobs):
    """Calls a function for each architecture.

    Args:
        space: of the architectures.
        function: called with the choices of an architecture by name where its space has choices, else with its
            string; returns the objective, or a mapping with it and costs of the training, as in
            `{"accuracy": 93.1, "energy": 2.0}`. It can be named, as in `my_package.training.train`.
        folder: of the architectures' folders.
        key: of the objective in such a mapping; None for `accuracy`.
        executor: see `TrainingJobs`.
        jobs: see `TrainingJobs`.

    Raises:
        UserError: where there is no such function.
    """

    def __init__(
        self,
        space: SearchSpace,
        function: Callable[..., Any] | str,
        folder: str | Path,
        *,
        key: str | None = None,
        executor: Executor | None = None,
        jobs: int | None = 1,
    ) -> None:
        super().__init__(space, folder, executor, jobs)
        if (
            isinstance(function, str) and "" not in sys.path
        ):  # a script of the user's lies where the command was given
            sys.path.insert(0, os.getcwd())  # noqa: PTH109
        found = named("evaluator.function", function)
        if not callable(found):
            raise UserError(f"evaluator.function={function} is no function but a {type(found).__name__}")
        self.function: Callable[..., Any] = found
        self.key = key or "accuracy"

    def train(self, arch: str, number: int, folder: Path) -> dict[str, Any]:
        """Calls the function. See `TrainingJobs.train`."""
        start = time.monotonic()
        value, costs = returned(call(self.function, self.space, arch), self.key)
        return {"value": value, "seconds": time.monotonic() - start, "costs": costs}


def returned(shown: Any, key: str) -> tuple[float, dict[str, float]]:
    """The objective that a function returns, alone or by its name `key` in a mapping, and the costs beside it.

    Raises:
        UserError: where it is no number, or not there.
    """
    if not isinstance(shown, Mapping):
        return as_number(shown, "what the function returns"), {}
    if key not in shown:
        raise UserError(f"what the function returns has no {key}, only {listed(shown)}")
    return as_number(shown[key], key), numbers_beside(shown, key)


def call(function: Callable[..., Any], space: SearchSpace, arch: str) -> Any:
    """Calls `function` with the choices of `arch` by name, or with its string: as `arch`, or as an only other argument.

    Raises:
        UserError: where it takes neither.
    """
    choices = space.choices(arch)
    try:
        signature = inspect.signature(function)
    except ValueError:  # of some built-in ones
        return function(arch)
    if not choices or "arch" in signature.parameters:
        return function(arch)
    try:
        signature.bind(**choices)
    except TypeError as error:
        if len(signature.parameters) == 1 and not choices.keys() & signature.parameters:
            return function(arch)
        name = getattr(function, "__name__", type(function).__name__)
        raise UserError(
            f"{name}{signature} does not take the choices {', '.join(choices)}: {error}; take them by name, or "
            "**choices, or arch"
        ) from None
    return function(**choices)


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name in PLACEHOLDERS:
        word = word.replace(f"{{{name}}}", values[name])
    return word


def _run(words: list[str], log: Path, time_limit: float | None) -> int | None:
    """Returns the exit status of a program whose output goes to `log`; None where it was killed by the time limit.

    It ends with this process, even by a kill, and all that it has started.
    """
    command = [sys.executable, "-I", "-S", supervise.__file__, *words]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return process.wait(time_limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):  # nothing of it is left
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _last_line(log: Path) -> str:
    with log.open("rb") as output:
        output.seek(max(log.stat().st_size - LONGEST_LINE, 0))
        lines = output.read().decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "nothing was printed"
