"""The log followers as reconciling sees them.

Separate because following can be off, and because a job that has ended must not cut off the rest of its log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trainyard.api import names
from trainyard.cluster.cache import TRAINING_JOB, Key
from trainyard.cluster.client import Client
from trainyard.cluster.log_follower import LogFollowers, LogTarget
from trainyard.logs.archive import Archive
from trainyard.logs.configured import kept_logs
from trainyard.logs.retention import Retention
from trainyard.logs.sweep import seconds_between, sweep_forever
from trainyard.planning.curve import Curve
from trainyard.planning.observed import LogView
from trainyard.planning.podview import PodView
from trainyard.reconcile.queue import KeyedQueue
from trainyard.settings import Logs


class FollowedLogs:
    """Follows training containers, rings for their jobs, and lets go of a log when job and log have both ended."""

    def __init__(self, *, client: Client, settings: Logs, queue: KeyedQueue, interval: float) -> None:
        self._queue = queue
        self._released: dict[str, set[str]] = {}
        self._kept = kept = kept_logs(settings)
        self._retention = Retention(
            seconds=settings.retention_days * 86400.0 or None,
            size=settings.max_size or None if kept.bucket is None else None,
        )
        self._archive = Archive(kept.bucket) if kept.bucket is not None else None
        self._followers = LogFollowers(
            client=client,
            store=kept.folder,
            on_change=self._changed,
            interval=interval,
            max_streams=settings.max_streams,
            archive=self._archive,
        )

    def follow(
        self,
        namespace: str,
        job: str,
        job_uid: str,
        pod: PodView,
        *,
        progress_timeout: float = 0.0,
        curve: Curve | None = None,
    ) -> None:
        """Start to follow; again is no harm, and tells the job's progressTimeoutSeconds as it is now. `curve` is the
        empty one of the metric that the job is compared by.
        """
        self._released.pop(job_uid, None)  # NB: a job that had ended may go on while its old log still runs
        self._followers.ensure(
            LogTarget(
                namespace=namespace,
                pod=pod.name,
                pod_uid=pod.uid,
                container=names.TRAINER_CONTAINER,
                job=job,
                job_uid=job_uid,
                attempt=pod.attempt,
                rank=pod.rank,
                curve=curve,
            )
        )
        self._followers.stopped_for_silence_after(pod.uid, progress_timeout)

    def pod_ended(self, pod: PodView) -> None:
        """The container has ended: what its log still has is the rest."""
        finished_at = pod.trainer.finished_at if pod.trainer is not None else None
        self._followers.pod_ended(pod.uid, finished_at=finished_at)

    def view(self, pod_uid: str) -> LogView | None:
        """What the log has told so far; None when it is not followed."""
        state = self._followers.state(pod_uid)
        if state is None:
            return None
        return LogView(
            report=state.report,
            tail=state.tail,
            ended=state.ended,
            silent_since=state.silent_since,
            reading=state.reading,
        )

    def keep(self, job_uid: str, pods: tuple[PodView, ...]) -> None:
        """Drop from memory the ended logs of pods that the job has no longer."""
        self._followers.forget_ended(job_uid, but={pod.uid for pod in pods})

    def release(self, job_uid: str, pods: tuple[PodView, ...]) -> None:
        """The job has ended: drop its logs from memory, those that still run when they have ended."""
        views = {pod.uid: self.view(pod.uid) for pod in pods}
        open_logs = {uid for uid, view in views.items() if view is not None and not view.ended}
        if open_logs:
            self._released[job_uid] = open_logs
        else:
            self._followers.forget(job_uid)

    def forget(self, job_uid: str) -> None:
        """The job is gone: end its streams."""
        self._released.pop(job_uid, None)
        self._followers.forget(job_uid)

    async def sweep(self, unfinished: Callable[[], set[str]]) -> None:
        """Removes stored logs that are not kept any longer, for ever; `unfinished` jobs (UIDs) lose none."""
        store = self._kept.bucket or self._kept.folder
        every = seconds_between(self._retention, objects=self._kept.bucket is not None)

        def held() -> set[str]:
            return unfinished() | self._followers.jobs()

        async with asyncio.TaskGroup() as group:
            group.create_task(sweep_forever(store, self._retention, every=every, unfinished=held))
            if self._archive is not None:
                group.create_task(self._archive.adopt_forever(self._kept.folder))

    async def close(self) -> None:
        """End all streams and write what is buffered."""
        await self._followers.close()

    def _changed(self, target: LogTarget) -> None:
        state = self._followers.state(target.pod_uid)
        open_logs = self._released.get(target.job_uid)
        if open_logs is not None:
            if state is None or state.ended:
                open_logs.discard(target.pod_uid)
            if not open_logs:
                self.forget(target.job_uid)
            return
        # NB: the verdict waits for the end of a log, and somebody for the verdict.
        ended = state is not None and state.ended
        self._queue.add(Key(TRAINING_JOB, target.namespace, target.job), urgent=ended)


class NoLogs:
    """Following is off."""

    def follow(
        self,
        namespace: str,
        job: str,
        job_uid: str,
        pod: PodView,
        *,
        progress_timeout: float = 0.0,
        curve: Curve | None = None,
    ) -> None:
        """Nothing."""

    def pod_ended(self, pod: PodView) -> None:
        """Nothing."""

    def view(self, pod_uid: str) -> LogView | None:
        """Nothing is known."""
        return None

    def keep(self, job_uid: str, pods: tuple[PodView, ...]) -> None:
        """Nothing."""

    def release(self, job_uid: str, pods: tuple[PodView, ...]) -> None:
        """Nothing."""

    def forget(self, job_uid: str) -> None:
        """Nothing."""

    async def sweep(self, unfinished: Callable[[], set[str]]) -> None:
        """Nothing: logs that were kept before stay."""

    async def close(self) -> None:
        """Nothing."""
