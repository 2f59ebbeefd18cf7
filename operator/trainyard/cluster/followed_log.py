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
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import aiohttp

from trainyard import metrics
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError, Client
from trainyard.logs.reconnect import END_GRACE_SECONDS, SILENCE_SECONDS, Next, Outcome, after_stream, delay
from trainyard.logs.splice import Line, LineSplitter, Splicer
from trainyard.logs.store import FLUSH_BYTES, LogFile
from trainyard.planning.progress import Report, fold
from trainyard.planning.statusline import parse

_log = logging.getLogger(__name__)

TAIL_LINES, TAIL_CHARACTERS = 20, 400
_FULL_CHUNK = 1 << 16
_LONGEST_REST = 0.05


@dataclass(frozen=True, kw_only=True)
class LogTarget:
    """A container whose log is followed, and whose log it is."""

    namespace: str
    pod: str
    pod_uid: str
    container: str
    job: str
    job_uid: str
    attempt: int
    rank: int


@dataclass(frozen=True, kw_only=True)
class LogState:
    """What is known of a log. `last_sign_of_life` (epoch seconds) is when a byte last came; after a restart of
    the operator the stamp of the last stored line, until one comes.
    """

    report: Report | None = None
    tail: tuple[str, ...] = ()
    ended: bool = False
    last_sign_of_life: float | None = None


@dataclass
class LogContent:
    """What the lines of one log amount to: the report, the last lines, and where a stream continues."""

    report: Report | None = None
    splicer: Splicer = field(default_factory=Splicer)
    tail: deque[bytes] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def add(self, lines: list[Line]) -> bool:
        """Takes new lines in; whether one of them was a status line."""
        before = self.report
        for stamp, text in lines:
            # NB: all lines pass here; what is not JSON must cost next to nothing.
            if b"{" in text[:8] and (line := parse(text.decode("utf-8", "replace"))) is not None:
                self.report = fold(self.report, line, at=stamp.decode())
        self.tail.extend(text[: TAIL_CHARACTERS * 4] for _, text in lines[-TAIL_LINES:])
        return self.report is not before

    def tail_text(self) -> tuple[str, ...]:
        return tuple(text.decode("utf-8", "replace")[:TAIL_CHARACTERS] for text in self.tail)


def replay(file: LogFile) -> LogContent:
    """The content of a stored log, as if it had just been followed. Blocking: for a thread."""
    content = LogContent()
    file.repair()
    for line in file.lines():
        content.add([line])
    last, complete = file.last_lines()
    content.splicer = Splicer.resumed_from(last, complete=complete)
    return content


class Throttle:
    """Calls at once the first time, and then at most every `interval` seconds, the last call included."""

    def __init__(self, *, interval: float, call: Callable[[], None]) -> None:
        self._interval = interval
        self._call = call
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_until = 0.0

    def ring(self, *, now: bool = False) -> None:
        loop = asyncio.get_running_loop()
        wait = 0.0 if now else self._quiet_until - loop.time()
        if wait > 0:
            self._timer = self._timer or loop.call_later(wait, self._fire)
            return
        self._fire()

    def _fire(self) -> None:
        self.close()
        self._quiet_until = asyncio.get_running_loop().time() + self._interval
        try:
            self._call()
        except Exception:
            _log.exception("A change of a log could not be passed on")

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


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
        flush: Callable[[Iterable[LogFile]], Awaitable[None]],
        replays: asyncio.Semaphore,
    ) -> None:
        self.target = target
        self.changed = changed
        self._client = client
        self._file = file
        self._dirty = dirty
        self._flush = flush
        self._replays = replays
        self._content = LogContent()
        self._rest = LineSplitter()
        self._container_ended = asyncio.Event()
        self._ended_since: float | None = None
        self._gone_since: float | None = None
        self._finished_at: float | None = None
        self._limit: asyncio.Timeout | None = None
        self._ended = False
        self._sign_of_life: float | None = None
        self._got_lines = False

    def state(self) -> LogState:
        return LogState(
            report=self._content.report,
            tail=self._content.tail_text(),
            ended=self._ended,
            last_sign_of_life=self._sign_of_life,
        )

    def container_has_ended(self, finished_at: float | None) -> None:
        """A stream that stays open beyond a grace is cut: a dead node never closes it."""
        self._finished_at = finished_at if finished_at is not None else self._finished_at
        if not self._container_ended.is_set():
            self._ended_since = time.monotonic()
            self._container_ended.set()
            self._extend_limit()

    async def run(self) -> None:
        async with self._replays:
            await self._replay()
        failures = tries_after_end = 0
        while True:
            tries_after_end += self._container_ended.is_set()
            outcome, retry_after = await self._stream()
            closed_at = time.time()
            if outcome is not Outcome.GONE:
                self._gone_since = None
            elif self._gone_since is None:
                self._gone_since = time.monotonic()
            step = self._next(outcome, tries_after_end, closed_at)
            if step is Next.AWAIT_END:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._container_ended.wait(), END_GRACE_SECONDS)
                step = self._next(outcome, tries_after_end, closed_at)
            if step is Next.ENDED:
                break
            if step is Next.RECONNECT:
                failures = 0 if self._got_lines else failures + 1
                pause = delay(outcome, failures=failures, jitter=random.random())
                await asyncio.sleep(max(pause, retry_after))
        if outcome is Outcome.CLEAN:
            self._keep(self._content.splicer.take(self._rest.finish()))
        self._content.splicer = Splicer()
        await self._flush([self._file])
        self._ended = True
        self.changed.ring(now=True)

    async def _replay(self) -> None:
        try:
            self._content = await asyncio.to_thread(replay, self._file)
        except OSError as error:
            _log.warning("The stored log %s cannot be read: %s", self._file.path, error)
            return
        self._sign_of_life = self._content.splicer.last
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
        self._got_lines = False
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
            self._limit = None
        return Outcome.CLEAN, 0.0

    async def _read(self) -> None:
        path = resources.path("Pod", self.target.namespace, self.target.pod, "log")
        params = {"container": self.target.container, "follow": "true", "timestamps": "true"}
        splicer = self._content.splicer
        if since := splicer.since:
            params["sinceTime"] = since
        splicer.resume()
        self._rest = LineSplitter()
        async with self._client.stream(path, params) as content:
            with metrics.LOG_STREAMS.track_inprogress():
                while chunk := await content.readany():
                    started = time.perf_counter()
                    self._extend_limit()
                    self._sign_of_life = time.time()
                    metrics.LOG_BYTES.inc(len(chunk))
                    self._keep(splicer.take(self._rest.feed(chunk)))
                    if self._file.pending >= FLUSH_BYTES:
                        await self._flush([self._file])
                    # NB: while bytes are waiting, reading never yields; a very chatty log rests as long as it worked.
                    worked = time.perf_counter() - started
                    await asyncio.sleep(min(worked, _LONGEST_REST) if len(chunk) >= _FULL_CHUNK else 0)

    def _keep(self, lines: list[Line]) -> None:
        if not lines:
            return
        self._got_lines = True
        self._file.append(lines)
        self._dirty.add(self._file)
        if self._content.add(lines):
            self.changed.ring()

    def _extend_limit(self) -> None:
        if self._limit is None:
            return
        seconds = END_GRACE_SECONDS if self._container_ended.is_set() else SILENCE_SECONDS
        with contextlib.suppress(RuntimeError):  # it is running out at this very moment
            self._limit.reschedule(asyncio.get_running_loop().time() + seconds)
