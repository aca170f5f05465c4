"""What a search returns: the best observed, unless another is better with confidence once noise is removed.

Of a search with a front it is the front of what was observed, with the same care.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from acenas.ranker.gaussian_process import most_likely_process
from acenas.ranking.fronts import first_of_fronts, non_dominated
from acenas.search.rounds import MOST_COMPARED, comparisons
from acenas.spaces import GraphBatch
from acenas.spaces.features import OneHot, Rows

FIRST_FIT = 10
"""Observations before the first fit: fewer are not enough to estimate the noise."""


def returned_after_each(
    graphs: GraphBatch,
    accuracies: NDArray[np.floating],
    num_node_types: int,
    confidence: float | None,
    *,
    arms: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """For each number of trainings, returns the architecture that a search which ends there returns.

    The best observed of many architectures is partly the luckiest, the more so the more there are ("the optimizer's
    curse", Smith and Winkler, Management Science 2006). A Gaussian process on one-hot rows separates what similar
    architectures have in common from the noise of each training. Another architecture is returned in place of the
    best observed if, without noise, it is better with a probability of at least `confidence`; of several such, the one
    with the highest posterior mean.

    What is returned after n trainings depends on these n alone. The hyper-parameters of the process are fitted to the
    first 10, 20, …, 100 trainings, and anew after every further tenth from there on. The process is cubic in the
    trainings: of more than `MOST_COMPARED` only the best are compared, after every further tenth and after the last; in
    between, what is returned stays.

    Args:
        graphs: of the n trained architectures, in the order of training.
        accuracies: `[n]`, observed, percent; NaN where a training failed.
        num_node_types: of the space.
        confidence: above 0.5 and below 1; None for the best observed.
        arms: `[n]`, a number for each architecture, ascending from 0: of one that was trained several times the best
            observed is the mean. None where each was trained once.

    Returns:
        `[n]`: positions among the trained architectures; the first of equally good ones.
    """
    total = len(accuracies)
    if confidence is None:
        return _best_so_far(accuracies, arms)
    after = comparisons(total)
    chosen = returned_after(graphs, accuracies, num_node_types, confidence, after, arms=arms)
    return np.repeat(chosen, np.diff([*after, total + 1]))


def returned_after(
    graphs: GraphBatch,
    accuracies: NDArray[np.floating],
    num_node_types: int,
    confidence: float | None,
    trainings: Sequence[int],
    *,
    arms: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Returns the position of what is returned after each of these ascending numbers of trainings.

    Other arguments as in `returned_after_each`.
    """
    returned = _best_so_far(accuracies, arms)[np.array(trainings, dtype=np.int64) - 1]
    known = np.flatnonzero(~np.isnan(accuracies))
    if confidence is None or len(known) < FIRST_FIT:
        return returned
    first_fit, fitted = int(known[FIRST_FIT - 1]) + 1, 0
    for place, n in enumerate(trainings):
        if n > MOST_COMPARED:
            best = np.sort(np.argsort(-accuracies[:n], kind="stable")[:MOST_COMPARED])  # NaN is last
            among = graphs[torch.from_numpy(best)], accuracies[best], num_node_types, confidence
            theirs = None if arms is None else pd.factorize(arms[best])[0]
            returned[place] = best[returned_after(*among, [MOST_COMPARED], arms=theirs)[0]]
        elif n >= first_fit:
            if (last := _last_fit(first_fit, n)) != fitted:
                fitted, before = last, known[known < last]
                kernel = most_likely_process(
                    _rows(graphs, before, num_node_types), accuracies[before]
                ).kernel_
            seen = known[known < n]
            rows, observed = _rows(graphs, seen, num_node_types), accuracies[seen]
            posterior = _without_noise(rows, observed, kernel)
            incumbent = int(np.searchsorted(seen, returned[place]))
            returned[place] = seen[_replaced(*posterior, incumbent, confidence)]
    return returned


def returned_fronts(
    graphs: GraphBatch,
    utilities: NDArray[np.floating],
    costs: NDArray[np.float64],
    num_node_types: int,
    confidence: float | None,
    trainings: Sequence[int],
) -> list[NDArray[np.int64]]:
    """Returns the front that a search returns which ends after each of these ascending numbers of trainings.

    That is the front of what was observed, but for the luck of single trainings: as in `returned_after_each`, a member
    is replaced by another trained one, whose costs are no higher, where that is better without noise with a
    probability of at least `confidence`. Of what results, those are left out that another one dominates.

    Args:
        graphs: of the n trained architectures, in the order of training.
        utilities: `[n]`, observed, higher is better; NaN where a training failed.
        costs: `[n, m]`, lower is better; what lacks one is on no front.
        num_node_types: of the space.
        confidence: above 0.5 and below 1; None for the front of what was observed.
        trainings: after which to return a front.

    Returns:
        For each the positions of the members, ascending; of equals the first.
    """
    points = np.column_stack([-utilities, costs])
    complete = np.flatnonzero(np.isfinite(points).all(axis=1))
    fronts, before, kernel = [], np.zeros(0, np.int64), None
    for n in trainings:
        known = complete[complete < n]
        members = known[non_dominated(points[known])]
        if confidence is not None and len(known) >= FIRST_FIT:
            if len(known) > MOST_COMPARED:
                known = np.sort(known[first_of_fronts(points[known], MOST_COMPARED)])
            fitted = known[: _last_fit(FIRST_FIT, len(known))]
            if kernel is None or not np.array_equal(fitted, before):
                before, rows = fitted, _rows(graphs, fitted, num_node_types)
                kernel = most_likely_process(rows, utilities[fitted]).kernel_
            posterior = _without_noise(_rows(graphs, known, num_node_types), utilities[known], kernel)
            chosen = set[int]()
            for place in np.flatnonzero(np.isin(known, members)).tolist():
                as_cheap = (costs[known] <= costs[known[place]]).all(axis=1)
                chosen.add(int(known[_replaced(*posterior, place, confidence, as_cheap)]))
            members = np.array(sorted(chosen))
            members = members[non_dominated(points[members])]
        fronts.append(members)
    return fronts


def _last_fit(fit: int, n: int) -> int:
    """Returns the last number of trainings, `n` at most, that the hyper-parameters are fitted to, from `fit` on."""
    while (later := fit + max(FIRST_FIT, fit // 10)) <= n:
        fit = later
    return fit


def _best_so_far(accuracies: NDArray[np.floating], arms: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Returns the position of the best of the first 1, 2, …, n; 0 before anything was observed. `[n]`.

    Of an architecture that was trained several times it is that of the first training that worked, and the mean counts.
    """
    if arms is None:
        arms = np.arange(len(accuracies))
    sums, means = np.zeros(len(accuracies)), np.full(len(accuracies), -np.inf)
    counts, first, best = np.zeros((3, len(accuracies)), np.int64)
    for n, (arm, accuracy) in enumerate(zip(arms, accuracies, strict=True)):
        if not np.isnan(accuracy):
            sums[arm] += accuracy
            counts[arm] += 1
            means[arm] = sums[arm] / counts[arm]
            first[arm] = n if counts[arm] == 1 else first[arm]
        best[n] = first[np.argmax(means)]
    return best


def _rows(graphs: GraphBatch, index: NDArray[np.int64], num_node_types: int) -> Rows:
    features, some = OneHot(num_node_types), graphs[torch.from_numpy(index)]
    features.fit(some)
    return features.rows(some)


def _without_noise(
    rows: Rows, observed: NDArray[np.floating], kernel: Kernel
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the posterior mean `[n]` and covariance `[n, n]` of accuracies without noise.

    Args:
        rows: `[n, F]`.
        observed: `[n]`, percent.
        kernel: `matern_and_noise`, fitted to targets of variance 1.
    """
    # Only the Matérn kernel and not the noise predicts.
    process = GaussianProcessRegressor(
        kernel.k1, alpha=float(kernel.k2.noise_level), optimizer=None, normalize_y=True
    )
    mean, covariance = process.fit(rows, observed).predict(rows, return_cov=True)
    return mean, covariance


def _replaced(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    incumbent: int,
    confidence: float,
    among: NDArray[np.bool_] | None = None,
) -> int:
    """Returns the position of what replaces the incumbent, or that of the incumbent.

    Args:
        mean: `[n]`, as `_without_noise` returns it.
        covariance: `[n, n]`, likewise.
        incumbent: position of the best observed.
        confidence: the least probability that the other is better.
        among: `[n]`, what may replace it; all by default.
    """
    variance = covariance.diagonal() + covariance[incumbent, incumbent] - 2 * covariance[incumbent]
    deviation = np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))
    surely = mean - mean[incumbent] > norm.ppf(confidence) * deviation
    surely[incumbent] = False
    if among is not None:
        surely &= among
    return int(np.argmax(np.where(surely, mean, -np.inf))) if surely.any() else incumbent
