"""A log from the store, which outlives its pod: on this machine where it is there, else by the operator's pod.

Separate from `logs`, which decides when the store is read, and from `stored`, which runs in the operator's pod.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from trainyard.api.reasons import FINAL, Phase
from trainyard.cli.connection import Connection
from trainyard.cli.excerpts import Excerpt
from trainyard.cli.exits import CommandError
from trainyard.cli.livelog import Printer
from trainyard.cli.reading import phase, printable
from trainyard.cli.stored import read_from_operator
from trainyard.logs.splice import LineSplitter, split
from trainyard.logs.store import LogFile, LogStore
from trainyard.settings import SettingsError

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Which log."""

    attempt: int
    rank: int
    operator_namespace: str


async def print_kept(there: Connection, job: Json, log: Kept, excerpt: Excerpt, out: Printer) -> None:
    """What the store has of a log. Raises CommandError where there is none, or it cannot be read."""
    metadata = job["metadata"]
    if (sentence := never_started(job)) is not None:
        raise CommandError(sentence)
    uri = (job.get("status") or {}).get("logs")
    if not uri:
        raise CommandError(
            f"No log of {metadata['name']} was kept: settings.logs.follow of the operator is off, or was when the "
            "job ran."
        )
    file = local_file(uri, namespace=there.namespace, uid=metadata["uid"], attempt=log.attempt, rank=log.rank)
    part = excerpt.reader(now=time.time())
    if file is not None and file.path.exists():
        out.lines(part.take(file.lines()))
        out.lines(part.rest())
        return
    splitter = LineSplitter()
    await read_from_operator(
        there.client,
        operator_namespace=log.operator_namespace,
        namespace=there.namespace,
        uid=metadata["uid"],
        attempt=log.attempt,
        rank=log.rank,
        write=lambda data: out.lines(part.take(filter(None, map(split, splitter.feed(data))))),
    )
    out.lines(part.rest())


def never_started(job: Json) -> str | None:
    """Why a job has ended before its trainer ran, so that there never was a log; None for one that may have run."""
    status = job.get("status") or {}
    ran = status.get("startTime") or any(e.get("startTime") for e in status.get("attempts") or [])
    if phase(job) not in FINAL - {Phase.DONE} or ran:
        return None
    why = printable(": ".join(filter(None, (status.get("reason") or phase(job), status.get("message")))))
    return f"{job['metadata']['name']} never started: {why}"


def local_file(uri: str, *, namespace: str, uid: str, attempt: int, rank: int) -> LogFile | None:
    """The stored log on this machine that `status.logs` means; None when it means no folder of that job.

    NB: status is text that others can write; only `<root>/<namespace>/<uid>/` of this very job is believed.
    """
    folder = Path(unquote(urlsplit(uri).path))
    if urlsplit(uri).scheme != "file" or folder.parts[-2:] != (namespace, uid):
        return None
    try:
        store = LogStore(folder.parent.parent.as_uri())
        return store.file(namespace=namespace, uid=uid, attempt=attempt, rank=rank)
    except (SettingsError, ValueError):
        return None
