"""The pods that store records: what keeps one from coming up is told as that of a job is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.models import World
from trainyard.api import names
from trainyard.planning import modelrecords
from trainyard.planning.lookedup import PodEvent
from trainyard.planning.podview import ContainerView

ON_A_NODE = {"scheduled": True, "node": "node-a", "sandbox_ready": True}
NO_SECRET = 'MountVolume.SetUp failed for volume "secret" : secret "bucket" not found'


def waiting(reason: str = "", message: str = "", **pod: Any) -> World:
    """A version whose record a pod is to store that was made just now."""
    world = World({"type": "random_forest"}).posted("made").ends("made", accuracy=0.9)
    world.look()
    world.look()
    container = ContainerView(name=names.RECORD_CONTAINER, state="waiting", reason=reason, message=message)
    world.pods["digits-record-1"] = dataclasses.replace(
        world.pods["digits-record-1"],
        phase="Pending",
        created_at=world.now,
        scheduled_at=world.now if pod.get("scheduled") else None,
        trainer=container if pod.get("sandbox_ready") else None,
        **pod,
    )
    return world


@pytest.mark.parametrize(
    ("world", "said"),
    [
        pytest.param(
            waiting(scheduling_reason="Unschedulable", scheduling_message="0/3 nodes are available: 3 full."),
            "No node can take pod digits-record-1: 0/3 nodes are available",
            id="no node takes it",
        ),
        pytest.param(
            waiting(
                scheduling_reason="Unschedulable", scheduling_message='persistentvolumeclaim "m" not found'
            ),
            "There is no PersistentVolumeClaim m in this namespace: create it",
            id="its claim is not there",
        ),
        pytest.param(
            waiting("ImagePullBackOff", "ErrImagePull: agent:1 not found", **ON_A_NODE),
            f"The image of container {names.RECORD_CONTAINER} cannot be pulled: agent:1 not found",
            id="its image cannot be pulled",
        ),
        pytest.param(
            waiting("InvalidImageName", 'couldn\'t parse image name "A:1"', **ON_A_NODE),
            f"The image of container {names.RECORD_CONTAINER} has a name that no registry can serve",
            id="its image has no name of one",
        ),
    ],
)
def test_what_keeps_it_from_coming_up_is_told_once_it_has_stood(world: World, said: str) -> None:
    world.look()
    assert "record" not in world.status["message"]
    later = world.passes(2).look().plan.requeue_after
    assert later is not None
    assert later <= 1
    world.passes(1).look()
    assert f"The record of version 1 is not stored yet: {said}" in world.status["message"]
    assert "pause" not in world.status["message"], "there is no job to pause"


UNSCHEDULABLE = {"scheduling_reason": "Unschedulable"}
NO_CLAIM = 'MountVolume.SetUp failed: persistentvolumeclaim "m" not found'


@pytest.mark.parametrize(
    "world",
    [
        waiting(scheduling_message="0/3 nodes: 3 had untolerated taint {gpu: present}.", **UNSCHEDULABLE),
        waiting(
            scheduling_message="0/3 nodes: 3 didn't match Pod's node affinity/selector.", **UNSCHEDULABLE
        ),
        waiting(scheduling_message='persistentvolumeclaim "m" not found', **UNSCHEDULABLE),
        waiting("ImagePullBackOff", "ErrImagePull: 401 Unauthorized", **ON_A_NODE),
        waiting(
            "CreateContainerConfigError", "container has runAsNonRoot and image runs as root", **ON_A_NODE
        ),
        waiting("CreateContainerError", "context deadline exceeded", **ON_A_NODE),
        waiting("CreateContainerConfigError", NO_CLAIM, **ON_A_NODE),
        waiting("RunContainerError", 'exec: "python3": executable file not found in $PATH', **ON_A_NODE),
    ],
)
def test_it_is_given_no_advice_that_only_a_job_can_follow(world: World) -> None:
    world.passes(10).look()
    message = world.status["message"]
    assert "The record of version 1 is not stored yet: " in message
    assert message.endswith(".")
    assert not [words for words in ("spec.", "trainyard retry", "pause", "..") if words in message], message


@pytest.mark.parametrize(
    ("reason", "text"), [("FailedMount", NO_CLAIM), ("FailedCreatePodSandBox", "memory limit too low")]
)
def test_its_warnings_give_no_such_advice_either(reason: str, text: str) -> None:
    world = waiting(scheduled=True, node="node-a").passes(700)
    uid = world.pods["digits-record-1"].uid
    world.warnings[uid] = (PodEvent(reason=reason, message=text, at=world.now),)
    world.look()
    message = world.status["message"]
    assert text in message
    assert not [words for words in ("spec.", "trainyard retry", "pause", "limits") if words in message], (
        message
    )


def test_a_secret_that_is_not_there_is_told_by_the_pods_warnings() -> None:
    world = waiting(scheduled=True, node="node-a").passes(20)
    world.look()
    assert "not stored" not in world.status["message"], "nobody has said why yet"
    uid = world.pods["digits-record-1"].uid
    world.warnings[uid] = (PodEvent(reason="FailedMount", message=NO_SECRET, at=world.now),)
    world.look()
    assert "Create the Secret bucket in this namespace" in world.status["message"]


def test_one_that_comes_up_as_pods_do_or_is_at_work_is_no_news() -> None:
    world = waiting(**ON_A_NODE).passes(60)
    world.look()
    assert "not stored" not in world.status["message"]
    running = ContainerView(name=names.RECORD_CONTAINER, state="running", started_at=world.now)
    pod = world.pods["digits-record-1"]
    world.pods[pod.name] = dataclasses.replace(pod, phase="Running", trainer=running)
    world.passes(60).look()
    assert "not stored" not in world.status["message"]
    world.passes(600).look()
    assert "Pod digits-record-1 stores the record of version 1 and is not done" in world.status["message"]


def test_one_that_is_stuck_is_looked_at_ever_more_seldom() -> None:
    world = waiting("ImagePullBackOff", "ErrImagePull: agent:1 not found", **ON_A_NODE)
    pauses = [world.passes(wait).look().plan.requeue_after for wait in (30, 270, 700)]
    assert pauses == [15.0, 30.0, 60.0]


def test_whose_warnings_are_wanted_is_the_first_that_is_stuck_on_its_node() -> None:
    pods = waiting(scheduled=True, node="node-a").pods
    pod = pods["digits-record-1"]
    assert pod.created_at is not None
    at = pod.created_at
    assert modelrecords.stuck([pod], now=at + 9) is None
    assert modelrecords.stuck([pod], now=at + 10) == pod
    other = dataclasses.replace(pod, attempt=2, scheduled=False, scheduled_at=None)
    assert modelrecords.stuck([other], now=at + 60) is None, "its own condition says why"
    assert modelrecords.stuck([other, pod], now=at + 60) == pod
