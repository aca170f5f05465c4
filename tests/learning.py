"""Trainings whose curves rise to what their architecture is worth, on a small space of choices."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from acenas import Choices
from acenas.evaluation import Evaluator, Observations
from acenas.evaluation.base import Result
from acenas.evaluation.curves import StopRule
from acenas.ranker.baselines.regression import RandomForestRanker
from acenas.run.study import Study
from acenas.search import BestAndRandom, BudgetedSearch, run_study
from acenas.search.stopping import Halving

SPACE = Choices({f"layer{i}": ["a", "b", "c", "d"] for i in range(4)})
FULL = 27.0
AT = (1.0, 3.0, 9.0, 27.0)


def worth(arch: str) -> float:
    """What a full training shows, percent."""
    choices = SPACE.choices(arch)
    return 60 + sum("abcd".index(value) * (i + 1) for i, value in enumerate(choices.values()))


class Learning(Evaluator):
    """Shows a value after each of `AT` epochs: nearer and nearer to `worth`. One architecture fails on its way."""

    epochs = FULL

    def __init__(self, failing: str = "") -> None:
        self.failing = failing

    @override
    def results(self, archs: Sequence[str], rule: StopRule | None = None) -> Iterator[Result]:
        for arch in archs:
            curve: list[tuple[float, float]] = []
            for at in AT:
                curve.append((at, worth(arch) - 30 / at))
                stopped = rule is not None and at < FULL and not rule.goes_on(arch, curve)
                if stopped or (arch == self.failing and at > 1):
                    break
            failure = "diverged" if arch == self.failing else ""
            yield Result(arch, curve[-1][1], curve[-1][0], failure, {}, curve, stopped)

    @override
    def evaluate(self, archs: Sequence[str]) -> Observations:
        values = np.array([worth(arch) - 30 / FULL for arch in archs])
        return Observations(list(archs), values, np.full(len(archs), FULL))

    @override
    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        return [], np.zeros(0)


def options(full_trainings: float = 8) -> dict[str, Any]:
    """Of a study whose budget is that of so many full trainings; its rounds are random."""
    by_chance = BestAndRandom(best=0.0)
    return {
        "search": BudgetedSearch(per_round=2, growth=0, acquisition=by_chance, stopping=Halving()),
        "ranker": RandomForestRanker(SPACE, trees=20),
        "weak_labels": [],
        "epochs": FULL,
        "budget_epochs": full_trainings * FULL,
    }


def study(folder: Path, full_trainings: float = 8, failing: str = "", **changes: Any) -> Study:
    """A study with these `options`, told of everything."""
    opened = Study(SPACE, folder=folder, **{**options(full_trainings), **changes})
    run_study(opened, Learning(failing))
    return opened
