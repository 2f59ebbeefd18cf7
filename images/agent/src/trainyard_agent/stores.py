"""What the agent asks of a store, whether it is a mounted volume or a bucket: small files, whole and in few words.

Separate because the fence, the index and the result are the same in both. Implemented by `volume` and `bucket`; what
only a bucket does (sending and fetching files) is in no interface.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol


class Store(Protocol):
    """Paths are relative and separated by slashes. Methods raise what the backend raises (see `troubles`)."""

    @property
    def name(self) -> str:
        """What users call it: `pvc://claim` or `s3://bucket/prefix`."""

    def read(self, path: str) -> bytes | None:
        """A small file; None where there is none."""

    def write(self, path: str, data: bytes) -> None:
        """Puts a small file in place of one that is there: a reader sees the one or the other, whole."""

    def create(self, path: str, data: bytes) -> bool:
        """Writes a small file that is not there yet; False where it is. Of many at once, one wins."""

    def names(self, path: str) -> list[str]:
        """What lies in a folder; empty where there is none."""

    def sizes(self, path: str) -> dict[str, int]:
        """All files below a folder by their path in it, and how large each is."""


@dataclass(frozen=True, kw_only=True)
class Routed:
    """A job's own store and its parent's as one: folders of the jobs `uids` are the parent's, and only read.

    `own` is None for a job without an output, which keeps nothing.
    """

    own: Store | None
    parent: Store
    uids: Collection[str]

    @property
    def name(self) -> str:
        return (self.own or self.parent).name

    def home(self, path: str) -> Store | None:
        """Where a path, which begins with a UID, really lies."""
        return self.parent if path.partition("/")[0] in self.uids else self.own

    def read(self, path: str) -> bytes | None:
        store = self.home(path)
        return store.read(path) if store is not None else None

    def names(self, path: str) -> list[str]:
        store = self.home(path)
        return store.names(path) if store is not None else []

    def sizes(self, path: str) -> dict[str, int]:
        store = self.home(path)
        return store.sizes(path) if store is not None else {}

    def write(self, path: str, data: bytes) -> None:
        self._writable(path).write(path, data)

    def create(self, path: str, data: bytes) -> bool:
        return self._writable(path).create(path, data)

    def _writable(self, path: str) -> Store:
        if self.own is None or self.home(path) is not self.own:
            raise PermissionError(f"{path} is not in this job's own output")
        return self.own


def home(store: Store, uid: str) -> Store | None:
    """The store that holds the folder of a job."""
    return store.home(uid) if isinstance(store, Routed) else store


def read_json(store: Store, path: str) -> dict[str, Any] | None:
    """A small JSON object; None where there is no file, or one that holds something else."""
    data = store.read(path)
    if data is None:
        return None
    try:
        value = json.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def dumped(value: Any) -> bytes:
    """JSON as it is written to stores: for people, too."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
