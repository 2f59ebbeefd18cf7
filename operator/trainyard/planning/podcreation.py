"""The pods of an attempt that are not there: what keeps them from being made, or what they are made from.

Separate from `planning.trainingjob`, which calls it, because it alone makes pods: whatever must hold before
an attempt begins is asked here, in one order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from trainyard.api import names
from trainyard.api.reasons import Phase, Reason
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import (
    attempts,
    basemodels,
    datasetinputs,
    jobstatus,
    membership,
    nodeloss,
    opaque,
    outputdataset,
    parentcheckpoint,
    placement,
    podspec,
    refusals,
    registration,
    restoring,
    siblings,
    useddatasets,
    waiting,
)
from trainyard.planning.context import Context
from trainyard.planning.ends import LOOK_AGAIN_SECONDS, backing_off, end, next_attempt
from trainyard.planning.finding import Finding
from trainyard.planning.observed import ObservedJob
from trainyard.planning.pending import pending
from trainyard.planning.plan import Plan
from trainyard.planning.podinputs import DatasetPull, PodInputs
from trainyard.planning.ranks import Group
from trainyard.planning.runtime import Unresolved, resolve
from trainyard.planning.times import sooner

_REFUSAL_BACKOFF = 5.0
_REFUSAL_BACKOFF_LIMIT = 60.0


def spec_is_invalid(observed: ObservedJob, context: Context) -> str | None:
    """Make sure that the spec can be run at all; what the API server's schema could not tell."""
    spec = observed.spec
    if spec is None:
        return observed.spec_error or "The spec cannot be read."
    resolved = resolve(spec, context.catalog)
    if isinstance(resolved, Unresolved):
        return resolved.message
    return (
        placement.unknown_accelerator_type(spec.accelerator, context.accelerators)
        or opaque.nested_too_deeply(spec)
        or datasetinputs.unusable(observed, spec, resolved[1])
        or parentcheckpoint.has_no_parent(observed, spec)
        or (
            registration.impossible(action=spec.action, has_output=spec.output is not None)
            if spec.model is not None
            else None
        )
    )


def without_pod(observed: ObservedJob, ranks: Group, *, now: float, context: Context) -> Plan:
    """The plan for an attempt that lacks pods: they are made, or it is told what that waits for.

    An attempt that has lost one of them is over, and the next one is recorded.
    """
    attempt = ranks.attempt
    if jobstatus.attempt_entry(observed.status, attempt).get("startTime") or ranks.has_lost_one:
        gone = names.pod_name(job=observed.name, attempt=attempt, rank=ranks.missing[0])
        return next_attempt(
            observed,
            attempt,
            message=f"Pod {gone} is gone without a verdict; the next attempt continues from the last checkpoint, if "
            "there is one.",
            now=now,
        )
    finding = waiting.spec_has_changed(observed) or waiting.field_is_not_supported(observed)
    if finding is not None:
        return pending(observed, finding, now=now)
    problem = spec_is_invalid(observed, context)
    if problem is not None or observed.spec is None:
        return end(observed, phase=Phase.ERROR, reason=Reason.INVALID_SPEC, message=problem or "", now=now)
    limit, ran = observed.spec.active_deadline_seconds, int(observed.status.get("runSeconds") or 0)
    if limit is not None and ran >= limit:
        return end(
            observed,
            phase=Phase.ERROR,
            reason=Reason.DEADLINE_EXCEEDED,
            message=f"The job has run for {ran} s, activeDeadlineSeconds is {limit}. Raise it and use "
            f"trainyard retry {observed.name} to go on.",
            now=now,
        )
    due = attempts.not_before(observed.status, attempt)
    if due > now:
        plan = pending(observed, _backing_off(observed, attempt), now=now)
        return dataclasses.replace(plan, requeue_after=sooner(plan.requeue_after, due - now))
    finding = (
        membership.experiment_is_missing(observed)
        or waiting.dataset_is_missing_or_unusable(observed)
        or waiting.parent_is_unfinished_or_failed(observed)
        or basemodels.unusable(observed)
        or registration.model_is_missing(observed)
        or outputdataset.name_is_taken(observed)
        or waiting.former_pod_is_in_the_way(observed)
    )
    if finding is not None:
        return pending(observed, finding, now=now)
    earlier = tuple(
        pod
        for pod in observed.pods
        if pod.attempt < attempt and not pod.over and nodeloss.given_up(observed, pod, now=now) is None
    )
    if earlier:
        # NB: a container of it may still write; two attempts never run beside each other.
        plan = pending(observed, waiting.earlier_attempt_is_ending(earlier[0]), now=now)
        later = sooner(plan.requeue_after, LOOK_AGAIN_SECONDS)
        return dataclasses.replace(plan, requeue_after=later)
    try:
        create = _to_create(observed, observed.spec, ranks, context=context)
    except opaque.TemplateError as error:
        return end(observed, phase=Phase.ERROR, reason=Reason.INVALID_SPEC, message=str(error), now=now)
    annotate = restoring.marks(observed)
    refused = refusals.refused_by_the_api_server(observed.refusal)
    if refused is None or observed.refusal is None:
        news = basemodels.warnings(observed)
        return Plan(annotate=annotate, create=create, announce=news, memory=observed.memory)
    plan = pending(observed, refused, now=now)
    if refused.phase is not Phase.PENDING or (plan.status is not None and plan.status.get("completionTime")):
        return plan
    wait = min(_REFUSAL_BACKOFF * 2 ** min(observed.refusal.count - 1, 8), _REFUSAL_BACKOFF_LIMIT)
    due = observed.refusal.last_at + wait - now
    if due <= 0:
        # NB: without the status: should the pod be let in now, it would say what is no longer so.
        return Plan(annotate=annotate, create=create, memory=plan.memory)
    return dataclasses.replace(plan, requeue_after=sooner(plan.requeue_after, due))


def _to_create(
    observed: ObservedJob, spec: TrainingJobSpec, ranks: Group, *, context: Context
) -> tuple[Mapping[str, Any], ...]:
    """The pods that are missing, after what they need when there are none yet. Raises TemplateError."""
    inputs = _pod_inputs(observed, ranks.attempt, context=context)
    pods = tuple(podspec.build(observed, spec, inputs, rank=rank) for rank in ranks.missing)
    if ranks.size == 1 or ranks.pods:
        return pods
    return (*siblings.needed(observed, spec, attempt=ranks.attempt, context=context), *pods)


def _pod_inputs(observed: ObservedJob, attempt: int, *, context: Context) -> PodInputs:
    assert observed.spec is not None
    resolved = resolve(observed.spec, context.catalog)
    assert not isinstance(resolved, Unresolved)  # spec_is_invalid has looked
    runtime, action = resolved
    mounted, fetched = waiting.what_the_parent_left(observed)
    used = useddatasets.of(observed)
    return PodInputs(
        runtime=runtime,
        action=action,
        dataset_uris={name: str(one["uri"]) for name, one in used.items() if one.get("uri")},
        dataset_pulls={
            name: DatasetPull(source=view.source, listing=str(used[name].get("listing") or ""))
            for name, view in observed.datasets.items()
            if view is not None and view.source is not None and not used[name].get("uri")
        },
        used_datasets=used,
        parent_uri=mounted,
        bucket_parent=fetched,
        handed=parentcheckpoint.handed_on(observed, observed.spec, action),
        base_models=basemodels.of(observed),
        attempt=attempt,
        rules=context.accelerators,
        image_pull_policy=context.image_pull_policy,
        agent=context.agent,
        server=context.server,
        schedulers=context.schedulers,
    )


def _backing_off(observed: ObservedJob, attempt: int) -> Finding:
    limit = observed.spec.backoff_limit if observed.spec is not None else 0
    message = backing_off(observed.status, attempt, limit=limit)
    return Finding(phase=Phase.PENDING, reason=Reason.BACKING_OFF, message=message)
