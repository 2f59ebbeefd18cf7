"""Composing a Dataset's status: phase and conditions, and whether jobs may use what it has.

Separate because planning decides and this writes down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from trainyard.api.datasetstatus import DatasetLineage
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import conditions
from trainyard.planning.dataclaims import ClaimStep
from trainyard.planning.dataobserved import DatasetPlan, ObservedDataset
from trainyard.planning.plan import Announcement, Plan

Json = Mapping[str, Any]

_QUIET = frozenset(
    {Reason.STARTING, Reason.ACCEPTED, Reason.PULLING_IMAGE, Reason.PULLING, Reason.VALIDATING}
)
_FINE = frozenset({Reason.DRAFT, Reason.WAITING_FOR_UPLOAD, Reason.COMPLETED})
#: What jobs get, and what it was checked by.
CONTENT = ("of", "listing", "revision", "sha256", "uri", "profile", "validation")


def usable(status: Json, digest: str) -> bool:
    """Whether jobs may use what the status tells of: it was checked as the spec says now."""
    return status.get("of") == digest and bool(status.get("uri") or status.get("listing"))


def plan(
    observed: ObservedDataset,
    phase: Phase,
    reason: Reason,
    message: str,
    *,
    now: float,
    changes: Json | None = None,
    requeue_after: float | None = None,
    create: tuple[Json, ...] = (),
    claims: tuple[ClaimStep, ...] = (),
    finalizers: tuple[str, ...] | None = None,
) -> DatasetPlan:
    """The plan that brings the status into a phase; keys of `changes` win, None removes."""
    old = observed.status
    status: dict[str, Any] = {**old, **(changes or {})}
    lineage = read_lineage(observed)
    if lineage is not None:
        status["lineage"] = lineage
    status |= conditions.stated(
        old,
        phase=phase,
        reason=str(reason),
        message=message,
        generation=observed.generation,
        now=now,
        ready=True,
        available=observed.spec is not None
        and usable(status, observed.digest)
        and not _is_lost(phase, reason),
    )
    status = {key: value for key, value in status.items() if value is not None}
    changed = (old.get("phase"), old.get("reason")) != (str(phase), str(reason))
    announce: tuple[Announcement, ...] = ()
    if changed and reason not in _QUIET:
        kind: Any = "Normal" if reason in _FINE else "Warning"
        announce = (Announcement(type=kind, reason=str(reason), message=message[:1024]),)
    return DatasetPlan(
        plan=Plan(
            status=None if status == old else status,
            announce=announce,
            create=create,
            requeue_after=requeue_after,
        ),
        claims=claims,
        finalizers=finalizers,
    )


def _is_lost(phase: Phase, reason: Reason) -> bool:
    """Whether the data is not there, whatever was known of it."""
    return phase is Phase.ERROR or reason in (Reason.CLAIM_NOT_FOUND, Reason.NOT_YET_SUPPORTED)


def read_lineage(observed: ObservedDataset) -> Json | None:
    """What the job that made it has left; None for nothing, or for what cannot be read."""
    if not observed.lineage:
        return None
    try:
        told = DatasetLineage.model_validate_json(observed.lineage)
    except ValidationError:
        return None
    # NB: the status cannot hold two of a name.
    inputs = list({one.name: one for one in told.inputs}.values())
    return told.model_copy(update={"inputs": inputs}).model_dump(by_alias=True, exclude_defaults=True)
