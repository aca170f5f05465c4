"""What a user hands to a study, in any of its forms: weak labels, costs, and what was trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from typing_extensions import override

from acenas.errors import SLIP, UserError, near
from acenas.evaluation.costs import CostModel
from acenas.evaluation.labels import Source, weak_labels
from acenas.evaluation.objective import directions_of
from acenas.search.costs import Costs
from acenas.search.earlier import earlier_ranking
from acenas.spaces import SearchSpace
from acenas.spaces.cost import Cost
from acenas.spaces.custom import CustomSpace
from acenas.tables import WeakLabels
from acenas.tables.importers.own import read_rows

Labels = WeakLabels | Source | Path | Sequence[Source | Path]
"""Weak labels as they are, or what `acenas.evaluation.labels.weak_labels` makes them of: frames, functions, names of
what is counted on networks; and folders of earlier studies of the same space, see `earlier_ranking`."""

LABELLED = 1000
"""Architectures that are labelled where labels are made: enough for a ranker to learn them, soon counted."""


def frame_of(given: pd.DataFrame | str | Path, arch: str = "arch") -> pd.DataFrame:
    """A frame, or that of a CSV or Parquet file. Raises `UserError` where it cannot be read.

    Args:
        given: the frame or the file.
        arch: the column of architectures. It is read as text: one of digits keeps its leading zeros.
    """
    if isinstance(given, pd.DataFrame):
        return given
    frame: pd.DataFrame = read_rows(Path(given), [arch]).to_pandas()
    return frame


def weak_labels_of(
    space: SearchSpace, archs: Sequence[str], given: Labels, folder: Path, seed: int = 0
) -> WeakLabels:
    """Weak labels as a `WeakLabels`; a sample of `archs` is labelled where they are not a frame.

    Raises:
        UserError: as `acenas.evaluation.labels.weak_labels` and `earlier_ranking`.
    """
    if isinstance(given, WeakLabels):
        return given
    if isinstance(given, Path):
        return earlier_ranking(given, space)
    if isinstance(given, pd.DataFrame):
        archs = space.read_frame(given)
    several = [given] if isinstance(given, str | Mapping | pd.DataFrame) or callable(given) else given
    sources = [earlier_ranking(each, space).frame() if isinstance(each, Path) else each for each in several]
    return weak_labels(space, archs, sources, folder, seed=seed, limit=LABELLED)


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
            there = told_before(space, labels)
            raise UserError(
                f"nothing tells the cost {name}{near(name, there)}; there are {', '.join(there) or 'none'}, and others "
                "are given as a frame of weak labels"
            )
    return models


def costs_of(
    space: SearchSpace,
    constraints: Mapping[str, float] | Costs | None,
    front: Mapping[str, str] | Sequence[str] | None,
    labels: WeakLabels | None,
    missing: str,
) -> Costs:
    """The limits and the front of a study: as they are, or with a model for each cost."""
    if isinstance(constraints, Costs):
        return constraints
    limits, directions = constraints or {}, directions_of(front or ())
    there = told_before(space, labels)
    # What nothing tells before a training is told after it, unless it is but a slip of the pen.
    after = {name for name in directions if name not in limits and not _tells(name, there)}
    after = {name for name in after if not near(name, there, SLIP)}
    names = [name for name in {**limits, **directions} if name not in after]
    return Costs(limits, cost_models(space, names, labels), directions, missing)


def told_before(space: SearchSpace, labels: WeakLabels | None) -> list[str]:
    """The costs that are known before a training."""
    named = [name.removeprefix("weak.") for name in (labels.names if labels is not None else [])]
    return [*named, *(Cost._fields if isinstance(space, CustomSpace) else [])]


def _tells(name: str, there: Sequence[str]) -> bool:
    return any(each == name or each.endswith(f".{name}") for each in there)
