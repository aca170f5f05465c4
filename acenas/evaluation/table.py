"""What a benchmark table knows: an evaluator of one observed column, and a judge of one test column."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from itertools import count, takewhile
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from acenas.errors import UserError
from acenas.evaluation.base import Evaluator, Judge, Observations, Result
from acenas.evaluation.curves import Curve, StopRule, finished, points_until_stop
from acenas.evaluation.objective import Objective
from acenas.tables.catalogue import find_table
from acenas.tables.schema import Accuracy, Other, TrainSeconds, check_percent, parse_column
from acenas.tables.table import BenchmarkTable, read_footer


class _TableColumn:
    """A column of a table, for an evaluator or a judge. Its values, and those of `alike`, are of the objective."""

    def __init__(
        self,
        path: str,
        space: str,
        column: str,
        objective: Objective | Mapping[str, Any] | None,
        seconds: str | None = None,
        alike: Sequence[str] = (),
    ) -> None:
        self.objective = objective if isinstance(objective, Objective) else Objective(**objective or {})
        columns = [column, *alike, *([] if seconds is None else [seconds])]
        self._table, self._column = (
            BenchmarkTable.open(find_table(path), space=space, columns=columns),
            column,
        )
        self._table.check()
        for name in (column, *alike):
            values = self._table.column(name)
            if np.isinf(values).any():
                raise UserError(f"{name} of {self}: a value is infinite; leave unknown values out")
            if self.objective.unit == "%":
                check_percent(f"{name} of {self._table.path}", values)

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

    It reads the columns `arch`, `observed`, `seconds` and `curve` of the file, and no other one: a search that holds
    this object cannot reach a test value through it.

    With `curve` its trainings report as they go: it shows the values after shorter lengths as points of one training.
    Where they are trainings of their own (NAS-Bench-101's, each with its own schedule of the learning rate), a search
    is told the costs of one that goes on. Where their schedules differ so much that they say another thing
    (NAS-Bench-201's 12 and 200 epochs), they are weak labels rather than a curve.

    Args:
        path: the table's file, or the name of a table at hand.
        space: the search space that the table must be of.
        observed: the observed column, such as `cifar10.valid.200`, or one of any name; a value that is missing in the
            latter is a training that failed.
        seconds: the column of training costs, such as `cifar10.train_seconds.200`, where the table has one.
        objective: what `observed` holds, or its attributes; values in % must lie between 0 and 100.
        curve: the columns of shorter trainings: a list such as `[cifar10.valid.4, cifar10.valid.12]`, by whose names
            their lengths are known; a pattern such as `cifar10.observed.*`, where `*` is the length, for all that the
            table has; or for names without a length a mapping from lengths, in which `observed` is the longest. Values
            that are missing are no points.
        repeats: the columns of further trainings of each architecture, such as `[cifar10.valid.200.s1]`; None for
            `<observed>.s1`, `<observed>.s2`, ..., as far as the table has these.

    Raises:
        UserError: as `BenchmarkTable.open`; where `observed` or one of `curve` is named as a test accuracy, or as
            something else than an accuracy, or one of `curve` is not shorter than `observed`; for values that are not
            of the objective.
    """

    resumable = True

    def __init__(
        self,
        path: str,
        space: str,
        observed: str,
        seconds: str | None = None,
        objective: Objective | Mapping[str, Any] | None = None,
        curve: str | Sequence[str] | Mapping[float, str] | None = None,
        repeats: Sequence[str] | None = None,
    ) -> None:
        _check_observed(observed, "the observed column is")
        if seconds is not None and not isinstance(parse_column(seconds), TrainSeconds | Other):
            raise UserError(
                f"the column of seconds is {seconds}; choose a column <dataset>.train_seconds.<epochs>"
            )
        lengths = {} if curve is None else _lengths(curve, observed, path, space)
        shorter = [column for column in lengths.values() if column != observed]
        self._trainings = [observed, *_further(repeats, observed, path, space)]
        super().__init__(path, space, observed, objective, seconds, [*shorter, *self._trainings[1:]])
        self.repeats = len(self._trainings)
        self.observed, self._seconds = observed, seconds
        self._shorter = {length: column for length, column in lengths.items() if column != observed}
        self.epochs = max(lengths) if self._shorter else None

    @override
    def repeated(self, number: int) -> Self:
        """Looks a further training up, of which nothing is known on the way."""
        if not number:
            return self
        other = copy(self)
        other._column, other.epochs, other._shorter = self._trainings[number], None, {}
        return other

    @override
    def results(self, archs: Sequence[str], rule: StopRule | None = None) -> Iterator[Result]:
        """Looks `archs` up, with their curves; where `rule` stops one, its seconds are a share of those in full."""
        for result in super().results(archs):
            if self.epochs is None or result.failure:
                yield result
                continue
            curve = self._curve(result)
            if end := points_until_stop(rule, result.arch, self.epochs, curve):
                length, value = curve[end - 1]
                seconds = result.seconds * length / self.epochs
                yield Result(result.arch, value, seconds, curve=curve[:end], stopped=True)
            else:
                yield Result(result.arch, result.value, result.seconds, curve=curve)

    def _curve(self, full: Result) -> Curve:
        assert self.epochs is not None
        (row,) = self._table.rows([full.arch])
        shown = {length: float(self._table.column(column)[row]) for length, column in self._shorter.items()}
        points = [(length, value) for length, value in sorted(shown.items()) if not math.isnan(value)]
        return finished(points, self.epochs, full.value)

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


def _check_observed(name: str, said: str) -> None:
    """Raises `UserError` where a search must not see a column, or it holds no accuracy; `said` before its name."""
    column, named = parse_column(name), f"{said} {name}"
    if isinstance(column, Accuracy) and column.split == "test":
        raise UserError(
            f"{named}, but test accuracies are for the report only; choose a column such as "
            f"{column.dataset}.valid.{column.epochs} or {column.dataset}.observed.{column.epochs}"
        )
    if isinstance(column, Other) and "test" in re.split(r"[._-]", name.lower()):
        raise UserError(
            f"{named}, but test values are for the report only; choose another column, or rename it where there is "
            "no other"
        )
    if not isinstance(column, Accuracy | Other):
        raise UserError(
            f"{named}, which holds no accuracy; choose a column such as <dataset>.valid.<epochs> or "
            "<dataset>.observed.<epochs>"
        )


def _further(repeats: Sequence[str] | None, observed: str, path: str, space: str) -> list[str]:
    """The columns of further trainings than the first; see `TableEvaluator`."""
    if repeats is None:
        columns = read_footer(find_table(path), space).columns
        return list(takewhile(columns.__contains__, (f"{observed}.s{seed}" for seed in count(1))))
    for name in repeats:
        _check_observed(name, "table.repeats names")
    return list(repeats)


def _lengths(
    curve: str | Sequence[str] | Mapping[float, str], observed: str, path: str, space: str
) -> dict[float, str]:
    """The columns of the lengths of a training, `observed` and those that are shorter; see `TableEvaluator`."""
    given = curve.values() if isinstance(curve, Mapping) else [curve] if isinstance(curve, str) else curve
    names = [str(name) for name in given]
    for name in names:
        _check_observed(name.replace("*", "1"), "table.curve names")
    if isinstance(curve, Mapping):
        patterns, found = [], {_length(length): name for length, name in zip(curve, names, strict=True)}
    else:
        patterns = [name for name in names if "*" in name]
        found = {_length_in(name): name for name in names if name not in patterns}
    columns = read_footer(find_table(path), space).columns if patterns else ()
    matching: dict[float, str] = {}
    for pattern in patterns:
        length_at = re.compile(re.escape(pattern).replace(r"\*", r"(\d+(?:\.\d+)?)"))
        matching |= {float(match[1]): name for name in columns if (match := length_at.fullmatch(name))}
    named = {column: length for length, column in (found | matching).items()}
    full = named[observed] if observed in named else _length_in(observed)
    found = {length: column for length, column in matching.items() if length < full} | found
    if longer := [column for length, column in found.items() if length >= full and column != observed]:
        raise UserError(
            f"table.curve names {longer[0]}, which is not shorter than the observed column {observed}, of {full:g} "
            "epochs; name shorter ones only"
        )
    return {**found, full: observed}


def _length_in(column: str) -> float:
    """The length that a column is named by."""
    parsed = parse_column(column)
    if not isinstance(parsed, Accuracy):
        raise UserError(
            f"table.curve: the name {column} tells no length; give lengths and columns, the observed one too, as in "
            "table.curve={4: loss_4, 108: loss_108}, or a pattern such as 'loss_*'"
        )
    return float(parsed.epochs)


def _length(given: object) -> float:
    with suppress(TypeError, ValueError):
        if 0 < (length := float(str(given))) < math.inf:
            return length
    raise UserError(
        f"table.curve: {given!r:.200} is no length; give numbers above 0, as in {{4: loss_4, 108: loss_108}}"
    )


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
