"""The front that a search found: its members, and how near it comes to the true one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from acenas.files import atomic_path, read_frame
from acenas.ranking.fronts import (
    Scale,
    first_of_fronts,
    found_share,
    hypervolume,
    igd_plus,
    knee,
    non_dominated,
)

if TYPE_CHECKING:
    from acenas.report.summary import FinishedSearch

FILE = "front.parquet"
"""In the folder of a run: the members of its front."""

CURVE = "front_curve.parquet"
"""In the folder of a run: how good its front was after each training."""

PREDICTED = "front_predicted.parquet"
"""In the folder of a run: what training each architecture would show, where the search predicts it."""

TRUE = "front_true.parquet"
"""In the folder of a run: the true front, where more is known than what was trained."""


def front_members(search: FinishedSearch) -> pd.DataFrame:
    """The members of the front that is returned, the cheapest first.

    Returns:
        `arch`, `observed_<objective>` and, where it is known, `test_<objective>`, the costs, and `knee`: whether the
        observed front bends most there (`acenas.ranking.fronts.knee`).
    """
    fronts = search.fronts
    archs = fronts.loc[fronts["trained"] == fronts["trained"].max(), "arch"].tolist()
    column = search.objective.column
    observed = pd.concat(
        [each.set_index("arch")[column] for each in (search.observations, search.given) if len(each)]
    )
    frame = pd.DataFrame({"arch": archs, column: observed.reindex(archs).to_numpy()})
    if search.test is not None:
        frame[search.test_column] = search.test.reindex(archs).to_numpy()
    frame = frame.join(search.costs[list(search.front)], on="arch")
    frame = frame.sort_values(list(search.front), ascending=_ascending(search), kind="stable")
    frame = frame.reset_index(drop=True)
    bend = (
        knee(_points(search, frame.set_index("arch")[column], search.costs).to_numpy()) if len(frame) else -1
    )
    return frame.assign(knee=frame.index == bend)


def write_front(folder: Path, search: FinishedSearch) -> None:
    """Writes members, curve, predictions and the true front into the folder: `FILE`, `CURVE`, `PREDICTED`, `TRUE`."""
    frames = {FILE: front_members(search), CURVE: search.front_curve}
    if len(search.predicted):
        frames[PREDICTED] = search.predicted
    if true := true_front(search):
        values = search.known_test.reindex(true).to_numpy()
        frame = pd.DataFrame({"arch": true, f"{search.kind}_{search.objective.name}": values})
        frames[TRUE] = frame.join(search.known_costs[list(search.front)], on="arch")
    for name, frame in frames.items():
        with atomic_path(folder / name) as path:
            frame.to_parquet(path, index=False)


def read_true_front(folder: Path, columns: Sequence[str]) -> pd.DataFrame:
    """These columns of the true front that a run knows; no rows where it knows none.

    Raises:
        UserError: where its file is damaged.
    """
    if not (folder / TRUE).exists():
        return pd.DataFrame(columns=list(columns), dtype=np.float64)
    frame: pd.DataFrame = read_frame(folder / TRUE, dict.fromkeys(columns, "numbers"))[list(columns)]
    return frame


def front_curve(search: FinishedSearch) -> pd.DataFrame:
    """How good the front is that a search returns which ends after so many trainings.

    Its values are test values where they are known, though it was chosen by what was observed.

    Returns:
        `trained`, and `hypervolume`, see `acenas.ranking.fronts`, on the scale of the true front where that is known,
        else of all that was trained. Where the true front is known also `hypervolume_share`, the hypervolume as a share
        of the true front's, `igd_plus`, and `found`, the share of the true front's points that were found.
    """
    known, scale = search.front_of_known
    true, rows = known.to_numpy(), []
    whole = hypervolume(true, scale)
    for trained in search.fronts["trained"].unique().tolist():
        members = search.fronts.loc[search.fronts["trained"] == trained, "arch"]
        points = _points(search, search.values.reindex(members).dropna(), search.costs).to_numpy()
        volume = hypervolume(points, scale)
        row = {"trained": trained, "hypervolume": volume}
        if len(true) and len(points):
            row["hypervolume_share"] = volume / whole
            row["igd_plus"] = igd_plus(points, true, scale)
            row["found"] = found_share(points, true)
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["trained", "hypervolume"])


def true_front(search: FinishedSearch) -> list[str]:
    """The architectures of the true front, the cheapest first; none where no more is known than what was trained."""
    points, _ = search.front_of_known
    costs = search.known_costs.reindex(index=points.index, columns=list(search.front))
    costs = costs.sort_values(list(search.front), ascending=_ascending(search), kind="stable")
    return [str(arch) for arch in costs.index]


def predicted(search: FinishedSearch) -> pd.DataFrame:
    """What is predicted of the architectures that were not trained: rows of `search.predicted` by architecture."""
    if search.predicted.empty:
        return pd.DataFrame()
    frame = search.predicted[~search.predicted["arch"].isin(search.trained_or_given)]
    return frame.set_index("arch")


def best_predicted(search: FinishedSearch, count: int) -> list[str]:
    """The `count` architectures of the best fronts of predicted values and costs, of those that were not trained."""
    frame = predicted(search)
    if frame.empty:
        return []
    costs = frame.iloc[:, -len(search.front) :].to_numpy(np.float64) * _signs(search)
    values = search.objective.utility(frame[f"predicted_{search.objective.name}"].to_numpy())
    found = first_of_fronts(np.column_stack([-values, costs]), count)
    return [str(arch) for arch in frame.index[found]]


def steps(
    costs: NDArray[np.floating], values: NDArray[np.floating], direction: str, sign: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The best value that there is for so much of a cost: the line that a front draws.

    Args:
        costs: `[n]`.
        values: `[n]`, of the objective; what lacks one of both is left out.
        direction: of the cost: `min` where less is better, else `max`.
        sign: 1 where a higher value is better, else -1.

    Returns:
        Costs `[n]` from the cheapest on, and `[n]` the best value of what is at least as cheap.

    >>> costs, best = steps(np.array([3.0, 1.0, 2.0]), np.array([7.0, 5.0, 4.0]), "min", 1)
    >>> costs.tolist(), best.tolist()
    ([1.0, 2.0, 3.0], [5.0, 5.0, 7.0])
    """
    known = np.isfinite(costs) & np.isfinite(values)
    costs, values = costs[known], values[known]
    order = np.lexsort([-sign * values, costs if direction == "min" else -costs])
    return costs[order], sign * np.maximum.accumulate(sign * values[order])


def attained(
    fronts: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]],
    at: NDArray[np.floating],
    direction: str,
    sign: int,
) -> NDArray[np.float64]:
    """What fronts of several seeds reach at each cost: the median of the best value, and its quartiles.

    A median of values that are there is taken (of two the worse), so that it is what half of the seeds reach at least
    (Grunert da Fonseca, Fonseca and Hall, "Inferential performance assessment of stochastic optimisers and the
    attainment function", EMO 2001).

    Args:
        fronts: costs and values of the members of each, as `steps` takes them.
        at: `[C]`, costs.
        direction: of the cost.
        sign: 1 where a higher value is better, else -1.

    Returns:
        `[3, C]`: the median, the worse and the better quartile; NaN where too few seeds have anything so cheap.
    """
    reached = np.full((len(fronts), len(at)), -np.inf)
    for row, (costs, values) in zip(reached, fronts, strict=True):
        there, best = steps(costs, values, direction, sign)
        cheap, wanted = (there, at) if direction == "min" else (-there, -at)
        place = np.searchsorted(cheap, wanted, side="right")
        row[place > 0] = sign * best[place[place > 0] - 1]
    found: NDArray[np.float64] = np.quantile(reached, [0.5, 0.25, 0.75], axis=0, method="inverted_cdf")
    return np.where(np.isfinite(found), sign * found, np.nan)


def front_metrics(search: FinishedSearch) -> list[dict[str, float]]:
    """The rows of `front_curve` at the ends of rounds, named as they are logged; `front/trained` is the step."""
    ends = search.observations.groupby("round").size().cumsum()
    curve = search.front_curve.set_index("trained")
    # A round may end with a training that was stopped early, and before anything worked there is no front.
    rows = (
        curve.reindex(ends, method="ffill")
        .dropna(how="all")
        .rename_axis("trained")
        .reset_index()
        .to_dict("records")
    )
    return [{f"front/{name}": float(value) for name, value in row.items()} for row in rows]


def front_summary(search: FinishedSearch) -> dict[str, Any]:
    """The part of `summary.json` on the front: costs, reference point, metrics, members, and which is at its knee."""
    members = front_members(search)
    _, scale = search.front_of_known
    signs = np.array([-search.objective.sign, *_signs(search)])
    last = front_metrics(search)[-1:]
    metrics = {name.removeprefix("front/"): value for row in last for name, value in row.items()}
    names = list(search.front)
    return {
        "costs": dict(search.front),
        "reference_point": dict(
            zip([search.objective.name, *names], (signs * scale.reference).tolist(), strict=True)
        ),
        **{name: metrics.get(name) for name in ("hypervolume", "hypervolume_share", "igd_plus", "found")},
        "members": [
            {name: value for name, value in row.items() if name not in names}
            | {"costs": {name: row[name] for name in names}}
            for row in members.to_dict("records")
        ],
        "knee": int(members["knee"].argmax()) if len(members) else None,
    }


def front_of_known(search: FinishedSearch) -> tuple[pd.DataFrame, Scale]:
    """The true front where more is known than what was trained: its points, `[n, 1 + m]`, by architecture.

    Returns:
        The points, none where no more is known; and the scale of all that is known, or else of what was trained.
    """
    known = search.known_test.dropna()
    known = known[known.index.isin(search.known_costs.index)]
    if known.index.isin(search.trained_or_given).all():
        trained = search.values.reindex(search.trained_or_given).dropna()
        points = _points(search, trained, search.costs)
        return points[:0], Scale.of(points.to_numpy())
    points = _points(search, known, search.known_costs)
    return points[non_dominated(points.to_numpy())], Scale.of(points.to_numpy())


def _points(search: FinishedSearch, values: pd.Series[float], costs: pd.DataFrame) -> pd.DataFrame:
    """`[n, 1 + m]`: the objective and the costs of architectures, lower is better; those that lack one are left out."""
    points = costs[list(search.front)].reindex(values.index).astype(np.float64) * _signs(search)
    points.insert(0, "", -search.objective.utility(values.to_numpy()))
    found: pd.DataFrame = points[np.isfinite(points.to_numpy()).all(axis=1)]
    return found


def _signs(search: FinishedSearch) -> NDArray[np.float64]:
    return np.where(_ascending(search), 1.0, -1.0)


def _ascending(search: FinishedSearch) -> list[bool]:
    return [direction == "min" for direction in search.front.values()]
