"""A job that works on a checkpoint of its parent, on a real API server: what its pod's agent is told to look for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.client import Json
from tests.integration.test_trainingjob import bind_claim, run_briefly
from tests.objects import Jobs, found, manifest

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(120)]


def a_done_parent(jobs: Jobs, *, action: str = "train") -> str:
    """A parent that came back from a backup; its UID."""
    spec = {
        "image": "example.com/trainer:1",
        "action": action,
        "output": {"claimName": "out"},
        "template": run_briefly(),
    }
    body = manifest("TrainingJob", "parent", spec)
    body["metadata"]["annotations"] = {"trainyard.dev/store-uids": "parent/the-first,the-second"}
    bind_claim(jobs, "out")
    uid: str = jobs.client.post(jobs.path("trainingjobs"), body)["metadata"]["uid"]
    jobs.reaches("parent", "Done")
    return uid


def pod_of(jobs: Jobs, name: str) -> Json:
    (pod,) = found(lambda: jobs.pods(name), what=f"the pod of {name}")
    return dict(pod)


def told(pod: Json) -> dict[str, Any]:
    fetch = next(c for c in pod["spec"]["initContainers"] if c["name"] == "trainyard-fetch")
    order = next(e["value"] for e in fetch["env"] if e["name"] == "TRAINYARD_AGENT")
    return dict(json.loads(order.replace("$$", "$")))


def environment(pod: Json) -> dict[str, str]:
    return {e["name"]: e.get("value", "") for e in pod["spec"]["containers"][0]["env"]}


def test_a_training_goes_on_with_a_training_and_others_get_its_checkpoint(jobs: Jobs) -> None:
    uid = a_done_parent(jobs)
    latest = {"method": "latest_model"}
    jobs.create("longer", run_for=None, action="train", parentJob="parent", checkpoint=latest)
    longer = pod_of(jobs, "longer")
    handed = told(longer)["handed"]
    assert (handed["job"], handed["store"], handed["continues"]) == ("parent", "pvc://out", True)
    assert handed["uids"] == [uid, "the-second", "the-first"]
    assert environment(longer)["TRAINYARD_CONTINUES"] == "true"
    choice = {"method": "from_epoch_number", "epoch": 3}
    jobs.create("pruned", run_for=None, action="prune", parentJob="parent", checkpoint=choice)
    pruned = pod_of(jobs, "pruned")
    assert (told(pruned)["handed"]["epoch"], told(pruned)["handed"]["continues"]) == (3, False)
    assert environment(pruned)["TRAINYARD_PARENT_CHECKPOINT"]


def test_what_a_pruned_parent_has_left_is_its_latest_model(jobs: Jobs) -> None:
    a_done_parent(jobs, action="prune")
    jobs.create(
        "child", run_for=None, action="evaluate", parentJob="parent", checkpoint={"method": "latest_model"}
    )
    pod = pod_of(jobs, "child")
    assert "initContainers" not in pod["spec"]
    assert environment(pod)["TRAINYARD_PARENT_DIR"] == "/trainyard/parent"


def test_a_checkpoint_of_nobody_is_an_error_at_once(jobs: Jobs) -> None:
    jobs.create("child", checkpoint={"method": "latest_model"})
    assert "spec.parentJob" in jobs.reaches("child", "Error", "InvalidSpec")["message"]
