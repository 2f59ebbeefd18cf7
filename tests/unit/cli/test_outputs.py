"""Where a job's output is, and the pod that reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trainyard.cli import outputs, sharepod
from trainyard.cli.exits import CommandError
from trainyard.cli.offers import Choice, asked
from trainyard.cli.outputs import Folder, Place
from trainyard.cli.sharepod import Image

UID, OLD = "5f6a1c1e-0000-4000-8000-000000000001", "5f6a1c1e-0000-4000-8000-000000000000"
CLAIM = Place(store="pvc://models", claim="models")
BUCKET = {
    "uri": "s3://models/team/",
    "endpoint": "https://s3.example.com",
    "region": "eu",
    "secretRef": {"name": "s3"},
}


def a_job(output: dict[str, Any] | None = None, *, spec: dict[str, Any] | None = None, **status: Any) -> Any:
    return {
        "metadata": {"name": "resnet", "namespace": "team", "uid": UID},
        "spec": {**({"output": output} if output else {}), **(spec or {})},
        "status": status,
    }


def a_pod(order: dict[str, Any], *volumes: dict[str, Any]) -> Any:
    env = [{"name": "TRAINYARD_AGENT", "value": json.dumps(order).replace("$", "$$")}]
    agent = {
        "name": "trainyard-agent",
        "image": "example.com/agent:7",
        "imagePullPolicy": "Always",
        "env": env,
    }
    return {
        "spec": {
            "initContainers": [{"name": "trainyard-fetch", "image": "x"}, agent],
            "containers": [{"name": "trainer"}],
            "volumes": list(volumes),
        }
    }


def test_the_output_of_the_job_comes_before_the_operators() -> None:
    assert outputs.place(a_job({"claimName": "models"}), None, {"output": BUCKET}) == CLAIM
    place = outputs.place(a_job(), None, {"output": BUCKET})
    assert (place.store, place.claim, place.secret) == ("s3://models/team", None, "s3")
    assert place.order() == {
        "uri": "s3://models/team",
        "endpoint": "https://s3.example.com",
        "region": "eu",
    }


def test_what_the_jobs_own_pod_was_told_counts_where_the_settings_cannot_be_read() -> None:
    order = {"store": "s3://models/$x", "output": {"uri": "s3://models/$x", "region": "eu"}}
    secret = {"name": "trainyard-secret-output", "secret": {"secretName": "s3"}}
    place = outputs.place(a_job(), a_pod(order, secret), {})
    assert place == Place(store="s3://models/$x", reached=(("region", "eu"),), secret="s3")
    order = {"store": "pvc://models", "output": {"path": "/trainyard/output"}}
    assert outputs.place(a_job(), a_pod(order), {}) == CLAIM


def test_a_claim_is_known_from_status_alone() -> None:
    job = a_job(artifacts=[{"uri": f"pvc://models/{UID}/attempt-0"}])
    assert outputs.place(job, None, {}) == CLAIM
    for broken in (None, a_pod({"output": 3}), {"spec": {}}):
        with pytest.raises(CommandError, match="TrainingJob resnet has no output"):
            outputs.place(a_job(artifacts=[{"uri": f"s3://models/{UID}/attempt-0"}]), broken, {})


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        (f"pvc://models/{OLD}/attempt-12", Folder(uid=OLD, attempt=12)),
        (f"pvc://models/{OLD}/attempt-2/checkpoints/epoch-000003", Folder(uid=OLD, attempt=2)),
        (f"pvc://models2/{OLD}/attempt-12", None),
        (f"pvc://models/../{OLD}/attempt-12", None),
        ("pvc://models/../attempt-1", None),
        (f"pvc://models/{OLD}/attempt-x", None),
        ("", None),
    ],
)
def test_only_a_folder_of_a_job_in_this_store_is_believed(uri: str, found: Folder | None) -> None:
    assert outputs.folder(uri, "pvc://models") == found


def choice(attempt: int | None = None, checkpoint: str | None = None) -> Choice:
    return Choice(attempt=attempt, checkpoint=checkpoint, patterns=())


def test_a_job_that_was_restored_is_read_where_it_was_before() -> None:
    job = a_job(
        {"claimName": "models"},
        artifacts=[{"uri": f"pvc://models/{OLD}/attempt-1"}],
        lastCheckpoint={"uri": f"pvc://models/{UID}/attempt-2/checkpoints/epoch-000004"},
    )
    assert asked(job, CLAIM, choice()) == (OLD, {"attempt": "1"})
    assert asked(job, CLAIM, choice(0)) == (OLD, {"attempt": "0"})
    assert asked(job, CLAIM, choice(None, "latest")) == (UID, {"attempt": "2"})
    assert asked(job, CLAIM, choice(None, "best")) == (UID, {"newest": "checkpoints"})


def test_a_job_without_artifacts_says_what_there_may_be() -> None:
    job = a_job({"claimName": "models"}, phase="Running", reason="Training", message="It trains.")
    with pytest.raises(CommandError, match=r"Running Training: It trains\. `--checkpoint latest`"):
        asked(job, CLAIM, choice())
    assert asked(job, CLAIM, choice(0)) == (UID, {"attempt": "0"})


def the_pod(job: Any, place: Place, pod: Any = None) -> Any:
    return sharepod.build(job, pod, place, uid=OLD, image=Image(name="agent"), suffix="abc")


def test_the_pod_only_reads_and_belongs_to_the_job_without_being_one_of_its_ranks() -> None:
    pod = the_pod(a_job({"claimName": "models"}), CLAIM)
    (container,) = pod["spec"]["containers"]
    assert container["volumeMounts"] == [
        {"name": "output", "mountPath": "/trainyard/output", "readOnly": True}
    ]
    assert json.loads(container["env"][0]["value"])["uid"] == OLD
    assert pod["metadata"]["ownerReferences"][0]["controller"] is False
    assert not {key for key in pod["metadata"]["labels"] if key.startswith("trainyard.dev/job")}
    assert pod["spec"]["activeDeadlineSeconds"] > 0
    assert pod["spec"]["restartPolicy"] == "Never"
    long = a_job({"claimName": "models"})
    long["metadata"]["name"] = "x" * 50
    assert len(the_pod(long, CLAIM)["metadata"]["name"]) + len(sharepod.suffix()) - len("abc") <= 63


def test_the_pod_reads_as_the_jobs_pods_wrote() -> None:
    template = {
        "serviceAccountName": "trainer",
        "securityContext": {"runAsUser": 1000},
        "tolerations": [{"key": "mine", "operator": "Exists"}],
        "nodeSelector": {"gpu": "a100"},
    }
    job = a_job(
        {"uri": "s3://b"},
        spec={"template": {"spec": template}, "accelerator": {"resourceName": "amd.com/gpu"}},
    )
    spec = the_pod(job, Place(store="s3://$b", secret="s3"))["spec"]
    assert spec["serviceAccountName"] == "trainer"
    assert spec["securityContext"] | {"runAsUser": 1000, "runAsNonRoot": True} == spec["securityContext"]
    assert [one["key"] for one in spec["tolerations"]] == ["mine", "amd.com/gpu"]
    assert "nodeSelector" not in spec, "a GPU node is not needed to read"
    assert spec["volumes"] == [{"name": "output", "secret": {"secretName": "s3"}}]
    assert spec["containers"][0]["env"][0]["value"].count("$$b") == 2


def test_the_image_is_the_first_that_is_known() -> None:
    pod, settings = a_pod({}), {"agent": {"image": "settings"}}

    def image(pod: Any, settings: Any, given: str | None = None) -> Image:
        return sharepod.image_of(pod, settings, given=given, default="default")

    assert image(pod, settings, "given") == Image(name="given")
    assert image(pod, settings) == Image(name="example.com/agent:7", pull_policy="Always")
    assert image(None, settings) == Image(name="settings")
    assert image(None, {}) == Image(name="default")
