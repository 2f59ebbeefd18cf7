"""Attempts: which is the newest, when the next may start, what it resumes from, which old pods are too many.

Separate because `status.attempts` is what a job remembers of itself; every rule about it is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainyard.planning.observed import PodView
from trainyard.planning.times import seconds

Json = Mapping[str, Any]

#: An attempt that was lost sooner than this is not replaced at once: whatever took it may take the next as well.
SHORT_SECONDS = 60.0
_FIRST_DELAY = 10.0
_LONGEST_DELAY = 300.0
#: Pods of attempts that were lost are kept for their logs, so many of them.
_OLD_PODS_KEPT = 3


def newest(status: Json, pods: Sequence[PodView]) -> int:
    """The newest attempt that anything knows of: status or the labels of pods."""
    recorded = [int(entry["number"]) for entry in status.get("attempts") or []]
    return max([0, *recorded, *(pod.attempt for pod in pods)])


def not_before(status: Json, attempt: int) -> float:
    """When the pod of `attempt` may be created, in seconds since the epoch; 0 for at once.

    10 s after an attempt that was lost within its first minute, doubled for each such attempt before that one, at
    most 5 min.
    """
    entries = {int(entry["number"]): entry for entry in status.get("attempts") or []}
    short = 0
    while (entry := entries.get(attempt - 1 - short)) is not None and _was_short(entry):
        short += 1
    if not short:
        return 0.0
    ended = seconds(entries[attempt - 1].get("completionTime")) or 0.0
    delay: float = min(_FIRST_DELAY * 2 ** (short - 1), _LONGEST_DELAY)
    return ended + delay


def resume_from(status: Json, attempt: int) -> int | None:
    """The attempt whose checkpoints to continue from: that of the last one told, else the one before."""
    if attempt == 0:
        return None
    for part in str((status.get("lastCheckpoint") or {}).get("uri") or "").split("/"):
        number = part.removeprefix("attempt-")
        if part.startswith("attempt-") and number.isdigit() and int(number) < attempt:
            return int(number)
    return attempt - 1


def surplus(pods: Sequence[PodView], attempt: int) -> tuple[PodView, ...]:
    """Ended pods of attempts so old that nobody will read their logs there."""
    return tuple(
        pod
        for pod in pods
        if pod.attempt < attempt - _OLD_PODS_KEPT and pod.over and pod.deletion_requested_at is None
    )


def _was_short(entry: Json) -> bool:
    started, ended = seconds(entry.get("startTime")), seconds(entry.get("completionTime"))
    return ended is not None and (started is None or ended - started < SHORT_SECONDS)
