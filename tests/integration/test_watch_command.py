"""`trainyard watch` on a real API server: how it ends, and with which exit code."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs
from trainyard.cli import main

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(120)]


def watch(plane: ControlPlane, jobs: Jobs, *arguments: str) -> Result:
    where = ["--kubeconfig", str(plane.admin), "--namespace", jobs.namespace]
    return CliRunner().invoke(main, ["watch", *arguments, *where])


def test_a_job_that_is_done_is_a_success(control_plane: ControlPlane, jobs: Jobs) -> None:
    jobs.create("quick")
    result = watch(control_plane, jobs, "quick", "--timeout", "60")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1].startswith("Done Completed")


def test_a_job_that_failed_is_told_apart_by_the_exit_code(control_plane: ControlPlane, jobs: Jobs) -> None:
    jobs.create("wrong", runtime="absent")
    result = watch(control_plane, jobs, "wrong", "--timeout", "60")
    assert (result.exit_code, result.stderr) == (4, "")
    assert result.stdout.splitlines()[-1].startswith("Error InvalidSpec: No runtime is named absent")


def test_gives_up_after_the_time_and_says_in_which_state_the_job_was_left(
    control_plane: ControlPlane, jobs: Jobs
) -> None:
    jobs.create("huge", accelerator={"count": 9})
    jobs.reaches("huge", "Pending", "Unschedulable")
    result = watch(control_plane, jobs, "huge", "--timeout", "1")
    assert result.exit_code == 124
    assert result.stdout.startswith("Pending Unschedulable: ")
    assert result.stderr.startswith("Error: huge has not ended after 1 s: Pending Unschedulable: ")


def test_does_not_wait_for_what_will_not_happen_by_itself(control_plane: ControlPlane, jobs: Jobs) -> None:
    jobs.create("wide", baseModels=[{"uri": "ngc:nvidia/tao/pretrained"}])
    result = watch(control_plane, jobs, "wide", "--timeout", "60")
    assert result.exit_code == 3
    assert result.stderr.startswith(
        "Error: wide is stalled, nothing will happen by itself: Pending NotYetSupported: "
    )
    assert "spec.baseModels" in result.stderr
