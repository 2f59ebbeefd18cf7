"""Jobs that make a Dataset: created once whatever dies, never over another one, and told when it cannot be."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness import operator as operators
from tests.harness import processes
from tests.harness.client import ApiError, Json
from tests.harness.controlplane import ControlPlane
from tests.integration.datasetpods import create, reaches
from tests.objects import Jobs, found
from trainyard.cluster.failpoints import VARIABLE

pytestmark = pytest.mark.timeout(240)

CREATION = ("before-dataset-create", "after-dataset-create")
OUTPUT = {"uri": "s3://models/team", "endpoint": "https://s3.example.com", "secretRef": {"name": "keys"}}


def making(jobs: Jobs, name: str, *, run_for: str | None = "500ms", **spec: object) -> Json:
    """A job that makes the Dataset `<name>-made`."""
    wanted = {"name": f"{name}-made", "type": "tabular", "format": "csv"}
    return jobs.create(name, run_for=run_for, action="split", output=OUTPUT, outputDataset=wanted, **spec)


def ends_as(jobs: Jobs, name: str, state: str) -> Json:
    """`status.outputDataset` once it is in this state."""

    def there() -> Json | None:
        made = jobs.status(name).get("outputDataset") or {}
        return made if made.get("state") == state else None

    return dict(found(there, what=f"outputDataset of {name} to be {state}", timeout=40))


def datasets_created(plane: ControlPlane, namespace: str) -> Counter[str]:
    """Names of the Datasets that the operator has created, as the API server has it."""
    names: Counter[str] = Counter()
    for line in plane.audit_log.read_text().splitlines():
        event = json.loads(line)
        ref = event.get("objectRef") or {}
        if (
            event["user"]["username"] == operators.USER
            and (event["verb"], ref.get("resource"), ref.get("namespace"))
            == ("create", "datasets", namespace)
            and event["responseStatus"]["code"] == 201
        ):
            names[ref["name"]] += 1
    return names


def test_it_is_made_once_wherever_the_operator_is_killed(plane: ControlPlane, jobs: Jobs) -> None:
    making(jobs, "job")
    where = jobs.path("datasets", "job-made")
    for place in CREATION:
        with operators.running(
            plane, name=f"killed-{place}", environment={VARIABLE: place}, wait=False
        ) as one:
            assert processes.wait_gone(one.daemon, timeout=60), f"the operator never came to {place}"
        assert jobs.status("job")["phase"] == "Done"
        assert jobs.status("job")["outputDataset"]["state"] == "Pending"
        assert (jobs.client.find(where) is not None) == (place == "after-dataset-create")
    with operators.running(plane, name="successor"):
        made = ends_as(jobs, "job", "Created")
        dataset = jobs.client.get(where)
        assert dataset["metadata"]["uid"] == made["uid"]
        assert dataset["spec"]["source"] == {**OUTPUT, "uri": made["uri"], "fileType": "folder"}
        assert made["uri"].startswith(f"s3://models/team/{jobs.get('job')['metadata']['uid']}/attempt-0/")
        jobs.announces("job", "DatasetCreated")
        lineage = found(
            lambda: (jobs.client.get(where).get("status") or {}).get("lineage"), what="its lineage"
        )
        assert (lineage["job"], lineage["action"]) == ("job", "split")
        jobs.delete("datasets", "job-made")
        found(lambda: jobs.client.find(where) is None, what="it to go")
    with operators.running(plane, name="third"):
        making(jobs, "last")
        ends_as(jobs, "last", "Created")
    assert jobs.client.find(where) is None, "deleted is deleted"
    created = datasets_created(plane, jobs.namespace)
    # NB: of a request whose client was killed the log need not have an answer, so a name may be missing there.
    assert created.keys() <= {"job-made", "last-made"}
    assert set(created.values()) == {1}


@pytest.fixture
def running(plane: ControlPlane) -> Iterator[None]:
    with operators.running(plane, name="running"):
        yield


@pytest.mark.usefixtures("running")
def test_another_dataset_of_that_name_is_left_as_it_is(jobs: Jobs) -> None:
    theirs = create(jobs, "early-made", source=None)
    reaches(jobs, "early-made", "Pending", "Draft")  # NB: two watches; the other may be the faster one
    making(jobs, "early")
    status = jobs.reaches("early", "Pending", "DatasetExists")
    assert "early-made" in status["message"]
    assert not jobs.pods("early"), "it costs no run"
    making(jobs, "late", run_for=None)
    jobs.reaches("late", "Running")
    create(jobs, "late-made", source=None)
    pod = f"/api/v1/namespaces/{jobs.namespace}/pods/late-0-0"
    jobs.client.patch(pod, {"metadata": {"annotations": {"fake.trainyard.dev/run-for": "100ms"}}})
    made = ends_as(jobs, "late", "NameTaken")
    assert made["uri"] in made["message"]
    assert jobs.reaches("late", "Done", "Completed")["outputDataset"] == made
    jobs.announces("late", "DatasetExists")
    kept = jobs.client.get(jobs.path("datasets", "late-made"))
    assert "source" not in kept["spec"]
    assert not kept["metadata"].get("annotations")
    assert (
        jobs.client.get(jobs.path("datasets", "early-made"))["metadata"]["uid"] == theirs["metadata"]["uid"]
    )
    jobs.delete("datasets", "early-made")
    ends_as(jobs, "early", "Created")


@contextmanager
def no_datasets(jobs: Jobs) -> Iterator[None]:
    """A policy of the namespace that refuses new Datasets."""
    name, base = f"no-datasets-{jobs.namespace}", "/apis/admissionregistration.k8s.io/v1"
    rules = [
        {
            "apiGroups": ["trainyard.dev"],
            "apiVersions": ["*"],
            "operations": ["CREATE"],
            "resources": ["datasets"],
        }
    ]
    here = {"matchLabels": {"kubernetes.io/metadata.name": jobs.namespace}}
    policy = {
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": rules, "namespaceSelector": here},
            "validations": [{"expression": "false", "message": "no new datasets today"}],
        },
    }
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}
    jobs.client.post(f"{base}/validatingadmissionpolicies", policy)
    jobs.client.post(f"{base}/validatingadmissionpolicybindings", binding)
    try:
        number = [0]

        def denied() -> bool:
            number[0] += 1
            try:
                create(jobs, f"probe-{number[0]}", source=None)
            except ApiError:
                return True
            return False

        found(denied, what="the policy to hold")
        yield
    finally:
        jobs.client.delete(f"{base}/validatingadmissionpolicybindings/{name}")
        jobs.client.delete(f"{base}/validatingadmissionpolicies/{name}")


@pytest.mark.usefixtures("running")
def test_one_that_is_refused_is_told_and_made_when_it_may_be(jobs: Jobs) -> None:
    with no_datasets(jobs):
        making(jobs, "split")
        jobs.reaches("split", "Done", "Completed")
        told = found(lambda: jobs.status("split")["outputDataset"].get("message"), what="what is wrong")
        assert "no new datasets today" in told
        assert jobs.status("split")["outputDataset"]["state"] == "Pending"
        jobs.announces("split", "DatasetRefused")
    assert "message" not in ends_as(jobs, "split", "Created")
    assert jobs.status("split")["phase"] == "Done"
