"""What a benchmark table knows: an evaluator of one observed column, and a judge of one test column."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from acenas.errors import UserError
from acenas.evaluation.base import Evaluator, Judge, Observations
from acenas.evaluation.objective import Objective
from acenas.tables.catalogue import find_table
from acenas.tables.schema import Accuracy, Other, TrainSeconds, check_percent, parse_column
from acenas.tables.table import BenchmarkTable


class _TableColumn:
    """A column of a table, for an evaluator or a judge. Its values are finite and of the objective."""

    def __init__(
        self,
        path: str,
        space: str,
        column: str,
        objective: Objective | Mapping[str, Any] | None,
        seconds: str | None = None,
    ) -> None:
        self.objective = objective if isinstance(objective, Objective) else Objective(**objective or {})
        columns = [column] if seconds is None else [column, seconds]
        self._table, self._column = (
            BenchmarkTable.open(find_table(path), space=space, columns=columns),
            column,
        )
        self._table.check()
        values = self._table.column(column)
        if np.isinf(values).any():
            raise UserError(f"{self}: a value is infinite; leave unknown values out")
        if self.objective.unit == "%":
            check_percent(f"{column} of {self._table.path}", values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._table.path)!r}, {self._column!r})"

    def _values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """Returns ``[A]``; columns of accuracies must have all of them, others may lack some (NaN)."""
        if isinstance(parse_column(self._column), Accuracy):
            return self._table.lookup(archs, self._column)
        return self._table.column(self._column)[self._table.rows(archs)]

    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        """See `Evaluator.known` and `Judge.known`."""
        values, archs = self._table.column(self._column), self._table.archs
        rows = np.flatnonzero(~np.isnan(values))  # the column of one training seed may lack some
        return [archs[row] for row in rows.tolist()], values[rows]


class TableEvaluator(_TableColumn, Evaluator):
    """Looks up what training an architecture showed.

    It reads the columns `arch`, `observed` and `seconds` of the file, and no other one: a search that holds this object
    cannot reach a test value through it.

    Args:
        path: the table's file, or the name of a table at hand.
        space: the search space that the table must be of.
        observed: the observed column, such as `cifar10.valid.200`, or one of any name; a value that is missing in the
            latter is a training that failed.
        seconds: the column of training costs, such as `cifar10.train_seconds.200`, where the table has one.
        objective: what `observed` holds, or its attributes; values in % must lie between 0 and 100.

    Raises:
        UserError: as `BenchmarkTable.open`; where `observed` is named as a test accuracy, or as something else than an
            accuracy; for values that are not of the objective.
    """

    def __init__(
        self,
        path: str,
        space: str,
        observed: str,
        seconds: str | None = None,
        objective: Objective | Mapping[str, Any] | None = None,
    ) -> None:
        column, named = parse_column(observed), f"the observed column is {observed}"
        if isinstance(column, Accuracy) and column.split == "test":
            raise UserError(
                f"{named}, but test accuracies are for the report only; choose a column such as "
                f"{column.dataset}.valid.{column.epochs} or {column.dataset}.observed.{column.epochs}"
            )
        if isinstance(column, Other) and "test" in re.split(r"[._-]", observed.lower()):
            raise UserError(
                f"{named}, but test values are for the report only; choose another column, or rename it where there is "
                "no other"
            )
        if not isinstance(column, Accuracy | Other):
            raise UserError(
                f"{named}, which holds no accuracy; choose a column such as <dataset>.valid.<epochs> or "
                "<dataset>.observed.<epochs>"
            )
        if seconds is not None and not isinstance(parse_column(seconds), TrainSeconds | Other):
            raise UserError(
                f"the column of seconds is {seconds}; choose a column <dataset>.train_seconds.<epochs>"
            )
        super().__init__(path, space, observed, objective, seconds)
        self.observed, self._seconds = observed, seconds

    @override
    def evaluate(self, archs: Sequence[str]) -> Observations:
        """Looks `archs` up; unknown seconds are NaN. Raises `UserError` where one is not in the table."""
        values, seconds = self._values(archs), np.full(len(archs), np.nan)
        if self._seconds is not None:
            seconds = self._table.column(self._seconds)[self._table.rows(archs)]
        return Observations(list(archs), values, seconds)

    @override
    def archs(self) -> list[str]:
        return self._table.archs if isinstance(parse_column(self.observed), Other) else super().archs()


class TableJudge(_TableColumn, Judge):
    """Looks up test values. Only the report constructs one.

    Args:
        path: the table's file, or the name of a table at hand.
        space: the search space that the table must be of.
        test: the column to report, such as `cifar10.test.200`, or one of any name. A benchmark that has no test values
            may be judged by the observed ones; the report shows the column's name.
        objective: what `test` holds, or its attributes; values in % must lie between 0 and 100.

    Raises:
        UserError: as `BenchmarkTable.open`; where `test` is named as something else than an accuracy; for values that
            are not of the objective.
    """

    def __init__(
        self, path: str, space: str, test: str, objective: Objective | Mapping[str, Any] | None = None
    ) -> None:
        if not isinstance(parse_column(test), Accuracy | Other):
            raise UserError(
                f"the column to report is {test}, which holds no accuracy; choose one such as <dataset>.test.<epochs>"
            )
        super().__init__(path, space, test, objective)
        self.test = test

    @override
    def test_accuracy(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """Looks the test values of `archs` up. Raises `UserError` where one is not in the table."""
        return self._values(archs)
