"""The Gaussian process beside scikit-learn's, and its gradient beside differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from trainyard_tuner import gaussian
from trainyard_tuner.gaussian import Array, Kernel, Prior

KERNEL = Kernel(np.log([0.3, 0.8, 2.0]), math.log(1.7), math.log(0.05))
OWNERS = np.arange(3)


@pytest.fixture
def seen() -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    inputs = rng.random((30, 3))
    return inputs, np.sin(5 * inputs[:, 0]) + inputs[:, 1] + 0.1 * rng.normal(size=30)


def theirs(inputs: Array, values: Array) -> GaussianProcessRegressor:
    kernel = ConstantKernel(1.7) * Matern([0.3, 0.8, 2.0], nu=2.5) + WhiteKernel(0.05)
    return GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-8).fit(inputs, values)


def test_it_predicts_as_scikit_learn_does(seen: tuple[Array, Array]) -> None:
    process = gaussian.given(KERNEL, OWNERS, *seen)
    points = np.random.default_rng(4).random((50, 3))
    means, deviations = process.predict(points)
    their_means, their_deviations = theirs(*seen).predict(points, return_std=True)
    assert means == pytest.approx(their_means, abs=1e-9)
    # Theirs has the noise in it, as the white kernel is a part of the kernel.
    assert deviations == pytest.approx(np.sqrt(their_deviations**2 - 0.05), abs=1e-6)


def test_its_likelihood_is_scikit_learns(seen: tuple[Array, Array]) -> None:
    inputs, values = seen
    parameters = np.array([*KERNEL.lengths, KERNEL.scale, KERNEL.noise])
    # A prior so wide that it is none.
    prior = Prior(parameters, np.full(5, 1e9))
    distances = gaussian._distances(OWNERS, inputs)
    ours, gradient = gaussian.negative_log_posterior(parameters, distances, values, prior)
    fitted = theirs(inputs, values)
    likelihood, slope = fitted.log_marginal_likelihood(fitted.kernel_.theta, eval_gradient=True)
    assert ours + 15 * math.log(2 * math.pi) == pytest.approx(-likelihood)
    # Theirs are in the order of the kernel: variance, lengths, noise.
    assert gradient == pytest.approx(-slope[[1, 2, 3, 0, 4]], rel=1e-5, abs=1e-6)


def test_the_gradient_is_that_of_differences(seen: tuple[Array, Array]) -> None:
    inputs, values = seen
    prior, distances = Prior.for_dimensions(3), gaussian._distances(OWNERS, inputs)
    place = np.array([-0.5, 0.2, 1.0, 0.3, -2.0])
    _, gradient = gaussian.negative_log_posterior(place, distances, values, prior)
    for index in range(5):
        step = np.eye(5)[index] * 1e-5
        above, below = (
            gaussian.negative_log_posterior(place + sign * step, distances, values, prior)[0]
            for sign in (1, -1)
        )
        assert gradient[index] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-5)


def test_the_dimension_that_matters_gets_the_shortest_length() -> None:
    rng = np.random.default_rng(5)
    inputs = rng.random((40, 3))
    values = np.sin(9 * inputs[:, 1])
    process = gaussian.fit(OWNERS, inputs, (values - values.mean()) / values.std())
    assert process.kernel.lengths.argmin() == 1
    means, _ = process.predict(inputs)
    assert np.abs(means - process.values).max() < 0.2


def test_values_that_are_all_noise_are_seen_as_noise() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=60)
    process = gaussian.fit(OWNERS, rng.random((60, 3)), (values - values.mean()) / values.std())
    means, _ = process.predict(process.inputs)
    assert means.std() < 0.5


def test_equal_values_and_equal_points_can_be_fitted() -> None:
    process = gaussian.fit(OWNERS, np.full((8, 3), 0.5), np.zeros(8))
    means, deviations = process.predict(np.array([[0.5, 0.5, 0.5], [0.0, 1.0, 0.0]]))
    assert means == pytest.approx([0, 0], abs=1e-6)
    assert deviations[0] < deviations[1]


def test_a_point_that_runs_is_surer_but_no_better(seen: tuple[Array, Array]) -> None:
    process = gaussian.given(KERNEL, OWNERS, *seen)
    point = np.array([[0.9, 0.1, 0.5]])
    before, unsure = process.predict(point)
    after, surer = process.believing(point).predict(point)
    assert after == pytest.approx(before, abs=1e-6)
    assert surer[0] < unsure[0]
