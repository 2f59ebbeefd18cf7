"""`--wait` of the commands with an operator that acts on them: what is reached, and with which exit code."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.commandline import Cli
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, manifest

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(180)]

WAIT = ("--wait", "--timeout", "60")


@pytest.fixture
def cli(control_plane: ControlPlane, namespace: str) -> Cli:
    return Cli(control_plane.admin, namespace)


def fake(name: str, *, run_for: str, **annotations: str) -> str:
    """A manifest whose fake pod runs for a while."""
    notes = {"run-for": run_for, **annotations}
    template = {"metadata": {"annotations": {f"fake.trainyard.dev/{k}": v for k, v in notes.items()}}}
    spec = {"image": "example.com/trainer:1", "template": template, "backoffLimit": 0}
    return yaml.safe_dump(manifest("TrainingJob", name, spec))


def test_a_submission_waits_until_all_jobs_have_ended(cli: Cli, jobs: Jobs) -> None:
    both = "---\n".join([fake("good", run_for="500ms"), fake("bad", run_for="500ms", **{"exit-code": "1"})])
    result = cli("submit", "-", *WAIT, "-o", "json", stdin=both)
    assert result.exit_code == 4
    phases = {one["metadata"]["name"]: one["status"]["phase"] for one in json.loads(result.stdout)["items"]}
    assert phases == {"good": "Done", "bad": "Error"}
    assert "good: Done Completed" in result.stderr
    assert cli("submit", "-", *WAIT, stdin=fake("quick", run_for="500ms")).exit_code == 0


def test_a_job_is_paused_resumed_cancelled_and_brought_back(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet", run_for=None)
    jobs.reaches("resnet", "Running")
    paused = cli("pause", "resnet", *WAIT)
    assert paused.exit_code == 0, paused.output
    assert jobs.status("resnet")["reason"] == "Paused"
    assert "resnet: Pending Paused: " in paused.stderr
    assert cli("watch", "resnet", "--timeout", "1").exit_code == 124
    resumed = cli("resume", "resnet", *WAIT)
    assert resumed.exit_code == 0, resumed.output
    status = jobs.status("resnet")
    assert (status["phase"], len(status["attempts"])) == ("Running", 2)
    cancelled = cli("cancel", "resnet", *WAIT)
    assert cancelled.exit_code == 0, cancelled.output
    assert jobs.status("resnet")["phase"] == "Canceled"
    assert cli("watch", "resnet").exit_code == 5
    back = cli("resume", "resnet", *WAIT)
    assert back.exit_code == 0, back.output
    assert jobs.status("resnet")["phase"] == "Running"


def test_a_failed_job_is_tried_again(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet", exit_code=1, run_for="2s", backoffLimit=0)
    jobs.reaches("resnet", "Error")
    assert cli("watch", "resnet").exit_code == 4
    assert cli("cancel", "resnet", *WAIT).exit_code == 0
    again = cli("retry", "resnet", *WAIT)
    assert again.exit_code == 0, again.output
    assert len(jobs.reaches("resnet", "Error")["attempts"]) == 2


def test_a_cancellation_of_one_that_is_done_is_no_wait(cli: Cli, jobs: Jobs) -> None:
    jobs.create("quick")
    jobs.reaches("quick", "Done")
    result = cli("cancel", "quick", *WAIT)
    assert (result.exit_code, jobs.get("quick")["spec"]["cancel"]) == (0, False)
    assert result.stdout.startswith("trainingjob.trainyard.dev/quick has ended already: Done Completed")


def test_a_wait_ends_when_the_job_goes_or_the_time_does(cli: Cli, jobs: Jobs) -> None:
    jobs.create("huge", accelerator={"count": 9}, suspend=True)
    jobs.reaches("huge", "Pending", "Paused")
    late = cli("resume", "huge", "--wait", "--timeout", "1s")
    assert late.exit_code == 124
    assert late.stderr.splitlines()[-1].startswith("Error: huge is not there yet after 1 s: Pending ")
    gone = cli("delete", "huge", "--yes", "--wait", "--timeout", "60")
    assert gone.exit_code == 0, gone.output
