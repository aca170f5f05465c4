"""Epochs: how many were paid after each training, on what, and the curves of the trainings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from acenas.search.events import stopped_ones

if TYPE_CHECKING:
    from acenas.report.summary import FinishedSearch

CURVES, POINTS = 1000, 24
"""Curves that a page has at most, and points of each."""


def paid(observations: pd.DataFrame) -> NDArray[np.float64] | None:
    """`[n]`: the epochs that were paid by the end of each training; None where nobody counts them."""
    if "epochs" not in observations:
        return None
    return np.cumsum(observations["epochs"].fillna(0.0).to_numpy(np.float64))


def epochs_summary(search: FinishedSearch) -> dict[str, Any]:
    """The part of `summary.json` on epochs: of the budget, paid, of a full training; how many were stopped."""
    spending, total = search.spending, paid(search.observations)
    if spending is None or total is None:
        return {}
    return {
        "epochs": {
            "budget": spending.budget,
            "paid": float(total[-1]),
            "full": float(spending.full),
            "stopped": int(stopped_ones(search.observations).sum()),
        }
    }


class Spent(NamedTuple):
    """What some trainings cost."""

    on: str
    trainings: int
    epochs: float


def where_spent(search: FinishedSearch) -> list[Spent]:
    """The epochs of trainings in full, of those that were stopped at each level, and of failed ones; none for none."""
    spending, observations = search.spending, search.observations
    if spending is None or "epochs" not in observations:
        return []
    stopped, failed = stopped_ones(observations), observations.index.isin(search.failed.index)
    level = observations["epochs"].map(spending.level).to_numpy()
    parts = {"trained in full": ~stopped & ~failed}
    for place, epochs in enumerate((0, *spending.levels)):
        name = (
            f"stopped at level {place}, from {epochs:.4g} epochs on" if place else "stopped before any level"
        )
        parts[name] = stopped & (level == place)
    parts["failed"] = failed
    return [
        Spent(name, int(rows.sum()), float(observations.loc[rows, "epochs"].sum()))
        for name, rows in parts.items()
        if rows.any()
    ]


class Ended(NamedTuple):
    """A training with its curve."""

    training: int
    """Its number, from 1."""
    arch: str
    state: str
    at: list[float]
    """Epochs, ascending."""
    values: list[float]


def curves_of(search: FinishedSearch, most: int = CURVES, points: int = POINTS) -> tuple[list[Ended], int]:
    """The curves of trainings that have reported on their way, in the order of the trainings.

    Of very many all that were trained in full come first, then every so many of the others; of a long one the first
    and last point and evenly many between them.

    Args:
        search: that is done.
        most: curves.
        points: of each.

    Returns:
        The curves, and how many are left out.
    """
    if search.spending is None or "state" not in search.observations:
        return [], 0
    frame = search.spending.curves.sort_values("epochs", kind="stable")
    by_arch = {str(arch): part for arch, part in frame.groupby("arch", sort=False) if len(part)}
    trials = search.observations.assign(n=range(1, len(search.observations) + 1))
    trials = trials[trials["arch"].isin(by_arch)].drop_duplicates("arch", keep="last")
    if not any(len(by_arch[arch]) > 1 for arch in trials["arch"]):
        return [], 0
    in_full, n = trials["state"] == "trained", trials["n"]
    full, others = n[in_full].to_numpy(), n[~in_full].to_numpy()
    kept = [*full[_evenly(len(full), most)], *others[_evenly(len(others), most - len(full))]]
    found = []
    for row in trials[trials["n"].isin(kept)].to_dict("records"):
        part = by_arch[row["arch"]]
        part = part.iloc[_evenly(len(part), points)]
        found.append(
            Ended(row["n"], row["arch"], row["state"], part["epochs"].tolist(), part["value"].tolist())
        )
    return found, len(trials) - len(found)


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    """So many of the places 0, 1, ..., `count` - 1, evenly, the first and the last included; all of few."""
    return np.unique(np.linspace(0, count - 1, max(0, min(count, most))).round().astype(np.int64))


def why_stopped(search: FinishedSearch, epochs: float) -> str:
    """When and by what a training was stopped, as in `stopped at 12 of 108 epochs by Belief, level 2 of 4`."""
    assert search.spending is not None
    spending = search.spending
    level = spending.level(epochs)
    where = f", level {level} of {len(spending.levels)}" if level else ""
    by = f" by {spending.rule}" if spending.rule else ""
    return f"stopped at {epochs:.5g} of {spending.full:.5g} epochs{by}{where}"
