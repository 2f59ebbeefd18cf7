"""The ranks of an attempt: which pods it has, which it lacks, and whose end decides for all.

Separate because all ranks of an attempt live and end together, and every rule that follows from it is here. A job of
one pod is a group of one. Called by `planning.trainingjob` and `planning.podends`.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.reasons import Phase
from trainyard.planning import jobstatus, nodeloss, spechash
from trainyard.planning.observed import LogView, ObservedJob
from trainyard.planning.podview import PodView
from trainyard.planning.stops import CLOCK_SECONDS
from trainyard.planning.times import seconds
from trainyard.planning.verdict import Verdict, judge


@dataclass(frozen=True, kw_only=True)
class Group:
    """The pods of one attempt in the order of their ranks, of which there shall be `size`."""

    attempt: int
    size: int
    pods: tuple[PodView, ...]

    @property
    def first(self) -> PodView | None:
        """The pod of rank 0, which speaks for all."""
        return next((pod for pod in self.pods if pod.rank == 0), None)

    @property
    def missing(self) -> tuple[int, ...]:
        """Ranks that have no pod."""
        there = {pod.rank for pod in self.pods}
        return tuple(rank for rank in range(self.size) if rank not in there)

    @property
    def trained(self) -> bool:
        """Whether the trainers of all ranks have ended."""
        return not self.missing and all(pod.trained for pod in self.pods)

    @property
    def has_lost_one(self) -> bool:
        """Whether a rank is gone while others have begun. Pods are made in the order of their ranks, so one below
        another has been there.
        """
        newest = max((pod.rank for pod in self.pods), default=-1)
        return any(pod.begun for pod in self.pods) and any(rank < newest for rank in self.missing)


def group(observed: ObservedJob, attempt: int) -> Group:
    """The ranks of an attempt of the job."""
    pods = sorted((pod for pod in observed.pods if pod.attempt == attempt), key=lambda pod: pod.rank)
    spec, made = observed.spec, max((pod.rank for pod in pods), default=0) + 1
    size = spec.nodes if spec is not None else made
    if spec is not None and pods and made != size:
        # NB: pods that were made before `nodes` was changed run as they were made.
        given = {pod.spec_hash for pod in pods if pod.spec_hash}
        size = size if given <= {spechash.spec_hash(spec)} else made
    return Group(attempt=attempt, size=size, pods=tuple(pods))


def verdict_on(observed: ObservedJob, pod: PodView) -> Verdict:
    """The verdict on one rank that is judgeable."""
    restart_on = observed.spec.restart_on if observed.spec is not None else None
    log = observed.logs.get(pod.uid)
    return judge(pod, log, restart_on=restart_on, told_to_end=told_to_end(observed, pod))


def deciding(observed: ObservedJob, ranks: Group) -> PodView | None:
    """The pod whose end is that of the attempt; None while the attempt goes on.

    All have to have done their work, and then rank 0 speaks for them. One that has not ends the attempt: of several the
    one that was first, as the others mostly fail for want of it; while the job is being stopped, one that ended by
    that. A result that one of them has found in the output is that of all.
    """
    ended = [(pod, verdict_on(observed, pod)) for pod in ranks.pods if pod.judgeable]
    complete = next((pod for pod, verdict in ended if verdict.complete is not None), None)
    if complete is not None:
        return complete
    wrong = [(pod, verdict) for pod, verdict in ended if verdict.phase is not Phase.DONE]
    if wrong:
        if observed.status.get("stop"):
            wrong = [(pod, verdict) for pod, verdict in wrong if verdict.lost] or wrong
        return min(wrong, key=lambda end: (_when(end[0]), not end[1].lost, end[0].rank))[0]
    return ranks.first if len(ended) == ranks.size else None


def first_taken_away(observed: ObservedJob, ranks: Group, *, now: float) -> PodView | None:
    """The pod that somebody deletes before its trainer has ended, or whose node is lost before its agent has; of
    several the one that was first, which the others follow.
    """
    taken = [
        pod
        for pod in ranks.pods
        if pod.deletion_requested_at is not None
        and not pod.judgeable
        and (not pod.trained or nodeloss.given_up(observed, pod, now=now) is not None)
    ]
    return min(taken, key=lambda pod: (not pod.disrupted, _when(pod), pod.rank), default=None)


def told_to_end(observed: ObservedJob, pod: PodView) -> bool:
    """Whether the record says that the trainer was told to end before it did: by a stop, or by `podends.leaving`."""
    entry = jobstatus.attempt_entry(observed.status, pod.attempt)
    if entry.get("reason") and not entry.get("completionTime"):
        return True
    decided = seconds((observed.status.get("stop") or {}).get("time"))
    finished = pod.trainer.finished_at if pod.trainer is not None else None
    # NB: in doubt it was told to: an attempt too many is cheap, and a training that is called Done too early is not.
    return decided is not None and (finished is None or finished >= decided - CLOCK_SECONDS)


def last_sign_of_life(observed: ObservedJob, ranks: Group) -> LogView | None:
    """The log of rank 0, silent since the last byte that any rank has printed."""
    logs = [log for pod in ranks.pods if (log := observed.logs.get(pod.uid)) is not None]
    first = observed.logs.get(ranks.first.uid) if ranks.first is not None else None
    if first is None or len(logs) < 2:
        return first
    heard = [log.silent_since for log in logs]
    if None in heard:
        return LogView(report=first.report, tail=first.tail, ended=first.ended, reading=first.reading)
    return LogView(
        report=first.report,
        tail=first.tail,
        ended=first.ended,
        silent_since=max(at for at in heard if at is not None),
        reading=first.reading,
    )


def _when(pod: PodView) -> float:
    """When the end of a pod began: when it was taken away, or its trainer ended."""
    ended = pod.trainer.finished_at if pod.trainer is not None else None
    known = [at for at in (ended, pod.disrupted_at, pod.deletion_requested_at) if at is not None]
    return min(known, default=float("inf"))
