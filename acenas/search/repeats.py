"""Trains again what was trained: where one training's noise hides which of the best is the best."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acenas.search.expected import Expected
from acenas.search.state import StudyState, averaged
from acenas.training.lightning import one_thread

LAST_PART = 0.3
"""Of the budget, in which trainings are repeated. Before, the ranker learns more from what is new, which a gain that is
expected of the next training alone does not see."""

LEAST_KNOWN = 10
"""Architectures that are known before the first repeat: fewer are not enough to estimate the noise."""

MOST_COMPARED = 64
"""Of what could be returned, those with the highest means."""

LEAST_GAIN = 1e-4
"""In deviations of what was observed: less is nothing, and then what is new is trained."""

REASON = "repeated"


@torch.no_grad()
def with_repeats(
    state: StudyState, proposed: NDArray[np.int64], reasons: list[str], most: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Trains architectures again in place of some of those that were proposed for a round, where that tells more.

    Each training of the round, one after the other, is the one with the largest knowledge gradient (Frazier, Powell and
    Dayanik, "The knowledge-gradient policy for correlated normal beliefs", INFORMS Journal on Computing 21(4), 2009):
    the gain that is expected of what would be returned if the search ended after it. `Expected` says what would be
    observed, and a choice counts as observed for the next one, with the value expected of it. Where a training shows an
    architecture's quality without noise, nothing is gained by another one, and nothing is repeated.

    Args:
        state: of the study.
        proposed: `[k]`, positions in `state.archs`, none of them trained yet.
        reasons: `[k]`, why.
        most: trainings of an architecture, at most. What was given is never trained.

    Returns:
        Positions and reasons of the round, `[k]`.
    """
    archs, utilities = state.known
    first, means = averaged(archs, utilities)
    arms = first[np.isfinite(means)]
    if len(arms) < LEAST_KNOWN:
        return proposed, reasons
    trained = state.trials["arch"].value_counts()
    again = np.array([0 < trained.get(archs[arm], 0) < most for arm in arms])
    with one_thread():
        model = Expected.of(state)
        parts = zip(model.inputs(state, proposed), model.known, strict=True)
        rows, scores = (torch.cat([new, known[torch.from_numpy(arms)]]) for new, known in parts)
        mean, _ = model.posterior((rows, scores))
        covariance = model.process.covariances(rows, scores, (rows, scores))
        allowed = torch.from_numpy(np.concatenate([np.ones(len(proposed), np.bool_), again]))
        known = torch.arange(len(mean)) >= len(proposed)
        chosen: list[int] = []
        for _ in proposed:
            gains = knowledge_gradients(mean, covariance, model.process.noise, known)
            gains = gains.where(gains > LEAST_GAIN, 0.0).where(allowed, -torch.inf)
            chosen.append(i := int(gains.argmax()))  # of equals what is new
            allowed[i], known[i] = False, True
            column = covariance[:, i]
            covariance = covariance - torch.outer(column, column) / (column[i] + model.process.noise)
    repeated = {i: archs[arms[i - len(proposed)]] for i in chosen if i >= len(proposed)}
    where = dict(zip(repeated, state.positions_of(list(repeated.values())).tolist(), strict=True))
    positions = [where[i] if i in where else int(proposed[i]) for i in chosen]
    return np.array(positions, np.int64), [REASON if i in where else reasons[i] for i in chosen]


def knowledge_gradients(mean: Tensor, covariance: Tensor, noise: float, known: Tensor) -> Tensor:
    """The expected gain `[B]` of the highest mean among what is known by observing each architecture once.

    Args:
        mean: `[B]`, of their qualities.
        covariance: `[B, B]`, of these.
        noise: the variance of an observation around a quality.
        known: `[B]`, bool: what could be returned now. An architecture that is not can be, once it is observed.
    """
    z = torch.linspace(-5, 5, 101, dtype=mean.dtype)
    weights = torch.softmax(-0.5 * z.square(), 0)
    # By an observation that lies z deviations above what was expected, all means move on lines.
    slopes = covariance / (covariance.diagonal().clamp(min=0) + noise).sqrt()
    compared = mean.where(known, -torch.inf).topk(min(MOST_COMPARED, int(known.sum()))).indices
    of_known = (mean[compared, None, None] + slopes[compared, :, None] * z).amax(dim=0)
    own = mean[:, None] + slopes.diagonal()[:, None] * z
    return of_known.maximum(own) @ weights - mean[compared].max()
