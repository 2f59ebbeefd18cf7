"""Devices by dynamic resource allocation: real claims, allocated by the real scheduler, of a driver that is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import kwok
from tests.harness import operator as operators
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(180)

DRIVER = "gpu.example.com"
API = "/apis/resource.k8s.io/v1"


@pytest.fixture(scope="module", autouse=True)
def operator(plane: ControlPlane) -> Iterator[None]:
    """An operator, and two tainted nodes of which one has two devices of a driver."""
    kwok.add_nodes(plane, 2, gpus=1, prefix="gpu")
    devices = [{"name": f"gpu-{number}"} for number in range(2)]
    pool = {"name": "gpu-1", "generation": 1, "resourceSliceCount": 1}
    with plane.client() as client:
        client.post(
            f"{API}/deviceclasses",
            {
                "metadata": {"name": DRIVER},
                "spec": {"selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]},
            },
        )
        client.post(
            f"{API}/resourceslices",
            {
                "metadata": {"name": "gpu-1-devices"},
                "spec": {"driver": DRIVER, "nodeName": "gpu-1", "pool": pool, "devices": devices},
            },
        )
    with operators.running(plane, name="operator"):
        yield


def template(jobs: Jobs, name: str, *, count: int) -> None:
    """A template of claims for so many devices, by the request `gpus`."""
    jobs.client.post(
        f"{API}/namespaces/{jobs.namespace}/resourceclaimtemplates",
        {"metadata": {"name": name}, "spec": {"spec": _devices(count)}},
    )


def _devices(count: int) -> Json:
    exactly = {"deviceClassName": DRIVER, "allocationMode": "ExactCount", "count": count}
    return {"devices": {"requests": [{"name": "gpus", "exactly": exactly}]}}


def claims(jobs: Jobs) -> list[Json]:
    return jobs.client.list(f"{API}/namespaces/{jobs.namespace}/resourceclaims")


def of_template(name: str) -> list[Json]:
    return [{"name": "accelerators", "resourceClaimTemplateName": name, "request": "gpus"}]


def test_a_job_gets_the_devices_of_a_template_where_they_are(jobs: Jobs) -> None:
    template(jobs, "two", count=2)
    jobs.create("first", run_for="4s", resourceClaims=of_template("two"))
    jobs.reaches("first", "Running", "Training")
    (pod,) = jobs.pods("first")
    assert pod["spec"]["nodeName"] == "gpu-1"
    (claim,) = claims(jobs)
    results = claim["status"]["allocation"]["devices"]["results"]
    assert {(one["driver"], one["request"]) for one in results} == {(DRIVER, "gpus")}
    assert {one["device"] for one in results} == {"gpu-0", "gpu-1"}
    assert [user["name"] for user in claim["status"]["reservedFor"]] == ["first-0-0"]
    jobs.create("second", resourceClaims=of_template("two"))
    status = jobs.reaches("second", "Pending", "Unschedulable")
    assert "No node has free what the pod's resource claims ask for" in status["message"]
    jobs.reaches("first", "Done", "Completed")
    jobs.reaches("second", "Done", "Completed")


def test_a_job_whose_template_comes_late_says_which_and_then_runs(jobs: Jobs) -> None:
    jobs.create("early", resourceClaims=of_template("late"))
    status = jobs.reaches("early", "Pending", "ClaimNotFound")
    assert "ResourceClaimTemplate late" in status["message"]
    template(jobs, "late", count=1)
    jobs.reaches("early", "Done", "Completed", timeout=60)


def test_jobs_share_the_devices_of_one_claim_and_wait_until_it_is_there(jobs: Jobs) -> None:
    shared = [{"name": "accelerators", "resourceClaimName": "shared"}]
    for name in ("one", "two"):
        jobs.create(name, run_for="3s", resourceClaims=shared)
    status = jobs.reaches("one", "Pending", "Accepted")
    assert "ResourceClaim shared" in status["message"]
    path = f"{API}/namespaces/{jobs.namespace}/resourceclaims"
    jobs.client.post(path, {"metadata": {"name": "shared"}, "spec": _devices(1)})

    def both_use_it() -> bool:
        users = jobs.client.get(f"{path}/shared").get("status", {}).get("reservedFor") or []
        return {user["name"] for user in users} == {"one-0-0", "two-0-0"}

    found(both_use_it, what="both pods to use the claim", timeout=30)
    for name in ("one", "two"):
        jobs.reaches(name, "Done", "Completed")
