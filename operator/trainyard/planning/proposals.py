"""Trials that a bayesian search wants proposed: the pod that does it, and its answer.

Separate because it is the one part of a search that waits for somebody. A pod is named by the first trial that it
proposes, and stays until all of its trials have jobs: an operator that dies in between reads the same answer again.
Called by `planning.trials`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainyard.planning import tunerpod
from trainyard.planning.experimentobserved import ChildView, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.podview import PodView
from trainyard.planning.searchsetup import Search

Json = Mapping[str, Any]
Point = tuple[str, ...]

#: What keeps a proposal from coming is told by no watch; one that failed is tried again after the second.
_LOOK_AGAIN_SECONDS = 15.0
_AGAIN_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """Points by the number of their trial; or what is to be done for them, and what to tell meanwhile."""

    points: Mapping[int, Point] = field(default_factory=dict)
    create: tuple[Json, ...] = ()
    delete: tuple[PodView, ...] = ()
    message: str = ""
    requeue_after: float | None = None


def wanted(
    observed: ObservedExperiment,
    search: Search,
    numbers: Sequence[int],
    ledger: Sequence[Json],
    children: Mapping[tuple[int, int], ChildView],
    *,
    rules: ExperimentRules,
    now: float,
) -> Proposals:
    """The points of the trials of these numbers, as far as there are any yet."""
    pods = [pod for pod in observed.pods if pod.stage == tunerpod.STAGE]
    points: dict[int, Point] = {}
    done: list[PodView] = []
    broken: list[PodView] = []
    alive: list[PodView] = []
    for pod in sorted(pods, key=lambda pod: pod.attempt):
        found = tunerpod.proposed(observed.proposals.get(pod.uid, ""), search.space)
        if pod.deletion_requested_at is not None or not pod.over:
            alive.append(pod)
        elif pod.phase == "Succeeded" and found is not None:
            numbered = dict(enumerate(found, pod.attempt))
            points |= numbered
            if not any(number in numbers for number in numbered):
                done.append(pod)
        elif pod.uid in observed.proposals or pod.phase == "Failed":
            broken.append(pod)
        else:
            alive.append(pod)  # its answer is still to be read
    lacking = [number for number in numbers if number not in points]
    if not lacking:
        return Proposals(points=points, delete=(*done, *broken))
    if alive:
        message = f"Trial {lacking[0]} is being proposed by pod {alive[0].name}{_stuck(alive[0])}."
        return Proposals(
            points=points, delete=tuple(done), message=message, requeue_after=_LOOK_AGAIN_SECONDS
        )
    if broken:
        ended = broken[0].trainer.finished_at if broken[0].trainer is not None else None
        # NB: one that was evicted or refused by its node may tell of no container, nor when it ended.
        wait = (ended or broken[0].created_at or 0.0) + _AGAIN_SECONDS - now
        said = (
            broken[0].trainer.message.strip()[-300:] if broken[0].trainer is not None else broken[0].message
        )
        message = f"Pod {broken[0].name} has proposed no trial and is tried again: {said or broken[0].reason}"
        gone = tuple(broken) if wait <= 0 else ()
        return Proposals(points=points, delete=(*done, *gone), message=message, requeue_after=max(wait, 1.0))
    first = lacking[0]
    if refused := observed.pod_refused(now=now):
        message = f"The pod that proposes trial {first} is refused and tried again: {refused[0]}"
        return Proposals(points=points, delete=tuple(done), message=message, requeue_after=refused[1])
    # NB: numbers are given in one piece, as the pod's name tells the first alone.
    count = next((i for i, number in enumerate(lacking) if number != first + i), len(lacking))
    told = tunerpod.order(
        search.space,
        minimize=search.rules.minimize,
        seed=search.seed,
        first=first,
        count=count,
        history=_history(search, ledger, children),
        pending=_pending(search, ledger, children, points),
    )
    return Proposals(
        points=points,
        create=(tunerpod.pod(observed, told, first=first, rules=rules.tuner),),
        delete=tuple(done),
        message=f"Trial {first} is being proposed.",
        requeue_after=_LOOK_AGAIN_SECONDS,
    )


def _stuck(pod: PodView) -> str:
    """What keeps a pod from coming up, as far as it tells."""
    if pod.trainer is not None and pod.trainer.state == "waiting" and pod.trainer.message:
        return f", which waits ({pod.trainer.reason}: {pod.trainer.message[:300]})"
    if not pod.scheduled and pod.scheduling_message:
        return f", which has no node ({pod.scheduling_message[:300]})"
    return ""


def left_over(observed: ObservedExperiment) -> tuple[PodView, ...]:
    """The pods that propose, when nothing is to be proposed any longer."""
    return tuple(
        pod for pod in observed.pods if pod.stage == tunerpod.STAGE and pod.deletion_requested_at is None
    )


def _history(
    search: Search, ledger: Sequence[Json], children: Mapping[tuple[int, int], ChildView]
) -> list[tuple[Point, float | None]]:
    """What the trials that have ended came to. NB: what one proposed had for parameters went with its job."""
    found = []
    for entry in sorted(ledger, key=lambda entry: int(entry["number"])):
        point = search.point_of(entry["number"], children.get((entry["number"], 0)))
        if point is not None and entry["state"] != "canceled":
            value = entry.get("value")
            found.append((point, float(value) if value is not None else None))
    return found


def _pending(
    search: Search,
    ledger: Sequence[Json],
    children: Mapping[tuple[int, int], ChildView],
    points: Mapping[int, Point],
) -> list[Point]:
    ended = {entry["number"] for entry in ledger}
    going = {number: child for (number, _), child in children.items() if number not in ended}
    found = {number: search.point_of(number, child) for number, child in going.items()}
    known = {number: point for number, point in points.items() if number not in ended}
    return [point for _, point in sorted({**known, **found}.items()) if point is not None]
