"""Weak labels as rankers take them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from acenas.errors import UserError
from acenas.ranker.baselines.weak_labels import WeakLabelRanker
from acenas.ranker.data import in_float32
from acenas.ranker.ranker import standardised
from acenas.spaces import NasBench201
from tests.ranker.graphs import random_dags

ROWS = np.random.default_rng(0).uniform(size=50)


def expected_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """In extended precision, whose range is much larger than that of float64."""
    wide = values.astype(np.longdouble)
    mean = np.nanmean(wide)
    return np.asarray((wide - mean) / np.sqrt(np.nanmean((wide - mean) ** 2)), np.float64)


@pytest.mark.parametrize("size", [1e300, -1e300, 1e-300, 1e30, 1e-30, 1.0])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_labels_of_any_magnitude_are_standardised(size: float, offset: float) -> None:
    labels = np.stack([(ROWS + offset) * size, ROWS], axis=1)
    labels[3, 0] = np.nan
    expected = np.stack([expected_of(column) for column in labels.T], axis=1)
    found = standardised(in_float32(torch.from_numpy(labels)), ["a", "b"])
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    ranker, graphs = WeakLabelRanker(NasBench201()), random_dags(50)
    ranker.pretrain(graphs, torch.from_numpy(labels), folder=Path())
    assert 0.5 < np.abs(ranker.remembered(graphs)).max() < 5


def test_usual_labels_are_only_rounded() -> None:
    labels = torch.from_numpy(np.stack([ROWS * 90, ROWS * 1e8, np.full(50, np.nan)], axis=1))
    assert (
        torch.equal(in_float32(labels)[:, :2], labels[:, :2].float())
        and in_float32(labels)[:, 2].isnan().all()
    )
    assert in_float32(torch.zeros(3, 0)).shape == (3, 0)


@pytest.mark.parametrize("value", [1e300, 1e-300, 0.0])
def test_equal_labels_are_an_error(value: float) -> None:
    labels = torch.full((5, 1), value, dtype=torch.float64)
    with pytest.raises(UserError, match="weak label a: all its values are equal or missing"):
        standardised(in_float32(labels), ["a"])
    with pytest.raises(UserError, match="weak label a: all its values are equal or missing"):
        WeakLabelRanker(NasBench201()).pretrain(random_dags(5), labels, folder=Path(), label_names=["a"])
