"""Attempts: which is the newest, when the next may start, what it resumes from, which old pods are kept.

Separate because `status.attempts` is what a job remembers of itself; every rule about it is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainyard.api.reasons import Reason
from trainyard.planning.observed import ObservedJob
from trainyard.planning.podview import PodView
from trainyard.planning.times import seconds

Json = Mapping[str, Any]

#: An attempt that was lost sooner than this is not replaced at once: whatever took it may take the next as well.
SHORT_SECONDS = 60.0
#: A node that lives ends a pod that is deleted by force well within this time.
FORCED_SECONDS = 60.0
_FIRST_DELAY = 10.0
_LONGEST_DELAY = 300.0
#: Pods of attempts that failed or were lost are kept for their logs, so many of them.
_OLD_PODS_KEPT = 3
#: Attempts that ended because their user wanted it.
_STOPPED = frozenset({Reason.PAUSED, Reason.CANCELED_BY_USER})


def newest(status: Json, pods: Sequence[PodView]) -> int:
    """The newest attempt that anything knows of: status or the labels of pods."""
    recorded = [int(entry["number"]) for entry in status.get("attempts") or []]
    return max([0, *recorded, *(pod.attempt for pod in pods)])


def not_before(status: Json, attempt: int) -> float:
    """When the pod of `attempt` may be created, in seconds since the epoch; 0 for at once.

    10 s after the first attempt that failed, doubled for each failure before that one, at most 5 min. The same after
    attempts that were lost within their first minute: whatever took them may take the next as well.
    """
    entries = {int(entry["number"]): entry for entry in status.get("attempts") or []}
    before = entries.get(attempt - 1)
    if before is None or not before.get("completionTime"):
        return 0.0
    ended = seconds(before["completionTime"]) or 0.0
    if before.get("counted") is not False:
        failures = int(status.get("failures") or 0)  # none: somebody has asked for a retry
        return ended + backoff(failures) if failures else 0.0
    short = 0
    while (entry := entries.get(attempt - 1 - short)) is not None and _was_lost_soon(entry):
        short += 1
    return ended + backoff(short) if short else 0.0


def backoff(count: int) -> float:
    """Seconds to wait after so many failures."""
    return float(min(_FIRST_DELAY * 2 ** min(count - 1, 10), _LONGEST_DELAY))


def given_up(pod: PodView, *, now: float) -> bool:
    """Whether somebody has deleted the pod by force and its node has not told an end since: the node is gone."""
    return (
        pod.forced
        and pod.deletion_requested_at is not None
        and now >= pod.deletion_requested_at + FORCED_SECONDS
    )


def surplus(pods: Sequence[PodView], attempt: int) -> tuple[PodView, ...]:
    """Ended pods of attempts so old that nobody reads their logs there, and any that still runs beside the newest."""
    return tuple(
        pod
        for pod in pods
        if pod.deletion_requested_at is None
        and (pod.attempt < attempt - _OLD_PODS_KEPT or (pod.attempt < attempt and not pod.over))
    )


def judged(observed: ObservedJob, status: Json) -> tuple[PodView, ...]:
    """Pods that our finalizer need not keep any longer: `status` holds their verdict, or the job is going."""
    entries = {int(entry["number"]): entry for entry in status.get("attempts") or []}
    oldest = min(entries, default=0)
    over = observed.deleting or bool(status.get("completionTime"))
    return tuple(
        pod
        for pod in observed.pods
        if pod.finalized
        and (over or pod.attempt < oldest or entries.get(pod.attempt, {}).get("completionTime") is not None)
    )


def _was_lost_soon(entry: Json) -> bool:
    if entry.get("counted") is not False or entry.get("reason") in _STOPPED:
        return False
    started, ended = seconds(entry.get("startTime")), seconds(entry.get("completionTime"))
    return ended is not None and (started is None or ended - started < SHORT_SECONDS)
