"""Jobs and Experiments that start from models, on a real API server: what they wait for, and what stays as it began."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.client import Client, Json
from tests.integration.experiments import BRIEFLY, pretend
from tests.integration.models import STORE, Models
from tests.objects import found, manifest

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(180)]

DIGEST = "a" * 64  # of what fake pods have stored


@pytest.fixture
def models(admin: Client, namespace: str) -> Models:
    """MLModels of the test's own namespace."""
    return Models(admin, namespace)


def a_trained(models: Models, name: str = "base", *, versions: int = 1, **spec: Any) -> None:
    """A model that was never trained by itself, with versions that jobs have registered one after the other."""
    models.keep(name, draft=True, **spec)
    for number in range(1, versions + 1):
        models.registers(f"{name}-by-{number}", name)
        models.becomes(name, "trained", version=number)


def starts(models: Models, name: str, *references: Json, run_for: str | None = None, **spec: Any) -> None:
    """POST a job that starts from these."""
    body = {"image": "example.com/trainer:1", "baseModels": list(references), "gracePeriodSeconds": 1, **spec}
    body.setdefault("template", pretend(run_for=run_for))
    models.client.post(models.path("trainingjobs"), manifest("TrainingJob", name, body))


def pod_of(models: Models, name: str, attempt: int = 0) -> Json:
    wanted = f"{name}-{attempt}-0"

    def look() -> Json | None:
        return next((pod for pod in models.pods(name) if pod["metadata"]["name"] == wanted), None)

    return dict(found(look, what=f"pod {wanted}"))


def told(pod: Json) -> list[Json]:
    """What the agent is told of base models."""
    fetch = next(c for c in pod["spec"]["initContainers"] if c["name"] == "trainyard-fetch")
    order = next(e["value"] for e in fetch["env"] if e["name"] == "TRAINYARD_AGENT")
    return list(json.loads(order.replace("$$", "$"))["baseModels"])


def environment(pod: Json) -> dict[str, str]:
    trainer = next(c for c in pod["spec"]["containers"] if c["name"] == "trainer")
    return {e["name"]: e.get("value", "") for e in trainer["env"]}


def test_a_job_waits_for_its_model_and_then_for_a_version_of_it(models: Models) -> None:
    starts(models, "starter", {"model": "base"}, run_for=BRIEFLY)
    waits = models.reaches("starter", "Pending", "WaitingForModel")
    assert "no MLModel base" in waits["message"]
    models.keep("base", draft=True)
    models.becomes("base", "draft")
    starts(models, "second", {"model": "base"}, run_for=BRIEFLY)
    assert "no version yet" in models.reaches("second", "Pending", "WaitingForModel")["message"]
    models.registers("first", "base")
    models.reaches("second", "Done")
    done = models.reaches("starter", "Done")
    (entry,) = done["baseModels"]
    uri = models.status("first")["artifacts"][0]["uri"]
    assert entry | {"store": None} == {
        "name": "base",
        "version": 1,
        "uri": uri,
        "sha256": DIGEST,
        "pull": "pull_complete",
        "store": None,
    }
    (order,) = told(pod_of(models, "starter"))
    assert (order["uri"], order["sha256"], order["kind"]) == (uri, DIGEST, "version")
    (variable,) = json.loads(environment(pod_of(models, "starter"))["TRAINYARD_BASE_MODELS"])
    assert (variable["name"], variable["backbone"]) == ("base", True)


def test_what_a_job_began_with_stays_when_the_alias_moves_and_when_the_model_goes(models: Models) -> None:
    a_trained(models, versions=2, aliases=[{"name": "champion", "version": 1}])
    champion = {"model": "base", "alias": "champion"}
    found(lambda: models.told_of("base").get("aliases"), what="the alias")
    starts(models, "begun", champion, backoffLimit=3)
    models.reaches("begun", "Running")
    models.edit_model("base", aliases=[{"name": "champion", "version": 2}])
    found(lambda: models.told_of("base")["aliases"][0]["version"] == 2, what="the alias to move")
    starts(models, "later", champion)
    models.reaches("later", "Running")
    models.delete("mlmodels", "base")
    found(lambda: models.client.find(models.path("mlmodels", "base")) is None, what="the model to go")
    models.client.delete(f"/api/v1/namespaces/{models.namespace}/pods/begun-0-0")
    first, second = pod_of(models, "begun"), pod_of(models, "begun", 1)
    assert models.based_on(first) == models.based_on(second)
    assert told(first) == told(second)
    assert [one["version"] for one in models.based_on(first)] == [1]
    assert [one["version"] for one in models.based_on(pod_of(models, "later"))] == [2]
    starts(models, "too-late", champion)
    assert "no MLModel base" in models.reaches("too-late", "Pending", "WaitingForModel")["message"]


def test_a_model_that_is_another_than_it_is_said_to_be_ends_the_job_at_once(models: Models) -> None:
    a_trained(models)
    starts(models, "deceived", {"model": "base"}, backoffLimit=5)
    models.reaches("deceived", "Running")
    word = {"error": "model.pkl has the digest 1, and artifacts.json says 2.", "modelFailed": True}
    ended = {"exitCode": 1, "reason": "Error", "message": json.dumps(word)}
    pod = pod_of(models, "deceived")
    (trainer,) = pod["spec"]["containers"]
    status = {
        "phase": "Failed",
        "initContainerStatuses": [
            {**container, "state": {"terminated": ended}}
            for container in found(
                lambda: pod_of(models, "deceived")["status"].get("initContainerStatuses"),
                what="its containers",
            )
        ],
        "containerStatuses": [
            {
                **dict.fromkeys(("image", "imageID"), ""),
                "name": trainer["name"],
                "ready": False,
                "restartCount": 0,
                "state": {"waiting": {"reason": "PodInitializing"}},
            }
        ],
    }
    path = f"/api/v1/namespaces/{models.namespace}/pods/deceived-0-0/status"
    models.client.patch(path, {"status": status})
    told_of = models.reaches("deceived", "Error", "ModelFailed")
    assert word["error"] in told_of["message"]
    assert told_of["baseModels"][0]["pull"] == "invalid_pull"
    assert [pod["metadata"]["name"] for pod in models.pods("deceived")] == ["deceived-0-0"]


def test_a_version_is_measured_as_a_whole_and_a_deprecated_one_with_a_warning(models: Models) -> None:
    a_trained(models)
    models.edit_model("base", stage="deprecated")
    models.becomes("base", "deprecated")
    whole = {"model": "base", "version": 1, "isPtmBackbone": False}
    starts(models, "measured", whole, action="evaluate", type="random_forest", image=None)
    models.announces("measured", "ModelDeprecated")
    pod = pod_of(models, "measured")
    assert environment(pod)["TRAINYARD_PARENT_DIR"] == "/trainyard/work/base-models/0"
    assert "trainyard-agent" not in str(pod["spec"]["initContainers"]), "there is no output to bring"


def test_the_first_steps_of_an_experiment_start_from_its_models_and_a_search_from_one_version(
    models: Models,
) -> None:
    a_trained(models, versions=2, aliases=[{"name": "champion", "version": 1}])
    found(lambda: models.told_of("base").get("aliases"), what="the alias")
    models.begin(
        "chain",
        baseModels=[{"model": "base", "alias": "champion"}],
        actions=[
            {"name": "train", "action": "train"},
            {"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]},
        ],
    )
    done = models.comes_to("chain", "Done")
    (entry,) = done["baseModels"]
    assert (entry["name"], entry["version"], entry["pull"]) == ("base:champion", 1, "pull_complete")
    assert "baseModels" not in models.get("chain-evaluate")["spec"]
    assert models.get("chain-train")["spec"]["baseModels"][0]["alias"] == "champion"


def test_what_cannot_become_a_version_is_refused(models: Models) -> None:
    models.keep("base", draft=True)
    starts(models, "no-output", model="base")
    assert "spec.output" in models.reaches("no-output", "Error", "InvalidSpec")["message"]
    starts(models, "no-model", model="base", action="evaluate", output={"uri": STORE})
    assert "makes no model" in models.reaches("no-model", "Error", "InvalidSpec")["message"]
    models.begin("no-training", model="base", actions=[{"name": "evaluate", "action": "evaluate"}])
    assert "makes a model" in models.comes_to("no-training", "Error", "InvalidSpec")["message"]
    starts(models, "nowhere", model="nowhere", output={"uri": STORE})
    assert "no MLModel nowhere" in models.reaches("nowhere", "Pending", "WaitingForModel")["message"]
