"""What no watch of ours tells and a plan may need: warnings of a pod that is stuck, the node of one that may be lost.

Separate because it bounds what a job costs: a pod that starts and ends as it should needs none of it. Called by
`reconcile.lookups` before each plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.planning import attempts, nodeloss, stops, stuckpod
from trainyard.planning.observed import ObservedJob
from trainyard.planning.podview import PodView

#: A pod that has been on its node so long without a running container is stuck.
STUCK_SECONDS = 10.0
#: A pod that its node has not ended so long after the deletion's grace may be on a lost one.
OVERDUE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Lookups:
    """Pods whose warnings are wanted, names of nodes, and seconds until there may be more to look up."""

    events_of: tuple[PodView, ...] = ()
    nodes: tuple[str, ...] = ()
    again: float | None = None


def wanted(observed: ObservedJob, *, now: float) -> Lookups:
    """What to look up for the next plan of a job."""
    if observed.deleting or observed.status.get("completionTime") or stops.in_force(observed.status):
        return Lookups()
    newest = attempts.newest(observed.status, observed.pods)
    current = [pod for pod in observed.pods if pod.attempt == newest]
    stuck, doubtful, later = [], [], []
    # NB: of many pods one alone is told of, the one that `planning.trainingjob` looks at.
    for pod in [pod for pod in sorted(current, key=lambda pod: pod.rank) if not pod.begun][:1]:
        due = _stuck_at(pod)
        if due is not None and due <= now:
            stuck.append(pod)
        elif due is not None:
            later.append(due - now)
    # NB: a pod that was given up stays for as long as its node is away; it matters only while it is in the way.
    for pod in current or observed.pods:
        due = _doubtful_at(pod)
        if due is not None and due <= now:
            doubtful.append(pod.node or "")
        elif due is not None:
            later.append(due - now)
    return Lookups(
        events_of=tuple(stuck), nodes=tuple(dict.fromkeys(doubtful)), again=min(later, default=None)
    )


def _stuck_at(pod: PodView) -> float | None:
    """When a pod is stuck such that its warnings may say why; None for one that is not going to be."""
    if not pod.scheduled or pod.judgeable or pod.deletion_requested_at is not None:
        return None
    if any(container.state == "running" for container in stuckpod.containers(pod)):
        return None
    since = stuckpod.waits_since(pod)
    # NB: once there is a sandbox, volumes are mounted; a container's own state tells all but a pull secret.
    if since is None or (pod.sandbox_ready and not stuckpod.pull_failed(pod)):
        return None
    return since + STUCK_SECONDS


def _doubtful_at(pod: PodView) -> float | None:
    """When it is to be asked whether the node of a pod still lives; None while nothing speaks against it."""
    if pod.over or pod.node is None:
        return None
    if pod.deletion_due_at is not None:
        by_taint = pod.disruption == nodeloss.BY_TAINT or pod.unheard_since is not None
        return pod.deletion_requested_at if by_taint else pod.deletion_due_at + OVERDUE_SECONDS
    return pod.unheard_since
