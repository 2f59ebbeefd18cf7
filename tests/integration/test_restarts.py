"""Nothing is lost and nothing is doubled when the operator or the API server restarts."""

from __future__ import annotations

import pytest

from tests.harness import operator as operators
from tests.harness.client import wait_for
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs

pytestmark = pytest.mark.timeout(240)


def test_what_happened_while_the_operator_was_away_is_seen_when_it_is_back(
    plane: ControlPlane, jobs: Jobs
) -> None:
    with operators.running(plane, name="first"):
        jobs.create("runs-on", run_for=None)
        jobs.create("ends-meanwhile", run_for="5s")
        jobs.create("is-deleted", run_for=None)
        for name in ("runs-on", "ends-meanwhile", "is-deleted"):
            jobs.reaches(name, "Running")
    jobs.create("comes-meanwhile", run_for="500ms")
    jobs.delete("trainingjobs", "is-deleted")
    wait_for(
        lambda: any(p["status"]["phase"] == "Succeeded" for p in jobs.pods("ends-meanwhile")),
        what="the pod to end",
        timeout=20,
    )
    with operators.running(plane, name="second"):
        jobs.reaches("ends-meanwhile", "Done")
        jobs.reaches("comes-meanwhile", "Done")
        assert jobs.status("runs-on")["phase"] == "Running"
        assert len(jobs.pods("runs-on")) == 1, "a running job is not started again"
        assert len(jobs.status("runs-on")["attempts"]) == 1


def test_a_killed_operator_goes_on_where_it_was(plane: ControlPlane, jobs: Jobs) -> None:
    with operators.running(plane, name="killed") as operator:
        for number in range(20):
            jobs.create(f"job-{number}", run_for="1s")
        operator.stop(grace=0)
    with operators.running(plane, name="successor"):
        for number in range(20):
            jobs.reaches(f"job-{number}", "Done", timeout=60)
    assert len(jobs.pods()) == 20


def test_a_restart_of_the_api_server_is_survived(plane: ControlPlane, jobs: Jobs) -> None:
    with operators.running(plane, name="survivor") as operator:
        jobs.create("before", run_for="8s")
        jobs.reaches("before", "Running")
        plane.restart_program("kube-apiserver")
        jobs.create("after", run_for="500ms")
        jobs.reaches("after", "Done", timeout=90)
        jobs.reaches("before", "Done", timeout=90)
        assert operator.daemon.alive
