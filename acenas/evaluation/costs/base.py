"""The costs of architectures, and which of them are within limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from acenas.errors import UserError


class CostModel(ABC):
    """Tells one kind of cost of any architecture of a space.

    Attributes:
        name: `params_m`, `macs_m` or `flops_m` (millions), or `latency_ms.<device>` (milliseconds).
        origin: where the figures come from and how good they are, for people.
    """

    name: str
    origin: str

    @abstractmethod
    def values(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """``[A]``, of `archs`, in their order; NaN where it is not known."""


class Limits:
    """Upper limits on costs, all of which an architecture must keep.

    Args:
        at_most: the highest value of each cost.
        models: tell the costs, one for each of `at_most`.
    """

    def __init__(self, at_most: Mapping[str, float], models: Sequence[CostModel]) -> None:
        if {model.name for model in models} != set(at_most):
            raise ValueError("there must be one cost model for each limit")
        self.at_most = dict(at_most)
        self.models = list(models)

    def __str__(self) -> str:
        return " and ".join(f"{name} <= {limit:g}" for name, limit in self.at_most.items())

    def costs(self, archs: Sequence[str]) -> pd.DataFrame:
        """The limited costs of `archs` (the index), a column for each."""
        columns = {model.name: model.values(archs) for model in self.models}
        return pd.DataFrame(columns, index=list(archs), dtype=np.float64)

    def within(self, archs: Sequence[str]) -> NDArray[np.bool_]:
        """``[A]``, which of `archs` keep all limits; one whose cost is not known does not."""
        kept = np.ones(len(archs), np.bool_)
        for model in self.models:
            kept &= model.values(archs) <= self.at_most[model.name]
        return kept

    def nothing_left(self, archs: Sequence[str]) -> UserError:
        """Says that none of `archs` keeps the limits, and what the least costs are."""
        least = ", ".join(f"{name} {value:.4g}" for name, value in self.costs(archs).min().items())
        return UserError(
            f"none of {len(archs):,} architectures has {self} (search.constraints); the least of each is {least}"
        )
