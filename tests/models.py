"""MLModels that tests of the command line describe, as the operator would leave them."""

from __future__ import annotations

from typing import Any

from tests.harness.client import Json
from tests.objects import API, Jobs, manifest

UID = "0e6ad5a1-6a5f-4b5d-9d8e-7f5a3c2b1d00"
DIGEST = "c" * 64
WHEN = "2025-03-09T07:05:09Z"


def a_version(number: int, *, accuracy: str = "0.97", uid: str = UID, **more: Any) -> Json:
    """A version of the model churn, by a job of its own, with a card in the claim models."""
    return {
        "number": number,
        "time": WHEN,
        "origin": "job",
        "uri": f"pvc://models/{uid}/attempt-0",
        "size": 4096,
        "sha256": DIGEST,
        "performanceMetrics": [
            {"name": "accuracy", "value": accuracy},
            {"name": "f1_score", "value": "0.9"},
        ],
        "lineage": {
            "job": f"churn-train-{number}",
            "jobUid": uid,
            "attempt": 0,
            "runtime": "reference",
            "image": "trainyard/trainer:0.1.0",
            "imageDigest": "sha256:" + "a" * 64,
            "parametersDigest": "b" * 64,
            "datasets": [{"name": "customers", "revision": "2", "sha256": "d" * 64}],
        },
        "card": f"pvc://models/{uid}/models/churn-{number}.md",
        **more,
    }


def a_model(name: str = "churn", *, versions: int = 3, spec: Json | None = None, **status: Any) -> Json:
    """The model as the API server gives it."""
    listed = [a_version(number, accuracy=f"0.9{number}") for number in range(1, versions + 1)]
    newest = {"latestVersion": versions, "trainedAt": WHEN, "versions": listed} if versions else {}
    return {
        "apiVersion": API,
        "kind": "MLModel",
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": "5f0c7b1e-52a4-4b2e-8a60-1d7c6f6f6d11",
            "generation": 1,
            "resourceVersion": "7",
            "creationTimestamp": WHEN,
        },
        "spec": {"type": "random_forest", "output": {"claimName": "models"}, **(spec or {})},
        "status": {
            "observedGeneration": 1,
            "phase": "Done" if versions else "Pending",
            "reason": "Completed" if versions else "Draft",
            "message": f"Version {versions}." if versions else "A draft.",
            "lifecycle": "trained" if versions else "draft",
            "lifecycleTime": WHEN,
            **newest,
            **status,
        },
    }


def put(jobs: Jobs, model: Json) -> Json:
    """Creates the model, with its status."""
    name = model["metadata"]["name"]
    jobs.client.post(jobs.path("mlmodels"), manifest("MLModel", name, model["spec"]))
    return write_status(jobs, name, **model["status"])


def write_status(jobs: Jobs, name: str, **status: Any) -> Json:
    """The model with this over its status, of the spec as it is now."""
    generation = jobs.client.get(jobs.path("mlmodels", name))["metadata"]["generation"]
    said = {"observedGeneration": generation, **status}
    return jobs.client.patch(jobs.path("mlmodels", name) + "/status", {"status": said})
