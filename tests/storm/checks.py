"""What must be true after a storm, whatever happened in it. Each check gives sentences, one for each fault it finds.

Pure, and separate from the engine, so that the checks themselves are tested (tests/unit/storm): one that finds nothing
proves something only if it would have found it. Nothing of the operator's code is used here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.storm.ownends import CONTAINER, OwnEnd, attempt_of, own_ends, seconds, terminated
from tests.storm.record import Seen
from tests.storm.script import Script, StormJob, Wish

Json = Mapping[str, Any]

LABEL_JOB = "trainyard.dev/job"
#: From an instruction to the end of the pod, for an operator that is there.
PROMPT_SECONDS = 20.0
#: From the decision of a stop to the deletion of the pods, on a machine that has much to do.
_STOPPING_SECONDS = 15.0
_ENDS = {"Done": "Completed", "Error": "Failed", "Canceled": "Canceled"}


@dataclass(frozen=True, kw_only=True)
class Told:
    """A request that the receiver accepted, with what its body says."""

    job: str
    id: str
    event: str
    sequence: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was seen of a storm: every version of jobs and pods, in order, and what the receiver was told, in order.

    `wished_at` is when a job's last instruction was acknowledged; `deaf` are the times without an operator.
    """

    script: Script
    jobs: Sequence[Seen]
    pods: Sequence[Seen]
    told: Sequence[Told]
    wished_at: Mapping[str, float]
    deaf: Sequence[tuple[float, float]] = ()


def faults(evidence: Evidence) -> list[str]:
    """Everything that is wrong."""
    return [
        *ends_elsewhere(evidence),
        *ended_twice_or_came_back(evidence),
        *attempts_forgotten(evidence),
        *made_twice(evidence),
        *ran_beside_each_other(evidence),
        *left_behind(evidence),
        *callbacks_wrong(evidence),
    ]


def unsettled(evidence: Evidence) -> bool:
    """Whether something is wrong that time may still mend."""
    checks = (ends_elsewhere, left_behind, callbacks_wrong)
    return any(fault for check in checks for fault in check(evidence))


def versions(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    """By name, in order."""
    result: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        result[one.name].append(one)
    return result


def pods_of(evidence: Evidence) -> dict[str, dict[str, list[Seen]]]:
    """Versions of the pods of each job, by their UID, the oldest pod first."""
    result: dict[str, dict[str, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    for one in evidence.pods:
        job = (one.object["metadata"].get("labels") or {}).get(LABEL_JOB)
        if job:
            result[job][one.uid].append(one)
    return result


# What becomes of a job


def ends_elsewhere(evidence: Evidence) -> Iterator[str]:
    """Make sure that each job ended in the state that its last instruction asks for."""
    seen, pods = versions(evidence.jobs), pods_of(evidence)
    for job in evidence.script.jobs:
        if job.name not in seen:
            yield f"{job.name} was never seen."
            continue
        status = seen[job.name][-1].object.get("status") or {}
        is_now, ends = state(status), own_ends(pods.get(job.name, {}), nodes=job.nodes)
        stops = [(one.object.get("status") or {}).get("stop") for one in seen[job.name]]
        decided = {seconds(stop["time"]) for stop in stops if stop}
        certain = next((end for end in ends if end.certain and not _was_stopping(end, decided)), None)
        said = f"({status.get('phase')}/{status.get('reason')}: {status.get('message')})"
        if is_now in ("Done", "Error"):
            own = next((end for end in ends if end.outcome == is_now), None)
            if own is None:
                yield f"{job.name} is {is_now} {said}, but the trainers of none of its attempts ended so by themselves."
            elif late := _ran_on(evidence, job.name, job.wish, own.finished_at):
                yield f"{job.name} was told to {job.wish} and ran on for {late:.0f} s until it ended by itself."
        elif certain is not None:
            yield (
                f"{job.name} is {is_now} {said}, but its trainer had ended by itself with exit code"
                f" {certain.exit_code}."
            )
        elif is_now != _wanted(job, seen[job.name]):
            yield f"{job.name} was last told to {job.wish} and is {is_now} {said}."


def _was_stopping(end: OwnEnd, decided: Collection[float]) -> bool:
    """Whether a stop had just been decided when a trainer ended: its pod may have been told already, or on a slow
    machine not yet. The stamps of a deletion do not outlast the end, and in doubt the operator takes it as told.
    """
    return any(at <= end.finished_at <= at + _STOPPING_SECONDS for at in decided)


def _wanted(job: StormJob, seen: Sequence[Seen]) -> str:
    """The state that a job which did not end by itself shall be in. A cancel of what had begun and cannot go on where
    it was is final."""
    cancelled = (s for one in seen if state(s := one.object.get("status") or {}) == "Canceled")
    if not job.resumable and any(
        entry.get("startTime") for s in cancelled for entry in s.get("attempts") or []
    ):
        return "Canceled"
    return {"run": "ended", "suspend": "Paused", "cancel": "Canceled"}[job.wish]


def state(status: Json) -> str:
    """Done, Error, Canceled, Paused, or "on its way", as a user reads it: every part must say the same."""
    condition = {one["type"]: one["status"] for one in status.get("conditions") or []}
    phase, reason = status.get("phase"), status.get("reason")
    ended, suspended = bool(status.get("completionTime")), condition.get("Suspended") == "True"
    if phase in _ENDS and ended and not suspended and condition.get("Finished") == "True":
        return str(phase)
    if (phase, reason) == ("Pending", "Paused") and suspended and not ended:
        return "Paused"
    return "on its way"


def _ran_on(evidence: Evidence, name: str, wish: Wish, finished: float) -> float:
    """Seconds for which a job ran on that had been told to stop, where the operator was there to stop it."""
    told = evidence.wished_at.get(name)
    if wish == "run" or told is None:
        return 0.0
    heard = told
    for begin, end in sorted(evidence.deaf):
        if begin <= heard + PROMPT_SECONDS and end > heard:
            heard = end
    return finished - told if finished > heard + PROMPT_SECONDS else 0.0


def ended_twice_or_came_back(evidence: Evidence) -> Iterator[str]:
    """Make sure that nothing leaves Done or Error."""
    for name, seen in versions(evidence.jobs).items():
        for before, after in pairwise(seen):
            old, new = before.object.get("status") or {}, after.object.get("status") or {}
            if old.get("phase") in ("Done", "Error") and (
                new.get("phase") != old["phase"] or new.get("completionTime") != old.get("completionTime")
            ):
                yield f"{name} was {old['phase']} and became {new.get('phase')}/{new.get('reason')}."


def attempts_forgotten(evidence: Evidence) -> Iterator[str]:
    """Make sure that the record of attempts has every pod, and that numbers only grow."""
    pods = pods_of(evidence)
    for name, seen in versions(evidence.jobs).items():
        highest = -1
        for one in seen:
            numbers = [int(e["number"]) for e in (one.object.get("status") or {}).get("attempts") or []]
            if numbers != sorted(set(numbers)):
                yield f"{name} records its attempts as {numbers}."
            if highest > max(numbers, default=-1):
                yield f"{name} had recorded attempt {highest} and then had {numbers}."
            highest = max([highest, *numbers])
        ran = {
            attempt_of(versions_)
            for versions_ in pods.get(name, {}).values()
            if terminated(versions_) is not None
        }
        entries = {int(e["number"]): e for e in (seen[-1].object.get("status") or {}).get("attempts") or []}
        oldest = min(entries, default=0)
        for number in sorted(ran):
            if number >= oldest and "completionTime" not in entries.get(number, {}):
                yield f"{name}: its attempt {number} ended and is not recorded so: {entries.get(number)}."


# Its pods


def made_twice(evidence: Evidence) -> Iterator[str]:
    """Make sure that no attempt had two pods."""
    for job, pods in pods_of(evidence).items():
        uids: dict[str, set[str]] = defaultdict(set)
        for uid, seen in pods.items():
            uids[seen[0].name].add(uid)
        for name, several in uids.items():
            if len(several) > 1:
                yield f"{job}: the pod {name} was made {len(several)} times."


def ran_beside_each_other(evidence: Evidence) -> Iterator[str]:
    """Make sure that no pod of a job was there before those of the attempt before had ended, and that no trainers of
    two attempts ran at the same time."""
    order = {id(one): number for number, one in enumerate(evidence.pods)}
    for job, pods in pods_of(evidence).items():
        spans = list(pods.values())
        for number, earlier in enumerate(spans):
            over = next((order[id(one)] for one in earlier if _cannot_run(one)), None)
            ran = _ran(earlier)
            for later in spans[number + 1 :]:
                if attempt_of(later) == attempt_of(earlier):
                    continue
                pair = f"{earlier[0].name} and {later[0].name}"
                if over is None or over > order[id(later[0])]:
                    yield f"{job}: {pair} were there at the same time."
                also = _ran(later)
                if ran and also and also[0] < ran[1] and ran[0] < also[1]:
                    yield f"{job}: the trainers of {pair} ran at the same time, {ran} and {also}."


def _cannot_run(one: Seen) -> bool:
    pod = one.object
    never_placed = "deletionTimestamp" in pod["metadata"] and not pod.get("spec", {}).get("nodeName")
    return one.deleted or never_placed or pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _ran(seen: Sequence[Seen]) -> tuple[float, float] | None:
    """When the trainer of a pod ran, in whole seconds; to when it was last seen if no end was told."""
    if (end := terminated(seen)) is not None:
        return (seconds(end["startedAt"]), seconds(end["finishedAt"])) if end.get("startedAt") else None
    for one in seen:
        for container in one.object.get("status", {}).get("containerStatuses") or []:
            if container["name"] == CONTAINER and "running" in container["state"]:
                return seconds(container["state"]["running"]["startedAt"]), float(int(seen[-1].at))
    return None


def left_behind(evidence: Evidence) -> Iterator[str]:
    """Make sure that a job that stands still has no pod that runs, and that no finalizer of ours is left on a pod."""
    last = {name: seen[-1].object for name, seen in versions(evidence.jobs).items()}
    for job, pods in pods_of(evidence).items():
        is_now = state((last.get(job) or {}).get("status") or {})
        for seen in pods.values():
            pod = seen[-1].object
            if seen[-1].deleted or is_now == "on its way":
                continue
            metadata = pod["metadata"]
            phase, name = pod.get("status", {}).get("phase"), metadata["name"]
            if phase not in ("Succeeded", "Failed"):
                yield f"{job} is {is_now}, and its pod {name} is {phase}."
            if ours := [one for one in metadata.get("finalizers") or [] if "trainyard" in one]:
                yield f"{job} is {is_now}, and its pod {name} still has {ours}."
            if "deletionTimestamp" in metadata:
                yield f"{job} is {is_now}, and its pod {name} was deleted and has not gone."


# What was told


def callbacks_wrong(evidence: Evidence) -> Iterator[str]:
    """Make sure that each event of a job was told, in order, under one id of its own."""
    told: dict[str, list[Told]] = defaultdict(list)
    by_id: dict[str, set[tuple[str, str, int]]] = defaultdict(set)
    for one in evidence.told:
        told[one.job].append(one)
        by_id[one.id].add((one.job, one.event, one.sequence))
    for key, several in by_id.items():
        if len(several) > 1:
            yield f"The id {key} came with several events: {sorted(several)}."
    for name, seen in versions(evidence.jobs).items():
        ids: dict[int, set[tuple[str, str]]] = defaultdict(set)
        for one in told[name]:
            ids[one.sequence].add((one.id, one.event))
        for sequence, several_ids in sorted(ids.items()):
            if len(several_ids) > 1:
                yield f"{name}: event {sequence} came as {sorted(several_ids)}."
        first = list(dict.fromkeys(one.sequence for one in told[name]))
        if first != sorted(first):
            yield f"{name}: its events came in the order {first}."
        event_of = {one.sequence: one.event for one in told[name]}
        was_told = [event_of[sequence] for sequence in sorted(event_of)]
        happened = list(events(seen))
        if was_told != happened:
            yield f"{name}: what happened was {happened}, and {was_told} was told."


def events(seen: Sequence[Seen]) -> Iterator[str]:
    """The events of one job as its conditions and stamps tell them, version by version."""
    started = paused = ended = False
    for one in seen:
        status = one.object.get("status") or {}
        conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
        now_ended, now_paused = bool(status.get("completionTime")), conditions.get("Suspended") == "True"
        if status.get("startTime") and not started:
            started = True
            yield "Started"
        if now_paused and not paused:
            yield "Paused"
        elif now_ended and not ended:
            yield _ENDS[status["phase"]]
        elif (paused or ended) and not now_paused and not now_ended:
            yield "Resumed"
        paused, ended = now_paused, now_ended
