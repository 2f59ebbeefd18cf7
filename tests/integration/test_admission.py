"""What the API server itself makes of a manifest: bad ones are refused with help, good ones are kept as they are."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.harness import operator as operators
from tests.harness.client import ApiError, Client, Json
from tests.harness.controlplane import ControlPlane
from tests.integration.refused import GOOD, REFUSED, Refused
from tests.objects import Jobs, found, keeps, manifest

pytestmark = pytest.mark.timeout(120)

PLURALS = {
    "TrainingJob": "trainingjobs",
    "Dataset": "datasets",
    "Experiment": "experiments",
    "MLModel": "mlmodels",
}
CASES = [
    pytest.param(kind, bad, id=f"{kind}, {bad.what}".replace(" ", "_"))
    for kind, table in REFUSED.items()
    for bad in table
]


@pytest.fixture(scope="module", autouse=True)
def crds(control_plane: ControlPlane) -> None:
    operators.install(control_plane)


def merged(over: Any, change: Any) -> Any:
    """JSON merge patch (RFC 7386), so that a case says only what is wrong."""
    if not isinstance(over, dict) or not isinstance(change, dict):
        return change
    result = dict(over)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key, {}), value)
    return result


def create(jobs: Jobs, kind: str, name: str, spec: Json) -> Json:
    return jobs.client.post(jobs.path(PLURALS[kind]), manifest(kind, name, spec), fieldValidation="Strict")


def begin(jobs: Jobs, kind: str, name: str) -> None:
    """What the operator writes when the first attempt begins."""
    path = f"{jobs.path(PLURALS[kind], name)}/status"
    jobs.client.patch(path, {"status": {"observedGeneration": 1, "specHash": "0" * 16}})


@pytest.mark.parametrize(("kind", "bad"), CASES)
def test_a_bad_manifest_is_refused_with_a_message_that_names_the_field_and_says_what_is_right(
    jobs: Jobs, kind: str, bad: Refused
) -> None:
    whole = merged(manifest(kind, bad.name, GOOD[kind]), {"spec": bad.change} if bad.change else {})
    if bad.change == {"spec": None}:
        del whole["spec"]
    with pytest.raises(ApiError) as refused:
        jobs.client.post(jobs.path(PLURALS[kind]), whole, fieldValidation="Strict")
    assert refused.value.status in (400, 422), refused.value
    assert bad.field in refused.value.message
    assert bad.right in refused.value.message
    assert jobs.client.find(jobs.path(PLURALS[kind], bad.name)) is None


def test_there_are_at_least_sixty_bad_manifests() -> None:
    whats = [(kind, bad.what) for kind, table in REFUSED.items() for bad in table]
    assert len(set(whats)) == len(whats) >= 60


@pytest.mark.parametrize("kind", GOOD)
def test_the_manifest_that_the_bad_ones_are_made_from_is_good(jobs: Jobs, kind: str) -> None:
    stored = create(jobs, kind, "good", GOOD[kind])
    assert keeps(stored["spec"], GOOD[kind])
    assert stored["status"] == {"observedGeneration": -1}


BEGUN_JOB: Json = {
    "image": "example.com/trainer:1",
    "accelerator": {"count": 1, "type": "a100"},
    "datasets": {"train": ["digits"]},
    "output": {"claimName": "out"},
    "env": [{"name": "A", "value": "1"}],
    "nodes": 2,
    "resources": {"limits": {"cpu": 1}},
    "parentJob": "before",
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "evaluate"),
        ("image", "example.com/trainer:2"),
        ("accelerator", {"type": "h100"}),
        ("accelerator", None),
        ("datasets", {"train": ["digits", "more"]}),
        ("output", {"claimName": "elsewhere"}),
        ("env", [{"name": "A", "value": "2"}]),
        ("nodes", 3),
        ("resources", {"limits": {"cpu": 2}}),
        ("queueName", "fast"),
        ("parentJob", "other"),
    ],
)
def test_what_a_job_runs_cannot_change_once_an_attempt_exists(jobs: Jobs, field: str, value: Any) -> None:
    create(jobs, "TrainingJob", "begun", BEGUN_JOB)
    path = jobs.path("trainingjobs", "begun")
    jobs.client.patch(path, {"spec": {"description": "free before the first attempt", field: value}})
    jobs.client.delete(path)
    found(lambda: jobs.client.find(path) is None, what="the deletion")
    create(jobs, "TrainingJob", "begun", BEGUN_JOB)
    begin(jobs, "TrainingJob", "begun")
    with pytest.raises(ApiError, match=f"spec.{field}: cannot change once an attempt exists; delete the job"):
        jobs.client.patch(path, {"spec": {field: value}})


def test_the_run_policy_of_a_job_stays_editable(jobs: Jobs) -> None:
    create(jobs, "TrainingJob", "begun", BEGUN_JOB)
    begin(jobs, "TrainingJob", "begun")
    policy = {
        "suspend": True,
        "backoffLimit": 5,
        "callbacks": [{"name": "chat", "url": "https://example.com/"}],
    }
    stored = jobs.client.patch(jobs.path("trainingjobs", "begun"), {"spec": policy})
    assert keeps(stored["spec"], policy)
    stored = jobs.client.patch(jobs.path("trainingjobs", "begun"), {"spec": {"parentJob": "other"}})
    assert stored["spec"]["parentJob"] == "other", "a suspended job may get a new parent"


@pytest.mark.parametrize(
    ("kind", "field", "before", "after"),
    [
        ("TrainingJob", "experiment", "digits", "letters"),
        ("Dataset", "type", "tabular", "user_custom"),
        ("Dataset", "format", "csv", "parquet"),
        ("Experiment", "type", "neural_network", "random_forest"),
        ("Experiment", "architecture", "segformer", "dino"),
        ("MLModel", "type", "random_forest", "regression"),
        ("MLModel", "architecture", "segformer", None),
    ],
)
def test_what_an_object_is_cannot_change_after_its_creation(
    jobs: Jobs, kind: str, field: str, before: str, after: str | None
) -> None:
    spec = copy.deepcopy(GOOD[kind])
    if field == "architecture":
        del spec["type"]
    create(jobs, kind, "made", {**spec, field: before})
    with pytest.raises(ApiError, match=f"spec.{field}:? cannot change.*another"):
        jobs.client.patch(jobs.path(PLURALS[kind], "made"), {"spec": {field: after}})


def test_a_type_that_was_left_to_a_recommendation_can_be_chosen(jobs: Jobs) -> None:
    create(jobs, "MLModel", "open", {"type": "auto"})
    stored = jobs.client.patch(jobs.path("mlmodels", "open"), {"spec": {"type": "decision_tree"}})
    assert stored["spec"]["type"] == "decision_tree"


def test_defaults_are_those_of_the_services_that_are_replaced(jobs: Jobs) -> None:
    automl: Json = {"space": [{"name": "lr", "type": "float", "min": "0", "max": "1"}]}
    spec = create(
        jobs,
        "Experiment",
        "plain",
        {"automl": automl, "objective": {}, "checkpoint": {}, "baseModels": [{"model": "m"}]},
    )["spec"]
    assert spec["version"] == "1.0.0"
    assert spec["automl"]["algorithm"] == "bayesian"
    assert spec["automl"]["enabled"] is True
    assert spec["objective"]["metric"] == "map"
    assert spec["checkpoint"]["method"] == "best_model"
    assert spec["baseModels"][0]["isPtmBackbone"] is True


def test_kubectl_columns_short_names_and_selectors_are_served(
    admin: Client, namespace: str, jobs: Jobs
) -> None:
    for kind, short in {
        "TrainingJob": "tj",
        "Dataset": "dset",
        "Experiment": "exp",
        "MLModel": "mlm",
    }.items():
        create(jobs, kind, "seen", GOOD[kind])
        (resource,) = [
            r for r in admin.get("/apis/trainyard.dev/v1alpha1")["resources"] if r["name"] == PLURALS[kind]
        ]
        assert resource["shortNames"] == [short]
        assert resource["categories"] == ["trainyard"]
        table = admin.raw(
            "GET",
            jobs.path(PLURALS[kind]),
            accept="application/json;as=Table;g=meta.k8s.io;v=v1",
            query={"fieldSelector": "status.phase!=Done"},
        )
        assert '"name":"Phase"' in table.replace(" ", "")
        assert '"seen"' in table
