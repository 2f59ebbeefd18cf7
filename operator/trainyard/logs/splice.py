"""A followed log that was cut, put together again: no line twice, and a mark where lines are missing.

Separate and free of I/O because this is where a mistake would be invisible: the API server's `sinceTime` counts
in whole seconds, so after a cut the lines of the last second come again. Called by the log follower, by the
store's reader after a restart of the operator, and by `trainyard logs`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

MAX_LINE = 64 * 1024
"""Bytes of one line that are kept, its stamp included."""
CUT_MARK = b" [trainyard] the rest of this line was cut"
_GAP = b"[trainyard] gap: lines between "
_MAX_WINDOW = 65536
_SECOND = 1_000_000_000
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")

Line = tuple[bytes, bytes]
"""Stamp as the kubelet wrote it, and text without the newline."""


def nanoseconds(stamp: bytes) -> int | None:
    """Nanoseconds since the epoch of an RFC 3339 stamp; None for other text."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    moment, fraction, zone = match.groups()
    whole = _whole_seconds(moment + zone)
    return None if whole is None else whole * _SECOND + int((fraction or b"0").ljust(9, b"0"))


@lru_cache(maxsize=64)
def _whole_seconds(moment: bytes) -> int | None:
    try:
        return int(datetime.fromisoformat(moment.decode()).timestamp())
    except (ValueError, OverflowError):
        return None


def split(raw: bytes) -> Line | None:
    """Stamp and text of a line; None when it has no stamp (the kubelet's own complaints have none)."""
    stamp, _, text = raw.partition(b" ")
    return None if nanoseconds(stamp) is None else (stamp, text)


def gap(after: bytes, before: bytes) -> Line:
    """Our mark for lines that were lost between two stamps."""
    return before, _GAP + after + b" and " + before + b" were lost"


def is_gap(line: Line) -> bool:
    """Whether the operator wrote this line. It names its own stamp, which no trainer can know beforehand."""
    stamp, text = line
    return text.startswith(_GAP) and text.endswith(b" and " + stamp + b" were lost")


class LineSplitter:
    """Chunks to lines without newlines. Holds at most one line's beginning, cut at MAX_LINE."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._overflow = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes."""
        first, *others = chunk.split(b"\n")
        self._hold(first)
        if not others:
            return []
        lines = [self._release(), *(_cut(line) for line in others[:-1])]
        self._hold(others[-1])
        return lines

    @property
    def rest(self) -> bytes:
        """The beginning of a line that has no end yet."""
        return bytes(self._rest)

    def finish(self) -> list[bytes]:
        """The last line, when the log ended without a newline."""
        return [self._release()] if self._rest else []

    def _hold(self, piece: bytes) -> None:
        room = MAX_LINE - len(self._rest)
        self._rest += piece[:room]
        self._overflow = self._overflow or len(piece) > room

    def _release(self) -> bytes:
        line = bytes(self._rest) + (CUT_MARK if self._overflow else b"")
        self._rest.clear()
        self._overflow = False
        return line


def _cut(line: bytes) -> bytes:
    return line if len(line) <= MAX_LINE else line[:MAX_LINE] + CUT_MARK


class Splicer:
    """Which lines of a stream are new, given the lines that are kept already.

    It remembers each line of the newest second (`since` asks the server for that second again) with its stamp
    and its text's hash, as often as it came. So equal stamps are counted, and lines whose stamps are slightly
    out of order, as stdout and stderr of a container may be, are neither doubled nor lost.

    NB: when a node's clock is set back by more than a second, lines between a cut and the moment at which that
    clock is again where it was are not asked for.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._last_stamp = b""
        self._floor = -1
        self._window: Counter[tuple[int, int]] = Counter()
        self._size = 0
        self._expected: Counter[tuple[int, int]] = Counter()
        self._resuming = False
        self._joined = True

    @property
    def since(self) -> str | None:
        """`sinceTime` for the next stream: the newest kept second; None when nothing is kept."""
        if self._last is None:
            return None
        return datetime.fromtimestamp(self._last // _SECOND, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def catching_up(self) -> bool:
        """Whether a new stream has shown nothing yet but what is kept already."""
        return self._resuming

    @classmethod
    def resumed_from(cls, last_lines: Sequence[Line], *, complete: bool) -> Splicer:
        """A splicer for a log whose last lines were read back; `complete`: there are no others."""
        splicer = cls()
        newest = next((nanoseconds(line[0]) for line in reversed(last_lines)), None)
        if newest is None:
            return splicer
        start = len(last_lines)
        while start > 0 and (nanoseconds(last_lines[start - 1][0]) or 0) // _SECOND >= newest // _SECOND:
            start -= 1
        if start == 0 and not complete:
            splicer._floor = nanoseconds(last_lines[0][0]) or -1
        for line in last_lines[start:]:
            if not is_gap(line):
                splicer._note(nanoseconds(line[0]) or 0, line)
        return splicer

    def resume(self) -> None:
        """A new stream begins, asked for with `since`."""
        self._resuming = self._last is not None
        self._expected = self._window.copy()
        self._joined = False

    def take(self, raw_lines: Iterable[bytes]) -> list[Line]:
        """The new ones among lines of the stream, in order, with marks of gaps; lines without stamp go."""
        kept: list[Line] = []
        for raw in raw_lines:
            stamp, _, text = raw.partition(b" ")
            moment = nanoseconds(stamp)
            if moment is None:
                continue
            line = (stamp, text)
            if self._resuming and self._came_again(moment, line, kept):
                continue
            kept.append(line)
            self._note(moment, line)
        return kept

    def _came_again(self, moment: int, line: Line, kept: list[Line]) -> bool:
        last = self._last or 0
        if moment <= self._floor or moment // _SECOND < last // _SECOND:
            self._joined = True
            return True
        key = (moment, hash(line[1]))
        if self._expected.get(key, 0) > 0:
            self._expected[key] -= 1
            self._joined = True
            return True
        if moment > last:
            self._resuming = False
            self._expected.clear()
            if not self._joined:
                kept.append(gap(self._last_stamp, line[0]))
        return False

    def _note(self, moment: int, line: Line) -> None:
        last = self._last
        if last is None or moment // _SECOND > last // _SECOND:
            self._window.clear()
            self._size = 0
        elif moment // _SECOND < last // _SECOND:
            return
        elif self._size >= _MAX_WINDOW:
            self._window.clear()
            self._size = 0
            self._floor = max(self._floor, last)
        self._window[moment, hash(line[1])] += 1
        self._size += 1
        if last is None or moment >= last:
            self._last, self._last_stamp = moment, line[0]
