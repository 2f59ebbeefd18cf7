"""Experiments as their jobs see them: each version of one is read once, however many jobs it has.

Separate from `reconcile.experiment`, which brings an Experiment on: this only looks. Called by `reconcile.trainingjob`
for a job that names one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainyard.api import names
from trainyard.cluster.cache import Cache, Key, experiment_of_job
from trainyard.planning import experimentview
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


def named(raw: Json) -> set[Key]:
    """The Experiment that a job names, as a set of one or none."""
    key = experiment_of_job(raw)
    return {key} if key is not None else set()


def may_revive(raw: Json, status: Json) -> bool:
    """Whether a job that has ended may go on when its Experiment does: it was cancelled, or asked for a retry since."""
    asked = (raw["metadata"].get("annotations") or {}).get(names.RETRY_REQUESTED_AT)
    cancelled = (status.get("stop") or {}).get("cause") == "Cancel"
    return cancelled or bool(asked and asked != status.get("retryRequestedAt"))
