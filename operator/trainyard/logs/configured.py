"""The log store that the settings name.

Separate because a folder and an object store are read and swept alike, and the operator and `trainyard stored-log` must
mean the same one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainyard.logs.bucket import Bucket
from trainyard.logs.names import JobName, LogName
from trainyard.logs.splice import Line
from trainyard.logs.store import LogStore
from trainyard.settings import Logs


@dataclass(frozen=True, kw_only=True)
class KeptLogs:
    """The folder that logs are written to, and where they go from there, if anywhere."""

    folder: LogStore
    bucket: Bucket | None

    def lines(self, *, namespace: str, uid: str, attempt: int, rank: int) -> Iterator[Line] | None:
        """The lines of a stored log, None where there is none. Blocking. Raises ValueError for names that are none."""
        name = LogName(job=JobName(namespace=namespace, uid=uid), attempt=attempt, rank=rank)
        file = self.folder.of(name)
        if file.path.exists():
            return file.lines()
        if self.bucket is None or not self.bucket.parts(name):
            return None
        return self.bucket.lines(name)


def kept_logs(settings: Logs) -> KeptLogs:
    """Raises SettingsError for a store that cannot be used."""
    room = settings.max_size or None
    if settings.store.startswith("file:"):
        return KeptLogs(folder=LogStore(settings.store, room=room), bucket=None)
    return KeptLogs(
        folder=LogStore(Path(settings.spool).as_uri(), room=room, setting="logs.spool"),
        bucket=Bucket(settings.store, settings.store_options),
    )
