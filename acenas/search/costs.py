"""The costs that a search knows of: upper limits that all keep, and those of its front, beside the objective."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.evaluation.costs import CostModel
from acenas.evaluation.objective import as_number, directions_of
from acenas.spaces import SearchSpace
from acenas.spaces.features import OneHot


class Costs:
    """Upper limits on costs, all of which an architecture must keep, and costs that a front has beside the objective.

    A cost may be both. What a search chooses among keeps the limits, and has a known value of each cost of the front
    that has a model. Costs of the front without one are known after a training only: they are told with the objective.

    Args:
        at_most: the highest value of each limited cost, by name.
        models: one cost model for each limited cost, and for those of the front that are known before a training.
        front: the costs of the front, three at most: `min` or `max` for each by name, or names of costs to minimise.
        missing: of what lacks a cost of the front that others have: `leave_out` with a warning, or `error`.

    Attributes:
        observed: the costs of the front that are known after a training only.

    Raises:
        UserError: as `acenas.evaluation.objective.directions_of`, and for another word for `missing`.
        ValueError: where a limit has no model, or a model no use.
    """

    def __init__(
        self,
        at_most: Mapping[str, float] = {},
        models: Sequence[CostModel] = (),
        front: Mapping[str, str] | Sequence[str] = (),
        missing: str = "leave_out",
    ) -> None:
        if missing not in ("leave_out", "error"):
            raise UserError(f"search.missing_costs={missing}: choose leave_out or error")
        self.missing = missing
        self.at_most = {name: float(limit) for name, limit in at_most.items()}
        self.front = directions_of(front)
        self.models = {model.name: model for model in models}
        self.observed = [name for name in self.front if name not in self.models]
        if not set(self.at_most) <= self.models.keys() <= {*self.at_most, *self.front}:
            raise ValueError("there must be one cost model for each limit, and none for no cost")

    def __str__(self) -> str:
        return " and ".join(f"{name} <= {limit:g}" for name, limit in self.at_most.items())

    @property
    def origins(self) -> dict[str, str]:
        """For each cost where its figures come from, and how good they are."""
        after = dict.fromkeys(self.observed, "observed with each training")
        return {name: model.origin for name, model in self.models.items()} | after

    @property
    def signs(self) -> NDArray[np.float64]:
        """`[m]`: 1 for each cost of the front that is minimised, else -1."""
        return np.array([1.0 if direction == "min" else -1.0 for direction in self.front.values()])

    def costs(self, archs: Sequence[str]) -> pd.DataFrame:
        """Returns all costs of `archs` (the index) known before a training, a column for each; NaN where not known."""
        columns = {name: model.values(archs) for name, model in self.models.items()}
        return pd.DataFrame(columns, index=list(archs), dtype=np.float64)

    def with_observed(self, observations: pd.DataFrame) -> pd.DataFrame:
        """As `costs` of what was trained or given, with those known after a training only; rows as of a study."""
        return self.costs(observations["arch"].tolist()).assign(
            **{name: observations.reindex(columns=[name])[name].to_numpy() for name in self.observed}
        )

    def of_front(self, archs: Sequence[str]) -> NDArray[np.float64]:
        """Returns ``[A, m]``, the costs of the front, with signs so that lower is better; NaN where unknown before."""
        unknown = np.full(len(archs), np.nan)
        values = [
            unknown if name in self.observed else self.models[name].values(archs) for name in self.front
        ]
        return self.signs * np.array(values, np.float64).reshape(len(self.front), len(archs)).T

    def within(self, archs: Sequence[str]) -> NDArray[np.bool_]:
        """Returns ``[A]``, which of `archs` can be chosen: a cost that is not known is within nothing."""
        kept = np.ones(len(archs), np.bool_)
        for name, model in self.models.items():
            values = model.values(archs)
            kept &= np.isfinite(values) & (values <= self.at_most.get(name, np.inf))
        return kept

    def check(self, archs: Sequence[str], listed: Sequence[str]) -> None:
        """Warns of how many of `listed` lack a cost of the front, or refuses it.

        Args:
            archs: those of `listed` that can be chosen.
            listed: all architectures, or a sample of them.

        Raises:
            UserError: where none of `archs` is left, a cost of the front says nothing of them, or as `missing` says.
        """
        names = [name for name in self.front if name in self.models]
        of_all = self.costs(listed)[names]
        for name, values in of_all.items():
            if not np.isfinite(values).any():
                raise UserError(f"search.front: {name} is not known of any of {len(listed):,} architectures")
        if not archs and self.models:
            raise self._nothing_left(listed)
        for name, values in self.costs(archs)[names].items():
            if len(values) > 1 and values.nunique() == 1:
                raise UserError(
                    f"search.front: {name} says nothing: all {len(values):,} architectures have the same "
                    f"{values.iloc[0]:.6g}"
                )
        if count := int((~np.isfinite(of_all)).any(axis=1).sum()):
            lacking = f"of {count:,} of {len(listed):,} architectures not all of {', '.join(names)} are known"
            if self.missing == "error":
                raise UserError(
                    f"search.front: {lacking} (search.missing_costs=leave_out goes on without them)"
                )
            warnings.warn(f"search.front: {lacking}, so they are left out", stacklevel=3)

    def told(self, costs: Mapping[str, object], seconds: float) -> dict[str, float]:
        """The costs to keep of a training: those of the front that are known after it only.

        Args:
            costs: that were told with the objective; others are ignored.
            seconds: of the training, which may be one of them.

        Raises:
            UserError: where one is missing, or no number.
        """
        kept = {}
        for name in self.observed:
            value = seconds if name == "seconds" else as_number(costs.get(name, math.nan), name)
            if not math.isfinite(value):
                how = "seconds=..." if name == "seconds" else f"costs={{{name!r}: ...}}"
                raise UserError(
                    f"the front needs {name} of each training, a finite number: tell it, as in {how}"
                )
            kept[name] = value
        return kept

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


def predicted_costs(
    space: SearchSpace, trained: Sequence[str], observed: NDArray[np.float64], archs: Sequence[str]
) -> NDArray[np.float64]:
    """Predicts a cost that is known after a training only, by a Gaussian process on one-hot rows.

    Where all that was observed is positive, the process learns its logarithm.

    Args:
        space: of the architectures.
        trained: n architectures.
        observed: `[n]`, their costs, finite.
        archs: A others.

    Returns:
        `[A]`; all 0 where nothing was observed yet.
    """
    if not len(trained):
        return np.zeros(len(archs))
    # imports scikit-learn, which takes seconds
    from acenas.ranker.gaussian_process import most_likely_process

    features, graphs = OneHot(space.num_node_types), space.canonical_graphs(trained)
    features.fit(graphs)
    positive = bool((observed > 0).all())
    process = most_likely_process(features.rows(graphs), np.log(observed) if positive else observed)
    found: NDArray[np.float64] = process.predict(features.rows(space.canonical_graphs(archs)))
    return np.exp(found) if positive else found
