"""Which stored logs go: those of jobs that ended long ago, and the oldest when there is no room.

Pure, because what it decides is deleted for good. Called by `logs.sweep` with what a store holds.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from trainyard.logs.names import JobName

_TRIGGER, _TARGET = 0.9, 0.8


@dataclass(frozen=True, kw_only=True)
class StoredJob:
    """All logs of one job: the seconds since the epoch of the newest write, bytes, and paths below the root."""

    name: JobName
    newest: float
    size: int
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long and how much: seconds after the last write, and bytes of all; None is without end."""

    seconds: float | None = None
    size: int | None = None


def too_old(
    jobs: Iterable[StoredJob], retention: Retention, *, unfinished: Container[str], now: float
) -> list[StoredJob]:
    """Those whose last line is older than is kept; never one of a job that has not ended."""
    if retention.seconds is None:
        return []
    limit = now - retention.seconds
    return [job for job in jobs if job.newest < limit and job.name.uid not in unfinished]


def for_room(
    jobs: Iterable[StoredJob], retention: Retention, *, unfinished: Container[str]
) -> list[StoredJob]:
    """The oldest ones that must go when 90% of the room is taken, until 80% are; of jobs that have ended."""
    if retention.size is None:
        return []
    stored = sorted(jobs, key=lambda job: (job.newest, job.name))
    taken = sum(job.size for job in stored)
    if taken <= retention.size * _TRIGGER:
        return []
    going = []
    for job in stored:
        if taken <= retention.size * _TARGET:
            break
        if job.name.uid not in unfinished:
            going.append(job)
            taken -= job.size
    return going
