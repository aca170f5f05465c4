"""Adds weak labels to a benchmark table, such as those of a super-net that was trained after it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from acenas.errors import UserError
from acenas.tables.schema import ARCH, write_table
from acenas.tables.table import BenchmarkTable
from acenas.tables.weak_labels import WeakLabels


def join_weak_labels(
    table: BenchmarkTable, labels: WeakLabels, columns: Mapping[str, str], out: str | Path
) -> None:
    """Writes `table` with labels of its architectures, and their provenance, as further columns.

    Args:
        table: opened with all its columns.
        labels: of the same space; architectures that the table lacks are left out.
        columns: the name of a label in `labels`, and that of its column. A column of that name is replaced.
        out: the file to write; it may be the table's own.

    Raises:
        UserError: where the spaces differ, a label is not there, or none of the table's architectures has it.
    """
    if labels.space != table.metadata.space:
        raise UserError(
            f"the labels are of the space {labels.space}, the table {table.path} of {table.metadata.space}"
        )
    unknown = [name for name in columns if name not in labels.names]
    if unknown:
        raise UserError(f"there is no label {unknown[0]}; choose from {', '.join(labels.names)}")
    values = labels.values(table.archs)
    frame = {ARCH: table.arrow_column(ARCH)} | {name: table.arrow_column(name) for name in table.columns}
    provenance = dict(table.metadata.columns)
    for name, column in columns.items():
        of_label = values[:, labels.names.index(name)]
        if (of_label != of_label).all():
            raise UserError(f"no architecture of {table.path} has the label {name}")
        frame[column] = pa.array(of_label)
        provenance[column] = labels.provenance[name]
    write_table(pa.table(frame), out, replace(table.metadata, columns=provenance))
