"""`spec.checkpoint`: what the agent is told to look for, what the trainer is told of it, and what cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from tests.unit.planning.builders import (
    CONTEXT,
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
from trainyard.api.shared import Output
from trainyard.planning import parentcheckpoint
from trainyard.planning.agentpod import AgentRules
from trainyard.planning.observed import ParentView
from trainyard.planning.runtime import Runtime, RuntimeAction

Json = dict[str, Any]

BUCKET = {"uri": "s3://models/team", "endpoint": "http://s3:9000", "secretRef": {"name": "theirs"}}
LATEST = {"method": "latest_model"}
RESUMABLE = dataclasses.replace(
    CONTEXT,
    agent=AgentRules(image="agent:1"),
    catalog=(
        Runtime(
            name="reference",
            image="trainer:1",
            types=frozenset({"neural_network"}),
            actions={
                "train": RuntimeAction(resumable=True),
                "retrain": RuntimeAction(resumable=True, needs_parent=True),
                "evaluate": RuntimeAction(needs_parent=True),
            },
        ),
    ),
)


def of_parent(output: Mapping[str, Any], **fields: Any) -> ParentView:
    store = Output.model_validate(output)
    where = store.uri or f"pvc://{store.claim_name}"
    values: dict[str, Any] = {"uid": "parent-uid", "action": "train", "output": store}
    return a_parent(artifact_uri=f"{where}/parent-uid/attempt-1", **(values | fields))


def pod_of(parent: ParentView, **spec: Any) -> Mapping[str, Any]:
    (pod,) = plan(a_job(spec=a_spec(parentJob="base", **spec), parent=parent), context=RESUMABLE).create
    return pod


def told(pod: Mapping[str, Any]) -> Json:
    """What the agent in the pod is told."""
    (fetch,) = [c for c in pod["spec"]["initContainers"] if c["name"] == "trainyard-fetch"]
    (entry,) = [e for e in fetch["env"] if e["name"] == "TRAINYARD_AGENT"]
    order: Json = orjson.loads(entry["value"].replace("$$", "$"))
    return order


CASES: list[Any] = [
    pytest.param("train", "train", True, id="a training goes on with a training"),
    pytest.param("retrain", "retrain", True, id="a retraining goes on with a retraining"),
    pytest.param("retrain", "train", False, id="a retraining begins with a training's checkpoint"),
    pytest.param("evaluate", "train", False, id="a training's checkpoint is measured"),
    pytest.param("evaluate", "evaluate", False, id="what cannot resume goes on with nothing"),
]


@pytest.mark.parametrize(("action", "before", "continues"), CASES)
def test_the_action_decides_what_is_done_with_the_checkpoint(
    action: str, before: str, continues: bool
) -> None:
    parent = of_parent({"claimName": "theirs"}, action=before)
    pod = pod_of(parent, action=action, checkpoint=LATEST, output={"claimName": "out"})
    handed, env = told(pod)["handed"], env_of(pod)
    assert handed["continues"] is continues
    if continues:
        assert env["TRAINYARD_RESUME"] == told(pod)["resumeDir"]
        assert env["TRAINYARD_CONTINUES"] == "true"
        assert "TRAINYARD_PARENT_CHECKPOINT" not in env
    else:
        assert env["TRAINYARD_PARENT_CHECKPOINT"] == handed["folder"]
        assert "TRAINYARD_CONTINUES" not in env
    # What the parent has left is there as ever.
    assert env["TRAINYARD_PARENT_DIR"] == "/trainyard/parent"


def test_a_claim_is_mounted_read_only_where_agent_and_trainer_find_it() -> None:
    pod = pod_of(of_parent({"claimName": "theirs"}), checkpoint=LATEST, output={"claimName": "out"})
    assert told(pod)["handed"] == {
        "job": "base",
        "uids": ["parent-uid"],
        "output": {"path": "/trainyard/parent-store"},
        "store": "pvc://theirs",
        "epoch": None,
        "continues": True,
        "folder": "/trainyard/work/parent-checkpoint",
    }
    containers = [trainer_of(pod), *pod["spec"]["initContainers"]]
    for container in containers:
        (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == "/trainyard/parent-store"]
        assert mount["readOnly"] is True
        assert "subPath" not in mount
    claims = [v["persistentVolumeClaim"]["claimName"] for v in pod["spec"]["volumes"] if "emptyDir" not in v]
    assert sorted(claims) == ["out", "theirs"]


def test_the_same_claim_is_one_volume() -> None:
    pod = pod_of(of_parent({"claimName": "out"}), checkpoint=LATEST, output={"claimName": "out"})
    claims = [v["persistentVolumeClaim"]["claimName"] for v in pod["spec"]["volumes"] if "emptyDir" not in v]
    assert claims == ["out"]
    mounts = {m["mountPath"]: m.get("readOnly", False) for m in trainer_of(pod)["volumeMounts"]}
    assert (mounts["/trainyard/output"], mounts["/trainyard/parent-store"]) == (False, True)


@pytest.mark.parametrize("output", [None, {"claimName": "out"}, BUCKET | {"secretRef": {"name": "ours"}}])
def test_a_bucket_is_read_with_the_parents_secret_whatever_the_jobs_own_output(output: Json | None) -> None:
    more = {"output": output} if output is not None else {}
    pod = pod_of(of_parent(BUCKET), action="evaluate", checkpoint=LATEST, **more)
    handed = told(pod)["handed"]
    assert (handed["output"], handed["store"]) == (
        {"uri": "s3://models/team", "endpoint": "http://s3:9000"},
        "s3://models/team",
    )
    fetch = next(c for c in pod["spec"]["initContainers"] if c["name"] == "trainyard-fetch")
    secrets = {v["name"]: v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v}
    mounts = {m["mountPath"]: secrets.get(m["name"]) for m in fetch["volumeMounts"]}
    assert mounts["/trainyard/secrets/parent"] == "theirs"
    assert "/trainyard/secrets/parent" not in {m["mountPath"] for m in trainer_of(pod)["volumeMounts"]}


def test_a_job_without_an_output_has_an_agent_for_its_parents_checkpoint() -> None:
    pod = pod_of(of_parent({"claimName": "theirs"}), checkpoint=LATEST)
    assert [c["name"] for c in pod["spec"]["initContainers"]] == ["trainyard-fetch"]
    assert told(pod)["output"] is None
    assert env_of(pod)["TRAINYARD_RESUME"] == "/trainyard/work/resume"


def test_an_epoch_is_told_and_so_are_the_uids_of_a_restored_parent() -> None:
    choice = {"method": "from_epoch_number", "epoch": 0}
    parent = of_parent({"claimName": "theirs"}, origins=("former", "first"))
    handed = told(pod_of(parent, checkpoint=choice))["handed"]
    assert (handed["epoch"], handed["uids"]) == (0, ["parent-uid", "former", "first"])


@pytest.mark.parametrize("choice", [None, {}, {"method": "best_model"}])
def test_the_best_model_is_what_the_parent_has_left(choice: Json | None) -> None:
    more = {"checkpoint": choice} if choice is not None else {}
    pod = pod_of(of_parent({"claimName": "theirs"}), action="evaluate", **more)
    assert "initContainers" not in pod["spec"]
    assert env_of(pod)["TRAINYARD_PARENT_DIR"] == "/trainyard/parent"
    assert not {"TRAINYARD_PARENT_CHECKPOINT", "TRAINYARD_CONTINUES"} & env_of(pod).keys()


def test_of_a_parent_that_keeps_no_checkpoints_the_latest_model_is_what_it_has_left() -> None:
    parent = of_parent({"claimName": "theirs"}, action="prune", resumable=False)
    pod = pod_of(parent, action="retrain", checkpoint=LATEST)
    assert "initContainers" not in pod["spec"]
    assert env_of(pod)["TRAINYARD_PARENT_DIR"] == "/trainyard/parent"
    epoch = {"method": "from_epoch_number", "epoch": 3}
    assert told(pod_of(parent, action="retrain", checkpoint=epoch))["handed"]["epoch"] == 3


@pytest.mark.parametrize(
    ("spec", "keeps"),
    [
        ({"action": "train"}, True),
        ({"action": "evaluate", "parentJob": "p"}, False),
        ({"image": "mine:1", "action": "train"}, True),
        ({"image": "mine:1", "action": "prune"}, False),
        ({"type": "random_forest"}, True),
    ],
    ids=[
        "a training",
        "a measurement",
        "an own image that trains",
        "an own image that prunes",
        "gone from the catalogue",
    ],
)
def test_whether_a_parent_keeps_checkpoints_is_its_runtimes_to_say(spec: Json, keeps: bool) -> None:
    assert parentcheckpoint.keeps_checkpoints(a_spec(**spec), RESUMABLE.catalog) is keeps


def test_a_checkpoint_of_no_parent_is_refused_until_the_job_has_its_own() -> None:
    spec = a_spec(checkpoint=LATEST)
    p = plan(a_job(spec=spec), context=RESUMABLE)
    assert said(p) == ("Error", "InvalidSpec")
    assert "name the TrainingJob that has the checkpoints as spec.parentJob" in status_after(p)["message"]
    begun = {"observedGeneration": 1, "startTime": "2026-01-01T00:00:00Z", "attempts": []}
    assert plan(a_job(spec=spec, status=begun), context=RESUMABLE).create
    assert plan(a_job(spec=a_spec(checkpoint={"method": "best_model"})), context=RESUMABLE).create


def test_a_parent_whose_spec_cannot_be_read_is_told() -> None:
    parent = dataclasses.replace(of_parent({"claimName": "theirs"}), output=None)
    p = settled(a_job(spec=a_spec(parentJob="base", checkpoint=LATEST), parent=parent), context=RESUMABLE)
    assert said(p) == ("Error", "ParentFailed")
    assert "where its checkpoints are is not known" in status_after(p)["message"]


def test_a_checkpoint_that_is_not_there_is_the_end_and_not_tried_again() -> None:
    sentence = "TrainingJob base has left no checkpoint of epoch 7. Those of these epochs are there: 1, 2."
    spec = a_spec(parentJob="base", checkpoint=LATEST, output={"claimName": "out"}, backoffLimit=5)
    parent = of_parent({"claimName": "theirs"})
    pod = a_pod(phase="Failed", init=a_fetch(1, error=sentence, kind="absent"))
    p = plan(a_job(spec=spec, parent=parent, pods=(pod,)), context=RESUMABLE)
    assert said(p) == ("Error", "FetchFailed")
    assert sentence in status_after(p)["message"]
    passing = a_pod(phase="Failed", init=a_fetch(1, error="s3://models cannot be reached"))
    again = plan(a_job(spec=spec, parent=parent, pods=(passing,)), context=RESUMABLE)
    assert said(again) == ("Pending", "BackingOff")


def test_the_key_is_a_reference_in_the_trainer_alone() -> None:
    parent = of_parent(BUCKET)
    key = {"name": "model-key", "key": "passphrase"}
    mine = [{"name": "TRAINYARD_ENCRYPTION_KEY", "value": "mine"}, {"name": "A", "value": "1"}]
    pod = pod_of(parent, encryptionKeySecretRef=key, env=mine, output=BUCKET)
    entries = [e for e in trainer_of(pod)["env"] if e["name"] == "TRAINYARD_ENCRYPTION_KEY"]
    assert entries == [{"name": "TRAINYARD_ENCRYPTION_KEY", "valueFrom": {"secretKeyRef": key}}]
    assert env_of(pod)["A"] == "1"
    for container in pod["spec"]["initContainers"]:
        assert "model-key" not in orjson.dumps(container).decode()


def test_without_a_reference_the_name_is_the_users() -> None:
    mine = [{"name": "TRAINYARD_ENCRYPTION_KEY", "value": "mine"}]
    (pod,) = plan(a_job(env=mine)).create
    assert env_of(pod)["TRAINYARD_ENCRYPTION_KEY"] == "mine"
