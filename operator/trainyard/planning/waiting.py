"""Why a job has no pod yet: what it needs and has not, and pods that are in its way.

Separate because each check is one rule with one sentence for the user, tested by tables. Each returns a Finding or
None; the first one found is the job's state.
"""

from __future__ import annotations

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import parentcheckpoint, spechash, uris, useddatasets
from trainyard.planning.agentpod import BucketParent
from trainyard.planning.finding import Finding
from trainyard.planning.observed import ObservedJob
from trainyard.planning.podview import PodView

#: Longer than nearly every grace period.
_LONG_SECONDS = 180.0


def dataset_is_missing_or_unusable(observed: ObservedJob) -> Finding | None:
    """Make sure that every dataset can be mounted."""
    begun_with = useddatasets.recorded(observed.status, observed.pods)
    for name, dataset in observed.datasets.items():
        if begun_with.get(name, {}).get("uri"):
            continue  # NB: what the job has begun with stays for as long as it has not ended
        if begun_with.get(name, {}).get("listing") and dataset is not None and dataset.uri:
            return Finding(
                phase=Phase.ERROR,
                reason=Reason.DATASET_FAILED,
                message=f"The job has begun with data of Dataset {name} that each of its pods pulled for itself; by "
                f"now it is kept on a volume, and may be another revision. trainyard retry {observed.name} takes it as "
                "it is now.",
            )
        if dataset is None:
            return Finding(
                phase=Phase.PENDING,
                reason=Reason.WAITING_FOR_DATASET,
                message=f"There is no Dataset {name} in this namespace yet; the job starts when it is there.",
            )
        if dataset.failed:
            return Finding(
                phase=Phase.ERROR,
                reason=Reason.DATASET_FAILED,
                message=f"Dataset {name} failed ({dataset.reason}): {dataset.message}",
            )
        if not dataset.available:
            detail = f" ({dataset.reason}: {dataset.message})" if dataset.reason else ""
            return Finding(
                phase=Phase.PENDING,
                reason=Reason.WAITING_FOR_DATASET,
                message=f"Dataset {name} is not available yet{detail}.",
            )
    return None


def parent_is_unfinished_or_failed(observed: ObservedJob) -> Finding | None:
    """Make sure that the parent's artifacts exist."""
    if observed.spec is None or observed.spec.parent_job is None:
        return None
    name, parent = observed.spec.parent_job, observed.parent
    if parent is None:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.WAITING_FOR_PARENT,
            message=f"There is no TrainingJob {name} in this namespace yet; this job starts when {name} is Done."
            if not spechash.begun(observed.status)
            else f"TrainingJob {name} was deleted after this job had begun, and its artifacts cannot be found without "
            "it. Create it again, or pause this job, take spec.parentJob out and resume it.",
        )
    if not parent.finished:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.WAITING_FOR_PARENT,
            message=f"Waiting for TrainingJob {name} to be Done ({parent.reason or 'not started'}).",
        )
    if parent.canceled:
        return Finding(
            phase=Phase.CANCELED,
            reason=Reason.PARENT_CANCELED,
            message=f"TrainingJob {name} was cancelled, so there is nothing to work on. When it is Done after all, "
            f"trainyard retry {observed.name} runs this one.",
        )
    if not parent.succeeded:
        return Finding(
            phase=Phase.ERROR,
            reason=Reason.PARENT_FAILED,
            message=f"TrainingJob {name} ended with {parent.reason}, so there is nothing to work on.",
        )
    if parent.artifact_uri is None:
        return Finding(
            phase=Phase.ERROR,
            reason=Reason.PARENT_FAILED,
            message=f"TrainingJob {name} has no spec.output, so it left no artifacts to hand on.",
        )
    if parentcheckpoint.is_asked_for(observed.spec) and parent.output is None:
        return Finding(
            phase=Phase.ERROR,
            reason=Reason.PARENT_FAILED,
            message=f"The spec of TrainingJob {name} cannot be read, so where its checkpoints are is not known.",
        )
    try:
        if uris.is_pvc(parent.artifact_uri) or parent.output is None:
            uris.split_pvc(parent.artifact_uri)
    except ValueError as error:
        return Finding(
            phase=Phase.ERROR,
            reason=Reason.PARENT_FAILED,
            message=f"The artifacts of TrainingJob {name} cannot be mounted: {error}",
        )
    return None


def what_the_parent_left(observed: ObservedJob) -> tuple[str | None, BucketParent | None]:
    """The parent's artifacts: an address in a volume claim, or what is to be fetched from a bucket."""
    parent = observed.parent
    if parent is None or parent.artifact_uri is None:
        return None, None
    if uris.is_pvc(parent.artifact_uri) or parent.output is None:
        return parent.artifact_uri, None
    return None, BucketParent(uri=parent.artifact_uri, store=parent.output)


def spec_has_changed(observed: ObservedJob) -> Finding | None:
    """Make sure that another attempt would be another attempt at the same."""
    problem = spechash.changed(observed, observed.status)
    if problem is None:
        return None
    return Finding(phase=Phase.PENDING, reason=Reason.SPEC_CHANGED, message=problem)


def field_is_not_supported(observed: ObservedJob) -> Finding | None:
    """Make sure that everything that the spec asks for will be done."""
    if observed.unsupported is None:
        return None
    return Finding(phase=Phase.PENDING, reason=Reason.NOT_YET_SUPPORTED, message=observed.unsupported)


def pod_is_being_deleted(pod: PodView, *, now: float) -> Finding:
    """A pod that somebody deletes and whose containers have not all ended."""
    asked = pod.deletion_requested_at if pod.deletion_requested_at is not None else now
    message = f"Pod {pod.name} is being deleted; the next attempt starts when it has ended."
    if now >= asked + _LONG_SECONDS:
        message += (
            f" Its node {pod.node} has told no end of it for long: if that node is gone for good, "
            f"kubectl delete pod {pod.name} --force lets the job go on."
        )
    return Finding(phase=Phase.PENDING, reason=Reason.WAITING_FOR_CLEANUP, message=message)


def earlier_attempt_is_ending(pod: PodView) -> Finding:
    """A pod of an earlier attempt whose containers have not all ended."""
    return Finding(
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_CLEANUP,
        message=f"Pod {pod.name} of the attempt before is still ending; the next one begins when it has.",
    )


def former_pod_is_in_the_way(observed: ObservedJob) -> Finding | None:
    """Make sure that the pod's name is free: a deleted job of this name may still be ending."""
    pod = observed.former_pod
    if pod is None:
        return None
    return Finding(
        phase=Phase.PENDING,
        reason=Reason.WAITING_FOR_CLEANUP,
        message=f"Pod {pod.name} is still there and not this job's: one of an earlier TrainingJob of this name, or a "
        "copy that somebody made. Waiting until it is gone.",
    )
