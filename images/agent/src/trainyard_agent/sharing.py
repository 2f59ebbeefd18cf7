"""`trainyard-agent share`: what a job has stored, read by `trainyard download` through a port-forward.

Separate because it runs in a pod of its own, for people who have no credentials of the store: it only reads, and only
below the folder of one job. HTTP/1.1 on the pod's loopback, where nothing but a port-forward of the API server reaches:

    GET /manifest?attempt=2               also `newest=artifacts` or `newest=checkpoints`
    GET /files/attempt-2/weights.bin      with `Range: bytes=<first>-`

It ends by itself when nobody has taken a byte for a while.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from aiohttp import web

from trainyard_agent import layout, loopback, troubles
from trainyard_agent.jobfiles import Files, files_of, is_plain
from trainyard_agent.log import amount, say
from trainyard_agent.order import Order, read_order
from trainyard_agent.troubles import Trouble

PORT = 8080
IDLE_SECONDS = 60.0

_CHUNK = 4 << 20
_MOST_METADATA = 64 << 20
_RANGE = re.compile(r"bytes=(\d+)-")
_ATTEMPT = re.compile(r"attempt-(\d+)")
_STATUS = {"missing": 404, "forbidden": 403, "network": 502, "full": 502, "broken": 422, "unreadable": 422}
# What an attempt has that has left artifacts, or checkpoints.
_SIGNS = {
    "artifacts": (layout.ARTIFACTS,),
    "checkpoints": tuple(f"{layout.CHECKPOINTS}/{name}" for name in (layout.INDEX, layout.WHOLE)),
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def share(arguments: list[str]) -> int:
    """Serves until nobody asks any more, or SIGTERM: 0. 1 when there is nothing that could be served."""
    parser = argparse.ArgumentParser(prog="trainyard-agent share")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS)
    chosen = parser.parse_args(arguments)
    try:
        order = read_order(os.environ)
        shared = Share(files_of(order), order)
    except Exception as error:
        # NB: the last line of the log is what the pod's status says of its end.
        say(str(troubles.of(error, place="The output")))
        return 1
    asyncio.run(_serve(shared, port=chosen.port, idle=chosen.idle_seconds))
    return 0


class Share:
    """The requests, and when the last byte was taken."""

    def __init__(self, files: Files, order: Order) -> None:
        self._files = files
        self._order = order
        self.last = time.monotonic()
        self.sent = 0

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._told])
        application.router.add_get("/alive", self._alive)
        application.router.add_get("/manifest", self._manifest)
        application.router.add_get("/files/{path:.+}", self._file)
        return application

    @web.middleware
    async def _told(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A trouble as a status and a sentence."""
        self.last = time.monotonic()
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:
            trouble = troubles.of(error, place=self._order.store)
            say(f"{request.path_qs}: {trouble}")
            return web.json_response({"error": str(trouble)}, status=_STATUS.get(trouble.kind, 500))

    async def _alive(self, request: web.Request) -> web.Response:
        """For one who is busy with what has been fetched."""
        return web.json_response({})

    async def _manifest(self, request: web.Request) -> web.Response:
        """The small files that say what there is, as text, so that their digests can be checked where they arrive."""
        numbers = await self._attempts()
        asked, newest = request.query.get("attempt"), request.query.get("newest")
        number: int | None = None
        if asked is not None and asked.isdecimal():
            number = int(asked)
        elif newest in _SIGNS:
            number = await self._newest(numbers, _SIGNS[newest])
        else:
            raise web.HTTPBadRequest(text="Give attempt=N, or newest=artifacts or newest=checkpoints.")
        found: dict[str, Any] = {
            "attempts": numbers,
            "attempt": number,
            "result": await self._text(layout.RESULT),
            "artifacts": {},
            "checkpoints": None,
            "whole": None,
        }
        if number is not None:
            folder = f"attempt-{number}"
            found["artifacts"] = await self._artifacts(folder)
            for key, name in (("checkpoints", layout.INDEX), ("whole", layout.WHOLE)):
                found[key] = await self._text(f"{folder}/{layout.CHECKPOINTS}/{name}")
        return web.json_response(found)

    async def _newest(self, numbers: list[int], signs: tuple[str, ...]) -> int | None:
        for number in reversed(numbers):
            for sign in signs:
                if await self._text(f"attempt-{number}/{sign}") is not None:
                    return number
        return None

    async def _attempts(self) -> list[int]:
        names = await asyncio.to_thread(self._files.names, "")
        return sorted(int(match[1]) for name in names if (match := _ATTEMPT.fullmatch(name)))

    async def _artifacts(self, folder: str) -> dict[str, str]:
        """Manifests by rank."""
        names = await asyncio.to_thread(self._files.names, folder)
        parts = [name for name in names if layout.rank(name)]
        found = {"0": await self._text(f"{folder}/{layout.ARTIFACTS}")}
        for part in parts:
            found[part.removeprefix("rank-")] = await self._text(f"{folder}/{part}/{layout.ARTIFACTS}")
        return {rank: text for rank, text in found.items() if text is not None}

    async def _text(self, path: str) -> str | None:
        def read() -> bytes | None:
            try:
                size = self._files.size(path)
                if size > _MOST_METADATA:
                    raise Trouble(
                        "broken", f"{path} in {self._order.store} has {amount(size)}: that is no manifest."
                    )
                return self._files.read(path, 0, size)
            except FileNotFoundError:
                return None

        data = await asyncio.to_thread(read)
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError:
            raise Trouble(
                "unreadable", f"{path} in {self._order.store} is no text: that is no manifest."
            ) from None

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        if not is_plain(path):
            raise web.HTTPBadRequest(text="A path has no '.', no '..' and no empty part.")
        try:
            size = await asyncio.to_thread(self._files.size, path)
        except FileNotFoundError:
            raise Trouble("missing", f"{self._order.store}/{self._order.uid}/{path} is not there.") from None
        start, headers = 0, {}
        if asked := request.headers.get("Range"):
            match = _RANGE.fullmatch(asked)
            if match is None or int(match[1]) > size:
                raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
            start = int(match[1])
            headers["Content-Range"] = f"bytes {start}-{max(start, size - 1)}/{size}"
        response = web.StreamResponse(status=206 if asked else 200, headers=headers)
        response.content_type = "application/octet-stream"
        response.content_length = size - start
        first = await self._chunk(path, start, size)
        await response.prepare(request)
        async with contextlib.aclosing(self._chunks(path, start, size, first)) as chunks:
            try:
                async for chunk in chunks:
                    await response.write(chunk)
                    self.last = time.monotonic()
                    self.sent += len(chunk)
            except Exception as error:
                # NB: the head has been sent: only a cut can tell the other side.
                say(f"{path} was cut: {troubles.of(error, place=self._order.store)}")
                raise ConnectionResetError(path) from error
        await response.write_eof()
        return response

    async def _chunks(self, path: str, start: int, size: int, first: bytes) -> AsyncGenerator[bytes]:
        """The file's bytes from `start`, each chunk read while the one before it is sent."""
        chunk = first
        while chunk:
            start += len(chunk)
            following = asyncio.create_task(self._chunk(path, start, size))
            try:
                yield chunk
                chunk = await following
            finally:
                following.cancel()

    async def _chunk(self, path: str, start: int, size: int) -> bytes:
        end = min(start + _CHUNK, size)
        return await asyncio.to_thread(self._files.read, path, start, end) if start < end else b""


async def _serve(shared: Share, *, port: int, idle: float) -> None:
    told = await loopback.serve(
        shared.application(),
        port=port,
        idle=idle,
        quiet_for=lambda: time.monotonic() - shared.last,
        doing="Sharing",
    )
    why = "Told to end" if told else f"Nobody asked for {idle:.0f} s"
    say(f"{why}; {amount(shared.sent)} were sent.")
