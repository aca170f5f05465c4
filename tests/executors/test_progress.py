import io

import pytest
from rich.console import Console

from acenas.executors.progress import show_progress


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_says_how_far_it_is(terminal: bool) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=120)
    passed_on = show_progress(iter(["a", "b", "c"]), 10, 7, console, "trained")
    assert list(passed_on) == ["a", "b", "c"]
    assert ("10/10" if terminal else "trained 10 of 10 architectures, 0 seconds left") in shown.getvalue()
