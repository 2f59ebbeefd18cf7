"""What was published and is wanted no longer: aliases taken back, removals that wait, and giving one up."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.models import RULES
from tests.unit.planning.test_model_publish import S3, World, ended, entry, jobs, there, trained
from trainyard import catalog
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import parameters, runtime
from trainyard.planning.model import plan_model
from trainyard.planning.modelobserved import ModelPlan

HUB = {"name": "shop", "uri": "hf://team/champ", "secretRef": {"name": "hub"}}
#: As the kubelet and `planning.stuckpod` say it.
NO_SECRET = (
    "A volume of pod digits-unpublish-2-0 cannot be mounted on node node-a (FailedMount): MountVolume.SetUp failed "
    'for volume "target-secret" : secret "shop-s3" not found. Create the Secret shop-s3 in this namespace; the pod '
    "then starts by itself."
)
TIMED_OUT = f"Not started within startupTimeoutSeconds (1800 s). SecretNotFound: {NO_SECRET}"


def told(world: World) -> dict[str, Any]:
    """The parameters of the newest job."""
    found: dict[str, Any] = world.tasks[jobs(world)[-1]]["spec"]["parameters"]
    return found


def waits(world: World, reason: str = "SecretNotFound", message: str = NO_SECRET) -> World:
    """The newest job is Pending for this."""
    world.tasks[jobs(world)[-1]]["status"] = {"phase": "Pending", "reason": reason, "message": message}
    return world.settle()


def fails(world: World) -> World:
    """The newest job was given up."""
    name = jobs(world)[-1]
    world.ends(name, "Error")
    world.tasks[name]["status"] |= {"reason": "StartupTimeout", "message": TIMED_OUT}
    return world.settle()


def removing(**target: Any) -> World:
    """What was published is to be taken away."""
    return ended(trained({**S3, **target})).edit(publish=[]).settle()


def test_an_alias_that_is_dropped_is_taken_back_once() -> None:
    world = ended(trained({**HUB, "targetAliases": ["champion", "prod"]}))
    assert "formerAliases" not in told(world)
    world.edit(publish=[{**HUB, "targetAliases": ["prod"]}]).settle()
    assert (told(world)["aliases"], told(world)["formerAliases"]) == (["prod"], ["champion"])
    ended(world)
    assert there(world) == ("Published", 1, "")
    assert jobs(world.passes(7200).settle()) == ["digits-publish-1", "digits-publish-2"]
    world.edit(publish=[HUB]).settle()
    assert told(world)["formerAliases"] == ["prod"], "champion is gone"


def test_the_publisher_of_the_catalogue_takes_aliases_that_are_wanted_no_longer() -> None:
    world = ended(trained({**HUB, "targetAliases": ["champion"]})).edit(publish=[HUB]).settle()
    spec = TrainingJobSpec.model_validate(world.tasks[jobs(world)[-1]]["spec"])
    found = runtime.resolve(spec, catalog.built_in())
    assert not isinstance(found, runtime.Unresolved)
    assert spec.parameters["formerAliases"] == ["champion"]
    assert parameters.unusable(spec.parameters, schema=found[1].schema, defaults=found[1].defaults) is None


def test_an_alias_that_a_job_which_failed_may_have_set_is_taken_back_and_one_that_comes_again_is_not() -> (
    None
):
    world = ended(trained({**HUB, "targetAliases": ["champion"]}))
    ended(world.edit(publish=[{**HUB, "targetAliases": ["prod"]}]).settle(), "Error")
    assert told(world.passes(60).settle())["formerAliases"] == ["champion"]
    ended(world, "Error")
    world.edit(publish=[{**HUB, "targetAliases": ["champion"]}]).settle()
    assert (told(world)["aliases"], told(world)["formerAliases"]) == (["champion"], ["prod"])


def test_an_alias_that_the_target_does_not_let_go_is_told_and_tried_again_with_the_next_version() -> None:
    world = ended(trained({**HUB, "targetAliases": ["champion"]}))
    world.edit(publish=[HUB]).settle()
    name = jobs(world)[-1]
    said: Any = {"uri": HUB["uri"], "digest": "sha256:1", "left": ["champion", "another's", 7]}
    world.answers[name] = {"published": said}
    world.runs(name).ends(name).settle()
    state, version, message = there(world)
    assert (state, version) == ("Published", 1)
    assert "Alias champion is no longer in targetAliases" in message
    assert name in message
    assert there(world.passes(7200).settle())[2] == message
    assert len(jobs(world)) == 2, "it is published, and nothing is tried without end"
    world.asked("again").settle()
    world.runs(world.newest).ends(world.newest, accuracy=0.97).settle()
    assert told(world)["formerAliases"] == ["champion"]
    assert there(ended(world)) == ("Published", 2, "")


def test_what_keeps_a_removal_from_being_done_is_told_with_the_secret_and_how_to_give_it_up() -> None:
    world = waits(removing())
    state, _, message = there(world)
    assert state == "Pending"
    for text in (message, world.status["message"]):
        assert 'secret "shop-s3" not found. Create the Secret shop-s3' in text
        assert "trainyard cancel digits-unpublish-2" in text
    fails(world)
    state, _, message = there(world)
    assert state == "Failed"
    for text in (message, world.status["message"]):
        assert "Create the Secret shop-s3" in text
        assert (
            """kubectl patch trainingjob digits-unpublish-2 --type merge -p '{"spec":{"cancel":true}}'"""
            in text
        )
    assert jobs(world.passes(60).settle())[-1] == "digits-unpublish-3"


def test_a_publishing_that_waits_for_its_secret_is_told_and_one_that_just_starts_is_not() -> None:
    world = waits(trained(S3), "PullingImage", "Its image is being pulled.")
    assert "Target shop" not in world.status["message"]
    waits(world)
    assert "Target shop of spec.publish: SecretNotFound: " in world.status["message"]
    assert "cancel" not in world.status["message"], "there is nothing to give up: it is in the spec"


@pytest.mark.parametrize("failed", [False, True], ids=["while it waits", "after it has failed"])
def test_a_removal_whose_job_is_cancelled_is_given_up(failed: bool) -> None:
    world = waits(removing())
    name = jobs(world)[-1]
    if failed:
        fails(world).tasks[name]["spec"]["cancel"] = True
        world.passes(30).settle()
    else:
        world.tasks[name]["spec"]["cancel"] = True
        world.ends(name, "Canceled").settle()
    state, version, message = there(world)
    assert (state, version) == ("Unpublished", None)
    assert message == f"What was published at s3://models/champ stays there: {name} was cancelled."
    assert "Target shop" not in world.status["message"]
    assert world.events.count("Unpublished") == 1
    assert jobs(world.passes(7200).settle())[-1] == name
    assert entry(world.edit(displayName="Digits").settle()) is None
    assert jobs(world)[-1] == name


def test_a_target_that_moves_and_whose_removal_is_given_up_is_published_at_its_new_place() -> None:
    world = ended(trained(S3)).edit(publish=[{**S3, "uri": "s3://models/other"}]).settle()
    name = jobs(world)[-1]
    world.tasks[name]["spec"]["cancel"] = True
    world.ends(name, "Canceled").settle()
    assert jobs(world)[-1] == "digits-publish-3"
    assert told(world)["uri"] == "s3://models/other"
    assert there(ended(world)) == ("Published", 1, "")


def test_a_cancelled_publishing_is_tried_again() -> None:
    world = trained(S3)
    world.tasks["digits-publish-1"]["spec"]["cancel"] = True
    world.ends("digits-publish-1", "Canceled").settle()
    assert there(world) == ("Failed", 1, "digits-publish-1 was cancelled.")
    assert jobs(world.passes(60).settle())[-1] == "digits-publish-2"


def test_a_model_that_is_deleted_waits_for_no_removal() -> None:
    world = waits(removing())
    observed = dataclasses.replace(world.observed(), deleting=True)
    assert plan_model(observed, now=world.now, rules=RULES) == ModelPlan()
    owners = world.tasks["digits-unpublish-2"]["metadata"]["ownerReferences"]
    assert [one["blockOwnerDeletion"] for one in owners] == [False]
    assert "finalizers" not in world.tasks["digits-unpublish-2"]["metadata"]
