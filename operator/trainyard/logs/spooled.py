"""One log between the folder that it is written to and the object store: how far it was sent, and what is where.

Separate from `logs.archive`, its only caller, because this knows bytes and that knows time. Blocking: for threads.
"""

from __future__ import annotations

import os
from pathlib import Path

from trainyard.logs.bucket import Bucket, Part
from trainyard.logs.store import LogFile, remove_file

PART_BYTES = 4 << 20
_COMPARED_BYTES = 4096


class Spooled:
    """The parts of a log in the store, by where they are in the file here.

    The last part is sent again with what came since, until it is full. `_ahead` is how far the store's bytes
    are ahead of the file's: 0, unless the file was begun anew while the store did not answer; then what it has comes
    after what the store had, and lines can be there twice.
    """

    def __init__(self, file: LogFile, bucket: Bucket) -> None:
        self.file = file
        self.finished = False
        self._bucket = bucket
        self._stored: list[Part] = []
        self._joined = False
        self._ahead = 0
        self._start = 0
        self._sent = 0

    @property
    def unsent(self) -> bool:
        """Whether the store lacks something that is in the file."""
        return self.file.written > self._sent

    @property
    def has_full_part(self) -> bool:
        """Whether there is so much that it need not wait."""
        return self.file.written - self._start >= PART_BYTES and self.unsent

    @property
    def done(self) -> bool:
        """Whether the log is complete in the store, so that the file can go."""
        return self.finished and not self.unsent and not self.file.pending

    def join(self) -> bool:
        """Looks up what the store has; True when that is more than the file, and `fetch` is to be called."""
        self._stored = self._bucket.parts(self.file.name)
        if not self._stored:
            self._joined = True
            return False
        if self._length() < self._stored[-1].end:
            return True
        self._go_on()
        return False

    def fetch(self) -> Path:
        """The store's copy, beside the file. Call `take_over` with it, or `discard`."""
        copy = self._copy
        copy.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("wb") as out:
            for part in self._stored:
                out.write(self._bucket.read(self.file.name, part))
        return copy

    def discard(self) -> None:
        """Takes away what `fetch` has made."""
        self._copy.unlink(missing_ok=True)

    def take_over(self, fetched: Path) -> None:
        """Makes a fetched copy the file. NB: not in a thread that may be late: lines are appended to the file then."""
        os.replace(fetched, self.file.path)
        last = self._stored[-1]
        self._sent = self.file.written = self._length()
        self._ahead = last.end - self._sent
        self._start = self._sent - last.size
        self._joined = True

    def send(self) -> None:
        """Sends what the store lacks."""
        if not self._joined:
            self._stored = self._bucket.parts(self.file.name)
            self._go_on()
        # NB: what is written goes on growing; only what is in the file for good is sent.
        written = self.file.written
        while self._sent < written:
            with self.file.path.open("rb") as file:
                file.seek(self._start)
                data = file.read(min(PART_BYTES, written - self._start))
            more = self._start + len(data) < written
            if more and (cut := data.rfind(b"\n") + 1):
                data = data[:cut]
            self._bucket.put(self.file.name, self._start + self._ahead, data)
            self._sent = self._start + len(data)
            if more or len(data) == PART_BYTES:
                self._start = self._sent

    def remove(self) -> None:
        """Takes the file away, since the store has all of it."""
        remove_file(self.file.path)

    @property
    def _copy(self) -> Path:
        return self.file.path.with_suffix(".fetched")

    def _go_on(self) -> None:
        """After the last part that is stored, if the file holds it; else behind all of them."""
        self._joined = True
        if not self._stored:
            return
        last = self._stored[-1]
        if self._holds(last):
            self._start, self._sent = last.start, last.end
        else:
            self._ahead = last.end

    def _holds(self, part: Part) -> bool:
        if self._length() < part.end:
            return False
        theirs = self._bucket.read(self.file.name, part, last=_COMPARED_BYTES)
        with self.file.path.open("rb") as file:
            file.seek(part.end - len(theirs))
            return file.read(len(theirs)) == theirs

    def _length(self) -> int:
        try:
            return self.file.path.stat().st_size
        except FileNotFoundError:
            return 0
