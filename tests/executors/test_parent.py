import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acenas.executors.supervise import __file__ as supervise
from tests.executors.work import is_alive, wait_until

UNIX_ONLY = """
import sys
sys.modules["fcntl"] = None
import acenas.executors
"""
ORPHAN = """
import os, time
from acenas.executors.parent import end_with_parent
end_with_parent(os.getppid())
time.sleep(0.3)
print("still here", flush=True)
end_with_parent(0)  # as where the parent has ended before
time.sleep(60)
"""


def test_executors_import_where_there_is_no_unix() -> None:
    subprocess.run([sys.executable, "-c", UNIX_ONLY], check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="it does nothing there")
def test_a_process_lives_as_long_as_its_parent_even_if_that_ended_before() -> None:
    done = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, timeout=50)
    assert done.returncode == 1 and done.stdout == "still here\n"


SPAWNS = """
import multiprocessing, time
from acenas.executors.parent import EndWithParent
if __name__ == "__mp_main__":  # as a script that imports much
    print(multiprocessing.current_process().pid, flush=True)
    time.sleep(60)
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=print, name=EndWithParent("other"))
    assert process.name == "other"
    process.start()
    process.join()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it does nothing there")
def test_a_process_that_is_spawned_ends_with_its_parent_while_it_imports_the_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SPAWNS)
    parent = subprocess.Popen([sys.executable, tmp_path / "script.py"], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_alive(child), 5)


SHELL = "sleep 60 & echo $! >> processes; echo $$ >> processes; wait"
SUPERVISES = f"""
import subprocess, sys
words = [sys.executable, "-I", "-S", {supervise!r}, "sh", "-c", {SHELL!r}]
process = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
print(process.pid, flush=True)
process.wait()
"""


def test_a_supervised_program_ends_with_who_started_it_and_what_it_started(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", SUPERVISES], cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    started, file = [int(parent.stdout.readline())], tmp_path / "processes"
    wait_until(lambda: file.exists() and file.read_text().count("\n") == 2)
    started += map(int, file.read_text().split())
    assert all(map(is_alive, started))
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not any(map(is_alive, started)), 5)


@pytest.mark.parametrize(("program", "status"), [("exit 3", 3), ("kill -TERM $$", -signal.SIGTERM)])
def test_a_supervised_program_ends_as_without(program: str, status: int) -> None:
    words = [sys.executable, "-I", "-S", supervise, "sh", "-c", f"cat; {program}"]
    start = time.monotonic()
    process = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
    assert process.wait() == status and time.monotonic() - start < 30
