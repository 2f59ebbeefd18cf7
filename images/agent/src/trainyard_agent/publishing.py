"""Making a dataset appear on its volume, whole and at once.

Separate because it is the one step at which a crash would show: a reader sees no data or all of it. Called by what
pulls and receives datasets. On the volume lie `data/`, which jobs mount, and `published.json`, which says what it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainyard_agent import safenames
from trainyard_agent.contents import Contents, mark
from trainyard_agent.troubles import Trouble
from trainyard_agent.volume import clear

DATA = "data"
RECORD = "published.json"
#: The record of a folder that is complete, and where that folder is; there from the flush until `published.json` is.
_BEGUN = ".publishing.json"
#: What was published before, on its way out.
_FORMER = ".former"

_FOLDER_MODE, _FILE_MODE = 0o755, 0o644


@dataclass(frozen=True, kw_only=True)
class Published:
    """What lies in `data`. `sha256` is as in `contents.Total`."""

    listing: str
    sha256: str
    bytes: int
    files: int


def published(volume: Path) -> Published | None:
    """What is published on a volume; None where nothing is.

    What a killed puller had begun to publish is finished first: call it before anything is written to the volume.
    """
    begun = _read(volume / _BEGUN)
    if begun is not None:
        record, staged = begun
        if (volume / staged).is_dir() and not (volume / DATA).exists():
            os.rename(volume / staged, volume / DATA)
            _flush_folder(volume)
        if not (volume / staged).exists() and (volume / DATA).is_dir():
            _declare(volume)
            return record
    read = _read(volume / RECORD)
    return read[0] if read is not None and (volume / DATA).is_dir() else None


def publish(volume: Path, staged: Path, *, listing: str, contents: Contents) -> Published:
    """Publishes the folder `staged`, which lies on the volume and holds the files of `contents` and no others.

    It flushes the volume, makes files readable for everybody, and renames the folder to `data`; other content that was
    published before is removed. Where this listing is published already, that stays and `staged` is removed. Raises
    Trouble: "empty" where there are no files, "broken" where the folder's files are not those of `contents`.
    """
    present = published(volume)
    if present is not None and present.listing == listing:
        clear(staged)
        return present
    total = contents.total()
    if not total.files:
        raise Trouble(
            "empty", "There is no file in what was pulled: check the source's address and its filters."
        )
    _check(staged, files=total.files, size=total.bytes, expected=total.mark)
    _flush(volume)
    _withdraw(volume)
    record = Published(listing=listing, sha256=total.sha256, bytes=total.bytes, files=total.files)
    _write(volume / _BEGUN, {**asdict(record), "staged": staged.relative_to(volume).as_posix()})
    os.rename(staged, volume / DATA)
    _flush_folder(volume)
    if staged.parent != volume:
        _flush_folder(staged.parent)
    _declare(volume)
    return record


def no_room(why: str) -> Trouble:
    """Of the volume that a dataset is kept on."""
    return Trouble(
        "full",
        f"The dataset's volume has no room for it ({why}): give the Dataset a larger one with spec.cache.size, or raise"
        " the quota of its storage.",
    )


def _withdraw(volume: Path) -> None:
    """NB: the record goes first, so that nobody takes what is being removed for published."""
    (volume / _BEGUN).unlink(missing_ok=True)
    (volume / RECORD).unlink(missing_ok=True)
    clear(volume / _FORMER)
    if (volume / DATA).exists():
        _flush_folder(volume)
        os.rename(volume / DATA, volume / _FORMER)
        clear(volume / _FORMER)
    _flush_folder(volume)


def _declare(volume: Path) -> None:
    """NB: a rename, as what has begun must not be told any more once it is declared."""
    os.rename(volume / _BEGUN, volume / RECORD)
    _flush_folder(volume)


def _check(staged: Path, *, files: int, size: int, expected: int) -> None:
    """Makes files and folders readable for everybody. Raises Trouble where they are not the expected ones."""
    found = total = marks = 0
    for path, status in _walk(staged, ""):
        found, total = found + 1, total + status.st_size
        marks = (marks + mark(path, status.st_size)) % (1 << 256)
    if (found, total, marks) != (files, size, expected):
        raise Trouble(
            "broken",
            f"What was pulled has {files} files of {size} bytes, but {found} files of {total} bytes are on the volume:"
            " either something else writes there, or its file system takes different names for one.",
        )


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """The files below a folder; anything but files and folders is refused."""
    _open(folder, folder.stat(), _FOLDER_MODE)
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{prefix}{entry.name}"
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(Path(entry.path), f"{path}/")
            elif stat.S_ISREG(status.st_mode):
                _open(Path(entry.path), status, _FILE_MODE)
                yield path, status
            else:
                raise Trouble(
                    "hostile", f"{safenames.shown(path)} is no regular file, and nothing else is published."
                )


def _open(path: Path, status: os.stat_result, mode: int) -> None:
    if stat.S_IMODE(status.st_mode) != mode:
        # NB: some file systems have one mode for all files.
        with contextlib.suppress(PermissionError, NotImplementedError):
            os.chmod(path, mode)


def _read(path: Path) -> tuple[Published, str] | None:
    """A record, and the folder that it is about; None where there is none, or one that no crash of ours leaves."""
    try:
        said = json.loads(path.read_bytes())
        record = Published(
            listing=str(said["listing"]),
            sha256=str(said["sha256"]),
            bytes=int(said["bytes"]),
            files=int(said["files"]),
        )
        return record, safenames.checked(said.get("staged", DATA))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, Trouble):
        return None


def _write(path: Path, value: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.part")
    with temporary.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, _FILE_MODE)
    os.rename(temporary, path)
    _flush_folder(path.parent)


def _flush(volume: Path) -> None:
    """Has the whole volume written: one call, where a flush of each of 100,000 small files would take minutes."""
    descriptor = os.open(volume, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(volume))
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # NB: some file systems cannot flush a folder, and have it written already.
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
