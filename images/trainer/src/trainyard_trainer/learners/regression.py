"""A linear regression: a network without hidden layers, kept as scikit-learn's LinearRegression.

Separate from `neural_network` because what is kept is another estimator, with coefficients to read. Trained in
mini-batches rather than solved at once, so that it can be watched, stopped early and continued like the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainyard_trainer.learners.neural_network import NeuralNetwork
from trainyard_trainer.preparing import Prepared

_NO_LAYERS = {"hidden_layer_sizes": [], "activation": "identity"}


class Regression(NeuralNetwork):
    """Least squares with an L2 penalty, by Adam.

    With a parent it goes on from its coefficients; those that are zero, because they were pruned, stay so.
    """

    def __init__(self, prepared: Prepared, parameters: Mapping[str, Any], *, parent: Any = None) -> None:
        super().__init__(prepared, {**parameters, **_NO_LAYERS}, classify=False)
        if parent is not None:
            self._go_on_from([parent.coef_[:, np.newaxis]], [np.array([parent.intercept_])])

    def estimator(self, *, best: bool) -> Any:
        from sklearn.linear_model import LinearRegression

        network = super().estimator(best=best)
        model = LinearRegression()
        model.coef_ = network.coefs_[0][:, 0]
        model.intercept_ = float(network.intercepts_[0][0])
        model.n_features_in_ = len(model.coef_)
        return model
