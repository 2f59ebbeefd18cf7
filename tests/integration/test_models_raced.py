"""What happens to a model at the worst moment: nothing wrong is served, nothing is lost, and the message says why."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.harness import operator as operators
from tests.harness import processes
from tests.harness.client import Client, Json
from tests.harness.controlplane import ControlPlane
from tests.integration.models import LAST, STORE, Models, a_training
from tests.objects import found, manifest
from trainyard.cluster.failpoints import VARIABLE

pytestmark = pytest.mark.timeout(420)

AT_ONCE = 6


@pytest.fixture
def models(admin: Client, namespace: str) -> Models:
    """MLModels of the test's own namespace."""
    return Models(admin, namespace)


def uses(models: Models, name: str, *, run_for: str | None = None, nodes: int = 1, **base: Any) -> Json:
    """POST a job that works on a base model."""
    spec = {**a_training(run_for), "nodes": nodes, "baseModels": [base]}
    return models.client.post(models.path("trainingjobs"), manifest("TrainingJob", name, spec))


def with_versions(models: Models, name: str, count: int, **spec: Any) -> None:
    """A model with so many versions, one after the other."""
    models.keep(name, draft=True, **spec)
    for number in range(1, count + 1):
        models.registers(f"{name}-made-{number}", name)
        models.becomes(name, "trained", version=number)


def test_trainings_that_finish_at_once_become_one_version_each(plane: ControlPlane, models: Models) -> None:
    with operators.running(plane, name="at-once"):
        models.keep("shared", draft=True)
        names = [f"made-{number}" for number in range(AT_ONCE)]
        for name in names:
            models.registers(name, "shared", run_for=None)
        for name in names:
            models.reaches(name, "Running")
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda name: models.ends(name, message=LAST), names))
        models.becomes("shared", "trained", version=AT_ONCE)
        versions = models.versions("shared")
        assert set(versions) == set(range(1, AT_ONCE + 1))
        by_job = {one["lineage"]["job"]: number for number, one in versions.items()}
        assert set(by_job) == set(names), "each once"

        def told() -> bool:
            statuses = {name: models.status(name).get("modelVersion") for name in names}
            return statuses == {name: {"name": "shared", "number": by_job[name]} for name in names}

        found(told, what="every job to know its version")


def test_an_alias_that_moves_while_a_job_starts_changes_nothing_of_that_job(
    plane: ControlPlane, models: Models
) -> None:
    with operators.running(plane, name="before"):
        with_versions(models, "moves", 2, aliases=[{"name": "champion", "version": 1}])
        found(lambda: models.told_of("moves").get("aliases"), what="the alias")
    with operators.running(
        plane, name="killed", environment={VARIABLE: "after-pod-create"}, wait=False
    ) as one:
        uses(models, "starts", nodes=2, model="moves", alias="champion")
        assert processes.wait_gone(one.daemon, timeout=60), "it made the first of two pods"
    assert len(models.pods("starts")) == 1
    models.edit_model("moves", aliases=[{"name": "champion", "version": 2}])
    with operators.running(plane, name="after"):
        found(
            lambda: [one["version"] for one in models.told_of("moves")["aliases"]] == [2],
            what="the alias to have moved",
        )
        models.reaches("starts", "Running")
        pods = models.pods("starts")
        assert len(pods) == 2
        assert [models.based_on(pod)[0]["version"] for pod in pods] == [1, 1], "both as the first"
        (told,) = models.status("starts")["baseModels"]
        assert told["version"] == 1
        assert told["uri"] == models.versions("moves")[1]["uri"]
        uses(models, "later", model="moves", alias="champion")
        models.reaches("later", "Running")
        assert models.status("later")["baseModels"][0]["version"] == 2


def test_a_job_whose_base_model_is_deleted_goes_on_and_others_wait(
    plane: ControlPlane, models: Models
) -> None:
    with operators.running(plane, name="deletes"):
        with_versions(models, "goes", 1)
        uses(models, "has-begun", model="goes", version=1)
        models.reaches("has-begun", "Running")
        before = models.pods("has-begun")[0]["metadata"]["annotations"]["trainyard.dev/base-models"]
        models.delete("mlmodels", "goes")
        found(lambda: models.client.find(models.path("mlmodels", "goes")) is None, what="it to go")
        uses(models, "comes-late", model="goes", version=1)
        waits = models.reaches("comes-late", "Pending", "WaitingForModel")
        assert "goes" in waits["message"]
        assert models.pods("comes-late") == []
        path = f"/api/v1/namespaces/{models.namespace}/pods/has-begun-0-0"
        models.client.delete(path)
        again = found(
            lambda: [p for p in models.pods("has-begun") if p["metadata"]["name"] == "has-begun-1-0"],
            what="another attempt",
        )
        assert again[0]["metadata"]["annotations"]["trainyard.dev/base-models"] == before
        models.ends("has-begun", attempt=1, message=LAST)
        models.reaches("has-begun", "Done")
        assert models.status("has-begun")["baseModels"][0]["name"] == "goes@1"


def test_a_model_that_is_deleted_while_it_trains_takes_its_own_jobs_along_and_no_others(
    plane: ControlPlane, models: Models
) -> None:
    with operators.running(plane, name="cascades"):
        models.keep("leaves", run_for=None)
        models.child("leaves-train-1")
        models.reaches("leaves-train-1", "Running")
        models.registers("somebodys", "leaves", run_for=None)
        models.reaches("somebodys", "Running")
        models.delete("mlmodels", "leaves")
        # NB: the garbage collector looks for new kinds every 30 s only.
        path = models.path("trainingjobs", "leaves-train-1")
        found(lambda: models.client.find(path) is None, what="its own job to go", timeout=90)
        models.ends("somebodys", message=LAST)
        models.reaches("somebodys", "Done")
        assert models.status("somebodys")["artifacts"], "what it made is kept"
        assert "modelVersion" not in models.status("somebodys")


#: Of a model's life in the order in which they are passed: its training begins, this is Done and stored.
BEGINNING = ("before-job-make", "after-job-make", "before-pod-create", "before-status", "after-status")
ENDING = ("before-status", "after-status", "before-pod-create", "after-pod-create")
KEPT = ("before-status", "after-status")


def test_killed_at_every_write_each_training_is_run_once_and_becomes_one_version(
    plane: ControlPlane, models: Models
) -> None:
    only = {"namespaces": [models.namespace]}

    def killed_at(*places: str) -> None:
        """Operators one after the other, each of which dies at its place."""
        for place in places:
            told = {VARIABLE: place}
            with operators.running(plane, name="dies", settings=only, environment=told, wait=False) as one:
                assert processes.wait_gone(one.daemon, timeout=60), f"the operator never came to {place}"

    models.keep("hardy", run_for=None)
    killed_at(*BEGINNING)
    with operators.running(plane, name="between", settings=only):
        models.reaches("hardy-train-1", "Running")
    models.leaves("hardy-train-1")
    killed_at(*ENDING)
    models.records("hardy", 1)
    killed_at(*KEPT)
    with operators.running(plane, name="last", settings=only):
        models.becomes("hardy", "trained", version=1)
        (version,) = models.versions("hardy").values()
        uid = models.get("hardy-train-1")["metadata"]["uid"]
        assert version["lineage"]["jobUid"] == uid
        assert version["uri"] == f"{STORE}/{uid}/attempt-0"
        assert version["card"] == f"{STORE}/{uid}/models/hardy-1.md"
        assert set(models.of_model("hardy")) == {"hardy-train-1"}
        assert len(models.status("hardy-train-1")["attempts"]) == 1
        found(
            lambda: {pod["metadata"]["name"] for pod in models.pods()} == {"hardy-train-1-0-0"},
            what="no other pod",
        )
