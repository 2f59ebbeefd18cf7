"""The doorbells of TrainingJobs and pods: their watches, from the first list on, for as long as the operator runs.

Separate from `handlers`, whose watches are kopf's: these two kinds are nearly all that ever happens, and
`cluster.watch` says what kopf's would cost. Called by `app`.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from trainyard.cluster import listing
from trainyard.cluster.cache import POD, TRAINING_JOB, Cache, Key
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.watch import GoneError, Watch
from trainyard.reconcile.loop import Doorbell

#: The rest is kopf's.
KINDS = (POD, TRAINING_JOB)

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 15.0
#: A watch that lived so long has worked: the pauses begin anew.
_WORKED_SECONDS = 30.0


class Watcher:
    """Rings `doorbell` for whatever happens to a kind in a namespace (None: in all); of pods to ours."""

    def __init__(
        self, client: Client, cache: Cache, doorbell: Doorbell, kind: str, *, namespace: str | None
    ) -> None:
        self._client = client
        self._kind = kind
        self._cache = cache
        self._doorbell = doorbell
        self._namespace = namespace

    async def run(self, version: str) -> None:
        """Watch for ever, from `version` on. What cuts it is logged, and it goes on after a while."""
        watch = Watch(self._client, self._kind, namespace=self._namespace, version=version)
        pause, loop = _FIRST_PAUSE, asyncio.get_running_loop()
        while True:
            began, before = loop.time(), watch.version
            try:
                async for events in watch.events():
                    for event in events:
                        self._doorbell.ring(self._kind, event.type, event.raw)
            except GoneError:
                logger.info(
                    "The watch of %ss cannot go on from where it was: they are listed anew", self._kind
                )
                watch.version = await self._list_again() or before
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                logger.warning("The watch of %ss was cut: %s", self._kind, str(error) or type(error).__name__)
            # NB: in a burst the API server ends a watch whose events it cannot send as fast as they come, every few
            # hundred of them; each pause would hold up all that is to follow.
            if watch.version != before or loop.time() - began > _WORKED_SECONDS:
                pause = _FIRST_PAUSE
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _list_again(self) -> str | None:
        """Ring for everything that there is, and for what has gone meanwhile; the list's version, None if it failed."""
        before: dict[str, Key] = {}
        for key in self._cache.keys(self._kind):
            if self._namespace in (None, key.namespace) and (uid := self._cache.uid(key)):
                before[uid] = key
        version = ""
        try:
            async for page in listing.pages(self._client, self._kind, namespace=self._namespace):
                version = version or page.version
                for raw in page.items:
                    before.pop(raw["metadata"]["uid"], None)
                    self._doorbell.ring(self._kind, None, raw)
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            logger.warning("%ss could not be listed: %s", self._kind, str(error) or type(error).__name__)
            return None
        for uid, key in before.items():
            self._doorbell.ring_for_lost(key, uid, version=int(version))
        return version
