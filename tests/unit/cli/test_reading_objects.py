"""What the commands read from jobs, pods and kubeconfigs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainyard.cli.connection import Where, default_namespace
from trainyard.cli.errors import sentence
from trainyard.cli.keptlog import local_file, never_started
from trainyard.cli.logpods import Start, newest_attempt, started
from trainyard.cli.reading import headline, is_stalled, phase, progress_line
from trainyard.cli.stored import Status
from trainyard.cluster.client import ApiError

UID = "0e6ad5a1-6a5f-4b5d-9d8e-7f5a3c2b1d00"


def a_job(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "resnet", "uid": UID}, "status": status}


def a_pod(*, attempt: int = 0, rank: int = 0, state: dict[str, Any] | None = None) -> dict[str, Any]:
    statuses = [{"name": "sidecar", "state": {"running": {}}}]
    if state is not None:
        statuses.append({"name": "trainer", "state": state})
    labels = {"trainyard.dev/attempt": str(attempt), "trainyard.dev/rank": str(rank)}
    return {"metadata": {"labels": labels}, "status": {"containerStatuses": statuses}}


@pytest.mark.parametrize(
    ("status", "head", "progress"),
    [
        pytest.param({}, "Pending", "", id="a job that no operator has seen"),
        pytest.param(
            {"phase": "Running", "reason": "Training", "message": "All pods run."},
            "Running Training: All pods run.",
            "",
            id="a job that runs",
        ),
        pytest.param(
            {
                "phase": "Running",
                "progress": {"summary": "12/40", "percent": 30, "eta": "0:07:14"},
                "keyMetric": {"name": "accuracy", "display": "accuracy 0.97"},
                "metrics": [{"name": "accuracy", "value": "0.97"}, {"name": "loss", "value": "0.1"}],
            },
            "Running",
            "12/40  30%  0:07:14 left  accuracy 0.97  loss 0.1",
            id="a job that reports",
        ),
        pytest.param(
            {"phase": "Error", "message": "line\n\x1b[31mred"},
            "Error: line  [31mred",
            "",
            id="a message that would paint the terminal",
        ),
    ],
)
def test_a_job_as_text(status: dict[str, Any], head: str, progress: str) -> None:
    job = a_job(**status)
    assert headline(job) == head
    assert progress_line(job) == progress


def test_phase_and_attempts_have_defaults() -> None:
    assert phase(a_job()) == "Pending"
    assert newest_attempt(a_job()) == 0
    assert newest_attempt(a_job(attempts=[{"number": 0}, {"number": 3}, {"number": 2}])) == 3


@pytest.mark.parametrize(
    ("phase", "stalled", "observed", "expected"),
    [
        pytest.param("Pending", "True", 2, True, id="one that waits for a change of it"),
        pytest.param("Pending", "False", 2, False, id="one that waits for a node"),
        pytest.param("Pending", "True", 1, False, id="one that has been changed since"),
        pytest.param("Error", "True", 2, False, id="one that has ended"),
    ],
)
def test_which_job_is_stalled(phase: str, stalled: str, observed: int, expected: bool) -> None:
    conditions = [{"type": "Ready", "status": "True"}, {"type": "Stalled", "status": stalled}]
    job = a_job(phase=phase, conditions=conditions, observedGeneration=observed)
    job["metadata"]["generation"] = 2
    assert is_stalled(job) is expected


def test_a_job_that_no_operator_has_seen_is_not_stalled() -> None:
    assert not is_stalled({"metadata": {"name": "resnet", "generation": 1}})


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(
            {"phase": "Error", "reason": "InvalidSpec", "message": "No runtime is named tao."},
            "resnet never started: InvalidSpec: No runtime is named tao.",
            id="an invalid one",
        ),
        pytest.param({"phase": "Canceled"}, "resnet never started: Canceled", id="one without a reason"),
        pytest.param(
            {
                "phase": "Error",
                "reason": "StartupTimeout",
                "message": "a\x1b[31m",
                "attempts": [{"number": 0}],
            },
            "resnet never started: StartupTimeout: a [31m",
            id="one whose pod never ran",
        ),
        pytest.param(
            {"phase": "Error", "reason": "TrainerFailed", "startTime": "2025-03-09T07:05:09Z"},
            None,
            id="one that ran",
        ),
        pytest.param(
            {"phase": "Error", "attempts": [{"number": 0, "startTime": "2025-03-09T07:05:09Z"}]},
            None,
            id="one with an attempt that ran",
        ),
        pytest.param({"phase": "Done"}, None, id="one that is done, and so must have run"),
        pytest.param({"phase": "Pending"}, None, id="one that may start yet"),
        pytest.param({}, None, id="one that no operator has seen"),
    ],
)
def test_which_job_never_started(status: dict[str, Any], expected: str | None) -> None:
    assert never_started(a_job(**status)) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, False),
        ({}, False),
        ({"waiting": {}}, False),
        ({"running": {}}, True),
        ({"terminated": {}}, True),
    ],
    ids=["no status", "an empty state", "waiting", "running", "terminated"],
)
def test_whether_a_trainer_has_started(state: dict[str, Any] | None, expected: bool) -> None:
    assert started(a_pod(state=state)) is expected


@pytest.mark.parametrize(
    ("start", "pod", "expected"),
    [
        pytest.param(
            Start(after=-1, attempt=None, rank=0), a_pod(state={"running": {}}), True, id="the first"
        ),
        pytest.param(
            Start(after=0, attempt=None, rank=0), a_pod(state={"running": {}}), False, id="one seen already"
        ),
        pytest.param(
            Start(after=0, attempt=None, rank=0),
            a_pod(attempt=2, state={"running": {}}),
            True,
            id="a later one",
        ),
        pytest.param(
            Start(after=0, attempt=1, rank=0),
            a_pod(attempt=2, state={"running": {}}),
            False,
            id="another than asked",
        ),
        pytest.param(
            Start(after=-1, attempt=None, rank=1), a_pod(state={"running": {}}), False, id="another rank"
        ),
        pytest.param(
            Start(after=-1, attempt=None, rank=0), a_pod(state={"waiting": {}}), False, id="not started"
        ),
        pytest.param(
            Start(after=-1, attempt=None, rank=0), {"metadata": {}}, False, id="a pod without labels"
        ),
    ],
)
def test_which_start_is_waited_for(start: Start, pod: dict[str, Any], expected: bool) -> None:
    assert start.is_of(pod) is expected


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        pytest.param(
            f"file:///var/logs/team/{UID}/", "/var/logs/team/{UID}/2-1.log", id="the job's own folder"
        ),
        pytest.param(f"file:///var/logs/other/{UID}/", None, id="another namespace"),
        pytest.param("file:///etc/", None, id="any other folder"),
        pytest.param(f"s3://bucket/team/{UID}/", None, id="another store"),
        pytest.param(f"file:///var/../etc/team/{UID}/", None, id="a folder that climbs"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_only_the_jobs_own_folder_is_read(uri: str, found: str | None) -> None:
    file = local_file(uri, namespace="team", uid=UID, attempt=2, rank=1)
    assert (None if file is None else str(file.path)) == (found and found.format(UID=UID))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({}, "team", id="that of the current context"),
        pytest.param({"context": "plain"}, "default", id="default where the context has none"),
        pytest.param({"context": "absent"}, "default", id="default for an unknown context"),
    ],
)
def test_default_namespace(tmp_path: Path, arguments: dict[str, str], expected: str) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, users: [{name: u, user: {}}],"
        " clusters: [{name: k, cluster: {server: 'http://127.0.0.1:1'}}],"
        " contexts: [{name: c, context: {cluster: k, user: u, namespace: team}},"
        " {name: plain, context: {cluster: k, user: u}}]}"
    )
    assert default_namespace(Where(kubeconfig=str(kubeconfig), **arguments)) == expected


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (401, "Unauthorized", "The cluster does not know you; log in again or choose another context."),
        (403, 'pods is forbidden: User "u"', 'The cluster does not allow this: pods is forbidden: User "u".'),
        (
            403,
            'trainingjobs.trainyard.dev "resnet" is forbidden: User "u" cannot patch resource "trainingjobs" in API '
            'group "trainyard.dev" in the namespace "team"',
            "You (u) may not patch trainingjobs.trainyard.dev in namespace team; ask an administrator for a Role with "
            "this verb, or choose another --namespace or --context.",
        ),
        (
            403,
            'pods is forbidden: User "u" cannot list resource "pods" in API group "" at the cluster scope',
            "You (u) may not list pods in all namespaces; ask an administrator for a Role with this verb, or choose "
            "another --namespace or --context.",
        ),
        (500, "etcd is away.", "The cluster refuses this (500 Why): etcd is away."),
    ],
    ids=["unauthorized", "forbidden", "forbidden by RBAC", "forbidden everywhere", "broken"],
)
def test_a_refusal_as_a_sentence(status: int, message: str, expected: str) -> None:
    assert sentence(ApiError(status=status, reason="Why", message=message)) == expected


@pytest.mark.parametrize(
    ("data", "success", "message"),
    [
        pytest.param(
            b'{"status":"Success"}', True, "The connection to the operator's pod was cut.", id="success"
        ),
        pytest.param(b'{"status":"Failure","message":"exit 1"}', False, "exit 1", id="failure"),
        pytest.param(b"nonsense", False, "The connection to the operator's pod was cut.", id="nonsense"),
    ],
)
def test_the_end_of_an_exec(data: bytes, success: bool, message: str) -> None:
    status = Status()
    status.read(data)
    assert (status.success, status.message) == (success, message)
