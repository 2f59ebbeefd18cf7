"""Where a log lies in a store: `<namespace>/<uid>/<attempt>-<rank>`.

Separate because paths are made of names that others give, and because what is swept away must be ours: only a path that
these functions make is read as one. Called by the stores and by the sweep.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_UID = re.compile(r"[A-Za-z0-9][-A-Za-z0-9]{0,63}")
_LOG = re.compile(r"(0|[1-9]\d{0,6})-(0|[1-9]\d{0,6})")
_PART = re.compile(r"\d{12}\.log")
_MAX_NUMBER = 1_000_000


@dataclass(frozen=True, kw_only=True, order=True)
class JobName:
    """Whose logs. Raises ValueError for names that are none."""

    namespace: str
    uid: str

    def __post_init__(self) -> None:
        if not _NAMESPACE.fullmatch(self.namespace):
            raise ValueError(f"{self.namespace!r} is not the name of a namespace.")
        if not _UID.fullmatch(self.uid):
            raise ValueError(f"{self.uid!r} is not a UID.")

    @property
    def folder(self) -> str:
        return f"{self.namespace}/{self.uid}"


@dataclass(frozen=True, kw_only=True, order=True)
class LogName:
    """The log of one rank of one attempt. Raises ValueError for numbers that no job has."""

    job: JobName
    attempt: int
    rank: int

    def __post_init__(self) -> None:
        if not (0 <= self.attempt <= _MAX_NUMBER and 0 <= self.rank <= _MAX_NUMBER):
            raise ValueError(f"Attempt {self.attempt} and rank {self.rank} cannot both be.")

    @property
    def path(self) -> str:
        """In a store, without an ending: a folder of parts, or a file's name without `.log`."""
        return f"{self.job.folder}/{self.attempt:d}-{self.rank:d}"

    def part(self, start: int) -> str:
        """The object with the bytes of this log from `start` on."""
        return f"{self.path}/{start:012d}.log"


def of_log(job: JobName, name: str) -> LogName | None:
    """The log that `<attempt>-<rank>` names in a job's folder; None for anything else."""
    if _LOG.fullmatch(name) is None:
        return None
    attempt, _, rank = name.partition("-")
    try:
        return LogName(job=job, attempt=int(attempt), rank=int(rank))
    except ValueError:
        return None


def of_file(job: JobName, name: str) -> LogName | None:
    """The log that a file in a job's folder holds; None for one that is not ours."""
    return of_log(job, name.removesuffix(".log")) if name.endswith(".log") else None


def of_job(namespace: str, uid: str) -> JobName | None:
    """The job whose folder this is; None for a folder that is not ours."""
    try:
        return JobName(namespace=namespace, uid=uid)
    except ValueError:
        return None


def part_start(name: str) -> int | None:
    """Where in its log an object begins; None for one that is not ours."""
    return int(name.removesuffix(".log")) if _PART.fullmatch(name) else None
