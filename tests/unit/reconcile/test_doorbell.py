"""Which events bring a look at a job, and when. The echoes of our own writes bring none, nor what plans do not read."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from trainyard.api import names
from trainyard.cluster.cache import DATASET, EXPERIMENT, MODEL, POD, TRAINING_JOB, Cache, Key
from trainyard.reconcile.loop import Doorbell
from trainyard.reconcile.queue import KeyedQueue
from trainyard.reconcile.references import References

Json = dict[str, Any]

JOB = Key(TRAINING_JOB, "team", "resnet")
CHILD = Key(TRAINING_JOB, "team", "evaluate")


def a_job(version: int) -> Json:
    metadata = {"namespace": "team", "name": "resnet", "uid": "job-uid", "resourceVersion": str(version)}
    return {"kind": TRAINING_JOB, "metadata": metadata}


def a_pod(version: int, *, held: bool = True, node: str | None = None, **status: Any) -> Json:
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": TRAINING_JOB,
        "name": "resnet",
        "uid": "job-uid",
        "controller": True,
    }
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_ATTEMPT: "0"}
    return {
        "metadata": {
            "namespace": "team",
            "name": "resnet-0-0",
            "uid": "pod-uid",
            "resourceVersion": str(version),
            "labels": labels,
            "finalizers": [names.VERDICT_FINALIZER] if held else [],
            "ownerReferences": [owner],
        },
        "spec": {"nodeName": node},
        "status": {"phase": "Pending", **status},
    }


class Bell:
    """A doorbell, its queue, and a worker's hands."""

    def __init__(self) -> None:
        self.queue, self.references, self.cache = KeyedQueue(), References(), Cache()
        self.door = Doorbell(cache=self.cache, queue=self.queue, references=self.references)

    async def take(self, key: Key = JOB) -> None:
        assert await asyncio.wait_for(self.queue.get(), 5) == key

    @asynccontextmanager
    async def at_work(self, kind: str, raw: Json) -> AsyncIterator[None]:
        """While the job is reconciled for the event of `raw`."""
        self.door.ring(kind, "ADDED", raw)
        await self.take()
        yield
        self.queue.done(JOB)


@pytest.mark.parametrize("echo_first", [True, False])
@pytest.mark.parametrize(
    ("kind", "written"),
    [
        pytest.param(TRAINING_JOB, a_job(7), id="status"),
        pytest.param(POD, a_pod(7), id="a pod that is made"),
    ],
)
async def test_an_echo_brings_no_look_whichever_comes_first(
    kind: str, written: Json, echo_first: bool
) -> None:
    bell = Bell()
    async with bell.at_work(TRAINING_JOB, a_job(5)):
        if echo_first:
            bell.door.ring(kind, "MODIFIED", written)
        bell.door.answered(kind, written)
        if not echo_first:
            bell.door.ring(kind, "MODIFIED", written)
    assert len(bell.queue) == 0


@pytest.mark.parametrize("echo_first", [True, False])
async def test_the_echo_of_a_release_brings_no_look(echo_first: bool) -> None:
    bell = Bell()
    async with bell.at_work(POD, a_pod(5, phase="Succeeded")):
        released = a_pod(7, phase="Succeeded", held=False)
        if echo_first:
            bell.door.ring(POD, "MODIFIED", released)
        bell.door.answered(POD, released)
    assert len(bell.queue) == 0


async def test_a_pod_that_is_released_brings_no_look() -> None:
    bell = Bell()
    async with bell.at_work(POD, a_pod(5, phase="Succeeded")):
        pass
    bell.door.ring(POD, "MODIFIED", a_pod(7, phase="Succeeded", held=False))
    assert len(bell.queue) == 0


async def test_what_others_did_meanwhile_brings_a_look_beside_an_echo() -> None:
    bell = Bell()
    async with bell.at_work(TRAINING_JOB, a_job(5)):
        bell.door.ring(TRAINING_JOB, "MODIFIED", a_job(6))
        bell.door.ring(TRAINING_JOB, "MODIFIED", a_job(7))
        bell.door.answered(TRAINING_JOB, a_job(7))
    await bell.take()


async def test_an_event_that_no_answer_follows_brings_a_look() -> None:
    bell = Bell()
    async with bell.at_work(TRAINING_JOB, a_job(5)):
        bell.door.ring(TRAINING_JOB, "MODIFIED", a_job(7))
    await bell.take()


async def test_what_others_did_to_a_pod_before_its_release_brings_a_look() -> None:
    bell = Bell()
    async with bell.at_work(POD, a_pod(5, phase="Running")):
        bell.door.answered(POD, a_pod(7, phase="Succeeded", held=False))
        bell.door.ring(POD, "MODIFIED", a_pod(6, phase="Succeeded"))
    await bell.take()


async def test_a_written_status_rings_for_those_who_wait_for_it() -> None:
    bell = Bell()
    bell.references.set(CHILD, {JOB})
    async with bell.at_work(TRAINING_JOB, a_job(5)):
        await bell.take(CHILD)
        bell.queue.done(CHILD)
        bell.door.answered(TRAINING_JOB, a_job(7))
    await bell.take(CHILD)


async def test_an_event_of_a_pod_that_plans_read_nothing_of_brings_no_look() -> None:
    bell = Bell()
    async with bell.at_work(POD, a_pod(5, phase="Running")):
        pass
    bell.door.ring(POD, "MODIFIED", a_pod(6, phase="Running", qosClass="Guaranteed"))
    assert len(bell.queue) == 0
    bell.door.ring(POD, "MODIFIED", a_pod(7, phase="Running", message="Something else."))
    await bell.take()


async def test_steps_of_a_pod_that_comes_up_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainyard.reconcile.loop.COMING_UP_SECONDS", 0.05)
    bell = Bell()
    async with bell.at_work(POD, a_pod(5)):
        pass
    bell.door.ring(POD, "MODIFIED", a_pod(6, node="node-1"))
    bell.door.ring(POD, "MODIFIED", a_pod(7, node="node-1", startTime="2026-01-01T00:00:00Z"))
    assert len(bell.queue) == 0
    await bell.take()


async def test_the_end_of_a_pod_goes_before_new_jobs() -> None:
    bell = Bell()
    async with bell.at_work(POD, a_pod(5, phase="Running")):
        pass
    new = [Key(TRAINING_JOB, "team", f"new-{number}") for number in range(3)]
    for key in new:
        bell.queue.add(key)
    bell.door.ring(POD, "MODIFIED", a_pod(6, phase="Succeeded"))
    await bell.take()
    await bell.take(new[0])


async def test_a_pod_that_is_gone_brings_a_look() -> None:
    bell = Bell()
    async with bell.at_work(POD, a_pod(5)):
        pass
    bell.door.ring(POD, "DELETED", a_pod(6))
    await bell.take()


async def test_a_list_that_tells_of_our_release_and_of_an_end_at_once_brings_a_look() -> None:
    """The answer has the same version as what the list has shown, but not all of it was our doing."""
    bell = Bell()
    async with bell.at_work(POD, a_pod(9, node="n", phase="Running")):
        bell.door.ring(POD, None, a_pod(12, node="n", held=False, phase="Failed"))
        bell.door.answered(POD, a_pod(12, node="n", held=False, phase="Failed"))
    await bell.take()


async def test_a_release_that_was_done_before_hides_no_end_that_its_answer_tells() -> None:
    bell = Bell()
    async with bell.at_work(POD, a_pod(9, node="n", phase="Running")):
        bell.door.ring(POD, "MODIFIED", a_pod(10, node="n", held=False, phase="Running"))
        bell.door.ring(POD, "MODIFIED", a_pod(11, node="n", held=False, phase="Failed"))
        bell.door.answered(POD, a_pod(11, node="n", held=False, phase="Failed"))
    await bell.take()


def a_dataset(version: int, *, percent: int, phase: str = "Running") -> Json:
    metadata = {"namespace": "team", "name": "digits", "uid": "d", "resourceVersion": str(version)}
    status = {"phase": phase, "pull": {"state": "in_progress", "percent": percent}}
    return {"kind": DATASET, "metadata": metadata, "status": status}


@pytest.mark.parametrize("written_by_us", [True, False])
async def test_progress_of_a_dataset_rings_for_itself_and_its_end_for_those_who_wait(
    *, written_by_us: bool
) -> None:
    bell = Bell()
    dataset = Key(DATASET, "team", "digits")
    bell.references.set(JOB, {dataset})
    bell.door.ring(DATASET, "ADDED", a_dataset(1, percent=0))
    taken = [await bell.queue.get() for _ in range(len(bell.queue))]
    assert set(taken) == {dataset, JOB}
    for key in taken:
        bell.queue.done(key)
    for version, phase, rings in ((2, "Running", False), (3, "Done", True)):
        raw = a_dataset(version, percent=version * 10, phase=phase)
        if written_by_us:
            bell.door.answered(DATASET, raw)
        else:
            bell.door.ring(DATASET, "MODIFIED", raw)
        taken = [await bell.queue.get() for _ in range(len(bell.queue))]
        assert (JOB in taken) is rings
        for key in taken:
            bell.queue.done(key)


EXPERIMENT_KEY = Key(EXPERIMENT, "team", "digits")


def a_trial(version: int, *, phase: str = "Running", epoch: int = 1) -> Json:
    metadata = {"namespace": "team", "name": "resnet", "uid": "job-uid", "resourceVersion": str(version)}
    status = {"phase": phase, "reason": "Training", "progress": {"epoch": epoch}}
    return {"kind": TRAINING_JOB, "metadata": metadata, "spec": {"experiment": "digits"}, "status": status}


async def taken_at_once(bell: Bell) -> set[Key]:
    taken = {await bell.queue.get() for _ in range(len(bell.queue))}
    for key in taken:
        bell.queue.done(key)
    return taken


@pytest.mark.parametrize("written_by_us", [True, False])
async def test_a_job_rings_for_its_experiment_at_once_when_it_has_come_further_and_soon_when_it_tells_figures(
    *, written_by_us: bool
) -> None:
    bell = Bell()
    bell.door.ring(TRAINING_JOB, "ADDED", a_trial(1, phase="Pending"))
    assert await taken_at_once(bell) == {JOB, EXPERIMENT_KEY}
    for version, phase, at_once in ((2, "Running", True), (3, "Running", False), (4, "Done", True)):
        raw = a_trial(version, phase=phase, epoch=version)
        if written_by_us:
            bell.door.answered(TRAINING_JOB, raw)
        else:
            bell.door.ring(TRAINING_JOB, "MODIFIED", raw)
        assert (EXPERIMENT_KEY in await taken_at_once(bell)) is at_once
    bell.door.answered(TRAINING_JOB, a_trial(5, phase="Done", epoch=5))
    await bell.take(EXPERIMENT_KEY)


@pytest.mark.parametrize("lost", [True, False])
async def test_a_job_that_is_gone_rings_for_its_experiment(*, lost: bool) -> None:
    bell = Bell()
    bell.door.ring(TRAINING_JOB, "ADDED", a_trial(1))
    await taken_at_once(bell)
    if lost:
        bell.door.ring_for_lost(JOB, "job-uid", version=2)
    else:
        bell.door.ring(TRAINING_JOB, "DELETED", a_trial(2))
    assert EXPERIMENT_KEY in await taken_at_once(bell)


async def test_a_job_that_is_given_to_another_model_rings_for_both() -> None:
    bell = Bell()
    for version, model, rung in ((1, "old", {"old"}), (2, "new", {"old", "new"}), (3, None, {"new"})):
        raw = {**a_trial(version), "spec": {"model": model}}
        raw["metadata"]["generation"] = version
        bell.door.ring(TRAINING_JOB, "MODIFIED", raw)
        assert {key.name for key in await taken_at_once(bell) if key.kind == MODEL} == rung


def an_experiment(version: int, *, generation: int, done: int = 0) -> Json:
    metadata = {
        "namespace": "team",
        "name": "digits",
        "uid": "e",
        "resourceVersion": str(version),
        "generation": generation,
    }
    return {"kind": EXPERIMENT, "metadata": metadata, "status": {"progress": {"done": done}}}


async def test_an_experiment_rings_for_its_jobs_when_it_is_edited_and_not_when_it_tells_its_progress() -> (
    None
):
    bell = Bell()
    bell.references.set(JOB, {EXPERIMENT_KEY})
    bell.door.ring(EXPERIMENT, "ADDED", an_experiment(1, generation=1))
    assert await taken_at_once(bell) == {EXPERIMENT_KEY, JOB}
    bell.door.answered(EXPERIMENT, an_experiment(2, generation=1, done=1))
    assert await taken_at_once(bell) == set()
    bell.door.ring(EXPERIMENT, "MODIFIED", an_experiment(3, generation=2, done=1))
    assert await taken_at_once(bell) == {EXPERIMENT_KEY, JOB}


async def test_a_pod_of_an_experiment_rings_for_it() -> None:
    bell = Bell()
    raw = a_pod(1)
    raw["metadata"]["name"] = "digits-propose-3"
    raw["metadata"]["ownerReferences"][0] |= {"kind": EXPERIMENT, "name": "digits", "uid": "e"}
    bell.door.ring(POD, "ADDED", raw)
    await bell.take(EXPERIMENT_KEY)
    (pod,) = bell.cache.pods_of("e")
    assert (pod.experiment, pod.stage, pod.attempt) == ("digits", "propose", 3)


@pytest.mark.parametrize("echo_first", [True, False])
async def test_a_job_that_its_experiment_has_made_is_looked_at_whichever_tells_of_it_first(
    *, echo_first: bool
) -> None:
    bell = Bell()
    raw = {**a_trial(3), "status": {}}
    told = [
        lambda: bell.door.ring(TRAINING_JOB, "ADDED", copy.deepcopy(raw)),
        lambda: bell.door.made(TRAINING_JOB, copy.deepcopy(raw)),
    ]
    for tell in told if echo_first else reversed(told):
        tell()
    assert JOB in await taken_at_once(bell)
