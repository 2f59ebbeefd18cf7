"""Experiments as their jobs see them: each version of one is read once, however many jobs it has.

Separate from `reconcile.experiment`, which brings an Experiment on: this only looks. Called by `reconcile.trainingjob`
for a job that names one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainyard.api import names
from trainyard.cluster.cache import TRAINING_JOB, Cache, Key, experiment_of_job
from trainyard.planning import experimentview
from trainyard.planning.experimentobserved import ChildView, LeftBehind
from trainyard.planning.experimentview import ExperimentView, Membership
from trainyard.planning.runtime import Runtime
from trainyard.reconcile.versioned import Versioned

Json = Mapping[str, Any]

_NONE = Membership()


class ExperimentViews:
    """Views of the Experiments that jobs have asked for last."""

    def __init__(self, *, cache: Cache, catalog: Sequence[Runtime]) -> None:
        self._cache = cache
        self._views = Versioned(cache=cache, read=lambda raw: experimentview.view(raw, catalog))

    def of(self, raw: Json) -> tuple[ExperimentView | None, Membership]:
        """The Experiment that a job names, where it is there, and what the job's metadata says of it."""
        key = experiment_of_job(raw)
        if key is None:
            return None, _NONE
        found = experimentview.membership(raw["metadata"])
        gone = bool(found.owner) and not self._cache.lives(found.owner)
        return self._views.view(key), replace(found, goes=True) if gone else found


def left_behind(cache: Cache, key: Key, uid: str, jobs: Iterable[ChildView]) -> Iterator[LeftBehind]:
    """Of the jobs that name the Experiment of this key and UID those that another one has made."""
    for job in jobs:
        if job.owner == uid or job.made_for in ("", uid):
            continue
        raw = cache.get(Key(TRAINING_JOB, key.namespace, job.name))
        if raw is None or raw["metadata"]["uid"] != job.uid:
            continue
        metadata = raw["metadata"]
        found = experimentview.membership(metadata)
        goes = bool(found.owner) and not cache.lives(found.owner)
        yield LeftBehind(
            job=job,
            goes=goes,
            # NB: not of one that there is: somebody has copied its jobs.
            abandoned=not goes and not job.owner and not cache.lives(job.made_for),
            owners=tuple(metadata.get("ownerReferences") or ()),
            version=str(metadata["resourceVersion"]),
        )


def parents(cache: Cache, namespace: str, jobs: Iterable[str]) -> frozenset[str]:
    """Of these jobs those that another one works on, or waits to: one that names it as its parent and has not ended."""
    return frozenset(
        name
        for name in jobs
        if any(not cache.finished(child) for child in cache.children_of(Key(TRAINING_JOB, namespace, name)))
    )


def named(raw: Json) -> set[Key]:
    """The Experiment that a job names, as a set of one or none."""
    key = experiment_of_job(raw)
    return {key} if key is not None else set()


def may_revive(raw: Json, status: Json) -> bool:
    """Whether a job that has ended may go on when its Experiment does: it was cancelled, or asked for a retry since."""
    asked = (raw["metadata"].get("annotations") or {}).get(names.RETRY_REQUESTED_AT)
    cancelled = (status.get("stop") or {}).get("cause") == "Cancel"
    return cancelled or bool(asked and asked != status.get("retryRequestedAt"))
