"""Whatever happens to a job of several pods, to its nodes, to its store and to the operator between any two writes:
it is Done only with everything safe, trains nothing twice, and leaves nothing behind.

Separate from `test_storms`, whose jobs have one pod and an agent that never fails.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.fleet import Fleet, Killed
from trainyard.planning import nodeloss
from trainyard.planning.podview import PodView

PEOPLE = ("suspend", "resume", "resume", "cancel", "uncancel", "uncancel", "retry")
NODES = (
    *["all start"] * 4,
    *["all end"] * 2,
    *["told to end"] * 2,
    "scheduled",
    "starts",
    "starts",
    "fetch fails",
    *["exit 0"] * 3,
    "exit 1",
    "uploads",
    "uploads",
    "asks",
    "agent ends",
    "agent ends",
    "agent dies",
    "deleted",
    "evicted",
    "node dies",
    "tainted",
    "node returns",
    "node removed",
    "vanishes",
)
OPERATOR = (*["looks"] * 3, *["settles"] * 4, "dies", *["killed"] * 3, "minutes pass")

#: Ends that count though no pod has failed.
_LIMITS = ("NoProgress",)

events = st.tuples(st.sampled_from((*PEOPLE, *NODES, *OPERATOR)), st.integers(0, 3))
storms = st.lists(events, max_size=40)
policies = st.fixed_dictionaries(
    {
        "nodes": st.integers(1, 3),
        "output": st.booleans(),
        "backoffLimit": st.integers(0, 2),
        "action": st.sampled_from(["train", "evaluate"]),
        "activeDeadlineSeconds": st.sampled_from([None, 100]),
        "ttlSecondsAfterFinished": st.sampled_from([None, 0]),
    }
)


def happens(fleet: Fleet, event: str, number: int) -> None:
    """One event, to one of the pods where it can happen to it."""
    match event:
        case "suspend" | "resume":
            return fleet.edit(suspend=event == "suspend")
        case "cancel" | "uncancel":
            return fleet.edit(cancel=event == "cancel")
        case "retry":
            return fleet.retry()
        case "looks":
            fleet.look()
            return None
        case "settles":
            return fleet.settle()
        case "dies":
            return fleet.dies()
        case "killed":
            try:
                fleet.look(writes=number)
            except Killed:
                fleet.dies()
            return None
        case "minutes pass":
            fleet.now += 120
            return None
        case "all start":
            fleet.now += 31
            fleet.settle()
            for pod in list(fleet.alive):
                if not pod.scheduled and pod.deletion_requested_at is None:
                    fleet.scheduled(pod)
            for pod in list(fleet.alive):
                if pod.trainer is None and pod.scheduled and pod.deletion_requested_at is None:
                    fleet.starts(pod)
            return fleet.settle()
        case "all end":
            fleet.now += 9
            for pod in list(fleet.alive):
                lives(fleet, pod)
            return None
        case "node returns":
            for pod in [p for p in fleet.job.pods if fleet.ghosts[p.uid].dead and not p.over]:
                fleet.node_returns(pod)
            return None
        case "tainted":
            for pod in [p for p in fleet.job.pods if fleet.ghosts[p.uid].dead and not p.over]:
                fleet.node_is_tainted(pod)
            return None
    pods = [pod for pod in fleet.alive if possible(fleet, event, pod)]
    if pods:
        to_one(fleet, event, pods[number % len(pods)])
    return None


def possible(fleet: Fleet, event: str, pod: PodView) -> bool:
    going = pod.deletion_requested_at is not None
    running = pod.trainer is not None and pod.trainer.state == "running"
    match event:
        case "scheduled":
            return not pod.scheduled and not going
        case "starts" | "fetch fails":
            return pod.scheduled and pod.trainer is None and not going and (event == "starts" or fleet.output)
        case "exit 0" | "exit 1":
            return running
        case "told to end":
            return pod.scheduled and going and not pod.trained
        case "uploads" | "asks" | "agent ends" | "agent dies":
            return fleet.output and pod.trained
        case "deleted" | "evicted":
            return not going
        case "node dies" | "node removed":
            return pod.scheduled
    return True


def to_one(fleet: Fleet, event: str, pod: PodView) -> None:
    fleet.now += 2
    match event:
        case "scheduled":
            fleet.scheduled(pod)
        case "starts":
            fleet.starts(pod)
        case "fetch fails":
            fleet.fetch_fails(pod)
        case "exit 0" | "exit 1":
            # NB: what it does by itself it does before it is told to end, or says that it is complete.
            complete = '{"complete": true}' if pod.deletion_requested_at is not None else ""
            fleet.exits(pod, int(event[-1]), message=complete if event[-1] == "0" else "")
        case "told to end":
            fleet.told_to_end(pod, code=143 if pod.rank else 0)
        case "uploads":
            fleet.uploads(pod)
        case "asks":
            fleet.asks(pod)
        case "agent ends" | "agent dies":
            fleet.agent_ends(pod, word=event == "agent ends")
        case "deleted" | "evicted":
            fleet.taken(pod, evicted=event == "evicted")
        case "node dies":
            fleet.node_dies(pod)
        case "node removed":
            fleet.node_is_removed(pod)
        case "vanishes":
            fleet.vanishes(pod)


def lives(fleet: Fleet, pod: PodView) -> None:
    """The next that a node does with a pod by itself."""
    if pod.trained:
        fleet.uploads(pod)
        fleet.asks(pod)
        fleet.agent_ends(pod)
    elif pod.deletion_requested_at is not None:
        if pod.scheduled:
            fleet.told_to_end(pod, code=143)
    elif not pod.scheduled:
        fleet.scheduled(pod)
    elif pod.trainer is None:
        fleet.starts(pod)
    else:
        fleet.exits(pod, 0)


def check(fleet: Fleet) -> None:
    """What holds at any moment."""
    # NB: one whose node was lost may come back; what it writes is its own attempt's.
    holding = [p for p in fleet.job.pods if not p.over and not fleet.ghosts[p.uid].lost]
    attempts = {pod.attempt for pod in holding}
    assert len(attempts) <= 1, f"attempts beside each other: {[p.name for p in holding]}"
    made = Counter((g.attempt, g.rank) for g in fleet.ghosts.values() if g.begun and not g.forgotten)
    assert not made or max(made.values()) == 1, f"an attempt that had begun was made again: {made}"
    status = fleet.status
    numbers = [entry["number"] for entry in status.get("attempts") or []]
    assert numbers == sorted(set(numbers))
    ended = [e for e in status.get("attempts") or [] if e.get("completionTime")]
    assert all(e.get("reason") and e.get("message") for e in ended)
    failed = {ghost.attempt for ghost in fleet.ghosts.values() if ghost.failed}
    blamed = {e["number"] for e in ended if e.get("counted") and e["reason"] not in _LIMITS}
    assert blamed <= failed, f"counted, and nothing had failed: {ended}"
    assert bool(status.get("completionTime")) == (status.get("phase") in ("Done", "Error", "Canceled"))
    if fleet.result is not None:
        assert whole(fleet, fleet.result), "there is a result, and a part of it is missing"
    if status.get("phase") == "Done":
        assert any(whole(fleet, ghost.attempt) for ghost in fleet.ghosts.values()), (
            f"Done, and not all is safe: {fleet.ghosts}"
        )


def whole(fleet: Fleet, attempt: int) -> bool:
    """Whether all ranks of an attempt have done their work, and what they left is safe."""
    ranks = {
        g.rank
        for g in fleet.ghosts.values()
        if g.attempt == attempt and g.done and (g.uploaded or not fleet.output)
    }
    return ranks == set(range(fleet.size))


def calm(fleet: Fleet) -> None:
    """Nothing happens any more but what nodes and Kubernetes do with pods by themselves."""
    for _ in range(80):
        fleet.settle()
        check(fleet)
        quiet(fleet)
        for pod in [p for p in fleet.job.pods if not p.over and fleet.ghosts[p.uid].dead]:
            if pod.deletion_requested_at is None:
                fleet.now += 60
                fleet.node_is_tainted(pod)
        holding = [
            p for p in fleet.job.pods if not p.over and nodeloss.given_up(fleet.job, p, now=fleet.now) is None
        ]
        if not holding and (fleet.status.get("completionTime") or fleet.status.get("reason") == "Paused"):
            return
        fleet.now += 20
        for pod in list(fleet.alive):
            if pod in fleet.job.pods:
                lives(fleet, pod)
    raise AssertionError(f"it never comes to an end: {fleet.phases[-8:]}")


def quiet(fleet: Fleet) -> None:
    """Looked at again, with nothing changed, it writes nothing."""
    plans = []
    before = fleet.job
    for _ in range(3):
        plan = fleet.look()
        plans.append(plan)
    if fleet.job == before:
        assert not any(plan.status is not None for plan in plans)


@settings(max_examples=400, deadline=None)
@given(storm=storms, policy=policies)
def test_after_a_storm_nothing_is_lost_missing_or_left(
    storm: list[tuple[str, int]], policy: dict[str, Any]
) -> None:
    fleet = Fleet(**{k: v for k, v in policy.items() if v is not None})
    for event, number in storm:
        happens(fleet, event, number)
        check(fleet)
    calm(fleet)
    phase = fleet.status["phase"]
    if fleet.result is not None and phase not in ("Done", "Canceled"):
        # NB: by a deadline that had passed while its trainers ran.
        assert fleet.status["reason"] in ("Paused", "DeadlineExceeded")
    if fleet.fields.get("cancel"):
        assert phase in ("Canceled", "Done", "Error")
    elif fleet.fields.get("suspend"):
        assert fleet.status["reason"] == "Paused" or phase in ("Done", "Error", "Canceled")
    else:
        assert phase in ("Done", "Error") or fleet.fields["action"] == "evaluate"
    held = [p.name for p in fleet.job.pods if p.finalized and (p.over or not fleet.ghosts[p.uid].dead)]
    assert not held, f"still held: {held}"
    if not any(event == "killed" for event, _ in storm):
        assert not fleet.children or fleet.status["reason"] == "Paused", f"left: {fleet.children}"
