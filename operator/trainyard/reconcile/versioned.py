"""What others than its own reconcile read of an object: each version of one is read once, however many ask.

Separate because Experiments and MLModels have thousands of jobs that look at them. Called by
`reconcile.experimentviews` and `reconcile.modelviews`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from trainyard.cluster.cache import Cache, Key

V = TypeVar("V")

#: One takes some kB, and what is not kept costs one more read.
_KEPT = 256


class Versioned(Generic[V]):
    """The views that were asked for last; `read` makes one of a raw object."""

    def __init__(self, *, cache: Cache, read: Callable[[Mapping[str, Any]], V]) -> None:
        self._cache = cache
        self._read = read
        self._views: OrderedDict[Key, tuple[int, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._views)

    def view(self, key: Key) -> V | None:
        """The view of what is under a key now; None where nothing is."""
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
        found = self._read(raw)
        self._views[key] = (version, found)
        self._views.move_to_end(key)
        if len(self._views) > _KEPT:
            self._views.popitem(last=False)
        return found
