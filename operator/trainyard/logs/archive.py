"""Copies followed logs to an object store while they grow, and for good when they have ended.

Separate because an object store is slow, away at times, and cannot append, and nothing may wait for it: logs are
written to a folder first (the spool, `logs.store`), which is read after a restart; what is there goes to the store in
parts, by a few threads, and is removed when the log is complete there. A spool that was lost is made again from the
store. Called by the log followers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from pathlib import Path

from trainyard import metrics
from trainyard.logs.bucket import Bucket
from trainyard.logs.spooled import Spooled
from trainyard.logs.store import LogFile, LogStore
from trainyard.logs.threads import DaemonThreads

_log = logging.getLogger(__name__)

UPLOAD_SECONDS = 300.0
"""How often the end of a log that grows is sent."""
_LOOK_SECONDS = 1.0
_WORKERS = 4
_FIRST_RETRY, _LAST_RETRY = 5.0, 300.0
_RESTORES_AT_ONCE = 16
_RESTORE_SECONDS, _FETCH_SECONDS = 30.0, 120.0
_AWAY_SECONDS = 300.0
_CLOSE_SECONDS = 10.0
_COMPLAIN_SECONDS = 60.0
_LEFT_OVER_SECONDS = 600.0


class Archive:
    """All logs that are on their way to one object store. Not thread-safe: for one event loop."""

    def __init__(self, bucket: Bucket, *, upload_seconds: float = UPLOAD_SECONDS) -> None:
        self.bucket = bucket
        self._upload_seconds = upload_seconds
        self._spooled: dict[Path, Spooled] = {}
        self._due: dict[Path, float] = {}
        self._failures: dict[Path, int] = {}
        self._busy: dict[Path, asyncio.Task[None]] = {}
        self._uploads = DaemonThreads(_WORKERS, name="log-upload")
        self._restores = DaemonThreads(_RESTORES_AT_ONCE, name="log-restore")
        self._away_until = 0.0
        self._complained_at = -_COMPLAIN_SECONDS

    async def restore(self, file: LogFile) -> None:
        """A log is to be followed: its file is as complete as the store's copy afterwards, where the store answers."""
        if (upload := self._busy.get(file.path)) is not None:
            await asyncio.wait([upload])
        spooled = self._spooled[file.path] = Spooled(file, self.bucket)
        self._due[file.path] = time.monotonic() + self._upload_seconds * random.uniform(0.5, 1.0)
        if time.monotonic() < self._away_until:
            return
        try:
            if await asyncio.wait_for(self._restores.run(spooled.join), _RESTORE_SECONDS):
                fetched = await asyncio.wait_for(self._restores.run(spooled.fetch), _FETCH_SECONDS)
                spooled.take_over(fetched)
        except Exception as error:
            # NB: a thread that is late may still change the one that was given up.
            spooled.discard()
            self._spooled[file.path] = Spooled(file, self.bucket)
            self._away_until = time.monotonic() + _AWAY_SECONDS
            self._complain("The log store does not answer; what it has is not read back", error)

    def finish(self, file: LogFile) -> None:
        """The log is complete, or nobody follows it any longer."""
        if (spooled := self._spooled.get(file.path)) is not None and spooled.file is file:
            spooled.finished = True
            self._due[file.path] = 0.0

    async def run(self) -> None:
        """Sends what is due, for ever."""
        while True:
            self._start_those_due()
            await asyncio.sleep(_LOOK_SECONDS)

    async def adopt_forever(self, store: LogStore) -> None:
        """Looks now and then for what is left over."""
        while True:
            await asyncio.sleep(_LEFT_OVER_SECONDS * random.uniform(0.75, 1.25))
            try:
                await self.adopt(store)
            except Exception as error:
                self._complain("Logs that are left over cannot be looked up", error)

    async def adopt(self, store: LogStore) -> None:
        """Takes in what an operator has left in the folder that was ended before all was sent."""
        limit = time.time() - _LEFT_OVER_SECONDS
        found = await asyncio.to_thread(
            lambda: [name for name, stat in store.stored_logs() if stat.st_mtime < limit]
        )
        for file in map(store.of, found):
            with contextlib.suppress(OSError):
                await asyncio.to_thread(file.measure)
                # NB: asked after that, since it may be followed by now.
                if file.path not in self._spooled:
                    self._spooled[file.path] = spooled = Spooled(file, self.bucket)
                    spooled.finished = True
                    self._due[file.path] = 0.0

    async def close(self) -> None:
        """Sends what it can in a few seconds. The rest is in the folder, and in the pods."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        while time.monotonic() < deadline:
            for path, spooled in self._spooled.items():
                if spooled.unsent and not self._failures.get(path):
                    self._due[path] = 0.0
            self._start_those_due()
            if not self._busy:
                break
            await asyncio.wait(
                self._busy.values(),
                timeout=max(0.0, deadline - time.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )

    def _start_those_due(self) -> None:
        room = _WORKERS - len(self._busy)
        if room <= 0:
            return
        now = time.monotonic()
        due = [path for path, spooled in self._spooled.items() if self._is_due(path, spooled, now)]
        for path in sorted(due, key=self._due.__getitem__)[:room]:
            self._busy[path] = asyncio.create_task(self._send(path), name=f"upload {path.name}")

    def _is_due(self, path: Path, spooled: Spooled, now: float) -> bool:
        if path in self._busy or not (spooled.unsent or spooled.done):
            return False
        return now >= self._due[path] or (spooled.has_full_part and not self._failures.get(path))

    async def _send(self, path: Path) -> None:
        try:
            await self._send_all(path, self._spooled[path])
        finally:
            del self._busy[path]

    async def _send_all(self, path: Path, spooled: Spooled) -> None:
        try:
            # NB: no time limit: an upload that was given up on could overwrite a later one.
            await self._uploads.run(spooled.send)
            if spooled.done:
                await self._uploads.run(spooled.remove)
        except Exception as error:
            failures = self._failures[path] = self._failures.get(path, 0) + 1
            pause = min(_LAST_RETRY, _FIRST_RETRY * 2.0 ** min(failures - 1, 10)) * random.uniform(0.75, 1.25)
            self._due[path] = time.monotonic() + pause
            metrics.LOG_UPLOADS.labels(outcome="failed").inc()
            self._complain("Logs cannot be sent to their store; they are tried again", error)
            return
        self._failures.pop(path, None)
        self._away_until = 0.0
        metrics.LOG_UPLOADS.labels(outcome="stored").inc()
        if spooled.done and self._spooled.get(path) is spooled:
            del self._spooled[path], self._due[path]
        elif not spooled.finished:
            self._due[path] = time.monotonic() + self._upload_seconds * random.uniform(0.75, 1.25)

    def _complain(self, what: str, error: Exception) -> None:
        if time.monotonic() - self._complained_at >= _COMPLAIN_SECONDS:
            self._complained_at = time.monotonic()
            _log.warning("%s: %s", what, error or type(error).__name__, extra={"logs": len(self._spooled)})
