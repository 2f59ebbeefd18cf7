"""What the watches and our own writes have shown last.

Separate because every read of a reconcile is from here: the API server is asked for nothing that a watch tells.
Our own writes are stored as their answers come, so that no decision rests on an object older than what we wrote;
a watch event that is older than what is stored is ignored.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from trainyard.planning.podview import PodView, job_of_pod

Json = dict[str, Any]

TRAINING_JOB = "TrainingJob"
DATASET = "Dataset"
EXPERIMENT = "Experiment"
MODEL = "MLModel"
POD = "Pod"

_TOMBSTONES_KEPT = 10_000


class Key(NamedTuple):
    """One object."""

    kind: str
    namespace: str
    name: str


_Index = TypeVar("_Index")


@dataclass(frozen=True, slots=True)
class _CachedPod:
    version: int
    view: PodView


class Cache:
    """Objects by key; pods by their job as well. Not thread-safe: for one event loop."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything, also what is known to be gone."""
        self._objects: dict[Key, Json] = {}
        self._pods: dict[Key, _CachedPod] = {}
        self._pods_of: dict[str, dict[Key, None]] = {}
        self._pods_named: dict[Key, dict[Key, None]] = {}
        self._gone: OrderedDict[str, int] = OrderedDict()

    def store(self, kind: str, raw: Json) -> bool:
        """Keep `raw` unless something at least as new is kept, or it is known to be gone; True if it was news."""
        metadata = raw["metadata"]
        key, version = Key(kind, metadata["namespace"], metadata["name"]), version_of(metadata)
        uid = metadata.get("uid", "")
        if uid in self._gone:
            if version <= self._gone[uid]:
                return False
            # NB: a selector's watch says DELETED of an object that only lost its label; here it has it again.
            del self._gone[uid]
        if kind == POD:
            return self._store_pod(key, raw, version)
        known = self._objects.get(key)
        if known is not None and version_of(known["metadata"]) >= version:
            return False
        metadata.pop("managedFields", None)
        self._objects[key] = raw
        return True

    def restore(self, kind: str, raw: Json) -> None:
        """Keep what a GET has just shown, though a watch may have said that it is gone (from its selection)."""
        self._gone.pop(raw["metadata"].get("uid", ""), None)
        self.store(kind, raw)

    def remove(self, kind: str, *, namespace: str, name: str, uid: str, version: int | None = None) -> None:
        """Forget an object that is gone; one of the same name and another UID stays.

        `version` is the resourceVersion that it went with, where that is known. Without it, as after a 404, what is
        shown again from the known version on is taken back: the 404 may have been a slip.
        """
        key = Key(kind, namespace, name)
        known_version = self.version(key) if self.uid(key) == uid else None
        if version is None and known_version is not None:
            version = known_version - 1
        if version is not None:
            self._gone[uid] = max(version, self._gone.get(uid, 0))
        while len(self._gone) > _TOMBSTONES_KEPT:
            self._gone.popitem(last=False)
        if kind == POD:
            known = self._pods.get(key)
            if known is not None and known.view.uid == uid:
                self._drop_pod(key, known)
        elif self._objects.get(key, {}).get("metadata", {}).get("uid") == uid:
            del self._objects[key]

    def get(self, key: Key) -> Json | None:
        """The raw object; not for pods."""
        return self._objects.get(key)

    def pod(self, namespace: str, name: str) -> PodView | None:
        """A pod of ours by name, whosever it is."""
        known = self._pods.get(Key(POD, namespace, name))
        return known.view if known is not None else None

    def pods_of(self, job_uid: str) -> tuple[PodView, ...]:
        """All pods that the job of this UID has made."""
        return tuple(self._pods[key].view for key in self._pods_of.get(job_uid, ()))

    def pods_named_for(self, job: Key) -> tuple[PodView, ...]:
        """All pods that name this job, also those of earlier jobs of its name and copies that somebody made."""
        return tuple(self._pods[key].view for key in self._pods_named.get(job, ()))

    def jobs_of_pods(self) -> list[Key]:
        """The jobs that pods name, whether there are such jobs or not."""
        return list(self._pods_named)

    def keys(self, kind: str) -> list[Key]:
        """Keys of all objects of a kind."""
        return [key for key in (self._pods if kind == POD else self._objects) if key.kind == kind]

    def objects(self, kind: str) -> Iterator[Json]:
        """All raw objects of a kind; not for pods."""
        return (raw for key, raw in self._objects.items() if key.kind == kind)

    def uid(self, key: Key) -> str | None:
        """The UID of what is kept under a key."""
        if key.kind == POD:
            known = self._pods.get(key)
            return known.view.uid if known is not None else None
        raw = self._objects.get(key)
        return raw["metadata"].get("uid") if raw is not None else None

    def version(self, key: Key) -> int | None:
        """The resourceVersion of what is kept under a key."""
        if key.kind == POD:
            known = self._pods.get(key)
            return known.version if known is not None else None
        raw = self._objects.get(key)
        return version_of(raw["metadata"]) if raw is not None else None

    def _store_pod(self, key: Key, raw: Json, version: int) -> bool:
        known = self._pods.get(key)
        if known is not None:
            if known.version >= version:
                return False
            self._drop_pod(key, known)
        view = PodView.from_raw(raw)
        self._pods[key] = _CachedPod(version, view)
        if view.job_uid:
            self._pods_of.setdefault(view.job_uid, {})[key] = None
        if view.job:
            self._pods_named.setdefault(Key(TRAINING_JOB, key.namespace, view.job), {})[key] = None
        return True

    def _drop_pod(self, key: Key, known: _CachedPod) -> None:
        del self._pods[key]
        _discard(self._pods_of, known.view.job_uid, key)
        _discard(self._pods_named, Key(TRAINING_JOB, key.namespace, known.view.job), key)


def _discard(index: dict[_Index, dict[Key, None]], at: _Index, key: Key) -> None:
    siblings = index.get(at)
    if siblings is not None:
        siblings.pop(key, None)
        if not siblings:
            del index[at]


def job_key_of_pod(raw: Json) -> Key | None:
    """The key of the job that a pod belongs to, or says so."""
    metadata = raw.get("metadata") or {}
    job = job_of_pod(metadata)
    return Key(TRAINING_JOB, metadata.get("namespace", ""), job) if job else None


def version_of(metadata: Json) -> int:
    """The resourceVersion as a number."""
    # NB: comparable as integers for built-in and custom resources (KEP-5504); others would be a bug of the server.
    try:
        return int(metadata.get("resourceVersion") or 0)
    except ValueError:
        return 0
