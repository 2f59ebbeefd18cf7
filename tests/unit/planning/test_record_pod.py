"""The pod that stores a version's record and card, and what it says."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from trainyard.api.mlmodel import MLModelSpec
from trainyard.planning import recordpod
from trainyard.planning.agentpod import AgentRules
from trainyard.planning.context import Context
from trainyard.planning.modelobserved import ObservedModel
from trainyard.planning.podview import ContainerView, PodView

Json = dict[str, Any]

MODEL = ObservedModel(
    namespace="team-a",
    name="digits",
    uid="model-uid",
    generation=1,
    deleting=False,
    status={},
    spec=MLModelSpec.model_validate(
        {"type": "decision_tree", "description": "Digits", "metadata": {"license": "mit", "tags": ["a", 1]}}
    ),
)
RULES = Context(agent=AgentRules(image="agent:1", requests={"cpu": "50m"}), image_pull_policy="IfNotPresent")
ON_CLAIM: Json = {
    "number": 3,
    "time": "2026-01-01T00:00:00Z",
    "origin": "job",
    "uri": "pvc://out/job-uid/attempt-1",
    "sha256": "a" * 64,
    "lineage": {
        "job": "digits-train-3",
        "datasets": [{"name": "d", "uri": "s3://d/$(x)", "sha256": "e" * 64}],
    },
}
IN_BUCKET = {
    **ON_CLAIM,
    "uri": "s3://models/team/job-uid/attempt-1",
    "store": {"secretRef": {"name": "keys"}, "endpoint": "http://s3:9000", "region": "eu"},
}


def order_of(pod: Json) -> Json:
    (container,) = pod["spec"]["containers"]
    (entry,) = [e for e in container["env"] if e["name"] == "TRAINYARD_RECORD"]
    said: Json = orjson.loads(entry["value"].replace("$$", "$"))
    return said


def built(version: Json, **parameters: Any) -> Json:
    return recordpod.build(MODEL, version, job={"spec": {"parameters": parameters}}, rules=RULES)


def test_a_version_on_a_claim_is_recorded_beside_its_artifacts() -> None:
    pod = built(ON_CLAIM, depth=4)
    order = order_of(pod)
    record = order.pop("record")
    assert order == {
        "namespace": "team-a",
        "store": "pvc://out",
        "output": {"path": "/trainyard/output"},
        "uid": "job-uid",
        "artifacts": "job-uid/attempt-1",
        "sha256": "a" * 64,
        "model": "digits",
        "version": 3,
    }
    about = {"type": "decision_tree", "description": "Digits", "license": "mit", "tags": ["a"]}
    whose = {"model": "digits", "namespace": "team-a", "modelUid": "model-uid"}
    assert record == {**whose, "about": about, **ON_CLAIM, "parameters": {"depth": 4}}
    volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
    assert volumes["output"]["persistentVolumeClaim"] == {"claimName": "out"}
    (container,) = pod["spec"]["containers"]
    assert "readOnly" not in {m["mountPath"]: m for m in container["volumeMounts"]}["/trainyard/output"]
    assert "$$(x)" in container["env"][1]["value"]


def test_a_bucket_is_reached_with_its_secret() -> None:
    pod = built(IN_BUCKET)
    assert order_of(pod)["output"] == {
        "uri": "s3://models/team",
        "endpoint": "http://s3:9000",
        "region": "eu",
    }
    (container,) = pod["spec"]["containers"]
    assert {m["mountPath"] for m in container["volumeMounts"]} == {"/tmp", "/trainyard/secrets/output"}
    (secret,) = [v for v in pod["spec"]["volumes"] if v["name"] == "secret"]
    assert secret["secret"] == {"secretName": "keys"}


def test_it_runs_where_the_settings_say() -> None:
    taint = {"key": "dedicated", "operator": "Exists"}
    agent = AgentRules(image="agent:1", node_selector={"pool": "cpu"}, tolerations=[taint])
    pod = recordpod.build(MODEL, ON_CLAIM, job={}, rules=Context(agent=agent))
    assert pod["spec"]["nodeSelector"] == {"pool": "cpu"}
    assert pod["spec"]["tolerations"] == [taint]
    assert "nodeSelector" not in built(ON_CLAIM)["spec"]


def test_the_pod_is_the_models_and_may_do_nothing_else() -> None:
    pod = built(ON_CLAIM)
    assert pod["metadata"]["name"] == "digits-record-3"
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("MLModel", "model-uid", True)
    assert pod["metadata"]["labels"]["trainyard.dev/model-uid"] == "model-uid"
    (container,) = pod["spec"]["containers"]
    assert (container["name"], container["args"], container["image"]) == (
        "trainyard-record",
        ["record"],
        "agent:1",
    )
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert pod["spec"]["securityContext"]["fsGroup"] == 65532
    assert pod["spec"]["automountServiceAccountToken"] is False


NOWHERE: list[Any] = [
    pytest.param({"card": "pvc://out/job-uid/models/digits-3.md"}, id="one that has its card"),
    pytest.param({"origin": "reported"}, id="one that was told from outside"),
    pytest.param({"sha256": None}, id="one without a digest"),
    pytest.param({"uri": None}, id="one without an address"),
    pytest.param({"uri": "https://h/job-uid/attempt-1"}, id="one on a web server"),
    pytest.param({"uri": "pvc://out/job-uid/model"}, id="one that is no attempt's folder"),
    pytest.param({"uri": "pvc://attempt-1"}, id="one at the top of a claim"),
    pytest.param({"uri": "pvc://out/sub/job-uid/attempt-1"}, id="one in a folder of a claim"),
    pytest.param({"uri": "s3://models/../attempt-1"}, id="one whose folder climbs"),
]


@pytest.mark.parametrize("more", NOWHERE)
def test_of_what_cannot_be_recorded_no_record_is_wanted(more: Json) -> None:
    assert recordpod.wanted(ON_CLAIM)
    assert recordpod.wanted(IN_BUCKET)
    assert not recordpod.wanted({**ON_CLAIM, **more})


def test_what_lies_in_no_jobs_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="version 3 lies in no job's folder"):
        built({**ON_CLAIM, "uri": "pvc://out/x"})


def test_a_record_is_the_same_whenever_it_is_made() -> None:
    later = {**ON_CLAIM, "card": "pvc://out/job-uid/models/digits-3.md", "profile": {"uri": "u"}}
    assert built(later) == built(ON_CLAIM)


def test_of_a_job_that_is_gone_the_parameters_are_not_known() -> None:
    pod = recordpod.build(MODEL, ON_CLAIM, job={}, rules=RULES)
    assert order_of(pod)["record"]["parameters"] is None
    assert order_of(built(ON_CLAIM))["record"]["parameters"] == {}


def test_parameters_that_are_too_long_for_a_pod_are_left_out() -> None:
    record = order_of(built(ON_CLAIM, words="w" * 130_000))["record"]
    assert record["parameters"] is None
    assert record["lineage"] == ON_CLAIM["lineage"]


def test_a_lineage_that_is_too_long_for_a_pod_loses_addresses_and_keeps_digests() -> None:
    datasets = [{"name": f"d{n}", "uri": "s3://" + "u" * 2000, "sha256": "f" * 64} for n in range(72)]
    pod = built({**ON_CLAIM, "lineage": {"datasets": datasets}}, words="w" * 1000)
    kept = order_of(pod)["record"]["lineage"]["datasets"]
    assert kept == [{"name": f"d{n}", "sha256": "f" * 64} for n in range(72)]
    assert len(pod["spec"]["containers"][0]["env"][1]["value"]) < 128 << 10


def ended(word: str, *, code: int = 0, state: Any = "terminated", **pod: Any) -> PodView:
    container = ContainerView(name="trainyard-record", state=state, exit_code=code, message=word)
    return PodView(name="digits-record-3", uid="p", job_uid="m", attempt=3, rank=0, trainer=container, **pod)


TOLD = {"card": {"path": "c", "sha256": "c" * 64}, "record": {"path": "r", "sha256": "d" * 64}}
SAID = json.dumps(TOLD)
CARD = {"card": "pvc://out/job-uid/models/digits-3.md"}
PROFILE = {"uri": "pvc://out/job-uid/attempt-1/profile.json", "sha256": "e" * 64}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(ended(SAID), CARD, id="both are stored"),
        pytest.param(
            ended(json.dumps({**TOLD, "profile": {"sha256": "e" * 64}})),
            {**CARD, "profile": PROFILE},
            id="and there is a profile of the data",
        ),
        pytest.param(ended(SAID, code=1), None, id="it failed"),
        pytest.param(ended(SAID, state="running"), None, id="it has not ended"),
        pytest.param(ended(""), None, id="it said nothing"),
        pytest.param(ended('{"card": 3, "record": {"sha256": "x"}}'), None, id="it said nonsense"),
        pytest.param(ended("[1]"), None, id="it said a list"),
        pytest.param(PodView(name="p", uid="p", job_uid="m", attempt=3, rank=0), None, id="it was lost"),
    ],
)
def test_what_was_stored_is_the_agents_word_after_a_good_end(pod: PodView, expected: Json | None) -> None:
    assert recordpod.recorded(pod, ON_CLAIM) == expected


def test_the_card_in_a_bucket_has_an_address_there() -> None:
    assert recordpod.recorded(ended(SAID), IN_BUCKET) == {
        "card": "s3://models/team/job-uid/models/digits-3.md"
    }


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        pytest.param(ended('{"error": "It is full."}', code=1), "It is full.", id="its own sentence"),
        pytest.param(ended("Traceback", code=1), "Traceback", id="the end of its log"),
        pytest.param(ended("", code=137, message="Evicted: disk"), "Evicted: disk", id="the pod's message"),
        pytest.param(ended("", code=137), "no reason is given", id="nothing at all"),
    ],
)
def test_what_went_wrong_is_a_sentence(pod: PodView, expected: str) -> None:
    assert recordpod.problem(pod) == expected
