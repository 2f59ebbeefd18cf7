"""The datasets that a job uses, as they were when it began: all its attempts see the same data.

Separate because three places must agree: the pod that is made with them, its annotation, which survives the operator,
and the job's status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from trainyard.planning import attempts, uris
from trainyard.planning.observed import DatasetView, ObservedJob
from trainyard.planning.podview import PodView

Json = Mapping[str, Any]

LIMITS = {"name": 35, "uid": 64, "uri": 2048, "revision": 253, "sha256": 64, "listing": 64}
_FIELDS = tuple(LIMITS)[1:]
#: What a status has room for.
_MOST = 72


def recorded(status: Json, pods: Iterable[PodView]) -> dict[str, Json]:
    """What the job has begun with, by name: by its status, else by the newest attempt's pods; empty before that."""
    if known := status.get("datasets"):
        return {str(one.get("name")): one for one in known}
    pods = tuple(pods)
    newest = attempts.newest(status, pods)
    for pod in pods:
        told = parsed(pod.datasets) if pod.attempt == newest and pod.datasets else None
        if isinstance(told, list):
            entries = [_entry(one) for one in told[:_MOST] if isinstance(one, dict)]
            return {one["name"]: one for one in entries if one.get("name")}
    return {}


def of(observed: ObservedJob) -> dict[str, Json]:
    """What the next pod is made with: what the job has begun with, and for the rest what its Datasets have now."""
    begun = recorded(observed.status, observed.pods)
    return {
        name: begun[name] if name in begun else _now(view)
        for name, view in observed.datasets.items()
        if name in begun or view is not None
    }


def annotation(used: Mapping[str, Json]) -> str:
    """As a pod carries it."""
    return orjson.dumps([{**one, "name": name} for name, one in used.items()]).decode()


def claims(status: Json, pods: Iterable[PodView], dataset: str) -> set[str]:
    """The claim in which a job that has begun finds the data of a Dataset, as a set of one or none."""
    uri = str(recorded(status, pods).get(dataset, {}).get("uri") or "")
    try:
        return {uris.split_pvc(uri)[0]} if uri else set()
    except ValueError:
        return set()


def parsed(text: str) -> Any:
    """JSON of an annotation, which anybody can write; None for what is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def as_status(status: Json, pods: Iterable[PodView]) -> list[Json] | None:
    """`status.datasets`; None for a job that has begun with none."""
    return [{"name": name, **one} for name, one in recorded(status, pods).items()] or None


def _entry(told: Json) -> dict[str, str]:
    """What a status can hold of what a pod carries, which anybody can write."""
    found = {
        key: value[:limit]
        for key, limit in LIMITS.items()
        if isinstance(value := told.get(key), str) and value
    }
    try:
        uris.split_pvc(found.get("uri", "pvc://none"))
    except ValueError:
        del found["uri"]
    return found


def _now(view: DatasetView | None) -> Json:
    if view is None:
        return {}
    return {key: value for key in _FIELDS if (value := getattr(view, key))}
