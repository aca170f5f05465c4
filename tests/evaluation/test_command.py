"""Trainings that are programs or functions: their results, failures, time limits, what is kept."""

import json
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acenas.errors import UserError
from acenas.evaluation.base import Result
from acenas.evaluation.command import CommandEvaluator, FunctionEvaluator
from acenas.evaluation.curves import Curve, NeverStop, StopRule
from acenas.evaluation.jobs import arch_folder
from acenas.spaces import NasBench201
from tests.executors.work import ThisProcess, wait_until

SPACE = NasBench201()
ARCHS = list(SPACE.canonical_all(SPACE.enumerate()[100:103]))
PYTHON = shlex.quote(sys.executable)


def program(folder: Path, text: str) -> str:
    path = folder / "train.py"
    path.write_text(f"import csv, json, os, subprocess, sys, time\narch, out = sys.argv[1:3]\n{text}\n")
    return f"{PYTHON} {shlex.quote(str(path))} {{arch}} {{out}}"


def results(evaluator: CommandEvaluator | FunctionEvaluator) -> list[Result]:
    found = {result.arch: result for result in evaluator.results(ARCHS)}
    return [found[arch] for arch in ARCHS]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("print('epoch 1'); print(arch.count('conv'))", None),
        ("print(json.dumps({'acc': arch.count('conv'), 'loss': 3}))", "acc"),
        ("open(out, 'w').write(str(arch.count('conv')))", None),
        ("open(out, 'w').write(json.dumps({'acc': arch.count('conv')}))", "acc"),
        ("open(out, 'w').write(f'epoch,acc\\n1,0\\n2,{arch.count(\"conv\")}\\n')", "acc"),
        ("open(out, 'w').write(str(arch.count('conv')))", "acc"),
        ("open(out, 'w'); print(arch.count('conv'))", None),
        ("sys.stdout.buffer.write(b'\\xff' * 100_000 + b'\\n'); print(arch.count('conv'))", None),
        ("print(json.dumps({'acc': arch.count('conv')} | {f'value{i}': i for i in range(99)}))", "acc"),
    ],
)
def test_a_value_comes_from_a_file_or_the_last_line(tmp_path: Path, text: str, key: str | None) -> None:
    evaluator = CommandEvaluator(SPACE, program(tmp_path, text), tmp_path / "trained", key=key, jobs=2)
    assert [result.value for result in results(evaluator)] == [arch.count("conv") for arch in ARCHS]


@pytest.mark.parametrize(
    "text",
    [
        "print(json.dumps({'acc': 1, 'energy': len(arch), 'name': 'x', 'none': None, 'loss': float('inf')}))",
        "open(out, 'w').write(f'acc,energy,name\\n1,0,x\\n1,{len(arch)},y\\n')",
    ],
)
def test_other_numbers_are_costs_and_are_kept(tmp_path: Path, text: str) -> None:
    for _ in range(2):
        evaluator = CommandEvaluator(SPACE, program(tmp_path, text), tmp_path / "trained", key="acc", jobs=1)
        assert [result.costs for result in results(evaluator)] == [{"energy": len(arch)} for arch in ARCHS]


def test_a_function_may_return_costs_beside_the_objective(tmp_path: Path) -> None:
    def train(arch: str) -> dict[str, object]:
        return {"perplexity": 3, "energy": len(arch), "name": arch}

    evaluator = FunctionEvaluator(SPACE, train, tmp_path / "trained", key="perplexity")
    assert [(result.value, result.costs) for result in results(evaluator)] == [
        (3.0, {"energy": len(arch)}) for arch in ARCHS
    ]
    failed = results(FunctionEvaluator(SPACE, train, tmp_path / "other"))[0].failure
    assert "what the function returns has no accuracy, only perplexity, energy or name" in failed


def test_what_is_trained_is_read_and_not_trained_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = program(tmp_path, f"open({str(log)!r}, 'a').write('x'); print(1.5)")
    for _ in range(2):
        evaluator = CommandEvaluator(SPACE, command, tmp_path / "trained", jobs=1)
        assert [result.value for result in results(evaluator)] == [1.5] * 3
    assert log.read_text() == "xxx"


def test_a_value_that_is_none_is_trained_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = "open(log, 'a').write('x'); print('nan' if len(open(log).read()) <= 3 else 2)"
    command = program(tmp_path, f"log = {str(log)!r}; {text}")
    evaluator = CommandEvaluator(SPACE, command, tmp_path / "trained", jobs=1)
    assert {result.failure.split(";")[0] for result in results(evaluator)} == {"the objective is nan"}
    assert [result.value for result in results(evaluator)] == [2] * 3 and log.read_text() == "x" * 6


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("sys.exit(3)", "exit status 3"),
        ("print('out of memory'); sys.exit(1)", "out of memory"),
        ("print('done')", "must be a number, not 'done'"),
        ("open(out, 'w').write('epoch,acc')", "must be a number, not 'epoch,acc'"),
        ("open(out, 'wb').write(b'\\xff')", "must be a number"),
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("print(json.dumps({'loss': 3}))", "no None, only loss"),
        ("time.sleep(60)", "time_limit"),
    ],
)
def test_a_failed_program_is_a_result_with_a_reason(tmp_path: Path, text: str, match: str) -> None:
    command = program(tmp_path, f"if arch == {ARCHS[1]!r}:\n    {text}\nelse:\n    print(2)")
    start = time.monotonic()
    first, failed, last = results(
        CommandEvaluator(
            SPACE, command, tmp_path / "trained", jobs=2, time_limit=2 if "sleep" in text else 30
        )
    )
    assert first.value == last.value == 2 and not first.failure
    assert np.isnan(failed.value) and match in failed.failure
    assert time.monotonic() - start < 50


def test_an_architecture_is_handed_over_as_it_is_whatever_a_shell_would_make_of_it(tmp_path: Path) -> None:
    command = program(tmp_path, "json.dump({'n': len(arch)}, open(out, 'w')); print('$(ls) | ; &')")
    evaluator = CommandEvaluator(SPACE, command, tmp_path / "trained", key="n", jobs=1)
    assert [result.value for result in results(evaluator)] == [len(arch) for arch in ARCHS]


def test_what_a_program_leaves_behind_is_ended(tmp_path: Path) -> None:
    start = "subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid"
    command = program(tmp_path, f"print({start})")
    for result in results(CommandEvaluator(SPACE, command, tmp_path / "trained", jobs=1)):
        patience = time.monotonic() + 20
        while _runs(int(result.value)):
            assert time.monotonic() < patience
            time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_command_that_does_not_name_the_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither"):
        CommandEvaluator(SPACE, "python train.py", tmp_path)


def count_convolutions(arch: str) -> float:
    if arch == ARCHS[1]:
        raise ValueError("this one fails")
    return arch.count("conv")


@pytest.mark.parametrize("function", [count_convolutions, f"{__name__}.count_convolutions"])
def test_a_function_trains(tmp_path: Path, function: object) -> None:
    first, failed, last = results(FunctionEvaluator(SPACE, function, tmp_path))  # type: ignore[arg-type]
    assert [first.value, last.value] == [ARCHS[0].count("conv"), ARCHS[2].count("conv")]
    assert "this one fails" in failed.failure
    kept = json.loads(next(tmp_path.glob("*/result.json")).read_text())
    assert kept["arch"] in ARCHS and kept["value"] == kept["arch"].count("conv")


def test_a_training_again_has_another_seed_and_a_folder_of_its_own(tmp_path: Path) -> None:
    command = program(tmp_path, "print(arch.count('conv') + int(sys.argv[3]) / 10)") + " {seed}"
    ran = CommandEvaluator(SPACE, command, tmp_path / "trained", seed=5, jobs=1)
    called = FunctionEvaluator(
        SPACE, lambda arch, repeat: arch.count("conv") + repeat / 10, tmp_path / "called"
    )
    for number in (1, 0, 1, 2):
        for evaluator, first in ((ran, 0.5), (called, 0.0)):
            expected = [arch.count("conv") + first + number / 10 for arch in ARCHS]
            assert [result.value for result in results(evaluator.repeated(number))] == pytest.approx(expected)
    assert results(ran)[0].value == pytest.approx(ARCHS[0].count("conv") + 0.5), "as it was"


class UnspeakableError(Exception):
    def __init__(self, arch: str, lock: object) -> None:  # which pickle cannot make again
        self.lock = lock

    def __str__(self) -> str:
        raise TypeError("no words")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (MemoryError(), "MemoryError"),
        (UnspeakableError("", None), "UnspeakableError"),
        (ValueError("too wide \ud800\nfor this GPU"), r"ValueError: too wide \ud800"),
        (UserError(), "UserError"),
    ],
)
def test_whatever_a_function_raises_is_a_failed_training(
    tmp_path: Path, error: BaseException, reason: str
) -> None:
    def train(arch: str) -> float:
        if arch == ARCHS[1]:
            raise error
        return 1.5

    first, failed, last = results(FunctionEvaluator(SPACE, train, tmp_path))
    assert first.value == last.value == 1.5 and failed.failure.startswith(f"{reason}; see ")


def test_a_function_that_is_none_is_refused(tmp_path: Path) -> None:
    for name in ("nowhere.train", "json.nothing", "train", "json.decoder"):
        with pytest.raises(UserError, match=r"evaluator\.function"):
            FunctionEvaluator(SPACE, name, tmp_path)


class Until(StopRule):
    """Stops the trainings of some architectures after so many epochs."""

    def __init__(self, epochs: float, *archs: str) -> None:
        self.epochs, self.archs = epochs, archs

    def goes_on(self, arch: str, curve: Curve) -> bool:
        return arch not in self.archs or curve[-1][0] < self.epochs


def by_arch(
    evaluator: CommandEvaluator | FunctionEvaluator, rule: StopRule | None = None
) -> dict[str, Result]:
    return {result.arch: result for result in evaluator.results(ARCHS, rule)}


def curve_of(arch: str, epochs: int) -> list[tuple[float, float]]:
    """What the programs and functions below report."""
    return [(epoch, arch.count("conv") + epoch / 10) for epoch in range(1, epochs + 1)]


EPOCHS = """
import signal
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
checkpoint, curve = sys.argv[3], sys.argv[4]
last = int(open(checkpoint).read()) if os.path.exists(checkpoint) else 0
print("it begins")
for epoch in range(last + 1, 7):
    print(epoch, file=open(out + ".log", "a"))
    line = f"{epoch} {arch.count('conv') + epoch / 10}"
    print(line, file=open(curve, "a")) if curve != "-" else print(line, flush=True)
    if SAVES: open(checkpoint, "w").write(str(epoch))
    time.sleep(PAUSE)
    if stop:
        sys.exit(ENDS)
"""


def reporting(
    folder: Path, curve: str = "-", *, saves: bool = True, pause: float = 0.4, ends: int = 0, **more: Any
) -> CommandEvaluator:
    text = EPOCHS.replace("SAVES", str(saves)).replace("PAUSE", str(pause)).replace("ENDS", str(ends))
    command = f"{program(folder, text)} {'{checkpoint}' if saves else '/nowhere'} {curve}"
    return CommandEvaluator(SPACE, command, folder / "trained", **{"epochs": 6, "jobs": 3, **more})


def epochs_run(folder: Path, arch: str) -> list[int]:
    """The epochs that the program has gone through, of all its starts."""
    return [int(line) for line in (arch_folder(folder / "trained", arch) / "out.log").read_text().split()]


@pytest.mark.parametrize("curve", ["-", "{curve}"])
@pytest.mark.parametrize("ends", [0, 3])
def test_a_program_that_reports_is_stopped_and_goes_on_from_its_checkpoint(
    tmp_path: Path, curve: str, ends: int
) -> None:
    evaluator = reporting(tmp_path, curve, ends=ends)
    assert evaluator.resumable and evaluator.epochs == 6
    rule = Until(2, ARCHS[0], ARCHS[2])
    for _ in range(2):  # asked again, nothing runs
        found = by_arch(evaluator, rule)
        assert [found[arch].stopped for arch in ARCHS] == [True, False, True]
        for arch, epochs in zip(ARCHS, (2, 6, 2), strict=True):
            assert list(found[arch].curve) == curve_of(arch, epochs) and not found[arch].failure
            assert found[arch].value == found[arch].curve[-1][1] and found[arch].seconds > 0
    before = epochs_run(tmp_path, ARCHS[0])
    assert before == list(range(1, len(before) + 1)) and 2 <= len(before) < 6
    found = by_arch(evaluator)
    assert all(list(found[arch].curve) == curve_of(arch, 6) for arch in ARCHS)
    assert epochs_run(tmp_path, ARCHS[0]) == [1, 2, 3, 4, 5, 6]
    assert found[ARCHS[0]].seconds > 6 * 0.3  # of both


def test_without_a_checkpoint_a_program_begins_anew(tmp_path: Path) -> None:
    evaluator = reporting(tmp_path, saves=False)
    assert not evaluator.resumable
    found = by_arch(evaluator, Until(1, *ARCHS))
    assert all(list(found[arch].curve) == curve_of(arch, 1) for arch in ARCHS)
    found = by_arch(evaluator, Until(9, *ARCHS))
    assert all(list(found[arch].curve) == curve_of(arch, 6) and not found[arch].stopped for arch in ARCHS)
    run = epochs_run(tmp_path, ARCHS[0])
    assert run[-6:] == [1, 2, 3, 4, 5, 6] and len(run) >= 7


def test_a_result_depends_on_the_rule_alone_however_fast_the_program_is(tmp_path: Path) -> None:
    evaluator = reporting(tmp_path, pause=0)  # over before anybody can stop it
    for until in (3, 1, 5):
        found = by_arch(evaluator, Until(until, *ARCHS))
        assert all(found[arch].stopped and list(found[arch].curve) == curve_of(arch, until) for arch in ARCHS)
    assert epochs_run(tmp_path, ARCHS[0]) == [1, 2, 3, 4, 5, 6]


def test_a_program_that_does_not_end_when_asked_to_is_killed(tmp_path: Path) -> None:
    text = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(1, 5, flush=True)\ntime.sleep(600)"
    evaluator = CommandEvaluator(
        SPACE, program(tmp_path, text), tmp_path / "trained", epochs=2, grace=0.5, jobs=3
    )
    start = time.monotonic()
    assert all(
        result.stopped and result.value == 5 for result in by_arch(evaluator, Until(1, *ARCHS)).values()
    )
    assert time.monotonic() - start < 120


def test_children_of_a_program_are_asked_to_end_as_well(tmp_path: Path) -> None:
    text = (
        "child = 'import signal, sys, time; signal.signal(15, lambda *_: (open(sys.argv[1], \"w\"), sys.exit()));'\n"
        "child += 'print(1, 5, flush=True); time.sleep(60)'\n"
        "import signal; signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "sys.exit(subprocess.call([sys.executable, '-c', child, out + '.asked']))"
    )
    evaluator = CommandEvaluator(SPACE, program(tmp_path, text), tmp_path / "trained", epochs=2, jobs=3)
    assert all(result.stopped for result in by_arch(evaluator, Until(1, *ARCHS)).values())
    assert len(list(tmp_path.glob("trained/*/out.asked"))) == 3


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "print(2, 5); print(1, 5); time.sleep(60)",
            "epoch 1 is reported after epoch 2; report each once, in order",
        ),
        ("print(1, 5); print(1, 5); time.sleep(600)", "epoch 1 is reported after epoch 1"),
        (
            "print(7, 5); time.sleep(60)",
            r"epoch 7 is reported, but a full training has 6 (evaluator.epochs), counted",
        ),
        ("print(0, 5); time.sleep(600)", "epoch 0 is reported"),
        ("print('nan', 5); time.sleep(600)", "epoch nan is reported"),
        ("print(1, 'nan'); time.sleep(60)", "the objective is nan after epoch 1"),
        ("print('accuracy 93'); print(5)", "nothing was reported: print lines `epoch value`, or append them"),
        ("open(out, 'w').write('93')", "nothing was reported"),
        ("print('1 5'); sys.exit(3)", "exit status 3"),
        ("print(1, 5); open(out, 'w').write('none')", "must be a number, not 'none'"),
        ("curve('epoch 1: 5'); time.sleep(60)", "a line is 'epoch 1: 5', not `epoch value`, two numbers"),
        ("curve('1'); time.sleep(60)", "a line is '1', not `epoch value`"),
        ("curve('1,5,6')", "a line is '1,5,6', not `epoch value`"),
    ],
)
def test_reports_that_make_no_sense_end_the_program_with_a_reason(
    tmp_path: Path, text: str, match: str
) -> None:
    given = " {curve}" if "curve" in text else ""
    helper = "def curve(line): print(line, file=open(sys.argv[3], 'a'))\nsys.stdout.reconfigure(line_buffering=True)\n"
    evaluator = CommandEvaluator(
        SPACE, program(tmp_path, helper + text) + given, tmp_path / "trained", epochs=6, jobs=3
    )
    start = time.monotonic()
    for result in by_arch(evaluator, NeverStop()).values():
        assert match in result.failure and np.isnan(result.value) and not result.stopped
    assert time.monotonic() - start < 120


@pytest.mark.parametrize(
    ("text", "value", "last"),
    [
        ("print('1 5\\n2,6.5')", 6.5, (9, 6.5)),
        ("print('1\\t5'); open(out, 'w').write('7')", 7, (9, 7)),
        ("print('1 5\\n9 6', end='')", 6, (9, 6)),
        ("print('2 words, and 3'); print('1 5'); print('done')", 5, (9, 5)),
    ],
)
def test_the_result_is_the_last_report_or_what_the_program_writes(
    tmp_path: Path, text: str, value: float, last: tuple[float, float]
) -> None:
    evaluator = CommandEvaluator(SPACE, program(tmp_path, text), tmp_path / "trained", epochs=9, jobs=3)
    for result in by_arch(evaluator, Until(9, *ARCHS)).values():
        assert (result.value, result.curve[-1], result.stopped) == (value, last, False)
        assert result.curve[0] == (1, 5)


def test_a_time_limit_holds_for_a_program_that_reports(tmp_path: Path) -> None:
    evaluator = CommandEvaluator(
        SPACE,
        program(tmp_path, "print('1 5', flush=True); time.sleep(60)"),
        tmp_path,
        epochs=9,
        time_limit=2,
        jobs=3,
    )
    assert all("time_limit" in result.failure for result in by_arch(evaluator).values())


def test_a_curve_without_a_length_and_a_length_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"names \{curve\}; say how long a full training is, as in evaluator.epochs=90"
    ):
        CommandEvaluator(SPACE, "train {arch} {curve}", tmp_path)
    for options, match in (
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"grace": -1}, "grace must be at least 0"),
    ):
        with pytest.raises(UserError, match=match):
            CommandEvaluator(SPACE, "train {arch}", tmp_path, **options)  # type: ignore[arg-type]


DRIVER = """
import sys
from pathlib import Path
from tests.evaluation.test_command import ARCHS, Until, by_arch, reporting
by_arch(reporting(Path(sys.argv[1]), pause=0.5, jobs=2), Until(4, ARCHS[0], ARCHS[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [2, 4])  # in training, and while it is stopped
def test_a_kill_of_running_or_stopping_programs_changes_nothing(tmp_path: Path, epochs: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], stderr=subprocess.DEVNULL)
    try:
        curve = arch_folder(tmp_path / "trained", ARCHS[0]) / "curve.csv"
        wait_until(lambda: curve.exists() and len(curve.read_text().splitlines()) > epochs)
    finally:
        process.kill()
        process.wait()
    found = by_arch(reporting(tmp_path, pause=0.1), Until(4, ARCHS[0], ARCHS[1]))
    assert [found[arch].stopped for arch in ARCHS] == [True, True, False]
    for arch, length in zip(ARCHS, (4, 4, 6), strict=True):
        assert list(found[arch].curve) == curve_of(arch, length)
    found = by_arch(reporting(tmp_path, pause=0.1))
    assert all(list(found[arch].curve) == curve_of(arch, 6) for arch in ARCHS)
    assert len(epochs_run(tmp_path, ARCHS[0])) <= 7  # what the kill has cost


@pytest.mark.parametrize(("until", "epochs"), [(9, 6), (3, 3)])
def test_what_was_reported_when_all_was_killed_is_not_lost(tmp_path: Path, until: int, epochs: int) -> None:
    folder = arch_folder(tmp_path / "trained", ARCHS[0])
    folder.mkdir(parents=True)
    (folder / "curve.csv").write_text("epoch,value,seconds\n1.0,0.1,5.0\n")
    (folder / "output.log").write_text("it begins\n1 0.1\n2 0.2\n3 0.3\n4 0.")  # the last one is cut off
    (folder / "checkpoint").write_text("3")
    assert ARCHS[0].count("conv") == 0
    evaluator = reporting(tmp_path, pause=0, executor=ThisProcess())
    (result,) = evaluator.results(ARCHS[:1], Until(until, ARCHS[0]))
    assert list(result.curve) == curve_of(ARCHS[0], epochs) and result.stopped == (until == 3)
    assert (folder / "out.log").exists() == (until == 9)  # else it did not have to run
    assert result.seconds >= 5


def test_a_stop_reaches_a_program_of_a_job_that_blocks_the_signal(tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # as jobs of SLURM do
    try:
        evaluator = reporting(tmp_path, executor=ThisProcess())
        (result,) = evaluator.results(ARCHS[:1], Until(2, ARCHS[0]))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert result.stopped and len(epochs_run(tmp_path, ARCHS[0])) < 6


def test_a_job_that_a_cluster_ends_is_no_failed_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(BaseException):
        pass

    def end(seconds: float) -> None:
        assert seconds > 600
        raise Ended

    command = program(tmp_path, "import signal; os.kill(os.getpid(), signal.SIGTERM)")
    evaluator = CommandEvaluator(SPACE, command, tmp_path / "trained", executor=ThisProcess())
    (failed,) = evaluator.results(ARCHS[:1])
    assert failed.failure.startswith("RuntimeError: SIGTERM;")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # as jobs of SLURM do
    try:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # other threads do not block it
        monkeypatch.setattr("acenas.evaluation.command.time.sleep", end)
        with pytest.raises(Ended):
            list(evaluator.results(ARCHS[:1]))
    finally:
        signal.sigwait([signal.SIGTERM])
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def generator(notes: Path) -> Callable[[str], Iterator[object]]:
    """A function that yields values alone, or pairs, and leaves notes on its epochs and when it ends."""

    def train(arch: str) -> Iterator[object]:
        note = notes / str(ARCHS.index(arch))
        try:
            for epoch, value in curve_of(arch, 6):
                with note.open("a") as file:
                    file.write(f"{epoch:g} ")
                yield value if arch == ARCHS[0] else (epoch, value)
        finally:
            with note.open("a") as file:
                file.write("end ")

    return train


def test_a_generator_function_is_closed_where_it_is_stopped(tmp_path: Path) -> None:
    evaluator = FunctionEvaluator(SPACE, generator(tmp_path), tmp_path / "trained", epochs=6, jobs=2)
    assert evaluator.epochs == 6 and not evaluator.resumable
    for _ in range(2):
        found = by_arch(evaluator, Until(2, ARCHS[0], ARCHS[2]))
        assert [found[arch].stopped for arch in ARCHS] == [True, False, True]
        for arch, epochs in zip(ARCHS, (2, 6, 2), strict=True):
            assert list(found[arch].curve) == curve_of(arch, epochs)
    assert [(tmp_path / name).read_text() for name in "01"] == ["1 2 end ", "1 2 3 4 5 6 end "]
    found = by_arch(evaluator)
    assert all(list(found[arch].curve) == curve_of(arch, 6) for arch in ARCHS)
    assert (tmp_path / "0").read_text() == "1 2 end 1 2 3 4 5 6 end "


def test_a_generator_without_a_length_is_trained_in_full(tmp_path: Path) -> None:
    evaluator = FunctionEvaluator(SPACE, generator(tmp_path), tmp_path / "trained")
    for result in by_arch(evaluator, Until(1, *ARCHS)).values():
        assert result.value == curve_of(result.arch, 6)[-1][1] and not result.stopped and not result.curve


def test_a_kill_in_a_function_begins_it_anew(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def train(arch: str) -> Iterator[float]:
        for epoch, value in curve_of(arch, 6):
            if epoch == 3 and not (tmp_path / arch[:3]).exists():
                (tmp_path / arch[:3]).touch()
                raise Killed
            yield value

    evaluator = FunctionEvaluator(SPACE, train, tmp_path / "trained", epochs=6, executor=ThisProcess())
    with pytest.raises(Killed):
        by_arch(evaluator, Until(5, ARCHS[0]))
    (result,) = evaluator.results(ARCHS[:1], Until(5, ARCHS[0]))
    assert result.stopped and list(result.curve) == curve_of(ARCHS[0], 5)


def test_what_a_generator_returns_counts_and_may_have_costs(tmp_path: Path) -> None:
    def train(arch: str) -> Generator[float, None, dict[str, float]]:
        yield 1.0
        return {"accuracy": 3.0, "energy": 2.0}

    for result in by_arch(FunctionEvaluator(SPACE, train, tmp_path, epochs=4)).values():
        assert (result.value, result.costs, list(result.curve)) == (3, {"energy": 2}, [(1, 1), (4, 3)])


def yields(*told: object) -> Callable[[str], Iterator[object]]:
    def train(arch: str) -> Iterator[object]:
        yield from told

    return train


@pytest.mark.parametrize(
    ("train", "match"),
    [
        (yields("high"), "what the function yields must be a number, not 'high'"),
        (yields((1, 2.0, 3.0)), "what the function yields must be a number"),
        (yields((2, 1.0), (1, 1.0)), "epoch 1 is reported after epoch 2"),
        (yields(*[1.0] * 5), "epoch 5 is reported, but a full training has 4 (evaluator.epochs)"),
        (yields(float("nan")), "the objective is nan after epoch 1"),
        (yields(), "what the function returns must be a number, not None"),
        (lambda arch: 1.0, "the function yields nothing, but evaluator.epochs is set: let it yield"),
    ],
)
def test_what_a_function_yields_that_makes_no_sense_is_a_failure(
    tmp_path: Path, train: Callable[[str], object], match: str
) -> None:
    for result in by_arch(FunctionEvaluator(SPACE, train, tmp_path, epochs=4), NeverStop()).values():
        assert match in result.failure and np.isnan(result.value)
