"""New leaf values for a parent's tree, whose splits stay as they are.

Separate from `decision_tree` because nothing grows: a tree cannot be continued as a network can, since its splits
were chosen once and for all. What the data can still decide is what each leaf predicts.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainyard_trainer.learners import Measures
from trainyard_trainer.learners.losses import of_votes
from trainyard_trainer.preparing import Array, Prepared


class LeafValues:
    """One epoch of one mini step. A row of the parent's counts `parent_weight`, a new one 1."""

    def __init__(
        self,
        prepared: Prepared,
        parameters: Mapping[str, Any],
        *,
        classify: bool,
        parent: Any,
    ) -> None:
        self._data = prepared
        self._classify = classify
        self._weight: float = parameters["parent_weight"]
        self._x_train = np.ascontiguousarray(prepared.x_train, dtype=np.float32)
        self._x_validation = np.ascontiguousarray(prepared.x_validation, dtype=np.float32)
        self._model = copy.deepcopy(parent)
        self.max_epoch = 1
        self.max_step = 1

    def steps_in(self, epoch: int) -> int:
        return 1

    def step(self, *, epoch: int, index: int) -> None:
        tree = self._model.tree_
        reaches = self._model.decision_path(self._x_train).T
        old = tree.weighted_n_node_samples * self._weight
        rows = np.asarray(reaches.sum(axis=1)).ravel() + old
        reached = rows > 0
        # The inner nodes are counted too: pruning compares them with their leaves.
        values, impurities = (
            self._of_classes(reaches, old, rows)
            if self._classify
            else self._of_a_quantity(reaches, old, rows)
        )
        tree.value[reached, 0, :] = values[reached]
        tree.impurity[reached] = impurities[reached]
        tree.weighted_n_node_samples[:] = rows
        tree.n_node_samples[:] = np.round(rows)

    def _of_classes(self, reaches: Any, old: Array, rows: Array) -> tuple[Array, Array]:
        """Shares of the classes, and Gini's impurity."""
        classes = np.eye(len(self._data.classes))[self._data.y_train]
        counts = reaches @ classes + self._model.tree_.value[:, 0, :] * old[:, np.newaxis]
        shares = counts / np.maximum(rows, np.finfo(float).tiny)[:, np.newaxis]
        return shares, 1 - np.square(shares).sum(axis=1)

    def _of_a_quantity(self, reaches: Any, old: Array, rows: Array) -> tuple[Array, Array]:
        """Means, and variances. About the old mean first, because squares of large targets cancel."""
        tree = self._model.tree_
        center = float(tree.value[0, 0, 0])
        before, targets = tree.value[:, 0, 0] - center, self._data.y_train - center
        divisor = np.maximum(rows, np.finfo(float).tiny)
        means = (reaches @ targets + before * old) / divisor
        squares = (reaches @ np.square(targets) + (tree.impurity + np.square(before)) * old) / divisor
        return (means + center)[:, np.newaxis], np.maximum(squares - np.square(means), 0.0)

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
        """The one epoch is the best one."""

    def estimator(self, *, best: bool) -> Any:
        return self._model

    def state(self) -> dict[str, Any]:
        return {"model": self._model}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._model = state["model"]
