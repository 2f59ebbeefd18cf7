"""Deliveries of callbacks: what their answers change, which are superseded or given up, which are due.

Separate from `planning.callbacks`, which calls it and knows the events: here an entry of `status.callbacks` is a
message with an order, a time and tries. The entries of one callback go out one after the other.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from trainyard.api.callbacks import Callback
from trainyard.planning.observed import Answer
from trainyard.planning.plan import Delivery
from trainyard.planning.times import seconds, sooner, stamp

Json = dict[str, Any]

MESSAGE_LIMIT = 1024
_ENTRIES_KEPT = 64
_TRIES = ("attempts", "lastAttemptTime", "message")


@dataclass(frozen=True, kw_only=True)
class RetryRules:
    """Seconds: the delay after the first failed try, the longest one, when the last try is made, and how far apart the
    reports of progress to one callback are.
    """

    first: float = 5.0
    longest: float = 3600.0
    give_up: float = 86400.0
    progress_interval: float = 60.0


def looked_at(
    entry: Json, answers: Mapping[str, Answer], callbacks: Sequence[Callback] | None, *, rules: RetryRules
) -> Json:
    """`entry` with what came of its last try, the same object when nothing did. `callbacks` of None: not known now."""
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


def under_way(entries: Sequence[Json], *, settled: AbstractSet[str], now: float) -> frozenset[str]:
    """Which may be on their way right now: the first pending one of each callback if it is due and is in status as it
    stands here. `settled` are those whose answer has just come.
    """
    return frozenset(
        first["id"]
        for first in _first_pending(entries).values()
        if first["id"] not in settled and _due(first) <= now
    )


def takes_up(entries: Sequence[Json], name: str, *, out: AbstractSet[str]) -> bool:
    """Whether a report of progress to this callback waits that has never been sent: it will tell the newest state."""
    newest = next((e for e in reversed(entries) if e["name"] == name and e["event"] == "Progress"), None)
    if newest is None or newest["state"] != "Pending" or newest["id"] in out:
        return False
    last = seconds(newest.get("lastAttemptTime"))  # perhaps of the one that it has superseded
    return last is None or last < (seconds(newest["time"]) or 0.0)


def progress_due(
    entries: Sequence[Json], name: str, *, out: AbstractSet[str], now: float, interval: float
) -> float:
    """When the next report of progress to this callback may be sent."""
    earlier = [entry for entry in entries if entry["name"] == name and entry["event"] == "Progress"]
    sent = (
        now if entry["id"] in out else seconds(entry.get("lastAttemptTime")) or seconds(entry["time"]) or 0.0
        for entry in earlier
    )
    return max((at + interval for at in sent), default=now)


def kept(entries: Sequence[Json], *, out: AbstractSet[str]) -> tuple[list[Json], list[Json]]:
    """What stays in status, in order, and the pending entries for which there is no room."""
    wanted = _without_superseded(entries, out=out)
    return _bounded(wanted)


def due(
    entries: Sequence[Json],
    callbacks: Sequence[Callback],
    *,
    settled: AbstractSet[str],
    intents: AbstractSet[str],
    now: float,
) -> tuple[tuple[Delivery, ...], float | None]:
    """What to send now, callback by callback, and seconds until something more is due.

    Only what is in status already goes out: neither `intents` nor what has just had an answer.
    """
    urls = {callback.name: callback.url for callback in callbacks}
    deliveries: list[Delivery] = []
    after: float | None = None
    for name, first in _first_pending(entries).items():
        pending = [e for e in entries if e["name"] == name and e["state"] == "Pending"]
        ready = itertools.takewhile(
            lambda e: e["id"] not in settled | intents and _due(e) <= now,
            pending,
        )
        ids = tuple(entry["id"] for entry in ready)
        if ids:
            deliveries.append(Delivery(callback=name, url=urls[name], ids=ids))
        else:
            after = sooner(after, max(0.0, _due(first) - now))
    return tuple(deliveries), after


def _first_pending(entries: Sequence[Json]) -> dict[str, Json]:
    first: dict[str, Json] = {}
    for entry in entries:
        if entry["state"] == "Pending":
            first.setdefault(entry["name"], entry)
    return first


def _due(entry: Json) -> float:
    return seconds(entry.get("nextAttemptTime")) or 0.0


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
    if answer.waiting:
        return result
    delay = max(_delay(entry["id"], answer.number, rules=rules), answer.retry_after or 0.0, 1.0)
    # NB: rounded up, as a receiver's Retry-After is no estimate; at the deadline there is one last try.
    return {**result, "nextAttemptTime": stamp(math.ceil(min(answer.at + delay, deadline)))}


def _delay(key: str, tries: int, *, rules: RetryRules) -> float:
    """Doubled with each try, give or take a quarter, which is drawn from the id: a plan has no dice."""
    spread = int(hashlib.sha256(f"{key} {tries}".encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    delay: float = min(rules.first * 2 ** min(tries - 1, 30), rules.longest)
    return delay * (0.75 + spread / 2)


def _without_superseded(entries: Sequence[Json], *, out: AbstractSet[str]) -> list[Json]:
    """Without reports of progress that something newer to the same callback makes idle.

    NB: the one that may be on its way stays until its answer is there, or no failure would ever be counted.
    """
    result: list[Json] = []
    newer: dict[str, int] = {}
    delivered: set[str] = set()
    for entry in reversed(entries):
        name = entry["name"]
        if entry["event"] == "Progress":
            if entry["state"] != "Pending":
                if name in delivered:
                    continue
                delivered.add(name)
            elif name in newer and entry["id"] not in out:
                at = newer[name]
                result[at] = _going_on_for(entry, result[at])
                continue
        newer[name] = len(result)
        result.append(entry)
    return result[::-1]


def _going_on_for(older: Json, newer: Json) -> Json:
    """`newer` progress with the tries of the one that it supersedes, so that a receiver that is down is not asked the
    more often; any other event begins anew.
    """
    if newer["event"] != "Progress" or newer["state"] != "Pending" or not older.get("attempts"):
        return newer
    times = [e["nextAttemptTime"] for e in (older, newer) if e.get("nextAttemptTime")]
    going_on = {**newer, **{key: older[key] for key in _TRIES if key in older}}
    return {**going_on, "nextAttemptTime": max(times)} if times else going_on


def _bounded(entries: list[Json]) -> tuple[list[Json], list[Json]]:
    """At most 64, in order, and what is lost: what is settled goes first, then what has waited longest of the callback
    that most wait for.
    """
    surplus = max(0, len(entries) - _ENTRIES_KEPT)
    gone = {entry["id"] for entry in [e for e in entries if e["state"] != "Pending"][:surplus]}
    left = [entry for entry in entries if entry["id"] not in gone]
    lost: list[Json] = []
    while len(left) > _ENTRIES_KEPT:
        name, _ = Counter(entry["name"] for entry in left if entry["state"] == "Pending").most_common(1)[0]
        oldest = next(entry for entry in left if entry["name"] == name and entry["state"] == "Pending")
        left.remove(oldest)
        lost.append(oldest)
    return left, lost


def _without(entry: Json, key: str) -> Json:
    return {name: value for name, value in entry.items() if name != key}
