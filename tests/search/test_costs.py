"""Limits on costs and costs of a front: what can be chosen, and what makes no sense."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from acenas.errors import UserError
from acenas.evaluation.costs import CostModel
from acenas.search.costs import Costs

NAN = float("nan")


class Lookup(CostModel):
    def __init__(self, name: str, known: dict[str, float]) -> None:
        self.name, self.known, self.origin = name, known, "made up"

    def values(self, archs: object) -> np.ndarray:
        return np.array([self.known[arch] for arch in archs])  # type: ignore[attr-defined]


def of(
    columns: Mapping[str, Sequence[float]], front: object = (), at_most: Mapping[str, float] = {}
) -> Costs:
    models = [Lookup(name, dict(zip("abcd", values, strict=True))) for name, values in columns.items()]
    return Costs(at_most, models, front)  # type: ignore[arg-type]


ALL = list("abcd")


def test_limits_must_all_be_kept_and_an_unknown_cost_keeps_none() -> None:
    limits = of(
        {"params_m": [2.0, 2.1, 1.0, 1.0], "latency_ms.x": [10.0, 1.0, 11.0, NAN]},
        at_most={"params_m": 2.0, "latency_ms.x": 10.0},
    )
    assert limits.within(ALL).tolist() == [True, False, False, False]
    assert limits.costs(["c"]).loc["c"].to_dict() == {"params_m": 1.0, "latency_ms.x": 11.0}
    with pytest.raises(UserError) as error:
        limits.check([], list("bc"))
    message = str(error.value)
    assert (
        "params_m <= 2 and latency_ms.x <= 10" in message and "the least of each is params_m 1, " in message
    )


def test_costs_of_a_front_are_lower_the_better() -> None:
    costs = of({"ms": [1, 2, 3, 4], "fps": [9, 8, NAN, 7]}, {"ms": "min", "fps": "max"}, {"ms": 3})
    np.testing.assert_array_equal(costs.of_front(ALL), [[1, -9], [2, -8], [3, NAN], [4, -7]])
    assert costs.costs(["a"]).loc["a"].to_dict() == {"ms": 1.0, "fps": 9.0}
    assert costs.within(ALL).tolist() == [True, True, False, False], "a limited cost may be one of the front"
    assert costs.origins == {"ms": "made up", "fps": "made up"}
    assert Costs().of_front(ALL).shape == (4, 0) and Costs().within(ALL).all()


def test_what_lacks_a_cost_is_left_out_and_told() -> None:
    costs = of({"ms": [1, 2, NAN, 4], "fps": [NAN, 8, NAN, 7]}, ["ms", "fps"])
    assert costs.within(ALL).tolist() == [False, True, False, True]
    with pytest.warns(
        UserWarning, match="of 2 of 4 architectures not all of ms, fps are known, so they are left out"
    ):
        costs.check(["b", "d"], ALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        costs.check(["b", "d"], ["b", "d"])


@pytest.mark.parametrize(
    ("columns", "archs", "message"),
    [
        ({"ms": [NAN] * 4}, "", "ms is not known of any of 4 architectures"),
        ({"ms": [1, 2, NAN, NAN], "fps": [NAN, NAN, 1, 2]}, "", "none of 4 architectures has all of ms, fps"),
        ({"ms": [1, 2, 2, 2]}, "bcd", "ms says nothing: all 3 architectures have the same 2"),
    ],
)
def test_costs_that_say_nothing_are_an_error(
    columns: dict[str, list[float]], archs: str, message: str
) -> None:
    costs = of(columns, list(columns))
    assert costs.within(ALL).sum() == len(archs) or len(archs) == 3
    with pytest.raises(UserError, match=message):
        costs.check(list(archs), ALL)


@pytest.mark.parametrize(
    ("front", "message"),
    [
        (["a", "b", "c", "d"], "4 costs, and 3 are the most"),
        ({"a": "smallest"}, "the direction of a must be max or min, not smallest"),
        ("params_m", r"search.front=params_m is neither a list of costs nor a mapping, as in \[params_m\]"),
        (["a", "a"], "names a cost twice"),
        (3, "neither a list"),
    ],
)
def test_a_front_that_is_none_is_an_error(front: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        of({}, front)
