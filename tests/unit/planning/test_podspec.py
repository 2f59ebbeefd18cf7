"""The pod that a job gets: the contract with the trainer, placement, and the merge of a user's template."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.planning.builders import (
    CONTEXT,
    NOW,
    UID,
    a_dataset,
    a_job,
    a_parent,
    a_spec,
    env_of,
    trainer_of,
)
from trainyard.planning.merge import merged
from trainyard.planning.observed import ObservedJob
from trainyard.planning.trainingjob import plan_training_job

Json = dict[str, Any]


def pod_of(observed: ObservedJob) -> Json:
    (pod,) = plan_training_job(observed, now=NOW, context=CONTEXT).create
    return dict(pod)


def test_the_name_labels_and_owner_are_derived_from_the_job() -> None:
    metadata = pod_of(a_job())["metadata"]
    assert metadata["name"] == "digits-0-0"
    assert metadata["labels"] == {
        "app.kubernetes.io/managed-by": "trainyard",
        "trainyard.dev/job": "digits",
        "trainyard.dev/job-uid": UID,
        "trainyard.dev/attempt": "0",
        "trainyard.dev/rank": "0",
    }
    (owner,) = metadata["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (UID, True)
    assert metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert metadata["finalizers"] == ["trainyard.dev/verdict"], "from the POST on"


def test_the_pod_passes_pod_security_restricted() -> None:
    spec = pod_of(a_job())["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert trainer_of({"spec": spec})["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"


def test_a_gpu_request_brings_its_toleration_and_its_node_labels() -> None:
    pod = pod_of(a_job(accelerator={"count": 2, "type": "a100"}))
    assert trainer_of(pod)["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    tainted = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert tainted in pod["spec"]["tolerations"]
    terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [t["matchExpressions"][0]["key"] for t in terms["nodeSelectorTerms"]] == [
        "nvidia.com/gpu.product",
        "gke",
    ]


def test_another_device_has_its_own_resource_and_toleration() -> None:
    pod = pod_of(a_job(accelerator={"resourceName": "amd.com/gpu"}))
    assert trainer_of(pod)["resources"]["requests"] == {"amd.com/gpu": "1"}
    assert pod["spec"]["tolerations"][-1]["key"] == "amd.com/gpu"


def a_minute_of(key: str) -> Json:
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}


def test_a_pod_leaves_a_lost_node_after_a_minute_also_where_the_user_tolerates_everything() -> None:
    tolerations = pod_of(a_job(tolerations=[{"operator": "Exists"}]))["spec"]["tolerations"]
    silent = "node.kubernetes.io/unreachable"
    # NB: Kubernetes takes the first that fits the taint.
    assert tolerations[:2] == [a_minute_of("node.kubernetes.io/not-ready"), a_minute_of(silent)]


@pytest.mark.parametrize("where", ["spec", "template"])
def test_a_user_who_speaks_of_lost_nodes_is_heeded(where: str) -> None:
    theirs = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 900}
    given = {"tolerations": [theirs]}
    fields: Json = given if where == "spec" else {"template": {"spec": given}}
    tolerations = pod_of(a_job(**fields))["spec"]["tolerations"]
    assert [t for t in tolerations if t["key"] == theirs["key"]] == [theirs]
    assert a_minute_of("node.kubernetes.io/not-ready") in tolerations


def test_the_users_affinity_and_the_accelerators_both_hold() -> None:
    zones = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [z]}]} for z in "ab"]
    wanted = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": zones}}
    }
    pod = pod_of(a_job(accelerator={"type": "a100"}, affinity=wanted))
    node = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    keys = [[e["key"] for e in term["matchExpressions"]] for term in node["nodeSelectorTerms"]]
    assert keys == [["zone", "nvidia.com/gpu.product"], ["zone", "gke"]] * 2


def test_scheduling_wishes_are_passed_on() -> None:
    pod = pod_of(
        a_job(
            tolerations=[{"key": "team", "operator": "Equal", "value": "a", "effect": "NoExecute"}],
            nodeSelector={"disk": "fast"},
            priorityClassName="high",
            schedulerName="volcano",
            queueName="team-a",
        )
    )
    spec = pod["spec"]
    assert spec["tolerations"][-1]["key"] == "team"
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert (spec["priorityClassName"], spec["schedulerName"]) == ("high", "volcano")
    assert pod["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"


def test_datasets_parent_and_output_are_mounted_where_the_environment_says() -> None:
    pod = pod_of(
        a_job(
            spec=a_spec(
                datasets={"train": ["one"], "eval": "two"},
                parentJob="base",
                output={"claimName": "out"},
                action="evaluate",
            ),
            datasets={"one": a_dataset("one"), "two": a_dataset("two")},
            parent=a_parent(),
        )
    )
    mounts = {m["mountPath"]: m for m in trainer_of(pod)["volumeMounts"]}
    assert mounts["/trainyard/data/one"] == {
        "name": "claim-0",
        "mountPath": "/trainyard/data/one",
        "subPath": "one",
        "readOnly": True,
    }
    assert mounts["/trainyard/parent"]["subPath"] == "parent-uid/attempt-0"
    assert mounts["/trainyard/output"] == {"name": "claim-1", "mountPath": "/trainyard/output"}
    claims = [v["persistentVolumeClaim"]["claimName"] for v in pod["spec"]["volumes"] if "emptyDir" not in v]
    assert claims == ["data", "out"], "a claim is one volume, however often it is mounted"
    env = env_of(pod)
    assert orjson.loads(env["TRAINYARD_DATASETS"]) == {"train": ["one"], "eval": "two"}
    assert env["TRAINYARD_OUTPUT_DIR"] == f"/trainyard/output/{UID}/attempt-0"
    assert env["TRAINYARD_PARENT_DIR"] == "/trainyard/parent"
    assert "TRAINYARD_RESUME" not in env


def test_data_in_the_environment_is_never_expanded() -> None:
    pod = pod_of(a_job(parameters={"name": "$(TRAINYARD_JOB)", "price": "$5"}))
    value = env_of(pod)["TRAINYARD_PARAMETERS"]
    assert value.count("$$") == 2
    assert orjson.loads(value.replace("$$", "$")) == {"name": "$(TRAINYARD_JOB)", "price": "$5"}


def test_shm_is_memory() -> None:
    pod = pod_of(a_job(shmSize="1Gi"))
    assert pod["spec"]["volumes"] == [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}]


def test_the_catalogue_gives_image_and_arguments_and_the_spec_wins() -> None:
    assert trainer_of(pod_of(a_job(action="evaluate", architecture="mlp")))["args"] == ["--evaluate"]
    own = trainer_of(pod_of(a_job(action="evaluate", type="neural_network", image="mine:1", args=["-x"])))
    assert (own["image"], own["args"]) == ("mine:1", ["-x"])


def test_the_template_wins_but_not_over_who_owns_the_pod() -> None:
    template = {
        "metadata": {"labels": {"team": "a", "trainyard.dev/job": "stolen"}, "name": "other"},
        "spec": {
            "hostNetwork": False,
            "securityContext": {"runAsUser": 1000},
            "containers": [
                {"name": "trainer", "workingDir": "/work", "env": [{"name": "A", "value": "1"}]},
                {"name": "side", "image": "side:1"},
            ],
        },
    }
    pod = pod_of(a_job(template=template))
    assert pod["metadata"]["name"] == "digits-0-0"
    assert pod["metadata"]["labels"]["team"] == "a"
    assert pod["metadata"]["labels"]["trainyard.dev/job"] == "digits"
    assert pod["spec"]["securityContext"]["runAsUser"] == 1000
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert [c["name"] for c in pod["spec"]["containers"]] == ["trainer", "side"]
    trainer = trainer_of(pod)
    assert trainer["workingDir"] == "/work"
    assert trainer["image"] == "trainyard/trainer:test"
    assert env_of(pod)["A"] == "1"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.text(max_size=3), json_values, max_size=4)


@given(base=objects, over=objects)
def test_a_merge_changes_neither_side_and_the_second_time_nothing(base: Json, over: Json) -> None:
    before = copy.deepcopy([base, over])
    once = merged(base, over)
    assert [base, over] == before
    assert merged(once, over) == once


def test_null_removes() -> None:
    assert merged({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": None}}) == {"b": {"d": 3}}


@pytest.mark.parametrize("key", ["containers", "volumes", "env"])
def test_lists_of_named_things_are_merged_by_name(key: str) -> None:
    base = {key: [{"name": "x", "v": 1}, {"name": "y"}]}
    assert merged(base, {key: [{"name": "x", "w": 2}]}) == {
        key: [{"name": "x", "v": 1, "w": 2}, {"name": "y"}]
    }


def test_a_gpu_asked_for_as_a_plain_resource_brings_its_toleration_too() -> None:
    pod = pod_of(a_job(resources={"limits": {"nvidia.com/gpu": 1}}))
    assert pod["spec"]["tolerations"][-1]["key"] == "nvidia.com/gpu"
