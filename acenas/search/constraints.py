"""The constraints of a search: upper limits on the costs of architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.evaluation.costs import CostModel


class Limits:
    """Upper limits on costs, all of which an architecture must keep; false where there are none.

    Args:
        at_most: the highest value of each cost, by name.
        models: one cost model for each of `at_most`.

    Raises:
        ValueError: where a limit has no model, or a model no limit.
    """

    def __init__(self, at_most: Mapping[str, float] = {}, models: Sequence[CostModel] = ()) -> None:
        if {model.name for model in models} != set(at_most):
            raise ValueError("there must be one cost model for each limit")
        self.at_most = {name: float(limit) for name, limit in at_most.items()}
        self.models = list(models)

    def __bool__(self) -> bool:
        return bool(self.at_most)

    def __str__(self) -> str:
        return " and ".join(f"{name} <= {limit:g}" for name, limit in self.at_most.items())

    @property
    def origins(self) -> dict[str, str]:
        """For each cost where its figures come from, and how good they are."""
        return {model.name: model.origin for model in self.models}

    def costs(self, archs: Sequence[str]) -> pd.DataFrame:
        """Returns the limited costs of `archs` (the index), a column for each."""
        columns = {model.name: model.values(archs) for model in self.models}
        return pd.DataFrame(columns, index=list(archs), dtype=np.float64)

    def within(self, archs: Sequence[str]) -> NDArray[np.bool_]:
        """Returns ``[A]``, which of `archs` keep all limits; one whose cost is not known does not."""
        kept = np.ones(len(archs), np.bool_)
        for model in self.models:
            kept &= model.values(archs) <= self.at_most[model.name]
        return kept

    def nothing_left(self, archs: Sequence[str]) -> UserError:
        """Returns the error that none of `archs` keeps the limits, with the lowest costs."""
        least = ", ".join(f"{name} {value:.4g}" for name, value in self.costs(archs).min().items())
        return UserError(
            f"none of {len(archs):,} architectures has {self} (search.constraints); the least of each is {least}"
        )
