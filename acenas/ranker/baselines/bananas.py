"""An ensemble of multilayer perceptrons on path encodings, with independent Thompson sampling (BANANAS)."""

import hashlib
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor, nn
from typing_extensions import override

from acenas.errors import UserError
from acenas.ranker.baselines.regression import RowRanker
from acenas.seeds import torch_generator
from acenas.spaces.features import Features, Paths, Rows


class Ensemble(nn.Module):
    """M multilayer perceptrons with ReLU in one batched pass; `generator` draws weights as Glorot and Bengio (2010)."""

    def __init__(
        self, members: int, in_channels: int, width: int, layers: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        sizes = [in_channels, *[width] * layers, 1]
        pairs = list(itertools.pairwise(sizes))
        self.weights = nn.ParameterList(
            (torch.rand(members, n, m, generator=generator) * 2 - 1) * math.sqrt(6 / (n + m))
            for n, m in pairs
        )
        self.biases = nn.ParameterList(torch.zeros(members, 1, m) for _, m in pairs)

    def forward(self, rows: Tensor) -> Tensor:
        """Each member's prediction `[M, n]` for `rows` `[n, in_channels]`."""
        hidden = rows.expand(len(self.weights[0]), *rows.shape)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), start=1):
            hidden = torch.baddbmm(bias, hidden, weight)
            if layer < len(self.weights):
                hidden = hidden.relu()
        return hidden.squeeze(2)


@dataclass(eq=False)
class BananasRanker(RowRanker):
    """BANANAS (White et al., arXiv 1910.11858): an ensemble of 5 networks on path encodings, mean absolute error.

    Two things differ from the paper. All architectures of a space are scored, not only mutations of the best. The
    networks are wider and less deep: over a whole space, networks of 10 layers of 20 channels disagree too much for
    Thompson sampling to find the best.

    The score is an independent Thompson sample, drawn from a normal distribution with the mean and deviation of the
    members' predictions. The draw is a function of (seed, round, row), so that equal rows have equal scores.

    Attributes:
        members: networks of the ensemble.
        width: channels of a layer.
        layers: hidden layers of a network.
        steps: of Adam, each on all that was observed.
        learning_rate: of the first step; it falls to 0 as a cosine.
        thompson: False for the mean of the members in place of the draw.
    """

    features: Callable[[int], Features] = Paths
    members: int = 5
    width: int = 64
    layers: int = 3
    steps: int = 300
    learning_rate: float = 0.01
    thompson: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.members < 2 and self.thompson:
            raise UserError(f"ranker: Thompson sampling needs at least 2 members, not {self.members}")

    @override
    def fit_rows(self, rows: Rows, accuracies: Tensor, seed: int) -> None:
        inputs = torch.from_numpy(rows).float()
        targets = ((accuracies - accuracies.mean()) / accuracies.std(correction=0).clamp(min=1e-6)).float()
        self._ensemble = Ensemble(
            self.members, rows.shape[1], self.width, self.layers, torch_generator(seed, "weights")
        )
        optimizer = torch.optim.Adam(self._ensemble.parameters(), lr=self.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for _ in range(self.steps):
            optimizer.zero_grad()
            # The sum over members: each is trained as if it were alone.
            (self._ensemble(inputs) - targets).abs().mean(dim=1).sum().backward()
            optimizer.step()
            schedule.step()
        self._noise_seed = seed

    @override
    @torch.no_grad()
    def score_rows(self, rows: Rows) -> NDArray[np.floating]:
        predictions: Tensor = self._ensemble(torch.from_numpy(rows).float())
        mean = predictions.mean(dim=0).numpy()
        if not self.thompson:
            return mean
        return mean + predictions.std(dim=0).numpy() * self._noise(rows)

    def _noise(self, rows: Rows) -> NDArray[np.float64]:
        """`[n]`, standard normal: the draw of each row, which depends on nothing but the seed and the row."""
        key = self._noise_seed.to_bytes(8, "little")
        hashes = [hashlib.blake2b(row.tobytes(), digest_size=8, key=key).digest() for row in rows]
        uniform = (np.frombuffer(b"".join(hashes), dtype=np.uint64) + 0.5) / 2.0**64
        return ndtri(uniform)  # type: ignore[no-any-return]
