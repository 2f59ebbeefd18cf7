"""The doorbell of pods: their watch, from the first list on, for as long as the operator runs.

Separate from `handlers`, whose watches are kopf's: `cluster.watch` says why pods are not among them. Called by `app`.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from trainyard.cluster import listing
from trainyard.cluster.cache import POD, Cache
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.watch import GoneError, Watch
from trainyard.reconcile.loop import Doorbell

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 15.0
#: A watch that lived so long has worked: the pauses begin anew.
_WORKED_SECONDS = 30.0


class PodWatch:
    """Rings `doorbell` for whatever happens to our pods in a namespace (None: in all)."""

    def __init__(self, client: Client, cache: Cache, doorbell: Doorbell, *, namespace: str | None) -> None:
        self._client = client
        self._cache = cache
        self._doorbell = doorbell
        self._namespace = namespace

    async def run(self, version: str) -> None:
        """Watch for ever, from `version` on. What cuts it is logged, and it goes on after a while."""
        watch = Watch(self._client, POD, namespace=self._namespace, version=version)
        pause, loop = _FIRST_PAUSE, asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                async for events in watch.events():
                    for event in events:
                        self._doorbell.ring(POD, event.type, event.raw)
            except GoneError:
                logger.info("The watch of pods cannot go on from where it was: they are listed anew")
                if (listed := await self._list_again()) is not None:
                    watch.version = listed
                    continue
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                logger.warning(
                    "The watch of pods was cut, on again in %.1f s: %s",
                    pause,
                    str(error) or type(error).__name__,
                )
            pause = _FIRST_PAUSE if loop.time() - began > _WORKED_SECONDS else pause
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _list_again(self) -> str | None:
        """Ring for everything that there is, and for what has gone meanwhile; the list's version, None if it failed."""
        before = [
            (key.namespace, view)
            for key in self._cache.keys(POD)
            if self._namespace in (None, key.namespace)
            and (view := self._cache.pod(key.namespace, key.name)) is not None
        ]
        version, seen = "", set()
        try:
            async for page in listing.pages(self._client, POD, namespace=self._namespace):
                version = version or page.version
                for raw in page.items:
                    seen.add(raw["metadata"]["uid"])
                    self._doorbell.ring(POD, None, raw)
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            logger.warning("Pods could not be listed: %s", str(error) or type(error).__name__)
            return None
        for namespace, view in before:
            if view.uid not in seen:
                self._doorbell.ring_for_lost(namespace, view, version=int(version))
        return version
