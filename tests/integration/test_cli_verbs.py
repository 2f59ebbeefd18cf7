"""Pause, resume, cancel and retry on a real API server without an operator: what they change, say and refuse."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.commandline import Cli, a_status
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, manifest

pytestmark = pytest.mark.timeout(120)

TOLD_BY_GIT = "argocd-controller"


@pytest.fixture
def cli(plane: ControlPlane, namespace: str) -> Cli:
    return Cli(plane.admin, namespace)


def synced(jobs: Jobs, name: str, **spec: Any) -> Json:
    """What Argo CD does at every sync: a forced server-side apply of the manifest in Git."""
    body = manifest("TrainingJob", name, {"image": "example.com/trainer:1", **spec})
    return jobs.client.patch(
        jobs.path("trainingjobs", name), body, kind="apply", fieldManager=TOLD_BY_GIT, force="true"
    )


def fields_of(job: Json, manager: str) -> list[Json]:
    return [e["fieldsV1"] for e in job["metadata"]["managedFields"] if e["manager"] == manager]


@pytest.mark.parametrize(
    ("verb", "field"), [("pause", "suspend"), ("cancel", "cancel")], ids=["pause", "cancel"]
)
def test_what_a_verb_asks_of_an_object_of_git_outlives_the_next_sync(
    cli: Cli, jobs: Jobs, verb: str, field: str
) -> None:
    synced(jobs, "resnet")
    result = cli(verb, "resnet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert fields_of(jobs.get("resnet"), "trainyard-cli") == [{"f:spec": {f"f:{field}": {}}}]
    before = jobs.get("resnet")
    after = synced(jobs, "resnet")
    assert after["spec"] == before["spec"]
    assert after["spec"][field] is True
    assert after["metadata"]["generation"] == before["metadata"]["generation"], "the sync changed nothing"
    assert cli("resume", "resnet").exit_code == 0
    again = synced(jobs, "resnet")["spec"]
    assert (again["suspend"], again["cancel"]) == (False, False)


def test_a_retry_of_an_object_of_git_outlives_the_next_sync(cli: Cli, jobs: Jobs) -> None:
    synced(jobs, "resnet")
    a_status(jobs, "resnet", "Error", "TrainerFailed")
    assert cli("retry", "resnet").exit_code == 0
    annotations = synced(jobs, "resnet")["metadata"]["annotations"]
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", annotations["trainyard.dev/retry-requested-at"]
    )


def test_says_that_git_will_set_a_field_back_that_it_declares(cli: Cli, jobs: Jobs) -> None:
    synced(jobs, "resnet", suspend=False)
    result = cli("pause", "resnet")
    assert result.exit_code == 0
    assert result.stderr.startswith(f"{TOLD_BY_GIT} declares spec.suspend of resnet and will set it back")
    assert synced(jobs, "resnet", suspend=False)["spec"]["suspend"] is False


def test_a_resume_takes_back_a_pause_and_a_cancellation_in_one_patch(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet", suspend=True, cancel=True)
    before = jobs.get("resnet")["metadata"]["generation"]
    result = cli("resume", "resnet")
    assert (result.exit_code, result.stdout) == (0, "trainingjob.trainyard.dev/resnet goes on\n")
    job = jobs.get("resnet")
    assert (job["spec"]["suspend"], job["spec"]["cancel"]) == (False, False)
    assert job["metadata"]["generation"] == before + 1


@pytest.mark.parametrize(
    ("verb", "spec", "status", "said"),
    [
        pytest.param("pause", {"suspend": True}, None, "being paused already", id="a pause under way"),
        pytest.param(
            "pause",
            {"suspend": True},
            ("Pending", "Paused", {"conditions": {"Suspended": True}}),
            "already paused",
            id="a pause",
        ),
        pytest.param("cancel", {"cancel": True}, None, "being cancelled already", id="a cancellation under way"),
        pytest.param(
            "cancel",
            {"cancel": True},
            ("Canceled", "CanceledByUser", {}),
            "has ended already: Canceled CanceledByUser: It is CanceledByUser.",
            id="a cancellation",
        ),
        pytest.param(
            "cancel",
            {},
            ("Done", "Completed", {}),
            "has ended already: Done Completed: It is Completed.",
            id="a cancellation of a job that is done",
        ),
        pytest.param(
            "cancel",
            {},
            ("Error", "OutOfMemory", {}),
            "has ended already: Error OutOfMemory: It is OutOfMemory.",
            id="a cancellation of a job that failed",
        ),
        pytest.param(
            "pause",
            {},
            ("Error", "OutOfMemory", {}),
            "has ended already: Error OutOfMemory: It is OutOfMemory.",
            id="a pause of a job that failed",
        ),
        pytest.param("resume", {}, ("Running", "Training", {}), "is not paused", id="a resume of one that runs"),
    ],
)  # fmt: skip
def test_what_is_so_already_is_said_and_a_success(
    cli: Cli, jobs: Jobs, verb: str, spec: Json, status: tuple[str, str, Json] | None, said: str
) -> None:
    jobs.create("resnet", **spec)
    if status is not None:
        a_status(jobs, "resnet", status[0], status[1], **status[2])
    before = jobs.get("resnet")
    result = cli(verb, "resnet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"trainingjob.trainyard.dev/resnet {said}\n"
    assert jobs.get("resnet")["metadata"] == before["metadata"], "nothing was written"


@pytest.mark.parametrize(
    ("verb", "spec", "status", "said"),
    [
        pytest.param(
            "retry",
            {},
            ("Running", "Training"),
            "resnet has not ended (Running Training); `trainyard cancel resnet --wait` first, then retry it.",
            id="a retry of one that runs",
        ),
        pytest.param(
            "retry",
            {},
            ("Done", "Completed"),
            "resnet has ended (Done Completed); submit it under another name to train again.",
            id="a retry of one that is done",
        ),
        pytest.param(
            "pause",
            {"cancel": True},
            ("Running", "Canceling"),
            "resnet is being cancelled; `trainyard resume resnet` takes that back.",
            id="a pause of one that is being cancelled",
        ),
        pytest.param(
            "resume",
            {},
            ("Error", "OutOfMemory"),
            "resnet has ended (Error OutOfMemory); `trainyard retry resnet` tries it again.",
            id="a resume of one that failed",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_says_what_can(
    cli: Cli, jobs: Jobs, verb: str, spec: Json, status: tuple[str, str], said: str
) -> None:
    jobs.create("resnet", **spec)
    a_status(jobs, "resnet", *status)
    before = jobs.get("resnet")
    result = cli(verb, "resnet")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"Error: {said}\n")
    assert jobs.get("resnet")["metadata"] == before["metadata"], "nothing was written"


def test_a_retry_of_a_cancelled_job_takes_the_cancellation_back_in_the_same_patch(
    cli: Cli, jobs: Jobs
) -> None:
    jobs.create("resnet", cancel=True, suspend=True)
    a_status(jobs, "resnet", "Canceled", "CanceledByUser")
    before = jobs.get("resnet")["metadata"]["generation"]
    result = cli("retry", "resnet")
    assert (result.exit_code, result.stdout) == (0, "trainingjob.trainyard.dev/resnet is tried again\n")
    assert result.stderr == "resnet is suspended too: `trainyard resume resnet` lets it start.\n"
    job = jobs.get("resnet")
    assert "trainyard.dev/retry-requested-at" in job["metadata"]["annotations"]
    assert (job["spec"]["cancel"], job["spec"]["suspend"]) == (False, True)
    assert job["metadata"]["generation"] == before + 1


@pytest.mark.parametrize(
    ("spec", "checkpoint", "said"),
    [
        pytest.param({"type": "neural_network", "action": "evaluate", "parentJob": "other"}, None,
                     "Action evaluate cannot resume: resnet will begin anew.\n", id="an action that cannot resume"),
        pytest.param({"type": "neural_network"}, None,
                     "resnet has reported no checkpoint so far; unless it saves one on its way out, it will begin "
                     "anew.\n", id="a training without a checkpoint"),
        pytest.param({"type": "neural_network"}, {"epoch": 3, "time": "2025-03-09T07:05:09Z"}, "",
                     id="a training with one"),
    ],
)  # fmt: skip
def test_a_pause_warns_when_what_was_done_is_lost(
    cli: Cli, jobs: Jobs, spec: Json, checkpoint: Json | None, said: str
) -> None:
    jobs.create("resnet", **spec)
    more = {"lastCheckpoint": checkpoint} if checkpoint else {}
    a_status(jobs, "resnet", "Running", "Training", startTime="2025-03-09T07:05:09Z", **more)
    result = cli("pause", "resnet")
    assert (result.exit_code, result.stderr) == (0, said)


@pytest.mark.parametrize("begin", ["", "tj/", "trainingjob/", "trainingjobs.trainyard.dev/"])
def test_every_command_takes_a_job_by_kind_and_name(cli: Cli, jobs: Jobs, begin: str) -> None:
    jobs.create("resnet")
    for command in ("get", "logs", "pause", "resume", "cancel"):
        result = cli(command, f"{begin}resnet")
        assert result.exit_code == 0, result.output
    watched = cli("watch", f"{begin}resnet", "--timeout", "1")
    assert watched.exit_code == 124, watched.output
    assert cli("delete", f"{begin}resnet", "--yes").stdout == "trainingjob.trainyard.dev/resnet deleted\n"


def test_one_job_that_is_not_there_does_not_hold_up_the_others(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet")
    result = cli("pause", "resnett", "resnet")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: There is no TrainingJob resnett in namespace {jobs.namespace}: did you mean resnet?\n"
    )
    assert jobs.get("resnet")["spec"]["suspend"] is True


def test_a_resume_of_all_does_not_bring_back_what_was_cancelled(cli: Cli, jobs: Jobs) -> None:
    jobs.create("paused", suspend=True)
    jobs.create("gone", cancel=True)
    jobs.create("done")
    a_status(jobs, "done", "Done", "Completed")
    result = cli("resume", "--all")
    assert result.exit_code == 0
    assert jobs.get("paused")["spec"]["suspend"] is False
    assert jobs.get("gone")["spec"]["cancel"] is True
    assert "gone was cancelled and stays so; name it to bring it back.\n" in result.stderr


def test_a_verb_takes_jobs_by_label_and_prints_them_as_data(cli: Cli, jobs: Jobs) -> None:
    for name, team in (("a", "red"), ("b", "red"), ("c", "blue")):
        body = manifest("TrainingJob", name, {"image": "example.com/trainer:1"})
        body["metadata"]["labels"] = {"team": team}
        jobs.client.post(jobs.path("trainingjobs"), body)
    result = cli("pause", "-l", "team=red", "-o", "json")
    assert result.exit_code == 0
    listed = json.loads(result.stdout)
    assert [one["metadata"]["name"] for one in listed["items"]] == ["a", "b"]
    assert all(one["spec"]["suspend"] and "managedFields" not in one["metadata"] for one in listed["items"])
    assert jobs.get("c")["spec"]["suspend"] is False


@pytest.mark.parametrize("chosen", [[], ["a", "--all"], ["--all", "-l", "a=b"]], ids=["none", "both", "two"])
@pytest.mark.parametrize("verb", ["pause", "cancel", "resume", "retry", "delete"])
def test_jobs_are_chosen_in_exactly_one_way(cli: Cli, verb: str, chosen: list[str]) -> None:
    result = cli(verb, *chosen)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: Say which jobs: name them, or give -l SELECTOR, or --all.\n"


def test_a_resume_warns_when_a_cancelled_action_cannot_go_on(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet", type="neural_network", action="evaluate", parentJob="other", cancel=True)
    a_status(jobs, "resnet", "Canceled", "CanceledByUser", startTime="2025-03-09T07:05:09Z")
    result = cli("resume", "resnet")
    assert result.exit_code == 0
    assert result.stderr == (
        "Action evaluate cannot resume; if it stays cancelled, `trainyard retry resnet` runs it from its beginning.\n"
    )


def test_a_wait_that_nobody_hears_says_so(cli: Cli, jobs: Jobs) -> None:
    for name in ("a", "b"):
        jobs.create(name)
    result = cli("pause", "a", "b", "--wait", "--timeout", "1s")
    assert result.exit_code == 124
    last = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert [line.split()[1] for line in last] == ["a", "b"]
    for line in last:
        assert "is not there yet after 1 s: Pending. No operator has taken notice of it" in line
