"""`spec.baseModels`: what a job waits for, what its pods are made with and told, and that this stays as it began."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from tests.unit.planning.builders import (
    CONTEXT,
    NOW,
    a_fetch,
    a_job,
    a_parent,
    a_pod,
    a_spec,
    env_of,
    plan,
    said,
    settled,
    status_after,
    trainer_of,
)
from tests.unit.planning.story import Story
from trainyard.api import names
from trainyard.planning import basemodels, modelview
from trainyard.planning.modelview import ModelView
from trainyard.planning.podview import ContainerView
from trainyard.planning.runtime import Runtime, RuntimeAction

Json = dict[str, Any]

ONE, TWO, FILE = "1" * 64, "2" * 64, "f" * 64
BUCKET = {"endpoint": "http://s3:9000", "secretRef": {"name": "keys"}}
VERSIONS: list[Json] = [
    {"number": 1, "uri": "pvc://out/u1/attempt-0", "sha256": ONE, "card": "pvc://out/u1/models/champ-1.md"},
    {"number": 2, "uri": "s3://b/u2/attempt-1", "sha256": TWO, "store": BUCKET, "card": "s3://b/u2/c.md"},
    {"number": 3, "uri": "https://files/model.onnx", "origin": "reported"},
    {"number": 4, "origin": "reported"},
    {"number": 5, "uri": "nfs://somewhere/else"},
]


def a_model(
    *, versions: Any = VERSIONS[:2], aliases: Mapping[str, int] | None = None, **raw: Any
) -> ModelView:
    """An MLModel of two versions: the first on a claim, the second in a bucket."""
    status = {"versions": list(versions), "lifecycle": "trained", **raw.pop("status", {})}
    status["aliases"] = [{"name": k, "version": v} for k, v in (aliases or {"best": 1}).items()]
    return modelview.view(
        {
            "metadata": {"name": "champ", "uid": "model-uid", **raw.pop("metadata", {})},
            "status": status,
            **raw,
        }
    )


def a_starter(*references: Json, model: ModelView | None = None, **fields: Any) -> Any:
    """A job that starts from these."""
    made_by = fields.pop("made_by", "")
    spec = a_spec(baseModels=list(references), **fields)
    return a_job(spec=spec, models={"champ": model}, made_by=made_by)


def pod_of(*references: Json, **fields: Any) -> Mapping[str, Any]:
    (pod,) = plan(a_starter(*references, **{"model": a_model(), **fields})).create
    return pod


def told(pod: Mapping[str, Any]) -> list[Json]:
    """What the agent is told of base models."""
    (fetch,) = [c for c in pod["spec"]["initContainers"] if c["name"] == "trainyard-fetch"]
    (entry,) = [e for e in fetch["env"] if e["name"] == "TRAINYARD_AGENT"]
    found: list[Json] = orjson.loads(entry["value"].replace("$$", "$"))["baseModels"]
    return found


WAITING: list[Any] = [
    pytest.param({}, None, "There is no MLModel champ", id="a model that is not there"),
    pytest.param(
        {},
        a_model(metadata={"deletionTimestamp": "2027-01-01T00:00:00Z"}),
        "being deleted",
        id="one that goes",
    ),
    pytest.param({}, a_model(spec={"stage": "archived"}), "is archived", id="an archived model"),
    pytest.param({}, a_model(versions=[]), "has no version yet (trained)", id="one without a version"),
    pytest.param(
        {"version": 7}, a_model(), "has no version 7; it has 1, 2.", id="a version that is not there"
    ),
    pytest.param({"alias": "new"}, a_model(), "no alias new; it has best (1).", id="an alias of nothing"),
    pytest.param(
        {"version": 9},
        a_model(status={"formerVersions": [{"number": 9, "time": "x"}]}),
        "too old to be listed",
        id="a version that status lists no longer",
    ),
]


@pytest.mark.parametrize(("how", "model", "message"), WAITING)
def test_it_waits_for(how: Json, model: ModelView | None, message: str) -> None:
    found = settled(a_starter({"model": "champ", **how}, model=model))
    assert said(found) == ("Pending", "WaitingForModel")
    assert message in status_after(found)["message"]
    assert not found.create


FAILING: list[Any] = [
    pytest.param({"version": 4}, "no artifact", id="a version that was only reported"),
    pytest.param({"version": 5}, "nfs:", id="a version where nobody can fetch it"),
    pytest.param({"version": 1, "sha256": TWO}, ONE, id="a version with another digest than is expected"),
]


@pytest.mark.parametrize(("how", "message"), FAILING)
def test_it_fails_at_once_with(how: Json, message: str) -> None:
    found = settled(a_starter({"model": "champ", **how}, model=a_model(versions=VERSIONS)))
    assert said(found) == ("Error", "ModelFailed")
    assert message in status_after(found)["message"]


def test_a_model_on_a_claim_is_mounted_and_checked_where_it_is() -> None:
    pod = pod_of({"model": "champ", "alias": "best"})
    assert told(pod) == [
        {
            "name": "champ:best",
            "folder": "/trainyard/base-models/0",
            "mounted": True,
            "uri": "pvc://out/u1/attempt-0",
            "secrets": None,
            "sha256": ONE,
            "kind": "version",
            "card": None,
        }
    ]
    (fetch,) = pod["spec"]["initContainers"]
    for container in (fetch, trainer_of(pod)):
        mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
        mounted = mounts["/trainyard/base-models/0"]
        assert (mounted["subPath"], mounted["readOnly"]) == ("u1/attempt-0", True)
        assert mounts["/trainyard/base-cards/0"]["subPath"] == "u1/models"
    assert {"name": "claim-0", "persistentVolumeClaim": {"claimName": "out"}} in pod["spec"]["volumes"]
    assert orjson.loads(env_of(pod)["TRAINYARD_BASE_MODELS"]) == [
        {
            "name": "champ:best",
            "path": "/trainyard/base-models/0",
            "backbone": True,
            "card": "/trainyard/base-cards/0/champ-1.md",
        }
    ]


def test_a_model_in_a_bucket_is_fetched_with_the_secret_of_its_store_which_the_trainer_does_not_see() -> None:
    pod = pod_of({"model": "champ"})
    (one,) = told(pod)
    assert one == {
        "name": "champ",
        "folder": "/trainyard/work/base-models/0",
        "mounted": False,
        "uri": "s3://b/u2/attempt-1",
        "endpoint": "http://s3:9000",
        "secrets": "/trainyard/secrets/base-0",
        "sha256": TWO,
        "kind": "version",
        "card": "s3://b/u2/c.md",
    }
    assert {"name": "trainyard-secret-base-0", "secret": {"secretName": "keys"}} in pod["spec"]["volumes"]
    assert "secret" not in str(trainer_of(pod)["volumeMounts"])
    (variable,) = orjson.loads(env_of(pod)["TRAINYARD_BASE_MODELS"])
    assert variable["path"] == "/trainyard/work/base-models/0"
    assert variable["card"] == "/trainyard/work/base-models/0.card.md"


KINDS: list[Any] = [
    pytest.param({"uri": "hf://owner/model", "sha256": FILE}, "folder", FILE, id="a hub's repository"),
    pytest.param({"uri": "https://files/a.onnx"}, "file", None, id="one file"),
    pytest.param({"uri": "pvc://disk/models/a"}, "folder", None, id="a folder of a claim"),
    pytest.param(
        {"model": "champ", "version": 3}, "file", None, id="a reported version, which has no manifest"
    ),
    pytest.param(
        {"model": "champ", "version": 3, "sha256": FILE}, "file", FILE, id="one with a digest of the spec"
    ),
]


@pytest.mark.parametrize(("reference", "kind", "digest"), KINDS)
def test_what_the_agent_is_told_of(reference: Json, kind: str, digest: str | None) -> None:
    (one,) = told(pod_of(reference, model=a_model(versions=VERSIONS)))
    assert (one["kind"], one["sha256"]) == (kind, digest)


def test_the_store_of_an_address_is_reached_as_the_spec_says() -> None:
    pod = pod_of(
        {"uri": "s3://b/m", **BUCKET, "region": "eu"}, {"uri": "gs://c/m", "secretRef": {"name": "g"}}
    )
    first, second = told(pod)
    assert (first["endpoint"], first["region"]) == ("http://s3:9000", "eu")
    assert (first["secrets"], second["secrets"]) == ("/trainyard/secrets/base-0", "/trainyard/secrets/base-1")
    assert second["folder"] == "/trainyard/work/base-models/1"


NEEDS_PARENT = dataclasses.replace(
    CONTEXT,
    catalog=(
        Runtime(
            name="reference",
            image="trainer:1",
            types=frozenset({"neural_network"}),
            actions={"evaluate": RuntimeAction(needs_parent=True)},
        ),
    ),
)


def test_a_whole_model_stands_for_a_parent_and_a_backbone_does_not() -> None:
    whole = {"model": "champ", "version": 1, "isPtmBackbone": False}
    (pod,) = plan(a_starter(whole, model=a_model(), action="evaluate"), context=NEEDS_PARENT).create
    assert env_of(pod)["TRAINYARD_PARENT_DIR"] == "/trainyard/base-models/0"
    found = settled(a_starter({"model": "champ"}, model=a_model(), action="evaluate"), context=NEEDS_PARENT)
    assert said(found) == ("Error", "InvalidSpec")
    assert "isPtmBackbone: false" in status_after(found)["message"]


def test_a_parent_goes_before_a_whole_model() -> None:
    job = a_starter({"model": "champ", "isPtmBackbone": False}, model=a_model(), parentJob="base")
    (pod,) = plan(dataclasses.replace(job, parent=a_parent())).create
    assert env_of(pod)["TRAINYARD_PARENT_DIR"] == "/trainyard/parent"


def test_a_job_without_base_models_is_as_it_was() -> None:
    (pod,) = plan(a_job()).create
    assert "initContainers" not in pod["spec"]
    assert "TRAINYARD_BASE_MODELS" not in env_of(pod)
    assert names.BASE_MODELS not in pod["metadata"]["annotations"]


def test_a_deprecated_model_may_be_used_and_an_event_says_so_once() -> None:
    job = a_starter({"model": "champ"}, model=a_model(spec={"stage": "deprecated"}))
    found = plan(job)
    (event,) = found.announce
    assert (event.type, event.reason) == ("Warning", "ModelDeprecated")
    (pod,) = found.create
    carried = a_pod(running=True, base_models=pod["metadata"]["annotations"][names.BASE_MODELS])
    assert not basemodels.warnings(dataclasses.replace(job, pods=(carried,)))


def test_what_an_archived_model_does_for_itself_it_may_do() -> None:
    archived = a_model(spec={"stage": "archived"})
    assert plan(a_starter({"model": "champ"}, model=archived, made_by="model-uid")).create
    assert not plan(a_starter({"model": "champ"}, model=archived, made_by="another")).create


# What a job has begun with.


def a_story(*references: Json, **spec: Any) -> Story:
    story = Story(**{"backoffLimit": 3, **spec}, baseModels=list(references))
    story.job = dataclasses.replace(story.job, models={"champ": a_model()})
    return story


def moved(story: Story, model: ModelView | None) -> Story:
    story.job = dataclasses.replace(story.job, models={"champ": model})
    return story


def of_each_pod(story: Story) -> list[str]:
    return [told(body)[0]["uri"] for body in story.bodies]


CHANGES: list[Any] = [
    pytest.param(a_model(aliases={"best": 2}), id="an alias that moves"),
    pytest.param(a_model(aliases={}), id="an alias that is taken away"),
    pytest.param(a_model(versions=VERSIONS[1:2]), id="a version that is listed no longer"),
    pytest.param(a_model(spec={"stage": "archived"}), id="a model that is archived"),
    pytest.param(None, id="a model that is deleted"),
]


@pytest.mark.parametrize("then", CHANGES)
def test_attempts_of_a_job_that_has_begun_are_not_changed_by(then: ModelView | None) -> None:
    story = a_story({"model": "champ", "alias": "best"}).settle().pod_is_scheduled().pod_runs().settle()
    moved(story, then).pod_ends(1).settle().passes(60).settle()
    assert of_each_pod(story) == ["pvc://out/u1/attempt-0"] * 2
    assert told(story.bodies[0]) == told(story.bodies[1])


@pytest.mark.parametrize("then", CHANGES)
def test_a_rank_that_is_made_later_starts_from_the_same_as_the_others(then: ModelView | None) -> None:
    job = a_starter({"model": "champ", "alias": "best"}, model=a_model(), nodes=2)
    pods = [raw for raw in plan(job).create if raw["kind"] == "Pod"]
    carried = pods[0]["metadata"]["annotations"][names.BASE_MODELS]
    first = a_pod(rank=0, scheduled=False, base_models=carried)
    later = dataclasses.replace(job, pods=(first,), models={"champ": then})
    (pod,) = [raw for raw in plan(later).create if raw["kind"] == "Pod"]
    assert told(pod) == told(pods[1])
    assert pod["metadata"]["annotations"][names.BASE_MODELS] == carried


def test_a_store_is_remembered_with_the_version_that_is_in_it() -> None:
    story = a_story({"model": "champ"}).settle().pod_is_scheduled().pod_runs().settle()
    (entry,) = story.status["baseModels"]
    assert entry["store"] == BUCKET
    assert (entry["name"], entry["version"], entry["uri"]) == ("champ", 2, "s3://b/u2/attempt-1")
    story.pod_vanishes()
    moved(story, None).settle().passes(60).settle()
    assert told(story.bodies[0]) == told(story.bodies[1])


def test_a_job_that_is_tried_again_after_its_end_takes_what_the_alias_stands_for_then() -> None:
    story = (
        a_story({"model": "champ", "alias": "best"}, backoffLimit=0).settle().pod_is_scheduled().pod_runs()
    )
    story.settle().pod_ends(1).settle()
    assert story.status["phase"] == "Error"
    moved(story, a_model(aliases={"best": 2})).retry().settle()
    assert of_each_pod(story) == ["pvc://out/u1/attempt-0", "s3://b/u2/attempt-1"]


def test_what_was_fetched_once_from_an_address_is_what_every_attempt_expects() -> None:
    job = a_starter({"uri": "hf://owner/model"})
    begun = [{"name": "hf://owner/model", "uri": "hf://owner/model", "sha256": FILE}]
    status = {
        "baseModels": begun,
        "startTime": "2027-01-01T00:00:00Z",
        "attempts": [{"number": 1}],
    }
    (pod,) = plan(dataclasses.replace(job, status=status)).create
    assert told(pod)[0]["sha256"] == FILE


def test_an_annotation_that_somebody_has_written_harms_nobody() -> None:
    texts = (
        "{",
        "[1]",
        '[{"name": 1}]',
        '[{"name": "champ", "uri": ["x"], "version": "2"}]',
        '{"name": "d"}',
    )
    for text in (*texts, '[{"name": "champ", "uri": "file:///etc", "store": {"a": 1}, "sha256": "x"}]'):
        job = dataclasses.replace(
            a_starter({"model": "champ"}, model=a_model()), pods=(a_pod(running=True, base_models=text),)
        )
        for entry in basemodels.as_status(job, {}) or []:
            assert entry.keys() <= {"name", "pull"}


# How far it is.


def fetching(**fields: Any) -> tuple[ContainerView, ...]:
    return (ContainerView(name="trainyard-fetch", **fields),)


MET = {"baseModels": [{"name": "champ", "sha256": TWO, "bytes": 12}]}
PULLS: list[Any] = [
    pytest.param((), {"pull": "starting"}, id="nothing has begun"),
    pytest.param(fetching(state="running", started_at=NOW), {"pull": "in_progress"}, id="the agent fetches"),
    pytest.param(a_fetch(0, **MET), {"pull": "pull_complete", "bytes": 12}, id="it is there"),
    pytest.param(
        a_fetch(1, error="model.onnx is another", modelFailed=True),
        {"pull": "invalid_pull", "message": "model.onnx is another"},
        id="it is another",
    ),
    pytest.param(
        a_fetch(1, error="no such host"), {"pull": "invalid_pull", "message": "no such host"}, id="no network"
    ),
]


@pytest.mark.parametrize(("init", "wanted"), PULLS)
def test_status_says_how_far_the_fetching_is_when(init: Any, wanted: Json) -> None:
    job = a_starter({"model": "champ"}, model=a_model())
    carried = basemodels.annotation(basemodels.of(job))
    job = dataclasses.replace(job, pods=(a_pod(base_models=carried, init=init),))
    (entry,) = basemodels.as_status(job, {}) or []
    assert {key: entry[key] for key in wanted} == wanted
    assert entry["sha256"] == TWO


def test_the_states_of_two_models_and_of_several_ranks() -> None:
    job = a_starter({"model": "champ"}, {"uri": "hf://o/m"}, model=a_model(), nodes=2)
    carried = basemodels.annotation(basemodels.of(job))
    done = a_fetch(0, baseModels=[{"name": "hf://o/m", "sha256": FILE, "bytes": 3}])
    running = fetching(state="running", started_at=NOW)
    ranks = tuple(a_pod(rank=n, base_models=carried, init=init) for n, init in enumerate((done, running)))
    entries = basemodels.as_status(dataclasses.replace(job, pods=ranks), {}) or []
    assert [one["pull"] for one in entries] == ["in_progress", "in_progress"]
    ended = tuple(a_pod(rank=n, base_models=carried, init=done) for n in range(2))
    first, second = basemodels.as_status(dataclasses.replace(job, pods=ended), {}) or []
    assert (first["pull"], second["sha256"], second["bytes"]) == ("pull_complete", FILE, 3)
    failed = a_fetch(1, error="bad", modelFailed=True, baseModel="hf://o/m")
    one_failed = (a_pod(rank=0, base_models=carried, init=failed), ranks[1])
    first, second = basemodels.as_status(dataclasses.replace(job, pods=one_failed), {}) or []
    assert (first["pull"], second["pull"]) == ("in_progress", "invalid_pull")


def test_a_model_that_is_another_than_it_is_said_to_be_ends_the_job_and_network_trouble_does_not() -> None:
    job = a_starter({"model": "champ"}, model=a_model(), backoffLimit=3)
    carried = basemodels.annotation(basemodels.of(job))
    word = {"error": "model.onnx has the digest 3…, expected 1…", "modelFailed": True}

    def after(**word: Any) -> Any:
        failed = a_pod(phase="Failed", base_models=carried, init=a_fetch(1, **word))
        return plan(dataclasses.replace(job, pods=(failed,)))

    found = after(**word)
    assert said(found) == ("Error", "ModelFailed")
    assert word["error"] in status_after(found)["message"]
    assert status_after(found)["baseModels"][0]["pull"] == "invalid_pull"
    assert said(after(error="no such host")) == ("Pending", "BackingOff")
