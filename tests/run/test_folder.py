"""Who works in a run's folder, and when the run is done."""

import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acenas.report import runs
from acenas.report.live.status import RunStatus
from acenas.run import folder


def test_a_run_is_done_when_its_summary_is_there(tmp_path: Path) -> None:
    assert runs.finished(tmp_path) is None
    folder.finish(tmp_path, {"seed": 1})
    assert runs.finished(tmp_path) == {"seed": 1}
    folder.clear(tmp_path)
    assert runs.finished(tmp_path) is None


class Killed(BaseException):
    """Nothing that is there for errors catches it."""


def test_a_kill_while_a_folder_is_cleared_leaves_nothing_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: Path) -> None:
        raise Killed

    folder.finish(tmp_path, {"seed": 1})
    for name in ("pretrain", "trained"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").touch()
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", die)
        with pytest.raises(Killed):
            folder.clear(tmp_path)
    assert runs.finished(tmp_path) is None
    with folder.only_process(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [runs.LOCK]


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(folder.FolderInUseError, match="another process"), folder.only_process(tmp_path):
            pass
    with folder.only_process(tmp_path):
        pass


def test_only_a_folder_without_results_is_removed(tmp_path: Path) -> None:
    for name in ("unused", "used"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
    (tmp_path / "used" / "observations.parquet").touch()
    for path in tmp_path.iterdir():
        folder.remove_if_unused(path)
    assert [path.name for path in tmp_path.iterdir()] == ["used"]


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    code = (
        "import sys, os, pathlib; from acenas.run.folder import only_process\n"
        "with only_process(pathlib.Path(sys.argv[1])):\n    print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"locked\n"
        assert runs.is_running(tmp_path)
        with pytest.raises(folder.FolderInUseError), folder.only_process(tmp_path):
            pass
        process.kill()
    assert not runs.is_running(tmp_path)
    assert (tmp_path / runs.LOCK).exists(), "it is still the folder of a run"
    with folder.only_process(tmp_path):
        pass


def test_asking_takes_an_instant_and_needs_no_right_to_write(tmp_path: Path) -> None:
    with folder.only_process(tmp_path):
        (tmp_path / runs.LOCK).chmod(0o444)
        start = time.monotonic()
        assert all(runs.is_running(tmp_path) for _ in range(100))
        assert time.monotonic() - start < 0.5
    before = (tmp_path / runs.LOCK).stat()
    assert not runs.is_running(tmp_path) and not runs.is_running(tmp_path / "nowhere")
    assert (tmp_path / runs.LOCK).stat().st_mtime_ns == before.st_mtime_ns


def test_the_folder_is_locked_where_there_is_no_fcntl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows; filelock has its own way there
    with folder.only_process(tmp_path):
        assert runs.is_running(tmp_path)
    assert not runs.is_running(tmp_path)
    assert (tmp_path / runs.LOCK).exists()


NO_LOCKS = """
import errno, fcntl, os
def flock(file, operation):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
fcntl.flock = flock
"""


def test_where_the_file_system_has_no_locks_a_file_stands_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As Lustre without `flock`, and some NFS."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", flock)
    assert not runs.is_running(tmp_path)
    code = (
        f"{NO_LOCKS}import sys, pathlib; from acenas.run.folder import only_process\n"
        "with only_process(pathlib.Path(sys.argv[1])):\n    print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"locked\n"
        assert runs.is_running(tmp_path)
        with pytest.raises(folder.FolderInUseError), folder.only_process(tmp_path):
            pass
        process.kill()
    assert not runs.is_running(tmp_path)
    with folder.only_process(tmp_path):
        assert runs.is_running(tmp_path)
    assert not runs.is_running(tmp_path) and (tmp_path / runs.LOCK).exists()
    assert f"{tmp_path} has no locks (Function not implemented)" in caplog.text


@pytest.mark.parametrize("content", ["", "[]", '{"seconds": {"search": "x"}, "cpu_seconds": {}}'])
def test_a_damaged_clock_begins_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "seconds.json").write_text(content)
    clock = folder.Clock(tmp_path, RunStatus(tmp_path))
    with clock.stage("search"):
        pass
    assert folder.Clock(tmp_path, RunStatus(tmp_path)).seconds.keys() == {"search"}


def test_a_run_is_done_when_all_else_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain" / "ranker.pt").touch()
    seen: list[tuple[str, bool]] = []

    def sync(path: Path) -> None:
        seen.append((path.name, (tmp_path / runs.SUMMARY).exists()))

    monkeypatch.setattr("acenas.run.folder.sync", sync)
    folder.finish(tmp_path, {"seed": 1})
    assert seen == [("pretrain", False), ("ranker.pt", False)]
