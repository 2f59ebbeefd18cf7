"""What goes wrong around a Dataset: volumes and pods that somebody or a node takes away, words that cannot be read, a
pull that takes longer than its schedule.

Separate from `test_dataset`, which has the life of one that nobody disturbs and the ends of its pods.
"""

from __future__ import annotations

import dataclasses

import orjson
import pytest

from tests.unit.planning.datasets import DIGEST, OTHER_LISTING, PVC, S3, a_container
from tests.unit.planning.test_dataset import CLAIM, a_world, settled
from trainyard.api import names


def test_a_schedule_does_not_begin_a_pull_anew_that_goes_on() -> None:
    world = settled(S3, refresh={"schedule": "@hourly"})
    world.survey_ends()
    world.now += 3 * 3600
    world.settle()
    assert world.made == ["digits-survey-0", "digits-pull-1"]
    world.pull_ends()
    world.check_ends()
    assert world.made[-1] == "digits-survey-2"


@pytest.mark.parametrize("refreshed", [False, True])
def test_a_volume_that_is_being_removed_is_not_available(refreshed: bool) -> None:
    world = a_world(backoffLimit=0).pulled()
    if refreshed:
        world.annotations[names.REFRESH_REQUESTED_AT] = "now"
        world.settle()
        world.survey_ends(listing=OTHER_LISTING)
        world.pull_ends(error="No.", kind="forbidden")
        assert world.said() == ("Done", "RefreshFailed")
    world.claims[CLAIM] = dataclasses.replace(world.claims[CLAIM], deleting=True)
    world.settle()
    assert world.condition("Available") == "False"
    world.survey_ends()
    world.pull_ends()
    world.check_ends()
    assert (world.said(), world.status["uri"]) == (("Done", "Completed"), f"pvc://{CLAIM}-2/data")


@pytest.mark.parametrize("stage", ["survey", "pull"])
def test_a_pod_that_a_node_has_refused_is_followed_by_another(stage: str) -> None:
    world = settled(S3)
    if stage == "pull":
        world.survey_ends()
    pod = world.pod()
    world.pods[pod.name] = dataclasses.replace(
        pod, phase="Failed", reason="NodeAffinity", message="Wrong node."
    )
    world.settle()
    assert world.said() == ("Pending", "BackingOff")
    assert "Wrong node." in world.status["message"]
    world.now += 60
    world.settle()
    assert len(world.made) == (2 if stage == "survey" else 3)


def test_pods_that_are_taken_away_at_once_follow_each_other_slowly() -> None:
    world = settled(S3)
    for _ in range(5):
        pod = world.pod()
        world.pods[pod.name] = dataclasses.replace(
            pod, phase="Failed", reason="Evicted", disrupted=True, created_at=world.now
        )
        world.settle()
        assert world.status["pull"]["failures"] == 0
        assert (world.requeue_after or 0) >= 10
        world.now += 61
        world.settle()


def test_the_lineage_names_each_input_once() -> None:
    world = a_world(PVC)
    world.annotations[names.LINEAGE] = '{"job":"j","inputs":[{"name":"raw"},{"name":"raw"}]}'
    world.settle()
    assert world.status["lineage"]["inputs"] == [{"name": "raw"}]


def test_a_larger_volume_takes_the_place_of_a_full_one() -> None:
    world = settled(S3, backoffLimit=0)
    world.survey_ends()
    world.pull_ends(error="Full.", kind="full")
    assert world.said() == ("Error", "VolumeFull")
    world.edit(cache={"size": "1Ti"})
    world.settle()
    world.survey_ends()
    assert world.claims[CLAIM].storage == "1Ti"


def test_what_was_checked_is_looked_for_until_its_log_can_be_read() -> None:
    world = settled(PVC)
    pod = world.pod()
    told = {"valid": True, "error": ""}
    ended = dataclasses.replace(a_container(names.CHECK_CONTAINER, told), finished_at=world.now)
    world.pods[pod.name] = dataclasses.replace(pod, trainer=ended, phase="Succeeded")
    world.settle()
    assert world.condition("Available") == "False"
    line = {"valid": True, "sha256": DIGEST, "bytes": 1, "files": 1}
    world.lines[pod.uid] = orjson.dumps({"check": line}).decode()
    world.settle()
    assert world.status["sha256"] == DIGEST


def test_what_was_checked_is_taken_without_its_log_in_the_end() -> None:
    world = settled(PVC)
    pod = world.pod()
    ended = dataclasses.replace(
        a_container(names.CHECK_CONTAINER, {"valid": True, "error": ""}), finished_at=world.now
    )
    world.pods[pod.name] = dataclasses.replace(pod, trainer=ended, phase="Succeeded")
    world.now += 600
    world.settle()
    assert world.said() == ("Done", "Completed")


def test_what_pulls_for_a_source_that_is_taken_out_is_stopped() -> None:
    world = settled(S3)
    world.survey_ends()
    world.spec = {"type": "tabular", "format": "csv"}
    world.generation += 1
    world.settle()
    assert (world.said(), world.pods) == (("Pending", "Draft"), {})
    world.edit(**S3)
    world.settle()
    world.pull_ends()
    world.check_ends()
    assert world.said() == ("Done", "Completed")


def test_a_claim_that_is_not_there_is_asked_for_the_less_often_the_longer() -> None:
    world = a_world(PVC)
    world.claim_exists = False
    world.settle()
    assert (world.said(), world.requeue_after) == (("Pending", "ClaimNotFound"), 15)
    world.now += 3600
    world.settle()
    assert world.requeue_after == 60
