"""Removes stored logs that are not kept any longer, now and then, in the background.

Separate from `logs.retention`, which decides: this knows stores, threads and the clock. Called by the operator, which
says which jobs have not ended.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections.abc import Callable, Container, Iterator
from typing import Protocol

from trainyard import metrics
from trainyard.logs.retention import Retention, StoredJob, for_room, too_old
from trainyard.logs.threads import DaemonThreads

_log = logging.getLogger(__name__)

_FIRST_SECONDS = 600.0
_ROOM_SECONDS = 120.0
_AGE_SECONDS = 6 * 3600.0
_OBJECTS_SECONDS = 24 * 3600.0


class Store(Protocol):
    """What can be swept. Methods block."""

    def stored_jobs(self) -> Iterator[StoredJob]: ...

    def remove(self, job: StoredJob) -> None: ...


def seconds_between(retention: Retention, *, objects: bool) -> float:
    """How often to sweep: a disk fills quickly; listing an object store costs money."""
    if retention.size is not None:
        return _ROOM_SECONDS
    return _OBJECTS_SECONDS if objects else _AGE_SECONDS


async def sweep_forever(
    store: Store, retention: Retention, *, every: float, unfinished: Callable[[], Container[str]]
) -> None:
    """Sweeps soon, and then `every` so many seconds, give or take a quarter."""
    pause = min(_FIRST_SECONDS, every)
    while True:
        await asyncio.sleep(pause * random.uniform(0.75, 1.25))
        pause = every
        try:
            await sweep(store, retention, unfinished=unfinished)
        except Exception as error:
            _log.warning("Stored logs cannot be swept; it is tried again: %s", error)


async def sweep(store: Store, retention: Retention, *, unfinished: Callable[[], Container[str]]) -> int:
    """Removes what is not kept any longer; the number of jobs whose logs went."""
    if retention.seconds is None and retention.size is None:
        return 0
    limit = time.time() - (retention.seconds or 0.0)
    thread = DaemonThreads(1, name="log-sweep")
    kept = await thread.run(
        # NB: what is new is of interest only where it counts for the room; a store can be large.
        lambda: [job for job in store.stored_jobs() if retention.size is not None or job.newest < limit]
    )
    removed = 0
    for why in ("age", "room"):
        # NB: asked each time, after the listing: a job may have begun, or gone on, meanwhile.
        running = unfinished()
        if why == "age":
            going = too_old(kept, retention, unfinished=running, now=time.time())
        else:
            going = for_room(kept, retention, unfinished=running)
        for job in going:
            if job.name.uid in unfinished():
                continue
            await thread.run(functools.partial(store.remove, job))
            metrics.LOGS_SWEPT.labels(why=why).inc()
            removed += 1
        gone = {job.name for job in going}
        kept = [job for job in kept if job.name not in gone]
    if removed:
        _log.info("Removed the stored logs of %d jobs that have ended", removed)
    return removed
