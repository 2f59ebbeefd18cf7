"""What happens to the objects of a kind, told as it happens.

Separate from kopf's watches, which cost about 1 ms of CPU an event (the stdlib's JSON, a task, timers and several
copies for each object), and list everything once more at the start: with 10,000 jobs 84 s instead of 7 until the
operator is quiet, and 45 MiB (docs/performance.md). Called by `reconcile.watches`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from trainyard.api import names
from trainyard.cluster import resources
from trainyard.cluster.cache import POD
from trainyard.cluster.client import ApiError, Client, NotJsonError, decoded

Json = dict[str, Any]

logger = logging.getLogger(__name__)

#: After so long the API server ends a watch, which goes on where it was.
_SERVER_SECONDS = 300
#: After so long it is taken to be dead: the server has not even ended it.
_LONGEST_SECONDS = _SERVER_SECONDS + 30


class Event(NamedTuple):
    """One event: ADDED, MODIFIED or DELETED, and the object as it is, or was last."""

    type: str
    raw: Json


class GoneError(Exception):
    """The watch cannot go on from where it was: everything is to be listed anew."""


class Watch:
    """The events of a kind in one namespace (None: all) after a resourceVersion; of pods only ours.

    `version` is how far it has come: a watch that was cut goes on from there and loses nothing.
    """

    def __init__(self, client: Client, kind: str, *, namespace: str | None, version: str) -> None:
        self._client = client
        self._kind = kind
        self._namespace = namespace
        self.version = version

    async def events(self) -> AsyncIterator[list[Event]]:
        """What has come at a time, until the server ends the watch.

        Raises GoneError when it cannot go on, ApiError, aiohttp.ClientError or TimeoutError when it was cut.
        """
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.version,
            "timeoutSeconds": str(_SERVER_SECONDS),
        }
        if self._kind == POD:
            params["labelSelector"] = names.POD_SELECTOR
        path = resources.path(self._kind, self._namespace)
        try:
            async with self._client.stream(path, params, total=_LONGEST_SECONDS) as stream:
                rest = b""
                while data := await stream.readany():
                    *lines, rest = (rest + data).split(b"\n")
                    events, failure = self._read_all(lines)
                    if events:
                        yield events
                    if failure is not None:
                        raise failure
        except ApiError as error:
            raise _gone(error.status, error) or error from error

    def _read_all(self, lines: list[bytes]) -> tuple[list[Event], Exception | None]:
        """The events of these lines up to the first that is an error, and that one. NB: `version` is past them."""
        events: list[Event] = []
        for line in lines:
            try:
                event = self._read(line) if line else None
            except (GoneError, ApiError, NotJsonError) as error:
                return events, error
            if event is not None:
                events.append(event)
        return events, None

    def _read(self, line: bytes) -> Event | None:
        """The event of a line; None for a bookmark, and for one of a sort that we do not know."""
        event = decoded(line)
        raw = event.get("object") if isinstance(event, dict) else None
        if not isinstance(raw, dict):
            raise NotJsonError(
                f"a watch of {self._kind} has sent something else than an event: {line[:100]!r}"
            )
        match event.get("type"):
            case "ADDED" | "MODIFIED" | "DELETED" as kind:
                self.version = raw["metadata"]["resourceVersion"]
                return Event(kind, raw)
            case "BOOKMARK":
                self.version = raw["metadata"]["resourceVersion"]
            case "ERROR":
                code, reason = int(raw.get("code") or 0), str(raw.get("reason") or "Unknown")
                failure = ApiError(
                    status=code, reason=reason, message=str(raw.get("message") or ""), body=raw
                )
                raise _gone(code, failure) or failure
            case other:
                logger.warning("An event of type %r of a watch of %s is passed over", other, self._kind)
        return None


def _gone(status: int, error: Exception) -> GoneError | None:
    return GoneError(str(error)) if status == 410 else None
