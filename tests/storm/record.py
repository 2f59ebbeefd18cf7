"""Everything that the API server tells about jobs and pods while a storm lasts, by a watch of its own.

Separate from the operator's eyes and from the engine: the checks rest on what was really there, version by version.
Called by the engine.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.harness.client import ApiError, Client

Json = dict[str, Any]

_WATCH_SECONDS = 3


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One version of an object; `deleted` is the last one. `at` is when it was seen, in seconds since the epoch."""

    at: float
    deleted: bool
    object: Json

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.object["metadata"]["uid"])


class Recorder:
    """Watches one collection from the moment it is entered, and forgets nothing."""

    def __init__(self, client: Client, path: str) -> None:
        self.seen: list[Seen] = []
        self.problem: Exception | None = None
        self._client = client
        self._path = path
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"record {path}")
        self._version = ""

    def __enter__(self) -> Recorder:
        listed = self._client.get(self._path)
        self._version = listed["metadata"]["resourceVersion"]
        self.seen += [Seen(at=time.time(), deleted=False, object=item) for item in listed["items"]]
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        if self.problem is not None and error is None:
            raise RuntimeError(f"The record of {self._path} has a gap.") from self.problem

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._watch()
            except ConnectionError:
                self._ending.wait(0.2)  # the next watch goes on where this one was
            except Exception as error:
                self.problem = error
                return

    def _watch(self) -> None:
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": _WATCH_SECONDS}
        for event in self._client.stream(self._path, resourceVersion=self._version, **query):
            found = event["object"]
            if event["type"] == "ERROR":
                raise ApiError("WATCH", self._path, int(found.get("code", 500)), str(found))
            self._version = found["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                gone = event["type"] == "DELETED"
                self.seen.append(Seen(at=time.time(), deleted=gone, object=found))
