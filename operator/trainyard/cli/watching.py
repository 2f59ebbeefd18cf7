"""Objects as they change, for commands that wait.

Separate from the operator's watches, which are kopf's: a command looks at one or two objects and ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any

import aiohttp
import orjson

from trainyard.cluster.client import ApiError, Client

Json = dict[str, Any]

_GONE = 410
_PATIENCE = 30
_PAUSE_SECONDS = 1.0


async def changes(
    client: Client, path: str, params: dict[str, str], *, seen: Iterable[Json] = ()
) -> AsyncGenerator[tuple[bool, Json], None]:
    """Each state of each object, and whether it is there still; first what is there at the start.

    `seen` are objects that were there a moment ago: they are told as gone when they are not there at the start.
    Reconnects when it is cut. Raises ApiError for a refusal, aiohttp.ClientError after half a minute without
    an answer.
    """
    known: dict[str, Json] = {raw["metadata"]["uid"]: raw for raw in seen}
    version: str | None = None
    failures = 0
    while True:
        try:
            if version is None:
                listing = await client.get(path, params)
                version = listing["metadata"]["resourceVersion"]
                found = {raw["metadata"]["uid"]: raw for raw in listing.get("items") or []}
                for uid in [uid for uid in known if uid not in found]:
                    yield False, known.pop(uid)
                for uid, raw in found.items():
                    known[uid] = raw
                    yield True, raw
            async for event in events(client, path, {**params, "resourceVersion": version}):
                failures = 0
                raw = event["object"]
                if event["type"] == "ERROR":
                    raise ApiError(
                        status=raw.get("code") or 500,
                        reason=raw.get("reason") or "Unknown",
                        message=raw.get("message") or "The watch failed.",
                        body=raw,
                    )
                version = raw["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                known[raw["metadata"]["uid"]] = raw
                if event["type"] == "DELETED":
                    del known[raw["metadata"]["uid"]]
                yield event["type"] != "DELETED", raw
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            failures += 1
            status = error.status if isinstance(error, ApiError) else 0
            if status == _GONE:
                version = None
            elif failures > _PATIENCE or (400 <= status < 500 and status != 429):
                raise
            await asyncio.sleep(_PAUSE_SECONDS)


async def events(
    client: Client, path: str, params: dict[str, str], *, headers: dict[str, str] | None = None
) -> AsyncIterator[Json]:
    """The events of one watch as they come, until it is cut or its time is over."""
    query = {"allowWatchBookmarks": "true", **params, "watch": "true", "timeoutSeconds": "300"}
    rest = b""
    async with client.stream(path, query, headers=headers) as content:
        while chunk := await content.readany():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield orjson.loads(line)
