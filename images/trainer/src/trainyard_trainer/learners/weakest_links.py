"""Minimal cost-complexity pruning of a fitted tree down to a number of leaves (Breiman et al. 1984, chapter 3).

Separate from `pruners.py` because it is an algorithm of its own: scikit-learn's prunes to a complexity, not to a size,
and takes the square of the number of leaves in time.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from trainyard_trainer.preparing import Array


def pruned(tree: Any, *, leaves: int) -> Any:
    """A smaller copy of scikit-learn's `Tree` of at most so many leaves, and two at least.

    The branch goes first that gains least by a leaf. It goes as a whole, so fewer leaves may be left.
    """
    from sklearn.tree._tree import Tree, _build_pruned_tree_py

    smaller = Tree(tree.n_features, np.array(tree.n_classes, dtype=np.intp), tree.n_outputs)
    _build_pruned_tree_py(smaller, tree, _leaves_left(tree, wanted=leaves).astype(np.uint8))
    return smaller


def _leaves_left(tree: Any, *, wanted: int) -> Array:
    """Which nodes are the leaves of the pruned tree."""
    left, right = tree.children_left.tolist(), tree.children_right.tolist()
    risk: list[float] = (tree.weighted_n_node_samples * tree.impurity).tolist()
    nodes = range(tree.node_count)
    inner = [left[node] >= 0 for node in nodes]
    above = [-1] * len(nodes)
    branch_risk, branch_leaves = list(risk), [1] * len(nodes)
    # NB: a node stands behind its parent in every tree that scikit-learn builds.
    for node in reversed(nodes):
        if inner[node]:
            above[left[node]] = above[right[node]] = node
            branch_risk[node] = branch_risk[left[node]] + branch_risk[right[node]]
            branch_leaves[node] = branch_leaves[left[node]] + branch_leaves[right[node]]

    def gain(node: int) -> float:
        return (risk[node] - branch_risk[node]) / (branch_leaves[node] - 1)

    gains = [gain(node) if inner[node] else 0.0 for node in nodes]
    queue = [(gains[node], node) for node in nodes if inner[node] and node != 0]
    heapq.heapify(queue)
    while branch_leaves[0] > wanted and queue:
        value, node = heapq.heappop(queue)
        if not inner[node] or value != gains[node]:
            continue
        risk_more, leaves_fewer = risk[node] - branch_risk[node], branch_leaves[node] - 1
        _close(node, inner, left, right)
        branch_risk[node], branch_leaves[node] = risk[node], 1
        while (node := above[node]) >= 0:
            branch_risk[node] += risk_more
            branch_leaves[node] -= leaves_fewer
            if node != 0:
                gains[node] = gain(node)
                heapq.heappush(queue, (gains[node], node))
    return _reached_leaves(inner, left, right)


def _close(node: int, inner: list[bool], left: list[int], right: list[int]) -> None:
    below = [node]
    while below:
        node = below.pop()
        if inner[node]:
            inner[node] = False
            below += [left[node], right[node]]


def _reached_leaves(inner: list[bool], left: list[int], right: list[int]) -> Array:
    found = np.zeros(len(inner), dtype=bool)
    below = [0]
    while below:
        node = below.pop()
        if inner[node]:
            below += [left[node], right[node]]
        else:
            found[node] = True
    return found
