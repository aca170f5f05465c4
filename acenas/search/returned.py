"""What a search returns: the best observed, unless another is surely better but for the noise of one training."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from acenas.ranker.baselines.regression import Rows, matern_and_noise
from acenas.spaces import GraphBatch
from acenas.spaces.features import OneHot

FIRST_FIT = 10
"""Fewer observations say nothing of their noise."""


def returned_after_each(
    graphs: GraphBatch, accuracies: NDArray[np.floating], num_node_types: int, confidence: float | None
) -> NDArray[np.int64]:
    """What a search returns that ends after its first, its second, …, its last training.

    The best observed of many owes its place to luck, too, the more so the more there are ("the optimizer's curse",
    Smith and Winkler, Management Science 2006). A Gaussian process on one-hot rows tells what architectures alike have
    in common from the noise of each training. Of those that are better than the best observed, noise aside, with a
    probability of at least `confidence`, the one with the highest posterior mean is returned in its stead.

    What is returned after n trainings depends on these n alone. The hyper-parameters of the process are the most
    likely ones of the first 10, 20, …, 100, and of a tenth more each time from there on.

    Args:
        graphs: of the n trained architectures, in the order of training.
        accuracies: `[n]`, observed, percent; NaN where a training came to nothing.
        num_node_types: of the space.
        confidence: above 0.5 and below 1; None for the best observed.

    Returns:
        `[n]`: positions among the trained; of equally good ones the first.
    """
    best = _best_so_far(accuracies)
    if confidence is None:
        return best
    returned, next_fit = best.copy(), FIRST_FIT
    for n in range(FIRST_FIT, len(accuracies) + 1):
        known = np.flatnonzero(~np.isnan(accuracies[:n]))
        if len(known) < FIRST_FIT:
            continue
        rows = _rows(graphs[torch.from_numpy(known)], num_node_types)
        observed = accuracies[known]
        if n >= next_fit:
            process, noise = _most_likely(rows, observed)
            next_fit = n + max(FIRST_FIT, n // 10)
        incumbent = int(np.argmax(observed))
        returned[n - 1] = known[_surely_better(rows, observed, process, noise, incumbent, confidence)]
    return returned


def _best_so_far(accuracies: NDArray[np.floating]) -> NDArray[np.int64]:
    """`[n]`: the position of the best of the first, of the first two, …; 0 before anything was observed."""
    highest_before = np.fmax.accumulate([-np.inf, *accuracies])[:-1]
    return np.maximum.accumulate(np.where(accuracies > highest_before, np.arange(len(accuracies)), 0))


def _rows(graphs: GraphBatch, num_node_types: int) -> Rows:
    features = OneHot(num_node_types)
    features.fit(graphs)
    return features.rows(graphs)


def _most_likely(rows: Rows, observed: NDArray[np.floating]) -> tuple[Kernel, float]:
    """The kernel, and the variance of the noise as a share of that of `observed`, that make these the likeliest."""
    process = GaussianProcessRegressor(matern_and_noise(rows.shape[1]), normalize_y=True)
    with warnings.catch_warnings():  # a hyper-parameter at its bound is as good as any other
        warnings.simplefilter("ignore", ConvergenceWarning)
        kernel = process.fit(rows, observed).kernel_
    return kernel.k1, float(kernel.k2.noise_level)


def _surely_better(
    rows: Rows,
    observed: NDArray[np.floating],
    kernel: Kernel,
    noise: float,
    incumbent: int,
    confidence: float,
) -> int:
    """The one that replaces the incumbent, or that."""
    # The noise stands beside the kernel, so that the posterior is of accuracies without it.
    process = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None, normalize_y=True)
    mean, covariance = process.fit(rows, observed).predict(rows, return_cov=True)
    variance = covariance.diagonal() + covariance[incumbent, incumbent] - 2 * covariance[incumbent]
    deviation = np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))
    surely = mean - mean[incumbent] > norm.ppf(confidence) * deviation
    surely[incumbent] = False
    return int(np.argmax(np.where(surely, mean, -np.inf))) if surely.any() else incumbent
