"""A fully connected network, trained by mini-batches with partial_fit.

Separate from scikit-learn's own `fit` because that neither stops between two mini-batches nor continues
exactly. The shuffle of an epoch is drawn from (seed, epoch) alone, so no generator has to be saved.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainyard_trainer.backbones import Backbone
from trainyard_trainer.learners import Measures
from trainyard_trainer.learners.losses import log_loss, mean_squared_error
from trainyard_trainer.preparing import Array, Prepared
from trainyard_trainer.problems import Refused

_NO_STEP = 1e-300


class NeuralNetwork:
    """MLPClassifier or MLPRegressor under an epoch loop of our own. A regression's target is standardised.

    With a parent it goes on from that network's weights; those that are zero, because they were pruned, stay so. With a
    backbone it begins with those of its layers that fit.
    """

    def __init__(
        self,
        prepared: Prepared,
        parameters: Mapping[str, Any],
        *,
        classify: bool,
        parent: Any = None,
        backbone: Backbone | None = None,
    ) -> None:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        self._data = prepared
        self._classify = classify
        self._seed: int = parameters["random_seed"]
        self._batch_size: int = parameters["batch_size"]
        self._learning_rate: float = parameters["learning_rate"]
        self._center, self._scale = (0.0, 1.0) if classify else _center_and_scale(prepared.y_train)
        self._targets = prepared.y_train if classify else (prepared.y_train - self._center) / self._scale
        # NB: shuffling and stopping are ours; its own would draw from a generator that starts anew each call.
        self._model = (MLPClassifier if classify else MLPRegressor)(
            hidden_layer_sizes=tuple(parameters["hidden_layer_sizes"]),
            activation=parameters["activation"],
            alpha=parameters["alpha"],
            learning_rate_init=self._learning_rate,
            random_state=self._seed,
            shuffle=False,
        )
        self._kept: list[Array] = []
        if parent is not None:
            self._go_on_from(parent.coefs_, parent.intercepts_)
        elif backbone is not None:
            self._begin_with(backbone)
        self._best: tuple[list[Array], list[Array]] | None = None
        self._loss_sum = 0.0
        self._rows_seen = 0
        self._shuffled: tuple[int, Array] = (0, np.empty(0, dtype=int))
        self.max_epoch: int = parameters["epochs"]
        self.max_step = self.max_epoch * self.steps_in(1)

    def steps_in(self, epoch: int) -> int:
        return -(-len(self._data.x_train) // self._batch_size)

    def step(self, *, epoch: int, index: int) -> None:
        if self._shuffled[0] != epoch:
            self._shuffled = (epoch, self._order(epoch))
        if index == 0:
            self._loss_sum, self._rows_seen = 0.0, 0
        rows = self._shuffled[1][index * self._batch_size : (index + 1) * self._batch_size]
        self._learn_in(epoch, rows)
        self._loss_sum += float(self._model.loss_) * len(rows)
        self._rows_seen += len(rows)

    def whole_epoch(self, epoch: int) -> None:
        """All mini steps of an epoch in one call of scikit-learn's: the same weights in a fraction of the time.

        NB: no signal is heard meanwhile, and what was pruned would not stay zero.
        """
        rows = self._order(epoch)
        self._learn_in(epoch, rows)
        self._loss_sum, self._rows_seen = float(self._model.loss_) * len(rows), len(rows)

    def _order(self, epoch: int) -> Array:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self._targets))

    def _learn_in(self, epoch: int, rows: Array) -> None:
        try:
            self._learn(rows)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            raise self._diverged(f"in epoch {epoch}") from error

    def _learn(self, rows: Array) -> None:
        self._model.batch_size = min(self._batch_size, len(rows))
        more = {"classes": np.arange(len(self._data.classes))} if self._classify else {}
        self._model.partial_fit(self._data.x_train[rows], self._targets[rows], **more)
        # NB: in place, because the optimizer holds the same arrays.
        for weights, kept in zip(self._model.coefs_, self._kept, strict=False):
            weights *= kept

    def _go_on_from(self, coefs: Sequence[Array], intercepts: Sequence[Array]) -> None:
        """Take these weights, which predict in the target's own terms, for the ones to start with."""
        self._set_up()
        self._model.coefs_ = [np.array(weights, dtype=float) for weights in coefs]
        self._model.intercepts_ = [np.array(biases, dtype=float) for biases in intercepts]
        if not self._classify:
            self._standardise_output()
        if any((weights == 0).any() for weights in self._model.coefs_):
            self._kept = [weights != 0 for weights in self._model.coefs_]

    def _begin_with(self, backbone: Backbone) -> None:
        """Take its layers where they fit; the others are as they would have been without it."""
        wanted = self._model.learning_rate_init
        # NB: so small that the step which sets up leaves the start weights as they were drawn.
        self._model.learning_rate_init = _NO_STEP
        self._set_up()
        self._model.learning_rate_init = wanted
        layers = backbone.fitting(self._model.coefs_, self._model.intercepts_)
        for place, (weights, biases) in layers.items():
            self._model.coefs_[place] = np.array(weights, dtype=float)
            self._model.intercepts_[place] = np.array(biases, dtype=float)
        if not self._classify and len(self._model.coefs_) - 1 in layers:
            self._standardise_output()

    def _standardise_output(self) -> None:
        """Of an output layer that predicts in the target's own terms."""
        self._model.coefs_[-1] /= self._scale
        self._model.intercepts_[-1] = (self._model.intercepts_[-1] - self._center) / self._scale

    def _set_up(self) -> None:
        """One step for what partial_fit sets up; its weights are thrown away, and the optimizer with them."""
        self._learn(np.arange(min(self._batch_size, len(self._targets))))
        del self._model._optimizer

    def measure(self) -> Measures:
        x, y = self._data.x_validation, self._data.y_validation
        training_loss = self._loss_sum / max(1, self._rows_seen)
        if not np.isfinite(training_loss):
            raise self._diverged("by the end of an epoch")
        if self._classify:
            probabilities = self._model.predict_proba(x)
            return Measures(
                training_loss=training_loss,
                validation_loss=log_loss(y, probabilities),
                score=float(np.mean(probabilities.argmax(axis=1) == y)),
            )
        error = mean_squared_error(y, self._model.predict(x) * self._scale + self._center)
        # Half the squared error of the standardised target, which is what partial_fit minimises.
        return Measures(
            training_loss=training_loss,
            validation_loss=error / (2 * self._scale**2),
            score=float(np.sqrt(error)),
        )

    def _diverged(self, when: str) -> Refused:
        return Refused(
            f"The training diverged {when}: its weights or its loss are no longer finite. Lower learning_rate"
            f" or alpha (they are {self._learning_rate} and {self._model.alpha}) and start a new job."
        )

    def keep_as_best(self) -> None:
        self._best = ([w.copy() for w in self._model.coefs_], [b.copy() for b in self._model.intercepts_])

    def estimator(self, *, best: bool) -> Any:
        model = copy.deepcopy(self._model)
        if best and self._best is not None:
            model.coefs_, model.intercepts_ = copy.deepcopy(self._best)
        model.set_params(batch_size=self._batch_size)
        # What only training needs: Adam's moments are twice the size of the weights.
        vars(model).pop("_optimizer", None)
        model.loss_curve_ = []
        if self._classify:
            model.classes_ = self._data.classes
            model._label_binarizer.classes_ = self._data.classes
        else:
            # The output layer is linear, so undoing the standardisation is part of its weights.
            model.coefs_[-1] = model.coefs_[-1] * self._scale
            model.intercepts_[-1] = model.intercepts_[-1] * self._scale + self._center
        return model

    def state(self) -> dict[str, Any]:
        return {
            "model": self._model,
            "best": self._best,
            "loss_sum": self._loss_sum,
            "rows_seen": self._rows_seen,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._model = state["model"]
        self._best = state["best"]
        self._loss_sum = state["loss_sum"]
        self._rows_seen = state["rows_seen"]
        # The learning rate may have been changed between two attempts.
        self._model.learning_rate_init = self._learning_rate
        if hasattr(self._model, "_optimizer"):
            self._model._optimizer.learning_rate_init = self._learning_rate


def _center_and_scale(targets: Array) -> tuple[float, float]:
    return float(targets.mean()), float(targets.std()) or 1.0
