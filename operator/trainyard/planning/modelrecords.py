"""The records of versions: a pod stores each beside its artifacts, with the model card, and then status may forget it.

Separate because status holds a bounded list and nothing of the rest may be lost. Called by `planning.model`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from trainyard.api.reasons import Reason
from trainyard.planning import recordpod, stuckpod
from trainyard.planning.finding import Finding
from trainyard.planning.modelobserved import ObservedModel, Part, TaskView
from trainyard.planning.modelrules import ModelRules
from trainyard.planning.modelversions import Versions
from trainyard.planning.pending import SETTLE_SECONDS
from trainyard.planning.podview import PodView
from trainyard.planning.times import sooner

Json = Mapping[str, Any]

_LOOK_AGAIN_SECONDS, _LOOK_AGAIN_LONGEST_SECONDS = 15.0, 60.0
#: A pod that failed is left to be looked at for as long, and then there is another.
_AGAIN_SECONDS = 120.0
#: Pods at the same time: a model whose list was lost has many versions to store again.
_AT_ONCE = 4
#: A pod that takes longer waits for something, such as a claim or a Secret that is gone, and keeps no other waiting.
_SLOW_SECONDS = 600.0
#: A pod that has been on its node so long without a running container is stuck.
_STUCK_SECONDS = 10.0
#: What can be done for a pod that has no job, by what keeps it.
_ADVICE = {
    Reason.UNSCHEDULABLE: " It runs where settings.agent.nodeSelector and tolerations of the operator's settings say.",
    Reason.IMAGE_PULL_FAILED: " It is settings.agent.image of the operator's settings.",
}
#: What every pod passes through.
_COMING_UP = frozenset({Reason.ACCEPTED, Reason.QUEUED, Reason.STARTING, Reason.PULLING_IMAGE})


def plan(
    observed: ObservedModel, versions: Versions, *, now: float, rules: ModelRules
) -> tuple[Versions, Part]:
    """The versions with the cards that have been stored, and the pods that store others."""
    create: list[Json] = []
    delete: list[PodView] = []
    later: float | None = None
    problem = ""
    listed = []
    pods = {pod.attempt: pod for pod in observed.pods if pod.stage == recordpod.STAGE}
    running = sum(not pod.over and not _is_slow(pod, now=now) for pod in pods.values())
    refused = observed.pod_refused(now=now)
    for version in versions.listed:
        pod = pods.pop(version["number"], None)
        if pod is not None and pod.over:
            stored = recordpod.recorded(pod, version)
            ended = _ended_at(pod, now=now)
            if stored is not None:
                version = {**version, **stored}
                delete.append(pod)
            elif version.get("card") or now >= ended + _AGAIN_SECONDS:
                delete.append(pod)
            else:
                problem = (
                    f"The record of version {version['number']} could not be stored and is tried again: "
                    f"{recordpod.problem(pod)}"
                )
                later = sooner(later, ended + _AGAIN_SECONDS - now)
        elif pod is not None:
            later = sooner(later, _again(pod, now=now))
            problem = problem or _waits(observed, pod, version, now=now)
        elif recordpod.wanted(version) and refused is not None:
            problem = (
                f"The pod that stores the record of version {version['number']} is refused: {refused[0]}"
            )
            later = sooner(later, refused[1])
        elif recordpod.wanted(version) and running + len(create) < _AT_ONCE:
            job = next(
                (one.source for one in _sources(observed) if one.uid == version["lineage"].get("jobUid")), {}
            )
            create.append(recordpod.build(observed, version, job=job, rules=rules.context))
            later = sooner(later, _LOOK_AGAIN_SECONDS)
        listed.append(version)
    delete += [pod for pod in pods.values() if pod.over]  # of versions that status lists no longer
    gone = tuple(pod for pod in delete if pod.deletion_requested_at is None)
    part = Part(create=tuple(create), delete=gone, requeue_after=later, problem=problem)
    return replace(versions, listed=tuple(listed)), part


def stuck(pods: Iterable[PodView], *, now: float) -> PodView | None:
    """The first pod of which only its warnings may say why it does not come up."""
    for pod in sorted(pods, key=lambda one: one.attempt):
        since = pod.scheduled_at
        waits = not (pod.begun or pod.over or pod.sandbox_ready) and pod.deletion_requested_at is None
        if waits and since is not None and now >= since + _STUCK_SECONDS:
            return pod
    return None


def _waits(observed: ObservedModel, pod: PodView, version: Json, *, now: float) -> str:
    """What keeps a pod from storing its record, once that has stood; empty while it comes up as pods do."""
    if pod.created_at is None or now < pod.created_at + SETTLE_SECONDS:
        return ""
    number = version["number"]
    if not pod.begun:
        finding = stuckpod.what_it_waits_for(pod, observed.events.get(pod.uid, ()))
        if finding.reason not in _COMING_UP or _is_slow(pod, now=now):
            return f"The record of version {number} is not stored yet: {_for_no_job(finding)}"
    elif _is_slow(pod, now=now):
        return (
            f"Pod {pod.name} stores the record of version {number} and is not done: {recordpod.problem(pod)}"
        )
    return ""


def _for_no_job(finding: Finding) -> str:
    """What is found of a pod without what to do with its job: a record has none."""
    return f"{finding.cause or finding.message}{_ADVICE.get(finding.reason, '')}"


def _again(pod: PodView, *, now: float) -> float:
    """Seconds until a pod is looked at again, ever more. NB: the watch tells of it, but not of its Events."""
    age = now - pod.created_at if pod.created_at is not None else 0.0
    if age < SETTLE_SECONDS:
        return SETTLE_SECONDS - age
    return min(max(_LOOK_AGAIN_SECONDS, age / 10), _LOOK_AGAIN_LONGEST_SECONDS)


def _is_slow(pod: PodView, *, now: float) -> bool:
    return pod.created_at is not None and now >= pod.created_at + _SLOW_SECONDS


def _ended_at(pod: PodView, *, now: float) -> float:
    """When a pod has ended; one that never began counts from when it was made."""
    finished = pod.trainer.finished_at if pod.trainer is not None else None
    return finished if finished is not None else pod.created_at if pod.created_at is not None else now


def _sources(observed: ObservedModel) -> tuple[TaskView, ...]:
    return (*observed.tasks, *observed.outcomes.values())
