"""The log followers as reconciling sees them.

Separate because following can be off, and because a job that has ended must not cut off the rest of its log.
"""

from __future__ import annotations

from trainyard.api import names
from trainyard.cluster.cache import TRAINING_JOB, Key
from trainyard.cluster.client import Client
from trainyard.cluster.log_follower import LogFollowers, LogTarget
from trainyard.logs.store import LogStore
from trainyard.planning.observed import LogView, PodView
from trainyard.reconcile.queue import KeyedQueue


class FollowedLogs:
    """Follows training containers, rings for their jobs, and lets go of a log when job and log have both ended."""

    def __init__(self, *, client: Client, store_url: str, queue: KeyedQueue, interval: float) -> None:
        self._queue = queue
        self._released: dict[str, set[str]] = {}
        self._followers = LogFollowers(
            client=client, store=LogStore(store_url), on_change=self._changed, interval=interval
        )

    def follow(self, namespace: str, job: str, job_uid: str, pod: PodView) -> None:
        """Start to follow; again is no harm."""
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
            )
        )

    def pod_ended(self, pod: PodView) -> None:
        """The container has ended: what its log still has is the rest."""
        finished_at = pod.trainer.finished_at if pod.trainer is not None else None
        self._followers.pod_ended(pod.uid, finished_at=finished_at)

    def view(self, pod_uid: str) -> LogView | None:
        """What the log has told so far; None when it is not followed."""
        state = self._followers.state(pod_uid)
        if state is None:
            return None
        return LogView(report=state.report, tail=state.tail, ended=state.ended)

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
        self._queue.add(Key(TRAINING_JOB, target.namespace, target.job))


class NoLogs:
    """Following is off."""

    def follow(self, namespace: str, job: str, job_uid: str, pod: PodView) -> None:
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

    async def close(self) -> None:
        """Nothing."""
