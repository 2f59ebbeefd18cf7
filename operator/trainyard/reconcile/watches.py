"""The doorbells of TrainingJobs and pods: their watches, from the first list on, for as long as the operator runs.

Separate from `handlers`, whose watches are kopf's: these two kinds are nearly all that ever happens, and
`cluster.watch` says what kopf's would cost. Called by `app`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp

from trainyard.cluster import listing
from trainyard.cluster.cache import POD, TRAINING_JOB, Cache, Key
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.watch import GoneError, Watch
from trainyard.reconcile.loop import Doorbell

#: The rest is kopf's.
KINDS = (POD, TRAINING_JOB)

Json = dict[str, Any]

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
                        self._ring(event.type, event.raw)
            except GoneError:
                logger.info(
                    "The watch of %ss cannot go on from where it was: they are listed anew", self._kind
                )
                watch.version = await self._list_again() or before
            except Exception as error:
                self._failed("are not watched for a while", error)
            # NB: in a burst the API server ends a watch whose events it cannot send as fast as they come, every few
            # hundred of them; each pause would hold up all that is to follow.
            if watch.version != before or loop.time() - began > _WORKED_SECONDS:
                pause = _FIRST_PAUSE
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _ring(self, event: str | None, raw: Json) -> None:
        try:
            self._doorbell.ring(self._kind, event, raw)
        except Exception:
            # NB: an object that nobody thought of must not stop the others.
            logger.exception(
                "An event of %s %s is passed over", self._kind, raw.get("metadata", {}).get("name")
            )

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
                    self._ring(None, raw)
            for uid, key in before.items():
                self._doorbell.ring_for_lost(key, uid, version=int(version))
        except Exception as error:
            self._failed("could not be listed", error)
            return None
        return version

    def _failed(self, how: str, error: Exception) -> None:
        """NB: whatever it is: without its watches the operator is blind, and a restart may meet the same."""
        bug = not isinstance(error, ApiError | aiohttp.ClientError | TimeoutError)
        logger.warning("%ss %s: %s", self._kind, how, str(error) or type(error).__name__, exc_info=bug)
