"""Expected improvement, in logarithms, of a value that is minimised.

Separate because it is a formula that must not lose its last digits: far from the best, the improvement itself is 0 in
floating point, and all candidates would look alike (Ament et al. 2023). Called by `sampler`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, ndtr

Array = NDArray[np.float64]
#: The least improvement that counts, in standard deviations of the values seen, as in the service of the TAO API.
XI = 0.01
_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)
#: Below, the difference in the middle has few digits left, and its limit, 1 / z ** 2, is exact enough.
_FAR = -1e4


def log_expected_improvement(means: Array, deviations: Array, best: float) -> Array:
    """Logarithm of E[max(0, best - XI - value)], of values that are normally distributed."""
    return np.log(deviations) + log_h((best - XI - means) / deviations)


def log_h(z: Array) -> Array:
    """log(density(z) + z * distribution(z)) of the standard normal."""
    result = -0.5 * np.square(z) - _LOG_ROOT_TWO_PI
    near, far = z > -1, z < _FAR
    middle = ~(near | far)
    result[near] = np.log(np.exp(result[near]) + z[near] * ndtr(z[near]))
    result[middle] += np.log1p(z[middle] * math.sqrt(math.pi / 2) * erfcx(-z[middle] / math.sqrt(2)))
    result[far] -= 2 * np.log(-z[far])
    return result
