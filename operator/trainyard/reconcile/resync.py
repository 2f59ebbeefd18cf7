"""Looking at everything again, every ten minutes or so.

Separate because it is the net under the watches: a watch that was cut and listed anew never tells what was deleted
meanwhile, and a doorbell lost to a bug would be lost for good.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from trainyard.cluster import listing
from trainyard.cluster.cache import DATASET, POD, TRAINING_JOB, Cache, Key
from trainyard.cluster.client import ApiError, Client
from trainyard.reconcile.queue import KeyedQueue

logger = logging.getLogger(__name__)

#: In the order of loading: a job is planned only when its pods are known.
KINDS = (POD, DATASET, TRAINING_JOB)


async def prime(
    client: Client, cache: Cache, queue: KeyedQueue, *, namespaces: tuple[str | None, ...]
) -> None:
    """Load everything before the first reconcile; else a job whose pod is not seen yet would get another."""
    for kind in KINDS:
        await listing.load(client, cache, kind, namespaces=namespaces)
    _queue_all(cache, queue)


async def resync_forever(
    client: Client, cache: Cache, queue: KeyedQueue, *, namespaces: tuple[str | None, ...], every: float
) -> None:
    """Drop ghosts and queue every object, each `every` seconds; a failure is logged and tried at the next turn."""
    while True:
        await asyncio.sleep(every)
        for kind in KINDS:
            try:
                ghosts = await listing.drop_ghosts(client, cache, kind, namespaces=namespaces)
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                logger.warning("Resync of %s: %s", kind, error)
                continue
            for key in ghosts:
                if key.kind != POD:
                    queue.add(key)
        _queue_all(cache, queue)


def _queue_all(cache: Cache, queue: KeyedQueue) -> None:
    keys: list[Key] = [*cache.keys(DATASET), *cache.keys(TRAINING_JOB)]
    for key in keys:
        queue.add(key)
