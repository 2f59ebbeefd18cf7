"""Callbacks: which events a new status tells of, which deliveries are due, and what came of those that were tried.

Separate because it looks at each plan from outside: `planning.trainingjob` hands every one through `with_callbacks`.
The intent to tell is in the very status that the event is first seen in, and a delivery is due only once it is there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainyard.api.callbacks import Callback, CallbackEvent
from trainyard.api.reasons import Phase
from trainyard.planning.observed import Answer, ObservedJob
from trainyard.planning.pending import sooner
from trainyard.planning.plan import Announcement, Delivery, Plan
from trainyard.planning.times import seconds, stamp

Json = dict[str, Any]

#: Reason of the Event about a callback that is given up.
CALLBACK_FAILED = "CallbackFailed"
MESSAGE_LIMIT = 1024
_ENTRIES_KEPT = 64
_ENDS: Mapping[str, CallbackEvent] = {
    Phase.DONE: "Completed",
    Phase.ERROR: "Failed",
    Phase.CANCELED: "Canceled",
}


@dataclass(frozen=True, kw_only=True)
class RetryRules:
    """Seconds: the delay after the first failed try, the longest one, and when the last try is made."""

    first: float = 5.0
    longest: float = 3600.0
    give_up: float = 86400.0


def with_callbacks(observed: ObservedJob, plan: Plan, *, now: float, rules: RetryRules) -> Plan:
    """`plan` with what callbacks add to it: entries of `status.callbacks`, deliveries, when to look again."""
    if observed.deleting:
        return plan
    old = list(observed.status.get("callbacks") or [])
    callbacks = observed.spec.callbacks if observed.spec is not None else None
    if not old and not callbacks:
        return plan
    status = plan.status if plan.status is not None else observed.status
    entries = [_looked_at(entry, observed.answers, callbacks, rules=rules) for entry in old]
    intents: list[Json] = []
    for event in events(observed.status, status):
        intents += _intents(observed.uid, event, (*entries, *intents), callbacks or (), now=now)
    wanted = _bounded([*entries, *intents])
    deliver, after = [], plan.requeue_after
    for before, entry in zip(old, entries, strict=True):
        if entry["state"] != "Pending" or callbacks is None:
            continue
        wait = (seconds(entry.get("nextAttemptTime")) or 0.0) - now
        if wait <= 0 and entry is before and entry["id"] not in observed.answers:
            deliver.append(_delivery(entry, callbacks))
        else:
            after = sooner(after, max(0.0, wait))
    if intents:
        after = 0.0  # NB: only the next look, which finds them in status, may send them
    return dataclasses.replace(
        plan,
        status={**status, "callbacks": wanted} if wanted != old else plan.status,
        announce=(*plan.announce, *_given_up(old, entries, observed.answers)),
        deliver=tuple(deliver),
        requeue_after=after,
    )


def events(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[CallbackEvent, ...]:
    """What happened between two statuses of one job. A failed attempt that is tried again is no event."""
    ended = bool(new.get("completionTime")) and not old.get("completionTime")
    return (_ENDS[new["phase"]],) if ended and new.get("phase") in _ENDS else ()


def delivery_id(uid: str, name: str, event: str, sequence: int) -> str:
    """The same on every retry and after every restart; 32 hexadecimal digits."""
    text = "\n".join((uid, name, event, str(sequence)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _intents(
    uid: str, event: CallbackEvent, before: Sequence[Json], callbacks: Sequence[Callback], *, now: float
) -> list[Json]:
    sequence = 1 + max((int(entry["sequence"]) for entry in before), default=0)
    return [
        {
            "id": delivery_id(uid, callback.name, event, sequence),
            "name": callback.name,
            "event": event,
            "sequence": sequence,
            "time": stamp(now),
            "state": "Pending",
            "attempts": 0,
        }
        for callback in callbacks
        if event in callback.events
    ]


def _looked_at(
    entry: Json, answers: Mapping[str, Answer], callbacks: Sequence[Callback] | None, *, rules: RetryRules
) -> Json:
    if entry["state"] != "Pending":
        return entry
    answer = answers.get(entry["id"])
    # NB: by its number: one that is in status already comes again when what was to follow that write has failed.
    if answer is not None and answer.number == int(entry.get("attempts") or 0) + 1:
        return _answered(entry, answer, rules=rules)
    if callbacks is not None and all(callback.name != entry["name"] for callback in callbacks):
        message = "Not delivered: this callback was taken out of spec.callbacks."
        return {**_without(entry, "nextAttemptTime"), "state": "Failed", "message": message}
    return entry


def _answered(entry: Json, answer: Answer, *, rules: RetryRules) -> Json:
    result = {
        **_without(entry, "nextAttemptTime"),
        "attempts": answer.number,
        "lastAttemptTime": stamp(answer.sent_at),
        "message": answer.message[:MESSAGE_LIMIT],
    }
    if answer.delivered:
        return {**result, "state": "Delivered"}
    deadline = (seconds(entry.get("time")) or answer.at) + rules.give_up
    if answer.gone or answer.at + 1 >= deadline:
        return {**result, "state": "Failed"}
    delay = max(_delay(entry["id"], answer.number, rules=rules), answer.retry_after or 0.0, 1.0)
    # NB: rounded up, as a receiver's Retry-After is no estimate; at the deadline there is one last try.
    return {**result, "nextAttemptTime": stamp(math.ceil(min(answer.at + delay, deadline)))}


def _delay(key: str, tries: int, *, rules: RetryRules) -> float:
    """Doubled with each try, give or take a quarter, which is drawn from the id: a plan has no dice."""
    spread = int(hashlib.sha256(f"{key} {tries}".encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    delay: float = min(rules.first * 2 ** min(tries - 1, 30), rules.longest)
    return delay * (0.75 + spread / 2)


def _delivery(entry: Json, callbacks: Sequence[Callback]) -> Delivery:
    url = next(callback.url for callback in callbacks if callback.name == entry["name"])
    return Delivery(id=entry["id"], url=url)


def _given_up(
    old: Sequence[Json], entries: Sequence[Json], answers: Mapping[str, Answer]
) -> tuple[Announcement, ...]:
    lost = [
        entry
        for before, entry in zip(old, entries, strict=True)
        if before["state"] == "Pending" and entry["state"] == "Failed" and entry["id"] in answers
    ]
    return tuple(
        Announcement(
            type="Warning",
            reason=CALLBACK_FAILED,
            message=f"Callback {entry['name']} was not told {entry['event']} and is given up: {entry['message']}"[
                :MESSAGE_LIMIT
            ],
        )
        for entry in lost
    )


def _bounded(entries: list[Json]) -> list[Json]:
    """At most 64, in order: what is settled goes before what is pending, the oldest first."""
    surplus = len(entries) - _ENTRIES_KEPT
    if surplus <= 0:
        return entries
    settled = [entry["id"] for entry in entries if entry["state"] != "Pending"]
    pending = [entry["id"] for entry in entries if entry["state"] == "Pending"]
    gone = set([*settled, *pending][:surplus])
    return [entry for entry in entries if entry["id"] not in gone]


def _without(entry: Json, key: str) -> Json:
    return {name: value for name, value in entry.items() if name != key}
