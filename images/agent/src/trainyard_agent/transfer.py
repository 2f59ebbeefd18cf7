"""Bringing a source's files to the volume: several at once, large ones in ranges, each hashed as it comes.

Separate because it is where all the bytes pass. Nothing here grows with their number: small files are streamed, and of
all large files together at most `PARTS` ranges are in memory. Called by `pulling`.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from queue import Empty, SimpleQueue

from trainyard_agent.contents import Contents
from trainyard_agent.listings import Entry
from trainyard_agent.patience import Patience
from trainyard_agent.progress import Progress
from trainyard_agent.sources import Source
from trainyard_agent.staging import Staging, local
from trainyard_agent.troubles import Final, Passing, Trouble

#: Requests, files and ranges at once.
AT_ONCE = FILES = PARTS = 8
#: Larger files come in ranges. What is under way of them is lost by a kill, so that it is little of a small one.
_LARGE = 2 << 20
PART_BYTES = 8 << 20
#: How often a file is fetched whose bytes are not those of its digest: damage on the way is rare, but happens.
_TRIES_OF_WRONG = 3


class Stopped(Final):
    """Another file has failed for good."""


class Transfer:
    """Brings the files of one listing."""

    def __init__(
        self, source: Source, *, staging: Staging, contents: Contents, progress: Progress, patience: Patience
    ) -> None:
        self._source = source
        self._staging = staging
        self._contents = contents
        self._progress = progress
        self._patience = patience
        #: Those that are free. NB: always the same memory, as that of freed ones would be spread over the threads.
        self._buffers: SimpleQueue[bytearray] = SimpleQueue()
        self._requests = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._failed: BaseException | None = None

    def bring(self, entries: Sequence[Entry]) -> None:
        """All of them. Raises Trouble for the first that cannot be had; what has come stays for another run."""
        # NB: the largest first, so that none of them is left alone at the end.
        large = sorted((entry for entry in entries if self._is_large(entry)), key=lambda entry: -entry.size)
        queue = iter([*large, *(entry for entry in entries if not self._is_large(entry))])
        for _ in range(PARTS if large else 0):
            self._buffers.put(bytearray(PART_BYTES))
        with ThreadPoolExecutor(PARTS) as parts:
            workers = [
                threading.Thread(target=self._work, args=(queue, parts), daemon=True) for _ in range(FILES)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        if self._failed is not None:
            raise self._failed

    def _is_large(self, entry: Entry) -> bool:
        return entry.size > _LARGE and self._source.reads_ranges(entry)

    def _work(self, queue: Iterator[Entry], parts: ThreadPoolExecutor) -> None:
        try:
            while self._failed is None:
                with self._lock:
                    entry = next(queue, None)
                if entry is None:
                    return
                self._bring(entry, parts)
        except BaseException as error:
            with self._lock:
                self._failed = self._failed or error

    def _bring(self, entry: Entry, parts: ThreadPoolExecutor) -> None:
        digest = self._staging.finished(entry)
        if digest is not None:
            self._progress.had(entry.size)
        else:
            bring = (
                partial(self._in_ranges, entry, parts)
                if self._is_large(entry)
                else partial(self._streamed, entry)
            )
            for left in reversed(range(_TRIES_OF_WRONG)):
                digest = bring()
                if not entry.sha256 or digest == entry.sha256:
                    break
                self._progress.lost(entry.size)
                self._staging.forget(entry)
                if not left:
                    raise Trouble(
                        "mismatch",
                        f"{entry.path} has the SHA-256 {digest} and not {entry.sha256}: either the source has another"
                        " file, or the digest that was given is wrong.",
                    )
            assert digest is not None
            self._staging.finish(entry, digest)
        self._contents.add(entry.path, size=entry.size, sha256=digest)
        self._progress.finished()

    def _streamed(self, entry: Entry) -> str:
        return self._patience(
            partial(self._stream, entry), place=self._source.name, refused=self._source.refused
        )

    def _stream(self, entry: Entry) -> str:
        """One attempt, from the beginning of the file."""
        digest, size = hashlib.sha256(), 0
        descriptor = self._staging.descriptor(entry)
        try:
            with local(self._staging.files / entry.path):
                os.ftruncate(descriptor, 0)
            # NB: no server gives a range of nothing.
            for chunk in self._read(entry, 0, entry.size) if entry.size else ():
                self._write(descriptor, chunk, size, entry)
                digest.update(chunk)
                size += len(chunk)
                self._progress.came(len(chunk))
            self._check_size(entry, size, entry.size)
        except BaseException:
            self._progress.lost(size)
            raise
        finally:
            os.close(descriptor)
        return digest.hexdigest()

    def _in_ranges(self, entry: Entry, parts: ThreadPoolExecutor) -> str:
        """Ranges are fetched and written ahead, and hashed in order."""
        descriptor = self._staging.descriptor(entry)
        ahead: deque[tuple[bytearray, Future[memoryview]]] = deque()
        try:
            digest, written = self._resumed(entry, descriptor)
            start, size = written, _part_bytes(entry.size)
            while ahead or start < entry.size:
                # NB: it waits for memory only while it holds none itself, or two files could wait for each other.
                if start < entry.size and (buffer := self._buffer(wait=not ahead)) is not None:
                    end = min(start + size, entry.size)
                    ahead.append((buffer, parts.submit(self._range, entry, start, end, buffer, descriptor)))
                    start = end
                    continue
                part = ahead[0][1].result()
                digest.update(part)
                written += len(part)
                self._progress.came(len(part))
                self._buffers.put(ahead.popleft()[0])
                self._staging.mark(entry, written, digest.copy().hexdigest())
        finally:
            for buffer, future in ahead:
                if not future.cancel():
                    future.exception()
                self._buffers.put(buffer)
            os.close(descriptor)
        return digest.hexdigest()

    def _resumed(self, entry: Entry, descriptor: int) -> tuple[hashlib._Hash, int]:
        """The digest of what had come before, up to the last mark that is right, and how much that is."""
        digest, size = hashlib.sha256(), 0
        best, right = digest.copy(), 0
        with local(self._staging.files / entry.path):
            for end, said in self._staging.marks(entry):
                while size < end and (block := os.pread(descriptor, min(1 << 20, end - size), size)):
                    digest.update(block)
                    size += len(block)
                if size != end or digest.copy().hexdigest() != said:
                    break
                best, right = digest.copy(), size
            os.ftruncate(descriptor, right)
        self._progress.had(right)
        return best, right

    def _buffer(self, *, wait: bool) -> bytearray | None:
        try:
            return self._buffers.get(block=wait)
        except Empty:
            return None

    def _range(self, entry: Entry, start: int, end: int, buffer: bytearray, descriptor: int) -> memoryview:
        data = self._patience(
            partial(self._fetched, entry, start, end, buffer),
            place=self._source.name,
            refused=self._source.refused,
        )
        self._write(descriptor, data, start, entry)
        return data

    def _fetched(self, entry: Entry, start: int, end: int, buffer: bytearray) -> memoryview:
        data, size = memoryview(buffer)[: end - start], 0
        for chunk in self._read(entry, start, end):
            self._check_size(entry, max(end - start, size + len(chunk)), end - start)
            data[size : size + len(chunk)] = chunk
            size += len(chunk)
        self._check_size(entry, size, end - start)
        return data

    def _read(self, entry: Entry, start: int, end: int) -> Iterator[bytes]:
        with self._requests, closing(self._source.read(entry, start, end)) as chunks:
            for chunk in chunks:
                if self._failed is not None:
                    raise Stopped("another file has failed")
                yield chunk

    def _check_size(self, entry: Entry, size: int, expected: int) -> None:
        if size < expected:
            raise Passing(
                "network", f"{self._source.name}: {entry.path} was cut on the way, at {size} bytes."
            )
        if size > expected:
            raise Trouble(
                "changed", f"{entry.path} at {self._source.name} has become larger while it was pulled."
            )

    def _write(self, descriptor: int, data: bytes | memoryview, at: int, entry: Entry) -> None:
        with local(self._staging.files / entry.path):
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, at)
                view, at = view[written:], at + written


def _part_bytes(size: int) -> int:
    """How large the ranges of a large file are: between 1 and 8 MiB."""
    return max(1 << 20, min(PART_BYTES, size // 64 >> 20 << 20))
