"""How far a run is, in a file of its folder that `python -m acenas.status` reads."""

import json
import time
from pathlib import Path
from typing import Any

from acenas.files import write_text
from acenas.report.runs import LOCK, STATUS


class RunStatus:
    """Tells in `status.json` of a run's folder how far the run is; written at most once a second.

    Args:
        folder: of the run.

    Attributes:
        facts: what was told so far: `stage`; `unit`, `done`, `total` and `seconds_left` of its work; `round`, `rounds`,
            `trained`, `failed`, `given`, `budget` and `best_observed_<objective>` of a search; `epochs`,
            `budget_epochs` and `stopped` of one with a budget of epochs; of a study `pending` and
            `is_done`, too; `time`, the Unix time of writing.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / STATUS
        self._in_run = (folder / LOCK).exists()
        self._written = 0.0
        self.facts: dict[str, Any] = {}

    def tell(self, *, now: bool = False, **facts: Any) -> None:
        """Adds facts. With `now` they are written whenever the last ones were."""
        self.facts |= facts
        if self._in_run and not (self._file.parent / LOCK).exists():
            raise FileNotFoundError(f"{self._file.parent} was removed")
        if now or time.monotonic() - self._written >= 1.0:
            self._written = time.monotonic()
            write_text(self._file, json.dumps(self.facts | {"time": time.time()}), durable=False)
