"""Archives: tar, tar.gz, tar.zst and zip, unpacked into a folder that nothing in them can leave.

Separate because an archive from outside is the most dangerous thing that the agent reads: names that climb, links,
devices, bombs, and damage that looks like an end. Called by `pull`, after an archive has come whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from trainyard_agent import archives, publishing, safenames, tarballs, zips
from trainyard_agent.archives import Entry, Refused, too_many
from trainyard_agent.contents import Contents
from trainyard_agent.log import amount, say
from trainyard_agent.packed import Unpacked
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import clear

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".zip")

#: `tar -C folder .` puts it in front of each name.
_HERE = re.compile(r"\A(\./+)+")
#: Between two lines in the log.
_SAID_SECONDS = 10.0
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: How file systems say that they hold no such name, though Linux does.
_NO_SUCH_NAMES = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def is_archive(name: str) -> bool:
    """Whether a file of this name is unpacked."""
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, into: Path, *, name: str, max_bytes: int, contents: Contents) -> None:
    """Unpacks an archive into the folder `into`, which is cleared first, and adds its files to `contents`.

    `name` is what users call the archive; what it is, its first bytes tell. `max_bytes` is the room there is for what
    comes out. Raises Trouble: hostile, broken, unsupported, full; then `into` is cleared again, and what `contents` has
    is of no use. Nothing is flushed to the disk here: `publishing` does that once for all.
    """
    clear(into)
    into.mkdir(parents=True)
    writer = _Writer(into, name=name, max_bytes=max_bytes, contents=contents)
    try:
        for entry in _entries(archive):
            writer.take(entry)
    except BaseException as error:
        with contextlib.suppress(OSError):
            clear(into)
        if isinstance(error, Refused):
            raise Trouble(error.kind, f"The archive {name} {error}.") from error
        if isinstance(error, Trouble) and error.kind != "full":
            raise Trouble(error.kind, f"In the archive {name}: {error}") from error
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise publishing.no_room(f"{os.strerror(error.errno)} while {name} was unpacked") from error
        raise


def _entries(archive: Path) -> Iterator[Entry]:
    with archive.open("rb") as file:
        if file.read(4) in zips.MAGIC:
            yield from zips.entries(archive)
            return
        file.seek(0)
        yield from tarballs.entries(Unpacked(file))


class _Writer:
    def __init__(self, into: Path, *, name: str, max_bytes: int, contents: Contents) -> None:
        self._into = into
        self._name = name
        self._max_bytes = max_bytes
        self._contents = contents
        self._alike = safenames.Alike()
        self._entries = self._written = 0
        self._said = time.monotonic()

    def take(self, entry: Entry) -> None:
        """Writes an entry. No mode of its own: nothing of a dataset is run, and all of it may be read."""
        self._entries += 1
        if self._entries > archives.MOST_ENTRIES:
            raise too_many()
        name = _HERE.sub("", entry.name)
        if entry.folder:
            if name in ("", "."):
                return
            name = name.removesuffix("/")
        safenames.checked(name)
        try:
            if entry.folder:
                self._make(name, of=name)
            else:
                self._alike.see(name)
                self._contents.add(name, size=entry.size, sha256=self._write(name, entry))
        except OSError as error:
            if error.errno not in _NO_SUCH_NAMES:
                raise
            raise Trouble(
                "unsupported",
                f"the volume's file system cannot hold the name {safenames.shown(name)}"
                f" ({os.strerror(error.errno)}): rename it, or set a storage class with another file system.",
            ) from error

    def _write(self, name: str, entry: Entry) -> str:
        if self._written + entry.size > self._max_bytes:
            raise publishing.no_room(f"more than {self._max_bytes:,} bytes come out of the archive")
        digest = hashlib.sha256()
        descriptor = self._new(name)
        with open(descriptor, "wb", buffering=0) as file:
            for block in entry.blocks:
                digest.update(block)
                view = memoryview(block)
                while view:
                    view = view[file.write(view) :]
                self._written += len(block)
                self._say()
        return digest.hexdigest()

    def _say(self) -> None:
        """How far it is, now and then."""
        now = time.monotonic()
        if now - self._said > _SAID_SECONDS:
            self._said = now
            say(f"{amount(self._written)} in {self._entries} files have come out of {self._name} so far.")

    def _new(self, name: str) -> int:
        path = self._into / name
        try:
            try:
                return os.open(path, _NEW, 0o644)
            except FileNotFoundError:
                self._make(name.rpartition("/")[0], of=name)
                return os.open(path, _NEW, 0o644)
        except FileExistsError as error:
            if path.is_dir():
                raise safenames.both(name, f"{name}/") from error
            raise safenames.double(name) from error
        except NotADirectoryError as error:
            raise safenames.both(self._file_above(name), name) from error

    def _make(self, folder: str, *, of: str) -> None:
        try:
            (self._into / folder).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise safenames.both(self._file_above(f"{of}/"), of) from error

    def _file_above(self, name: str) -> str:
        """The part of a path that is a file, where a folder should be."""
        parts = name.split("/")
        paths = ("/".join(parts[:number]) for number in range(1, len(parts)))
        return next((path for path in paths if (self._into / path).is_file()), name)
