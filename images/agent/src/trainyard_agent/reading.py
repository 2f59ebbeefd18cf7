"""Reading a local file: in parts, with its SHA-256 on the way, and noticing when it changes meanwhile.

Separate because sending and hashing in place share it. Called by `sending` and `checkpoints`.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trainyard_agent.troubles import Final, Trouble

_BLOCK = 1 << 20


class Version(NamedTuple):
    """What is another when a file has been written to."""

    size: int
    modified: int
    inode: int


class Changed(Final):
    """The file was written to while it was read."""


class Gone(Final):
    """The file was removed."""


def version(path: Path) -> Version:
    """Raises Gone."""
    try:
        return _version(os.stat(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Gone(f"{path} was removed") from error
    except PermissionError as error:
        raise unreadable(path) from error


class Reader:
    """The file's parts, and `digest`, its SHA-256, once all of them were taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        try:
            self._file = path.open("rb", buffering=0)
        except PermissionError as error:
            raise unreadable(path) from error
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Gone(f"{path} was removed") from error
        self.version = _version(os.fstat(self._file.fileno()))

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()

    @property
    def digest(self) -> str:
        """Raises Changed where the file is not what it was when it was opened, Gone where it was removed."""
        if version(self._path) != self.version or self._file.tell() != self.version.size:
            raise Changed(f"{self._path} was written to while it was read")
        return self._digest.hexdigest()

    def part(self, size: int) -> bytes:
        """The next bytes; fewer at the end of the file, none after it."""
        taken: list[bytes] = []
        while size > 0 and (block := self._file.read(size)):
            taken.append(block)
            size -= len(block)
        data = taken[0] if len(taken) == 1 else b"".join(taken)
        self._digest.update(data)
        return data

    def blocks(self) -> Iterator[int]:
        """Reads all of it for the digest alone; gives the sizes."""
        while block := self.part(_BLOCK):
            yield len(block)


def sha256_of(path: Path) -> str:
    """Of a file that is at rest. Raises Changed where it is not."""
    with Reader(path) as reader:
        for _ in reader.blocks():
            pass
        return reader.digest


def make_safe(path: Path) -> None:
    """Has the volume write what it still keeps in memory of a file. Raises OSError where that fails, Gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Gone(f"{path} was removed") from error
    except PermissionError as error:
        raise unreadable(path) from error
    try:
        os.fsync(descriptor)
    except OSError as error:
        # NB: some file systems know no such thing, and have it written already.
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def unreadable(path: Path) -> Trouble:
    return Trouble(
        "unreadable",
        f"{path} cannot be read by the agent, which runs as user {os.geteuid()}: let the trainer write files that"
        " others may read, or set template.spec.securityContext.runAsUser, so that both run as the same user.",
    )


def _version(status: os.stat_result) -> Version:
    return Version(status.st_size, status.st_mtime_ns, status.st_ino)
