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
from trainyard_trainer.learners.losses import of_votes
from trainyard_trainer.preparing import Array, Prepared
from trainyard_trainer.problems import Refused


class RandomForest:
    """RandomForestClassifier or RandomForestRegressor. A mini step is one tree.

    With a parent, `n_estimators` trees are added to those that it has.
    """

    def __init__(
        self,
        prepared: Prepared,
        parameters: Mapping[str, Any],
        *,
        classify: bool,
        parent: Any = None,
    ) -> None:
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
        self._inherited = 0
        if parent is not None:
            if classify and len(np.unique(prepared.y_train)) < len(prepared.classes):
                raise Refused(
                    "The rows to learn from lack a class that the parent's forest knows, so trees grown on them"
                    " could not vote with its own. Add rows of every class."
                )
            self._model.estimators_ = list(parent.estimators_)
            self._model.n_outputs_ = parent.n_outputs_
            self._inherited = len(parent.estimators_)
            # NB: the parent's own seed would draw again the trees that pruning has removed, or some that are there.
            draw = np.random.default_rng([parameters["random_seed"], self._inherited])
            self._model.random_state = int(draw.integers(2**32))
        self._best_trees = 0
        self._counted = 0
        self._votes_train: Array = np.zeros(())
        self._votes_validation: Array = np.zeros(())
        self.max_epoch = -(-self._trees // self._batch)
        self.max_step = self._trees

    def steps_in(self, epoch: int) -> int:
        return min(self._batch, self._trees - (epoch - 1) * self._batch)

    def step(self, *, epoch: int, index: int) -> None:
        self._model.n_estimators = self._inherited + (epoch - 1) * self._batch + index + 1
        self._model.fit(self._x_train, self._data.y_train)

    def whole_epoch(self, epoch: int) -> None:
        """A batch of trees in one call of scikit-learn's: the same trees. NB: no signal is heard meanwhile."""
        self.step(epoch=epoch, index=self.steps_in(epoch) - 1)

    def measure(self) -> Measures:
        # NB: only the new trees vote; asking the whole forest each epoch would be quadratic.
        trees = self._model.estimators_
        for tree in trees[self._counted :]:
            vote = tree.predict_proba if self._classify else tree.predict
            self._votes_train = self._votes_train + vote(self._x_train)
            self._votes_validation = self._votes_validation + vote(self._x_validation)
        self._counted = len(trees)
        fitted, seen = self._votes_train / self._counted, self._votes_validation / self._counted
        return of_votes(
            fitted,
            seen,
            y_train=self._data.y_train,
            y_validation=self._data.y_validation,
            classify=self._classify,
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
        return {"model": self._model, "best_trees": self._best_trees, "inherited": self._inherited}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._model = state["model"]
        self._best_trees = state["best_trees"]
        # NB: where another job goes on with this training, its parent's forest has the new trees already.
        self._inherited = state["inherited"]
        # The votes are not saved, they are counted again from the trees: in the same order, to the same sums.
        self._counted = 0
        self._votes_train = np.zeros(())
        self._votes_validation = np.zeros(())
