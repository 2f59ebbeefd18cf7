"""Jobs of several pods on a real API server: their Service, their ends, and what they cost."""

from __future__ import annotations

import pytest

from tests.harness.client import Json
from tests.objects import Jobs, found

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(120)]


def services(jobs: Jobs) -> list[str]:
    listed = jobs.client.list(f"/api/v1/namespaces/{jobs.namespace}/services")
    return [service["metadata"]["name"] for service in listed]


def names(pods: list[Json]) -> list[str]:
    return sorted(pod["metadata"]["name"] for pod in pods)


def test_all_ranks_run_and_the_service_goes_with_them(jobs: Jobs) -> None:
    jobs.create("wide", nodes=3, run_for="6s")
    running = jobs.reaches("wide", "Running", "Training")
    assert running["pods"] == {"total": 3, "pending": 0, "running": 3, "succeeded": 0, "failed": 0}
    assert "3 pods" in running["message"]
    assert services(jobs) == ["wide-0"]
    done = jobs.reaches("wide", "Done", "Completed")
    assert names(jobs.pods("wide")) == ["wide-0-0", "wide-0-1", "wide-0-2"]
    found(lambda: not services(jobs), what="the Service to go")
    found(
        lambda: not any(pod["metadata"].get("finalizers") for pod in jobs.pods("wide")),
        what="all pods to be released",
    )
    assert [entry["number"] for entry in done["attempts"]] == [0]


def test_a_rank_that_is_lost_has_all_begin_again(jobs: Jobs) -> None:
    jobs.create("lossy", nodes=2, run_for=None)
    jobs.reaches("lossy", "Running", "Training")
    jobs.client.delete(f"/api/v1/namespaces/{jobs.namespace}/pods/lossy-0-1")
    again = found(
        lambda: (
            (status := jobs.status("lossy")).get("reason") == "Training"
            and len(status["attempts"]) == 2
            and status
        ),
        what="the second attempt",
        timeout=60,
    )
    assert again["attempts"][0]["counted"] is False
    assert "failures" not in again
    running = [pod for pod in jobs.pods("lossy") if pod["status"].get("phase") == "Running"]
    assert names(running) == ["lossy-1-0", "lossy-1-1"]
    assert services(jobs) == ["lossy-1"]


def test_a_rank_that_fails_ends_the_job_of_all(jobs: Jobs) -> None:
    jobs.create("broken", nodes=2, run_for="1s", exit_code=3, message="diverged", backoffLimit=0)
    status = jobs.reaches("broken", "Error", "TrainerFailed")
    assert "diverged" in status["message"]
    found(lambda: not services(jobs), what="the Service to go")


def test_a_pause_ends_all_ranks_and_resuming_begins_all(jobs: Jobs) -> None:
    jobs.create("halting", nodes=2, run_for=None)
    jobs.reaches("halting", "Running", "Training")
    where = jobs.path("trainingjobs", "halting")
    jobs.client.patch(where, {"spec": {"suspend": True}})
    jobs.reaches("halting", "Pending", "Paused")
    assert not [p for p in jobs.pods("halting") if p["status"].get("phase") == "Running"]
    jobs.client.patch(where, {"spec": {"suspend": False}})
    status = jobs.reaches("halting", "Running", "Training")
    assert status["pods"]["running"] == 2
    assert [entry["number"] for entry in status["attempts"]] == [0, 1]


def test_a_service_of_somebody_else_is_left_alone_and_told(jobs: Jobs) -> None:
    taken = {"metadata": {"name": "taken-0"}, "spec": {"clusterIP": "None"}}
    jobs.client.post(f"/api/v1/namespaces/{jobs.namespace}/services", taken)
    jobs.create("taken", nodes=2)
    status = jobs.reaches("taken", "Pending", "PodNameTaken")
    assert "Service" in status["message"]
    assert not jobs.pods("taken")
    jobs.client.delete(f"/api/v1/namespaces/{jobs.namespace}/services/taken-0")
    jobs.reaches("taken", "Done", timeout=90)
