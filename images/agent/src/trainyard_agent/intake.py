"""`trainyard-agent receive`: what `trainyard push dataset` brings, through a port-forward, onto a volume.

Separate because it runs in a pod of its own, for people who have no other way to the volume. HTTP/1.1 on the pod's
loopback, where nothing but a port-forward of the API server reaches, and with a token of which the pod knows the digest
alone:

    GET /state       what is published already, large files that are half there, the room that is left
    GET /files       a line of JSON for each file that is there: path, size, sha256
    POST /pieces     pieces one after the other: 4 bytes with the length of a head, the head in JSON (path, size,
                     sha256, offset, length), the bytes; gives `problems` by path
    POST /remove     {paths}: files that are not to be published
    POST /finish     {sha256, bytes, files, unpack}: publishes what is there when it is that; 202 while that goes on

A refusal is a status and `{"error": ...}`. It ends by itself when nobody has sent a byte for a while.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from trainyard_agent import loopback, publishing, safenames, troubles, unpacking
from trainyard_agent.arrivals import PART, Arrivals, Piece
from trainyard_agent.contents import Contents
from trainyard_agent.log import amount, say
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import clear

PORT = 8080
IDLE_SECONDS = 60.0
VARIABLE = "TRAINYARD_RECEIVE"
VOLUME = "/trainyard/volume"
#: Where a dataset gathers on its volume until it is published.
STAGING = ".upload"

_UNPACKED = "unpacked"
_MOST_HEAD = 64 << 10
_MOST_TEXT = 16 << 20
#: How long /finish lets one wait before it says that it goes on.
_ANSWER_SECONDS = 10.0
_STATUS = {"full": 507, "forbidden": 403, "hostile": 422, "unsupported": 422, "empty": 422}

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the pod is told: whose data it is, where the volume is, and the digest of the token."""

    dataset: str
    volume: Path
    token_sha256: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Task:
        """Raises Trouble where it is not told."""
        try:
            said = json.loads(environment[VARIABLE])
            return cls(
                dataset=str(said["dataset"]),
                volume=Path(said.get("volume") or VOLUME),
                token_sha256=str(said["tokenSha256"]),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise Trouble(
                "broken", f"{VARIABLE} does not say what is received; `trainyard push dataset` sets it."
            ) from error


def receive(arguments: list[str]) -> int:
    """Serves until nobody asks any more, or SIGTERM: 0. 1 when the volume cannot be used."""
    parser = argparse.ArgumentParser(prog="trainyard-agent receive")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS)
    chosen = parser.parse_args(arguments)
    try:
        intake = Intake(Task.of(os.environ))
    except Exception as error:
        # NB: the last line of the log is what the pod's status says of its end.
        say(str(troubles.of(error, place="The volume")))
        return 1
    asyncio.run(_serve(intake, port=chosen.port, idle=chosen.idle_seconds))
    return 0


class Intake:
    """The requests, and when the last byte came."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._published = publishing.published(task.volume)
        self._arrivals = None if self._published else Arrivals(task.volume / STAGING)
        self._finishing: asyncio.Task[Json] | None = None
        self.last = time.monotonic()
        self.received = 0

    @property
    def busy(self) -> bool:
        """Whether something goes on though nobody sends."""
        return self._finishing is not None and not self._finishing.done()

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._told], client_max_size=_MOST_TEXT)
        application.router.add_get("/state", self._state)
        application.router.add_get("/files", self._files)
        application.router.add_post("/pieces", self._pieces)
        application.router.add_post("/remove", self._remove)
        application.router.add_post("/finish", self._finish)
        return application

    @web.middleware
    async def _told(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets in who has the token; a trouble becomes a status and a sentence."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        digest = hashlib.sha256(token.encode()).hexdigest()
        if scheme != "Bearer" or not hmac.compare_digest(digest, self._task.token_sha256):
            return web.json_response({"error": "The token is not the one of this pod."}, status=401)
        self.last = time.monotonic()
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:
            trouble = troubles.of(error, place="The volume")
            if trouble.kind == "full":
                trouble = Trouble("full", "The volume is full: push it again with a larger --size.")
            say(f"{request.path}: {trouble}")
            return web.json_response(
                {"error": str(trouble), "kind": trouble.kind}, status=_STATUS.get(trouble.kind, 409)
            )
        finally:
            self.last = time.monotonic()

    async def _state(self, request: web.Request) -> web.Response:
        growing = await asyncio.to_thread(self._arrivals.growing) if self._arrivals else []
        return web.json_response(
            {
                "published": asdict(self._published) if self._published else None,
                "free": shutil.disk_usage(self._task.volume).free,
                "part": PART,
                "growing": growing,
            }
        )

    async def _files(self, request: web.Request) -> web.Response:
        lines = [
            json.dumps({"path": path, "size": one.size, "sha256": one.sha256})
            for path, one in (self._arrivals.arrived() if self._arrivals else {}).items()
        ]
        return web.Response(text="\n".join(lines), content_type="application/x-ndjson")

    async def _pieces(self, request: web.Request) -> web.Response:
        problems: dict[str, str] = {}
        try:
            arrivals = self._open()
            while (head := await self._head(request)) is not None:
                data = await self._bytes(request, head.length)
                if (why := await asyncio.to_thread(arrivals.take, head, data)) is not None:
                    problems[head.path] = why
                self.received += len(data)
        except Exception:
            # NB: an answer before the end of the request would be lost with the connection.
            while not request.content.at_eof():
                await request.content.readany()
            raise
        return web.json_response({"problems": problems})

    async def _head(self, request: web.Request) -> Piece | None:
        try:
            size = int.from_bytes(await self._bytes(request, 4), "big")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return None
        if size > _MOST_HEAD:
            raise web.HTTPBadRequest(text="The head of a piece is too long.")
        try:
            said = json.loads(await self._bytes(request, size))
            piece = Piece(
                path=safenames.checked(str(said["path"])),
                size=int(said["size"]),
                sha256=str(said["sha256"]),
                offset=int(said["offset"]),
                length=int(said["length"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise web.HTTPBadRequest(text="The head of a piece cannot be read.") from error
        if piece.length != min(PART, piece.size - piece.offset) or piece.offset % PART or piece.offset < 0:
            raise web.HTTPBadRequest(text="A piece is not one of those that a file comes in.")
        return piece

    async def _bytes(self, request: web.Request, size: int) -> bytes:
        taken = bytearray()
        while len(taken) < size:
            chunk = await request.content.read(size - len(taken))
            if not chunk:
                raise asyncio.IncompleteReadError(bytes(taken), size)
            taken += chunk
            self.last = time.monotonic()
        return bytes(taken)

    async def _remove(self, request: web.Request) -> web.Response:
        arrivals = self._open()
        paths = [safenames.checked(str(path)) for path in (await request.json())["paths"]]
        await asyncio.to_thread(arrivals.remove, paths)
        return web.json_response({})

    async def _finish(self, request: web.Request) -> web.Response:
        said = await request.json()
        if self._finishing is None or self._finishing.done():
            self._finishing = asyncio.create_task(asyncio.to_thread(self._publish, said))
        try:
            done = await asyncio.wait_for(asyncio.shield(self._finishing), timeout=_ANSWER_SECONDS)
        except TimeoutError:
            return web.json_response({"state": "publishing"}, status=202)
        return web.json_response(done)

    def _publish(self, said: Json) -> Json:
        """What is published; or `broken`: files that have to come again, and why."""
        if self._published is None and self._arrivals is not None:
            if broken := self._arrivals.settle():
                return {"broken": broken}
            contents = self._arrivals.contents()
            total = contents.total()
            if (total.files, total.bytes, total.sha256) != (said["files"], said["bytes"], said["sha256"]):
                raise Trouble(
                    "broken",
                    f"{total.files} files with {amount(total.bytes)} have come, and they are not the {said['files']}"
                    f" with {amount(said['bytes'])} that were to come: push it again.",
                )
            staged = self._arrivals.files
            if said.get("unpack"):
                staged, contents = self._unpacked(staged, *self._arrivals.arrived())
            volume = self._task.volume
            self._published = publishing.publish(volume, staged, listing=total.sha256, contents=contents)
            self._arrivals.close()
            self._arrivals = None
            clear(volume / STAGING)
        return asdict(self._published) if self._published else {}

    def _unpacked(self, files: Path, archive: str) -> tuple[Path, Contents]:
        """The one file's own files, in a folder beside it."""
        staging = self._task.volume / STAGING
        contents = Contents(staging)
        unpacking.unpack(
            files / archive,
            staging / _UNPACKED,
            name=archive,
            max_bytes=shutil.disk_usage(staging).free,
            contents=contents,
        )
        return staging / _UNPACKED, contents

    def _open(self) -> Arrivals:
        """Where more is taken. Raises Trouble when nothing is taken any more."""
        if self._arrivals is None:
            raise Trouble("broken", f"What was pushed of Dataset {self._task.dataset} is published already.")
        if self.busy:
            raise Trouble("broken", "It is being published: nothing can be added any more.")
        return self._arrivals


async def _serve(intake: Intake, *, port: int, idle: float) -> None:
    told = await loopback.serve(
        intake.application(),
        port=port,
        idle=idle,
        quiet_for=lambda: 0.0 if intake.busy else time.monotonic() - intake.last,
        doing="Receiving",
    )
    why = "Told to end" if told else f"Nobody sent anything for {idle:.0f} s"
    say(f"{why}; {amount(intake.received)} came.")
