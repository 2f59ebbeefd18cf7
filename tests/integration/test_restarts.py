"""Nothing is lost and nothing is doubled when the operator or the API server restarts."""

from __future__ import annotations

import signal

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


def test_what_a_watch_has_missed_is_found_by_a_new_list(plane: ControlPlane, jobs: Jobs) -> None:
    """An API server that has restarted no longer tells what was before: the watch of pods begins anew."""
    with operators.running(plane, name="stopped") as operator:
        jobs.create("loses-its-pod", run_for=None)
        jobs.create("keeps-its-pod", run_for=None)
        for name in ("loses-its-pod", "keeps-its-pod"):
            jobs.reaches(name, "Running")
        operator.daemon.signal(signal.SIGSTOP)
        try:
            plane.restart_program(
                "kube-apiserver", grace=0
            )  # what is told from here on, it is not connected to hear
            (pod,) = jobs.pods("loses-its-pod")
            path = f"/api/v1/namespaces/{jobs.namespace}/pods/{pod['metadata']['name']}"
            jobs.client.patch(path, {"metadata": {"finalizers": None}})
            jobs.client.delete(f"{path}?gracePeriodSeconds=0")
            wait_for(lambda: not jobs.pods("loses-its-pod"), what="the pod to go")
            plane.restart_program("kube-apiserver", grace=0)
        finally:
            operator.daemon.signal(signal.SIGCONT)
        wait_for(lambda: jobs.pods("loses-its-pod"), what="another pod", timeout=60)
        jobs.reaches("loses-its-pod", "Running", timeout=60)
        assert "listed anew" in operator.log.read_text()
        assert len(jobs.status("loses-its-pod")["attempts"]) == 2
        assert len(jobs.status("keeps-its-pod")["attempts"]) == 1
