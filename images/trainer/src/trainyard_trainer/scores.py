"""How good predictions are.

Separate because training and evaluation must count in the same way. Called by every action
that scores a model, on the test rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainyard_trainer.columns import Task
from trainyard_trainer.preparing import Array

KEY_METRIC: Mapping[Task, str] = {"classification": "accuracy", "regression": "rmse"}
_MOST_CELLS = 400
_MOST_CATEGORIES = 200


@dataclass(frozen=True, kw_only=True)
class Scores:
    """`metrics` by name; `confusion[i, j]` counts rows of class `labels[i]` taken for `labels[j]`.

    Precision, recall and F1 are means over the classes, weighted by each class's number of rows; a class
    that is never predicted counts as precision 0. A regression has no labels and no confusion.
    """

    metrics: Mapping[str, float]
    labels: tuple[str, ...] = ()
    confusion: Array | None = None
    f1_by_class: Mapping[str, float] | None = None

    def categorical(self) -> dict[str, dict[str, Any]]:
        """For a status line; the confusion's cells are "true->predicted", zeros left out, biggest first."""
        if self.confusion is None or self.f1_by_class is None:
            return {}
        places = [(int(i), int(j)) for i, j in np.argwhere(self.confusion)]
        places.sort(key=lambda place: -int(self.confusion[place]) if self.confusion is not None else 0)
        cells = {
            f"{self.labels[i]}->{self.labels[j]}": int(self.confusion[i, j]) for i, j in places[:_MOST_CELLS]
        }
        f1 = dict(list(self.f1_by_class.items())[:_MOST_CATEGORIES])
        return {"confusion_matrix": cells, "f1_score": f1}


def score(targets: Array, predictions: Array, *, task: Task) -> Scores:
    """Scores of predictions in the target's own terms."""
    if task == "regression":
        return _regression(targets, predictions)
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels = np.unique(np.concatenate([targets, predictions]))
    precision, recall, f1, support = precision_recall_fscore_support(
        targets, predictions, labels=labels, zero_division=0.0
    )
    weights = support / support.sum()
    names = tuple(str(label) for label in labels)
    return Scores(
        metrics={
            "accuracy": float(np.mean(targets == predictions)),
            "precision": float(weights @ precision),
            "recall": float(weights @ recall),
            "f1_score": float(weights @ f1),
        },
        labels=names,
        confusion=confusion_matrix(targets, predictions, labels=labels),
        f1_by_class={name: float(value) for name, value in zip(names, f1, strict=True)},
    )


def _regression(targets: Array, predictions: Array) -> Scores:
    errors = targets - predictions
    spread = float(np.square(targets - targets.mean()).sum())
    r2 = 1 - float(np.square(errors).sum()) / spread if spread else float("nan")
    return Scores(
        metrics={
            "rmse": float(np.sqrt(np.square(errors).mean())),
            "mae": float(np.abs(errors).mean()),
            "r2_score": r2,
        }
    )
