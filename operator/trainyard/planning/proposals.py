"""Trials that a bayesian search wants proposed: the pod that does it, and its answer.

Separate because it is the one part of a search that waits for somebody. A pod is named by the first trial that it
proposes, and stays until all of its trials have jobs: an operator that dies in between reads the same answer again.
Called by `planning.trials`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainyard.api.reasons import Phase, Reason
from trainyard.planning import searchstatus, stuckpod, stucktexts, tunerpod
from trainyard.planning.experimentobserved import ChildView, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.podview import PodView
from trainyard.planning.searchsetup import Search
from trainyard.search.space import SpaceError

Json = Mapping[str, Any]
Point = tuple[str, ...]

#: What keeps a proposal from coming is told by no watch; one that failed is tried again after the second.
_LOOK_AGAIN_SECONDS = 15.0
_AGAIN_SECONDS = 10.0
_UNREADABLE_SECONDS = 120.0
#: Reasons of a pod that is on its way.
_COMING_UP = frozenset({Reason.ACCEPTED, Reason.STARTING, Reason.PULLING_IMAGE})


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """Points by the number of their trial; or what is to be done for them, and what to tell meanwhile. `stuck`: the
    reason why no pod proposes, for as long as somebody has to do something about it.
    """

    points: Mapping[int, Point] = field(default_factory=dict)
    create: tuple[Json, ...] = ()
    delete: tuple[PodView, ...] = ()
    message: str = ""
    stuck: Reason | None = None
    requeue_after: float | None = None

    @property
    def told(self) -> tuple[Phase, Reason, str]:
        """What the step is at while nothing else of it runs."""
        if self.stuck is not None:
            return Phase.PENDING, self.stuck, self.message
        return Phase.RUNNING, Reason.PROPOSING, self.message


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
        elif pod.uid in observed.proposals or pod.phase == "Failed" or _is_unreadable(pod, now=now):
            broken.append(pod)
        else:
            alive.append(pod)  # its answer is still to be read
    lacking = [number for number in numbers if number not in points]
    if not lacking:
        return Proposals(points=points, delete=(*done, *broken))
    if alive:
        # NB: one whose image cannot be pulled, or that no node takes, would be waited for for ever.
        outdated = [pod for pod in alive if tunerpod.is_outdated(pod, observed, rules.tuner)]
        stuck, message = _waiting(lacking[0], alive[0], outdated=alive[0] in outdated)
        return Proposals(
            points=points,
            delete=(*done, *(pod for pod in outdated if pod.deletion_requested_at is None)),
            message=message,
            stuck=stuck,
            requeue_after=_LOOK_AGAIN_SECONDS,
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
        return Proposals(
            points=points,
            delete=tuple(done),
            message=message,
            stuck=Reason.QUOTA_EXCEEDED if "exceeded quota" in refused[0] else Reason.POLICY_REFUSED,
            requeue_after=refused[1],
        )
    # NB: numbers are given in one piece, as the pod's name tells the first alone.
    count = next((i for i, number in enumerate(lacking) if number != first + i), len(lacking))
    told = observed.status.get("automl") or {}
    order = tunerpod.order(
        search.space,
        minimize=search.rules.minimize,
        seed=search.seed,
        first=first,
        count=count,
        history=_history(search, told, ledger, children),
        pending=_pending(search, told, ledger, children, points),
    )
    return Proposals(
        points=points,
        create=(tunerpod.pod(observed, order, first=first, rules=rules.tuner),),
        delete=tuple(done),
        message=f"Trial {first} is being proposed.",
        requeue_after=_LOOK_AGAIN_SECONDS,
    )


def _waiting(number: int, pod: PodView, *, outdated: bool) -> tuple[Reason | None, str]:
    """What to tell while a pod that proposes has not ended."""
    said = f"Trial {number} is being proposed by pod {pod.name}"
    if pod.deletion_requested_at is not None or pod.begun:
        return None, f"{said}."
    if outdated:
        return None, f"{said}, which is made anew, as the operator's settings of the tuner have changed."
    found = stuckpod.what_it_waits_for(pod)
    if found.reason in _COMING_UP:
        return None, f"{said}."
    said = f"Pod {pod.name}, which is to propose trial {number}, cannot start"
    if stuckpod.pull_failed(pod):
        told = pod.trainer.message if pod.trainer is not None else ""
        text = stucktexts.short(told).rpartition("ErrImagePull: ")[2] or "no detail is given"
        return (
            Reason.IMAGE_PULL_FAILED,
            f"{said}: its image cannot be pulled: {text}. The image is settings.tuner.image of the operator; it is "
            "tried again by itself, and the pod is made anew when the setting changes.",
        )
    # NB: what would be an Error of a job is none of the search: others mend it, and it goes on.
    reason = found.reason if found.phase is Phase.PENDING else Reason.CONTAINER_CONFIG_INVALID
    return reason, f"{said}: {found.message}"


def _is_unreadable(pod: PodView, *, now: float) -> bool:
    """Whether the answer of a pod that has ended well could not be read for long: its node may be gone for good."""
    ended = pod.trainer.finished_at if pod.trainer is not None else None
    return now >= (ended or pod.created_at or now) + _UNREADABLE_SECONDS


def left_over(observed: ObservedExperiment) -> tuple[PodView, ...]:
    """The pods that propose, when nothing is to be proposed any longer."""
    return tuple(
        pod for pod in observed.pods if pod.stage == tunerpod.STAGE and pod.deletion_requested_at is None
    )


def _history(
    search: Search, told: Json, ledger: Sequence[Json], children: Mapping[tuple[int, int], ChildView]
) -> list[tuple[Point, float | None]]:
    """What the trials that have ended came to. NB: the parameters of one that was proposed go with its job, but
    for those of the best, which status has.
    """
    found = []
    for entry in sorted(ledger, key=lambda entry: int(entry["number"])):
        point = _point(search, told, entry["number"], children.get((entry["number"], 0)))
        if point is not None and entry["state"] not in ("canceled", "pending"):
            value = entry.get("value")
            found.append((point, float(value) if value is not None else None))
    return found


def _pending(
    search: Search,
    told: Json,
    ledger: Sequence[Json],
    children: Mapping[tuple[int, int], ChildView],
    points: Mapping[int, Point],
) -> list[Point]:
    ended = {entry["number"] for entry in ledger if entry["state"] != "pending"}
    going = {number: child for (number, _), child in children.items() if number not in ended}
    found = {number: _point(search, told, number, child) for number, child in going.items()}
    known = {number: point for number, point in points.items() if number not in ended}
    return [point for _, point in sorted({**known, **found}.items()) if point is not None]


def _point(search: Search, told: Json, number: int, child: ChildView | None) -> Point | None:
    """That of a trial which has begun. NB: the tuner refuses one that is not of its space."""
    point = search.point_of(number, child) or searchstatus.told_point(search, told, number)
    try:
        return None if point is None else search.space.accepted(point)
    except SpaceError:
        return None
