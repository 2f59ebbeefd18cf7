"""The two losses that are watched during training, and what they come to for trees. Called by the learners.

Separate from scikit-learn's because a held-out row may have a class that the training rows lack.
"""

from __future__ import annotations

import numpy as np

from trainyard_trainer.learners import Measures
from trainyard_trainer.preparing import Array


def of_votes(fitted: Array, seen: Array, *, y_train: Array, y_validation: Array, classify: bool) -> Measures:
    """The measures of a tree or a forest from its probabilities, or its predictions of a quantity."""
    if classify:
        return Measures(
            training_loss=log_loss(y_train, fitted),
            validation_loss=log_loss(y_validation, seen),
            score=float(np.mean(seen.argmax(axis=1) == y_validation)),
        )
    error = mean_squared_error(y_validation, seen)
    return Measures(
        training_loss=mean_squared_error(y_train, fitted),
        validation_loss=error,
        score=float(np.sqrt(error)),
    )


def log_loss(places: Array, probabilities: Array) -> float:
    """Mean negative log likelihood; `places` are columns of `probabilities`, -1 has probability 0.

    Probabilities are kept above the float's epsilon, so that one confident mistake is not infinite.
    """
    chosen = probabilities[np.arange(len(places)), places]
    chosen = np.where(places < 0, 0.0, chosen)
    return -float(np.log(np.clip(chosen, np.finfo(float).eps, 1.0)).mean()) + 0.0


def mean_squared_error(targets: Array, predictions: Array) -> float:
    """In the square of the target's unit."""
    return float(np.square(targets - predictions).mean())
