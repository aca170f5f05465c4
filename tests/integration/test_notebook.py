"""A search in a real Jupyter kernel: interrupted, it raises `KeyboardInterrupt`; the cell run again goes on."""

import threading
import time
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

PREPARE = """
import time, acenas
called = []
space = acenas.Choices({"width": [16, 32, 64], "depth": [1, 2, 3]})
def train(width, depth):
    called.append((width, depth))
    if len(called) == 2:
        open("second", "w").close()
        time.sleep(600)
    return width + depth
"""
SEARCH = """
study = acenas.search(space, train, 4, "lab", weak_labels=[])
study.report()
"""


@pytest.mark.slow
def test_a_cell_is_interrupted_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    cells = [nbformat.v4.new_code_cell(code) for code in (PREPARE, SEARCH, SEARCH, "print(len(called))")]
    client = nbclient.NotebookClient(
        nbformat.v4.new_notebook(cells=cells), timeout=300, resources={"metadata": {"path": str(tmp_path)}},
        interrupt_on_timeout=False, allow_errors=True,
    )  # fmt: skip

    def interrupt() -> None:
        while not (tmp_path / "second").exists():
            time.sleep(0.2)
        client.km._kernel.provisioner.process.send_signal(2) if hasattr(client.km, "_kernel") else (
            client.km.provisioner.process.send_signal(2)
        )

    threading.Thread(target=interrupt, daemon=True).start()
    done = client.execute()
    assert done.cells[1].outputs[-1]["ename"] == "KeyboardInterrupt"
    shown = "".join(str(output) for output in done.cells[2].outputs)
    assert "4 of 4: accuracy" in shown and "<caption>lab on a study" in shown
    assert done.cells[3].outputs[0]["text"] == "5\n", "the interrupted training again, and none that was told"
