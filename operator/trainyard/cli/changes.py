"""Objects as they change, for commands that wait.

Separate from the operator's watches, which go on for ever: a command looks at one or two objects and ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

import aiohttp
import orjson

from trainyard.cluster.client import ApiError, Client

Json = dict[str, Any]

#: Beside the types that the API server has for events.
LISTED = "LISTED"
DELETED = "DELETED"

_GONE, _TOO_MANY = 410, 429
_PATIENCE = 30
_PAUSE_SECONDS = 1.0


async def changes(
    client: Client, path: str, params: dict[str, str], *, seen: Iterable[Json] = (), patient: bool = True
) -> AsyncGenerator[tuple[bool, Json], None]:
    """Each state of each object, and whether it is there still; first what is there at the start.

    `seen` are objects that were there a moment ago: they are told as gone when they are not there at the start.
    Reconnects and raises as `watch`.
    """
    known: dict[str, Json] = {raw["metadata"]["uid"]: raw for raw in seen}
    async with aclosing(watch(client, path, params, patient=patient)) as stream:
        async for kind, raw in stream:
            if kind == LISTED:
                found = {one["metadata"]["uid"]: one for one in raw.get("items") or []}
                for uid in [uid for uid in known if uid not in found]:
                    yield False, known.pop(uid)
                known |= found
                for one in found.values():
                    yield True, one
                continue
            known[raw["metadata"]["uid"]] = raw
            if kind == DELETED:
                del known[raw["metadata"]["uid"]]
            yield kind != DELETED, raw


async def watch(
    client: Client,
    path: str,
    params: dict[str, str],
    *,
    headers: dict[str, str] | None = None,
    patient: bool,
) -> AsyncGenerator[tuple[str, Json], None]:
    """LISTED and the collection, then the type and the object of each event; LISTED anew where some were missed.

    Reconnects when it is cut. Raises ApiError for a refusal, aiohttp.ClientError after half a minute without
    an answer, unless `patient` at once when there is none at the start. Also of Tables, by the headers.
    """
    version, failures, listed = "", 0, False
    while True:
        try:
            if not version:
                listing = await client.request("GET", path, params=params, headers=headers)
                version, listed = listing["metadata"]["resourceVersion"], True
                yield LISTED, listing
            query = {**params, "resourceVersion": version}
            async for event in _events(client, path, query, headers=headers):
                failures = 0
                raw = event["object"]
                if event["type"] == "ERROR":
                    raise ApiError(
                        status=raw.get("code") or 500,
                        reason=raw.get("reason") or "Unknown",
                        message=raw.get("message") or "The watch failed.",
                        body=raw,
                    )
                version = _version(raw) or version
                if event["type"] != "BOOKMARK":
                    yield event["type"], raw
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            failures += 1
            status = error.status if isinstance(error, ApiError) else 0
            refused = 400 <= status < 500 and status not in (_GONE, _TOO_MANY)
            if refused or failures > _PATIENCE or not (listed or patient):
                raise
            version = "" if status == _GONE else version
            await asyncio.sleep(_PAUSE_SECONDS)


def _version(raw: Json) -> str:
    """Of an object, or of the last row of a Table."""
    rows = raw.get("rows")
    return str(((rows[-1]["object"] if rows else raw).get("metadata") or {}).get("resourceVersion") or "")


async def _events(
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
