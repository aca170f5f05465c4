"""Trainings by a program in any language, or by a function."""

import csv
import inspect
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Self

from typing_extensions import override

from acenas.errors import UserError, listed, require_at_least
from acenas.evaluation.jobs import TrainingJobs
from acenas.evaluation.objective import as_number, numbers_beside
from acenas.evaluation.reports import GoesOn, Reports
from acenas.executors import Executor, supervise
from acenas.executors.local import how_it_ended
from acenas.spaces.base import SearchSpace
from acenas.spaces.custom import named

PLACEHOLDERS = ("arch", "choices", "seed", "folder", "out", "curve", "checkpoint")
"""What a command can name in braces."""

OUTPUT = "output.log"
"""In the folder of an architecture: what its program printed."""

GRACE = 30.0
"""Seconds that a program has to end by itself after SIGTERM."""

WATCH = 0.1
"""Seconds between two looks at what a program has reported."""

TO_BE_ENDED = 3600.0
"""Seconds that a job of a cluster waits for its end."""

LONGEST_LINE = 1 << 16
"""Bytes of the output in which its last line is looked for: of a long training there may be gigabytes."""


class CommandEvaluator(TrainingJobs):
    """Runs a program for each architecture and reads its result.

    The command is split as a shell would split it, but no shell runs it, as an architecture may hold any character. It
    may name `{arch}`, the architecture; `{choices}`, its choices as JSON; `{seed}`; `{folder}`, a folder of this
    training alone; and `{out}`, a file for the result. A program that does not write that file prints its result last.
    A result is a number or JSON: a number, or an object with `key`. Of a CSV file the last row counts. Other numbers of
    an object or a row are costs of the training.

    With `epochs` a program reports as it goes: after each epoch (or step, or second: whatever it counts) it appends a
    line `epoch value` to the file `{curve}`, or prints it where the command does not name that file; other lines that
    it prints are no reports. Where it writes no result, that is the last value. Where a rule stops it, it gets SIGTERM
    and a while to write its checkpoint, then SIGKILL. A command that names `{checkpoint}`, a file for this training
    alone, is started with the same file when it is to go on, after a stop or a kill: it must go on from there where
    that file is, and may report again what it repeats. It reports an epoch before it writes its checkpoint.

    Args:
        space: of the architectures.
        command: as in `python train.py --arch {arch} --out {out}`.
        folder: of the architectures' folders.
        key: of the value in JSON or CSV; None where there is one number only.
        seed: of all trainings.
        time_limit: seconds, after which a training is ended and has failed; None for none.
        epochs: of a full training, where programs report on their way; None where they do not.
        grace: seconds between SIGTERM and SIGKILL.
        executor: see `TrainingJobs`.
        jobs: see `TrainingJobs`.

    Raises:
        UserError: where the command names an unknown placeholder, or does not name the architecture, or names `{curve}`
            without `epochs`.
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
        epochs: float | None = None,
        grace: float = GRACE,
        executor: Executor | None = None,
        jobs: int | None = None,
    ) -> None:
        super().__init__(space, folder, executor, jobs, epochs)
        require_at_least(0, "evaluator: ", grace=grace)
        self.words = shlex.split(command)
        if not any("{arch}" in word or "{choices}" in word for word in self.words):
            raise UserError(
                f"evaluator.command={command!r} names neither {{arch}} nor {{choices}}, so all are alike"
            )
        self.writes_curve = any("{curve}" in word for word in self.words)
        if self.writes_curve and epochs is None:
            raise UserError(
                f"evaluator.command={command!r} names {{curve}}; say how long a full training is, as in "
                "evaluator.epochs=90"
            )
        self.resumable = any("{checkpoint}" in word for word in self.words)
        self.key = key
        self.seed = seed
        self.time_limit = time_limit
        self.grace = grace

    @override
    def repeated(self, number: int) -> Self:
        other = super().repeated(number)
        other.seed = self.seed + number
        return other

    def train(self, arch: str, number: int, folder: Path, goes_on: GoesOn) -> dict[str, Any] | None:
        """Runs the program. See `TrainingJobs.train`."""
        out, log, curve = folder / "out", folder / OUTPUT, folder / "reports"
        reported = curve if self.writes_curve else log
        if self.resumable and not self._look_back(folder, reported, goes_on):
            return None
        for file in (out, log, curve):
            file.unlink(missing_ok=True)
        values = {
            "arch": arch,
            "choices": json.dumps(self.space.choices(arch)),
            "seed": str(self.seed),
            "folder": str(folder),
            "out": str(out),
            "curve": str(curve),
            "checkpoint": str(folder / "checkpoint"),
        }
        reports = watch = None
        if self.epochs is not None:
            reports = Reports(folder, self.epochs, goes_on, self.resumable)
            watch = _Watch(reported, reports, strict=self.writes_curve)
        start = time.monotonic()
        words = [_filled(word, values) for word in self.words]
        status = _run(words, log, self.time_limit, watch, self.grace)
        if watch and not watch.look(ended=True):
            return None
        if status and signal.SIGTERM in signal.sigpending():
            # A job of a cluster, which blocks the signal, is about to be ended and queued again: its program has ended
            # at the signal, and has not failed.
            time.sleep(TO_BE_ENDED)
        if status is None:
            raise TimeoutError(f"ended after {self.time_limit:g} s (evaluator.time_limit)")
        if status:
            raise RuntimeError(f"{how_it_ended(status)}; {_last_line(log)[:200]}; output in {log}")
        value, costs = self._shown(out, log, reports)
        seconds = reports.seconds if reports else time.monotonic() - start
        return {"value": value, "seconds": seconds, "costs": costs}

    def _look_back(self, folder: Path, reported: Path, goes_on: GoesOn) -> bool:
        """Takes in what a program had reported last that was killed together with the process that watched it.

        Its checkpoint may be later than that. Returns whether the training goes on.
        """
        if self.epochs is None:
            return True
        reports = Reports(folder, self.epochs, goes_on, resumes=True)
        last = reports.points[-1].epoch if reports.points else -math.inf
        with suppress(UserError):
            _Watch(reported, reports, strict=False, after=last).look()
        return not reports.stopped

    def _shown(self, out: Path, log: Path, reports: Reports | None) -> tuple[float, dict[str, float]]:
        """The number in the result file, or in the last line of the output where there is none; and the others."""
        where, text = str(out), ""
        if out.exists():
            text = out.read_text(encoding="utf-8-sig", errors="replace").strip()
        if reports and not reports.points:
            raise UserError(
                "nothing was reported: print lines `epoch value`, or append them to the file {curve}; or leave "
                "evaluator.epochs away"
            )
        if reports and not text:
            return reports.points[-1].value, {}
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


class _Watch:
    """Reads what a program reports.

    Args:
        file: that grows by lines.
        reports: takes them in.
        strict: whether each line has to be a report.
        after: the epoch until which reports are left out.
    """

    def __init__(self, file: Path, reports: Reports, strict: bool, after: float = -math.inf) -> None:
        self.file, self.reports, self.strict, self.after = file, reports, strict, after
        self._rest = b""
        self._read = 0

    def look(self, ended: bool = False) -> bool:
        """Takes in what is new, with a last line that has no end where the program has `ended`.

        Returns:
            Whether the training goes on.

        Raises:
            UserError: for a line that is no report; as `Reports.add`. Nothing is wrong once the training is stopped.
        """
        if self.file.exists():
            with self.file.open("rb") as file:
                file.seek(self._read)
                new = file.read()
                self._read += len(new)
            *lines, self._rest = (self._rest + new).split(b"\n")
            for line in [*lines, self._rest] if ended else lines:
                try:
                    self._take(line.decode(errors="replace").strip())
                except UserError:
                    if not self.reports.stopped:
                        raise
        return not self.reports.stopped

    def _take(self, line: str) -> None:
        numbers = re.split(r"[,\s]+", line)
        try:
            epoch, value = map(float, numbers)
        except ValueError:
            if line and self.strict:
                raise UserError(
                    f"{self.file}: a line is {line!r:.200}, not `epoch value`, two numbers"
                ) from None
            return
        if not epoch <= self.after:  # a NaN is an error
            self.reports.add(epoch, value)


class FunctionEvaluator(TrainingJobs):
    """Calls a function for each architecture.

    With `epochs` it is a generator function, which yields after each epoch (or step, or second: whatever it counts)
    the objective, or a pair of the epoch and the objective. It is closed where a rule stops it, and called anew where
    it is to train further. What it returns in the end counts; where it returns nothing, its last value.

    A function that takes `repeat` is told which training of an architecture it is, from 0: it trains with another seed.

    Args:
        space: of the architectures.
        function: called with the choices of an architecture by name where its space has choices, else with its
            string; returns the objective, or a mapping with it and costs of the training, as in
            `{"accuracy": 93.1, "energy": 2.0}`. It can be named, as in `my_package.training.train`.
        folder: of the architectures' folders.
        key: of the objective in such a mapping; None for `accuracy`.
        epochs: of a full training, where the function yields on its way; None where it does not.
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
        epochs: float | None = None,
        executor: Executor | None = None,
        jobs: int | None = 1,
    ) -> None:
        super().__init__(space, folder, executor, jobs, epochs)
        if (
            isinstance(function, str) and "" not in sys.path
        ):  # a script of the user's lies where the command was given
            sys.path.insert(0, os.getcwd())  # noqa: PTH109
        found = named("evaluator.function", function)
        if not callable(found):
            raise UserError(f"evaluator.function={function} is no function but a {type(found).__name__}")
        self.function: Callable[..., Any] = found
        self.key = key or "accuracy"

    def train(self, arch: str, number: int, folder: Path, goes_on: GoesOn) -> dict[str, Any] | None:
        """Calls the function. See `TrainingJobs.train`."""
        start = time.monotonic()
        reports = None
        if self.epochs is not None:
            reports = Reports(folder, self.epochs, goes_on)
        shown = followed(call(self.function, self.space, arch, self.repeat), reports.add if reports else None)
        if reports and reports.stopped:
            return None
        value, costs = returned(shown, self.key)
        if reports and not reports.points:
            raise UserError(
                "the function yields nothing, but evaluator.epochs is set: let it yield the objective after each "
                "epoch, or leave evaluator.epochs away"
            )
        return {"value": value, "seconds": time.monotonic() - start, "costs": costs}


def followed(shown: Any, report: Callable[[float, float], bool] | None) -> Any:
    """What a function returns in the end, where it yields on its way; `shown` itself where it does not.

    Args:
        shown: what it has returned when it was called.
        report: is told each epoch and value, and says whether the training goes on; where not, the generator is
            closed, and the last value is returned. None where reports are not asked for.

    Raises:
        UserError: where what it yields is no number or pair of numbers.
    """
    if not inspect.isgenerator(shown):
        return shown
    last = None
    for number in count(1):
        try:
            told = next(shown)
        except StopIteration as ended:
            return last if ended.value is None else ended.value
        pair = told if isinstance(told, tuple) and len(told) == 2 else (number, told)
        epoch, last = (as_number(each, "what the function yields") for each in pair)
        if report is not None and not report(epoch, last):
            shown.close()
            return last
    raise AssertionError("there is no last number")


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


def call(function: Callable[..., Any], space: SearchSpace, arch: str, repeat: int = 0) -> Any:
    """Calls `function` with the choices of `arch` by name, or with its string: as `arch`, or as an only other argument.

    Where it takes `repeat` besides, it is told which training of `arch` this is.

    Raises:
        UserError: where it takes neither.
    """
    choices = space.choices(arch)
    try:
        signature = inspect.signature(function)
    except ValueError:  # of some built-in ones
        return function(arch)
    if "repeat" in signature.parameters and "repeat" not in choices:
        function = partial(function, repeat=repeat)
        others = [each for each in signature.parameters.values() if each.name != "repeat"]
        signature = signature.replace(parameters=others)
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


def _run(
    words: list[str], log: Path, time_limit: float | None, watch: _Watch | None, grace: float
) -> int | None:
    """Returns the exit status of a program whose output goes to `log`; None where it was killed by the time limit.

    It ends with this process, even by a kill, and all that it has started. Where it was stopped it is asked to end, and
    has `grace` seconds for that.
    """
    command = [sys.executable, "-I", "-S", supervise.__file__, *words]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return _ended(process, time_limit, watch, grace)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):  # nothing of it is left
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _ended(
    process: subprocess.Popen[bytes], time_limit: float | None, watch: _Watch | None, grace: float
) -> int:
    """Waits for the end of a process. Raises `TimeoutExpired` at its time limit, or where it does not end if asked."""
    if watch is None:
        return process.wait(time_limit)
    end = math.inf if time_limit is None else time.monotonic() + time_limit
    while watch.look():
        try:
            return process.wait(max(min(WATCH, end - time.monotonic()), 0))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                raise
    os.killpg(process.pid, signal.SIGTERM)
    return process.wait(grace)


def _last_line(log: Path) -> str:
    with log.open("rb") as output:
        output.seek(max(log.stat().st_size - LONGEST_LINE, 0))
        lines = output.read().decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "nothing was printed"
