"""Fronts against plain loops, inclusion and exclusion, and drawing at random."""

import itertools
import math

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from acenas.ranking.fronts import (
    REFERENCE,
    Scale,
    crowding_distance,
    first_of_fronts,
    found_share,
    hypervolume,
    igd_plus,
    knee,
    non_dominated,
    sorted_fronts,
)

Points = np.ndarray


def of_columns(columns: int) -> st.SearchStrategy[Points]:
    """Few distinct values, so that ties and equal points are the rule."""
    rows = st.integers(1, 8)
    return rows.flatmap(lambda n: arrays(np.float64, (n, columns), elements=st.integers(0, 4).map(float)))


points_of_any = st.integers(1, 4).flatmap(of_columns)
unit = Scale(np.zeros(2), np.ones(2))


def dominates(one: Points, other: Points) -> bool:
    return bool((one <= other).all() and (one < other).any())


def plain_front(points: Points) -> list[bool]:
    return [
        not any(dominates(other, row) or (j < i and (other == row).all()) for j, other in enumerate(points))
        for i, row in enumerate(points)
    ]


def by_inclusion_and_exclusion(points: Points, reference: float) -> float:
    """The volume of the union of the boxes between each point and the reference point."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in itertools.combinations(points, size):
            total -= (-1) ** size * math.prod(np.maximum(reference - np.max(some, axis=0), 0))
    return total


@given(points_of_any)
def test_nothing_dominates_what_is_on_the_front(points: Points) -> None:
    assert non_dominated(points).tolist() == plain_front(points)


def test_nothing_has_no_front() -> None:
    nothing = np.zeros((0, 2))
    assert non_dominated(nothing).shape == (0,)
    assert list(sorted_fronts(nothing)) == []
    assert first_of_fronts(nothing, 3).shape == crowding_distance(nothing).shape == (0,)
    assert hypervolume(nothing, unit) == 0
    assert igd_plus(nothing, np.zeros((1, 2)), unit) == math.inf


@given(points_of_any)
def test_fronts_are_sorted_as_by_their_ranks(points: Points) -> None:
    ranks = np.full(len(points), -1)
    for rank, front in enumerate(sorted_fronts(points)):
        ranks[front] = rank
    np.testing.assert_array_equal(ranks, moocore.pareto_rank(points))


@given(points_of_any, st.integers(0, 10))
def test_the_first_of_fronts_are_of_the_best_fronts(points: Points, count: int) -> None:
    first = first_of_fronts(points, count)
    assert len(set(first.tolist())) == len(first) == min(count, len(points))
    ranks = moocore.pareto_rank(points)
    assert sorted(ranks)[: len(first)] == ranks[first].tolist(), "front by front"
    for rank in set(ranks[first].tolist()):
        of_front = crowding_distance(points[ranks == rank])
        chosen = of_front[np.isin(np.flatnonzero(ranks == rank), first)]
        assert sorted(chosen) == sorted(of_front)[len(of_front) - len(chosen) :], "the least crowded"


def test_crowding_is_what_the_paper_says() -> None:
    points = np.array([[0.0, 8.0], [1.0, 4.0], [3.0, 2.0], [4.0, 0.0]])
    expected = [math.inf, 3 / 4 + 6 / 8, 3 / 4 + 4 / 8, math.inf]
    assert crowding_distance(points).tolist() == expected
    assert crowding_distance(points[[2, 0, 3, 1]]).tolist() == [expected[i] for i in (2, 0, 3, 1)]
    assert crowding_distance(np.ones((3, 2))).tolist() == [math.inf, 0, math.inf], "all alike"


@given(st.integers(1, 3).flatmap(of_columns))
@settings(deadline=None)
def test_the_hypervolume_is_that_of_inclusion_and_exclusion(points: Points) -> None:
    scale = Scale.of(points)
    expected = by_inclusion_and_exclusion(scale(points), REFERENCE) / REFERENCE ** points.shape[1]
    assert hypervolume(points, scale) == pytest.approx(expected, abs=1e-9)


def test_the_hypervolume_of_four_columns_is_the_share_of_random_points() -> None:
    generator = np.random.default_rng(0)
    points = generator.random((20, 4)) ** 2 * [1, 100, 1e-3, 7]
    scale = Scale.of(points)
    drawn = generator.random((100_000, 4)) * REFERENCE
    share = (scale(points)[:, None] <= drawn[None]).all(axis=2).any(axis=0).mean()
    assert hypervolume(points, scale) == pytest.approx(share, abs=4 * 0.5 / 100_000**0.5)


@given(of_columns(2), of_columns(2))
def test_igd_plus_is_that_of_plain_loops(points: Points, others: Points) -> None:
    front = others[non_dominated(others)]
    scale = Scale.of(front)
    expected = np.mean(
        [min(np.linalg.norm(np.maximum(row - goal, 0)) for row in scale(points)) for goal in scale(front)]
    )
    assert igd_plus(points, front, scale) == pytest.approx(expected)


@given(points_of_any, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_neither_the_order_nor_dominated_points_change_anything(points: Points, random: object) -> None:
    order = np.array(random.sample(range(len(points)), len(points)))  # type: ignore[attr-defined]
    scale, front = Scale.of(points), points[non_dominated(points)]
    for same in (points[order], front, np.concatenate([points, front + 1])):
        assert hypervolume(same, scale) == pytest.approx(hypervolume(points, scale))
        assert igd_plus(same, front, scale) == pytest.approx(0)
        assert found_share(same, front) == 1
    shuffled = points[order]
    shuffled = shuffled[non_dominated(shuffled)]
    assert sorted(map(tuple, shuffled)) == sorted(map(tuple, front))
    depths = Scale.of(front)(front).sum(axis=1)
    assert depths[knee(front)] == pytest.approx(Scale.of(shuffled)(shuffled)[knee(shuffled)].sum())


@given(points_of_any)
def test_the_true_front_has_all_that_can_be_had(points: Points) -> None:
    front = points[non_dominated(points)]
    scale = Scale.of(points)
    assert 0 < hypervolume(front, scale) <= 1 + 1e-9
    for kept in range(len(front)):
        fewer = np.delete(front, kept, axis=0)
        assert hypervolume(fewer, scale) < hypervolume(front, scale), (
            "each point counts, those at the ends too"
        )
        assert found_share(fewer, front) == pytest.approx(1 - 1 / len(front))


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_one_point_and_points_that_are_all_alike_are_a_front(columns: int) -> None:
    for points in (np.full((1, columns), 3.0), np.full((4, columns), -2.0)):
        front = points[non_dominated(points)]
        scale = Scale.of(points)
        assert len(front) == 1 and knee(front) == 0
        assert scale(front).tolist() == [[0.0] * columns]
        assert hypervolume(front, scale) == pytest.approx(1)
        assert igd_plus(front, front, scale) == 0 and found_share(front, front) == 1


def test_a_front_of_one_point_takes_its_scale_from_the_rest() -> None:
    points = np.array([[1.0, 1.0], [3.0, 1.0], [2.0, 9.0]])
    assert Scale.of(points).nadir.tolist() == [3.0, 9.0]
    assert hypervolume(points[1:2], Scale.of(points)) == pytest.approx(0.1 / 1.1)


def test_the_reference_point_is_a_tenth_of_the_range_beyond_the_nadir() -> None:
    scale = Scale.of(np.array([[10.0, -4.0], [20.0, -6.0]]))
    assert scale.reference.tolist() == pytest.approx([21.0, -3.8])
    assert hypervolume(scale.reference[None], scale) == pytest.approx(0, abs=1e-9)


@given(of_columns(2))
def test_the_knee_is_farthest_from_the_line_through_the_ends(points: Points) -> None:
    front = points[non_dominated(points)]
    scaled = Scale.of(front)(front)
    if len(front) < 3:
        assert 0 <= knee(front) < len(front)
        return
    ends = scaled[scaled[:, 0].argmin()], scaled[scaled[:, 0].argmax()]
    along = ends[1] - ends[0]
    across = np.array([along[1], -along[0]]) / np.linalg.norm(along)  # towards the ideal
    distances = (scaled - ends[0]) @ across
    assert distances[knee(front)] == pytest.approx(distances.max())


def test_the_knee_of_three_columns_does_not_depend_on_units() -> None:
    front = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.3, 0.3, 0.4], [0.5, 0.5, 0.1]])
    assert knee(front) == 3 == knee(front * [1, 1e6, 1e-6] + [7, -3, 0])
