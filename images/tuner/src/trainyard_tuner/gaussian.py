"""A Gaussian process: a Matern kernel of smoothness 2.5 with one length scale for each dimension, and noise.

Separate because it is mathematics that knows of no trials. Ours, and not scikit-learn's, because a categorical has one
length scale here, however many values it has, and because the likeliest kernel is sought with a prior: with ten points
the likelihood alone likes to say that everything is noise, or that nothing is. Called by `sampler`; tests compare it
with scikit-learn's. Rasmussen and Williams 2006, algorithm 2.1, equations 4.17 and 5.9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]
_JITTER = 1e-8
_ITERATIONS = 60
#: Bounds of the kernel's parameters, in logarithms.
_LENGTHS = (math.log(0.02), math.log(50.0))
_SCALES = (math.log(0.05), math.log(20.0))
_NOISES = (math.log(1e-6), math.log(1.0))


@dataclass(frozen=True)
class Kernel:
    """Logarithms of the length scales, of the variance and of the variance of the noise."""

    lengths: Array
    scale: float
    noise: float

    @staticmethod
    def of(parameters: Array) -> Kernel:
        return Kernel(parameters[:-2], float(parameters[-2]), float(parameters[-1]))

    def between(self, one: Array, other: Array) -> Array:
        """Covariances of the rows of two matrices, without the noise."""
        lengths = np.exp(self.lengths)
        return _matern(cdist(one / lengths, other / lengths, "sqeuclidean"), math.exp(self.scale))[0]


@dataclass(frozen=True)
class Process:
    """The process given the values at `inputs`, whose columns belong to the dimensions `owners`."""

    kernel: Kernel
    owners: NDArray[np.intp]
    inputs: Array
    values: Array
    factor: Array
    weights: Array

    def predict(self, inputs: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, without the noise, at each row."""
        spread = self._by_column.between(inputs, self.inputs)
        solved = solve_triangular(self.factor, spread.T, lower=True, check_finite=False)
        variance = math.exp(self.kernel.scale) - np.square(solved).sum(axis=0)
        return spread @ self.weights, np.sqrt(np.maximum(variance, 1e-12))

    def believing(self, inputs: Array) -> Process:
        """The process as if the values there were what it expects (Ginsbourger et al. 2010, the kriging believer)."""
        if not len(inputs):
            return self
        expected, _ = self.predict(inputs)
        return given(
            self.kernel, self.owners, np.vstack([self.inputs, inputs]), np.append(self.values, expected)
        )

    @property
    def _by_column(self) -> Kernel:
        return replace(self.kernel, lengths=self.kernel.lengths[self.owners])


def given(kernel: Kernel, owners: NDArray[np.intp], inputs: Array, values: Array) -> Process:
    """The process with a kernel that is known."""
    covariance = replace(kernel, lengths=kernel.lengths[owners]).between(inputs, inputs)
    covariance[np.diag_indices_from(covariance)] += math.exp(kernel.noise) + _JITTER
    factor = cholesky(covariance, lower=True, check_finite=False)
    weights = cho_solve((factor, True), values, check_finite=False)
    return Process(kernel, owners, inputs, values, factor, weights)


def fit(owners: NDArray[np.intp], inputs: Array, values: Array) -> Process:
    """The process with the likeliest kernel (of the posterior). Values should have mean 0 and variance 1."""
    distances = _distances(owners, inputs)
    prior = Prior.for_dimensions(len(distances))
    best: tuple[float, Array] = (math.inf, prior.means)
    for start in prior.starts():
        found = minimize(
            negative_log_posterior,
            start,
            args=(distances, values, prior),
            jac=True,
            method="L-BFGS-B",
            bounds=prior.bounds,
            options={"maxiter": _ITERATIONS},
        )
        if found.fun < best[0]:
            best = (float(found.fun), np.asarray(found.x))
    return given(Kernel.of(best[1]), owners, inputs, values)


@dataclass(frozen=True)
class Prior:
    """Normal distributions of the kernel's logarithms. Length scales grow with the root of the number of dimensions,
    as in Hvarfner et al. 2024: in many dimensions all points are far from each other."""

    means: Array
    deviations: Array

    @staticmethod
    def for_dimensions(count: int) -> Prior:
        length = math.log(0.5) + 0.5 * math.log(count)
        return Prior(
            means=np.array([length] * count + [0.0, -5.0]),
            deviations=np.array([1.0] * count + [1.0, 2.0]),
        )

    @property
    def bounds(self) -> list[tuple[float, float]]:
        return [_LENGTHS] * (len(self.means) - 2) + [_SCALES, _NOISES]

    def starts(self) -> tuple[Array, ...]:
        """The middle, and the view that most of it is noise."""
        noisy = self.means.copy()
        noisy[:-2] += 1.0
        noisy[-1] = math.log(0.3)
        return self.means, noisy


def negative_log_posterior(
    parameters: Array, distances: Array, values: Array, prior: Prior
) -> tuple[float, Array]:
    """With its gradient; constants are left out. `distances` are squared, one matrix for each dimension."""
    kernel = Kernel.of(parameters)
    relative = distances * np.exp(-2 * kernel.lengths)[:, None, None]
    covariance, slope = _matern(relative.sum(axis=0), math.exp(kernel.scale))
    noise = math.exp(kernel.noise)
    noisy = covariance.copy()
    noisy[np.diag_indices_from(noisy)] += noise + _JITTER
    try:
        factor = cholesky(noisy, lower=True, check_finite=False)
    except LinAlgError:
        return 1e12, np.zeros_like(parameters)
    weights = cho_solve((factor, True), values, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(len(values)), check_finite=False)
    outer = inverse - np.outer(weights, weights)
    deviations = (parameters - prior.means) / prior.deviations
    value = 0.5 * float(values @ weights) + float(np.log(np.diag(factor)).sum())
    value += 0.5 * float(deviations @ deviations)
    gradient = deviations / prior.deviations
    gradient[:-2] -= np.tensordot(relative, outer * slope, axes=([1, 2], [0, 1]))
    gradient[-2] += 0.5 * float((outer * covariance).sum())
    gradient[-1] += 0.5 * noise * float(np.trace(outer))
    return value, gradient


def _matern(squared: Array, scale: float) -> tuple[Array, Array]:
    """The kernel of squared distances, and its derivative by them."""
    root = np.sqrt(5.0 * squared)
    decay = scale * np.exp(-root)
    return (1.0 + root + (5.0 / 3.0) * squared) * decay, (-5.0 / 6.0) * (1.0 + root) * decay


def _distances(owners: NDArray[np.intp], inputs: Array) -> Array:
    """Squared distances in each dimension between all rows."""
    distances = np.zeros((int(owners.max()) + 1, len(inputs), len(inputs)))
    for owner, column in zip(owners, inputs.T, strict=True):
        distances[owner] += np.square(column[:, None] - column[None, :])
    return distances
