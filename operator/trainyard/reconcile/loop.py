"""Workers that take keys from the queue, and the doorbell that puts them there.

Separate from the kinds: it knows that a key is reconciled, not how. One poisoned object backs off alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from trainyard import metrics
from trainyard.cluster.cache import POD, Cache, Key, job_key_of_pod, version_of
from trainyard.cluster.client import ApiError
from trainyard.cluster.execute import StaleError
from trainyard.reconcile.queue import Backoff, KeyedQueue
from trainyard.reconcile.references import References

logger = logging.getLogger(__name__)

Reconcile = Callable[[Key], Awaitable[float | None]]


class Doorbell:
    """What a watch event does: the cache is brought up to date and the keys concerned are queued."""

    def __init__(self, *, cache: Cache, queue: KeyedQueue, references: References) -> None:
        self._cache = cache
        self._queue = queue
        self._references = references

    def ring(self, kind: str, event: str | None, raw: dict[str, Any]) -> None:
        """`event` is the watch's ADDED, MODIFIED or DELETED, or None for a list's item."""
        metrics.DOORBELLS.labels(kind=kind).inc()
        metadata = raw["metadata"]
        if event == "DELETED":
            self._cache.remove(
                kind,
                namespace=metadata["namespace"],
                name=metadata["name"],
                uid=metadata["uid"],
                version=version_of(metadata),
            )
        elif not self._cache.store(kind, raw):
            return  # older than our own write, or the echo of it
        if kind == POD:
            key = job_key_of_pod(raw)
            if key is not None:
                self._queue.add(key)
            return
        key = Key(kind, metadata["namespace"], metadata["name"])
        self._queue.add(key)
        self.ring_those_who_wait_for(key)

    def ring_those_who_wait_for(self, key: Key) -> None:
        """Queue everything that refers to `key`."""
        for source in self._references.to(key):
            self._queue.add(source)


class Loop:
    """Runs `workers` workers until cancelled."""

    def __init__(self, *, queue: KeyedQueue, kinds: Mapping[str, Reconcile], workers: int) -> None:
        self._queue = queue
        self._kinds = kinds
        self._workers = workers
        for kind in kinds:
            metrics.RECONCILE_ERRORS.labels(kind=kind)  # at 0, so that the first one is an increase

    async def run(self) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._once(key)
            finally:
                self._queue.done(key)

    async def _once(self, key: Key) -> None:
        started = time.perf_counter()
        try:
            delay = await self._kinds[key.kind](key)
        except StaleError as stale:
            logger.debug("%s is observed again: %s", key, stale)
            self._queue.retry(key, Backoff.STALE)
        except ApiError as error:
            backoff = Backoff.AWAY if error.passing else Backoff.FAILED
            self._failed(key, backoff, error, at_least=error.retry_after or 0.0)
        except (aiohttp.ClientError, TimeoutError) as error:
            self._failed(key, Backoff.AWAY, error)
        except Exception as error:
            self._failed(key, Backoff.FAILED, error, bug=True)
        else:
            self._queue.succeeded(key)
            if delay is not None:
                self._queue.add_after(key, delay)
        finally:
            metrics.RECONCILE_SECONDS.labels(kind=key.kind).observe(time.perf_counter() - started)

    def _failed(
        self, key: Key, backoff: Backoff, error: Exception, *, at_least: float = 0.0, bug: bool = False
    ) -> None:
        metrics.RECONCILE_ERRORS.labels(kind=key.kind).inc()
        wait = self._queue.retry(key, backoff, at_least=at_least)
        logger.log(
            logging.ERROR if bug else logging.WARNING,
            "%s %s/%s could not be reconciled, again in %.1f s: %s",
            *key,
            wait,
            str(error) or type(error).__name__,
            exc_info=bug,
        )
