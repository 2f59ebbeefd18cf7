"""A Dataset as a job that refers to it sees it.

Separate because it reads another kind's spec and status, which the job's reconciler knows nothing else of.
"""

from __future__ import annotations

from typing import Any

from trainyard.api.dataset import DatasetSpec
from trainyard.api.reasons import ConditionType, Reason
from trainyard.planning import conditions
from trainyard.planning.observed import DatasetView
from trainyard.reconcile import specs

Json = dict[str, Any]


def view(raw: Json) -> DatasetView:
    """What of a Dataset's object counts for a job. One that is being deleted starts no job any longer."""
    status, spec = raw.get("status") or {}, raw.get("spec") or {}
    deleting = bool(raw["metadata"].get("deletionTimestamp"))
    # NB: what was true before an edit that nobody has looked at yet neither starts a job nor fails it.
    current = status.get("observedGeneration") == raw["metadata"].get("generation")
    uri = str(status.get("uri") or "")
    read = specs.read(DatasetSpec, raw)[0] if not uri else None
    parameters = spec.get("actionParameters")
    return DatasetView(
        name=raw["metadata"]["name"],
        available=conditions.is_true(status, ConditionType.AVAILABLE) and current and not deleting,
        # NB: what is not supported yet has not failed; an edit or a newer operator makes it available.
        failed=conditions.is_true(status, ConditionType.STALLED)
        and current
        and status.get("reason") != Reason.NOT_YET_SUPPORTED,
        reason="Deleted" if deleting else status.get("reason") or "",
        message="it is being deleted" if deleting else status.get("message") or "",
        uri=uri,
        uid=str(raw["metadata"].get("uid") or ""),
        type=str(spec.get("type") or ""),
        format=str(spec.get("format") or ""),
        revision=str(status.get("revision") or ""),
        sha256=str(status.get("sha256") or ""),
        listing=str(status.get("listing") or ""),
        source=read.source if read is not None else None,
        action_parameters=parameters if isinstance(parameters, dict) else {},
    )
