"""The loss of a pod: whether it was taken away, by what, and how that is told.

Separate from `planning.verdict` because such an end is nobody's failure: whoever evicts, preempts or deletes
pods marks them in their own words, and those change with the versions of Kubernetes. Called by
`planning.verdict` and `planning.podends`.
"""

from __future__ import annotations

from trainyard.api.reasons import Reason
from trainyard.planning import nodeloss
from trainyard.planning.podview import ContainerView, PodView
from trainyard.planning.statusline import Termination

#: 128 and SIGINT, SIGKILL, SIGTERM.
_EXITS_BY_SIGNAL = frozenset({130, 137, 143})
_PREEMPTED = frozenset({"PreemptionByScheduler", "Preempting"})
_NODE_GONE = frozenset({nodeloss.BY_PODGC, "NodeLost"})
_EVICTED = frozenset(
    {
        "EvictionByEvictionAPI",
        "TerminationByKubelet",
        nodeloss.BY_TAINT,
        "Evicted",
        "Terminated",
        "NodeShutdown",
        "Shutdown",
    }
)


def taken_away(
    pod: PodView, trainer: ContainerView, termination: Termination, *, told_to_end: bool = False
) -> bool:
    """Whether the end is somebody's deletion or disruption of the pod and not the trainer's own.

    A trainer that is sent SIGTERM saves and exits with 0: that is no success unless it says "complete". One that
    ended before the deletion was asked for has ended by itself.
    """
    if termination.complete is True:
        return False
    # NB: when the node has confirmed the end of a pod that a finalizer holds, the API server stamps the deletion anew:
    # it then seems to have been asked for after the end. What the job and its trainer say is not lost by that.
    signalled = trainer.exit_code in _EXITS_BY_SIGNAL and trainer.reason != "OOMKilled"
    if pod.deletion_requested_at is not None and (told_to_end or termination.complete is False or signalled):
        return True
    asked = [at for at in (pod.disrupted_at, pod.deletion_requested_at) if at is not None]
    # NB: a node that falls silent marks also the pods on it that had ended long before.
    if asked and trainer.finished_at is not None and trainer.finished_at < min(asked):
        return False
    if pod.disrupted:
        return trainer.exit_code != 0 or pod.deletion_requested_at is not None or pod.phase == "Failed"
    return pod.deletion_requested_at is not None


def lost_by(pod: PodView) -> Reason:
    """What took away a pod that did not end by itself."""
    signs = {pod.disruption, pod.reason}
    if signs & _PREEMPTED or "Preempt" in pod.disruption:
        return Reason.PREEMPTED
    if signs & _NODE_GONE:
        return Reason.NODE_LOST
    # NB: Kueue names its own reasons, all of which are evictions.
    if signs & _EVICTED or pod.disruption.startswith("WorkloadEvicted"):
        return Reason.EVICTED
    return Reason.RESTARTING


def evicted_for_its_own_use(pod: PodView) -> bool:
    """Whether the kubelet evicted the pod over a limit of its own (ephemeral storage, the size of an emptyDir).

    The kubelet says "exceeds the limit" or "exceeded its ... limit" then, else "The node was low on resource".
    """
    return pod.reason == "Evicted" and "exceed" in pod.message and "limit" in pod.message


def taken_away_because(pod: PodView, why: str) -> str:
    """The sentence for the user; `why` is in the words of what took it away."""
    who = {
        Reason.EVICTED: f"evicted from node {pod.node}",
        Reason.PREEMPTED: "preempted by a pod of higher priority",
        Reason.NODE_LOST: f"lost with node {pod.node}",
    }.get(lost_by(pod), "taken away")
    next_one = "the next attempt continues from its last checkpoint, if it saved one"
    return f"Pod {pod.name} was {who} ({why.rstrip('.')}); {next_one}."
