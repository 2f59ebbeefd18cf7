"""What pods have posted to the status server, as reconciling sees it: beside their logs, and together with them.

Separate from `reports`, which decides who may post, and from `reconcile.logs`, because a trainer may do either or both.
Filled by the status server, read when a job is observed. Nothing of it outlives the operator: the status of the job
does, and the next post.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trainyard.cluster.cache import TRAINING_JOB, Key
from trainyard.cluster.log_throttle import Throttle
from trainyard.planning import progress
from trainyard.planning.curve import Curve
from trainyard.planning.observed import LogView
from trainyard.planning.podview import PodView
from trainyard.planning.progress import Report
from trainyard.planning.statusline import StatusLine
from trainyard.reconcile.queue import KeyedQueue


@dataclass(frozen=True, kw_only=True)
class Posted:
    """What one pod has posted so far; `heard_at` is when it did so last, or could not be heard (epoch seconds)."""

    report: Report | None
    heard_at: float


@dataclass(kw_only=True)
class _Job:
    doorbell: Throttle
    pods: dict[str, Posted] = field(default_factory=dict)


class PostedReports:
    """Folds what is posted and rings for the job. For one event loop."""

    def __init__(self, *, queue: KeyedQueue, interval: float, now: Callable[[], float] = time.time) -> None:
        self._queue = queue
        self._interval = interval
        self._now = now
        self._jobs: dict[str, _Job] = {}
        self._unheard_at = 0.0
        self._curves: dict[str, Curve] = {}

    def compare(self, job_uid: str, curve: Curve | None) -> None:
        """The job is compared by this metric from the next post on, or by none: its empty curve."""
        if curve is not None:
            self._curves[job_uid] = curve
        elif self._curves:
            self._curves.pop(job_uid, None)

    def submit(self, namespace: str, pod: PodView, lines: Sequence[StatusLine]) -> None:
        """What a pod has said; no lines are a sign of life."""
        job = self._jobs.get(pod.job_uid)
        if job is None:
            key, queue = Key(TRAINING_JOB, namespace, pod.job), self._queue
            job = _Job(doorbell=Throttle(interval=self._interval, call=lambda: queue.add(key)))
            self._jobs[pod.job_uid] = job
        now = self._now()
        before = job.pods.get(pod.uid)
        report = before.report if before is not None else None
        curve = self._curves.get(pod.job_uid)
        if curve is not None and report is not None and report.curve is None:
            report = dataclasses.replace(report, curve=curve)
        for line in lines:
            report = progress.fold(report or Report(at=_precise(now), curve=curve), line, at=_precise(now))
        job.pods[pod.uid] = Posted(report=report, heard_at=now)
        if lines:
            job.doorbell.ring()

    def unheard(self) -> None:
        """Somebody spoke, and could not be heard: until now nobody's silence counts."""
        self._unheard_at = self._now()

    def view(self, job_uid: str, pod_uid: str) -> Posted | None:
        """What a pod has posted; None for one that has not."""
        job = self._jobs.get(job_uid)
        posted = job.pods.get(pod_uid) if job is not None else None
        if posted is None or posted.heard_at >= self._unheard_at:
            return posted
        return dataclasses.replace(posted, heard_at=self._unheard_at)

    def keep(self, job_uid: str, pods: tuple[PodView, ...]) -> None:
        """Drop what pods have posted that the job has no longer."""
        job = self._jobs.get(job_uid)
        if job is not None:
            for uid in job.pods.keys() - {pod.uid for pod in pods}:
                del job.pods[uid]

    def forget(self, job_uid: str) -> None:
        """The job has ended, or is gone."""
        self._curves.pop(job_uid, None)
        job = self._jobs.pop(job_uid, None)
        if job is not None:
            job.doorbell.close()

    def close(self) -> None:
        """Ring no more."""
        for uid in list(self._jobs):
            self.forget(uid)


def merged(log: LogView | None, posted: Posted | None) -> LogView | None:
    """A pod's log with what it has posted: of each field what was said last, and silence since either."""
    if posted is None:
        return log
    if log is None:
        return LogView(report=posted.report, silent_since=posted.heard_at)
    silent_since = log.silent_since
    return dataclasses.replace(
        log,
        report=progress.merged(log.report, posted.report),
        # NB: where nobody listens to the log it is not known to be silent, whatever was posted.
        silent_since=max(silent_since, posted.heard_at) if silent_since is not None else None,
    )


def _precise(now: float) -> str:
    """RFC 3339 with microseconds: a log's stamps, which it is compared with, are as precise."""
    return datetime.fromtimestamp(now, tz=UTC).isoformat(timespec="microseconds")
