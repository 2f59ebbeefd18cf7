"""A job with an output is Done when its artifacts are safe, and not before."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from tests.unit.planning.builders import (
    CONTEXT,
    NOW,
    UID,
    a_fetch,
    a_job,
    a_parent,
    a_pod,
    a_spec,
    an_agent,
    env_of,
    plan,
    said,
    settled,
    status_after,
)
from trainyard.api.shared import Output
from trainyard.planning import confirming
from trainyard.planning.agentpod import AgentRules
from trainyard.planning.observed import LogView, ObservedJob
from trainyard.planning.podview import PodView
from trainyard.planning.progress import Report
from trainyard.planning.runtime import Runtime, RuntimeAction
from trainyard.planning.server import ServerAddress
from trainyard.planning.times import stamp

BUCKET = {"uri": "s3://models/team", "endpoint": "http://s3:9000", "secretRef": {"name": "keys"}}
FOLDER = f"s3://models/team/{UID}/attempt-0"
SAFE: dict[str, Any] = {"uploaded": True, "uri": FOLDER, "size": 12, "sha256": "a" * 64}
SERVED = dataclasses.replace(
    CONTEXT,
    server=ServerAddress(url="https://trainyard.trainyard-system.svc:8443", ca="PEM"),
    agent=AgentRules(image="agent:1", requests={"cpu": "50m"}),
    catalog=(
        Runtime(
            name="reference",
            image="trainer:1",
            types=frozenset({"neural_network"}),
            actions={"train": RuntimeAction(resumable=True)},
        ),
    ),
)


def stored(pod: PodView, **spec: Any) -> ObservedJob:
    return a_job(pods=(pod,), output=BUCKET, **spec)


def test_it_is_done_with_the_agents_word_and_tells_what_is_safe() -> None:
    files = [{"path": "model.joblib", "size": 12, "sha256": "b" * 64}]
    checkpoint = {"epoch": 9, "step": 90, "uri": f"{FOLDER}/checkpoints/epoch-000009", "time": stamp(NOW)}
    word = SAFE | {"artifacts": files, "checkpoint": checkpoint}
    p = plan(stored(a_pod(exit_code=0, sidecars=an_agent(**word))))
    assert said(p) == ("Done", "Completed")
    status = status_after(p)
    assert status["artifacts"] == [
        {"uri": FOLDER, "size": 12, "sha256": "a" * 64},
        {"uri": f"{FOLDER}/model.joblib", "size": 12, "sha256": "b" * 64},
    ]
    assert status["lastCheckpoint"] == checkpoint


def test_while_the_agent_works_it_is_uploading() -> None:
    busy = a_pod(exit_code=0, sidecars=an_agent(), phase="Running")
    job = stored(busy)
    job = dataclasses.replace(job, status=status_after(plan(stored(a_pod(running=True)))))
    assert plan(job).status is None, "most uploads are over before it is worth a request"
    assert said(settled(job)) == ("Running", "Uploading")


@pytest.mark.parametrize(
    ("sidecars", "told"),
    [
        pytest.param(
            an_agent(uploaded=False, error="The bucket refuses the key: mend the Secret keys."),
            "mend the Secret keys",
            id="with the reason that it gives",
        ),
        pytest.param(
            (
                dataclasses.replace(
                    an_agent(uploaded=False)[0], message="", reason="OOMKilled", exit_code=137
                ),
            ),
            "OOMKilled",
            id="without a word of it",
        ),
        pytest.param(
            (dataclasses.replace(an_agent(uploaded=False)[0], message="Traceback"),),
            "Traceback",
            id="with other words",
        ),
        pytest.param(an_agent(uploaded="yes"), "not safe", id="with a word that is none"),
    ],
)
def test_without_the_agents_word_the_attempt_has_failed_and_is_tried_again(sidecars: Any, told: str) -> None:
    pod = a_pod(exit_code=0, sidecars=sidecars)
    again = plan(stored(pod, backoffLimit=1))
    assert said(again) == ("Pending", "BackingOff")
    assert status_after(again)["attempts"][0]["reason"] == "UploadFailed"
    status = status_after(plan(stored(pod)))
    assert (status["phase"], status["reason"]) == ("Error", "UploadFailed")
    assert told in status["message"]
    assert "artifacts" not in status


def test_a_trainer_that_failed_is_that_whatever_its_agent_says() -> None:
    p = plan(stored(a_pod(exit_code=1, sidecars=an_agent(**SAFE))))
    assert said(p) == ("Error", "TrainerFailed")


def test_a_pod_of_an_older_version_without_agent_is_judged_by_its_exit_code() -> None:
    p = plan(stored(a_pod(exit_code=0)))
    assert said(p) == ("Done", "Completed")
    assert status_after(p)["artifacts"] == [{"uri": FOLDER}]


def test_a_result_that_is_there_ends_the_job_without_a_run() -> None:
    record = {
        "metrics": [{"name": "accuracy", "value": "0.97"}],
        "message": "trained",
        "keyMetric": {"name": 3},
    }
    word = {"complete": True, "result": {"artifacts": {"uri": "s3://old", "size": 1}, "record": record}}
    pod = a_pod(phase="Failed", init=a_fetch(10, **word))
    status = status_after(plan(stored(pod)))
    assert (status["phase"], status["reason"]) == ("Done", "Completed")
    assert status["artifacts"] == [{"uri": "s3://old", "size": 1}]
    assert status["metrics"] == record["metrics"]
    assert "keyMetric" not in status
    assert "not run again" in status["message"]


def test_a_fetch_that_failed_is_tried_again_and_says_why() -> None:
    pod = a_pod(phase="Failed", init=a_fetch(1, error="The Secret keys has no AWS_ACCESS_KEY_ID."))
    status = status_after(plan(stored(pod)))
    assert (status["phase"], status["reason"]) == ("Error", "FetchFailed")
    assert "AWS_ACCESS_KEY_ID" in status["message"]
    assert said(plan(stored(pod, backoffLimit=2))) == ("Pending", "BackingOff")


def test_an_attempt_that_the_output_knows_a_later_one_of_is_followed_by_one_after_that() -> None:
    pod = a_pod(phase="Failed", init=a_fetch(11, error="outrun", claimed=4))
    status = status_after(plan(stored(pod)))
    assert [entry["number"] for entry in status["attempts"]] == [0, 5]
    assert status["attempts"][0]["counted"] is False


def test_the_pod_has_the_agent_around_the_trainer() -> None:
    (pod,) = plan(a_job(output=BUCKET, gracePeriodSeconds=40, uploadSeconds=200), context=SERVED).create
    spec = pod["spec"]
    fetch, agent = spec["initContainers"]
    assert (fetch["name"], fetch["args"]) == ("trainyard-fetch", ["fetch"])
    assert (agent["name"], agent["args"], agent["restartPolicy"]) == ("trainyard-agent", ["run"], "Always")
    assert agent["image"] == "agent:1"
    assert spec["terminationGracePeriodSeconds"] == 240
    order = orjson.loads(agent["env"][0]["value"].replace("$$", "$"))
    assert order["output"] == {"uri": "s3://models/team", "endpoint": "http://s3:9000"}
    assert order["outputDir"] == f"/trainyard/output/{UID}/attempt-0"
    assert order["verdict"]["url"].endswith("/namespaces/team-a/trainingjobs/digits/verdict")
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["trainyard-secret-output"]["secret"] == {"secretName": "keys"}
    (trainer,) = spec["containers"]
    mounts = {m["mountPath"]: m for m in trainer["volumeMounts"]}
    assert mounts["/trainyard/work"]["readOnly"] is True
    assert not any("secret" in m["name"] for m in trainer["volumeMounts"]), (
        "keys of the store are not the trainer's"
    )
    env = env_of(pod)
    assert env["TRAINYARD_RESUME"] == "/trainyard/work/resume"
    assert env["KUBEFLOW_TRAINER_SERVER_TOKEN"] == "/trainyard/server/token"
    assert pod["metadata"]["annotations"]["trainyard.dev/server-ca"] == "PEM"


def test_a_parent_in_a_bucket_is_fetched_with_its_own_keys() -> None:
    parent = a_parent(artifact_uri="s3://models/team/p/attempt-0", output=Output.model_validate(BUCKET))
    (pod,) = plan(a_job(parentJob="base", parent=parent), context=SERVED).create
    (fetch,) = pod["spec"]["initContainers"]
    order = orjson.loads(fetch["env"][0]["value"])
    assert order["output"] is None
    assert order["parent"] == {"uri": "s3://models/team/p/attempt-0", "endpoint": "http://s3:9000"}
    assert env_of(pod)["TRAINYARD_PARENT_DIR"] == order["parentDir"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30


def test_the_result_waits_for_what_other_ranks_have_made() -> None:
    def asked(second: PodView) -> str:
        first = a_pod(exit_code=0, sidecars=an_agent(), phase="Running")
        job = a_job(spec=a_spec(nodes=2, output=BUCKET), pods=(first, second))
        return str(confirming.confirmed(job, "pod-0", now=NOW, context=CONTEXT)["state"])

    assert asked(a_pod(rank=1, running=True, sidecars=an_agent())) == "Pending"
    assert asked(a_pod(rank=1, exit_code=0, sidecars=an_agent(), phase="Running")) == "Pending"
    assert asked(a_pod(rank=1, exit_code=0, sidecars=an_agent(uploaded=False))) == "Incomplete"
    assert asked(a_pod(rank=1, exit_code=0, sidecars=an_agent(**SAFE))) == "Complete"


def test_a_job_without_output_has_no_agent() -> None:
    (pod,) = plan(a_job(), context=SERVED).create
    assert "initContainers" not in pod["spec"]
    assert plan(a_job()).annotate == {}


def test_a_job_with_an_output_is_marked_before_its_pod_is_made_and_once() -> None:
    job = a_job(output=BUCKET)
    marked = plan(job).annotate["trainyard.dev/store-uids"]
    assert marked == f"digits/{UID}"
    assert plan(dataclasses.replace(job, store_uids=marked)).annotate == {}


def test_a_restored_job_looks_where_it_stored_before() -> None:
    job = dataclasses.replace(a_job(output=BUCKET), origins=("new", "old"), store_uids="digits/old,new")
    p = plan(job)
    assert p.annotate == {"trainyard.dev/store-uids": f"digits/old,new,{UID}"}
    agent = p.create[0]["spec"]["initContainers"][1]
    assert orjson.loads(agent["env"][0]["value"])["origins"] == ["new", "old"]


def test_the_agent_is_told_when_all_is_done() -> None:
    report = Report(at=stamp(NOW), status="SUCCESS")
    logs = {"pod-0": LogView(report=report, ended=True)}
    following = dataclasses.replace(CONTEXT, follow_logs=True)

    def asked(pod: PodView, *, now: float = NOW, **fields: Any) -> str:
        job = dataclasses.replace(stored(pod, **fields), logs=fields.get("logs", logs))
        return str(confirming.confirmed(job, "pod-0", now=now, context=following)["state"])

    uploading = {"sidecars": an_agent(), "phase": "Running"}
    assert asked(a_pod(running=True, sidecars=an_agent())) == "Pending"
    assert asked(a_pod(exit_code=0, **uploading)) == "Complete"
    assert asked(a_pod(exit_code=1, **uploading)) == "Incomplete"
    assert asked(a_pod(exit_code=0, deletion_requested_at=NOW - 9, **uploading)) == "Incomplete"
    stopped = a_pod(running=True, sidecars=an_agent(), deletion_requested_at=NOW)
    assert asked(stopped) == "Incomplete", "its end will not be told before the agent's"
    other = dataclasses.replace(a_job(pods=(a_pod(exit_code=0, uid="another"),)), logs=logs)
    assert confirming.confirmed(other, "pod-0", now=NOW, context=following) == {"state": "Superseded"}
    unread = dataclasses.replace(
        stored(a_pod(exit_code=0, **uploading)), logs={"pod-0": LogView(report=report)}
    )
    assert confirming.confirmed(unread, "pod-0", now=NOW, context=following)["state"] == "Pending"
    assert confirming.confirmed(unread, "pod-0", now=NOW + 60, context=following)["state"] == "Complete"
