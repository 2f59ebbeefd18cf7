"""Which log is followed, and what is known of it.

Separate because both the set of followed logs and one of them speak of it, and so do their callers.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.planning.curve import Curve
from trainyard.planning.progress import Report


@dataclass(frozen=True, kw_only=True)
class LogTarget:
    """A container whose log is followed, and whose log it is; `curve` is the empty one of the metric that its job is
    compared by, if it is.
    """

    namespace: str
    pod: str
    pod_uid: str
    container: str
    job: str
    job_uid: str
    attempt: int
    rank: int
    curve: Curve | None = None


@dataclass(frozen=True, kw_only=True)
class LogState:
    """What is known of a log; as `planning.observed.LogView`, with epoch seconds."""

    report: Report | None = None
    tail: tuple[str, ...] = ()
    ended: bool = False
    silent_since: float | None = None
    reading: bool = False
