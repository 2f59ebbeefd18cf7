"""An open answer of the API server that is read as it comes.

Separate because it is about what reading costs: small records of TLS are read in batches. Made by `client`,
read by `followed_log`.
"""

from __future__ import annotations

import asyncio

import aiohttp

_SMALL_BYTES = 1 << 14


class Stream:
    """An open answer. Bytes that come in small portions, one after the other, can be read in batches: each portion is
    a record of TLS, whose reading costs more than its line.
    """

    def __init__(self, response: aiohttp.ClientResponse, batch_seconds: float) -> None:
        self._response = response
        self._batch_seconds = batch_seconds
        self._read_at = 0.0
        self._rests = False
        self._resting: asyncio.Future[None] | None = None

    async def readany(self) -> bytes:
        """What has come, b"" at the end. Portions that are closer than `batch_seconds` wait in the socket so long."""
        if self._rests:
            await self._rest()
        data = await self._response.content.readany()
        now = asyncio.get_running_loop().time()
        # NB: more than that is a batch already, and the buffer may be full, which stops the transport as well.
        self._rests = now - self._read_at < 2 * self._batch_seconds and len(data) < _SMALL_BYTES
        self._read_at = now
        return data

    def hurry(self) -> None:
        """Read all that comes at once from now on: the end is near."""
        self._batch_seconds, self._rests = 0.0, False
        self._wake()

    def _wake(self) -> None:
        if self._resting is not None and not self._resting.done():
            self._resting.set_result(None)

    async def _rest(self) -> None:
        transport = self._response.connection.transport if self._response.connection is not None else None
        if not isinstance(transport, asyncio.ReadTransport):
            return
        # NB: over TLS a paused transport goes on receiving, a wake-up for each record, up to its buffer's limit.
        limit = getattr(transport, "set_read_buffer_limits", None)
        loop = asyncio.get_running_loop()
        self._resting = loop.create_future()
        timer = loop.call_later(self._batch_seconds, self._wake)
        transport.pause_reading()
        if limit is not None:
            limit(high=1, low=0)
        try:
            await self._resting
        finally:
            timer.cancel()
            self._resting = None
            transport.resume_reading()
            if limit is not None:
                limit()
