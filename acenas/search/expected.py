"""What a training is expected to show: a model of what was observed, by scores that were there before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acenas.ranker.prior import CorrectedPrior
from acenas.search.state import StudyState, normal_scores
from acenas.spaces.features import Features

Inputs = tuple[Tensor, Tensor]
"""Of B architectures features `[B, F]` and a normal score `[B, 1]`."""


@dataclass(frozen=True)
class Expected:
    """A Gaussian process on what was observed.

    A score of the ranker is an order and not a value, and one of what it was fitted to says little. So what is observed
    is modelled by the scores that were there before an architecture was first trained: y = c + w score +
    g(architecture) + noise, a `CorrectedPrior`, where values and scores are normal scores: what a normal variable has
    at that rank.

    Attributes:
        process: fitted to `observed`.
        features: of architectures.
        known: inputs of what was observed.
        observed: `[n]`, normal scores of utilities with mean 0 and deviation 1; those of failures are the worst.
    """

    process: CorrectedPrior
    features: Features
    known: Inputs
    observed: Tensor

    @classmethod
    def of(cls, state: StudyState) -> Expected:
        """The model of all that a study knows."""
        features, graphs = state.space.features(state.space.num_node_types), state.known_graphs
        features.fit(graphs)
        known = torch.from_numpy(features.rows(graphs)), _scores_before(state)
        observed = _standardised(state.known[1])
        return cls(CorrectedPrior(*known, torch.zeros_like(observed), observed), features, known, observed)

    def inputs(self, state: StudyState, left: NDArray[np.int64]) -> Inputs:
        """Those of candidates, at positions `left`, with their last scores."""
        rows = self.features.rows(state.graphs[torch.from_numpy(left)])
        scores = normal_scores(state.last_scores)[left, None]
        return torch.from_numpy(rows), torch.from_numpy(scores)

    def posterior(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Mean and variance `[B]` of what they would show, without noise."""
        return self.process.posterior(*inputs, torch.zeros(len(inputs[0]), dtype=torch.float64))


def _scores_before(state: StudyState) -> Tensor:
    """`[n, 1]`: the normal scores that what is known had just before it was first observed; 0 where it had none."""
    done = state.of_first
    before = state.scores_before(done["arch"].tolist(), done["round"].to_numpy())
    return torch.from_numpy(np.concatenate([np.zeros(len(state.given)), before])[:, None])


def _standardised(utilities: NDArray[np.float64]) -> Tensor:
    scores = normal_scores(np.where(np.isnan(utilities), -np.inf, utilities))
    return torch.from_numpy((scores - scores.mean()) / max(scores.std(), 1e-6))
