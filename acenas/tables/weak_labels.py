"""Weak labels: cheap scores of architectures, and their provenance."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.tables.arrow import from_strings
from acenas.tables.schema import (
    ARCH,
    Accuracy,
    Flops,
    Other,
    Parameters,
    Provenance,
    TableMetadata,
    TrainSeconds,
    Weak,
    parse_column,
    write_table,
)
from acenas.tables.table import ArchIndex, BenchmarkTable

if TYPE_CHECKING:
    import pandas as pd

COUNTED_PROVENANCE = Provenance(images="none", weights="none", duration="none: counted from the architecture")
"""Provenance of FLOPs and parameters."""


COUNTED = re.compile(r"(?:([A-Za-z0-9_-]+)\.)?(params_m|macs_m|flops_m)")
"""The name of a cost that is counted on networks, in millions, with or without what they read."""


class WeakLabels:
    """A frame of architectures × named labels, in which values may be missing.

    A label costs no training of the architecture: a column `weak.<name>`, FLOPs, parameters, latency, or one whose name
    says nothing. Accuracies of trained architectures are refused: the observed ones belong to the budget, the test ones
    to the report.

    Args:
        space: the name of the search space.
        archs: ``A`` architectures, none of them twice.
        names: ``L`` names of labels, see `check_weak_label`.
        values: ``[A, L]``, NaN where a label is missing.
        provenance: for each label, on which images, with which weights and for how long it was measured.

    Raises:
        UserError: where a name is not one of a weak label, has no provenance or is there twice, or an architecture is,
            or a value is infinite.
        ValueError: where the shape of `values` does not fit.
    """

    def __init__(
        self,
        space: str,
        archs: Sequence[str],
        names: Sequence[str],
        values: NDArray[np.floating],
        provenance: Mapping[str, Provenance],
    ) -> None:
        for name in names:
            check_weak_label(name)
            if name not in provenance:
                raise UserError(f"weak label {name}: say in its provenance how it was measured")
        if len(set(names)) < len(names):
            raise UserError(f"a weak label is named twice in {', '.join(names)}; name each once")
        if values.shape != (len(archs), len(names)):
            raise ValueError(
                f"values of shape {values.shape} for {len(archs)} architectures × {len(names)} labels"
            )
        infinite = np.argwhere(np.isinf(values))
        if len(infinite):
            row, column = infinite[0]
            raise UserError(
                f"weak label {names[column]} is infinite for {archs[row]}; leave it out there, as NaN"
            )
        self.space = space
        self.archs = list(archs)
        self.names = list(names)
        self.provenance = {name: provenance[name] for name in names}
        self._values = np.array(values, dtype=np.float64)
        self._index = ArchIndex(pa.chunked_array([from_strings(self.archs)]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(space={self.space!r}, archs={len(self)}, names={self.names})"

    def __len__(self) -> int:
        return len(self.archs)

    @classmethod
    def from_table(
        cls, table: BenchmarkTable, names: Sequence[str], columns: Mapping[str, str] | None = None
    ) -> "WeakLabels":
        """Reads the columns `names` of a benchmark table.

        Args:
            table: the table.
            names: of the labels.
            columns: for a label the column that holds it under another name: `<dataset>.params_m` for `params_m`, and
                for `weak.<name>` validation accuracies of trainings so short that the query protocol does not count
                them in the budget.

        Raises:
            UserError: where a column is missing or is not one of a weak label, or a short training is not one.
        """
        kept_in = {name: (columns or {}).get(name, name) for name in names}
        for name, column in kept_in.items():
            check_weak_label(name)
            if column != name and not (COUNTED.fullmatch(name) and column.endswith(f".{name}")):
                _check_short_training(name, column)
        read = [table.column(column) for column in kept_in.values()]
        provenance = {
            name: table.metadata.columns.get(column, _default_provenance(column))
            for name, column in kept_in.items()
        }
        values = np.stack(read, axis=1) if read else np.zeros((len(table), 0))
        return cls(table.metadata.space, table.archs, names, values, provenance)

    def values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """Returns ``[A, L]`` float64: the labels of `archs`, in their order; NaN where one is missing."""
        rows = self._index.rows(archs)
        values = np.full((len(rows), len(self.names)), np.nan)
        values[rows >= 0] = self._values[rows[rows >= 0]]
        return values

    def beside(self, other: "WeakLabels") -> "WeakLabels":
        """Returns these labels followed by those of `other`, for the architectures of this frame.

        Raises `UserError` where both have a label of one name, and `ValueError` where they are of different spaces.
        """
        if self.space != other.space:
            raise ValueError(f"labels of {self.space} and of {other.space} do not go together")
        values = np.concatenate([self._values, other.values(self.archs)], axis=1)
        names, provenance = [*self.names, *other.names], {**self.provenance, **other.provenance}
        return WeakLabels(self.space, self.archs, names, values, provenance)

    def frame(self) -> "pd.DataFrame":
        """Returns the labels as a data frame of float64, indexed by architecture."""
        import pandas as pd

        return pd.DataFrame(self._values, index=pd.Index(self.archs, name=ARCH), columns=self.names)

    def save(self, path: str | Path) -> None:
        """Writes the labels as a benchmark table that holds nothing else, atomically and with checksums."""
        columns = {name: pa.array(self._values[:, i]) for i, name in enumerate(self.names)}
        table = pa.table({ARCH: from_strings(self.archs), **columns})
        write_table(table, path, TableMetadata(space=self.space, columns=self.provenance))

    @classmethod
    def load(cls, path: str | Path, *, space: str | None = None) -> "WeakLabels":
        """Reads what `save` wrote. Raises as `BenchmarkTable.open` and `from_table`."""
        table = BenchmarkTable.open(path, space=space)
        return cls.from_table(table, table.columns)


def check_weak_label(name: str) -> None:
    """Checks by its name that a column may be a weak label: all but the architectures and what trainings show.

    Raises:
        UserError: for accuracies and durations of trainings, and for a name outside the grammar with the word test.

    >>> check_weak_label("weak.synflow")
    >>> check_weak_label("cifar10.test.200")
    Traceback (most recent call last):
    acenas.errors.UserError: cifar10.test.200 is a test accuracy, which no search may see; choose weak labels ...
    """
    column = parse_column(name)
    better = "choose weak labels such as weak.<name>, <dataset>.flops_m or <dataset>.params_m"
    words = re.split(r"[._-]", name.lower()) if isinstance(column, Other) else name.split(".")
    if (isinstance(column, Accuracy) and column.split == "test") or "test" in words:
        raise UserError(f"{name} is a test accuracy, which no search may see; {better}")
    if isinstance(column, Accuracy):
        raise UserError(
            f"{name} is the accuracy of trained architectures, which a search must pay for from its budget; {better}"
        )
    if isinstance(column, TrainSeconds) or name == ARCH:
        raise UserError(f"{name} is not a weak label; {better}")


def _check_short_training(name: str, kept_in: str) -> None:
    column = parse_column(kept_in)
    if not isinstance(parse_column(name), Weak):
        raise UserError(f"{name}: call the accuracy of a short training weak.<name>, not like another column")
    if not isinstance(column, Accuracy) or column.split == "test":
        raise UserError(
            f"{name} is taken from {kept_in}, which is not a validation accuracy; choose a column such as "
            "<dataset>.valid.<epochs> of a short training"
        )


def _default_provenance(name: str) -> Provenance:
    match parse_column(name):
        case Flops() | Parameters():
            return COUNTED_PROVENANCE
        case Accuracy(dataset=dataset, epochs=epochs):
            duration = f"a training of {epochs} epochs, not in the budget"
            return Provenance(f"validation images of {dataset}", "its own", duration)
    return Provenance()
