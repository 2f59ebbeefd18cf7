"""The entries of status.published: what a job's beginning and its end make of them.

Separate because what lies at a target is told by its job alone, whatever the plan wants there next. Called by
`planning.modelpublish`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from trainyard.api import names
from trainyard.planning.modelobserved import ObservedModel, TaskView
from trainyard.planning.plan import Announcement

Json = Mapping[str, Any]

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 3600.0
_LIMIT = 1024
_OF_WHAT_LIES_THERE = ("uri", "version", "digest")


def adopted(observed: ObservedModel, tasks: Iterable[TaskView]) -> dict[str, dict[str, Any]]:
    """status.published by name, with the newest job of each target that there is."""
    entries = {one["name"]: dict(one) for one in observed.status.get("published") or ()}
    newest = {
        said["name"]: (job, said) for job in tasks if not job.deleting and (said := _said(job)) is not None
    }
    for name, (job, said) in newest.items():
        before = entries.get(name, {"name": name})
        # NB: what was unpublished may have been forgotten already.
        forgotten = name not in entries and job.task == "unpublish" and job.finished
        if forgotten or job.number <= number(before):
            continue
        parameters = (job.source.get("spec") or {}).get("parameters") or {}
        entries[name] = {
            "version": parameters.get("version"),  # as long as there is no other
            **before,
            "state": "Pending",
            "number": said["tries"],
            "specDigest": job.digest,
            "target": said["target"],
            "job": job.name,
            "time": job.source["metadata"].get("creationTimestamp"),
            "message": None,
        }
    return entries


def _said(job: TaskView) -> dict[str, Any] | None:
    """What the annotation of a job says; None for one that somebody has changed."""
    text = (job.source["metadata"].get("annotations") or {}).get(names.PUBLISH_TARGET) or ""
    try:
        said = orjson.loads(text)
        target = {str(key): value for key, value in said["target"].items()}
        return {"name": str(said["name"]), "tries": int(said["tries"]), "target": target}
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None


def ended(entry: Json, job: TaskView | None, answer: Json, *, at: str) -> dict[str, Any]:
    """An entry whose job has ended, or is gone."""
    found = {**entry, "time": (job.ended_at if job is not None else None) or at, "message": None}
    if job is None:
        return {**found, "state": "Failed", "message": f"{entry['job']} was deleted before it had ended."}
    if job.canceled:
        return {**found, "state": "Failed", "message": f"{job.name} was cancelled."}
    if not job.succeeded:
        return {**found, "state": "Failed", "message": f"{job.reason}: {job.message}"[:_LIMIT]}
    if job.task == "unpublish":
        return {**found, "state": "Unpublished", "target": None, **dict.fromkeys(_OF_WHAT_LIES_THERE)}
    told = answer.get("published")
    if not isinstance(told, Mapping) or not isinstance(told.get("uri"), str):
        why = f"{job.name} has ended, but its last status line does not say what it has published, or its log is gone."
        return {**found, "state": "Failed", "message": why}
    parameters = (job.source.get("spec") or {}).get("parameters") or {}
    return {
        **found,
        "state": "Published",
        "uri": told["uri"][:2048],
        "digest": str(told.get("digest") or "")[:128] or None,
        "version": parameters.get("version"),
    }


def news(entry: Json) -> Announcement:
    name, state = entry["name"], entry["state"]
    if state == "Published":
        what = f"Version {entry['version']} is published at {entry['uri']} (target {name})."
        return Announcement(type="Normal", reason="Published", message=what[:_LIMIT])
    if state == "Unpublished":
        return Announcement(
            type="Normal", reason="Unpublished", message=f"Nothing lies at target {name} any more."
        )
    what = f"Target {name} of spec.publish: {entry['message']}"
    return Announcement(type="Warning", reason="PublishingFailed", message=what[:_LIMIT])


def is_gone(entry: Json) -> bool:
    """Whether nothing lies at a target: it was taken away, or no job was ever begun for it."""
    return entry["state"] == "Unpublished" or not entry.get("target")


def pause(tries: int) -> float:
    """Seconds between a failure and the next try, of which there have been so many."""
    return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(max(0, tries - 1), 10)))


def number(entry: Json) -> int:
    """The number of the job of an entry, 0 without one."""
    number = str(entry.get("job") or "").rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def clean(entry: Json) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None}
