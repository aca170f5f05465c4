"""One contract for all of them: results as they come, a limit, and several lives for what is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from joblib import Parallel, delayed

from acenas.errors import UserError
from acenas.executors import Executor, LocalProcesses, Lost, Ray, Slurm
from tests.executors.work import is_alive, most_at_once, own_and_others, process_of, square, wait_until


def work(root: Path, deaths: dict[int, int], count: int) -> dict[Path, Callable[[], int]]:
    return {
        root / str(i): partial(square, root / str(i), i, 6.0 if i == 0 else 0.2, deaths.get(i, 0))
        for i in range(count)
    }


def local(_: pytest.FixtureRequest) -> Iterator[Executor]:
    yield LocalProcesses(retries=2)


def slurm_jobs(request: pytest.FixtureRequest) -> Iterator[Executor]:
    environment = request.getfixturevalue("slurm")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield Slurm(retries=1)


def ray(_: pytest.FixtureRequest) -> Iterator[Executor]:
    module = pytest.importorskip("ray")
    yield Ray(retries=1)
    module.shutdown()


@pytest.fixture(params=[local, slurm_jobs, ray])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    yield from request.param(request)


@pytest.mark.slow
def test_everything_is_done_by_two_at_a_time_and_what_is_killed_is_started_again(
    executor: Executor, tmp_path: Path
) -> None:
    pieces = work(tmp_path / "work", deaths={3: 1}, count=6)
    results = list(executor.run(pieces, tmp_path / "logs", limit=2))
    assert dict(results) == {folder: int(folder.name) ** 2 for folder in pieces}
    assert results[0][0].name != "0", "the others do not wait for the first, which takes longest"
    assert len(list((tmp_path / "work/3").glob("start-*"))) == 2
    assert most_at_once(tmp_path / "work") == 2


@pytest.mark.slow
def test_what_is_killed_again_and_again_is_lost_and_nothing_else(executor: Executor, tmp_path: Path) -> None:
    pieces = work(tmp_path / "work", deaths={0: 9}, count=5)
    results = dict(executor.run(pieces, tmp_path / "logs", limit=2))
    assert [folder.name for folder, result in results.items() if isinstance(result, Lost)] == ["0"]
    assert len(list((tmp_path / "work/0").glob("start-*"))) in (2, 3), "as often as it may be started again"


@pytest.mark.slow
def test_jobs_outlive_who_submitted_them_and_are_not_submitted_twice(
    slurm: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    root, logs = tmp_path / "work", tmp_path / "logs"
    pieces: dict[Path, Callable[[], int]] = {
        root / str(i): partial(square, root / str(i), i, 6) for i in range(3)
    }
    results = Slurm().run(pieces, logs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", stop)
        with pytest.raises(Stopped):
            next(results)
    assert len(list(logs.glob("*/*/*_submitted.pkl"))) == 3
    assert {folder.name: result for folder, result in Slurm().run(pieces, logs)} == {"0": 0, "1": 1, "2": 4}
    assert len(list(logs.glob("*/*/*_submitted.pkl"))) == 3
    assert all(len(list(folder.glob("start-*"))) == 1 for folder in pieces)


def test_a_single_piece_has_a_process_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    ((named, process),) = LocalProcesses().run({folder: partial(process_of, folder)}, tmp_path)
    assert named == folder and process != os.getpid()
    assert not list(LocalProcesses().run({}, tmp_path))


def test_inside_a_process_of_joblib_pieces_have_processes_too(tmp_path: Path) -> None:
    work = [delayed(own_and_others)(tmp_path / name) for name in ("c", "d")]
    for own, others in Parallel(2, backend="loky")(work):
        assert own != os.getpid() and own not in others


SCRIPT = """
import sys
from functools import partial
from pathlib import Path
from acenas.executors import LocalProcesses
from tests.executors.work import process_of
list(LocalProcesses().run({f: partial(process_of, f, 600.0) for f in map(Path, sys.argv[1:])}, Path(), 2))
"""


@pytest.mark.parametrize("count", [1, 2])
def test_processes_end_with_the_one_that_started_them(tmp_path: Path, count: int) -> None:
    files = [tmp_path / str(i) / "process" for i in range(count)]
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT, *(str(file.parent) for file in files)])
    try:
        wait_until(lambda: all(file.exists() and file.read_text().endswith("\n") for file in files))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_until(lambda: not any(is_alive(int(file.read_text())) for file in files))


SHM = Path("/dev/shm")


@pytest.mark.skipif(not SHM.is_dir(), reason="it is Linux's")
@pytest.mark.parametrize("whole_group", [False, True])
def test_processes_that_import_still_end_with_the_one_that_started_them(
    tmp_path: Path, whole_group: bool
) -> None:
    before = set(SHM.iterdir())
    folders = [str(tmp_path / name) for name in "ab"]
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT, *folders], process_group=0)
    started: list[int] = []

    def two_started() -> bool:
        started[:] = children(parent.pid)
        return len(started) == 2

    wait_until(two_started)
    if whole_group:
        os.killpg(parent.pid, signal.SIGKILL)
    else:
        parent.kill()
    parent.wait()
    wait_until(lambda: not any(map(is_alive, started)), 5)
    names = (path.name for path in set(SHM.iterdir()) - before)
    assert not [name for name in names if str(parent.pid) in name or name.startswith("sem.mp")]


def test_processes_that_are_not_needed_any_more_end_without_a_word() -> None:
    code = "from acenas.executors.local import in_processes; list(in_processes([(i, int) for i in range(20)], 2))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


class Stopped(BaseException):
    """As a kill, but for this process."""


def stop(_: float) -> None:
    raise Stopped


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="there is no SLURM here: sbatch, squeue, srun not found"):
        Slurm()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"needs Ray: pip install 'acenas\[ray\]'"):
        Ray()
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"need submitit: pip install 'acenas\[sweeps\]'"):
        Slurm()


@pytest.mark.slow
def test_slurm_says_why_it_does_not_take_a_job(
    slurm: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        UserError, match=r"SLURM does not take the jobs: .*invalid partition specified: nowhere"
    ):
        list(Slurm(partition="nowhere").run({tmp_path / "a": partial(square, tmp_path / "a", 1)}, tmp_path))
