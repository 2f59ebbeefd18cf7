"""Logs as objects under an fsspec URL (`s3://bucket/prefix`): `<namespace>/<uid>/<attempt>-<rank>/<start>.log`.

Separate because objects cannot be appended: a log is a row of parts, each called after the byte it begins at.
Everything here blocks, and is called in threads: by the archive, by the sweep, and by `trainyard stored-log`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from trainyard.logs import names
from trainyard.logs.names import JobName, LogName
from trainyard.logs.retention import StoredJob
from trainyard.logs.splice import Line, LineSplitter, split
from trainyard.settings import SettingsError

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
_DELETED_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, order=True)
class Part:
    """One object of a log."""

    start: int
    size: int

    @property
    def end(self) -> int:
        return self.start + self.size


class Bucket:
    """All stored logs below one URL. Raises SettingsError for one that cannot be used.

    Methods raise whatever the backend does: OSError, or exceptions of its own.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        parts = urlsplit(url)
        if not parts.scheme or "::" in url or parts.query or parts.fragment or ".." in parts.path.split("/"):
            raise SettingsError(
                f"logs.store is {url}, but it must be file:// and a path, or like s3://bucket/prefix."
            )
        if "@" in parts.netloc and parts.scheme not in ("abfs", "abfss"):
            raise SettingsError(
                "logs.store holds credentials, and every job's status would show them: give them by "
                "environment variables (logs.secretRef of the chart)."
            )
        try:
            from fsspec.core import url_to_fs

            self._fs, root = url_to_fs(url, skip_instance_cache=True, **options)
        except ImportError as error:
            raise SettingsError(
                f"logs.store is {url}, which needs a Python package that is not installed: {error}."
            ) from error
        except Exception as error:
            raise SettingsError(f"logs.store is {url}, which cannot be used: {error}") from error
        self._root = root.rstrip("/")
        if not self._root and parts.scheme != "memory":
            raise SettingsError(f"logs.store is {url}, which names no bucket.")

    def parts(self, name: LogName) -> list[Part]:
        """What is stored of a log, in order."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self._path(name.path), detail=True)
        except FileNotFoundError:
            return []
        parts = []
        for info in found:
            start = names.part_start(info["name"].rpartition("/")[2])
            if start is not None and info.get("type") == "file":
                parts.append(Part(start=start, size=int(info["size"])))
        return sorted(parts)

    def put(self, name: LogName, start: int, data: bytes) -> None:
        """Stores a part, in place of one that begins at the same byte."""
        self._fs.pipe_file(self._path(name.part(start)), data)

    def read(self, name: LogName, part: Part, *, last: int | None = None) -> bytes:
        """A part's bytes, or its last ones."""
        start = max(0, part.size - last) if last is not None else None
        data = self._fs.cat_file(self._path(name.part(part.start)), start=start, end=part.size)
        return bytes(data)

    def lines(self, name: LogName) -> Iterator[Line]:
        """The lines of a stored log, in order."""
        splitter = LineSplitter()
        for part in self.parts(name):
            for raw in splitter.feed(self.read(name, part)):
                if (line := split(raw)) is not None:
                    yield line

    def stored_jobs(self) -> Iterator[StoredJob]:
        """The jobs that have logs here: one request a job, so that no listing of the whole is ever held."""
        for namespace in self._folders(self._root):
            for uid in self._folders(f"{self._root}/{namespace}"):
                if (job := names.of_job(namespace, uid)) is not None and (found := self._stored(job)):
                    yield found

    def remove(self, job: StoredJob) -> None:
        """Removes these objects of a job."""
        paths = [self._path(path) for path in job.paths]
        for start in range(0, len(paths), _DELETED_AT_ONCE):
            self._fs.rm(paths[start : start + _DELETED_AT_ONCE])
        self._fs.invalidate_cache()

    def _stored(self, job: JobName) -> StoredJob | None:
        self._fs.invalidate_cache()
        folder = self._path(job.folder)
        paths, times, size = [], [], 0
        for path, info in self._fs.find(folder, detail=True).items():
            log, _, part = path.rpartition("/")
            name = names.of_log(job, log.rpartition("/")[2])
            start = names.part_start(part)
            if name is None or start is None or not path.endswith(f"/{name.part(start)}"):
                continue
            paths.append(name.part(start))
            times.append(_modified(info) or self._fs.modified(path).timestamp())
            size += int(info["size"])
        if not paths:
            return None
        return StoredJob(name=job, newest=max(times), size=size, paths=tuple(paths))

    def _folders(self, path: str) -> list[str]:
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
        return [
            info["name"].rstrip("/").rpartition("/")[2] for info in found if info.get("type") == "directory"
        ]

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}"


def _modified(info: Mapping[str, Any]) -> float | None:
    """Backends name it and write it each in their own way."""
    value = next((info[key] for key in _TIMES if info.get(key)), None)
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, str):
        return datetime.fromisoformat(value).timestamp()
    return float(value) if isinstance(value, int | float) else None
