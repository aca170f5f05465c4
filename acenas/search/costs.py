"""The costs that a search knows of: upper limits that all keep, and those of its front, beside the objective."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.evaluation.costs import CostModel
from acenas.evaluation.objective import directions_of


class Costs:
    """Upper limits on costs, all of which an architecture must keep, and costs that a front has beside the objective.

    A cost may be both. What a search chooses among keeps the limits and has a known value of each cost of the front.

    Args:
        at_most: the highest value of each limited cost, by name.
        models: one cost model for each of these costs.
        front: the costs of the front, three at most: `min` or `max` for each by name, or names of costs to minimise.

    Raises:
        UserError: as `acenas.evaluation.objective.directions_of`.
        ValueError: where a cost has no model, or a model no use.
    """

    def __init__(
        self,
        at_most: Mapping[str, float] = {},
        models: Sequence[CostModel] = (),
        front: Mapping[str, str] | Sequence[str] = (),
    ) -> None:
        self.at_most = {name: float(limit) for name, limit in at_most.items()}
        self.front = directions_of(front)
        self.models = {model.name: model for model in models}
        if self.models.keys() != {*self.at_most, *self.front}:
            raise ValueError("there must be one cost model for each limit and each cost of the front")

    def __str__(self) -> str:
        return " and ".join(f"{name} <= {limit:g}" for name, limit in self.at_most.items())

    @property
    def origins(self) -> dict[str, str]:
        """For each cost where its figures come from, and how good they are."""
        return {name: model.origin for name, model in self.models.items()}

    @property
    def signs(self) -> NDArray[np.float64]:
        """`[m]`: 1 for each cost of the front that is minimised, else -1."""
        return np.array([1.0 if direction == "min" else -1.0 for direction in self.front.values()])

    def costs(self, archs: Sequence[str]) -> pd.DataFrame:
        """Returns all costs of `archs` (the index), a column for each; NaN where one is not known."""
        columns = {name: model.values(archs) for name, model in self.models.items()}
        return pd.DataFrame(columns, index=list(archs), dtype=np.float64)

    def of_front(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """Returns ``[A, m]``, the costs of the front, with signs so that lower is better; NaN where not known."""
        values = [self.models[name].values(archs) for name in self.front]
        return self.signs * np.array(values, np.float64).reshape(len(self.front), len(archs)).T

    def within(self, archs: Sequence[str]) -> NDArray[np.bool_]:
        """Returns ``[A]``, which of `archs` can be chosen: a cost that is not known is within nothing."""
        kept = np.ones(len(archs), np.bool_)
        for name, model in self.models.items():
            values = model.values(archs)
            kept &= np.isfinite(values) & (values <= self.at_most.get(name, np.inf))
        return kept

    def check(self, archs: Sequence[str], listed: Sequence[str]) -> None:
        """Warns of how many of `listed` lack a cost of the front.

        Args:
            archs: those of `listed` that can be chosen.
            listed: all architectures, or a sample of them.

        Raises:
            UserError: where none of `archs` is left, or a cost of the front says nothing of them.
        """
        of_all = dict(zip(self.front, self.of_front(listed).T, strict=True))
        for name, values in of_all.items():
            if not np.isfinite(values).any():
                raise UserError(f"search.front: {name} is not known of any of {len(listed):,} architectures")
        if not archs and self.models:
            raise self._nothing_left(listed)
        for name, values in zip(self.front, self.of_front(archs).T, strict=True):
            if len(values) > 1 and (values == values[0]).all():
                raise UserError(
                    f"search.front: {name} says nothing: all {len(values):,} architectures have the same "
                    f"{abs(values[0]):.6g}"
                )
        lacking = ~np.isfinite(list(of_all.values())).all(axis=0) if of_all else np.zeros(0)
        if count := int(lacking.sum()):
            warnings.warn(
                f"search.front: {count:,} of {len(listed):,} architectures are left out, as not all of "
                f"{', '.join(self.front)} are known of them",
                stacklevel=3,
            )

    def _nothing_left(self, archs: Sequence[str]) -> UserError:
        """The error that none of `archs` can be chosen, with the lowest costs."""
        if not self.at_most:
            return UserError(
                f"search.front: none of {len(archs):,} architectures has all of {', '.join(self.front)}"
            )
        least = self.costs(archs)[list(self.at_most)].min()
        named = ", ".join(f"{name} {value:.4g}" for name, value in least.items())
        return UserError(
            f"none of {len(archs):,} architectures has {self} (search.constraints); the least of each is {named}"
        )
