"""The plan of a Dataset.

Separate because it is a kind of its own. For now a dataset is a folder of a claim that somebody has filled: it is
available when the claim exists; what is in the folder is seen by the job that mounts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainyard.api.dataset import DatasetSpec
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import conditions, uris
from trainyard.planning.plan import Announcement, Plan
from trainyard.planning.support import not_yet_supported

_LOOK_AGAIN_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class ObservedDataset:
    """One Dataset; `claim_exists` is what the API server said of the claim of a pvc:// source."""

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    status: Mapping[str, Any]
    spec: DatasetSpec | None
    spec_error: str = ""
    claim_exists: bool = field(default=False)


def plan_dataset(observed: ObservedDataset, *, now: float) -> Plan:
    """The plan for one look at a dataset."""
    if observed.deleting:
        return Plan()
    if observed.spec is None:
        return _in_phase(observed, Phase.ERROR, Reason.INVALID_SPEC, observed.spec_error, now=now)
    unsupported = not_yet_supported("Dataset", observed.spec.model_dump(by_alias=True, exclude_none=True))
    if unsupported is not None:
        return _in_phase(observed, Phase.PENDING, Reason.NOT_YET_SUPPORTED, unsupported, now=now)
    if observed.spec.source is None or observed.spec.source.uri is None:
        return _in_phase(
            observed,
            Phase.PENDING,
            Reason.DRAFT,
            "A draft: it is kept as it is. Say where its data is in spec.source, and jobs can use it.",
            now=now,
        )
    try:
        claim, folder = uris.split_pvc(observed.spec.source.uri)
    except ValueError as error:
        return _in_phase(observed, Phase.ERROR, Reason.INVALID_SPEC, str(error), now=now)
    if not observed.claim_exists:
        return _in_phase(
            observed,
            Phase.PENDING,
            Reason.CLAIM_NOT_FOUND,
            f"There is no PersistentVolumeClaim {claim} in this namespace yet.",
            now=now,
            requeue_after=_LOOK_AGAIN_SECONDS,
        )
    where = f"folder {folder}" if folder else "the root"
    return _in_phase(
        observed,
        Phase.DONE,
        Reason.COMPLETED,
        f"Jobs mount {where} of claim {claim}; its content is read by them, not checked beforehand.",
        now=now,
    )


def _in_phase(
    observed: ObservedDataset,
    phase: Phase,
    reason: Reason,
    message: str,
    *,
    now: float,
    requeue_after: float | None = None,
) -> Plan:
    status = {
        **observed.status,
        **conditions.stated(
            observed.status,
            phase=phase,
            reason=str(reason),
            message=message,
            generation=observed.generation,
            now=now,
            ready=True,
            available=phase is Phase.DONE,
        ),
    }
    if status == observed.status:
        return Plan(requeue_after=requeue_after)
    changed = (observed.status.get("phase"), observed.status.get("reason")) != (str(phase), str(reason))
    news = Announcement(
        type="Normal" if phase is Phase.DONE or reason is Reason.DRAFT else "Warning",
        reason=str(reason),
        message=message[:1024],
    )
    return Plan(status=status, announce=(news,) if changed else (), requeue_after=requeue_after)
