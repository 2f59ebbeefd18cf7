"""Who waits for whom: a job's datasets and parent.

Separate because a doorbell of the one must ring for the other, and only an index makes that cheap.
"""

from __future__ import annotations

from trainyard.cluster.cache import Key


class References:
    """Which keys refer to which; replaced as a whole each time an object is observed."""

    def __init__(self) -> None:
        self._targets: dict[Key, frozenset[Key]] = {}
        self._sources: dict[Key, set[Key]] = {}

    def set(self, source: Key, targets: set[Key]) -> None:
        """What `source` refers to now; nothing ends its interest."""
        before = self._targets.pop(source, frozenset())
        if targets:
            self._targets[source] = frozenset(targets)
        for gone in before - targets:
            sources = self._sources[gone]
            sources.discard(source)
            if not sources:
                del self._sources[gone]
        for new in targets - before:
            self._sources.setdefault(new, set()).add(source)

    def of(self, source: Key) -> frozenset[Key]:
        """The keys that `source` refers to."""
        return self._targets.get(source, frozenset())

    def to(self, target: Key) -> tuple[Key, ...]:
        """The keys that refer to `target`."""
        return tuple(self._sources.get(target, ()))
