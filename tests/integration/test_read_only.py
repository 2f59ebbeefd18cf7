"""The label trainyard.dev/read-only and the chart's policy on a real API server: what is refused, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import operator as operators
from tests.harness.client import ApiError, Client, Json, wait_for
from tests.harness.controlplane import ControlPlane
from tests.integration.refused import GOOD
from tests.integration.test_admission import PLURALS
from tests.integration.test_chart import objects
from tests.objects import API, Jobs, found, manifest

pytestmark = pytest.mark.timeout(120)

LABEL = "trainyard.dev/read-only"
#: The operator's, of a release that is rendered without a namespace.
OPERATOR = "system:serviceaccount:default:trainyard"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
KINDS = pytest.mark.parametrize("kind", list(PLURALS))


@pytest.fixture(scope="module", autouse=True)
def policy(control_plane: ControlPlane) -> Iterator[None]:
    """The chart's policy, in force."""
    operators.install(control_plane)
    with control_plane.client() as client:
        made = [*objects("ValidatingAdmissionPolicy"), *objects("ValidatingAdmissionPolicyBinding")]
        for one in made:
            client.apply(one)
        client.post("/api/v1/namespaces", {"metadata": {"name": "read-only-probe"}})
        probe = Jobs(client, "read-only-probe")
        create(probe, "TrainingJob", "probe")

        def in_force() -> bool:
            try:
                client.patch(probe.path("trainingjobs", "probe"), described("probe"), dryRun="All")
            except ApiError as error:
                return error.status == 403
            return False

        wait_for(in_force, what="the policy to be in force")
        yield
        for one in made:
            client.delete(client.path_of(one))
        client.delete("/api/v1/namespaces/read-only-probe")


def create(jobs: Jobs, kind: str, name: str, **metadata: Any) -> Json:
    body = manifest(kind, name, GOOD[kind])
    body["metadata"].update({"labels": {LABEL: "true", "team": "a"}, **metadata})
    return jobs.client.post(jobs.path(PLURALS[kind]), body)


def described(text: str) -> Json:
    return {"spec": {"description": text}}


def labelled(**labels: str | None) -> Json:
    return {"metadata": {"labels": labels}}


def annotated(**annotations: str) -> Json:
    return {"metadata": {"annotations": annotations}}


def refused(error: pytest.ExceptionInfo[ApiError], kind: str, name: str) -> bool:
    wanted = f"{kind} {name} is read-only: it can be neither changed nor deleted until the label is off: kubectl label"
    return error.value.status == 403 and wanted in str(error.value)


@KINDS
def test_what_is_read_only_is_neither_changed_nor_deleted(jobs: Jobs, kind: str) -> None:
    create(jobs, kind, "kept")
    path = jobs.path(PLURALS[kind], "kept")
    for change in (
        described("other"),
        labelled(team="b"),
        labelled(team=None),
        labelled(more="x"),
        annotated(**{"trainyard.dev/retry-requested-at": "now"}),
        {**described("other"), **labelled(**{LABEL: None})},
    ):
        with pytest.raises(ApiError) as error:
            jobs.client.patch(path, change)
        assert refused(error, kind, "kept"), change
    for doomed in (path, jobs.path(PLURALS[kind])):
        with pytest.raises(ApiError) as error:
            jobs.client.delete(doomed)
        assert refused(error, kind, "kept")
    there = jobs.client.get(path)
    assert there["metadata"]["generation"] == 1
    assert "deletionTimestamp" not in there["metadata"]


@KINDS
def test_status_finalizers_and_the_annotations_of_others_are_let_through(jobs: Jobs, kind: str) -> None:
    create(jobs, kind, "kept", annotations={"trainyard.dev/retry-requested-at": "then"})
    path = jobs.path(PLURALS[kind], "kept")
    told = jobs.client.patch(f"{path}/status", {"status": {"phase": "Pending"}})
    assert told["status"]["phase"] == "Pending"
    jobs.client.patch(path, annotated(**{"argocd.argoproj.io/tracking-id": "x"}))
    jobs.client.patch(path, {"metadata": {"finalizers": ["example.com/held"]}})
    jobs.client.patch(path, {"metadata": {"finalizers": None}})
    there = jobs.client.get(path)
    assert there["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] == "x"


@KINDS
@pytest.mark.parametrize("off", [None, "false"])
def test_the_label_can_be_taken_off_and_then_all_is_as_ever(jobs: Jobs, kind: str, off: str | None) -> None:
    create(jobs, kind, "kept")
    path = jobs.path(PLURALS[kind], "kept")
    jobs.client.patch(path, labelled(**{LABEL: off}))
    assert jobs.client.patch(path, described("other"))["spec"]["description"] == "other"
    jobs.client.patch(path, {**described("third"), **labelled(**{LABEL: "true"})})
    with pytest.raises(ApiError):
        jobs.client.delete(path)
    jobs.client.patch(path, labelled(**{LABEL: off}))
    jobs.client.delete(path)
    assert jobs.client.find(path) is None


@KINDS
def test_what_has_no_label_or_another_value_is_not_looked_at(jobs: Jobs, kind: str) -> None:
    for name, labels in (("none", {}), ("false", {LABEL: "false"})):
        create(jobs, kind, name, labels=labels)
        path = jobs.path(PLURALS[kind], name)
        assert jobs.client.patch(path, described("other"))["spec"]["description"] == "other"
        jobs.client.delete(path)


def test_the_operator_is_let_through(control_plane: ControlPlane, jobs: Jobs) -> None:
    create(jobs, "TrainingJob", "kept")
    path = jobs.path("trainingjobs", "kept")
    # NB: with all rights, as it is the policy that is tested here, and not the roles.
    with control_plane.client(OPERATOR, groups=("system:masters",)) as operator:
        operator.patch(
            path, {**annotated(**{"trainyard.dev/store-uids": "u"}), **described("by the operator")}
        )
        operator.delete(path)
    assert jobs.client.find(path) is None


def test_what_is_read_only_goes_with_its_owner(jobs: Jobs) -> None:
    owner = create(jobs, "Experiment", "owner", labels={})
    reference = {
        "apiVersion": API,
        "kind": "Experiment",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }
    create(jobs, "TrainingJob", "owned", ownerReferences=[reference])
    jobs.delete("experiments", "owner")
    owned = jobs.path("trainingjobs", "owned")
    found(lambda: jobs.client.find(owned) is None, what="the job to go with its Experiment", timeout=60)


def test_a_namespace_with_what_is_read_only_can_be_deleted(admin: Client) -> None:
    name = "test-read-only-namespace"
    admin.post("/api/v1/namespaces", {"metadata": {"name": name}})
    jobs = Jobs(admin, name)
    for kind in PLURALS:
        create(jobs, kind, "kept")
    admin.delete(f"/api/v1/namespaces/{name}")
    found(lambda: admin.find(f"/api/v1/namespaces/{name}") is None, what="the namespace to go", timeout=60)


def test_the_api_server_has_nothing_to_say_against_the_policys_expressions(admin: Client) -> None:
    path = f"{POLICIES}/trainyard-read-only"
    found(
        lambda: (admin.get(path).get("status") or {}).get("observedGeneration"),
        what="the controller manager to check the types",
    )
    checked = admin.get(path)["status"].get("typeChecking") or {}
    assert checked.get("expressionWarnings") is None
