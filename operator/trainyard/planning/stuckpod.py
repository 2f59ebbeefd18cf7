"""What a pod without a running training container is waiting for, by its state and, where that does not tell, by the
warnings that Kubernetes has posted of it.

Separate because each sentence of the scheduler's and of the kubelet's that matters is known here, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainyard.api import names
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import stucktexts
from trainyard.planning.finding import Finding
from trainyard.planning.lookedup import PodEvent
from trainyard.planning.podview import ContainerView, PodView

_PULL_FAILED = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
_CONFIG_WRONG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_MOUNT_FAILED = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
_PULL_SECRET = "FailedToRetrieveImagePullSecret"
#: The kubelet tries to mount at least every two minutes and tells each failure.
_FRESH_SECONDS = 150.0


def what_it_waits_for(pod: PodView, events: Sequence[PodEvent] = ()) -> Finding:
    """Why the training container of `pod` does not run; `events` are its warnings, where they were looked up."""
    if pod.scheduling_reason == "SchedulingGated":
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.QUEUED,
            message=f"Pod {pod.name} waits in its queue to be admitted.",
        )
    if not pod.scheduled:
        return _not_scheduled(pod)
    running = next((c for c in pod.init if c.state == "running"), None)
    if running is not None and running.name == names.FETCH_CONTAINER:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.STARTING,
            message=f"Pod {pod.name} is on node {pod.node} and fetches what its trainer begins with.",
        )
    if running is not None:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.STARTING,
            message=f"Init container {running.name} of pod {pod.name} is running on node {pod.node}.",
        )
    since = waits_since(pod)
    for container in (*pod.sidecars, *containers(pod)):
        found = _of_its_state(container, events, since=since)
        if found is not None:
            return found
    if pod.sandbox_ready:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.PULLING_IMAGE,
            message=f"Pod {pod.name} is on node {pod.node} and its image is being pulled.",
            since=since,
        )
    return _being_set_up(pod, events, since=since)


def containers(pod: PodView) -> tuple[ContainerView, ...]:
    """Those whose start the job waits for, in their order."""
    return (*pod.init, *((pod.trainer,) if pod.trainer else ()))


def waits_since(pod: PodView) -> float | None:
    """Since when a pod on its node waits for its next container."""
    begun = [pod.scheduled_at if pod.scheduled_at is not None else pod.created_at]
    begun += [container.finished_at for container in pod.init]
    return max((moment for moment in begun if moment is not None), default=None)


def pull_failed(pod: PodView) -> bool:
    """Whether an image of its could not be pulled."""
    return any(c.state == "waiting" and c.reason in _PULL_FAILED for c in (*pod.sidecars, *containers(pod)))


def _not_scheduled(pod: PodView) -> Finding:
    if pod.scheduling_reason != "Unschedulable":
        return _not_looked_at(pod)
    text = pod.scheduling_message
    claim = re.search(r'persistentvolumeclaim "([^"]+)" not found', text)
    if claim is not None:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.CLAIM_NOT_FOUND,
            message=stucktexts.no_claim(claim[1]),
            since=pod.created_at,
            cause=f"{stucktexts.claim_to_create(claim[1])}.",
        )
    if "unbound immediate PersistentVolumeClaims" in text:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.VOLUME_MOUNT_FAILED,
            message=stucktexts.unbound(pod.claims),
            since=pod.created_at,
        )
    return Finding(
        phase=Phase.PENDING,
        reason=Reason.UNSCHEDULABLE,
        message=f"No node can take pod {pod.name}: {stucktexts.unschedulable(text)}",
        cause=f"No node can take pod {pod.name}: {stucktexts.nodes_lack(text)}.",
    )


def _not_looked_at(pod: PodView) -> Finding:
    """NB: of a pod whose resource claims are not there, no scheduler says anything."""
    if pod.unmade_claims_of:
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.CLAIM_NOT_FOUND,
            message=stucktexts.unmade_claims(pod.name, pod.unmade_claims_of),
            since=pod.created_at,
            cause=f"Pod {pod.name} waits for a ResourceClaim, and none has been made.",
        )
    what = f"Pod {pod.name} waits for the scheduler"
    if pod.resource_claims:
        what += (
            f", which looks at it when ResourceClaim {' and '.join(pod.resource_claims)} is there: kubectl get "
            "resourceclaims says whether it is, and once it is created the pod goes on by itself"
        )
    return Finding(phase=Phase.PENDING, reason=Reason.ACCEPTED, message=f"{what}.")


def _of_its_state(
    container: ContainerView, events: Sequence[PodEvent], *, since: float | None
) -> Finding | None:
    if container.state != "waiting":
        return None
    text = stucktexts.short(container.message)
    if container.reason in _PULL_FAILED:
        if container.reason == "InvalidImageName" or "invalid reference format" in text:
            return Finding(
                phase=Phase.ERROR,
                reason=Reason.INVALID_SPEC,
                message=f"The image of container {container.name} has a name that no registry can serve: {text}.",
            )
        # NB: the same while the kubelet tries and while it waits; each change of it is a request.
        cause = (
            f"The image of container {container.name} cannot be pulled: "
            f"{text.rpartition('ErrImagePull: ')[2] or 'no detail is given'}."
        )
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.IMAGE_PULL_FAILED,
            message=f"{cause} {stucktexts.pull_advice(container.reason, text)}{_lacking_pull_secret(events)}",
            since=since,
            cause=cause,
        )
    if container.reason not in _CONFIG_WRONG:
        return None
    if stucktexts.names_no_program(text):
        return Finding(
            phase=Phase.ERROR,
            reason=Reason.COMMAND_NOT_FOUND,
            message=stucktexts.no_command(container.name, text),
            cause=f"The command of container {container.name} cannot be run: {stucktexts.start_failure(text)}.",
        )
    missing = stucktexts.missing_object(text)
    if missing is not None:
        reason, advice = missing
        return Finding(
            phase=Phase.PENDING,
            reason=reason,
            message=f"Container {container.name} cannot be created: {text}. {advice}",
            since=since,
            cause=f"Container {container.name} cannot be created: {text}.",
        )
    if "subPath" in text or "volume" in text.lower():
        return Finding(
            phase=Phase.PENDING,
            reason=Reason.VOLUME_MOUNT_FAILED,
            message=f"A volume of container {container.name} cannot be mounted: {text}. "
            f"{stucktexts.mount_advice(text)}",
            since=since,
        )
    return Finding(
        phase=Phase.PENDING,
        reason=Reason.CONTAINER_CONFIG_INVALID,
        message=f"Container {container.name} cannot be created ({container.reason}): {text}. "
        f"{stucktexts.config_advice(text)}",
        since=since,
        cause=f"Container {container.name} cannot be created ({container.reason}): {text}.",
    )


def _being_set_up(pod: PodView, events: Sequence[PodEvent], *, since: float | None) -> Finding:
    """Nothing of the pod runs yet, and only its warnings say why."""
    newest = max(events, key=lambda event: event.at, default=None)
    if newest is not None and newest.reason in _MOUNT_FAILED:
        fresh = [e for e in events if e.reason in _MOUNT_FAILED and e.at >= newest.at - _FRESH_SECONDS]
        return _volume_not_mounted(pod, fresh, since=since)
    cause, advice = f"Pod {pod.name} is on node {pod.node}; its volumes and network are being set up.", ""
    if newest is not None:
        text = stucktexts.short(newest.message)
        cause += f" The last warning of it is {newest.reason}: {text}."
        advice = f" {stucktexts.set_up_advice(text)}"
    return Finding(
        phase=Phase.PENDING,
        reason=Reason.STARTING,
        message=f"{cause}{advice}",
        since=since,
        cause=cause,
    )


def _volume_not_mounted(pod: PodView, events: Sequence[PodEvent], *, since: float | None) -> Finding:
    # NB: the same of several each time, whichever was told last; and not the summary, which names no cause.
    chosen = min(events, key=lambda e: (e.message.startswith("Unable to attach or mount"), e.message))
    text = stucktexts.short(chosen.message)
    missing = stucktexts.missing_object(text)
    reason, advice = missing if missing is not None else (Reason.VOLUME_MOUNT_FAILED, "")
    cause = f"A volume of pod {pod.name} cannot be mounted on node {pod.node} ({chosen.reason}): {text}."
    return Finding(
        phase=Phase.PENDING,
        reason=reason,
        message=f"{cause} {advice or stucktexts.mount_advice(text)}",
        since=since,
        cause=cause if reason is Reason.CLAIM_NOT_FOUND else "",
    )


def _lacking_pull_secret(events: Sequence[PodEvent]) -> str:
    told = next((event for event in events if event.reason == _PULL_SECRET), None)
    names = re.search(r"\(([^)]+)\)", told.message) if told is not None else None
    if names is None:
        return ""
    return (
        f" The pod's imagePullSecrets name {names[1]}, which is not in this namespace: create it, and it goes on "
        "by itself."
    )
