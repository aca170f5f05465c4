"""Accuracies from a benchmark table: an evaluator of one observed column, and a judge of one test column."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from acenas.errors import UserError
from acenas.evaluation.base import Evaluator, Judge, Observations
from acenas.tables.catalogue import find_table
from acenas.tables.schema import Accuracy, TrainSeconds, parse_column
from acenas.tables.table import BenchmarkTable


class TableEvaluator(Evaluator):
    """Looks observed accuracies up.

    It reads the columns `arch`, `observed` and `seconds` of the file, and no other one: a search that holds this object
    cannot reach a test accuracy through it.
    """

    def __init__(self, path: str, space: str, observed: str, seconds: str | None = None) -> None:
        """Opens the table and reads the columns.

        Args:
            path: the table's file, or the name of a table at hand.
            space: the search space that the table must be of.
            observed: the column of observed accuracies, such as `cifar10.valid.200`.
            seconds: the column of training costs, such as `cifar10.train_seconds.200`, where the table has one.

        Raises:
            UserError: as `BenchmarkTable.open`, where `observed` is not a complete column of validation or observed
                accuracies, or `seconds` not one of training costs.
        """
        column = parse_column(observed)
        if isinstance(column, Accuracy) and column.split == "test":
            raise UserError(
                f"the observed column is {observed}, but test accuracies are for the report only; choose a column "
                f"such as {column.dataset}.valid.{column.epochs} or {column.dataset}.observed.{column.epochs}"
            )
        if not isinstance(column, Accuracy):
            raise UserError(
                f"the observed column is {observed}, which holds no accuracy; choose a column such as "
                "<dataset>.valid.<epochs> or <dataset>.observed.<epochs>"
            )
        if seconds is not None and not isinstance(parse_column(seconds), TrainSeconds):
            raise UserError(
                f"the column of seconds is {seconds}; choose a column <dataset>.train_seconds.<epochs>"
            )
        self._table, self.observed, self._seconds = _open(path, space, observed, seconds), observed, seconds

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._table.path)!r}, observed={self.observed!r})"

    @override
    def evaluate(self, archs: Sequence[str]) -> Observations:
        """Looks `archs` up. The seconds are those of the training that the table records, or NaN.

        Raises:
            UserError: where an architecture is not in the table.
        """
        accuracy = self._table.lookup(archs, self.observed)
        if self._seconds is None:
            return Observations(list(archs), accuracy, np.full(len(archs), np.nan))
        seconds = self._table.column(self._seconds)[self._table.rows(archs)]
        return Observations(list(archs), accuracy, seconds)

    @override
    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        return _known(self._table, self.observed)


class TableJudge(Judge):
    """Looks up test accuracies. Only the report constructs one."""

    def __init__(self, path: str, space: str, test: str) -> None:
        """Opens the table and reads the columns `arch` and `test`.

        Args:
            path: the table's file, or the name of a table at hand.
            space: the search space that the table must be of.
            test: the column to report, such as `cifar10.test.200`. A benchmark that has no test accuracies may be
                judged by another column of accuracies; the report shows its name.

        Raises:
            UserError: as `BenchmarkTable.open`, or where `test` is not a complete column of accuracies.
        """
        if not isinstance(parse_column(test), Accuracy):
            raise UserError(
                f"the column to report is {test}, which holds no accuracy; choose one such as <dataset>.test.<epochs>"
            )
        self._table, self.test = _open(path, space, test), test

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._table.path)!r}, test={self.test!r})"

    @override
    def test_accuracy(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """Looks the test accuracies of `archs` up.

        Raises:
            UserError: where an architecture is not in the table.
        """
        return self._table.lookup(archs, self.test)

    @override
    def known(self) -> tuple[list[str], NDArray[np.float64]]:
        return _known(self._table, self.test)


def _open(path: str, space: str, *columns: str | None) -> BenchmarkTable:
    names = [name for name in columns if name is not None]
    table = BenchmarkTable.open(find_table(path), space=space, columns=names)
    table.check()
    return table


def _known(table: BenchmarkTable, column: str) -> tuple[list[str], NDArray[np.float64]]:
    values = table.column(column)
    rows = np.flatnonzero(~np.isnan(values))  # the column of one training seed may lack some
    archs = table.archs
    return [archs[row] for row in rows.tolist()], values[rows]
