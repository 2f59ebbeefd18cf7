"""The files of one job in its output, read in parts and never left: for people, who may ask for any path.

Separate from `stores`, which the agent's own work needs: this only reads, and trusts neither a path nor a link. Called
by `sharing`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from trainyard_agent import credentials
from trainyard_agent.order import Order, Place
from trainyard_agent.troubles import Trouble


class Files(Protocol):
    """A job's folder. Paths are relative to it and have no `..`; methods raise what the backend raises."""

    def size(self, path: str) -> int:
        """Of a file. FileNotFoundError where there is none, or what is there is no plain file."""

    def read(self, path: str, start: int, end: int) -> bytes:
        """A part of a file; less where it ends before."""

    def names(self, path: str) -> list[str]:
        """What lies in a folder; empty where there is none."""


class VolumeFiles:
    """In a mounted volume.

    NB: links count as long as they stay inside, as in `trees`; a trainer could make one that leads to another job.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def size(self, path: str) -> int:
        with self._opened(path) as descriptor:
            return os.fstat(descriptor).st_size

    def read(self, path: str, start: int, end: int) -> bytes:
        with self._opened(path) as descriptor:
            return os.pread(descriptor, end - start, start)

    def names(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(self._root / path))
        except (FileNotFoundError, NotADirectoryError):
            return []

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        top = self._root.resolve()
        real = (top / path).resolve()
        if not real.is_relative_to(top) or real == top:
            raise FileNotFoundError(errno.ENOENT, "a link that leaves the job's folder", path)
        descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # NB: without following any link, lest one has been made since.
            *folders, name = real.relative_to(top).parts
            for part, flags in (*((folder, os.O_DIRECTORY) for folder in folders), (name, os.O_NONBLOCK)):
                below = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileNotFoundError(errno.ENOENT, "no plain file", path)
            yield descriptor
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise FileNotFoundError(errno.ENOENT, "no plain file", path) from None
            raise
        finally:
            os.close(descriptor)


class BucketFiles:
    """In an object store."""

    def __init__(self, place: Place, secret: Path, uid: str) -> None:
        from fsspec.core import url_to_fs

        self._files, root = url_to_fs(
            place.uri,
            use_listings_cache=False,
            skip_instance_cache=True,
            **credentials.options(place, secret),
        )
        self._root = f"{root.rstrip('/')}/{uid}"

    def size(self, path: str) -> int:
        found = self._files.info(f"{self._root}/{path}")
        if found.get("type") != "file":
            raise FileNotFoundError(errno.ENOENT, "no object", path)
        return int(found["size"])

    def read(self, path: str, start: int, end: int) -> bytes:
        data: bytes = self._files.cat_file(f"{self._root}/{path}", start=start, end=end)
        return data

    def names(self, path: str) -> list[str]:
        folder = f"{self._root}/{path}".rstrip("/")
        try:
            found = self._files.ls(folder, detail=False)
        except FileNotFoundError:
            return []
        return sorted({str(one).rstrip("/").rpartition("/")[2] for one in found})


def files_of(order: Order) -> Files:
    """The folder of the order's job in its output."""
    if order.output is None:
        raise Trouble("broken", f"TrainingJob {order.job} has no output: there is nothing to share.")
    if order.output.path is not None:
        return VolumeFiles(order.output.path / order.uid)
    return BucketFiles(order.output, order.secrets / "output", order.uid)


def is_plain(path: str) -> bool:
    """Whether it names something below a folder, and nothing else."""
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))
