"""Fronts of several values of which lower is better: which points are on them, how good they are, where they bend.

The conventions are the same everywhere: points are `[n, d]`, finite, a row for each; lower is better in each column. A
point dominates another where it is at least as good in all columns, and better in one. The indicators are those of
`moocore`, on points that a `Scale` maps so that the best of the front is 0 and its worst 1 in each column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

REFERENCE = 1.1
"""Each coordinate of the reference point of the hypervolume, on the scale of a front: a tenth of its range beyond its
worst, so that the points at its ends count (Ishibuchi et al., Evolutionary Computation 26(3), 2018)."""


def non_dominated(points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """`[n]`: which points no other one dominates; of equals the first."""
    if not len(points):
        return np.zeros(0, np.bool_)
    found: NDArray[np.bool_] = moocore.is_nondominated(points)
    return found


def sorted_fronts(points: NDArray[np.floating]) -> Iterator[NDArray[np.int64]]:
    """Yields the positions of the points of each front, the best first (non-dominated sorting, Deb et al., 2002).

    The first front is what nothing dominates, the second what nothing else of the rest dominates, and so on. Equal
    points are in one front.
    """
    left = np.arange(len(points))
    while len(left):
        front = moocore.is_nondominated(points[left], keep_weakly=True)
        yield left[front]
        left = left[~front]


def crowding_distance(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """`[n]`: how far apart the neighbours of each point of a front are, in parts of its range, summed over the columns.

    Infinite at the ends of each column (Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II",
    IEEE Transactions on Evolutionary Computation 6(2), 2002).
    """
    distance = np.zeros(len(points))
    for column in np.asarray(points, np.float64).T if len(points) else ():
        order = np.argsort(column, kind="stable")
        gaps = np.diff(column[order])
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += (gaps[1:] + gaps[:-1]) / (gaps.sum() or 1)
    return distance


def first_of_fronts(points: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """The positions of the `count` best points: front by front, those with the largest crowding distance first."""
    chosen: list[int] = []
    for front in sorted_fronts(points):
        if len(chosen) >= count:
            break
        chosen += front[np.argsort(-crowding_distance(points[front]), kind="stable")].tolist()
    return np.array(chosen[:count], np.int64)


@dataclass(frozen=True, eq=False)
class Scale:
    """Maps the ideal point of a front to 0, and its nadir point to 1 in each column.

    Attributes:
        ideal: `[d]`, the best value of the front in each column.
        nadir: `[d]`, its worst.
    """

    ideal: NDArray[np.float64]
    nadir: NDArray[np.float64]

    @classmethod
    def of(cls, points: NDArray[np.floating]) -> Scale:
        """That of the front of one or more points.

        In a column in which all of the front are alike, such as where it is one point, the worst of all points stands
        for the nadir; where all points are alike, the ideal plus 1.
        """
        front = points[non_dominated(points)].astype(np.float64)
        ideal, nadir = front.min(axis=0), front.max(axis=0)
        nadir = np.where(nadir > ideal, nadir, points.max(axis=0))
        return cls(ideal, np.where(nadir > ideal, nadir, ideal + 1))

    def __call__(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """`[n, d]`, the points on the scale."""
        return (points - self.ideal) / (self.nadir - self.ideal)

    @property
    def reference(self) -> NDArray[np.float64]:
        """`[d]`: the reference point of the hypervolume, in the units of the points."""
        return self.ideal + REFERENCE * (self.nadir - self.ideal)


def hypervolume(points: NDArray[np.floating], scale: Scale) -> float:
    """What the points dominate of the box between the ideal and the reference point: from 0 to 1, higher is better.

    Points that are better than the ideal, as where a scale is of other points, may make it larger (Zitzler and Thiele,
    "Multiobjective optimization using evolutionary algorithms", PPSN 1998).

    >>> points = np.array([[0.0, 10.0], [5.0, 0.0]])
    >>> round(hypervolume(points, Scale.of(points)), 4)  # (1.1 x 1.1 - 1) / (1.1 x 1.1)
    0.1736
    """
    if not len(points):
        return 0.0
    box: float = REFERENCE ** points.shape[1]
    return float(moocore.hypervolume(scale(points), ref=REFERENCE)) / box


def igd_plus(points: NDArray[np.floating], front: NDArray[np.floating], scale: Scale) -> float:
    """How much worse the points are than the true front, on the scale: the mean over that; lower is better.

    For each point of the front it is the least distance to a point found, to which only the columns count in which the
    found one is worse (Ishibuchi et al., "Modified distance calculation in generational distance and inverted
    generational distance", EMO 2015). Infinite where no point was found.

    >>> front = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> igd_plus(np.array([[1.0, 0.0]]), front, Scale.of(front))  # 1 worse than the first, as good as the second
    0.5
    """
    return float(moocore.igd_plus(scale(points), ref=scale(front))) if len(points) else float("inf")


def found_share(points: NDArray[np.floating], front: NDArray[np.floating]) -> float:
    """The share of the true front's points that are among the points, from 0 to 1."""
    there = set(map(tuple, points.tolist()))
    return float(np.mean([tuple(row) in there for row in front.tolist()]))


def knee(front: NDArray[np.floating]) -> int:
    """The position of the point at which a front bends most: less of one value costs much of another from there on.

    It is the point farthest, towards the ideal, from the line through the ends of the front, both on the front's own
    scale (Das, "On characterizing the 'knee' of the Pareto curve based on normal-boundary intersection", Structural
    Optimization 18, 1999). With more than two columns, it is the plane through the points that are at the nadir in one
    column and at the ideal in the others. Of equals the first.

    >>> knee(np.array([[0.0, 10.0], [1.0, 2.0], [5.0, 1.0], [9.0, 0.0]]))
    1
    """
    return int(np.argmin(Scale.of(front)(front).sum(axis=1)))  # the plane's normal is (1, ..., 1)
