"""Experiments and MLModels on a real API server, as records."""

from __future__ import annotations

import pytest

from tests.harness.client import Json
from tests.objects import Jobs, found, manifest

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(120)]

PLURALS = {"Experiment": "experiments", "MLModel": "mlmodels"}
KEY_METRIC: Json = {"name": "accuracy", "value": "0.97", "display": "accuracy 0.97"}


def create(jobs: Jobs, kind: str, name: str, spec: Json) -> None:
    jobs.client.post(jobs.path(PLURALS[kind], None), manifest(kind, name, spec), fieldValidation="Strict")


def settled(jobs: Jobs, kind: str, name: str, reason: str) -> Json:
    """The status once it has this reason."""

    def there() -> Json | None:
        status: Json = jobs.client.get(jobs.path(PLURALS[kind], name))["status"]
        return status if status.get("reason") == reason else None

    status: Json = found(there, what=f"{kind} {name} to be {reason}")
    return status


def conditions(status: Json) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status["conditions"]}


@pytest.mark.parametrize("kind", PLURALS)
def test_a_draft_is_accepted_at_once(jobs: Jobs, kind: str) -> None:
    create(jobs, kind, "draft", {"displayName": "An idea", "architecture": "segformer"})
    status = settled(jobs, kind, "draft", "Draft")
    assert (status["phase"], status["observedGeneration"]) == ("Pending", 1)
    said = conditions(status)
    assert (said["Ready"], said["Reconciling"], said["Stalled"]) == ("True", "False", "False")
    assert "finalizers" not in jobs.client.get(jobs.path(PLURALS[kind], "draft"))["metadata"]
    assert jobs.events("draft") == ["Draft"]


def test_a_draft_model_is_in_lifecycle_draft(jobs: Jobs) -> None:
    create(jobs, "MLModel", "draft", {"type": "random_forest"})
    assert settled(jobs, "MLModel", "draft", "Draft")["lifecycle"] == "draft"


def test_what_the_status_has_to_hold_later_is_held(jobs: Jobs) -> None:
    """The statuses that later looks will write: the API server prunes none of it."""
    create(jobs, "MLModel", "old", {"type": "random_forest"})
    settled(jobs, "MLModel", "old", "Draft")
    version = {
        "number": 1,
        "time": "2026-01-01T00:00:00Z",
        "origin": "reported",
        "uri": "pvc://out/uid/attempt-0/model.joblib",
        "size": 1024,
        "sha256": "0" * 64,
        "performanceMetrics": [{"name": "accuracy", "value": "0.97"}],
        "syntheticData": False,
        "lineage": {"job": "digits", "imageDigest": "sha256:" + "0" * 64, "datasets": [{"name": "digits"}]},
    }
    stored = jobs.client.patch(
        f"{jobs.path('mlmodels', 'old')}/status",
        {"status": {"latestVersion": 1, "versions": [version], "keyMetric": KEY_METRIC}},
    )
    assert stored["status"]["versions"] == [version]
    create(jobs, "Experiment", "old", {})
    settled(jobs, "Experiment", "old", "Draft")
    ledger = [
        {"number": n, "rung": 0, "digest": f"{n:012x}", "value": "0.912345", "state": "success"}
        for n in range(1500)
    ]
    stored = jobs.client.patch(
        f"{jobs.path('experiments', 'old')}/status", {"status": {"automl": {"ledger": ledger}}}
    )
    assert stored["status"]["automl"]["ledger"] == ledger
