"""Workers that take keys from the queue, and the doorbell that puts them there.

Separate from the kinds: it knows that a key is reconciled, not how. One poisoned object backs off alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

import aiohttp
from prometheus_client import Counter

from trainyard import metrics
from trainyard.api import names
from trainyard.cluster.cache import (
    DATASET,
    EXPERIMENT,
    MODEL,
    POD,
    TRAINING_JOB,
    Cache,
    Key,
    experiment_of_job,
    model_of,
    owner_key_of_pod,
    version_of,
)
from trainyard.cluster.client import ApiError
from trainyard.cluster.execute import StaleError
from trainyard.planning import podchange
from trainyard.planning.podview import PodView
from trainyard.reconcile.queue import Backoff, KeyedQueue
from trainyard.reconcile.references import References

logger = logging.getLogger(__name__)

Told = tuple[Any, ...]
Reconcile = Callable[[Key], Awaitable[float | None]]

#: A pod that comes up is looked at no later than this: the next step mostly follows, and tells all.
COMING_UP_SECONDS = 0.5
_HOW_FAR = ("phase", "reason", "startTime", "completionTime")
#: Figures of a job that goes on are looked at by its Experiment no later than this.
_PROGRESS_SECONDS = 1.0


class Doorbell:
    """What a watch event does: the cache is brought up to date and the keys concerned are queued."""

    def __init__(self, *, cache: Cache, queue: KeyedQueue, references: References) -> None:
        self._cache = cache
        self._queue = queue
        self._references = references

    def ring(self, kind: str, event: str | None, raw: dict[str, Any]) -> None:
        """`event` is the watch's ADDED, MODIFIED or DELETED, or None for a list's item."""
        _rung(kind).inc()
        metadata = raw["metadata"]
        before = self._cache.pod(metadata["namespace"], metadata["name"]) if kind == POD else None
        told = self._told_before(kind, raw)
        key = Key(kind, metadata["namespace"], metadata["name"])
        former = self._cache.model_of(key)
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
            self._ring_for_pod(raw, before, gone=event == "DELETED")
            return
        self._queue.add(key, because=_change(kind, metadata))
        if former is not None and former != model_of(raw):
            self._queue.add(former)  # NB: an edit has taken it away from that model
        self._ring_others(key, raw, news=told is None or event == "DELETED" or told != _told(kind, raw))

    def made(self, kind: str, raw: dict[str, Any]) -> None:
        """What was made or changed by another's reconcile than its own has to be looked at by that.

        NB: the watch's event may have come before, and what is in the cache already rings no more.
        """
        told = self._told_before(kind, raw)
        self._cache.store(kind, raw)
        key = Key(kind, raw["metadata"]["namespace"], raw["metadata"]["name"])
        self._queue.add(key)
        self._ring_others(key, raw, news=told is None or told != _told(kind, raw))

    def _ring_others(self, key: Key, raw: dict[str, Any], *, news: bool) -> None:
        """Those who wait for an object, the model that it works for, and the Experiment of a job, which also follows
        its figures.
        """
        experiment = experiment_of_job(raw) if key.kind == TRAINING_JOB else None
        if news or key.kind == TRAINING_JOB:
            self.ring_those_who_wait_for(key)
        if news and key.kind in (TRAINING_JOB, EXPERIMENT) and (model := model_of(raw)) is not None:
            self._queue.add(model)
        if experiment is not None and news:
            self._queue.add(experiment)
        elif experiment is not None:
            self._queue.add_soon(experiment, _PROGRESS_SECONDS)

    def _ring_for_pod(self, raw: dict[str, Any], before: PodView | None, *, gone: bool) -> None:
        metadata = raw["metadata"]
        after = self._cache.pod(metadata["namespace"], metadata["name"]) if not gone else None
        key = _owner_of(metadata["namespace"], after) if after is not None else owner_key_of_pod(raw)
        if key is None:
            return
        if after is None:
            self._queue.add(key)
        elif before is not None and podchange.says_nothing(before, after):
            pass  # NB: plans read nothing of a pod but its view
        elif podchange.comes_up(before, after):
            self._queue.add_soon(key, COMING_UP_SECONDS)
        else:
            self._queue.add(key, urgent=podchange.has_ended(after), because=_change(POD, metadata))

    def answered(self, kind: str, raw: dict[str, Any]) -> None:
        """A write of ours has been answered with the object as it is now. The watch tells it as well, sooner or later
        than the answer, and either way rings for others only: who has written knows.
        """
        metadata = raw["metadata"]
        if kind != POD:
            told = self._told_before(kind, raw)
            self._cache.store(kind, raw)
            key = Key(kind, metadata["namespace"], metadata["name"])
            self._queue.not_because(key, _change(kind, metadata))
            self._ring_others(key, raw, news=told is None or told != _told(kind, raw))
            return
        before = self._cache.pod(metadata["namespace"], metadata["name"])
        news = self._cache.store(POD, raw)
        after = self._cache.pod(metadata["namespace"], metadata["name"])
        job = _owner_of(metadata["namespace"], after) if after is not None else owner_key_of_pod(raw)
        if job is None:
            return
        if names.VERDICT_FINALIZER in (metadata.get("finalizers") or ()):
            # NB: so the answer to its creation. That to a release may be the first to tell what others have done to it;
            # the release's own echo says nothing.
            self._queue.not_because(job, _change(POD, metadata))
        if news and before is not None and after is not None and not podchange.says_nothing(before, after):
            # NB: what others had done to it before is in the answer, too, and their event comes too late to ring.
            self._queue.add(job)

    def _told_before(self, kind: str, raw: dict[str, Any]) -> Told | None:
        """What those who wait for an object have seen of it; None for one that is new.

        NB: a Dataset and an Experiment write their progress every few seconds, and thousands of jobs may wait for them;
        of a job only its Experiment and its model ask.
        """
        alone = kind == TRAINING_JOB and experiment_of_job(raw) is None and model_of(raw) is None
        if alone or kind == POD:
            return None
        known = self._cache.get(Key(kind, raw["metadata"]["namespace"], raw["metadata"]["name"]))
        return _told(kind, known) if known is not None else None

    def ring_for_lost(self, key: Key, uid: str, *, version: int) -> None:
        """A list of this resourceVersion no longer shows what was there before."""
        pod = self._cache.pod(key.namespace, key.name) if key.kind == POD else None
        experiment, model = self._cache.experiment_of(key), self._cache.model_of(key)
        self._cache.remove(key.kind, namespace=key.namespace, name=key.name, uid=uid, version=version)
        if key.kind != POD:
            self._queue.add(key)
            self.ring_those_who_wait_for(key)
            for owner in (experiment, model):
                if owner is not None:
                    self._queue.add(owner)
        elif pod is not None and (job := _owner_of(key.namespace, pod)) is not None:
            self._queue.add(job)

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
        # NB: made here, so that they are at 0 and the first one is an increase.
        self._errors = {kind: metrics.RECONCILE_ERRORS.labels(kind=kind) for kind in kinds}
        self._seconds = {kind: metrics.RECONCILE_SECONDS.labels(kind=kind) for kind in kinds}

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
            self._seconds[key.kind].observe(time.perf_counter() - started)

    def _failed(
        self, key: Key, backoff: Backoff, error: Exception, *, at_least: float = 0.0, bug: bool = False
    ) -> None:
        self._errors[key.kind].inc()
        wait = self._queue.retry(key, backoff, at_least=at_least)
        logger.log(
            logging.ERROR if bug else logging.WARNING,
            "%s %s/%s could not be reconciled, again in %.1f s: %s",
            *key,
            wait,
            str(error) or type(error).__name__,
            exc_info=bug,
        )


@cache
def _rung(kind: str) -> Counter:
    return metrics.DOORBELLS.labels(kind=kind)


def _owner_of(namespace: str, pod: PodView) -> Key | None:
    if pod.dataset:
        return Key(DATASET, namespace, pod.dataset)
    if pod.experiment:
        return Key(EXPERIMENT, namespace, pod.experiment)
    if pod.model:
        return Key(MODEL, namespace, pod.model)
    return Key(TRAINING_JOB, namespace, pod.job) if pod.job else None


def _told(kind: str, raw: dict[str, Any]) -> Told:
    """What of an object others act upon: all of a Dataset but the figures of its progress, what is wanted of an
    Experiment, how far one that works for a model is, and a job of an Experiment or a model, and what versions a model
    has.
    """
    metadata, status = raw["metadata"], raw.get("status") or {}
    wanted = (metadata.get("uid"), metadata.get("generation"), metadata.get("deletionTimestamp"))
    if kind == TRAINING_JOB or (kind == EXPERIMENT and model_of(raw) is not None):
        return (*wanted, *(status.get(name) for name in _HOW_FAR))
    if kind == EXPERIMENT:
        return wanted
    if kind == MODEL:
        numbers = [version.get("number") for version in status.get("versions") or ()]
        return (*wanted, status.get("lifecycle"), numbers, status.get("aliases"))
    pull = status.get("pull") or {}
    without = {key: value for key, value in status.items() if key != "pull"}
    return (*wanted, without, pull.get("state"), pull.get("claim"))


def _change(kind: str, metadata: dict[str, Any]) -> tuple[str, int]:
    """What one write of an object is called in the queue."""
    return kind, version_of(metadata)
