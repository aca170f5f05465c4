"""All commands agree on their exit status and on how they tell of what is wrong."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acenas.errors import UserError, exit_status
from acenas.report.command import main as report
from acenas.run.commands import benchmark, export, final, latency, new, run, status, study
from acenas.tables.command import main as tables


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (run.main, ["loss=nothing"], "choose approxndcg, brp_kl,"),
        (run.main, ["search.bugdet=5"], "no key search.bugdet (did you mean search.budget?)"),
        (run.main, ["rankr=gp"], "no key rankr (did you mean ranker?)"),
        (run.main, ["budget=5"], "no key budget (did you mean search.budget?)"),
        (run.main, ["experiment=nb201"], "no experiment=nb201 (did you mean nb201_ltr?); choose debug,"),
        (run.main, ["ranker=ace2"], "no ranker=ace2 (did you mean ace?)"),
        (
            run.main,
            ["search.budget=abc"],
            "search.budget=abc is not a whole number; the default is search.budget=",
        ),
        (run.main, ["table.dataset=cifra10"], "choose one of: digits"),
        (run.main, ["loss.scale=-1"], "loss.scale=-1 is below zero; the default is"),
        (run.main, ["data_dir=nowhere"], "nowhere does not exist; make it"),
        (run.main, ["search.budget=0"], "search.budget=0"),
        (run.main, ["--config-dir=nowhere"], "not found"),
        (run.main, ["~experiment"], "the experiment has no name"),
        (run.main, ["-m", "loss=nothing,mse", "logger.mode=disabled"], "there is no loss=nothing"),
        (benchmark.main, ["methods=[nothing]"], "nothing is not defined"),
        (benchmark.main, ["metods=[a]"], "no key metods (did you mean methods?)"),
        (latency.main, ["name=a b"], "must be letters"),
        (latency.main, ["nothing=1"], "nothing"),
        (export.main, ["nowhere"], "nowhere is no run's folder"),
        (final.main, ["nowhere"], "nowhere is no run's folder"),
        (new.main, ["space", "a-b"], "must be letters"),
        (report, ["nowhere"], "there is no folder nowhere"),
        (status.main, ["nowhere"], "there is no folder nowhere"),
        (study.main, ["show", "nowhere"], "nowhere holds no study"),
        (tables, ["info", "nowhere"], "there is no table nowhere"),
    ],
)
def test_a_users_error_is_one_line_and_status_2(
    main: Callable[..., int],
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["acenas", *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")
    try:
        found = main() if main in (run.main, benchmark.main, latency.main) else main(arguments)
    except SystemExit as exited:  # of the job, within Hydra
        found = int(str(exited.code))
    assert found == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert line.startswith("acenas: error: ") and message in line
    assert [path.name for path in tmp_path.iterdir()] in ([], ["outputs"])


def test_an_interrupt_is_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert exit_status(interrupted) == 130
    assert capsys.readouterr().err == "acenas: stopped\n"


@pytest.mark.parametrize("command", ["acenas", "acenas.status", "acenas.benchmark"])
def test_an_interrupt_of_the_imports_is_one_line_too(command: str, tmp_path: Path) -> None:
    (tmp_path / "hydra.py").write_text("raise KeyboardInterrupt\n")
    (tmp_path / "rich.py").write_text("raise KeyboardInterrupt\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
    )
    assert done.returncode == 130 and done.stderr.startswith(b"acenas: stopped")
    assert len(done.stderr.splitlines()) == 1


def test_what_is_quoted_does_not_command_the_terminal() -> None:
    assert str(UserError("there is no \x1b[2Jtable\r")) == r"there is no \x1b[2Jtable\r"


def test_a_long_input_is_quoted_in_part() -> None:
    assert len(str(UserError(f"arch={'|x~0' * 10_000} is wrong"))) < 250
