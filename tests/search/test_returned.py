"""What is returned: the best observed, unless another is surely better but for the noise."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor

from acenas.ranker.gaussian_process import matern_and_noise
from acenas.search.returned import returned_after_each
from acenas.spaces import NasBench201
from acenas.spaces.features import OneHot

SPACE = NasBench201()


def drawn(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Cells, and accuracies that follow their convolutions of 3x3."""
    archs = SPACE.sample(count, torch.Generator().manual_seed(seed))
    return archs, np.array([80.0 + 2 * arch.count("nor_conv_3x3") for arch in archs])


def misled(count: int, seed: int) -> tuple[list[str], np.ndarray, np.ndarray, int]:
    """Cells, accuracies, what is observed of them, and which middling one is observed best by its noise alone."""
    archs, accuracies = drawn(count, seed)
    observed = accuracies + 0.5 * np.random.default_rng(seed).standard_normal(count)
    lucky = int(np.flatnonzero(accuracies == 84.0)[0])
    observed[lucky] = observed.max() + 0.1
    return archs, accuracies, observed, lucky


def returned(archs: list[str], accuracies: np.ndarray, confidence: float | None) -> np.ndarray:
    return returned_after_each(SPACE.encode(archs), accuracies, SPACE.num_node_types, confidence)


@given(st.lists(st.one_of(st.integers(0, 5).map(float), st.just(float("nan"))), min_size=1, max_size=20))
@settings(deadline=None, max_examples=50)
def test_without_a_confidence_it_is_the_first_of_the_best_observed(accuracies: list[float]) -> None:
    archs, _ = drawn(len(accuracies), 0)
    positions = returned(archs, np.array(accuracies), None)
    for n, position in enumerate(positions, 1):
        known = [value for value in accuracies[:n] if value == value]
        assert position == (accuracies.index(max(known)) if known else 0)


def test_a_stroke_of_luck_is_not_returned() -> None:
    """Those like it, and those better than it, say what it was."""
    archs, accuracies, observed, lucky = misled(120, 1)
    assert returned(archs, observed, None)[-1] == lucky
    assert accuracies[returned(archs, observed, 0.95)[-1]] == accuracies.max()


def test_what_is_as_good_as_noise_allows_stays() -> None:
    """Accuracies of nothing but noise: nothing says that another is better."""
    archs, _ = drawn(40, 2)
    observed = 90 + np.random.default_rng(1).standard_normal(len(archs))
    np.testing.assert_array_equal(returned(archs, observed, 0.95), returned(archs, observed, None))


def test_it_is_what_drawing_from_the_posterior_says() -> None:
    """Independent reference: the share of draws of the posterior in which the returned beats the best observed."""
    archs, _, observed, _ = misled(60, 3)
    features = OneHot(SPACE.num_node_types)
    graphs = SPACE.encode(archs)
    features.fit(graphs)
    rows = features.rows(graphs)
    kernel = (
        GaussianProcessRegressor(matern_and_noise(rows.shape[1]), normalize_y=True)
        .fit(rows, observed)
        .kernel_
    )
    process = GaussianProcessRegressor(
        kernel.k1, alpha=kernel.k2.noise_level, optimizer=None, normalize_y=True
    )
    process.fit(rows, observed)
    draws, mean = process.sample_y(rows, 20_000, random_state=0), process.predict(rows)
    better = (draws > draws[observed.argmax()]).mean(axis=1)
    checked = 0
    for confidence in (0.6, 0.7, 0.8, 0.9, 0.95, 0.99):
        if np.abs(better - confidence).min() < 0.01:
            continue  # the draws are too few to tell
        position = returned(archs, observed, confidence)[-1]
        sure = np.flatnonzero(better > confidence)
        assert position == (sure[mean[sure].argmax()] if len(sure) else observed.argmax())
        checked += len(sure) > 0
    assert checked, "in one case at least another is returned"


@pytest.mark.parametrize("missing", [(), (4, 17)])
def test_what_comes_later_changes_nothing(missing: tuple[int, ...]) -> None:
    """The first n of a search return what a search of n trainings returns."""
    archs, _, observed, _ = misled(60, 4)
    observed[list(missing)] = np.nan
    everything = returned(archs, observed, 0.8)
    assert (everything != returned(archs, observed, None)).any()
    for n in (5, 10, 19, 20, 58):
        np.testing.assert_array_equal(returned(archs[:n], observed[:n], 0.8), everything[:n])


def test_equal_accuracies_are_no_error() -> None:
    archs, _ = drawn(15, 5)
    assert returned(archs, np.full(15, 90.0), 0.95).tolist() == [0] * 15
