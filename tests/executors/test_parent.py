import subprocess
import sys

import pytest

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
