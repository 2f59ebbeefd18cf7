"""A model of type auto on a real API server: a fake pod prints which type suits the data, and that is trained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import controlplane, kwok, processes
from tests.harness import operator as operators
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.integration.experiments import FAKE, owners
from tests.integration.models import Models
from tests.objects import bind_claim, found, manifest
from trainyard.cluster.failpoints import VARIABLE

pytestmark = pytest.mark.timeout(240)

ANSWER: Json = {
    "type": "random_forest",
    "score": 93,
    "reasoning": "A random forest reached 0.97 in 5-fold cross-validation, a decision tree 0.85.",
    "allScores": {"random_forest": 93, "decision_tree": 71},
    "dataAnalysis": {"size": "small", "recordCount": 1797, "featureCount": 64, "hasUnstructured": False},
    "measured": True,
}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane whose fake pods have logs."""
    config = ControlPlaneConfig(controller_manager=True, scheduler=True)
    nothing: Path = tmp_path_factory.mktemp("logs") / "lines"
    nothing.write_text("")
    with controlplane.running("test-model-recommend", config) as one:
        operators.install(one)
        kwok.start(one, logs=nothing)
        kwok.add_nodes(one, 2)
        yield one


@pytest.fixture(scope="module")
def models(plane: ControlPlane) -> Iterator[Models]:
    """MLModels of one namespace, which has the data that is measured."""
    with plane.client() as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": "measured"}})
        found = Models(client, "measured")
        bind_claim(found, "data")
        spec = {
            "type": "tabular",
            "format": "csv",
            "source": {"uri": "pvc://data/digits"},
            "validation": {"mode": "None"},
        }
        for name in ("digits", "more"):
            client.post(found.path("datasets"), manifest("Dataset", name, spec))
        yield found


def auto(models: Models, name: str, *, draft: bool = False, **spec: object) -> None:
    datasets = {"train": ["digits"]}
    models.keep(name, draft=draft, run_for=None, type="auto", datasets=datasets, **spec)


def says(models: Models, job: str, answer: Json | None, *, code: int = 0) -> None:
    """The measuring runs, and ends with this word."""
    models.child(job)
    models.reaches(job, "Running")
    line = {"status": "SUCCESS", "message": "Measured.", **({"recommendation": answer} if answer else {})}
    path = f"/api/v1/namespaces/{models.namespace}/pods/{job}-0-0"
    printed = f"Fitting a decision tree.\n{json.dumps(line)}\n"
    models.client.patch(path, {"metadata": {"annotations": {f"{FAKE}/prints": printed}}})
    models.ends(job, code=code)


def run(models: Models, name: str, state: str, number: int) -> Json:
    """`status.recommendationRun`, once it is so far."""

    def there() -> Json | None:
        told = models.told_of(name).get("recommendationRun") or {}
        return told if (told.get("state"), told.get("number")) == (state, number) else None

    return dict(found(there, what=f"measuring {number} of {name} to be {state}"))


class TestARecommendation:
    @pytest.fixture(scope="class", autouse=True)
    @staticmethod
    def operator(plane: ControlPlane) -> Iterator[None]:
        with operators.running(plane, name="recommending"):
            yield

    def test_is_measured_by_a_job_on_the_data_and_its_type_is_trained(self, models: Models) -> None:
        auto(models, "digits", recommendation={"target": "digit", "timeBudgetSeconds": 20})
        models.child("digits-recommend-1")
        models.reaches("digits-recommend-1", "Running")
        job = models.get("digits-recommend-1")
        assert owners(job) == [("MLModel", "digits", True)]
        assert (job["spec"]["runtime"], job["spec"]["action"]) == ("reference", "recommend")
        assert job["spec"]["parameters"]["target"] == "digit"
        assert job["spec"]["parameters"]["time_budget_seconds"] == 20
        status = models.told_of("digits")
        assert (status["phase"], status["reason"], status["lifecycle"]) == (
            "Running",
            "Recommending",
            "draft",
        )
        assert set(models.of_model("digits")) == {"digits-recommend-1"}, "training waits"
        says(models, "digits-recommend-1", ANSWER)
        models.child("digits-train-1")
        told = models.told_of("digits")["recommendation"]
        assert (told["type"], told["score"], told["dataset"]) == ("random_forest", 93, "digits")
        assert told["allScores"] == ANSWER["allScores"]
        assert told["reasoning"] == ANSWER["reasoning"]
        models.announces("digits", "TypeRecommended")
        train = models.get("digits-train-1")["spec"]
        assert (train["type"], train["parameters"]) == ("random_forest", {"target": "digit"})
        models.reaches("digits-train-1", "Running")
        models.leaves("digits-train-1")
        status = models.becomes("digits", "trained", version=1)
        assert status["versions"][0]["lineage"]["architecture"] == "random_forest"

    def test_of_a_draft_trains_nothing_and_other_data_is_measured_anew(self, models: Models) -> None:
        auto(models, "draft", draft=True)
        says(models, "draft-recommend-1", ANSWER)
        run(models, "draft", "Done", 1)
        assert "random_forest" in models.becomes("draft", "draft")["message"]
        models.edit_model("draft", datasets={"train": ["digits", "more"]})
        says(models, "draft-recommend-2", {**ANSWER, "type": "decision_tree", "score": 80})
        run(models, "draft", "Done", 2)
        assert models.told_of("draft")["recommendation"]["type"] == "decision_tree"
        assert set(models.of_model("draft")) == {"draft-recommend-1", "draft-recommend-2"}

    def test_that_is_overtaken_by_an_edit_is_cancelled(self, models: Models) -> None:
        auto(models, "edited", draft=True)
        models.child("edited-recommend-1")
        models.reaches("edited-recommend-1", "Running")
        models.edit_model("edited", recommendation={"folds": 3})
        models.reaches("edited-recommend-1", "Canceled")
        says(models, "edited-recommend-2", ANSWER)
        run(models, "edited", "Done", 2)
        models.edit_model("edited", type="decision_tree")
        assert models.becomes("edited", "draft")["recommendation"]["type"] == "random_forest"

    def test_that_fails_says_why_and_is_tried_again_when_a_training_is_asked_for(
        self, models: Models
    ) -> None:
        auto(models, "fails")
        says(models, "fails-recommend-1", None, code=2)
        told = run(models, "fails", "Failed", 1)
        assert "fails-recommend-1 failed with TrainerFailed" in told["message"]
        status = models.becomes("fails", "draft")
        assert (status["phase"], status["reason"]) == ("Error", "RecommendationFailed")
        models.announces("fails", "RecommendationFailed")
        models.ask_to_train("fails", "again")
        says(models, "fails-recommend-2", None)
        assert "has no recommendation" in run(models, "fails", "Failed", 2)["message"]
        models.ask_to_train("fails", "once more")
        says(models, "fails-recommend-3", ANSWER)
        run(models, "fails", "Done", 3)
        models.child("fails-train-1")


#: The writes at which a measuring begins and ends, and the training that follows from it begins.
BEGINNING = ("before-job-make", "after-job-make", "after-status")
ENDING = ("before-status", "after-job-make")


def test_killed_at_every_write_it_is_measured_once_and_trained_once(
    plane: ControlPlane, models: Models
) -> None:
    only = {"namespaces": [models.namespace]}
    auto(models, "hardy")
    for place in BEGINNING:
        killed_at(plane, place, only)
    with operators.running(plane, name="between", settings=only):
        models.reaches("hardy-recommend-1", "Running")
        found(lambda: models.told_of("hardy").get("recommendationRun"), what="it to be told")
    path = f"/api/v1/namespaces/{models.namespace}/pods/hardy-recommend-1-0-0"
    printed = json.dumps({"status": "SUCCESS", "recommendation": ANSWER})
    models.client.patch(path, {"metadata": {"annotations": {f"{FAKE}/prints": printed}}})
    models.ends("hardy-recommend-1")
    for place in ENDING:
        killed_at(plane, place, only)
    with operators.running(plane, name="last", settings=only):
        models.reaches("hardy-train-1", "Running")
        assert run(models, "hardy", "Done", 1)["job"] == "hardy-recommend-1"
        assert set(models.of_model("hardy")) == {"hardy-recommend-1", "hardy-train-1"}


def killed_at(plane: ControlPlane, place: str, settings: Json) -> None:
    """An operator that dies at its place."""
    told = {VARIABLE: place}
    with operators.running(plane, name="dies", settings=settings, environment=told, wait=False) as one:
        assert processes.wait_gone(one.daemon, timeout=60), f"the operator never came to {place}"
