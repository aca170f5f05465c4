"""Trainings that are programs or functions: their results, failures, time limits, what is kept."""

import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from acenas.errors import UserError
from acenas.evaluation.base import Result
from acenas.evaluation.command import CommandEvaluator, FunctionEvaluator
from acenas.spaces import NasBench201

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
