"""The latency of architectures that were not measured, predicted from those that were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from typing_extensions import override

from acenas.errors import UserError
from acenas.evaluation.costs.models import CostModel
from acenas.spaces.base import SearchSpace
from acenas.spaces.features import Counts
from acenas.tables import BenchmarkTable, parse_column
from acenas.tables.schema import Latency

FOLDS = 10
LEAST_SAMPLES = 20


@dataclass(frozen=True)
class PredictionError:
    """The mean absolute error, in two units, and Kendall's tau on architectures that were held out of the fit."""

    samples: int
    milliseconds: float
    percent: float
    kendall: float

    def __str__(self) -> str:
        return (
            f"mean error {self.milliseconds:.3g} ms ({self.percent:.1f} %), Kendall {self.kendall:.3f}, "
            f"cross-validated on {self.samples} measured architectures"
        )


class LatencyPredictor(CostModel):
    """Ridge regression of the latency on `Counts`: the numbers of operations and of pairs of connected operations.

    A measured architecture keeps its latency. Architectures with the same canonical form have the latency of that;
    measure canonical forms, as `python -m acenas.latency` does.

    Args:
        space: space of the architectures.
        archs: n measured architectures.
        milliseconds: `[n]`, their latencies.
        name: `latency_ms.<device>`.

    Attributes:
        error: error of the predictions, from a 10-fold cross-validation.

    Raises:
        UserError: where fewer than 20 different ones were measured, or one of them is not of the space.
    """

    def __init__(
        self, space: SearchSpace, archs: Sequence[str], milliseconds: NDArray[np.float64], name: str
    ) -> None:
        self.name, self._space = name, space
        self._features = Counts(space.num_node_types)
        names = zip(archs, space.canonical_all(archs), milliseconds.tolist(), strict=True)
        # Of the architectures with one canonical form, the latter counts, if it was measured.
        ordered = sorted(names, key=lambda each: each[0] == each[1])
        self._measured = {canonical: value for _, canonical, value in ordered if np.isfinite(value)}
        if len(self._measured) < LEAST_SAMPLES:
            raise UserError(
                f"{name}: {len(self._measured)} different architectures were measured, and a predictor needs "
                f"{LEAST_SAMPLES}; measure more with python -m acenas.latency"
            )
        rows, values = self._rows(list(self._measured)), np.array(list(self._measured.values()))
        from sklearn.linear_model import RidgeCV  # slow, and most searches have no latencies
        from sklearn.model_selection import KFold, cross_val_predict

        model = RidgeCV(np.logspace(-3, 3, 25))
        held_out = cross_val_predict(model, rows, values, cv=KFold(FOLDS, shuffle=True, random_state=0))
        self._model = model.fit(rows, values)
        gap = np.abs(held_out - values)
        percent, kendall = float(100 * (gap / values).mean()), float(kendalltau(held_out, values).statistic)
        self.error = PredictionError(len(values), float(gap.mean()), percent, kendall)
        self.origin = f"predicted: {self.error}"

    @classmethod
    def from_file(cls, path: str | Path, space: SearchSpace, name: str) -> LatencyPredictor:
        """Fits a predictor to the column `<dataset>.<name>` of a table that `python -m acenas.latency` has made.

        Raises:
            UserError: where the file has no such column, or more than one, or as the class.
        """
        table = BenchmarkTable.open(path, space=space.name)
        columns = [column for column in table.columns if column.split(".", 1)[-1] == name]
        if len(columns) != 1:
            there = [column for column in table.columns if isinstance(parse_column(column), Latency)]
            raise UserError(
                f"{path}: {len(columns)} columns end in {name}, and one is needed; it has {', '.join(there) or 'none'}"
            )
        return cls(space, table.archs, table.column(columns[0]), name)

    @override
    def values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        canonical = self._space.canonical_all(archs)
        found = np.array([self._measured.get(arch, np.nan) for arch in canonical], np.float64)
        missing = np.flatnonzero(np.isnan(found))
        for part in np.split(missing, range(4096, len(missing), 4096)):
            if len(part):
                found[part] = self._model.predict(self._rows([canonical[i] for i in part.tolist()]))
        return found

    def _rows(self, canonical: Sequence[str]) -> NDArray[np.float64]:
        return self._features.rows(self._space.encode(canonical))
