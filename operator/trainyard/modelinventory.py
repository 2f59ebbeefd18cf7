"""Metrics of the MLModels that there are: how many at which point of their life, what monitoring has measured of them,
and how far their data has moved.

Separate from `inventory`, of which it is a part, because these alone have names in their labels: a value is of a model
and a metric, and there are only so many of them that are told.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_args

from prometheus_client.core import GaugeMetricFamily, Metric

from trainyard.api.modelstatus import Lifecycle
from trainyard.cluster.cache import MODEL, Cache
from trainyard.cluster.packed import Packed
from trainyard.planning.measurements import counted

Json = Mapping[str, Any]
Labels = tuple[str, ...]

#: Models of which values are told, the first by namespace and name, and columns of each, those that have moved most.
MOST_MODELS = 500
MOST_COLUMNS = 10
_LIFECYCLES = frozenset(get_args(Lifecycle))


class _Seen(NamedTuple):
    """What one version of a model adds."""

    version: int
    life: Labels
    model: Labels
    value: tuple[Labels, float] | None = None
    drift: tuple[tuple[Labels, float], ...] = ()


class ModelInventory:
    """Gauges over all MLModels. A model that has gone is told of no longer."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._seen: dict[str, _Seen] = {}

    def collect(self) -> Iterable[Metric]:
        """The three families."""
        seen: dict[str, _Seen] = {}
        for packed in self._cache.objects(MODEL):
            known = self._seen.get(packed.uid)
            seen[packed.uid] = known if known and known.version == packed.version else _of(packed)
        self._seen = seen
        lives = Counter(one.life for one in seen.values())
        monitored = (one for one in seen.values() if one.value is not None or one.drift)
        told = heapq.nsmallest(MOST_MODELS, monitored, key=lambda one: one.model)
        return (
            family(
                "trainyard_models", "MLModels by namespace and lifecycle.", ("namespace", "lifecycle"), lives
            ),
            family(
                "trainyard_model_monitored_value",
                "The metric of a monitored model at its last evaluation that measured one.",
                ("namespace", "model", "metric"),
                dict(one.value for one in told if one.value is not None),
            ),
            family(
                "trainyard_model_drift",
                "Population stability index of a column of a monitored model's data against what it was trained on.",
                ("namespace", "model", "column"),
                dict(pair for one in told for pair in one.drift),
            ),
        )


def _of(packed: Packed) -> _Seen:
    """NB: anybody may write a status; what is no number is not told."""
    raw = packed.raw()
    status, metadata = raw.get("status") or {}, raw["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    lifecycle = status.get("lifecycle") or "draft"
    life = (namespace, lifecycle if lifecycle in _LIFECYCLES else "other")
    monitor: Json = status.get("monitor") or {}
    newest = counted(monitor) or {}
    value = _number(newest.get("value"))
    columns = [(one.get("column"), _number(one.get("psi"))) for one in monitor.get("drift") or ()]
    return _Seen(
        packed.version,
        life,
        (namespace, name),
        ((namespace, name, str(monitor.get("metric"))), value) if value is not None else None,
        tuple(
            ((namespace, name, str(column)), psi) for column, psi in columns[:MOST_COLUMNS] if psi is not None
        ),
    )


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def family(name: str, text: str, labels: Labels, samples: Mapping[Labels, float]) -> GaugeMetricFamily:
    """A gauge with its samples, in the order of their labels."""
    found = GaugeMetricFamily(name, text, labels=labels)
    for values, value in sorted(samples.items()):
        found.add_metric(values, value)
    return found
