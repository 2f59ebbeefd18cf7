"""Pods that propose trials and cannot start: what users are told, and what mends it."""

from __future__ import annotations

import base64
import dataclasses
import zlib
from typing import Any

import orjson
import pytest

from tests.unit.planning.experiments import RULES, World, a_search
from tests.unit.planning.test_trials import startup
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.observed import Refusal
from trainyard.planning.podview import ContainerView
from trainyard.planning.tunerpod import TunerRules

NO_NODE = "0/3 nodes are available: 3 Insufficient memory."
NO_IMAGE = 'Back-off pulling image "tuner:1": ErrImagePull: docker.io/tuner:1: not found'


def with_tuner(**rules: Any) -> ExperimentRules:
    return dataclasses.replace(RULES, tuner=TunerRules(**rules))


def a_world(**automl: Any) -> World:
    """A search that waits for its first proposal."""
    world = World(spec=a_search(algorithm="bayesian", maxRecommendations=8, **automl))
    for number in range(startup(world)):
        world.settle()
        world.ends(f"digits-t{number}-r0", value=0.5 + number / 100)
    world.settle()
    return world


def becomes(world: World, **fields: Any) -> None:
    pod = world.proposer()
    world.pods[pod.name] = dataclasses.replace(pod, **fields)


def waits(reason: str, message: str) -> dict[str, Any]:
    main = ContainerView(name="trainyard-propose", state="waiting", reason=reason, message=message)
    return {"scheduled": True, "node": "n1", "trainer": main}


UNSCHEDULABLE = {"scheduling_reason": "Unschedulable", "scheduling_message": NO_NODE}


@pytest.mark.parametrize(
    ("fields", "reason", "said"),
    [
        (waits("ImagePullBackOff", NO_IMAGE), "ImagePullFailed", "docker.io/tuner:1: not found"),
        (waits("ErrImagePull", NO_IMAGE), "ImagePullFailed", "settings.tuner.image"),
        (waits("InvalidImageName", "invalid reference format"), "ImagePullFailed", "settings.tuner.image"),
        (
            waits("CreateContainerError", "no such file or directory"),
            "ContainerConfigInvalid",
            "no such file",
        ),
        (UNSCHEDULABLE, "Unschedulable", "memory on 3 of 3 nodes"),
        ({"scheduling_reason": "SchedulingGated"}, "Queued", "to be admitted"),
    ],
)
def test_one_that_cannot_start_is_told_of_by_reason_message_condition_and_event(
    fields: dict[str, Any], reason: str, said: str
) -> None:
    world = a_world()
    becomes(world, **fields)
    for _ in range(3):
        world.look()
    assert (world.status["phase"], world.status["reason"]) == ("Pending", reason)
    assert (world.step("train")["phase"], world.step("train")["reason"]) == ("Pending", reason)
    (ready,) = [one for one in world.status["conditions"] if one["type"] == "Ready"]
    for text in (world.status["message"], ready["message"], world.step("train")["message"]):
        assert said in text
        assert world.proposer().name in text
    assert world.events.count(reason) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        waits("ContainerCreating", ""),
        {**waits("", ""), "sandbox_ready": True},
        {"scheduled": True, "trainer": ContainerView(name="x", state="running", started_at=1.0)},
    ],
)
def test_one_that_is_on_its_way_proposes(fields: dict[str, Any]) -> None:
    world = a_world()
    becomes(world, **fields)
    world.look()
    assert (world.status["phase"], world.status["reason"]) == ("Running", "Proposing")
    assert world.proposer().name in world.status["message"]


def test_once_it_starts_the_search_goes_on() -> None:
    world = a_world()
    becomes(world, **waits("ImagePullBackOff", NO_IMAGE))
    world.look()
    becomes(world, trainer=ContainerView(name="x", state="running", started_at=1.0))
    world.look()
    assert (world.status["phase"], world.status["reason"]) == ("Running", "Proposing")
    world.proposes(("0.02",))
    world.settle()
    assert f"digits-t{startup(world)}-r0" in world.jobs


def test_it_is_told_of_also_while_other_trials_run() -> None:
    world = World(spec=a_search(algorithm="bayesian", maxRecommendations=8, parallelism=2))
    world.settle()
    for number in range(startup(world) - 1):
        world.ends(f"digits-t{number}-r0", value=0.5)
        world.settle()
    world.starts(f"digits-t{startup(world) - 1}-r0")
    becomes(world, **waits("ImagePullBackOff", NO_IMAGE))
    world.look()
    assert (world.status["phase"], world.status["reason"]) == ("Running", "Searching")
    assert "docker.io/tuner:1: not found" in world.status["message"]


@pytest.mark.parametrize(
    ("message", "reason"),
    [("exceeded quota: pods", "QuotaExceeded"), ("a webhook says no", "PolicyRefused")],
)
def test_one_that_is_refused_is_told_of_by_its_reason(message: str, reason: str) -> None:
    world = a_world()
    world.pods.clear()
    world.pod_refusal = Refusal(status=403, message=message, first_at=world.now, last_at=world.now, count=1)
    world.settle()
    assert (world.status["phase"], world.status["reason"]) == ("Pending", reason)
    assert world.events.count(reason) == 1


@pytest.mark.parametrize(
    "mended",
    [
        {"image": "tuner:mended"},
        {"requests": {"memory": "1Mi"}},
        {"node_selector": {"pool": "cpu"}},
        {"tolerations": [{"operator": "Exists"}]},
        {"image_pull_policy": "Never"},
    ],
)
def test_one_that_has_not_started_is_made_anew_by_changed_settings(mended: dict[str, Any]) -> None:
    world = a_world()
    becomes(world, **waits("ImagePullBackOff", NO_IMAGE))
    world.settle()
    stuck = world.proposer()
    world.rules = with_tuner(**mended)
    world.settle()
    made = world.proposer()
    assert (made.name, made.uid == stuck.uid) == (stuck.name, False)
    assert (world.status["phase"], world.status["reason"]) == ("Running", "Proposing")


def test_one_whose_digest_was_taken_off_is_not_deleted_at_every_look() -> None:
    world = a_world()
    becomes(world, **UNSCHEDULABLE, spec_hash="")
    stuck = world.proposer()
    world.settle()
    assert world.proposer().uid == stuck.uid


def test_one_that_is_being_deleted_is_not_deleted_again_and_waited_for() -> None:
    world = a_world()
    becomes(world, **waits("ImagePullBackOff", NO_IMAGE), deletion_requested_at=1.0)
    world.rules = with_tuner(image="tuner:mended")
    plan = world.look()
    assert not plan.plan.delete
    assert not plan.plan.create


@pytest.mark.parametrize("state", ["running", "ended"])
def test_one_that_has_started_is_left_alone(state: str) -> None:
    world = a_world()
    began = world.proposer()
    becomes(world, scheduled=True, trainer=ContainerView(name="x", state="running", started_at=1.0))
    if state == "ended":
        world.proposes(("0.02",))
    world.rules = with_tuner(image="tuner:mended")
    world.settle()
    if state == "running":
        assert world.proposer().uid == began.uid
    assert (f"digits-t{startup(world)}-r0" in world.jobs) is (state == "ended")


def test_one_whose_answer_cannot_be_read_for_long_is_made_anew() -> None:
    world = a_world()
    pod = world.proposer()
    main = ContainerView(name="trainyard-propose", state="terminated", exit_code=0, finished_at=world.now)
    becomes(world, phase="Succeeded", trainer=main)
    world.look()
    assert set(world.pods) == {pod.name}, "it may be read at the next look"
    world.now += 130
    for _ in range(3):
        world.look()
    assert world.proposer().uid != pod.uid


def test_the_best_trials_are_proposed_from_also_when_their_jobs_are_deleted() -> None:
    world = World(spec=a_search(algorithm="bayesian", maxRecommendations=9))
    first = startup(world)
    for number in range(first):
        world.settle()
        world.ends(f"digits-t{number}-r0", value=0.5 + number / 100)
    for number in range(first, first + 3):
        world.settle()
        world.proposes((f"0.0{number}",))
        world.settle()
        world.ends(f"digits-t{number}-r0", value=0.9 + number / 100)
    world.settle()
    before = told(world)
    assert len(before["history"]) == first + 3
    world.pods.clear()
    world.jobs.clear()
    world.settle()
    assert told(world) == before


def told(world: World) -> dict[str, Any]:
    """What the pod that proposes is given."""
    packed = world.orders[world.proposer().name]["TRAINYARD_SEARCH"]
    found: dict[str, Any] = orjson.loads(zlib.decompress(base64.b64decode(packed)))
    return found
