"""The body of a callback: a CloudEvent 1.0 in structured JSON.

Separate because receivers parse it: its fields are an interface, and it is never larger than `LIMIT`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from trainyard.api import names

CONTENT_TYPE = "application/cloudevents+json"
#: Bytes of a whole body.
LIMIT = 20_000
_TEXT_LIMIT = 3_000
_ROOM_FOR_TRUNCATED = 80
# Of the phases, that in which an event leaves a job; what status says of another one is not of this event.
_PHASES = {"Completed": "Done", "Failed": "Error", "Canceled": "Canceled"}


def body(job: Mapping[str, Any], entry: Mapping[str, Any]) -> bytes:
    """The event of one entry of `status.callbacks` of a raw TrainingJob.

    The job may have gone on since: `time`, `type` and `data.phase` are the event's, the rest is as it is now.
    """
    metadata, event = job["metadata"], str(entry["event"])
    namespace, name = metadata["namespace"], metadata["name"]
    base = {
        "specversion": "1.0",
        "id": entry["id"],
        "source": f"/apis/{names.API_VERSION}/namespaces/{namespace}/trainingjobs/{name}",
        "type": f"dev.trainyard.trainingjob.{event.lower()}",
        "subject": name,
        "time": entry["time"],
        "datacontenttype": "application/json",
    }
    data = _scalars(job, event=event, sequence=int(entry["sequence"]))
    room = LIMIT - len(orjson.dumps({**base, "data": data})) - _ROOM_FOR_TRUNCATED
    return orjson.dumps({**base, "data": {**data, **_as_there_is_room(job, room=room)}})


def _scalars(job: Mapping[str, Any], *, event: str, sequence: int) -> dict[str, Any]:
    metadata, spec, status = job["metadata"], job.get("spec") or {}, job.get("status") or {}
    phase = _PHASES.get(event, status.get("phase"))
    unchanged = status.get("phase") == phase
    data = {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
        "event": event,
        "sequence": sequence,
        "phase": phase,
        "reason": status.get("reason") if unchanged else None,
        "message": _cut(status.get("message") or "", _TEXT_LIMIT) if unchanged else None,
        "displayName": _cut(spec.get("displayName") or "", _TEXT_LIMIT) or None,
        "action": spec.get("action"),
        "architecture": spec.get("architecture") or spec.get("type"),
        "startTime": status.get("startTime"),
        "completionTime": status.get("completionTime"),
        "attempts": len(status.get("attempts") or []) or None,
    }
    return {key: value for key, value in data.items() if value is not None}


def _as_there_is_room(job: Mapping[str, Any], *, room: int) -> dict[str, Any]:
    """Key metric, metrics, artifacts, logs and labels; of lists the beginning. `truncated` names what was cut."""
    status = job.get("status") or {}
    wanted = {key: status.get(key) for key in ("keyMetric", "metrics", "artifacts", "logs")}
    wanted["labels"] = job["metadata"].get("labels")
    result: dict[str, Any] = {}
    truncated = []
    for key, value in wanted.items():
        if not value:
            continue
        room -= len(key) + len(b',"":[]')
        kept = []
        for item in value if isinstance(value, list) else [value]:
            size = len(orjson.dumps(item)) + 1
            if size > room:
                truncated.append(key)
                break
            room -= size
            kept.append(item)
        if kept:
            result[key] = kept if isinstance(value, list) else value
    return {**result, "truncated": truncated} if truncated else result


def _cut(text: str, limit: int) -> str:
    """`text`, or as much of its beginning as takes at most `limit` bytes of JSON."""
    while len(orjson.dumps(text)) > limit:
        text = text[: len(text) * limit // len(orjson.dumps(text)) - 1] + "…"
    return text
