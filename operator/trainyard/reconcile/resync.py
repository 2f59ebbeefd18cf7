"""Looking at everything again, every ten minutes or so.

Separate because it is the net under the watches: a watch that was cut and listed anew never tells what was deleted
meanwhile, and an event or a doorbell lost to a bug would be lost for good.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp

from trainyard.cluster import listing
from trainyard.cluster.cache import DATASET, EXPERIMENT, MODEL, POD, TRAINING_JOB, Cache, Key
from trainyard.cluster.client import ApiError, Client
from trainyard.planning.podchange import has_ended
from trainyard.reconcile.queue import KeyedQueue

logger = logging.getLogger(__name__)

#: Pods first: a job is looked at again only when its pods are up to date.
KINDS = (POD, DATASET, TRAINING_JOB, EXPERIMENT, MODEL)
_FETCHED_AT_MOST = 100

#: The resourceVersion of the first list, by kind and namespace (None: all).
Versions = Mapping[str, Mapping[str | None, str]]


async def prime(
    client: Client, cache: Cache, queue: KeyedQueue, *, namespaces: tuple[str | None, ...]
) -> Versions:
    """Load everything before the first reconcile; else a job whose pod is not seen yet would get another.

    What a watch can go on from, by kind and namespace.
    """
    cache.clear()  # of a try that failed: what has gone since then would never be told
    # NB: side by side, as the server prepares a page of the one while we read one of the other.
    lists = [
        asyncio.ensure_future(listing.load(client, cache, kind, namespaces=namespaces)) for kind in KINDS
    ]
    try:
        with _no_collection():
            versions = dict(zip(KINDS, await asyncio.gather(*lists), strict=True))
    finally:
        for one in lists:
            one.cancel()
        await asyncio.gather(*lists, return_exceptions=True)
    _queue_all(cache, queue)
    return versions


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the collector of cycles: it costs as much again as the loading, and finds nothing in what is loaded.

    What is there afterwards, modules and all, stays: no later round looks into it.
    """
    gc.collect()  # what a try that failed has left must not stay, too
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


async def resync_forever(
    client: Client, cache: Cache, queue: KeyedQueue, *, namespaces: tuple[str | None, ...], every: float
) -> None:
    """Bring the cache up to date and queue every object, each `every` seconds.

    A failure is logged and tried at the next turn: whatever it is, the watches go on meanwhile.
    """
    while True:
        await asyncio.sleep(every)
        for kind in KINDS:
            try:
                await _resync(client, cache, queue, kind, namespaces=namespaces)
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                logger.warning("Resync of %s: %s", kind, str(error) or type(error).__name__)
            except Exception:
                logger.exception("Resync of %s", kind)
        _queue_all(cache, queue)


async def _resync(
    client: Client, cache: Cache, queue: KeyedQueue, kind: str, *, namespaces: tuple[str | None, ...]
) -> None:
    """Forget ghosts, and fetch what the watch has not told: at most a hundred a turn, each with a GET."""
    found = await listing.differences(client, cache, kind, namespaces=namespaces)
    for uid, key in found.ghosts.items():
        cache.remove(kind, namespace=key.namespace, name=key.name, uid=uid)
        if kind != POD:
            queue.add(key)
    if found.missed:
        logger.info("Resync of %s: %d objects are newer than the watch has told", kind, len(found.missed))
    for key in found.missed[:_FETCHED_AT_MOST]:
        await listing.fetch(client, cache, key)


def _queue_all(cache: Cache, queue: KeyedQueue) -> None:
    # NB: also the jobs that are gone, as their pods wait to be released.
    keys = dict.fromkeys(key for kind in KINDS if kind != POD for key in cache.keys(kind))
    keys.update(dict.fromkeys(cache.jobs_of_pods()))
    for key in sorted(keys, key=lambda key: _turn(cache, key)):
        queue.add(key)


def _turn(cache: Cache, key: Key) -> int:
    """First what something is likely to be done for: jobs without pods, and those whose pods have ended.

    Last the jobs that have ended, as hardly one of them needs anything.
    """
    if cache.finished(key):
        return 2
    pods = cache.pods_named_for(key)
    return 1 if pods and not any(map(has_ended, pods)) else 0
