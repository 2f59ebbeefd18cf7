"""A folder of a mounted volume as a store.

Separate because a file system needs links and fsync for what a bucket gives by itself. Made by `__main__`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Volume:
    """The folder `root`, which users call `name`."""

    root: Path
    name: str

    def path(self, path: str) -> Path:
        """The file or folder itself."""
        return self.root / path

    def read(self, path: str) -> bytes | None:
        try:
            return self.path(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, path: str, data: bytes) -> None:
        with self._written(path, data) as temporary:
            temporary.replace(self.path(path))

    def create(self, path: str, data: bytes) -> bool:
        # NB: a link, not an exclusive open: whoever sees the name sees the whole file.
        with self._written(path, data) as temporary:
            try:
                os.link(temporary, self.path(path))
            except FileExistsError:
                return False
            except OSError:
                return self._created_without_links(path, data)
        return True

    def names(self, path: str) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.path(path)) if not name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def sizes(self, path: str) -> dict[str, int]:
        top = self.path(path)
        found = {}
        for folder, _, files in os.walk(top):
            for file in files:
                with contextlib.suppress(FileNotFoundError):
                    found[(Path(folder) / file).relative_to(top).as_posix()] = (
                        (Path(folder) / file).stat().st_size
                    )
        return found

    @contextlib.contextmanager
    def _written(self, path: str, data: bytes) -> Iterator[Path]:
        final = self.path(path)
        open_folder(final.parent)
        temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(final.parent)

    def _created_without_links(self, path: str, data: bytes) -> bool:
        """For file systems that know no links (some FUSE drivers)."""
        try:
            with self.path(path).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            return False
        return True


def open_folder(folder: Path) -> None:
    """Makes a folder, and those above it that are not there, in which every user may write.

    NB: the trainer's image may run as another user than the agent's, and both write there.
    """
    if folder.is_dir():
        return
    open_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o777)


def clear(path: Path) -> None:
    """Removes a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
