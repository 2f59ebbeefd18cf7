"""What each type can lose: a smaller copy of a fitted estimator, and how large an estimator is.

Separate from the learners because nothing is learned here. Called by `pruning`. An amount is a share of what is left,
so that pruning a second time removes more.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainyard_trainer.learners import weakest_links


@dataclass(frozen=True, kw_only=True)
class Pruner:
    """`unit` names what an amount is a share of; it is the first of the sizes."""

    unit: str
    prune: Callable[[Any, float], Any]
    sizes: Callable[[Any], dict[str, int]]


def _pruned_tree(model: Any, amount: float) -> Any:
    """The weakest branches go first; the root's split stays."""
    leaves = model.get_n_leaves()
    smaller = copy.copy(model)
    smaller.tree_ = weakest_links.pruned(model.tree_, leaves=leaves - _removed(amount, leaves))
    return smaller


def _tree_sizes(model: Any) -> dict[str, int]:
    return {
        "leaves": int(model.get_n_leaves()),
        "nodes": int(model.tree_.node_count),
        "depth": int(model.get_depth()),
    }


def _pruned_forest(model: Any, amount: float) -> Any:
    """The first trees: they were drawn alike, so to choose among them would be to learn from the test rows."""
    smaller = copy.copy(model)
    trees = len(model.estimators_)
    smaller.estimators_ = model.estimators_[: max(1, trees - _removed(amount, trees))]
    smaller.n_estimators = len(smaller.estimators_)
    return smaller


def _forest_sizes(model: Any) -> dict[str, int]:
    return {
        "trees": len(model.estimators_),
        "leaves": sum(int(tree.get_n_leaves()) for tree in model.estimators_),
    }


def _pruned_network(model: Any, amount: float) -> Any:
    """The weights of each layer that are smallest become zero; biases stay."""
    smaller = copy.copy(model)
    smaller.coefs_ = [_without_smallest(weights, amount) for weights in model.coefs_]
    return smaller


def _network_sizes(model: Any) -> dict[str, int]:
    return {
        "weights": sum(int(np.count_nonzero(weights)) for weights in model.coefs_),
        "biases": sum(len(biases) for biases in model.intercepts_),
    }


def _pruned_regression(model: Any, amount: float) -> Any:
    """The smallest coefficients become zero. The numbers among the features are standardised, so they compare."""
    smaller = copy.copy(model)
    smaller.coef_ = _without_smallest(model.coef_, amount)
    return smaller


def _regression_sizes(model: Any) -> dict[str, int]:
    return {"coefficients": int(np.count_nonzero(model.coef_))}


def _without_smallest(weights: Any, amount: float) -> Any:
    flat = weights.ravel().copy()
    left = np.flatnonzero(flat)
    order = np.argsort(np.abs(flat[left]), kind="stable")
    flat[left[order[: _removed(amount, len(left))]]] = 0.0
    return flat.reshape(weights.shape)


def _removed(amount: float, number: int) -> int:
    # NB: rounded first, because 0.29 * 100 is a little below 29 in floating point.
    return int(round(amount * number, 6))


PRUNERS: Mapping[str, Pruner] = {
    "decision_tree": Pruner(unit="leaves", prune=_pruned_tree, sizes=_tree_sizes),
    "random_forest": Pruner(unit="trees", prune=_pruned_forest, sizes=_forest_sizes),
    "distributed_neural_network": Pruner(unit="weights", prune=_pruned_network, sizes=_network_sizes),
    "neural_network": Pruner(unit="weights", prune=_pruned_network, sizes=_network_sizes),
    "regression": Pruner(unit="coefficients", prune=_pruned_regression, sizes=_regression_sizes),
}
