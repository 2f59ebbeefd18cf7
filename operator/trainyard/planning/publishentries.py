"""The entries of status.published: what a job's beginning and its end make of them.

Separate because what lies at a target is told by its job alone, whatever the plan wants there next. Called by
`planning.modelpublish`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from trainyard.api import names
from trainyard.api.reasons import Reason
from trainyard.planning.modelobserved import ObservedModel, TaskView
from trainyard.planning.plan import Announcement

Json = Mapping[str, Any]

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 3600.0
_LIMIT = 1024
#: As much of an entry's message as the model's own has.
_MOST_OF_ONE = 700
#: Reasons of a job that passes through them in any case.
_COMING_UP = frozenset({"", Reason.ACCEPTED, Reason.QUEUED, Reason.STARTING, Reason.PULLING_IMAGE})
_NOTHING_THERE = {"state": "Unpublished", **dict.fromkeys(("target", "uri", "version", "digest"))}


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


def at_work(entry: Json, job: TaskView) -> dict[str, Any]:
    """An entry whose job has not ended. NB: also one that has failed before and is tried again."""
    message = f"{job.reason}: {job.message}" if job.phase == "Pending" else ""
    if job.task == "unpublish" and is_held_up(job):
        message = _with_advice(message, f"trainyard cancel {job.name}")
    return {**entry, "state": "Pending", "message": message[:_LIMIT] or None}


def is_held_up(job: TaskView) -> bool:
    """Whether a job waits for something that need not come by itself."""
    return job.phase == "Pending" and job.reason not in _COMING_UP


def is_given_up(job: TaskView) -> bool:
    """Whether somebody has cancelled a removal, also one that has failed: what lies there is to stay."""
    wished = (job.source.get("spec") or {}).get("cancel") is True
    return job.task == "unpublish" and job.finished and not job.succeeded and (job.canceled or wished)


def problem(entry: Json) -> str:
    """What is wrong with a target, for the model's message."""
    return f"Target {entry['name']} of spec.publish: {entry.get('message')}"[:_MOST_OF_ONE]


def _with_advice(message: str, command: str) -> str:
    advice = f" To leave what lies there and give this up: {command}"
    return f"{message[: _MOST_OF_ONE - len(advice) - 100]}{advice}"


def ended(entry: Json, job: TaskView | None, answer: Json, *, at: str) -> dict[str, Any]:
    """An entry whose job has ended, or is gone."""
    found = {**entry, "time": (job.ended_at if job is not None else None) or at, "message": None}
    if job is None:
        return {**found, "state": "Failed", "message": f"{entry['job']} was deleted before it had ended."}
    if is_given_up(job):
        uri = (entry.get("target") or {}).get("uri")
        stays = f"What was published at {uri} stays there: {job.name} was cancelled."
        return {**found, **_NOTHING_THERE, "message": stays[:_LIMIT]}
    if job.canceled:
        return {**found, "state": "Failed", "message": f"{job.name} was cancelled."}
    if not job.succeeded:
        message = f"{job.reason}: {job.message}"
        if job.task == "unpublish":
            command = f'kubectl patch trainingjob {job.name} --type merge -p \'{{"spec":{{"cancel":true}}}}\''
            message = _with_advice(message, command)
        return {**found, "state": "Failed", "message": message[:_LIMIT]}
    if job.task == "unpublish":
        return {**found, **_NOTHING_THERE}
    told = answer.get("published")
    if not isinstance(told, Mapping) or not isinstance(told.get("uri"), str):
        why = f"{job.name} has ended, but its last status line does not say what it has published, or its log is gone."
        return {**found, "state": "Failed", "message": why}
    parameters = (job.source.get("spec") or {}).get("parameters") or {}
    target = dict(entry.get("target") or {})
    former, left = target.pop("formerAliases", None) or (), told.get("left")
    if kept := [one for one in former if isinstance(left, list) and one in left]:
        target["formerAliases"] = kept
    published = {
        **found,
        "state": "Published",
        "target": target,
        "uri": told["uri"][:2048],
        "digest": str(told.get("digest") or "")[:128] or None,
        "version": parameters.get("version"),
    }
    return {**published, "message": left_behind(published)}


def left_behind(entry: Json) -> str | None:
    """Of what is published: the aliases that are wanted no longer and that the target has not let go."""
    former = (entry.get("target") or {}).get("formerAliases")
    if not former:
        return None
    which, are, them = ("Aliases", "are", "them") if len(former) > 1 else ("Alias", "is", "it")
    return (
        f"{which} {', '.join(former)} {are} no longer in targetAliases and still there: the target does not let "
        f"{them} be taken away, as the log of {entry.get('job')} says. Remove {them} there; it is tried again with "
        "the next version."
    )[:_LIMIT]


def news(entry: Json) -> Announcement:
    name, state = entry["name"], entry["state"]
    if state == "Published":
        what = f"Version {entry['version']} is published at {entry['uri']} (target {name})."
        return Announcement(type="Normal", reason="Published", message=what[:_LIMIT])
    if state == "Unpublished" and entry.get("message"):
        return Announcement(type="Warning", reason="Unpublished", message=entry["message"])
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
