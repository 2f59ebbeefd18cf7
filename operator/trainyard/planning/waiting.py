"""Why a job has no running container yet: checks from what it needs to what its pod is stuck on.

Separate because each check is one rule with one sentence for the user, tested by tables. Each returns a Finding or
None; the first one found is the job's state.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import spechash, uris
from trainyard.planning.observed import ObservedJob, PodView, Refusal

_PULL_FAILED = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
#: Longer than nearly every grace period.
_LONG_SECONDS = 180.0
_CONFIG_WRONG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A phase other than the straight way, why, and what the user can do. `since` starts the start-up clock."""

    phase: Phase
    reason: Reason
    message: str
    since: float | None = None


def dataset_is_missing_or_unusable(observed: ObservedJob) -> Finding | None:
    """Make sure that every dataset can be mounted."""
    for name, dataset in observed.datasets.items():
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
            message=f"There is no TrainingJob {name} in this namespace yet; this job starts when {name} is Done.",
        )
    if not parent.finished:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.WAITING_FOR_PARENT,
            message=f"Waiting for TrainingJob {name} to be Done ({parent.reason or 'not started'}).",
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
    try:
        uris.split_pvc(parent.artifact_uri)
    except ValueError as error:
        return Finding(
            phase=Phase.ERROR,
            reason=Reason.PARENT_FAILED,
            message=f"The artifacts of TrainingJob {name} cannot be mounted: {error}",
        )
    return None


def spec_has_changed(observed: ObservedJob) -> Finding | None:
    """Make sure that another attempt would be another attempt at the same."""
    problem = spechash.changed(observed)
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


def refused_by_the_api_server(refusal: Refusal | None) -> Finding | None:
    """What the API server's refusal of the pod means."""
    if refusal is None:
        return None
    text = refusal.message
    if refusal.status == 409:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.POD_NAME_TAKEN,
            message=f"A pod that is not this job's has its name: {text}. Delete it or give the job another name.",
            since=refusal.first_at,
        )
    if refusal.status == 403 and "exceeded quota" in text:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.QUOTA_EXCEEDED,
            message=f"The namespace's quota does not allow the pod: {text}. It is tried again by itself.",
            since=refusal.first_at,
        )
    # NB: a webhook's denial comes as 400 and an admission policy's as 422 unless they say otherwise.
    denied = "denied the request" in text or "denied request" in text
    if refusal.status in (400, 413, 422) and not denied:
        return Finding(
            phase=Phase.ERROR,
            reason=Reason.INVALID_SPEC,
            message=f"The API server finds the pod invalid: {text}",
        )
    return Finding(
        phase=Phase.PENDING,
        reason=Reason.POLICY_REFUSED,
        message=f"The API server does not allow the pod: {text}. It is tried again by itself.",
        since=refusal.first_at,
    )


def stuck_pod(pod: PodView) -> Finding:
    """What a pod without a running training container is waiting for."""
    if pod.scheduling_reason == "SchedulingGated":
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.QUEUED,
            message=f"Pod {pod.name} waits in its queue to be admitted.",
        )
    if not pod.scheduled:
        if pod.scheduling_reason == "Unschedulable":
            return Finding(
                phase=Phase.PENDING,
                reason=Reason.UNSCHEDULABLE,
                message=f"No node can take pod {pod.name}: {_unschedulable(pod.scheduling_message)}",
            )
        return Finding(
            phase=Phase.PENDING, reason=Reason.ACCEPTED, message=f"Pod {pod.name} waits for the scheduler."
        )
    running = next((c for c in pod.init if c.state == "running"), None)
    if running is not None:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.STARTING,
            message=f"Init container {running.name} of pod {pod.name} is running on node {pod.node}.",
        )
    begun = [pod.scheduled_at if pod.scheduled_at is not None else pod.created_at]
    begun += [container.finished_at for container in pod.init]
    since = max((moment for moment in begun if moment is not None), default=None)
    for container in (*pod.init, *((pod.trainer,) if pod.trainer else ())):
        if container.state == "waiting" and container.reason in _PULL_FAILED:
            return Finding(
                phase=Phase.PENDING,
                reason=Reason.IMAGE_PULL_FAILED,
                message=f"The image of container {container.name} cannot be pulled ({container.reason}): "
                f"{container.message or 'no detail is given'}. Check its name and the pull secret.",
                since=since,
            )
        if container.state == "waiting" and container.reason in _CONFIG_WRONG:
            return Finding(
                phase=Phase.PENDING,
                reason=Reason.CONTAINER_CONFIG_INVALID,
                message=f"Container {container.name} cannot be created ({container.reason}): "
                f"{container.message}{_advice(container.message)}",
                since=since,
            )
    if pod.sandbox_ready:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.PULLING_IMAGE,
            message=f"Pod {pod.name} is on node {pod.node} and its image is being pulled.",
            since=since,
        )
    return Finding(
        phase=Phase.PENDING,
        reason=Reason.STARTING,
        message=f"Pod {pod.name} is on node {pod.node}; its volumes and network are being set up; if "
        f"this lasts, kubectl describe pod {pod.name} says why.",
        since=since,
    )


def _unschedulable(message: str) -> str:
    """The scheduler's own count of nodes, and what would change it."""
    told = message.split(" no new claims to deallocate")[0].split(" preemption: ")[0].strip().rstrip(",.")
    advice = [
        sentence
        for sign, sentence in (
            (
                "untolerated taint",
                "spec.accelerator brings the toleration of GPU nodes, spec.tolerations any other.",
            ),
            ("affinity/selector", "accelerator.type, nodeSelector and affinity say which nodes will do."),
            ("Insufficient", "It starts by itself when a node has enough left of what it asks for."),
            (
                "unbound immediate PersistentVolumeClaims",
                "kubectl describe pvc says why a volume is not bound.",
            ),
        )
        if sign in message
    ]
    return " ".join([f"{told}.", *advice, "Where a job runs is changed by deleting it and creating it anew."])


def _advice(message: str) -> str:
    if "runAsNonRoot" in message or "non-root" in message:
        return (
            ". Set template.spec.securityContext.runAsUser to a user of the image, or runAsNonRoot: false where root "
            "is allowed."
        )
    return ""
