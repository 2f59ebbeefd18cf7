"""Expected improvement beside its definition, also where it is 0 in floating point."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainyard_tuner.acquisition import XI, log_expected_improvement, log_h


def test_it_is_the_mean_improvement_of_many_draws() -> None:
    values = np.random.default_rng(1).normal(0.3, 0.5, 400_000)
    measured = np.maximum(0, 0.2 - XI - values).mean()
    (found,) = log_expected_improvement(np.array([0.3]), np.array([0.5]), 0.2)
    assert math.exp(found) == pytest.approx(measured, rel=0.01)


@pytest.mark.parametrize("z", [-3.0, -1.5, -1.0001, -0.9999, 0.0, 1.0, 8.0])
def test_its_logarithm_is_that_of_the_formula(z: float) -> None:
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    expected = math.log(density + z * 0.5 * math.erfc(-z / math.sqrt(2)))
    assert log_h(np.array([z]))[0] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_far_away_it_still_tells_better_from_worse() -> None:
    z = -np.geomspace(1e6, 0.5, 400)
    values = log_h(z)
    assert np.isfinite(values).all()
    assert (np.diff(values) > 0).all()
