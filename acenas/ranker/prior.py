"""The prior of the scores: what the weak labels, and the observations so far, say of architectures."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

EXPECTED_AGREEMENT = 0.5
"""The correlation of the sum of the weak labels with the targets that is expected before anything is observed."""

CENTRES = torch.tensor([0.5, 1.0, 3.0, 3.0, 0.3], dtype=torch.float64)
"""The hyper-parameters of a `CorrectedPrior` before anything is observed, for targets of deviation 1."""

SPREADS = torch.tensor([1.0, 0.5, 0.7, 0.7, 0.7], dtype=torch.float64)
"""The deviations of their logarithms."""

CONSTANT = 4.0
"""The variance of the constant: targets have mean 0, the whole space need not."""

STARTS = ([0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 0.0, -0.7, -0.7, 0.0])
"""Where the search for the hyper-parameters begins, in deviations from their centres: labels trusted less or more."""

MOST_FITTED = 256
"""Of more observations so many, evenly spread, are fitted: by then the prior has next to no weight."""


AT_ONCE = 1024
"""Architectures predicted at once: their covariances stay in the caches."""

Compared = tuple[Tensor, Tensor, Tensor]
"""Of B architectures and n others `[B, n]`: products of labels, squared distances of rows and of labels."""


class CorrectedPrior:
    """The weighted sum of the weak labels, corrected by a Gaussian process where the observations contradict it.

    An observed target is modelled as

        y = before + c + labels · w + g(rows, labels) + noise

    where c and w are normal with mean 0, and g has a Matérn kernel of smoothness 5/2. So w says what a label is worth
    at the top, whatever it was expected to be, and g what architectures that are alike have in common (explicit basis
    functions: Rasmussen and Williams, "Gaussian processes for machine learning", section 2.7).

    The deviations of w, g and the noise, and the two lengths of g, are those of the highest posterior density, as few
    observations do not determine them (ibid., section 5.4.1). Their priors are log-normal: `CENTRES`, `SPREADS`.

    Args:
        rows: `[n, F]`, features of the observed architectures.
        labels: `[n, L]`, their standardised weak labels.
        before: `[n]`, what was expected of them.
        targets: `[n]`, what was observed, with mean 0 and deviation 1. All are float64.
    """

    def __init__(self, rows: Tensor, labels: Tensor, before: Tensor, targets: Tensor) -> None:
        n = len(targets)
        some = torch.linspace(0, n - 1, MOST_FITTED).long() if n > MOST_FITTED else torch.arange(n)
        self._fitted = rows[some], labels[some]
        residual = (targets - before)[some]
        self._among_fitted = _compared(self._fitted, self._fitted)
        found = [
            minimize(
                self._minus_log_density,
                start,
                residual,
                "L-BFGS-B",
                True,
                bounds=[(-4, 4)] * len(start),
            )
            for start in STARTS
        ]
        self.hyper_parameters = _scaled(torch.from_numpy(min(found, key=lambda each: float(each.fun)).x))
        """`[5]`: deviations of w and g, lengths of g in rows and in labels, deviation of the noise."""
        self._cholesky = _factor(self._among_fitted, self.hyper_parameters)
        self._weights: Tensor = torch.cholesky_solve(residual.unsqueeze(1), self._cholesky).squeeze(1)

    def predict(self, rows: Tensor, labels: Tensor, before: Tensor) -> Tensor:
        """Returns the posterior mean `[B]` of other architectures; arguments as those of the constructor."""
        parts = zip(*(torch.split(each, AT_ONCE) for each in (rows, labels, before)), strict=True)
        means = [
            torch.addmv(expected, self._with_fitted(some, theirs), self._weights)
            for some, theirs, expected in parts
        ]
        return torch.cat(means)

    @property
    def noise(self) -> float:
        """The variance of the noise of one observation."""
        return float(self.hyper_parameters[-1] ** 2)

    def posterior(self, rows: Tensor, labels: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what `predict` does, and the posterior variance `[B]`, without the noise of an observation."""
        linear, smooth = self.hyper_parameters[:2]
        prior = CONSTANT + smooth**2 + linear**2 * labels.square().sum(dim=1) / max(labels.shape[1], 1)
        means, known = [], []
        for some, theirs, expected in zip(
            *(torch.split(each, AT_ONCE) for each in (rows, labels, before)), strict=True
        ):
            together = self._with_fitted(some, theirs)
            means.append(torch.addmv(expected, together, self._weights))
            solved = torch.linalg.solve_triangular(self._cholesky, together.T, upper=False)
            known.append(solved.square().sum(dim=0))
        return torch.cat(means), torch.clamp(prior - torch.cat(known), min=1e-9)

    def covariances(self, rows: Tensor, labels: Tensor, others: tuple[Tensor, Tensor]) -> Tensor:
        """Returns the posterior covariances `[B, C]` of architectures with the rows and labels of `others`."""
        solved = torch.cholesky_solve(self._with_fitted(*others).T, self._cholesky)
        together = _kernel(_compared((rows, labels), others), self.hyper_parameters)
        return together - self._with_fitted(rows, labels) @ solved

    def _with_fitted(self, rows: Tensor, labels: Tensor) -> Tensor:
        """The covariances `[B, n]` of architectures with the fitted ones, before anything was observed."""
        return _kernel(_compared((rows, labels), self._fitted), self.hyper_parameters)

    @torch.enable_grad()
    def _minus_log_density(
        self, position: NDArray[np.float64], residual: Tensor
    ) -> tuple[float, NDArray[np.float64]]:
        """The negative log posterior density of the hyper-parameters at a position, and its gradient."""
        at = torch.tensor(position, requires_grad=True)
        factor = _factor(self._among_fitted, _scaled(at))
        fit = residual @ torch.cholesky_solve(residual.unsqueeze(1), factor).squeeze(1)
        value = 0.5 * fit + factor.diagonal().log().sum() + 0.5 * at.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        assert at.grad is not None
        return value.item(), at.grad.numpy()


def _compared(some: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor]) -> Compared:
    """What kernels know of rows and labels, and others."""
    (rows, labels), (other_rows, other_labels) = some, others
    count = max(labels.shape[1], 1)
    return labels @ other_labels.T / count, _squares(rows, other_rows), _squares(labels, other_labels) / count


def _kernel(compared: Compared, hyper_parameters: Tensor) -> Tensor:
    """The covariances `[B, n]` of architectures with others before anything was observed, without noise."""
    products, of_rows, of_labels = compared
    linear, smooth, row_length, label_length, _ = hyper_parameters
    squares = of_rows / row_length**2 + of_labels / label_length**2
    distance = (5 * squares + 1e-12).sqrt()  # its derivative at 0 is infinite
    matern = (1 + distance + distance.square() / 3) * torch.exp(-distance)
    return torch.add(CONSTANT + linear**2 * products, smooth**2 * matern)


def _factor(compared: Compared, hyper_parameters: Tensor) -> Tensor:
    """The Cholesky factor `[n, n]` of the covariance of what was observed."""
    noise = (hyper_parameters[-1] ** 2 + 1e-6) * torch.eye(len(compared[0]), dtype=torch.float64)
    factor: Tensor = torch.linalg.cholesky(_kernel(compared, hyper_parameters) + noise)
    return factor


def _scaled(position: Tensor) -> Tensor:
    """The hyper-parameters at a position, in deviations from their centres."""
    return CENTRES * (SPREADS * position).exp()


def _squares(some: Tensor, others: Tensor) -> Tensor:
    """The squared distances `[B, n]` of rows."""
    return torch.cdist(some, others, compute_mode="donot_use_mm_for_euclid_dist").square()
