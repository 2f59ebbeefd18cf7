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
# Phase in which an event leaves a job, and the reason where there is but one; what status says of another is not of
# this event.
_STATES: Mapping[str, tuple[str, str | None]] = {
    "Started": ("Running", None),
    "Progress": ("Running", None),
    "Paused": ("Pending", "Paused"),
    "Resumed": ("Pending", None),
    "Completed": ("Done", None),
    "Failed": ("Error", None),
    "Canceled": ("Canceled", None),
}


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
    data = _scalars(job, entry)
    room = LIMIT - len(orjson.dumps({**base, "data": data})) - _ROOM_FOR_TRUNCATED
    return orjson.dumps({**base, "data": {**data, **_as_there_is_room(job, entry, room=room)}})


def _scalars(job: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    metadata, spec, status = job["metadata"], job.get("spec") or {}, job.get("status") or {}
    event, number = str(entry["event"]), entry.get("attempt")
    phase, reason = _STATES[event]
    unchanged = _unchanged(status, event)
    attempts = status.get("attempts") or []
    attempt: Mapping[str, Any] = next((a for a in attempts if a.get("number") == number), {})
    data = {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
        "event": event,
        "sequence": int(entry["sequence"]),
        "phase": phase,
        "reason": status.get("reason") if unchanged else reason,
        "message": _cut(status.get("message") or "", _TEXT_LIMIT) if unchanged else None,
        "displayName": _cut(spec.get("displayName") or "", _TEXT_LIMIT) or None,
        "action": spec.get("action"),
        "architecture": spec.get("architecture") or spec.get("type"),
        "startTime": status.get("startTime"),
        "completionTime": status.get("completionTime") if unchanged else None,
        "attempt": number,
        "resumedFrom": attempt.get("resumedFrom"),
        "attempts": len(attempts) or None,
        "checkpointSaved": _saved(status) if unchanged and event in ("Paused", "Canceled") else None,
    }
    return {key: value for key, value in data.items() if value is not None}


def _as_there_is_room(job: Mapping[str, Any], entry: Mapping[str, Any], *, room: int) -> dict[str, Any]:
    """How far the job is and what it has made; of lists the beginning. `truncated` names what was cut."""
    status = job.get("status") or {}
    wanted = {key: status.get(key) for key in ("progress", "keyMetric", "metrics", "artifacts", "logs")}
    wanted["checkpoint"] = _checkpoint(status, entry)
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


def _unchanged(status: Mapping[str, Any], event: str) -> bool:
    """Whether the job is still as the event left it."""
    phase, reason = _STATES[event]
    return status.get("phase") == phase and reason in (None, status.get("reason"))


def _checkpoint(status: Mapping[str, Any], entry: Mapping[str, Any]) -> Any:
    """The last checkpoint; of a pause none that is of a later attempt."""
    last = status.get("lastCheckpoint") or {}
    of_now = entry["event"] != "Paused" or _unchanged(status, "Paused")
    return last if of_now or str(last.get("time") or "") <= entry["time"] else None


def _saved(status: Mapping[str, Any]) -> bool | None:
    """Whether the trainer saved a checkpoint on its way out; None where that is not known, or nothing ran."""
    saved: bool | None = (status.get("stop") or {}).get("checkpoint")
    return saved


def _cut(text: str, limit: int) -> str:
    """`text`, or as much of its beginning as takes at most `limit` bytes of JSON."""
    while len(orjson.dumps(text)) > limit:
        text = text[: len(text) * limit // len(orjson.dumps(text)) - 1] + "…"
    return text
