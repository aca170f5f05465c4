"""What a user hands to a study, in any of its forms: weak labels, limits on costs, and what was trained elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from typing_extensions import override

from acenas.errors import UserError
from acenas.evaluation.costs import CostModel
from acenas.evaluation.labels import Source, weak_labels
from acenas.search.constraints import Limits
from acenas.spaces import SearchSpace
from acenas.spaces.cost import Cost
from acenas.spaces.custom import CustomSpace
from acenas.tables import WeakLabels
from acenas.tables.importers.own import read_rows

Labels = WeakLabels | Source | Sequence[Source]
"""Weak labels as they are, or what `acenas.evaluation.labels.weak_labels` makes them of: frames, functions, names of
what is counted on networks."""

LABELLED = 1000
"""Architectures that are labelled where labels are made: enough for a ranker to learn them, soon counted."""


def archs_of(space: SearchSpace, frame: pd.DataFrame) -> list[str]:
    """The architectures of the rows of `frame`: of its column or index `arch`, or of a column for each choice.

    Raises:
        UserError: where one is not of the space.
    """
    rows: Iterable[Any] = frame.to_dict("records")
    read: Callable[[Any], str] = space.from_choices
    if "arch" in frame.columns:
        rows, read = frame["arch"].astype(str), space.parse
    elif frame.index.name == "arch" or isinstance(next(iter(frame.index), None), str):
        rows, read = frame.index, space.parse
    archs = []
    for number, row in enumerate(rows):
        try:
            archs.append(read(row))
            space.validate(archs[-1])
        except UserError as error:
            raise UserError(f"row {number}: {error}") from None
    return archs


def read_frame(given: pd.DataFrame | str | Path) -> pd.DataFrame:
    """A frame, or that of a CSV or Parquet file. Raises `UserError` where it cannot be read."""
    if isinstance(given, pd.DataFrame):
        return given
    frame: pd.DataFrame = read_rows(Path(given)).to_pandas()
    return frame


def weak_labels_of(
    space: SearchSpace, archs: Sequence[str], given: Labels, folder: Path, seed: int = 0
) -> WeakLabels:
    """Weak labels as a `WeakLabels`; a sample of `archs` is labelled where they are not a frame.

    Raises:
        UserError: as `acenas.evaluation.labels.weak_labels`.
    """
    if isinstance(given, WeakLabels):
        return given
    if isinstance(given, pd.DataFrame):
        archs = archs_of(space, given)
    return weak_labels(space, archs, given, folder, seed=seed, limit=LABELLED)


class OwnCosts(CostModel):
    """Parameters and operations, counted on the networks of a space of the user's; each architecture once."""

    def __init__(self, space: SearchSpace, name: str, counted: dict[str, Cost]) -> None:
        self.name, self.origin = name, "counted on the network"
        self._space, self._counted = space, counted

    @override
    def values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        new = [arch for arch in dict.fromkeys(archs) if arch not in self._counted]
        assert isinstance(self._space, CustomSpace)
        self._counted.update(zip(new, self._space.costs(new), strict=True))
        return np.array([getattr(self._counted[arch], self.name) for arch in archs], np.float64)


class FrameCosts(CostModel):
    """Costs from a column of weak labels; NaN where an architecture has none."""

    def __init__(self, labels: WeakLabels, name: str) -> None:
        self.name, self.origin = name, "given"
        self._labels = labels
        self._column = _column(labels, name)

    @override
    def values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        return self._labels.values(archs)[:, self._column]


def _column(labels: WeakLabels, name: str) -> int:
    of_name = [i for i, each in enumerate(labels.names) if each == name or each.endswith(f".{name}")]
    return of_name[0] if of_name else -1


def cost_models(space: SearchSpace, names: Sequence[str], labels: WeakLabels | None) -> list[CostModel]:
    """A model of each cost: a column of `labels` where there is one, else counted on the networks of the space.

    Raises:
        UserError: where nothing tells a cost.
    """
    counted: dict[str, Cost] = {}
    models: list[CostModel] = []
    for name in names:
        if labels is not None and _column(labels, name) >= 0:
            models.append(FrameCosts(labels, name))
        elif name in Cost._fields and isinstance(space, CustomSpace):
            models.append(OwnCosts(space, name, counted))
        else:
            raise UserError(
                f"nothing tells the cost {name}; a space that builds networks counts {', '.join(Cost._fields)}, and "
                "others are given as a frame"
            )
    return models


def limits_of(
    space: SearchSpace, constraints: Mapping[str, float] | Limits | None, labels: WeakLabels | None
) -> Limits | None:
    """The limits of a study: as they are, or with a model for each cost; None where there are none."""
    if constraints is None or isinstance(constraints, Limits):
        return constraints
    if not constraints:
        return None
    return Limits(constraints, cost_models(space, list(constraints), labels))
