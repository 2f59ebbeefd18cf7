"""What one write of a TrainingJob's status means for the books: attempts that began, that ended and what they took.

Separate because counting decides nothing: it compares a status with the one that took its place. Called by
`reconcile.accounting` after such a write, and for the devices of a job by the collector of metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainyard.api.reasons import ConditionType, Reason
from trainyard.planning import conditions
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.podview import PodView
from trainyard.planning.times import seconds

Json = Mapping[str, Any]
Outcome = Literal["done", "failed", "lost", "paused", "canceled"]

OUTCOMES: tuple[Outcome, ...] = ("done", "failed", "lost", "paused", "canceled")
#: What stands for an accelerator without a type, and for a type that the settings do not know.
ANY, OTHER = "any", "other"

_REASONS = frozenset(map(str, Reason))
_CANCELED = frozenset({Reason.CANCELED_BY_USER, Reason.PARENT_CANCELED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Devices:
    """The devices that all pods of a job ask for together, and their kind."""

    accelerator: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Began:
    """A training container that has started, and the seconds that went before; None for what cannot be known.

    `to_pod` is from the job's creation (or its last resumption) to that of the pod, of a first attempt only;
    `in_queue` from the pods' creation until the last was given a node; `to_running` until the container ran.
    """

    to_pod: float | None
    in_queue: float | None
    to_running: float | None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """An attempt that has ended, and the seconds of devices that it had asked for while it ran."""

    outcome: Outcome
    reason: str
    device_seconds: float


@dataclass(frozen=True, kw_only=True)
class Account:
    """What is to be counted. `finished` is phase and reason of a job that has ended, `uploaded` the bytes that its
    artifacts have where these are known.
    """

    devices: Devices | None = None
    began: tuple[Began, ...] = ()
    ended: tuple[Ended, ...] = ()
    finished: tuple[str, str] | None = None
    uploaded: int | None = None


def account(raw: Json, after: Json, pods: Sequence[PodView], *, rules: AcceleratorRules) -> Account:
    """What came about when `after` took the place of the status of the job `raw`; `pods` are those planned upon."""
    before = raw.get("status") or {}
    known = {int(entry["number"]): entry for entry in before.get("attempts") or []}
    began, ended, made = [], [], False
    asked = devices(raw.get("spec") or {}, rules)
    for entry in after.get("attempts") or []:
        earlier = known.get(int(entry["number"]), {})
        if entry.get("startTime") and not earlier.get("startTime"):
            # NB: whether an earlier one ran is not to be told from the list, which is cut at its beginning.
            first = not before.get("startTime")
            began.append(_began(raw, before, entry, pods, first=first))
        if entry.get("completionTime") and not earlier.get("completionTime"):
            ended.append(_ended(entry, after, asked))
            # NB: a job that was restored from a backup finds its result, and nothing is brought to the store again.
            made = made or (ended[-1].outcome == "done" and bool(entry.get("startTime")))
    finished = after.get("completionTime") and not before.get("completionTime")
    return Account(
        devices=asked,
        began=tuple(began),
        ended=tuple(ended),
        finished=(str(after.get("phase")), known_reason(after.get("reason"))) if finished else None,
        uploaded=_uploaded(after) if made else None,
    )


def devices(spec: Json, rules: AcceleratorRules) -> Devices | None:
    """What a raw spec asks for, as `spec.accelerator` or in `spec.resources`; None for no device.

    NB: of the raw spec, as it is asked of each job at each scrape; what it says cannot be relied upon.
    """
    accelerator = spec.get("accelerator")
    if accelerator:
        named = accelerator.get("type", ANY)
        kind = named if named is ANY or named in rules.types else OTHER
        each = accelerator.get("count", 1)
    else:
        resources = spec.get("resources") or {}
        wanted = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
        kind, each = ANY, wanted.get(rules.resource_name)
    nodes = spec.get("nodes", 1)
    try:
        count = int(each) * int(nodes)
    except (TypeError, ValueError):
        return None
    return Devices(accelerator=kind, count=count) if count > 0 else None


def known_reason(reason: object) -> str:
    """A reason as a label: one of ours, or "Other"."""
    return reason if isinstance(reason, str) and reason in _REASONS else "Other"


def _began(raw: Json, before: Json, entry: Json, pods: Sequence[PodView], *, first: bool) -> Began:
    mine = [pod for pod in pods if pod.attempt == int(entry["number"])]
    created = min((pod.created_at for pod in mine if pod.created_at is not None), default=None)
    placed = max((pod.scheduled_at for pod in mine if pod.scheduled_at is not None), default=None)
    wished = seconds((raw.get("metadata") or {}).get("creationTimestamp"))
    resumed = _resumed_at(before)
    if wished is not None and resumed is not None:
        wished = max(wished, resumed)
    return Began(
        to_pod=_between(wished, created) if first else None,
        in_queue=_between(created, placed),
        to_running=_between(created, seconds(entry["startTime"])),
    )


def _resumed_at(status: Json) -> float | None:
    suspended: Json = next(
        (c for c in status.get("conditions") or [] if c.get("type") == ConditionType.SUSPENDED), {}
    )
    return seconds(suspended.get("lastTransitionTime"))


def _between(start: float | None, end: float | None) -> float | None:
    return max(0.0, end - start) if start is not None and end is not None else None


def _ended(entry: Json, after: Json, asked: Devices | None) -> Ended:
    lasted = _between(seconds(entry.get("startTime")), seconds(entry["completionTime"])) or 0.0
    return Ended(
        outcome=_outcome(entry, after),
        reason=known_reason(entry.get("reason")),
        device_seconds=lasted * asked.count if asked is not None else 0.0,
    )


def _outcome(entry: Json, after: Json) -> Outcome:
    reason, counted = entry.get("reason"), entry.get("counted")
    if reason == Reason.PAUSED:
        return "paused"
    if reason in _CANCELED:
        return "canceled"
    if counted is None and conditions.is_true(after, ConditionType.SUCCEEDED):
        return "done"
    # NB: a deadline is not counted against backoffLimit, as it ends the job at once.
    return "lost" if counted is False and reason != Reason.DEADLINE_EXCEEDED else "failed"


def _uploaded(after: Json) -> int | None:
    """The bytes of all artifacts; those of a folder have those of its files in them."""
    known, folder = None, None
    for artifact in after.get("artifacts") or []:
        if folder is None or not artifact["uri"].startswith(f"{folder}/"):
            folder = artifact["uri"].rstrip("/")
            if artifact.get("size") is not None:
                known = (known or 0) + int(artifact["size"])
    return known
