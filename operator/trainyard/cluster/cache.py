"""What the watches and our own writes have shown last.

Separate because every read of a reconcile is from here: the API server is asked for nothing that a watch tells.
Our own writes are stored as their answers come, so that no decision rests on an object older than what we wrote;
a watch event that is older than what is stored is ignored. How much memory the operator takes is decided here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, NamedTuple

from trainyard.api import names
from trainyard.cluster.groups import Groups
from trainyard.cluster.packed import Packed
from trainyard.planning.podview import PodView, dataset_of_pod, experiment_of_pod, job_of_pod, model_of_pod

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
        self._objects: dict[Key, Packed] = {}
        self._uids: set[str] = set()
        self._pods: dict[Key, _CachedPod] = {}
        self._pods_of: Groups[str, Key] = Groups()
        self._pods_named: Groups[Key, Key] = Groups()
        self._jobs_of: Groups[Key, Key] = Groups()
        self._experiment_of: dict[Key, Key] = {}
        self._tasks_of: Groups[Key, Key] = Groups()
        self._model_of: dict[Key, Key] = {}
        self._children_of: Groups[Key, Key] = Groups()
        self._parent_of: dict[Key, Key] = {}
        self._gone: OrderedDict[str, int] = OrderedDict()

    def store(self, kind: str, raw: Json) -> bool:
        """Keep `raw` unless something at least as new is kept, or it is known to be gone; True if it was news.

        NB: it is the cache's then, which takes off what nobody reads.
        """
        metadata = raw["metadata"]
        key, version = Key(kind, intern(metadata["namespace"]), metadata["name"]), version_of(metadata)
        uid = metadata.get("uid", "")
        if uid in self._gone:
            if version <= self._gone[uid]:
                return False
            # NB: a selector's watch says DELETED of an object that only lost its label; here it has it again.
            del self._gone[uid]
        if kind == POD:
            return self._store_pod(key, raw, version)
        known = self._objects.get(key)
        if known is not None:
            if known.version >= version:
                return False
            self._uids.discard(known.uid)
        if kind == TRAINING_JOB:
            self._group_by_experiment(key, experiment_of_job(raw))
            self._group_by_parent(key, parent_of_job(raw))
        if kind in (TRAINING_JOB, EXPERIMENT):
            self._group_by_model(key, model_of(raw))
        packed = Packed(raw, version=version)
        self._objects[key] = packed
        self._uids.add(packed.uid)
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
            return
        packed = self._objects.get(key)
        if packed is not None and packed.uid == uid:
            del self._objects[key]
            self._uids.discard(uid)
            self._group_by_experiment(key, None)
            self._group_by_parent(key, None)
            self._group_by_model(key, None)

    def get(self, key: Key) -> Json | None:
        """The raw object, made anew each time; not for pods."""
        packed = self._objects.get(key)
        return packed.raw() if packed is not None else None

    def pod(self, namespace: str, name: str) -> PodView | None:
        """A pod of ours by name, whosever it is."""
        known = self._pods.get(Key(POD, namespace, name))
        return known.view if known is not None else None

    def pods_of(self, job_uid: str) -> tuple[PodView, ...]:
        """All pods that the job, Dataset, Experiment or MLModel of this UID has made."""
        return tuple(self._pods[key].view for key in self._pods_of.of(job_uid))

    def pods_named_for(self, job: Key) -> tuple[PodView, ...]:
        """All pods that name this job, also those of earlier jobs of its name and copies that somebody made."""
        return tuple(self._pods[key].view for key in self._pods_named.of(job))

    def jobs_of(self, experiment: Key) -> tuple[Key, ...]:
        """All TrainingJobs that name this Experiment, whether there is one or not."""
        return tuple(self._jobs_of.of(experiment))

    def experiment_of(self, job: Key) -> Key | None:
        """The Experiment that a kept TrainingJob names."""
        return self._experiment_of.get(job)

    def children_of(self, job: Key) -> tuple[Key, ...]:
        """All TrainingJobs that name this one as their parent, whether there is one or not."""
        return tuple(self._children_of.of(job))

    def tasks_of(self, model: Key) -> tuple[Key, ...]:
        """All TrainingJobs and Experiments that name this MLModel or were made by one of its name."""
        return tuple(self._tasks_of.of(model))

    def model_of(self, task: Key) -> Key | None:
        """The MLModel that a kept TrainingJob or Experiment works for."""
        return self._model_of.get(task)

    def jobs_of_pods(self) -> list[Key]:
        """The jobs that pods name, whether there are such jobs or not."""
        return self._pods_named.owners()

    def keys(self, kind: str) -> list[Key]:
        """Keys of all objects of a kind."""
        return [key for key in (self._pods if kind == POD else self._objects) if key.kind == kind]

    def objects(self, kind: str) -> Iterator[Packed]:
        """All objects of a kind, of which the raw form costs something; not for pods."""
        return (packed for key, packed in self._objects.items() if key.kind == kind)

    def lives(self, uid: str) -> bool:
        """Whether an object of this UID is kept; not for pods."""
        return uid in self._uids

    def finished(self, key: Key) -> bool:
        """Whether an object is kept under a key whose life is over; not for pods."""
        packed = self._objects.get(key)
        return packed is not None and packed.finished

    def uid(self, key: Key) -> str | None:
        """The UID of what is kept under a key."""
        if key.kind == POD:
            known = self._pods.get(key)
            return known.view.uid if known is not None else None
        packed = self._objects.get(key)
        return packed.uid if packed is not None else None

    def version(self, key: Key) -> int | None:
        """The resourceVersion of what is kept under a key."""
        if key.kind == POD:
            known = self._pods.get(key)
            return known.version if known is not None else None
        packed = self._objects.get(key)
        return packed.version if packed is not None else None

    def _group_by_experiment(self, job: Key, experiment: Key | None) -> None:
        former = self._experiment_of.get(job)
        if former == experiment:
            return
        if former is not None:
            self._jobs_of.discard(former, job)
            del self._experiment_of[job]
        if experiment is not None:
            self._jobs_of.add(experiment, job)
            self._experiment_of[job] = experiment

    def _group_by_parent(self, job: Key, parent: Key | None) -> None:
        former = self._parent_of.get(job)
        if former == parent:
            return
        if former is not None:
            self._children_of.discard(former, job)
            del self._parent_of[job]
        if parent is not None:
            self._children_of.add(parent, job)
            self._parent_of[job] = parent

    def _group_by_model(self, task: Key, model: Key | None) -> None:
        former = self._model_of.get(task)
        if former == model:
            return
        if former is not None:
            self._tasks_of.discard(former, task)
            del self._model_of[task]
        if model is not None:
            self._tasks_of.add(model, task)
            self._model_of[task] = model

    def _store_pod(self, key: Key, raw: Json, version: int) -> bool:
        known = self._pods.get(key)
        if known is not None:
            if known.version >= version:
                return False
            self._drop_pod(key, known)
        view = PodView.from_raw(raw)
        self._pods[key] = _CachedPod(version, view)
        if view.job_uid:
            self._pods_of.add(view.job_uid, key)
        if view.job:
            self._pods_named.add(Key(TRAINING_JOB, key.namespace, view.job), key)
        return True

    def _drop_pod(self, key: Key, known: _CachedPod) -> None:
        del self._pods[key]
        self._pods_of.discard(known.view.job_uid, key)
        self._pods_named.discard(Key(TRAINING_JOB, key.namespace, known.view.job), key)


def experiment_of_job(raw: Mapping[str, Any]) -> Key | None:
    """The key of the Experiment that a TrainingJob names."""
    named = (raw.get("spec") or {}).get("experiment")
    return Key(EXPERIMENT, intern(raw["metadata"]["namespace"]), str(named)) if named else None


def parent_of_job(raw: Mapping[str, Any]) -> Key | None:
    """The key of the TrainingJob that another one names as its parent."""
    named = (raw.get("spec") or {}).get("parentJob")
    return Key(TRAINING_JOB, intern(raw["metadata"]["namespace"]), str(named)) if named else None


def model_of(raw: Mapping[str, Any]) -> Key | None:
    """The key of the MLModel that a TrainingJob or an Experiment names, or that has made it."""
    metadata = raw["metadata"]
    labels = metadata.get("labels") or {}
    named = (raw.get("spec") or {}).get("model") or labels.get(names.LABEL_MODEL)
    return Key(MODEL, intern(metadata["namespace"]), str(named)) if named else None


def owner_key_of_pod(raw: Json) -> Key | None:
    """The key of the job that a pod belongs to, or says so, or of its Dataset, Experiment or MLModel."""
    metadata = raw.get("metadata") or {}
    namespace = metadata.get("namespace", "")
    if dataset := dataset_of_pod(metadata):
        return Key(DATASET, namespace, dataset)
    if experiment := experiment_of_pod(metadata):
        return Key(EXPERIMENT, namespace, experiment)
    if model := model_of_pod(metadata):
        return Key(MODEL, namespace, model)
    job = job_of_pod(metadata)
    return Key(TRAINING_JOB, namespace, job) if job else None


def version_of(metadata: Mapping[str, Any]) -> int:
    """The resourceVersion as a number."""
    # NB: comparable as integers for built-in and custom resources (KEP-5504); others would be a bug of the server.
    try:
        return int(metadata.get("resourceVersion") or 0)
    except ValueError:
        return 0
