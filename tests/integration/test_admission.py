"""What the API server itself makes of a manifest: bad ones are refused with help, good ones are kept as they are."""

from __future__ import annotations

import copy
import re
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


def at(field: str, value: Any) -> Json:
    """A change of one field, a.b for one inside another."""
    outer, _, inner = field.partition(".")
    return {outer: {inner: value} if inner else value}


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
    # NB: not anywhere in it: "spec" stands in every path.
    assert re.search(rf'(?<![\w.\]]){re.escape(bad.field)}(: |")', refused.value.message), (
        refused.value.message
    )
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
    "datasets": {"train": ["digits", "letters"]},
    "output": {"claimName": "out"},
    "resourceClaims": [
        {"name": "a", "resourceClaimName": "a"},
        {"name": "b", "resourceClaimName": "b"},
    ],
    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    "nodes": 2,
    "resources": {"limits": {"cpu": 1}},
    "parentJob": "before",
    "args": ["a"],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "evaluate"),
        ("image", "example.com/trainer:2"),
        ("accelerator", {"type": "h100"}),
        ("accelerator", None),
        ("datasets.train", ["digits", "letters", "more"]),
        ("datasets.train", ["letters", "digits"]),
        ("datasets.eval", "letters"),
        ("args", []),
        ("nodeSelector", {"a": "b"}),
        ("output", {"claimName": "elsewhere"}),
        ("env", [{"name": "A", "value": "2"}, {"name": "B", "value": "2"}]),
        ("env", [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]),
        ("nodes", 3),
        ("resources.limits", {"cpu": 2}),
        ("resources.requests", {"cpu": 1}),
        ("queueName", "fast"),
        ("parentJob", "other"),
    ],
)
def test_what_a_job_runs_cannot_change_once_an_attempt_exists(jobs: Jobs, field: str, value: Any) -> None:
    change = at(field, value)
    create(jobs, "TrainingJob", "begun", BEGUN_JOB)
    path = jobs.path("trainingjobs", "begun")
    jobs.client.patch(path, {"spec": {"description": "free before the first attempt", **change}})
    jobs.client.delete(path)
    found(lambda: jobs.client.find(path) is None, what="the deletion")
    create(jobs, "TrainingJob", "begun", BEGUN_JOB)
    begin(jobs, "TrainingJob", "begun")
    refusal = (
        f"spec.{field}: cannot change once an attempt exists; if nothing has run yet, pause the job first"
    )
    with pytest.raises(ApiError, match=refusal):
        jobs.client.patch(path, {"spec": change})


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(
            {"nodeSelector": {}, "tolerations": [], "command": [], "baseModels": []}, id="empty lists"
        ),
        pytest.param({"datasets": {"train": ["digits", "letters"]}}, id="the same data"),
        pytest.param({"resources": {"requests": {}}}, id="an empty map below"),
        pytest.param(
            {"resourceClaims": list(reversed(BEGUN_JOB["resourceClaims"]))}, id="claims in another order"
        ),
    ],
)
def test_what_says_the_same_is_no_change(jobs: Jobs, same: Json) -> None:
    create(jobs, "TrainingJob", "begun", BEGUN_JOB)
    begin(jobs, "TrainingJob", "begun")
    path = jobs.path("trainingjobs", "begun")
    jobs.client.patch(path, {"spec": same})
    jobs.client.patch(path, {"spec": {name: BEGUN_JOB.get(name) for name in same}})


def test_empty_datasets_and_resources_can_be_added_and_taken_out(jobs: Jobs) -> None:
    create(jobs, "TrainingJob", "plain", {"image": "example.com/trainer:1"})
    begin(jobs, "TrainingJob", "plain")
    path = jobs.path("trainingjobs", "plain")
    jobs.client.patch(path, {"spec": {"datasets": {}, "resources": {"limits": {}}}})
    jobs.client.patch(path, {"spec": {"datasets": None, "resources": None}})


@pytest.mark.parametrize("stopped", ["suspend", "cancel"])
def test_a_stopped_job_can_be_resumed_with_another_parent_in_one_edit(jobs: Jobs, stopped: str) -> None:
    create(jobs, "TrainingJob", "begun", {**BEGUN_JOB, stopped: True})
    begin(jobs, "TrainingJob", "begun")
    change = {stopped: False, "parentJob": "other"}
    stored = jobs.client.patch(jobs.path("trainingjobs", "begun"), {"spec": change})
    assert keeps(stored["spec"], change)


def test_a_running_job_keeps_its_parent_also_as_it_is_suspended(jobs: Jobs) -> None:
    create(jobs, "TrainingJob", "begun", BEGUN_JOB)
    begin(jobs, "TrainingJob", "begun")
    with pytest.raises(ApiError, match=r"spec\.parentJob: cannot change once an attempt exists"):
        jobs.client.patch(
            jobs.path("trainingjobs", "begun"), {"spec": {"suspend": True, "parentJob": "other"}}
        )


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


@pytest.mark.parametrize(
    "change", [{"type": None}, {"type": None, "architecture": "dino"}], ids=["to none", "to an architecture"]
)
def test_a_type_that_was_left_to_a_recommendation_stays_a_type(jobs: Jobs, change: Json) -> None:
    create(jobs, "MLModel", "open", {"type": "auto"})
    with pytest.raises(ApiError, match=r"spec\.type: cannot change"):
        jobs.client.patch(jobs.path("mlmodels", "open"), {"spec": change})


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param("Dataset", {"type": "tabular"}, id="a dataset of a name that begins with a digit"),
        pytest.param(
            "TrainingJob",
            {"image": "i", "baseModels": [{"model": "a", "version": 1}, {"model": "a", "version": 2}]},
            id="two versions of one model",
        ),
        pytest.param(
            "TrainingJob",
            {"image": "i", "output": {"uri": "abfs://container@account.dfs.core.windows.net/folder"}},
            id="a container of a storage account",
        ),
        pytest.param(
            "MLModel",
            {"publish": [{"name": "hub", "uri": "oci://registry.example.com:5000/models/digits:v1"}]},
            id="a registry with its port",
        ),
        pytest.param("Experiment", {"checkpoint": {"method": "from_epoch_number"}}, id="an epoch to be said"),
        pytest.param("Experiment", {"automl": {"action": "train"}, "actions": []}, id="a step to be said"),
        pytest.param(
            "Experiment",
            {"automl": {"enabled": False, "action": "tune"}, "actions": [{"name": "a", "action": "train"}]},
            id="a search that is off",
        ),
        pytest.param(
            "Experiment",
            {"automl": {"space": [{"name": "p", "type": "categorical", "values": ["a"], "log": False}]}},
            id="a categorical that is not on a logarithmic scale",
        ),
    ],
)
def test_it_is_taken(jobs: Jobs, kind: str, spec: Json) -> None:
    name = "3d-scans" if kind == "Dataset" else "fine"
    assert keeps(create(jobs, kind, name, spec)["spec"], spec)


def test_defaults_are_those_of_the_services_that_are_replaced(jobs: Jobs) -> None:
    automl: Json = {"space": [{"name": "lr", "type": "float", "min": "0", "max": "1"}]}
    spec = create(
        jobs,
        "Experiment",
        "plain",
        {"automl": automl, "objective": {}, "checkpoint": {}},
    )["spec"]
    assert spec["version"] == "1.0.0"
    assert spec["automl"]["algorithm"] == "bayesian"
    assert spec["automl"]["enabled"] is True
    assert spec["checkpoint"]["method"] == "best_model"
    assert create(jobs, "Dataset", "plain", {"type": "tabular"})["spec"]["version"] == "1.0.0"


def test_what_a_list_holds_is_kept_as_it_was_sent_so_that_gitops_tools_see_no_difference(jobs: Jobs) -> None:
    spec: Json = {
        "image": "i",
        "baseModels": [{"model": "m"}],
        "callbacks": [{"name": "a", "url": "https://example.com"}],
    }
    stored = create(jobs, "TrainingJob", "plain", spec)["spec"]
    assert {name: stored[name] for name in spec} == spec


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
