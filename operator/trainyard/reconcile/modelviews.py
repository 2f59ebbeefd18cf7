"""MLModels as jobs see them: each version of one is read once, however many jobs refer to it.

Separate from the reconcile of an MLModel, which brings it on: this only looks. Called by `reconcile.trainingjob` for a
job that starts from a model or becomes a version of one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.cluster.cache import MODEL, Cache, Key
from trainyard.planning import modelview, registration
from trainyard.planning.modelview import ModelView

#: One takes some ten kB, and what is not kept costs one more read.
_KEPT = 256


class ModelViews:
    """Views of the MLModels that jobs have asked for last."""

    def __init__(self, *, cache: Cache) -> None:
        self._cache = cache
        self._views: OrderedDict[Key, tuple[int, ModelView]] = OrderedDict()

    def of(self, keys: set[Key]) -> dict[str, ModelView | None]:
        """The models under these keys of one namespace, by name; None for one that is not there."""
        return {key.name: self._view(key) for key in keys}

    def _view(self, key: Key) -> ModelView | None:
        version = self._cache.version(key)
        known = self._views.get(key)
        if version is None:
            self._views.pop(key, None)
            return None
        if known is not None and known[0] == version:
            self._views.move_to_end(key)
            return known[1]
        raw = self._cache.get(key)
        if raw is None:
            return None
        found = modelview.view(raw)
        self._views[key] = (version, found)
        self._views.move_to_end(key)
        if len(self._views) > _KEPT:
            self._views.popitem(last=False)
        return found


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
