"""What a training reports on its way, kept in its folder, so that a killed or stopped one can go on."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from acenas.errors import UserError
from acenas.evaluation.curves import Curve
from acenas.files import reading, write_text

CURVE = "curve.csv"
"""In the folder of an architecture: a row for each report, with the seconds of training until then."""

GoesOn = Callable[[Curve], bool]
"""Whether a training with this curve goes on."""


class Point(NamedTuple):
    """A report: after `epoch` epochs the objective is `value`; `seconds` of training until then, NaN where unknown."""

    epoch: float
    value: float
    seconds: float


def read_points(folder: Path, column: str = "value") -> list[Point]:
    """Returns the reports in the folder of a training, whose values are in `column`; none where there are none.

    Raises:
        UserError: where the file is damaged.
    """
    path = folder / CURVE
    if not path.exists():
        return []
    with reading(path, f"remove {folder} to train it again"):
        whole = path.read_text(encoding="utf-8").rpartition("\n")[0]  # without a line that a kill has cut off
        rows = csv.DictReader(whole.splitlines())
        return [
            Point(float(row["epoch"]), float(row[column]), float(row.get("seconds", "nan"))) for row in rows
        ]


class Reports:
    """Takes in the reports of a training that runs in this process, or is watched by it, and says whether it goes on.

    Args:
        folder: of the training; `curve.csv` in it grows with each report. None for nothing that is kept.
        epochs: of a full training.
        goes_on: is asked after each report.
        resumes: whether the training may go on from where an earlier process has left it. Then what was reported
            before stays, as far as it is not reported again.

    Attributes:
        points: all reports; those that come when the training is stopped already, too.
        stopped: whether it has to end.
    """

    def __init__(self, folder: Path | None, epochs: float, goes_on: GoesOn, resumes: bool = False) -> None:
        self.path = folder and folder / CURVE
        self.epochs = epochs
        self.points = read_points(folder) if folder and resumes else []
        self.stopped = False
        self._goes_on = goes_on
        self._started = False
        self._clock = time.monotonic()
        self._before = 0.0

    @property
    def curve(self) -> Curve:
        """All reports."""
        return [(epoch, value) for epoch, value, _ in self.points]

    @property
    def seconds(self) -> float:
        """Of training until now, those of the earlier processes that it goes on from included."""
        return self._before + time.monotonic() - self._clock

    def add(self, epoch: float, value: float) -> bool:
        """Takes in a report, and returns whether the training goes on.

        Raises:
            UserError: for an epoch that does not follow the last one, or is beyond a full training; for a value that is
                not finite.
        """
        if not 0 < epoch <= self.epochs:
            raise UserError(
                f"epoch {epoch:g} is reported, but a full training has {self.epochs:g} (evaluator.epochs), counted "
                "from 1"
            )
        if not math.isfinite(value):
            raise UserError(f"the objective is {value} after epoch {epoch:g}")
        if not self._started:
            self._start(epoch)
        elif epoch <= (last := self.points[-1].epoch):
            raise UserError(f"epoch {epoch:g} is reported after epoch {last:g}; report each once, in order")
        self.points.append(Point(epoch, value, self.seconds))
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(self.points[-1]))
        self.stopped = self.stopped or not self._goes_on(self.curve)
        return not self.stopped

    def _start(self, epoch: float) -> None:
        """Begins the file anew with the reports before `epoch`, where the training goes on."""
        self._started = True
        self.points = [point for point in self.points if point.epoch < epoch]
        if self.points:
            self._before = self.points[-1].seconds
        if self.path:
            write_text(self.path, ",".join(Point._fields) + "\n" + "".join(map(_line, self.points)))


def _line(point: Point) -> str:
    return ",".join(map(repr, point)) + "\n"
