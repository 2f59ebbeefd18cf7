"""A pod's own log as the API server gives it, followed over cuts.

Separate from `logs`, which decides whether a log is read here or from the store.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import Any

import aiohttp

from trainyard.api import names
from trainyard.cli.connection import Connection
from trainyard.cli.excerpts import Excerpt
from trainyard.cli.logpods import ended, trainer_started_at
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError
from trainyard.logs.splice import Line, LineSplitter, Splicer, nanoseconds

Json = dict[str, Any]

_RECONNECT_SECONDS = 1.0
# A trainer takes its time until it prints for the first time.
_LATE_NANOSECONDS = 30 * 1_000_000_000


class Printer:
    """Lines on stdout, and the stamp of the first of them; `prefix` tells whose, where there are several."""

    def __init__(self, *, timestamps: bool, prefix: str = "") -> None:
        self.first: bytes | None = None
        self._out = sys.stdout.buffer
        self._timestamps = timestamps
        self._prefix = prefix.encode()

    def lines(self, lines: Iterable[Line]) -> None:
        for stamp, text in lines:
            self.first = self.first or stamp
            line = b"%b %b\n" % (stamp, text) if self._timestamps else text + b"\n"
            self._out.write(self._prefix + line)
        self._out.flush()


async def print_log(
    there: Connection, pod: Json, excerpt: Excerpt, out: Printer, *, follow: bool, previous: bool = False
) -> None:
    """One pod's log; when it is followed and cut, from the last line on."""
    path = resources.path("Pod", there.namespace, pod["metadata"]["name"], "log")
    params = {"container": names.TRAINER_CONTAINER, "timestamps": "true"}
    if follow:
        params["follow"] = "true"
    if previous:
        params["previous"] = "true"
    params |= excerpt.params()
    splicer = Splicer()
    while True:
        splicer.resume()
        rest = LineSplitter()
        complete = not follow
        try:
            async with there.client.stream(path, params) as content:
                while chunk := await content.readany():
                    out.lines(splicer.take(rest.feed(chunk)))
            complete = complete or await _has_ended(there, pod)
        except (aiohttp.ClientError, TimeoutError):
            if not follow:
                raise
        except ApiError as error:
            if error.status == 404:
                return
            if not follow or error.status < 500:
                raise
        if complete:
            out.lines(splicer.take(rest.finish()))
            return
        await asyncio.sleep(_RECONNECT_SECONDS)
        if splicer.since is not None:
            rest_of_it = {key: value for key, value in params.items() if key not in excerpt.params()}
            params = {**rest_of_it, "sinceTime": splicer.since}


def begins_late(pod: Json, out: Printer) -> str | None:
    """What is odd about a whole log that begins long after its container, as after a rotation by the kubelet."""
    began = trainer_started_at(pod)
    first, start = nanoseconds(out.first or b""), nanoseconds(began.encode())
    if first is None or start is None or first - start < _LATE_NANOSECONDS:
        return None
    stamp = (out.first or b"").decode("ascii", "replace")
    return f"The first line is of {stamp} and the container began at {began}: its node may have rotated lines away."


async def _has_ended(there: Connection, pod: Json) -> bool:
    try:
        now = await there.client.get(resources.path("Pod", there.namespace, pod["metadata"]["name"]))
    except ApiError as error:
        if error.status == 404:
            return True
        raise
    return now["metadata"]["uid"] != pod["metadata"]["uid"] or ended(now)
