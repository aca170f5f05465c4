"""Rules that choose what to train next for a front of the objective and costs that are known before training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import qmc, rankdata
from torch import Tensor
from typing_extensions import override

from acenas.errors import UserError
from acenas.ranking.fronts import REFERENCE, first_of_fronts, non_dominated
from acenas.search.acquisition import GOLDEN, Acquisition
from acenas.search.expected import Expected
from acenas.search.state import StudyState
from acenas.training.lightning import one_thread

Chosen = tuple[NDArray[np.int64], list[str]]
"""Positions among the candidates, and the reason for each."""

AT_ONCE = 8192
"""Candidates whose gains are computed at once, so that 100,000 take little memory."""

MOST_COMPARED = 1024
"""Candidates, those that gain most, that are compared for the second and later ones of a round."""


class FrontAcquisition(Acquisition):
    """A rule for a front alone; without costs, it has nothing to choose by."""

    @override
    def propose(self, scores: np.ndarray, k: int, generator: np.random.Generator) -> Chosen:
        raise UserError(
            f"{type(self).__name__} chooses for a front: name its costs, as in search.front=[params_m]"
        )


@dataclass(frozen=True)
class AcrossCosts(FrontAcquisition):
    """Covers the range of the costs: each choice is one of the best by score among what costs at most so much.

    The limits are spread evenly over the candidates, in order of their cost; of several costs, over a weighted sum of
    the ranks, with other weights for each choice.

    Attributes:
        part: the share of what keeps a limit, the best of it, that a choice is drawn from; above 0, and 1 for all.
    """

    part: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.part <= 1:
            raise UserError(
                f"the part of the candidates to choose among lies above 0 and up to 1, not at {self.part}"
            )

    @override
    def propose_front(
        self, state: StudyState, left: NDArray[np.int64], k: int, generator: np.random.Generator
    ) -> Chosen:
        costs, scores = _costs(state)[left], state.last_scores[left]
        ranks = rankdata(costs, axis=0)
        start, taken = generator.random(), np.zeros(len(left), np.bool_)
        chosen = []
        for i in range(k):
            order = np.argsort(ranks @ generator.dirichlet(np.ones(costs.shape[1])), kind="stable")
            number = 1 + int((start + i * GOLDEN) % 1 * len(left))
            within = order[:number][~taken[order[:number]]]
            if not len(within):
                within = order[~taken[order]][:1]  # the cheapest that is left
            shuffled = generator.permutation(within)
            best = shuffled[np.argsort(-scores[shuffled], kind="stable")][
                : int(np.ceil(self.part * len(within)))
            ]
            chosen.append(int(generator.choice(best)))
            taken[chosen[-1]] = True
        return np.array(chosen, np.int64), ["across costs"] * k

    @override
    def one_by_one(self, k: int) -> bool:
        return True


@dataclass(frozen=True)
class PredictedFront(FrontAcquisition):
    """Chooses from the best fronts of score and costs, the least crowded first (Deb et al., 2002)."""

    @override
    def propose_front(
        self, state: StudyState, left: NDArray[np.int64], k: int, generator: np.random.Generator
    ) -> Chosen:
        shuffled = generator.permutation(len(left))
        points = np.column_stack([-state.last_scores[left], _costs(state)[left]])[shuffled]
        return shuffled[first_of_fronts(points, k)], ["predicted front"] * k


@dataclass(frozen=True)
class HypervolumeGain(FrontAcquisition):
    """Chooses what is expected to add most hypervolume to the front of the objective and the costs.

    The costs are known, so the objective alone is uncertain, and the expected gain (Emmerich et al., "Single- and
    multiobjective evolutionary optimization assisted by Gaussian random field metamodels", IEEE Transactions on
    Evolutionary Computation 10(4), 2006) of an architecture x is an integral over costs:

        gain(x) = ∫ E max(y(x) - best(t), 0) dt   over all costs t of the front that are cost(x) at least

    where best(t) is the best that is observed of architectures with costs t at most, and the front is that of what is
    observed, and of a deviation more than what is expected.

    What is expected says `Expected`; its deviation is small where much was trained. Within a round, each choice counts
    as observed for the next one, with the value expected of it (kriging believer; Ginsbourger et al., 2010).
    Predictions for people are quantiles of what was observed: those with the expected normal scores.

    Attributes:
        points: of the integral, for one cost; twice as many for each further one.
        first: chooses the first round, before anything is observed.
    """

    points: int = 64
    first: Acquisition = AcrossCosts()

    def __post_init__(self) -> None:
        if self.points < 1:
            raise UserError(f"the points of the integral must be at least 1, not {self.points}")

    @override
    def propose_front(
        self, state: StudyState, left: NDArray[np.int64], k: int, generator: np.random.Generator
    ) -> Chosen:
        _, utilities = state.known
        if np.isfinite(utilities).sum() < 2:
            return self.first.propose_front(state, left, k, generator)
        shuffled = generator.permutation(len(left))
        with one_thread():
            chosen = self._chosen(state, left[shuffled], k, utilities)
        return shuffled[chosen], ["gains hypervolume"] * k

    @override
    def predicted(self, state: StudyState) -> NDArray[np.float64] | None:
        """Within what was observed, without the noise of a training; None before two trainings have worked."""
        _, utilities = state.known
        worked = np.isfinite(utilities)
        if worked.sum() < 2:
            return None
        with one_thread(), torch.no_grad():
            model = Expected.of(state)
            mean, variance = model.posterior(model.inputs(state, np.arange(len(state.archs))))
        deviation = variance.sqrt()
        expected = torch.stack([mean, mean - deviation, mean + deviation]).numpy()
        order = np.argsort(utilities[worked])
        found: NDArray[np.float64] = np.interp(
            expected, model.observed[worked].numpy()[order], utilities[worked][order]
        )
        return found

    @override
    def one_by_one(self, k: int) -> bool:
        return self.first.one_by_one(k)

    @torch.no_grad()
    def _chosen(
        self, state: StudyState, left: NDArray[np.int64], k: int, utilities: NDArray[np.float64]
    ) -> list[int]:
        """The positions of `k` of the candidates `left`, those that gain most, one after the other."""
        model, worked = Expected.of(state), np.isfinite(utilities)
        process, observed = model.process, model.observed
        rows, scores = model.inputs(state, left)
        mean, variance = model.posterior((rows, scores))
        costs, known_costs = torch.from_numpy(_costs(state)[left]), _known_costs(state)[worked]
        at = self._points(
            torch.cat([costs, known_costs]), torch.cat([mean + variance.sqrt(), observed[worked]])
        )
        reached = observed[worked][:, None].where((known_costs[:, None] <= at).all(dim=2), observed.min())
        best = reached.amax(dim=0)  # of what costs at most as much as each point

        slices = [slice(start, start + AT_ONCE) for start in range(0, len(left), AT_ONCE)]
        gains = torch.cat([_gains(costs[some], mean[some], variance[some], at, best) for some in slices])
        compared = gains.argsort(descending=True, stable=True)[: max(MOST_COMPARED, k)]
        rows, scores, costs, mean, variance = (
            each[compared] for each in (rows, scores, costs, mean, variance)
        )
        chosen: list[int] = []
        known: list[Tensor] = []  # by each choice, once it is observed: its square is what the variance loses
        for _ in range(k):
            gains = _gains(costs, mean, variance, at, best)
            gains[chosen] = -torch.inf
            chosen.append(i := int(gains.argmax()))
            best = best.maximum(mean[i]).where((costs[i] <= at).all(dim=1), best)
            together = process.covariances(rows, scores, (rows[i : i + 1], scores[i : i + 1])).squeeze(1)
            explained = together - sum(each * each[i] for each in known)
            known.append(explained / (variance[i] + process.noise).sqrt())
            variance = (variance - known[-1].square()).clamp(min=1e-9)
        return compared[chosen].tolist()

    def _points(self, costs: Tensor, values: Tensor) -> Tensor:
        """Where the integral is evaluated `[P, m]`: evenly in the box of the front of `values` and `costs`.

        A few architectures may cost many times what any of the front does: there, nothing is to be gained.
        """
        points = torch.cat([-values[:, None], costs], dim=1).numpy()
        front = points[np.isfinite(points).all(axis=1)]
        front = front[non_dominated(front)][:, 1:]
        unit = qmc.Sobol(costs.shape[1], seed=0).random(self.points * 2 ** (costs.shape[1] - 1))
        least, largest = front.min(axis=0), front.max(axis=0)
        return torch.from_numpy(least + unit * REFERENCE * (largest - least))


def _gains(costs: Tensor, mean: Tensor, variance: Tensor, at: Tensor, best: Tensor) -> Tensor:
    """The expected gain `[B]` of each candidate.

    Args:
        costs: `[B, m]`.
        mean: `[B]`, of what it would show, without noise.
        variance: `[B]`, of that.
        at: `[P, m]`, points of the integral.
        best: `[P]`, what is reached there.
    """
    deviation = variance.sqrt()[:, None]
    ahead = (mean[:, None] - best) / deviation
    density = torch.exp(-0.5 * ahead.square()) / (2 * torch.pi) ** 0.5
    improvement = deviation * (ahead * torch.special.ndtr(ahead) + density)
    return torch.mean(improvement * (costs[:, None] <= at).all(dim=2), dim=1)


def _costs(state: StudyState) -> NDArray[np.float64]:
    assert state.front_costs is not None
    return state.front_costs


def _known_costs(state: StudyState) -> Tensor:
    assert state.known_costs is not None
    return torch.from_numpy(state.known_costs)
