"""The state of runs as seen from outside, and that looking is quick."""

import errno
import fcntl
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from acenas.errors import UserError
from acenas.executors.slurm import NOTE
from acenas.report import runs
from acenas.report.identity import Identity
from acenas.report.live.status import RunStatus
from acenas.run.commands import status
from acenas.run.folder import finish, only_process


def run_in(root: Path, name: str, **facts: object) -> Path:
    folder = root / name
    with only_process(folder):
        RunStatus(folder).tell(now=True, **facts)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    search = {"stage": "search", "unit": "rounds", "total": 4, "rounds": 4, "budget": 12}
    run_in(tmp_path, "a/running", **search, done=2, round=2, trained=6, best_observed_accuracy=91.5)
    run_in(tmp_path, "a/stopped", **search, done=1, round=1, trained=3, best_observed_accuracy=90.25)
    done = run_in(tmp_path, "b/done", **search, done=4, round=4, trained=12)
    finish(done, {"trained": 12, "returned": {"observed_accuracy": 93.0}, "seconds": {"total": 7.0}})
    failing = run_in(tmp_path, "b/failed", stage="pretrain")
    with pytest.raises(UserError), only_process(failing):
        raise UserError("the table is gone")
    (tmp_path / "b" / "no run").mkdir()
    (done / "deep" / "below").mkdir(parents=True)
    (done / "deep" / "below" / runs.LOCK).touch()
    return tmp_path


def test_every_state_is_told_from_the_others(root: Path) -> None:
    with (root / "a" / "running" / runs.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = {run.folder.name: run for run in map(status.look_at, runs.run_folders(root))}
    assert {name: run.state for name, run in found.items()} == {
        name: name for name in ("running", "stopped", "done", "failed")
    }
    assert found["failed"].problem == "UserError: the table is gone"
    assert found["done"].facts["best_observed_accuracy"] == 93.0


def test_a_stopped_run_whose_job_slurm_has_is_queued(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("a/running", "a/stopped", "b/done")):
        (root / name / NOTE).write_text(f"logs/{number}")
    programs = root / ".programs"
    programs.mkdir()
    (programs / "squeue").write_text("#!/bin/sh\necho 1\necho 2\n")
    (programs / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    found = status.in_queue([status.look_at(folder) for folder in runs.run_folders(root)])
    assert {run.folder.name: run.state for run in found} == {
        "running": "stopped",  # no longer: SLURM does not know its job
        "stopped": "queued",
        "done": "done",
        "failed": "failed",
    }


def test_an_error_is_forgotten_when_the_run_goes_on(root: Path) -> None:
    with only_process(root / "b" / "failed"):
        assert status.look_at(root / "b" / "failed").state == "running"
    assert status.look_at(root / "b" / "failed").state == "stopped"


def test_looking_at_a_run_does_not_keep_another_process_out(root: Path) -> None:
    with (root / "a" / "stopped" / runs.LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        start = time.monotonic()
        with pytest.raises(UserError, match="another process"), only_process(root / "a" / "stopped"):
            pass
        assert time.monotonic() - start > 0.2, "a look takes an instant; it is waited for"


def test_the_command_shows_a_line_for_each_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main([str(root)]) == 0
    _, *lines, problem, counts = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["a/running", "stopped"],
        ["a/stopped", "stopped"],
        ["b/done", "done"],
        ["b/failed", "failed"],
    ]
    assert lines[1].split()[2:] == ["search", "1/4", "3/12", "90.25"]
    assert problem.endswith("b/failed: UserError: the table is gone")
    assert counts == "1 done, 1 failed, 2 stopped"
    assert status.main([str(root), "--state", "done"]) == 0
    assert "a/running" not in capsys.readouterr().out
    assert status.main([str(root / "nowhere")]) == 2


def test_eighty_columns_show_each_run_in_a_line_with_method_and_seed(root: Path) -> None:
    method = "nb201_ltr, search.acquisition.best=0.6, loss=ranknet, search.budget=50"
    for name in ("a/running", "b/failed"):
        Identity(method, "nb201 cifar10", seed=17, experiment="nb201_ltr").write(root / name)
    found = [status.look_at(folder) for folder in runs.run_folders(root)]
    told = io.StringIO()
    status.show(found, root, Console(file=told, width=80))
    head, *lines = told.getvalue().splitlines()[: len(found) + 1]
    assert [line.split()[0] for line in lines] == ["a/running", "a/stopped", "b/done", "b/failed"]
    assert all(len(line) <= 80 for line in [head, *lines]) and head.split()[:3] == ["run", "method", "seed"]
    (shown,) = re.findall(r"a/running +(search\S* … \S*get=50) +17 ", lines[0])
    assert shown.partition(" … ")[0] in method and " 17 " in lines[3]
    told = io.StringIO()
    status.show(found, root, Console(file=told, width=160))
    assert method.partition(", ")[2] in told.getvalue(), "where there is room, it is whole"


def test_a_file_that_is_being_written_is_no_error(root: Path) -> None:
    (root / "a" / "stopped" / runs.STATUS).write_text('{"stage": "sea')
    assert status.look_at(root / "a" / "stopped").facts == {}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (runs.STATUS, {"trained": "x", "stage": "search"}),
        (runs.STATUS, {"round": {}, "stage": "search"}),
        (runs.STATUS, {"best_observed_accuracy": "x", "seconds_left": float("inf"), "time": float("nan")}),
        (runs.STATUS, {"trained": 10**400, "total": [], "done": None, "stage": ["[red]"], "unit": 3}),
        (runs.STATUS, []),
        (runs.SUMMARY, {"returned": None}),
        (runs.SUMMARY, {"returned": {"observed_accuracy": "x"}}),
        (runs.SUMMARY, {"objective": [], "trained": {}}),
        (runs.SUMMARY, None),
    ],
)
def test_one_folder_of_other_types_hides_no_other(
    root: Path, capsys: pytest.CaptureFixture[str], file: str, content: object
) -> None:
    (root / "a" / "stopped" / file).write_text(json.dumps(content))
    with (root / "a" / "stopped" / runs.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert status.main([str(root)]) == 0
    out = capsys.readouterr().out
    assert "b/done " in out and "a/stopped " in out
    if file == runs.SUMMARY:
        assert re.search(r"Failed: .*/a/stopped: .*summary.json is damaged, .*; remove it", out)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no pipes")
@pytest.mark.parametrize("file", [runs.SUMMARY, runs.STATUS, runs.ERROR, runs.LOCK, runs.IDENTITY])
def test_a_pipe_or_a_device_in_a_folder_hides_no_other(
    root: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    """To read one would never end."""
    for name in ("a/stopped", "b/failed"):
        (root / name / file).unlink(missing_ok=True)
    os.mkfifo(root / "a/stopped" / file)
    (root / "b/failed" / file).symlink_to("/dev/zero")
    assert status.main([str(root)]) == 0
    assert "b/done " in capsys.readouterr().out


def test_a_cut_summary_is_not_that_of_a_done_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("b/done", ""), ("a/stopped", '{"trained": 12')):
        (root / name / runs.SUMMARY).write_text(content)
    status.main([str(root)])
    assert "3 failed, 1 stopped" in capsys.readouterr().out


def test_names_are_shown_as_they_are(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_in(root, "[lr=0.1,wd=0]/[bold]", stage="[red]search[/]", unit="rounds", done=1, total=2)
    status.main([str(root)])
    out = capsys.readouterr().out
    assert "[lr=0.1,wd=0]/[bold] " in out and "[red]search[/] 1/2" in out


def test_a_folder_that_cannot_be_read_hides_no_other(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_in(root, os.fsdecode(b"caf\xe9"))
    read, listed = Path.read_text, Path.iterdir

    def checked(path: Path) -> Path:
        if path.name == "error.txt" or path == root / "a":
            raise PermissionError(errno.EACCES, "Permission denied")
        return path

    monkeypatch.setattr(Path, "read_text", lambda path, **more: read(checked(path), **more))
    monkeypatch.setattr(Path, "iterdir", lambda path: listed(checked(path)))
    assert status.main([str(root)]) == 0
    out = capsys.readouterr().out
    assert "b/done " in out and "b/failed: it cannot be read (Permission denied)" in out and "a/" not in out


def test_a_thousand_runs_are_shown_within_two_seconds_without_heavy_imports(tmp_path: Path) -> None:
    for i in range(1000):
        folder = tmp_path / f"sweep{i % 10}" / f"{i:010x}"
        folder.mkdir(parents=True)
        (folder / runs.LOCK).touch()
        (folder / runs.STATUS).write_text(json.dumps({"stage": "search", "round": i, "rounds": 2000}))
    code = (
        "import sys, time; start = time.monotonic(); from acenas.run.commands.status import main; main(sys.argv[1:]);"
        "print(time.monotonic() - start); print([m for m in ('torch', 'pandas', 'hydra') if m in sys.modules])"
    )
    fastest = float("inf")
    for _ in range(3):  # other tests run beside it
        out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
        *_, counts, seconds, heavy = out.stdout.splitlines()
        assert counts == "1000 stopped" and heavy == "[]"
        fastest = min(fastest, float(seconds))
    assert fastest < 2
