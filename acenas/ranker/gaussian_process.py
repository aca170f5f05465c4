"""Gaussian process regression on rows of features: for the baseline, and for what a search returns."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

from acenas.spaces.features import Rows


def matern_and_noise(columns: int, smoothness: float = 2.5) -> Kernel:
    """Returns a Matérn kernel (`k1`) for rows of so many columns, plus noise (`k2`), for targets of variance 1."""
    length = np.sqrt(columns)  # of the order of the distance of two rows
    matern = Matern(length, (length / 30, length * 30), nu=smoothness)
    return ConstantKernel(1.0, (1e-2, 1e2)) * matern + WhiteKernel(0.1, (1e-3, 1e1))


def most_likely_process(
    rows: Rows,
    targets: NDArray[np.floating],
    smoothness: float = 2.5,
    restarts: int = 0,
    seed: int | None = None,
) -> GaussianProcessRegressor:
    """Fits a Gaussian process whose hyper-parameters maximise the marginal likelihood.

    Args:
        rows: `[n, F]`.
        targets: `[n]`, in any unit; they are standardised.
        smoothness: ν of the Matérn kernel: 0.5, 1.5 or 2.5, or infinity for an RBF kernel.
        restarts: of the maximisation, from random hyper-parameters.
        seed: draws these; below 2^32.
    """
    process = GaussianProcessRegressor(
        matern_and_noise(rows.shape[1], smoothness),
        normalize_y=True,
        n_restarts_optimizer=restarts,
        random_state=seed,
    )
    with warnings.catch_warnings():  # a hyper-parameter at its bound is as good as any other
        warnings.simplefilter("ignore", ConvergenceWarning)
        return process.fit(rows, targets)
