import numpy as np
import pytest

from acenas.evaluation.base import Observations


def test_observations_hold_one_accuracy_and_one_cost_per_architecture() -> None:
    seen = Observations(["a", "b"], np.array([90.0, 91.0]), np.array([1.0, np.nan]))
    assert len(seen) == 2
    assert len(Observations([], np.zeros(0), np.zeros(0))) == 0


@pytest.mark.parametrize(
    ("accuracy", "seconds"),
    [(np.zeros(1), np.zeros(2)), (np.zeros(2), np.zeros(3)), (np.zeros((2, 1)), np.zeros(2))],
)
def test_observations_refuse_rows_that_do_not_line_up(accuracy: np.ndarray, seconds: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one of each"):
        Observations(["a", "b"], accuracy, seconds)
