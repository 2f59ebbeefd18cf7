"""Publishing: which version goes where and when, how a failure is tried again, and what is taken away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.planning.models import FOREST, World
from trainyard import catalog
from trainyard.api import names
from trainyard.api.mlmodel import MLModelStatus
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import parameters, publishjobs, runtime
from trainyard.planning.observed import Refusal
from trainyard_publisher import order

Json = dict[str, Any]

S3: Json = {"name": "shop", "uri": "s3://models/champ", "secretRef": {"name": "shop-s3"}}
ZOO: Json = {"name": "zoo", "uri": "pvc://zoo/champ"}


def trained(*targets: Json, versions: int = 1, **spec: Any) -> World:
    """A model that publishes there; it has so many versions."""
    world = World({**FOREST, "publish": list(targets), **spec}).settle()
    for _ in range(versions):
        world.asked(f"again-{len(world.made)}") if world.status.get("versions") else None
        world.settle()
        world.runs(world.newest).ends(world.newest, accuracy=0.97).settle()
    return world


def jobs(world: World) -> list[str]:
    return [name for name in world.made if "publish-" in name]


def ended(world: World, phase: str = "Done", *, name: str = "", **said: str) -> World:
    """The newest job has ended, with this word."""
    name = name or jobs(world)[-1]
    uri = world.tasks[name]["spec"]["parameters"]["uri"]
    world.answers[name] = {"published": {"uri": uri, "digest": "sha256:" + "5" * 64, **said}}
    return world.runs(name).ends(name, phase).settle()


def entry(world: World, name: str = "shop") -> Json | None:
    MLModelStatus.model_validate(world.status)
    found: list[Json] = [one for one in world.status.get("published") or () if one["name"] == name]
    return found[0] if found else None


def there(world: World, name: str = "shop") -> tuple[str, int | None, str]:
    found = entry(world, name)
    assert found is not None
    return found["state"], found.get("version"), found.get("message", "")


def test_a_version_is_published_once_it_is_there() -> None:
    world = World({**FOREST, "publish": [S3]}).settle()
    assert there(world) == ("Pending", None, "There is no version yet.")
    world.runs(world.newest).ends(world.newest, accuracy=0.97).settle()
    assert jobs(world) == ["digits-publish-1"]
    world.passes(60).settle()
    assert jobs(world) == ["digits-publish-1"], "one job at a time"
    ended(world, version="3")
    found = entry(world)
    assert found is not None
    assert (found["state"], found["version"], found["uri"]) == ("Published", 1, "s3://models/champ")
    assert (found["digest"], found["job"], found["number"]) == ("sha256:" + "5" * 64, "digits-publish-1", 1)
    assert "Published" in world.events
    world.passes(7200).settle()
    assert jobs(world) == ["digits-publish-1"], "published is published"


def test_the_job_is_one_that_the_publisher_of_the_catalogue_takes() -> None:
    world = trained(
        {**S3, "endpoint": "https://s3.example.com", "targetAliases": ["champion"], "private": False}
    )
    raw = world.tasks["digits-publish-1"]
    spec = TrainingJobSpec.model_validate(raw["spec"])
    found = runtime.resolve(spec, catalog.built_in())
    assert not isinstance(found, runtime.Unresolved)
    entry, action = found
    assert (entry.name, action.args) == ("publisher", ("$(TRAINYARD_ACTION)",))
    assert parameters.unusable(spec.parameters, schema=action.schema, defaults=action.defaults) is None
    assert raw["spec"]["baseModels"] == [{"model": "digits", "version": 1, "isPtmBackbone": False}]
    told = dict(raw["spec"]["parameters"])
    metadata = told.pop("metadata")
    assert told == {
        "uri": "s3://models/champ",
        "endpoint": "https://s3.example.com",
        "private": False,
        "aliases": ["champion"],
        "model": "digits",
        "version": 1,
        "target": "shop",
    }
    assert metadata["metrics"] == {"accuracy": "0.97"}
    assert metadata["lineage"]["job"] == "digits-train-1"
    pod = raw["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "target-secret", "secret": {"secretName": "shop-s3"}}]
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert mount == {"name": "target-secret", "mountPath": "/trainyard/secrets/target", "readOnly": True}
    assert raw["metadata"]["labels"][names.LABEL_TASK] == "publish"


@pytest.mark.parametrize("action", ["publish", "unpublish"])
def test_the_publisher_understands_what_it_is_told(action: str, tmp_path: Path) -> None:
    target = {**S3, "region": "eu-central-1", "account": "team", "targetAliases": ["prod"], "private": False}
    world = ended(trained(target, description="Says which digit it is.", metadata={"license": "mit"}))
    world.edit(publish=[]).settle()
    name = "digits-publish-1" if action == "publish" else "digits-unpublish-2"
    environment = {
        "TRAINYARD_PARAMETERS": json.dumps(world.tasks[name]["spec"]["parameters"]),
        "TRAINYARD_BASE_MODELS": json.dumps([{"path": str(tmp_path), "card": None}]),
        "TRAINYARD_NAMESPACE": "team-a",
    }
    told = order.read(environment, action=action)
    assert (told.uri, told.owner, told.version) == ("s3://models/champ", "team-a/digits/shop", 1)
    assert (told.region, told.account, told.aliases, told.private) == (
        "eu-central-1",
        "team",
        ("prod",),
        False,
    )
    assert told.digest == ("" if action == "publish" else "sha256:" + "5" * 64)
    assert told.metadata.get("license") == ("mit" if action == "publish" else None)
    assert (publishjobs.SECRET_MOUNT, publishjobs.CLAIM_MOUNT) == (order.SECRET, order.CLAIM)


def test_a_claim_is_mounted_as_a_whole() -> None:
    pod = trained(ZOO).tasks["digits-publish-1"]["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "target", "persistentVolumeClaim": {"claimName": "zoo"}}]
    assert pod["containers"] == [
        {"name": "trainer", "volumeMounts": [{"name": "target", "mountPath": "/trainyard/target"}]}
    ]


def test_it_runs_where_the_model_is_trained() -> None:
    tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    template = {
        "spec": {"tolerations": tolerations, "resources": {"limits": {"cpu": "8"}}, "backoffLimit": 9}
    }
    world = ended(trained(S3, training={"jobTemplate": template}))
    world.edit(publish=[]).settle()
    for name in ("digits-publish-1", "digits-unpublish-2"):
        spec = world.tasks[name]["spec"]
        assert spec["tolerations"] == tolerations
        assert spec["resources"]["limits"] == {"memory": "2Gi"}
        assert "backoffLimit" not in spec


@pytest.mark.parametrize(
    ("target", "aliases", "version"),
    [
        pytest.param({}, [], 2, id="the newest"),
        pytest.param({"version": 1}, [], 1, id="a number"),
        pytest.param({"alias": "champion"}, [{"name": "champion", "version": 1}], 1, id="an alias"),
    ],
)
def test_which_version_is_published(target: Json, aliases: list[Json], version: int) -> None:
    world = trained(versions=2, aliases=aliases)
    world.edit(publish=[{**S3, **target}]).settle()
    assert world.tasks[jobs(world)[-1]]["spec"]["baseModels"][0]["version"] == version


def test_an_alias_that_moves_publishes_anew_and_what_lies_there_counts_until_then() -> None:
    world = trained(versions=2, aliases=[{"name": "champion", "version": 1}])
    ended(world.edit(publish=[{**S3, "alias": "champion"}]).settle())
    world.edit(aliases=[{"name": "champion", "version": 2}]).settle()
    assert there(world) == ("Pending", 1, "")
    assert there(ended(world)) == ("Published", 2, "")
    world.edit(publish=[{**S3, "version": 2}]).settle()
    assert (len(jobs(world)), there(world)[0]) == (2, "Published"), "the same version by its number"
    world.edit(publish=[{**S3, "alias": "nobody"}]).settle()
    assert there(world) == ("Published", 2, "Alias nobody stands for no version.")
    world.edit(publish=[{**S3, "version": 2}]).settle()
    assert there(world) == ("Published", 2, "")


def test_a_failure_is_tried_again_after_growing_pauses_and_at_once_when_the_target_changes() -> None:
    world = ended(trained(S3), "Error")
    assert there(world) == ("Failed", 1, "OutOfMemory: It has ended.")
    assert "PublishingFailed" in world.events
    assert "Target shop of spec.publish: OutOfMemory" in world.status["message"]
    for number, pause in enumerate((60, 120, 240, 480, 960, 1920, 3600, 3600), start=1):
        assert world.passes(pause - 10).settle().made.count(f"digits-publish-{number + 1}") == 0
        world.passes(10).settle()
        assert jobs(world)[-1] == f"digits-publish-{number + 1}"
        ended(world, "Error")
        found = entry(world)
        assert found is not None
        assert found["number"] == number + 1
    world.edit(publish=[{**S3, "secretRef": {"name": "right"}}]).settle()
    assert there(ended(world)) == ("Published", 1, "")
    found = entry(world)
    assert found is not None
    assert found["number"] == 1
    assert len([name for name in world.tasks if "-publish-" in name]) <= 4, "old jobs go"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param({}, "its last status line does not say", id="no word"),
        pytest.param({"published": "yes"}, "its last status line does not say", id="a word of another kind"),
    ],
)
def test_a_job_that_does_not_say_what_it_published_is_done_again(answer: Json, why: str) -> None:
    world = trained(S3)
    world.answers["digits-publish-1"] = answer
    world.runs("digits-publish-1").ends("digits-publish-1").settle()
    assert there(world)[0] == "Failed"
    assert why in there(world)[2]
    assert jobs(world.passes(60).settle())[-1] == "digits-publish-2"


def test_a_target_that_is_taken_out_is_unpublished_by_what_was_published() -> None:
    world = ended(trained(S3, ZOO), name="digits-publish-1")
    ended(world, name="digits-publish-2")
    world.edit(publish=[ZOO]).settle()
    assert jobs(world)[-1] == "digits-unpublish-3"
    spec = world.tasks["digits-unpublish-3"]["spec"]
    assert TrainingJobSpec.model_validate(spec).base_models == []
    assert spec["parameters"] == {
        "uri": "s3://models/champ",
        "private": True,
        "model": "digits",
        "version": 1,
        "target": "shop",
        "digest": "sha256:" + "5" * 64,
    }
    assert spec["template"]["spec"]["volumes"][0]["secret"] == {"secretName": "shop-s3"}
    assert there(world) == ("Pending", 1, "")
    ended(world)
    assert there(world) == ("Unpublished", None, "")
    assert there(world, "zoo")[0] == "Published"
    assert entry(world.passes(60).settle()) is not None
    assert entry(world.edit(displayName="Digits").settle()) is None
    assert len(jobs(world)) == 3


def test_a_target_without_a_job_just_goes() -> None:
    world = World({**FOREST, "publish": [S3]}).settle()
    assert entry(world) is not None
    assert entry(world.edit(publish=[]).settle()) is None
    assert jobs(world) == []


def test_a_failed_target_that_is_taken_out_is_unpublished_and_that_is_tried_again_too() -> None:
    world = ended(trained(S3), "Error")
    world.edit(publish=[]).settle()
    assert jobs(world)[-1] == "digits-unpublish-2"
    ended(world, "Error")
    assert there(world)[0] == "Failed"
    assert jobs(world.passes(60).settle())[-1] == "digits-unpublish-3"
    assert there(ended(world))[0] == "Unpublished"


def test_a_running_job_of_what_is_no_longer_wanted_is_cancelled_first() -> None:
    world = trained(S3).runs("digits-publish-1").settle()
    world.edit(publish=[]).settle()
    assert world.tasks["digits-publish-1"]["spec"]["cancel"] is True
    assert jobs(world) == ["digits-publish-1"]
    world.ends("digits-publish-1", "Canceled").settle()
    assert jobs(world)[-1] == "digits-unpublish-2"


def test_another_place_is_published_after_the_former_was_taken_away() -> None:
    world = ended(trained(S3))
    world.edit(publish=[{**S3, "uri": "s3://models/other"}]).settle()
    assert jobs(world)[-1] == "digits-unpublish-2"
    assert world.tasks["digits-unpublish-2"]["spec"]["parameters"]["uri"] == "s3://models/champ"
    ended(world)
    assert jobs(world)[-1] == "digits-publish-3"
    assert there(ended(world)) == ("Published", 1, "")
    found = entry(world)
    assert found is not None
    assert found["uri"] == "s3://models/other"


def test_a_target_that_is_renamed_waits_until_the_former_name_has_left_the_place() -> None:
    world = ended(trained(S3))
    world.edit(publish=[{**S3, "name": "store"}]).settle()
    assert jobs(world)[-1] == "digits-unpublish-2"
    assert "Target shop is at s3://models/champ still" in there(world, "store")[2]
    ended(world)
    assert jobs(world)[-1] == "digits-publish-3"
    assert there(ended(world), "store") == ("Published", 1, "")


def test_of_two_targets_in_one_place_that_come_together_one_publishes() -> None:
    world = trained(S3, {**S3, "name": "store", "uri": "s3://models/champ/"})
    assert jobs(world) == ["digits-publish-1"]
    assert "Target shop is at s3://models/champ" in there(world, "store")[2]
    ended(world)
    assert jobs(world) == ["digits-publish-1"]
    assert "one target in a place" in there(world, "store")[2]


@pytest.mark.parametrize("stage", ["deprecated", "archived"])
def test_what_is_archived_is_not_published_anew_and_stays_where_it_is(stage: str) -> None:
    world = ended(trained(S3))
    world.edit(stage=stage).settle()
    assert there(world) == ("Published", 1, "")
    world.edit(publish=[S3, ZOO]).settle()
    assert (entry(world, "zoo") is not None) == (stage == "deprecated")
    world.edit(publish=[]).settle()
    assert "digits-unpublish-" in jobs(world)[-1]


def test_a_version_waits_for_its_card_but_not_for_ever() -> None:
    world = World({**FOREST, "publish": [S3]}, stores_records=False).settle()
    world.runs(world.newest).ends(world.newest, accuracy=0.97).settle()
    assert there(world) == ("Pending", None, "Version 1 waits for its model card.")
    world.passes(301).settle()
    assert jobs(world) == ["digits-publish-1"]


def test_a_job_that_was_deleted_or_that_the_api_server_refuses_is_told_and_made_again() -> None:
    world = trained(S3)
    del world.tasks["digits-publish-1"]
    assert "was deleted before it had ended" in there(world.settle())[2]
    digest = world.status["published"][0]["specDigest"]
    world.refusals[("digits-publish-2", digest)] = Refusal(
        status=403, message="quota exceeded", first_at=world.now + 60, last_at=world.now + 60, count=1
    )
    world.passes(60).settle()
    assert "The API server refuses digits-publish-2" in there(world)[2]
    assert jobs(world.passes(16).settle())[-1] == "digits-publish-2"


@pytest.mark.parametrize("left", range(6))
def test_an_operator_that_ends_at_any_write_publishes_once(left: int) -> None:
    world = trained(S3, versions=0)
    world.runs(world.newest).ends(world.newest, accuracy=0.97)
    world.writes_left = left
    for _ in range(8):
        world.look()
    world.writes_left = None
    ended(world.settle())
    assert (jobs(world), there(world)) == (["digits-publish-1"], ("Published", 1, ""))


def test_an_annotation_that_somebody_has_changed_breaks_nothing() -> None:
    world = trained(S3)
    world.tasks["digits-publish-1"]["metadata"]["annotations"][names.PUBLISH_TARGET] = "{}"
    ended(world)
    assert there(world) == ("Published", 1, "")
