"""The body of a callback about a TrainingJob or an Experiment: a CloudEvent 1.0 in structured JSON.

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
_ROOM_FOR_TRUNCATED = 100
_STEP = ("name", "action", "job", "phase", "reason", "metric")
# Phase in which an event leaves its object, and the reason where there is but one; what status says of another is not
# of this event.
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
    status = job.get("status") or {}
    wanted = {key: status.get(key) for key in ("progress", "keyMetric", "metrics", "artifacts", "logs")}
    wanted["checkpoint"] = _checkpoint(status, entry)
    return _body("trainingjob", job, entry, _of_a_job(job, entry), wanted)


def body_of_experiment(experiment: Mapping[str, Any], entry: Mapping[str, Any]) -> bytes:
    """The same of a raw Experiment: how far its steps and trials are, and the best trial with what was searched."""
    spec, status = experiment.get("spec") or {}, experiment.get("status") or {}
    search, automl = spec.get("automl") or {}, status.get("automl") or {}
    tuned = search and search.get("enabled", True)
    more = {"algorithm": search.get("algorithm") if tuned else None}
    wanted = {key: status.get(key) for key in ("progress", "keyMetric", "jobs")}
    wanted["trials"] = automl.get("trials")
    wanted["best"] = automl.get("bestTrial")
    wanted["steps"] = [
        {key: step[key] for key in _STEP if step.get(key) is not None} for step in status.get("steps") or []
    ]
    wanted["artifacts"] = status.get("artifacts")
    return _body("experiment", experiment, entry, more, wanted)


def _body(
    kind: str,
    raw: Mapping[str, Any],
    entry: Mapping[str, Any],
    more: Mapping[str, Any],
    wanted: Mapping[str, Any],
) -> bytes:
    """An event of an object of this kind with `more` data in any case, and what is `wanted` as there is room."""
    metadata, event = raw["metadata"], str(entry["event"])
    namespace, name = metadata["namespace"], metadata["name"]
    base = {
        "specversion": "1.0",
        "id": entry["id"],
        "source": f"/apis/{names.API_VERSION}/namespaces/{namespace}/{kind}s/{name}",
        "type": f"dev.trainyard.{kind}.{event.lower()}",
        "subject": name,
        "time": entry["time"],
        "datacontenttype": "application/json",
    }
    everything = {**_scalars(raw, entry), **more}
    data = {key: value for key, value in everything.items() if value is not None}
    room = LIMIT - len(orjson.dumps({**base, "data": data})) - _ROOM_FOR_TRUNCATED
    rest = _as_there_is_room({**wanted, "labels": metadata.get("labels")}, room=room)
    return orjson.dumps({**base, "data": {**data, **rest}})


def _scalars(raw: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    event = str(entry["event"])
    phase, reason = _STATES[event]
    unchanged = _unchanged(status, event)
    return {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
        "event": event,
        "sequence": int(entry["sequence"]),
        "phase": phase,
        "reason": status.get("reason") if unchanged else reason,
        "message": _cut(status.get("message") or "", _TEXT_LIMIT) if unchanged else None,
        "displayName": _cut(spec.get("displayName") or "", _TEXT_LIMIT) or None,
        "architecture": spec.get("architecture") or spec.get("type"),
        "startTime": status.get("startTime"),
        "completionTime": status.get("completionTime") if unchanged else None,
    }


def _of_a_job(job: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    spec, status = job.get("spec") or {}, job.get("status") or {}
    event, number = str(entry["event"]), entry.get("attempt")
    attempts = status.get("attempts") or []
    attempt: Mapping[str, Any] = next((a for a in attempts if a.get("number") == number), {})
    stopped = event in ("Paused", "Canceled") and _unchanged(status, event)
    return {
        "action": spec.get("action"),
        "attempt": number,
        "resumedFrom": attempt.get("resumedFrom"),
        "attempts": len(attempts) or None,
        "checkpointSaved": _saved(status) if stopped else None,
    }


def _as_there_is_room(wanted: Mapping[str, Any], *, room: int) -> dict[str, Any]:
    """How far the object is and what it has made; of lists the beginning. `truncated` names what was cut."""
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
    """Whether the object is still as the event left it."""
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
