"""Callbacks: what events and their deliveries add to a plan.

Separate because it looks at each plan from outside: `planning.trainingjob` and `planning.experiment` hand every one
through `with_callbacks`; `planning.callbackevents` knows what is an event.
The intent to tell is in the very status that the event is first seen in, and a delivery is due only once it is there:
an event is the difference of two statuses, of which the API server accepts one write, so none has two ids.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from trainyard.api.callbacks import Callback, CallbackEvent
from trainyard.planning import callbackevents, deliveries
from trainyard.planning.deliveries import MESSAGE_LIMIT, RetryRules
from trainyard.planning.observed import Answer
from trainyard.planning.plan import Announcement, Plan
from trainyard.planning.times import sooner, stamp

Json = dict[str, Any]

#: Reason of the Event about a callback that is given up.
CALLBACK_FAILED = "CallbackFailed"


class Telling(Protocol):
    """What callbacks ask of an object that was observed. `callbacks` are those of its spec, None when that cannot be
    read now; `answers` are those of its deliveries that status does not hold yet.
    """

    @property
    def uid(self) -> str: ...
    @property
    def deleting(self) -> bool: ...
    @property
    def status(self) -> Mapping[str, Any]: ...
    @property
    def callbacks(self) -> Sequence[Callback] | None: ...
    @property
    def answers(self) -> Mapping[str, Answer]: ...


def with_callbacks(
    observed: Telling,
    plan: Plan,
    *,
    now: float,
    rules: RetryRules,
    events: callbackevents.Events = callbackevents.of_job,
) -> Plan:
    """`plan` with what callbacks add to it: entries of `status.callbacks`, deliveries, when to look again."""
    if observed.deleting:
        return plan
    old: list[Json] = list(observed.status.get("callbacks") or [])
    callbacks = observed.callbacks
    if not old and not callbacks:
        return plan
    status = plan.status if plan.status is not None else observed.status
    looked_at = [deliveries.looked_at(entry, observed.answers, callbacks, rules=rules) for entry in old]
    settled = {
        entry["id"]
        for before, entry in zip(old, looked_at, strict=True)
        if entry is not before or entry["id"] in observed.answers
    }
    out = deliveries.under_way(looked_at, settled=settled, now=now)
    entries = list(looked_at)
    for event in events(observed.status, status):
        entries += _intents(
            observed.uid, event, entries, callbacks or (), status, out=out, now=now, rules=rules
        )
    intents = {entry["id"] for entry in entries[len(old) :]}
    wanted, lost = deliveries.kept(entries, out=out)
    deliver, after = plan.deliver, plan.requeue_after
    if callbacks is not None:
        deliver, wait = deliveries.due(wanted, callbacks, settled=settled, intents=intents, now=now)
        after = after if wait is None else sooner(after, wait)
    return dataclasses.replace(
        plan,
        status={**status, "callbacks": wanted} if wanted != old else plan.status,
        announce=(*plan.announce, *_given_up(old, looked_at, observed.answers), *_crowded_out(lost)),
        deliver=deliver,
        requeue_after=after,
    )


def delivery_id(uid: str, name: str, event: str, sequence: int) -> str:
    """The same on every retry and after every restart; 32 hexadecimal digits."""
    text = "\n".join((uid, name, event, str(sequence)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _intents(
    uid: str,
    event: CallbackEvent,
    before: Sequence[Json],
    callbacks: Sequence[Callback],
    status: Mapping[str, Any],
    *,
    out: AbstractSet[str],
    now: float,
    rules: RetryRules,
) -> list[Json]:
    sequence = 1 + max((int(entry["sequence"]) for entry in before), default=0)
    attempts = status.get("attempts") or []
    intents = []
    for callback in callbacks:
        if event not in callback.events:
            continue
        due = now
        if event == "Progress":
            if deliveries.takes_up(before, callback.name, out=out):
                continue
            due = deliveries.progress_due(
                before, callback.name, out=out, now=now, interval=rules.progress_interval
            )
        entry: Json = {
            "id": delivery_id(uid, callback.name, event, sequence),
            "name": callback.name,
            "event": event,
            "sequence": sequence,
            "time": stamp(now),
            "state": "Pending",
            "attempts": 0,
        }
        if attempts:
            entry["attempt"] = int(attempts[-1]["number"])
        if due > now:
            entry["nextAttemptTime"] = stamp(math.ceil(due))
        intents.append(entry)
    return intents


def _given_up(
    old: Sequence[Json], entries: Sequence[Json], answers: Mapping[str, Answer]
) -> tuple[Announcement, ...]:
    return tuple(
        _announcement(entry, entry["message"])
        for before, entry in zip(old, entries, strict=True)
        if before["state"] == "Pending" and entry["state"] == "Failed" and entry["id"] in answers
    )


def _crowded_out(lost: Sequence[Json]) -> tuple[Announcement, ...]:
    return tuple(
        _announcement(
            entry,
            "as many later ones wait already as status can hold. Bring the receiver back, or take the callback out of "
            "spec.callbacks.",
        )
        for entry in lost
    )


def _announcement(entry: Json, why: str) -> Announcement:
    message = f"Callback {entry['name']} was not told {entry['event']} and is given up: {why}"
    return Announcement(type="Warning", reason=CALLBACK_FAILED, message=message[:MESSAGE_LIMIT])
