"""One decision tree, grown level by level; an epoch is a level.

Separate from scikit-learn's own `fit` because that grows a tree in one piece, of which nothing can be kept and
nothing be told while it grows. Each epoch grows the tree anew, one level deeper: an epoch costs a fit, and a state
is no more than a tree. The deepest level is the tree that scikit-learn grows by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainyard_trainer.learners import Measures
from trainyard_trainer.learners.losses import of_votes
from trainyard_trainer.preparing import Prepared


class DecisionTree:
    """DecisionTreeClassifier or DecisionTreeRegressor. The one mini step of an epoch is a fit."""

    def __init__(self, prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool) -> None:
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        self._data = prepared
        self._classify = classify
        # Trees read 32-bit floats; converting once here saves it for every level.
        self._x_train = np.ascontiguousarray(prepared.x_train, dtype=np.float32)
        self._x_validation = np.ascontiguousarray(prepared.x_validation, dtype=np.float32)
        self._whole = (DecisionTreeClassifier if classify else DecisionTreeRegressor)(
            max_depth=parameters["max_depth"],
            min_samples_split=parameters["min_samples_split"],
            min_samples_leaf=parameters["min_samples_leaf"],
            # NB: 1 is all features only as a float; as an integer it is one feature.
            max_features=float(parameters["max_features"]),
            random_state=parameters["random_seed"],
        ).fit(self._x_train, prepared.y_train)
        self._levels = max(1, self._whole.get_depth())
        self._model: Any = None
        self._best: Any = None
        self.max_epoch = min(self._levels, parameters["epochs"] or self._levels)
        self.max_step = self.max_epoch

    def steps_in(self, epoch: int) -> int:
        return 1

    def step(self, *, epoch: int, index: int) -> None:
        if epoch >= self._levels:
            self._model = self._whole
            return
        settings = {**self._whole.get_params(), "max_depth": epoch}
        self._model = type(self._whole)(**settings).fit(self._x_train, self._data.y_train)

    def measure(self) -> Measures:
        vote = self._model.predict_proba if self._classify else self._model.predict
        return of_votes(
            vote(self._x_train),
            vote(self._x_validation),
            y_train=self._data.y_train,
            y_validation=self._data.y_validation,
            classify=self._classify,
        )

    def keep_as_best(self) -> None:
        self._best = self._model

    def estimator(self, *, best: bool) -> Any:
        model = copy.copy(self._best if best and self._best is not None else self._model)
        if self._classify:
            model.classes_ = self._data.classes
        return model

    def state(self) -> dict[str, Any]:
        return {"model": self._model, "best": self._best}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._model = state["model"]
        self._best = state["best"]
