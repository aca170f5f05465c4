"""The corrected prior, against scikit-learn's kernels and scipy's densities."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import check_grad
from scipy.stats import multivariate_normal, norm
from sklearn.gaussian_process.kernels import Matern
from torch import Tensor

from acenas.ranker.prior import CENTRES, CONSTANT, MOST_FITTED, CorrectedPrior


def architectures(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features `[n, 12]`, two labels `[n, 2]` and what these lead to expect."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(2, (n, 12), generator=generator).double()
    labels = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return rows, labels, 0.5 * labels[:, 0]


def standardised(values: Tensor) -> Tensor:
    return (values - values.mean()) / values.std(correction=0)


def covariance(
    one: tuple[Tensor, ...], other: tuple[Tensor, ...], hyper_parameters: Tensor
) -> NDArray[np.float64]:
    """As the docstring has it, with the kernel of scikit-learn."""
    linear, smooth, row_length, label_length, _ = hyper_parameters.tolist()
    places = [
        np.hstack([rows.numpy() / row_length, labels.numpy() / np.sqrt(2) / label_length])
        for rows, labels, _ in (one, other)
    ]
    products = one[1].numpy() @ other[1].numpy().T / 2
    matern = Matern(length_scale=1.0, nu=2.5)(*places)
    return np.asarray(CONSTANT + linear**2 * products + smooth**2 * matern)


def test_predicts_the_posterior_mean() -> None:
    seen, unseen = architectures(15), architectures(7, seed=1)
    targets = standardised(seen[0][:, 0] + seen[1][:, 1])
    prior = CorrectedPrior(*seen, targets)
    found = prior.hyper_parameters
    noisy = covariance(seen, seen, found) + (float(found[-1]) ** 2 + 1e-6) * np.eye(15)
    residual = (targets - seen[2]).numpy()
    expected = unseen[2].numpy() + covariance(unseen, seen, found) @ np.linalg.solve(noisy, residual)
    np.testing.assert_allclose(prior.predict(*unseen).numpy(), expected, atol=1e-8)


def test_the_density_of_the_hyper_parameters_and_its_gradient() -> None:
    seen = architectures(9)
    targets = standardised(seen[0][:, 1])
    prior = CorrectedPrior(*seen, targets)
    residual = targets - seen[2]

    def value(position: NDArray[np.float64]) -> float:
        return prior._minus_log_density(position, residual)[0]

    def gradient(position: NDArray[np.float64]) -> NDArray[np.float64]:
        return prior._minus_log_density(position, residual)[1]

    def reference(position: NDArray[np.float64]) -> float:
        scaled = CENTRES * torch.exp(torch.tensor([1.0, 0.5, 0.7, 0.7, 0.7]) * torch.from_numpy(position))
        noisy = covariance(seen, seen, scaled) + (float(scaled[-1]) ** 2 + 1e-6) * np.eye(9)
        density = multivariate_normal(cov=noisy).logpdf(residual.numpy())
        return float(-density - norm.logpdf(position).sum())

    one, other = np.array([0.3, -0.2, 0.5, -1.0, 0.1]), np.array([-1.0, 0.4, 0.0, 0.2, 1.5])
    assert value(one) - value(other) == pytest.approx(reference(one) - reference(other), abs=1e-6)
    assert check_grad(value, gradient, one) < 1e-4


def test_a_label_that_misleads_is_turned_round() -> None:
    seen, unseen = architectures(20), architectures(40, seed=1)
    prior = CorrectedPrior(*seen, standardised(-seen[1][:, 0]))
    agreement = np.corrcoef(prior.predict(*unseen), -unseen[1][:, 0])[0, 1]
    assert agreement > 0.9


def test_the_order_of_the_observations_does_not_matter() -> None:
    seen, unseen = architectures(12), architectures(5, seed=1)
    targets, order = standardised(seen[0][:, 0]), torch.randperm(12)
    rows, labels, before = (each[order] for each in seen)
    shuffled = CorrectedPrior(rows, labels, before, targets[order])
    predicted = CorrectedPrior(*seen, targets).predict(*unseen)
    torch.testing.assert_close(predicted, shuffled.predict(*unseen), atol=1e-3, rtol=0)


def test_of_many_observations_some_are_fitted() -> None:
    seen = architectures(MOST_FITTED + 50)
    prior = CorrectedPrior(*seen, standardised(seen[0][:, 0]))
    assert prior.predict(*seen).shape == (MOST_FITTED + 50,)
    assert len(prior._fitted[0]) == MOST_FITTED


def test_equal_targets_correct_nothing_much() -> None:
    """Where all failed alike, nothing was learned of their order."""
    seen = architectures(5)
    predicted = CorrectedPrior(*seen, torch.zeros(5, dtype=torch.float64)).predict(*seen)
    assert bool(predicted.isfinite().all())


def test_the_posterior_variance_and_covariances() -> None:
    seen, unseen, others = architectures(15), architectures(7, seed=1), architectures(4, seed=2)
    prior = CorrectedPrior(*seen, standardised(seen[0][:, 0]))
    found = prior.hyper_parameters
    noisy = covariance(seen, seen, found) + (float(found[-1]) ** 2 + 1e-6) * np.eye(15)

    def posterior(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> NDArray[np.float64]:
        known = np.linalg.solve(noisy, covariance(seen, other, found))
        return covariance(one, other, found) - covariance(one, seen, found) @ known

    together = prior.covariances(*unseen[:2], others[:2])
    np.testing.assert_allclose(together.numpy(), posterior(unseen, others), atol=1e-6)
    mean, variance = prior.posterior(*unseen)
    np.testing.assert_allclose(variance.numpy(), posterior(unseen, unseen).diagonal(), atol=1e-6)
    assert torch.equal(mean, prior.predict(*unseen))
    assert prior.noise == pytest.approx(float(found[-1]) ** 2)
