"""Bringing files from a bucket: several at once, large ones in ranges, each checked against its SHA-256.

Separate because it is the only place where much data moves in. Called by `bringing` and `models`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from trainyard_agent.bucket import Bucket, Corrupt
from trainyard_agent.checkpoints import Broken, File
from trainyard_agent.reading import sha256_of
from trainyard_agent.troubles import Trouble

PART_BYTES = 8 << 20
FILES, PARTS = 8, 8


def receive(bucket: Bucket, files: Sequence[File], *, source: str, to: Path) -> None:
    """Fetches the files of the folder `source` into the folder `to`; what is there and right already stays.

    Raises Broken for a file that is not what it should be, or that is not there; Trouble for all else.
    """
    prefix = f"{source}/" if source else ""
    with ThreadPoolExecutor(FILES) as pool, ThreadPoolExecutor(PARTS) as parts:
        receiver = _Receiver(bucket, parts)
        futures = [pool.submit(receiver.receive, file, f"{prefix}{file.path}", to) for file in files]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()


class _Receiver:
    def __init__(self, bucket: Bucket, parts: ThreadPoolExecutor) -> None:
        self.bucket = bucket
        self._parts = parts
        self._slots = threading.BoundedSemaphore(PARTS)

    def receive(self, file: File, key: str, to: Path) -> None:
        final = to / file.path
        try:
            if final.is_file() and final.stat().st_size == file.size and sha256_of(final) == file.sha256:
                return
            final.parent.mkdir(parents=True, exist_ok=True)
            # NB: a name of its own, as the file's may be as long as a name can be, or that of another's part.
            temporary = final.with_name(f".{hashlib.sha256(file.path.encode()).hexdigest()}.part")
            with temporary.open("wb") as output:
                digest = self._copy(file, key, output.fileno())
                output.flush()
            if digest != file.sha256:
                temporary.unlink()
                raise Broken(
                    f"{file.path} has another SHA-256 in {self.bucket.name} than its manifest says: {digest} and not"
                    f" {file.sha256}"
                )
            temporary.replace(final)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise Trouble(
                "full",
                f"The node has no room for {file.path} in {to}: raise the ephemeral-storage that the pod asks for.",
            ) from error

    def _copy(self, file: File, key: str, output: int) -> str:
        """Ranges are fetched ahead, and written and hashed in order."""
        digest = hashlib.sha256()
        ahead: deque[Future[bytes]] = deque()
        next_start = 0
        try:
            while ahead or next_start < file.size:
                # NB: it waits for memory only while it holds none itself, or two files could wait for each other.
                if next_start < file.size and self._slots.acquire(blocking=not ahead):
                    end = min(next_start + PART_BYTES, file.size)
                    ahead.append(self._parts.submit(self._range, key, next_start, end))
                    next_start = end
                    continue
                data = ahead[0].result()
                digest.update(data)
                _write_all(output, data)
                del data
                ahead.popleft()
                self._slots.release()
        finally:
            for future in ahead:
                if not future.cancel():
                    future.exception()
                self._slots.release()
        return digest.hexdigest()

    def _range(self, key: str, start: int, end: int) -> bytes:
        try:
            data = self.bucket.read_range(key, start, end)
        except Corrupt as error:
            raise Broken(str(error)) from error
        if data is None:
            raise Broken(f"{key} is not in {self.bucket.name}")
        if len(data) != end - start:
            raise Broken(f"{key} is smaller in {self.bucket.name} than its manifest says")
        return data


def _write_all(output: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(output, view) :]
