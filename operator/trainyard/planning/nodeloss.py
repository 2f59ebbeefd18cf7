"""The loss of a node: how it is known, told, and when a pod on it is given up.

Separate because nobody tells the end of such a pod: its kubelet is silent, so that Kubernetes marks the pod,
deletes it after a while, and then waits for ever. Called by `planning.trainingjob`, `planning.podcreation`
and `planning.podends`; `planning.lookups` says when a node is looked at.
"""

from __future__ import annotations

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import attempts
from trainyard.planning.finding import Finding
from trainyard.planning.lookedup import NodeView
from trainyard.planning.observed import ObservedJob
from trainyard.planning.podview import PodView
from trainyard.planning.times import stamp

#: How long a pod stays bound to a node that has fallen silent or says that it is not ready.
TOLERATION_SECONDS = 60
#: The grace of a deletion is for a node that hears of it. One that was silent before it is given no more than this.
_UNHEARD_GRACE_SECONDS = 30.0
#: Without a look at the node: how long after its grace a pod still has to be there.
_UNSEEN_SECONDS = 60.0
#: The reason that Kubernetes gives when it deletes pods of a node with a NoExecute taint, as a silent one has.
BY_TAINT = "DeletionByTaintManager"
#: The reason that Kubernetes gives when it deletes pods of a node that there is no longer.
BY_PODGC = "DeletionByPodGC"


def node_is_lost(observed: ObservedJob, pod: PodView) -> Finding | None:
    """Make sure that a pod which is said to run, or to end, is on a node that speaks."""
    node = _lost(observed, pod)
    if node is None:
        return None
    return Finding(
        phase=Phase.RUNNING, reason=Reason.NODE_LOST, message=f"{_told(node)} {_what_next(pod, node)}"
    )


def given_up(observed: ObservedJob, pod: PodView, *, now: float) -> Finding | None:
    """Why the end of a pod that is being deleted is waited for no longer; None while it is."""
    if attempts.given_up(pod, now=now):
        return Finding(
            phase=Phase.RUNNING,
            reason=Reason.RESTARTING,
            message=f"Pod {pod.name} was deleted by force and its node {pod.node} has told no end of it; the next "
            "attempt continues from the last checkpoint, if there is one.",
        )
    node = _lost(observed, pod)
    due = _given_up_at(pod, node) if node is not None else None
    if node is None or due is None or now < due:
        return None
    return Finding(
        phase=Phase.RUNNING,
        reason=Reason.NODE_LOST,
        message=f"{_told(node)} Pod {pod.name} is given up; the next attempt continues from the last checkpoint, if "
        "there is one. Should the node come back, it ends that pod by itself.",
    )


def _lost(observed: ObservedJob, pod: PodView) -> NodeView | None:
    """The node of a pod when nothing on it can be heard of any longer."""
    node = observed.nodes.get(pod.node or "")
    if node is None or pod.over:
        return None
    if node.state in ("silent", "gone"):
        return node
    # NB: without a look at it, the mark of the node controller is what there is.
    if node.state == "hidden" and pod.unheard_since is not None:
        return NodeView(name=node.name, state="hidden", since=pod.unheard_since)
    return None


def _given_up_at(pod: PodView, node: NodeView) -> float | None:
    asked, due = pod.deletion_requested_at, pod.deletion_due_at
    if asked is None or due is None:
        return None
    if node.state == "gone" or (node.since is not None and node.since <= asked):
        due = min(due, asked + _UNHEARD_GRACE_SECONDS)
    return due + _UNSEEN_SECONDS if node.state == "hidden" else due


def _told(node: NodeView) -> str:
    since = f" since {stamp(node.since)}" if node.since is not None else ""
    if node.state == "gone":
        return f"Node {node.name} is no longer in the cluster."
    return f"Node {node.name} has told nothing{since}."


def _what_next(pod: PodView, node: NodeView) -> str:
    due = _given_up_at(pod, node)
    if due is not None:
        return (
            f"Pod {pod.name} is being deleted and given up at {stamp(due)}; the next attempt then continues from the "
            "last checkpoint, if there is one."
        )
    return (
        f"Unless it comes back, Kubernetes deletes pod {pod.name} after {TOLERATION_SECONDS} s (or what "
        "spec.tolerations says), and the next attempt continues from the last checkpoint, if there is one. If the node "
        f"is gone for good, kubectl delete pod {pod.name} hastens that."
    )
