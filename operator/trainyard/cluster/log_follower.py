"""Follows the logs of running pods: stores them, and folds the trainers' status lines into reports.

Separate because it is the one part of the operator that holds a connection for each running job. One log is
`cluster.followed_log`; here is the set of them. Called by the TrainingJob reconciler: `ensure` when a container
runs, `pod_ended` when its status says so, `forget` when the job is gone, `forget_ended` when only pods are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Iterable

from trainyard.cluster.client import Client
from trainyard.cluster.followed_log import FollowedLog
from trainyard.cluster.log_slots import LogSlots
from trainyard.cluster.log_target import LogState, LogTarget
from trainyard.cluster.log_throttle import Throttle
from trainyard.logs.archive import Archive
from trainyard.logs.store import LogFile, LogStore

__all__ = ["LogFollowers", "LogState", "LogTarget"]

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0
_RETRY_SECONDS = 10.0
_REPLAYS_AT_ONCE = 2


class LogFollowers:
    """All followed logs, by the pod's UID.

    `on_change` is called on the loop at a log's first report, at its end, and in between at most every
    `interval` seconds when a status line came. At most `max_streams` are followed at once; the others are read when
    their container has ended.
    """

    def __init__(
        self,
        *,
        client: Client,
        store: LogStore,
        on_change: Callable[[LogTarget], None],
        interval: float,
        max_streams: int = 500,
        archive: Archive | None = None,
    ) -> None:
        self._client = client
        self._store = store
        self._on_change = on_change
        self._interval = interval
        self._followers: dict[str, FollowedLog] = {}
        self._of_job: dict[str, set[str]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._dirty: set[LogFile] = set()
        self._background: list[asyncio.Task[None]] = []
        self._archive = archive
        self._slots = LogSlots(max_streams)
        self._replays = asyncio.Semaphore(_REPLAYS_AT_ONCE)

    def ensure(self, target: LogTarget) -> None:
        """Follows this log if it is not followed yet. Raises ValueError for names that make no path."""
        if target.pod_uid in self._followers:
            return
        file = self._store.file(
            namespace=target.namespace, uid=target.job_uid, attempt=target.attempt, rank=target.rank
        )
        follower = FollowedLog(
            target=target,
            client=self._client,
            file=file,
            changed=Throttle(interval=self._interval, call=lambda: self._on_change(target)),
            dirty=self._dirty,
            flush=self._flush,
            replays=self._replays,
            slots=self._slots,
            archive=self._archive,
        )
        self._followers[target.pod_uid] = follower
        self._of_job.setdefault(target.job_uid, set()).add(target.pod_uid)
        self._store.follows(len(self._followers))
        self._tasks[target.pod_uid] = task = asyncio.create_task(follower.run(), name=f"log {target.pod_uid}")
        task.add_done_callback(lambda _: self._tasks.pop(target.pod_uid, None))
        if not self._background:
            self._background.append(asyncio.create_task(self._flush_regularly(), name="log flusher"))
            if self._archive is not None:
                self._background.append(asyncio.create_task(self._archive.run(), name="log uploads"))

    def stopped_for_silence_after(self, pod_uid: str, seconds: float) -> None:
        """The progressTimeoutSeconds of the job, by which a silent stream is checked."""
        if follower := self._followers.get(pod_uid):
            follower.stopped_for_silence_after(seconds)

    def jobs(self) -> set[str]:
        """The UIDs of the jobs whose logs are held."""
        return set(self._of_job)

    def pod_ended(self, pod_uid: str, *, finished_at: float | None = None) -> None:
        """The container has terminated, at `finished_at` (epoch seconds) where the status tells. Idempotent."""
        if follower := self._followers.get(pod_uid):
            follower.container_has_ended(finished_at)

    def state(self, pod_uid: str) -> LogState | None:
        """None for a log that was never followed or is forgotten."""
        follower = self._followers.get(pod_uid)
        return follower.state() if follower else None

    def forget(self, job_uid: str) -> None:
        """Ends and drops what is held of a job's logs; the store keeps its files."""
        for pod_uid in self._of_job.get(job_uid, set()).copy():
            self._drop(job_uid, pod_uid)

    def forget_ended(self, job_uid: str, *, but: Container[str]) -> None:
        """Drops what is held of a job's logs that have ended, except those of the pods `but`."""
        for pod_uid in self._of_job.get(job_uid, set()).copy():
            if pod_uid not in but and self._followers[pod_uid].state().ended:
                self._drop(job_uid, pod_uid)

    def _drop(self, job_uid: str, pod_uid: str) -> None:
        follower = self._followers.pop(pod_uid)
        follower.changed.close()
        self._store.follows(len(self._followers))
        if task := self._tasks.get(pod_uid):
            task.cancel()
        if self._archive is not None:
            self._archive.finish(follower.file)
        left = self._of_job[job_uid]
        left.discard(pod_uid)
        if not left:
            del self._of_job[job_uid]

    async def close(self) -> None:
        """Ends all streams and writes what is buffered."""
        for follower in self._followers.values():
            follower.changed.close()
        tasks = [*self._tasks.values(), *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._background.clear()
        await self._flush()
        if self._archive is not None:
            await self._archive.close()

    async def _flush_regularly(self) -> None:
        failed = 0
        while True:
            # NB: each try copies what is held back; a full disk must not cost the loop its time.
            await asyncio.sleep(_RETRY_SECONDS if failed else _FLUSH_SECONDS)
            failed = await self._flush()

    async def _flush(self, files: Iterable[LogFile] | None = None) -> int:
        chosen = list(self._dirty if files is None else files)
        errors = await self._store.flush(chosen)
        self._dirty.difference_update([file for file in chosen if not file.pending])
        if errors:
            _log.warning("Logs cannot be stored: %s", errors[0], extra={"failed": len(errors)})
        return len(errors)
