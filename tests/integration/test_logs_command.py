"""`trainyard logs` on a real API server, of jobs whose pods have not started."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs
from trainyard.cli import main

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(120)]


def logs(plane: ControlPlane, jobs: Jobs, *arguments: str) -> Result:
    where = ["--kubeconfig", str(plane.admin), "--namespace", jobs.namespace]
    return CliRunner().invoke(main, ["logs", *arguments, *where])


def test_a_job_that_has_not_started_has_an_empty_log_and_says_why_beside_it(
    control_plane: ControlPlane, jobs: Jobs
) -> None:
    jobs.create("huge", accelerator={"count": 9})
    jobs.reaches("huge", "Pending", "Unschedulable")
    result = logs(control_plane, jobs, "huge")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("huge has not started. Pending Unschedulable: ")
    assert "Insufficient nvidia.com/gpu" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_job_without_a_pod_has_an_empty_log_too(control_plane: ControlPlane, jobs: Jobs) -> None:
    jobs.create("waits", datasets={"train": ["absent"]})
    jobs.reaches("waits", "Pending", "WaitingForDataset")
    result = logs(control_plane, jobs, "waits")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("waits has not started. Pending WaitingForDataset: ")


def test_a_job_that_ended_before_it_had_a_pod_never_started(control_plane: ControlPlane, jobs: Jobs) -> None:
    jobs.create("wrong", runtime="absent")
    jobs.reaches("wrong", "Error", "InvalidSpec")
    result = logs(control_plane, jobs, "wrong")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: wrong never started: InvalidSpec: No runtime is named absent")
