"""MLModels as jobs see them: each version of one is read once, however many jobs refer to it.

Separate from the reconcile of an MLModel, which brings it on: this only looks. Called by `reconcile.trainingjob` for a
job that starts from a model or becomes a version of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.cluster.cache import MODEL, Cache, Key
from trainyard.planning import modelview, registration
from trainyard.planning.modelview import ModelView
from trainyard.reconcile.versioned import Versioned


class ModelViews:
    """Views of the MLModels that jobs have asked for last."""

    def __init__(self, *, cache: Cache) -> None:
        self._views = Versioned(cache=cache, read=modelview.view)

    def of(self, keys: set[Key]) -> dict[str, ModelView | None]:
        """The models under these keys of one namespace, by name; None for one that is not there."""
        return {key.name: self._views.view(key) for key in keys}


def named(namespace: str, spec: TrainingJobSpec | None, status: Mapping[str, Any]) -> set[Key]:
    """The MLModels whose changes a job has to hear of: until it has ended all that it names, and then, once it is Done,
    the one of which it becomes a version, until it has been told which.
    """
    if spec is None or not (spec.base_models or spec.model is not None):
        return set()
    found = {one.model for one in spec.base_models} if not status.get("completionTime") else set()
    if not status.get("completionTime") or registration.pending(spec, status):
        found.add(spec.model)
    return {Key(MODEL, namespace, name) for name in found if name is not None}
