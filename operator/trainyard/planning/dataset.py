"""The plan of a Dataset: when its source is looked at (new, edited, asked for by the annotation refresh-requested-at,
due by its schedule), what it is told to be meanwhile, and when it may go.

Separate because it is a kind of its own. `planning.datapull` has the steps of a look, `planning.dataends` its ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from trainyard.api import names
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import dataends, dataplace, datapull, datastatus, schedule, uris
from trainyard.planning.dataobserved import DatasetPlan, ObservedDataset
from trainyard.planning.datapods import DataRules
from trainyard.planning.podview import PodView
from trainyard.planning.times import seconds, stamp

_LOOK_AGAIN_SECONDS = 15.0
_USED_SECONDS = 60.0


def plan_dataset(observed: ObservedDataset, *, now: float, rules: DataRules) -> DatasetPlan:
    """The plan for one look at a dataset."""
    found = _plan(observed, now=now, rules=rules)
    return dataclasses.replace(
        found, plan=dataclasses.replace(found.plan, delete=_surplus(observed, found.plan.status))
    )


def _surplus(observed: ObservedDataset, status: Mapping[str, Any] | None) -> tuple[PodView, ...]:
    """Pods that have done what they were there for, or are no longer wanted. The last failed one stays, for its log."""
    pull = (observed.status if status is None else status).get("pull") or {}
    number, complete = int(pull.get("number") or 0), pull.get("state") == "pull_complete"
    newest = max((pod.attempt for pod in observed.pods), default=0)
    spec = observed.spec
    idle = spec is None or spec.source is None or observed.unsupported is not None
    return tuple(
        pod
        for pod in observed.pods
        if pod.deletion_requested_at is None
        and (
            complete
            or idle
            or observed.deleting
            or pod.attempt < newest
            or (pod.attempt < number and pod.phase != "Failed")
        )
    )


def _plan(observed: ObservedDataset, *, now: float, rules: DataRules) -> DatasetPlan:
    if observed.deleting:
        return _going(observed, now=now)
    refused = _not_to_be_looked_at(observed, now=now)
    if refused is not None:
        return refused
    assert observed.spec is not None
    refresh = observed.spec.refresh
    due = seconds(observed.status.get("nextRefreshTime"))
    if refresh is not None:
        try:
            coming = schedule.due_after(refresh.schedule, refresh.time_zone, int(now))
        except ValueError as error:
            return datastatus.plan(
                observed, Phase.ERROR, Reason.INVALID_SPEC, f"spec.refresh: {error}", now=now
            )
        # NB: one that was edited is due by what it says now.
        due = min(due, coming) if due is not None else coming
    pull = observed.pull
    asked = observed.refresh_requested_at
    wanted = bool(asked) and asked != observed.status.get("refreshRequestedAt")
    in_work = pull.get("state") in ("starting", "in_progress")
    # NB: a pull that takes longer than the schedule's pause would begin anew for ever.
    in_time = refresh is not None and due is not None and due <= now and not in_work
    fields = {
        "refreshRequestedAt": asked or None,
        "nextRefreshTime": stamp(coming if in_time else (due or 0)) if refresh is not None else None,
    }
    lost = _has_lost_its_volume(observed)
    if pull.get("of") != observed.digest or wanted or in_time or lost:
        return datapull.begun(observed, now=now, asked=fields, lost=lost)
    if in_work:
        return datapull.step(observed, now=now, rules=rules)
    later = due - now if refresh is not None and due is not None else None
    return dataends.at_rest(observed, now=now, requeue_after=later, fields=fields)


def _has_lost_its_volume(observed: ObservedDataset) -> bool:
    """Whether somebody has removed the claim of ours that jobs are to mount: no pod that is new can mount it then, even
    if those that there are keep it for a while.
    """
    claim = dataends.own_claim(str(observed.status.get("uri") or ""))
    at_rest = observed.pull.get("state") in ("pull_complete", "invalid_pull")
    gone = observed.claim is None or observed.claim.deleting
    return bool(claim) and at_rest and dataplace.is_remote(observed) and gone


def _not_to_be_looked_at(observed: ObservedDataset, *, now: float) -> DatasetPlan | None:
    """What keeps a dataset from being looked at; None when nothing does."""
    spec = observed.spec
    if spec is None:
        return datastatus.plan(observed, Phase.ERROR, Reason.INVALID_SPEC, observed.spec_error, now=now)
    if observed.unsupported is not None:
        return datastatus.plan(
            observed, Phase.PENDING, Reason.NOT_YET_SUPPORTED, observed.unsupported, now=now
        )
    if spec.source is None:
        return datastatus.plan(
            observed,
            Phase.PENDING,
            Reason.DRAFT,
            "A draft: it is kept as it is. Say where its data is in spec.source, and jobs can use it.",
            now=now,
        )
    if spec.source.upload is not None and observed.uploaded is None:
        return datastatus.plan(
            observed,
            Phase.PENDING,
            Reason.WAITING_FOR_UPLOAD,
            f"Waiting for its data: trainyard push dataset FOLDER {observed.name}",
            now=now,
        )
    if dataplace.is_remote(observed):
        return None
    try:
        claim = (
            uris.split_pvc(spec.source.uri)[0]
            if spec.source.uri is not None
            else str((observed.uploaded or {})["claim"])
        )
    except ValueError as error:
        return datastatus.plan(observed, Phase.ERROR, Reason.INVALID_SPEC, str(error), now=now)
    if observed.claim_exists:
        return None
    return datastatus.plan(
        observed,
        Phase.PENDING,
        Reason.CLAIM_NOT_FOUND,
        f"There is no PersistentVolumeClaim {claim} in this namespace yet.",
        now=now,
        # NB: no watch tells of claims; of many that never come each look is a request.
        requeue_after=min(max(_LOOK_AGAIN_SECONDS, _unavailable_for(observed, now) / 10), _USED_SECONDS),
    )


def _unavailable_for(observed: ObservedDataset, now: float) -> float:
    conditions = observed.status.get("conditions") or []
    since = next((c.get("lastTransitionTime") for c in conditions if c.get("type") == "Available"), None)
    return now - (seconds(since) or now)


def _going(observed: ObservedDataset, *, now: float) -> DatasetPlan:
    """Deleted: what pulls is stopped, and the volumes stay for as long as jobs that have begun use them."""
    if names.DATA_FINALIZER not in observed.finalizers:
        return DatasetPlan()
    if observed.users:
        named = ", ".join(observed.users[:5]) + (" ..." if len(observed.users) > 5 else "")
        return datastatus.plan(
            observed,
            Phase.PENDING,
            Reason.WAITING_FOR_CLEANUP,
            f"Deleted, and kept until the jobs that use its data have ended: {named}.",
            now=now,
            requeue_after=_USED_SECONDS,
        )
    left = tuple(one for one in observed.finalizers if one != names.DATA_FINALIZER)
    return DatasetPlan(finalizers=left)
