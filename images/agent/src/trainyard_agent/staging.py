"""What of a dataset has been pulled already: a hidden folder of the volume, and a journal in it.

Separate because it is what survives a puller that is killed. A file counts once a line of the journal says that it is
whole; of a large file, lines say up to where it is right, with the digest so far. Called by `transfer` and `pulling`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from trainyard_agent.listings import Entry
from trainyard_agent.log import say
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import clear

#: Of the marks of a file, those after so many bytes are kept, and the last one.
_MARKS_KEPT = 64 << 20
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


class Staging:
    """The folder for one listing on a volume."""

    def __init__(self, volume: Path, listing: str) -> None:
        self.root = volume / f".pulling-{listing[:16]}"
        self.files = self.root / "files"
        #: For what `contents` cannot keep in memory.
        self.scratch = self.root / "scratch"
        self._journal = self.root / "journal"
        self._lock = threading.Lock()
        self._made: set[Path] = set()
        self._descriptor = -1
        self._whole: dict[str, str] = {}
        self._marks: dict[str, list[tuple[int, str]]] = {}
        #: Files that were finished before the machine was started again, or on another one: they are read again, as
        #: what had not reached the disk may be lost.
        self._doubtful: set[str] = set()

    def open(self) -> None:
        """Makes the folder, or takes over what is there. Waits for another puller that is at work in it."""
        with local(self.root):
            for folder in (self.files, self.scratch):
                folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(
                self._journal, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
            self._wait()
            self._read()
            self._write("boot", boot())

    def finished(self, entry: Entry) -> str | None:
        """The SHA-256 of a file that has come whole before; None where it has not."""
        digest = self._whole.get(entry.path)
        if digest is None:
            return None
        path = self.files / entry.path
        try:
            right = path.stat().st_size == entry.size
            if right and entry.path in self._doubtful:
                right = _digest_of(path) == digest
        except OSError:
            right = False
        self._doubtful.discard(entry.path)
        if not right:
            self.forget(entry)
        return digest if right else None

    def forget(self, entry: Entry) -> None:
        """What has come of this file is wrong."""
        self._write("forget", entry.path)
        self._forget(entry.path)

    def marks(self, entry: Entry) -> list[tuple[int, str]]:
        """Of a large file: up to which bytes it had come, and the SHA-256 of those."""
        return self._marks.get(entry.path, [])

    def mark(self, entry: Entry, size: int, digest: str) -> None:
        self._write("mark", entry.path, size, digest)

    def finish(self, entry: Entry, digest: str) -> None:
        self._write("file", entry.path, digest)

    def descriptor(self, entry: Entry) -> int:
        """The file, opened for reading and writing; the caller closes it."""
        path = self.files / entry.path
        with local(path):
            if path.parent not in self._made:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)

    def room(self) -> int:
        """Bytes that the volume has left."""
        with local(self.root):
            found = os.statvfs(self.root)
            return found.f_bavail * found.f_frsize

    def taken(self, entry: Entry) -> int:
        """Bytes of the volume that a file has taken so far, which is written in its place; at most its size."""
        try:
            return min(entry.size, 512 * (self.files / entry.path).lstat().st_blocks)
        except OSError:
            return 0

    def close(self) -> None:
        """Leaves what is there for another run, or another puller."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Takes it all away, if it is there."""
        with local(self.root):
            clear(self.root)

    def _wait(self) -> None:
        """NB: a puller that was given up with its node may still be there; both would write the same, but at the moment
        of publishing a file must not be emptied."""
        said = False
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not said:
                    say("Another puller is at work on this volume: waiting until it has ended.")
                    said = True
                time.sleep(1.0)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                return

    def _forget(self, path: str) -> None:
        self._whole.pop(path, None)
        self._marks.pop(path, None)
        self._doubtful.discard(path)

    def _keep(self, path: str, size: int, digest: str) -> None:
        """NB: of a very large file there are very many; the last counts, the others are for where it is wrong."""
        marks = self._marks.setdefault(path, [])
        if marks and marks[-1][0] % _MARKS_KEPT:
            marks.pop()
        marks.append((size, digest))

    def _read(self) -> None:
        now, trusted = boot(), False
        with self._journal.open("rb") as lines:
            for line in lines:
                try:
                    kind, *rest = json.loads(line)
                    if kind == "boot":
                        trusted = rest == [now]
                    elif kind == "forget":
                        self._forget(*rest)
                    elif kind == "file":
                        path, digest = rest
                        self._forget(path)
                        self._whole[path] = digest
                        if not trusted:
                            self._doubtful.add(path)
                    elif kind == "mark":
                        path, size, digest = rest
                        self._keep(path, size, digest)
                except (ValueError, TypeError):
                    # Cut by a kill.
                    continue

    def _write(self, *said: str | int) -> None:
        # NB: begins with a newline, so that a line cut by a kill does not take this one with it.
        line = f"\n{json.dumps(said)}".encode()
        with self._lock, local(self._journal):
            os.write(self._descriptor, line)


@contextlib.contextmanager
def local(path: Path) -> Iterator[None]:
    """What fails in here is the volume's fault, and never that of the source."""
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Trouble(
                "full", f"The volume has no room for {path.name} ({said}): raise spec.cache.size."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise Trouble(
                "forbidden",
                f"The volume cannot be written by user {os.geteuid()} ({said}): its StorageClass must let the pod's"
                " fsGroup write.",
            ) from error
        raise Trouble("network", f"The volume fails at {path.name} ({said}).") from error


def boot() -> str:
    """Tells from which start of which machine on it has been running."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
