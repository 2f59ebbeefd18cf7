"""The pod that removes what trials have stored, and what it says."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from trainyard.api.shared import Output
from trainyard.planning import sweeppod
from trainyard.planning.agentpod import AgentRules
from trainyard.planning.context import Context
from trainyard.planning.experimentobserved import ObservedExperiment
from trainyard.planning.podview import ContainerView, PodView
from trainyard.planning.sweeppod import Swept

Json = dict[str, Any]

EXPERIMENT = ObservedExperiment(
    namespace="team-a", name="search", uid="exp-uid", generation=1, deleting=False, status={}, spec=None
)
RULES = Context(agent=AgentRules(image="agent:1", requests={"cpu": "50m"}), image_pull_policy="IfNotPresent")


def built(output: Json) -> Json:
    return sweeppod.build(EXPERIMENT, ["a", "b"], Output.model_validate(output), number=2, rules=RULES)


def order_of(pod: Json) -> Json:
    (container,) = pod["spec"]["containers"]
    (entry,) = [e for e in container["env"] if e["name"] == "TRAINYARD_SWEEP"]
    said: Json = orjson.loads(entry["value"].replace("$$", "$"))
    return said


def test_a_claim_is_mounted_and_the_agent_told_what_goes() -> None:
    pod = built({"claimName": "out"})
    assert order_of(pod) == {
        "namespace": "team-a",
        "store": "pvc://out",
        "output": {"path": "/trainyard/output"},
        "uids": ["a", "b"],
    }
    (container,) = pod["spec"]["containers"]
    mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
    assert "readOnly" not in mounts["/trainyard/output"]
    volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
    assert volumes["output"]["persistentVolumeClaim"] == {"claimName": "out"}
    assert (container["args"], container["image"]) == (["sweep"], "agent:1")
    assert container["imagePullPolicy"] == "IfNotPresent"


def test_a_bucket_is_reached_with_its_secret() -> None:
    pod = built({"uri": "s3://models/$(team)/", "endpoint": "http://s3:9000", "secretRef": {"name": "keys"}})
    assert order_of(pod)["output"] == {"uri": "s3://models/$(team)", "endpoint": "http://s3:9000"}
    (container,) = pod["spec"]["containers"]
    assert "$$(team)" in container["env"][1]["value"]
    assert {m["mountPath"] for m in container["volumeMounts"]} == {"/tmp", "/trainyard/secrets/output"}
    assert [v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v] == ["keys"]


def test_it_runs_where_the_settings_say() -> None:
    taint = {"key": "nvidia.com/gpu", "operator": "Exists"}
    agent = AgentRules(node_selector={"pool": "small"}, tolerations=(taint,))
    pod = sweeppod.build(
        EXPERIMENT, ["a"], Output.model_validate({"claimName": "out"}), number=2, rules=Context(agent=agent)
    )
    assert pod["spec"]["nodeSelector"] == {"pool": "small"}
    assert pod["spec"]["tolerations"] == [taint]
    assert not {"nodeSelector", "tolerations"} & built({"claimName": "out"})["spec"].keys()


def test_it_is_the_experiments_and_is_seen_as_such() -> None:
    pod = built({"claimName": "out"})
    assert pod["metadata"]["name"] == "search-sweep-2"
    view = PodView.from_raw({**pod, "metadata": {**pod["metadata"], "uid": "pod-uid"}})
    assert (view.experiment, view.job_uid, view.stage, view.attempt) == (
        "search",
        "exp-uid",
        sweeppod.STAGE,
        2,
    )
    assert view.watched


def ended(code: int | None, word: str, **fields: Any) -> PodView:
    trainer = None
    if code is not None:
        trainer = ContainerView(name="trainyard-sweep", state="terminated", exit_code=code, message=word)
    return PodView(
        name="search-sweep-1", uid="u", job_uid="exp-uid", attempt=1, rank=0, trainer=trainer, **fields
    )


DONE = json.dumps({"removed": 12, "bytes": 345})
FAILED = json.dumps({"removed": 3, "bytes": 5, "error": "pvc://out/a is left as it is."})


@pytest.mark.parametrize(
    ("pod", "expected", "problem"),
    [
        pytest.param(ended(0, DONE), Swept(removed=12, bytes=345), None, id="all of it is gone"),
        pytest.param(ended(1, FAILED), None, "pvc://out/a is left as it is.", id="some of it stays"),
        pytest.param(ended(1, "Traceback: x"), None, "Traceback: x", id="it broke"),
        pytest.param(ended(0, "not JSON"), None, "not JSON", id="an image of another release"),
        pytest.param(ended(0, '{"removed": -1, "bytes": "x"}'), None, None, id="a word that cannot be"),
        pytest.param(ended(0, "[]"), None, "[]", id="no object"),
        pytest.param(
            ended(None, "", phase="Failed", reason="Evicted", message="low on memory"),
            None,
            "low on memory",
            id="the pod was lost",
        ),
        pytest.param(ended(None, ""), None, "no reason is given", id="nothing is known"),
    ],
)
def test_its_end_says_what_was_removed_or_why_not(
    pod: PodView, expected: Swept | None, problem: str | None
) -> None:
    assert sweeppod.swept(pod) == expected
    if problem is not None:
        assert sweeppod.problem(pod) == problem


def test_one_that_runs_has_not_said_it() -> None:
    running = ContainerView(name="trainyard-sweep", state="running", message=DONE)
    pod = PodView(name="search-sweep-1", uid="u", job_uid="e", attempt=1, rank=0, trainer=running)
    assert sweeppod.swept(pod) is None
