"""Sending files to a bucket: several at once, large ones in parts, with bounded memory, and none twice.

Separate because it is the only place where much data moves out, and all rules for that are here. Called by
`checkpoints` and `results`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from trainyard_agent import layout
from trainyard_agent.bucket import Bucket, Parts
from trainyard_agent.journal import Journal
from trainyard_agent.reading import Changed, Reader, version
from trainyard_agent.trees import Local
from trainyard_agent.troubles import Trouble

PART_BYTES = 8 << 20
#: Files at once, and parts in memory at once.
FILES, PARTS = 8, 8
#: S3 takes 10,000 parts.
_MOST_PARTS = 9000
_TRIES_OF_A_CHANGING_FILE = 5


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A file that is in the store now; `name` is its path in the folder it came from."""

    name: str
    size: int
    sha256: str


class Counter:
    """How far the present sending is; read by another thread when time is up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.what = ""
        self.files = self.files_done = self.bytes = self.bytes_done = self.bytes_sent = 0

    def begin(self, what: str, files: Sequence[Local]) -> None:
        with self._lock:
            self.what, self.files, self.bytes = what, len(files), sum(file.size for file in files)
            self.files_done = self.bytes_done = 0

    def done(self, size: int) -> None:
        with self._lock:
            self.files_done += 1
            self.bytes_done += size

    def sent(self, size: int) -> None:
        with self._lock:
            self.bytes_sent += size


class Sender:
    """Sends to `bucket`. Below `prefix` nobody else writes, and what is in `journal` and there is not sent again."""

    def __init__(self, bucket: Bucket, *, prefix: str, journal: Journal) -> None:
        self.bucket = bucket
        self.counter = Counter()
        self._prefix = prefix
        self._journal = journal
        self._files = ThreadPoolExecutor(FILES, thread_name_prefix="file")
        self._parts = ThreadPoolExecutor(PARTS, thread_name_prefix="part")
        self._slots = threading.BoundedSemaphore(PARTS)
        self._listing = threading.Lock()
        self._there: dict[str, int] | None = None

    def tidy(self) -> None:
        """Takes away what a killed agent left unfinished."""
        if self._journal.begun:
            # NB: other ranks' folders lie in rank 0's, and what they are sending now is not unfinished.
            self.bucket.abort_unfinished(
                self._prefix, ours=lambda path: layout.rank(path.partition("/")[0]) is None
            )

    def send(self, files: Sequence[Local], *, to: str, what: str) -> list[Sent]:
        """Sends files to the folder `to`; `what` says in people's words what they are.

        Raises Trouble for the first that cannot be sent, Gone for one that was removed meanwhile.
        """
        self._journal.begin()
        self.counter.begin(what, files)
        futures = [self._files.submit(self._send, file, f"{to}/{file.name}") for file in files]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
            wait(futures)

    def remove(self, keys: Sequence[str]) -> None:
        """Removes objects below the prefix. NB: not while `send` runs, which must not count on what is gone."""
        self.bucket.remove(keys)
        for key in keys:
            (self._there or {}).pop(key, None)

    def close(self) -> None:
        """Ends the threads."""
        self._files.shutdown()
        self._parts.shutdown()

    def _send(self, file: Local, key: str) -> Sent:
        tries = 0
        while True:
            try:
                return self.bucket.patiently(lambda: self._once(file, key))
            except Changed as error:
                tries += 1
                if tries == _TRIES_OF_A_CHANGING_FILE:
                    raise Trouble(
                        "unreadable", f"{error}, {tries} times: something still writes to it after the end."
                    ) from error
                time.sleep(0.2 * tries)

    def _once(self, file: Local, key: str) -> Sent:
        found = version(file.path)
        digest = self._journal.digest(key, found)
        if digest is None or self._sizes().get(key) != found.size:
            with Reader(file.path) as reader:
                digest = (
                    self._whole(reader, key)
                    if reader.version.size <= PART_BYTES
                    else self._in_parts(reader, key)
                )
                found = reader.version
            self._journal.add(key, found, digest)
            if self._there is not None:
                self._there[key] = found.size
        self.counter.done(found.size)
        return Sent(name=file.name, size=found.size, sha256=digest)

    def _sizes(self) -> dict[str, int]:
        """What is in the store, by one listing: what was there when we began, and what we sent since."""
        with self._listing:
            if self._there is None:
                sizes = self.bucket.sizes(self._prefix)
                self._there = {f"{self._prefix}/{name}": size for name, size in sizes.items()}
        return self._there

    def _whole(self, reader: Reader, key: str) -> str:
        with self._slots:
            data = reader.part(PART_BYTES + 1)
            self.bucket.write(key, data)
            self.counter.sent(len(data))
        return reader.digest

    def _in_parts(self, reader: Reader, key: str) -> str:
        size = max(PART_BYTES, -(-reader.version.size // _MOST_PARTS))
        parts = self.bucket.begin(key, part_size=size)
        futures: list[Future[None]] = []
        try:
            number = 0
            while True:
                self._slots.acquire()
                number += 1
                try:
                    data = reader.part(size)
                    if not data:
                        self._slots.release()
                        break
                    future = self._parts.submit(self._part, parts, number, data)
                except BaseException:
                    self._slots.release()
                    raise
                del data
                futures = [one for one in futures if not one.done() or one.result()]
                futures.append(future)
                if not parts.parallel:
                    future.result()
            for future in futures:
                future.result()
            digest = reader.digest
            if parts.parallel:
                self.bucket.patiently(parts.complete)
            else:
                parts.complete()
        except BaseException:
            wait(futures)
            with contextlib.suppress(Exception):
                parts.abort()
            raise
        return digest

    def _part(self, parts: Parts, number: int, data: bytes) -> None:
        try:
            # NB: a file that is written in a row cannot take a part twice; then the whole file is sent again.
            if parts.parallel:
                self.bucket.patiently(lambda: parts.put(number, data))
            else:
                parts.put(number, data)
            self.counter.sent(len(data))
        finally:
            self._slots.release()
