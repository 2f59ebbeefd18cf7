"""Conditions by the API conventions, so that kstatus, `kubectl wait` and GitOps tools read them.

Separate because every kind writes them and none may flap: the transition time changes with the status only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.api.reasons import FINAL, ConditionType, Phase, Reason
from trainyard.planning.times import stamp

Json = Mapping[str, Any]

MESSAGE_LIMIT = 4096


def _conditions(
    old: Json,
    *,
    phase: Phase,
    reason: str,
    message: str,
    generation: int,
    now: float,
    ready: bool,
    available: bool | None = None,
    spec_changed: str | None = None,
    unsupported: str | None = None,
    suspended: bool = False,
) -> list[dict[str, Any]]:
    """All conditions of an object in `phase`; `old` is its previous status. `available` for kinds that are used."""
    # NB: what is not supported yet is not going anywhere either, though a newer operator will take it up; nor is what
    # was edited to be invalid, though what ran before may still run.
    stalled = phase == Phase.ERROR or reason in (Reason.NOT_YET_SUPPORTED, Reason.INVALID_SPEC)
    wanted: dict[str, bool] = {
        ConditionType.READY: ready and not stalled and unsupported is None,
        ConditionType.RECONCILING: False,
        ConditionType.STALLED: stalled,
    }
    if available is not None:
        wanted[ConditionType.AVAILABLE] = available
    else:
        wanted[ConditionType.FINISHED] = phase in FINAL
        if phase in FINAL:
            wanted[ConditionType.SUCCEEDED] = phase == Phase.DONE
    if spec_changed is not None:
        wanted[ConditionType.SPEC_CHANGED] = True
    before = {c.get("type"): c for c in old.get("conditions") or []}
    if suspended or ConditionType.SUSPENDED in before:
        wanted[ConditionType.SUSPENDED] = suspended
    result = []
    for kind, value in wanted.items():
        text = "True" if value else "False"
        earlier = before.get(kind) or {}
        result.append(
            {
                "type": str(kind),
                "status": text,
                **_why(kind, value, reason, message, spec_changed=spec_changed, unsupported=unsupported),
                "observedGeneration": generation,
                "lastTransitionTime": earlier["lastTransitionTime"]
                if earlier.get("status") == text and earlier.get("lastTransitionTime")
                else stamp(now),
            }
        )
    return result


def _why(
    kind: str, value: bool, reason: str, message: str, *, spec_changed: str | None, unsupported: str | None
) -> dict[str, str]:
    if kind == ConditionType.SPEC_CHANGED:
        return {"reason": str(Reason.SPEC_CHANGED), "message": spec_changed or ""}
    if kind == ConditionType.READY and unsupported is not None:
        return {"reason": str(Reason.NOT_YET_SUPPORTED), "message": unsupported}
    told = value or kind in (ConditionType.READY, ConditionType.SUCCEEDED)
    return {"reason": reason, "message": message if told else ""}


def stated(
    old: Json,
    *,
    phase: Phase,
    reason: str,
    message: str,
    generation: int,
    now: float,
    ready: bool,
    available: bool | None = None,
    spec_changed: str | None = None,
    unsupported: str | None = None,
    suspended: bool = False,
) -> dict[str, Any]:
    """What the status of every kind says: generation, phase, reason, message (cut to its limit) and conditions."""
    message = message[:MESSAGE_LIMIT]
    return {
        "observedGeneration": generation,
        "phase": str(phase),
        "reason": reason,
        "message": message,
        "conditions": _conditions(
            old,
            phase=phase,
            reason=reason,
            message=message,
            generation=generation,
            now=now,
            ready=ready,
            available=available,
            spec_changed=spec_changed,
            unsupported=unsupported,
            suspended=suspended,
        ),
    }


def acknowledged(status: Json, *, generation: int) -> dict[str, Any]:
    """`status` of an object that has ended, with an edit seen that changes nothing.

    NB: its conditions as well: `kubectl wait` takes one of an older generation for outdated.
    """
    seen = [{**condition, "observedGeneration": generation} for condition in status.get("conditions") or []]
    return {**status, "observedGeneration": generation, "conditions": seen}


def is_true(status: Json, kind: ConditionType) -> bool:
    """Whether the status has the condition with status True."""
    return any(c.get("type") == kind and c.get("status") == "True" for c in status.get("conditions") or [])
