"""Secrets of callbacks: read for one try, and looked at again while one of them cannot be used.

Separate because it polls: a watch of Secrets would need the right to read all of them. One GET now and then for each
Secret that is lacking, however many deliveries wait for it; called by `reconcile.callbacks`.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import aiohttp

from trainyard.callbacks.credentials import UnusableSecretError
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError, Client

Json = dict[str, Any]


class Lacking(NamedTuple):
    """A Secret as it was found unusable; `version` is empty for one that could not be read at all."""

    namespace: str
    name: str
    version: str


class Secrets:
    """For one event loop. Nothing of a Secret's content is kept."""

    def __init__(self, *, client: Client, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._waiting: dict[Lacking, set[asyncio.Event]] = {}
        self._polling: asyncio.Task[None] | None = None

    async def read(self, namespace: str, name: str) -> Json:
        """The raw Secret. Raises UnusableSecretError."""
        try:
            return await self._client.get(resources.path("Secret", namespace, name))
        except ApiError as error:
            if error.status == 404:
                message = f"There is no Secret {name} in this namespace yet."
            elif error.status == 403:
                message = f"The operator may not read Secret {name}: its Role lacks `get` on secrets."
            else:
                message = f"Secret {name} could not be read: {error.reason}."
            raise UnusableSecretError(message, secret=name) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            message = f"Secret {name} could not be read: the API server does not answer."
            raise UnusableSecretError(message, secret=name) from error

    async def changed(self, lacking: Lacking, *, woken: asyncio.Event, within: float) -> None:
        """Return when the Secret is no longer as it was found, when `woken` is set, or after `within` seconds."""
        self._waiting.setdefault(lacking, set()).add(woken)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.ensure_future(self._poll())
        try:
            async with asyncio.timeout(within):
                await woken.wait()
        except TimeoutError:
            pass
        finally:
            waiting = self._waiting[lacking]
            waiting.discard(woken)
            if not waiting:
                del self._waiting[lacking]

    async def close(self) -> None:
        """Ask no more."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)

    async def _poll(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._seconds)
            for lacking in list(self._waiting):
                if await self._version(lacking) != lacking.version:
                    for woken in self._waiting.get(lacking, ()):
                        woken.set()

    async def _version(self, lacking: Lacking) -> str:
        try:
            secret = await self.read(lacking.namespace, lacking.name)
        except UnusableSecretError:
            return ""
        return str(secret["metadata"]["resourceVersion"])
