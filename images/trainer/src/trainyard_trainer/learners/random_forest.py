"""A random forest, grown tree by tree with warm_start; an epoch is a batch of trees.

Separate from scikit-learn's own `fit` because that cannot stop between two trees. With a fixed seed
warm_start skips the draws of the trees that exist, so a forest grown in parts equals one grown at once.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainyard_trainer.learners import Measures
from trainyard_trainer.learners.losses import log_loss, mean_squared_error
from trainyard_trainer.preparing import Array, Prepared


class RandomForest:
    """RandomForestClassifier or RandomForestRegressor. A mini step is one tree."""

    def __init__(self, prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool) -> None:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        self._data = prepared
        self._classify = classify
        self._trees: int = parameters["n_estimators"]
        self._batch: int = parameters["trees_per_batch"]
        # Trees read 32-bit floats; converting once here saves it for every tree.
        self._x_train = np.ascontiguousarray(prepared.x_train, dtype=np.float32)
        self._x_validation = np.ascontiguousarray(prepared.x_validation, dtype=np.float32)
        self._model = (RandomForestClassifier if classify else RandomForestRegressor)(
            n_estimators=0,
            max_depth=parameters["max_depth"],
            min_samples_leaf=parameters["min_samples_leaf"],
            random_state=parameters["random_seed"],
            warm_start=True,
            n_jobs=1,
        )
        self._best_trees = 0
        self._counted = 0
        self._votes_train: Array = np.zeros(())
        self._votes_validation: Array = np.zeros(())
        self.max_epoch = -(-self._trees // self._batch)
        self.max_step = self._trees

    def steps_in(self, epoch: int) -> int:
        return min(self._batch, self._trees - (epoch - 1) * self._batch)

    def step(self, *, epoch: int, index: int) -> None:
        self._model.n_estimators = (epoch - 1) * self._batch + index + 1
        self._model.fit(self._x_train, self._data.y_train)

    def measure(self) -> Measures:
        # NB: only the new trees vote; asking the whole forest each epoch would be quadratic.
        trees = self._model.estimators_
        for tree in trees[self._counted :]:
            vote = tree.predict_proba if self._classify else tree.predict
            self._votes_train = self._votes_train + vote(self._x_train)
            self._votes_validation = self._votes_validation + vote(self._x_validation)
        self._counted = len(trees)
        fitted, seen = self._votes_train / self._counted, self._votes_validation / self._counted
        y = self._data.y_validation
        if self._classify:
            return Measures(
                training_loss=log_loss(self._data.y_train, fitted),
                validation_loss=log_loss(y, seen),
                score=float(np.mean(seen.argmax(axis=1) == y)),
            )
        error = mean_squared_error(y, seen)
        return Measures(
            training_loss=mean_squared_error(self._data.y_train, fitted),
            validation_loss=error,
            score=float(np.sqrt(error)),
        )

    def keep_as_best(self) -> None:
        self._best_trees = len(self._model.estimators_)

    def estimator(self, *, best: bool) -> Any:
        model = copy.copy(self._model)
        if best and self._best_trees:
            model.estimators_ = model.estimators_[: self._best_trees]
        model.n_estimators = len(model.estimators_)
        model.warm_start = False
        if self._classify:
            model.classes_ = self._data.classes
        return model

    def state(self) -> dict[str, Any]:
        return {"model": self._model, "best_trees": self._best_trees}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._model = state["model"]
        self._best_trees = state["best_trees"]
        # The votes are not saved, they are counted again from the trees: in the same order, to the same sums.
        self._counted = 0
        self._votes_train = np.zeros(())
        self._votes_validation = np.zeros(())
