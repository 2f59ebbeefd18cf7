"""One followed log: its connection, its lines into the store, its status lines into a report.

Separate from the set of followed logs (`cluster.log_follower`, the only caller). What a cut stream means is
decided in `logs.reconnect` and `logs.splice`, which are pure; here are the request, the task and the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager

import aiohttp

from trainyard import metrics
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError, Client
from trainyard.cluster.log_content import LogContent, replay
from trainyard.cluster.log_slots import LogSlots
from trainyard.cluster.log_target import LogState, LogTarget
from trainyard.cluster.log_throttle import Throttle
from trainyard.cluster.silence import SETTLE_SECONDS, Silence, check_seconds
from trainyard.cluster.stream import Stream
from trainyard.logs.archive import Archive
from trainyard.logs.reconnect import (
    END_GRACE_SECONDS,
    SILENCE_SECONDS,
    STATUS_SECONDS,
    Next,
    Outcome,
    after_stream,
    delay,
)
from trainyard.logs.splice import Line, LineSplitter, Splicer, split
from trainyard.logs.store import LogFile

_log = logging.getLogger(__name__)

#: Lines that come faster than this are read together; later by so much, which nobody sees.
BATCH_SECONDS = 0.25
_FULL_CHUNK = 1 << 16
_LONGEST_REST = 0.05
_NO_FAILURE_SECONDS = 10.0
_READING_SECONDS = 5.0
"""A log whose last bytes came longer ago is not being read any more."""
_LONG_FLUSH_SECONDS = 1.0


class FollowedLog:
    """Follows one log until it is complete; `run` is its task."""

    def __init__(
        self,
        *,
        target: LogTarget,
        client: Client,
        file: LogFile,
        changed: Throttle,
        dirty: set[LogFile],
        flush: Callable[[Iterable[LogFile]], Awaitable[int]],
        replays: asyncio.Semaphore,
        slots: LogSlots,
        archive: Archive | None,
    ) -> None:
        self.target = target
        self.changed = changed
        self.file = file
        self._client = client
        self._dirty = dirty
        self._flush = flush
        self._replays = replays
        self._slots = slots
        self._archive = archive
        self._content = LogContent(curve=target.curve)
        self._rest = LineSplitter()
        self._container_ended = asyncio.Event()
        self._ended_since: float | None = None
        self._gone_since: float | None = None
        self._finished_at: float | None = None
        self._limit: asyncio.Timeout | None = None
        self._open: Stream | None = None
        self._silence = Silence()
        self._silence_limit = SILENCE_SECONDS
        self._silence_is_checked = False
        self._queued = True
        self._heard_at = 0.0
        self._held_for = 0.0
        self._ended = False
        self._got_lines = False

    def state(self) -> LogState:
        now = time.monotonic()
        lasted = self._silence.lasted(now=now, checked=self._silence_is_checked)
        return LogState(
            report=self._content.report,
            tail=self._content.tail_text(),
            ended=self._ended,
            silent_since=None if lasted is None else time.time() - lasted,
            reading=not self._ended and (self._queued or now - self._heard_at < _READING_SECONDS),
        )

    def stopped_for_silence_after(self, seconds: float) -> None:
        """The job's progressTimeoutSeconds."""
        self._silence_limit = check_seconds(seconds, at_most=SILENCE_SECONDS)
        self._silence_is_checked = 0 < seconds <= self._silence_limit

    def container_has_ended(self, finished_at: float | None) -> None:
        """A stream that stays open beyond a grace is cut: a dead node never closes it."""
        self._finished_at = finished_at if finished_at is not None else self._finished_at
        if not self._container_ended.is_set():
            self._ended_since = time.monotonic()
            self._container_ended.set()
            self._slots.leave(self)
            self._extend_limit()
            if self._open is not None:
                self._open.hurry()

    async def run(self) -> None:
        with self._slots.turn(self) as turn:
            if self._container_ended.is_set():
                self._slots.leave(self)
            if self._archive is not None:
                await self._archive.restore(self.file)
            async with self._replays:
                await self._replay()
            granted = await turn
            outcome = await self._follow(contextlib.nullcontext() if granted else self._slots.end())
        if outcome is Outcome.CLEAN:
            self._keep(self._content.splicer.take(self._rest.finish()))
        self._content.splicer = Splicer()
        self._queued = True
        await self._flush([self.file])
        if self._archive is not None:
            self._archive.finish(self.file)
        self._ended = True
        self.changed.ring(now=True)

    async def _follow(self, room: AbstractAsyncContextManager[None]) -> Outcome:
        """Stream after stream until the log is complete; how the last one ended."""
        failures = tries_after_end = 0
        while True:
            if self._container_ended.is_set():
                failures = failures if tries_after_end else 0
                tries_after_end += 1
            self._queued = True
            async with room:
                outcome, retry_after = await self._stream()
            self._queued = False
            closed_at = time.time()
            if outcome is not Outcome.GONE:
                self._gone_since = None
            elif self._gone_since is None:
                self._gone_since = time.monotonic()
            step = self._next(outcome, tries_after_end, closed_at)
            if step is Next.AWAIT_END:
                was_open = self._held_for > _NO_FAILURE_SECONDS
                with contextlib.suppress(TimeoutError):
                    wait = STATUS_SECONDS if was_open else END_GRACE_SECONDS
                    await asyncio.wait_for(self._container_ended.wait(), wait)
                step = self._next(outcome, tries_after_end, closed_at)
            if step is Next.ENDED:
                return outcome
            if step is Next.RECONNECT:
                failures = 0 if self._got_lines or self._held_for > _NO_FAILURE_SECONDS else failures + 1
                await self._pause(outcome, failures=failures, asked=retry_after)

    async def _pause(self, outcome: Outcome, *, failures: int, asked: float) -> None:
        ended = self._container_ended.is_set()
        pause = delay(outcome, failures=failures, jitter=random.random(), asked=asked, ended=ended)
        if ended:
            await asyncio.sleep(pause)
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._container_ended.wait(), pause)

    async def _replay(self) -> None:
        try:
            self._content = await asyncio.to_thread(replay, self.file, curve=self.target.curve)
        except OSError as error:
            _log.warning("The stored log %s cannot be read: %s", self.file.path, error)
            return
        if self._content.report is not None:
            self.changed.ring()

    def _next(self, outcome: Outcome, tries_after_end: int, closed_at: float) -> Next:
        now = time.monotonic()
        return after_stream(
            outcome,
            ended_for=None if self._ended_since is None else now - self._ended_since,
            tries_after_end=tries_after_end,
            early_by=None if self._finished_at is None else self._finished_at - closed_at,
            gone_for=0.0 if self._gone_since is None else now - self._gone_since,
        )

    async def _stream(self) -> tuple[Outcome, float]:
        """One GET until it ends. How it ended, and the seconds that the server asked to wait."""
        self._got_lines, self._held_for = False, 0.0
        try:
            async with asyncio.timeout(None) as self._limit:
                self._extend_limit()
                await self._read()
        except ApiError as error:
            if error.status == 404:
                return Outcome.GONE, 0.0
            return (Outcome.NOT_STARTED if error.status == 400 else Outcome.CUT), error.retry_after or 0.0
        except (aiohttp.ClientError, OSError) as error:  # NB: TimeoutError is an OSError
            _log.debug("The log of %s was cut: %r", self.target.pod, error)
            return Outcome.CUT, 0.0
        except Exception:
            _log.exception("Following the log of %s failed", self.target.pod)
            return Outcome.CUT, 0.0
        finally:
            self._limit = self._open = None
        complaint = self._rest.rest
        if complaint and split(complaint) is None:
            _log.info("The log of %s cannot be followed: %r", self.target.pod, complaint[:200])
            return Outcome.COMPLAINED, 0.0
        return Outcome.CLEAN, 0.0

    async def _read(self) -> None:
        path = resources.path("Pod", self.target.namespace, self.target.pod, "log")
        params = {"container": self.target.container, "follow": "true", "timestamps": "true"}
        splicer = self._content.splicer
        if since := splicer.since:
            params["sinceTime"] = since
        splicer.resume()
        self._rest = LineSplitter()
        async with self._client.stream(path, params, batch_seconds=BATCH_SECONDS) as content:
            with metrics.LOG_STREAMS.track_inprogress(), self._listening():
                self._queued, self._heard_at = False, time.monotonic()
                self._open = content
                if self._container_ended.is_set():
                    content.hurry()
                while chunk := await content.readany():
                    started = time.perf_counter()
                    self._heard_at = time.monotonic()
                    self._extend_limit()
                    metrics.LOG_BYTES.inc(len(chunk))
                    lines = splicer.take(self._rest.feed(chunk))
                    # NB: lines that come again after a reconnection are no sign of life.
                    if lines or not splicer.catching_up:
                        self._silence.broken(now=time.monotonic())
                    self._keep(lines)
                    if self.file.wants_flush:
                        await self._make_room()
                    # NB: while bytes are waiting, reading never yields; a very chatty log rests as long as it worked.
                    worked = time.perf_counter() - started
                    await asyncio.sleep(min(worked, _LONGEST_REST) if len(chunk) >= _FULL_CHUNK else 0)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        self._silence.opened(now=time.monotonic())
        # NB: who looked while nobody listened has no deadline, and silence itself rings for nobody.
        settled = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._tell_of_silence)
        opened = time.monotonic()
        try:
            yield
        finally:
            settled.cancel()
            self._silence.closed(now=time.monotonic())
            self._held_for = time.monotonic() - opened

    async def _make_room(self) -> None:
        """Waits until what was read is written. NB: nobody listens meanwhile, which may be long."""
        began = time.monotonic()
        self._silence.closed(now=began)
        self._queued = True
        await self._flush([self.file])
        self._queued = False
        self._heard_at = now = time.monotonic()
        self._silence.broken(now=now)
        if now - began > _LONG_FLUSH_SECONDS:
            self._tell_of_silence()

    def _tell_of_silence(self) -> None:
        if self._content.report is not None:
            self.changed.ring()

    def _keep(self, lines: list[Line]) -> None:
        if not lines:
            return
        self._got_lines = True
        self.file.append(lines)
        self._dirty.add(self.file)
        if self._content.add(lines):
            self.changed.ring()

    def _extend_limit(self) -> None:
        if self._limit is None:
            return
        seconds = END_GRACE_SECONDS if self._container_ended.is_set() else self._silence_limit
        with contextlib.suppress(RuntimeError):  # it is running out at this very moment
            self._limit.reschedule(asyncio.get_running_loop().time() + seconds)
