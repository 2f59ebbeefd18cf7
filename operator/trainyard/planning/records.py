"""The plan of what is kept as a record: an MLModel that asks for nothing to be run.

A draft is accepted, so that a GitOps sync with one in it is healthy; what asks for something that nothing acts upon is
never silently accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import conditions
from trainyard.planning.plan import Announcement, Plan
from trainyard.planning.support import not_yet_supported

Json = Mapping[str, Any]

_DRAFT = "A draft: it is kept as it is, and nothing trains, as spec.training is not set or not enabled."


@dataclass(frozen=True, kw_only=True)
class ObservedRecord:
    """One MLModel; `spec_error` says why its spec cannot be read, if it cannot."""

    generation: int
    deleting: bool
    spec: Json
    spec_error: str = ""
    status: Json


def plan_record(observed: ObservedRecord, *, now: float) -> Plan:
    """The plan for one look at a record."""
    if observed.deleting:
        return Plan()
    if observed.spec_error:
        return _stated(observed, Phase.ERROR, Reason.INVALID_SPEC, observed.spec_error, now=now)
    unsupported = not_yet_supported("MLModel", observed.spec)
    if unsupported:
        return _stated(observed, Phase.PENDING, Reason.NOT_YET_SUPPORTED, unsupported, now=now)
    return _stated(observed, Phase.PENDING, Reason.DRAFT, _DRAFT, now=now)


def _stated(observed: ObservedRecord, phase: Phase, reason: Reason, message: str, *, now: float) -> Plan:
    status = {
        **observed.status,
        "lifecycle": "draft",
        **conditions.stated(
            observed.status,
            phase=phase,
            reason=str(reason),
            message=message,
            generation=observed.generation,
            now=now,
            ready=True,
            available=False,
        ),
    }
    if status == observed.status:
        return Plan()
    changed = (observed.status.get("phase"), observed.status.get("reason")) != (str(phase), str(reason))
    news = Announcement(
        type="Normal" if reason is Reason.DRAFT else "Warning", reason=str(reason), message=message[:1024]
    )
    return Plan(status=status, announce=(news,) if changed else ())
