"""A folder of a claim, which is mounted as a whole.

Separate because on a volume files are copied, flushed and renamed. Made by `folders`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from trainyard_publisher.order import Order, folder_of
from trainyard_publisher.problems import Failed, Refused
from trainyard_publisher.version import File, wrong

_CHUNK = 1 << 20
_FOLDER_MODE, _FILE_MODE = 0o775, 0o664
_PART = ".trainyard-part"


class Claim:
    """The folder of a `pvc://` target. Its tags are SHA-256 digests."""

    def __init__(self, order: Order) -> None:
        self._name = order.uri
        if not order.claim.is_dir():
            raise Refused(
                f"The claim of {order.uri} is not mounted at {order.claim}: add it to the job's template, or let an "
                "MLModel publish."
            )
        self._top = order.claim.resolve()
        self._folder = self._top / folder_of(order.place)

    def read(self, name: str) -> bytes | None:
        try:
            with self._opened(name) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        with self._whole(name) as file:
            file.write(data)

    def tag(self, name: str) -> str | None:
        digest = hashlib.sha256()
        try:
            with self._opened(name) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except FileNotFoundError:
            return None
        return digest.hexdigest()

    def put(self, file: File) -> str:
        digest = hashlib.sha256()
        with file.path.open("rb") as source, self._whole(file.name) as target:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
            if digest.hexdigest() != file.sha256:
                raise Refused(wrong(file, digest.hexdigest()))
        return digest.hexdigest()

    def remove(self, name: str) -> None:
        path = self._folder / name
        with self._told():
            # NB: a killed run may have left half of it.
            for one in (path, path.with_name(f"{path.name}{_PART}")):
                with contextlib.suppress(FileNotFoundError):
                    one.unlink()
        for folder in (*path.parents,):
            # NB: folders that are empty now were made for our files; the first that is not ends it.
            if folder == self._top:
                break
            with contextlib.suppress(FileNotFoundError):
                try:
                    folder.rmdir()
                except OSError:
                    break

    @contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        with self._told(), (self._folder / name).open("rb") as file:
            yield file

    @contextmanager
    def _whole(self, name: str) -> Iterator[IO[bytes]]:
        """A file that appears with all that is written, or not at all."""
        path = self._folder / name
        part = path.with_name(f"{path.name}{_PART}")
        with self._told():
            self._make(path.parent)
            try:
                with part.open("wb") as file:
                    os.chmod(file.fileno(), _FILE_MODE)
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                part.rename(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            _flush(path.parent)

    def _make(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
        # NB: a link in the claim may lead anywhere.
        if not folder.resolve().is_relative_to(self._top):
            raise Refused(f"{self._name}: a link there leads out of the claim.")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Failed(f"{self._name} is full: make room in the claim, or give another one.") from error
            if isinstance(error, PermissionError):
                raise Failed(
                    f"{self._name} may not be written to by user {os.getuid()}: set fsGroup, or the folder's mode."
                ) from error
            if isinstance(error, NotADirectoryError | IsADirectoryError | FileExistsError):
                raise Refused(
                    f"{self._name}: {error.filename} is a file where a folder is needed, or the reverse."
                ) from error
            raise


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # NB: some file systems cannot flush a folder, and have it written already.
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
