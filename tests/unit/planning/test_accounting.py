"""What a write of a job's status counts as."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import CONTEXT, NOW, a_pod
from trainyard.planning import accounting
from trainyard.planning.accounting import Began, Devices, Ended
from trainyard.planning.times import stamp

RULES = CONTEXT.accelerators
BEGUN: dict[str, Any] = {"number": 0, "startTime": stamp(NOW - 100)}
SUCCEEDED = [{"type": "Succeeded", "status": "True"}]


def a_raw(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A job as the API server has it, created 90 s ago."""
    return {"metadata": {"creationTimestamp": stamp(NOW - 90)}, "spec": spec, "status": status or {}}


def closed(reason: str, *, counted: bool | None, **fields: Any) -> dict[str, Any]:
    return {**BEGUN, "completionTime": stamp(NOW), "reason": reason, "counted": counted, **fields}


def done(*artifacts: dict[str, Any]) -> dict[str, Any]:
    """The status of a job that has ended well, and what it made."""
    return {
        "phase": "Done",
        "reason": "Completed",
        "completionTime": stamp(NOW),
        "conditions": SUCCEEDED,
        "attempts": [closed("Completed", counted=None)],
        "artifacts": list(artifacts),
    }


@pytest.mark.parametrize(
    ("entry", "status", "outcome"),
    [
        pytest.param(closed("Completed", counted=None), {"conditions": SUCCEEDED}, "done", id="a success"),
        pytest.param(closed("OutOfMemory", counted=True), {}, "failed", id="a failure that counts"),
        pytest.param(closed("UploadFailed", counted=True), {}, "failed", id="an upload that failed"),
        pytest.param(closed("InvalidSpec", counted=None), {}, "failed", id="an end without a verdict"),
        pytest.param(closed("Evicted", counted=False), {}, "lost", id="an eviction"),
        pytest.param(closed("DeadlineExceeded", counted=False), {}, "failed", id="a deadline"),
        pytest.param(closed("Paused", counted=False), {}, "paused", id="a pause"),
        pytest.param(closed("CanceledByUser", counted=False), {}, "canceled", id="a cancellation"),
        pytest.param(closed("ParentCanceled", counted=None), {}, "canceled", id="a parent's cancellation"),
    ],
)
def test_an_attempt_that_ends_is_booked_by_its_outcome(
    entry: dict[str, Any], status: dict[str, Any], outcome: str
) -> None:
    raw = a_raw({"startTime": stamp(NOW - 100), "attempts": [BEGUN]}, accelerator={"count": 2}, nodes=3)
    found = accounting.account(raw, {"attempts": [entry], **status}, (), rules=RULES)
    assert found.ended == (Ended(outcome=outcome, reason=entry["reason"], device_seconds=600.0),)  # type: ignore[arg-type]  # a literal


def test_an_end_that_status_had_already_is_not_booked_again() -> None:
    ended = closed("TrainerFailed", counted=True)
    raw = a_raw({"startTime": stamp(NOW - 100), "attempts": [ended]})
    after = {"attempts": [ended, {"number": 1}], "phase": "Pending"}
    found = accounting.account(raw, after, (), rules=RULES)
    assert not found.ended
    assert not found.began


def test_an_attempt_that_never_ran_took_nothing() -> None:
    entry = closed("StartupTimeout", counted=None)
    del entry["startTime"]
    found = accounting.account(a_raw(accelerator={"count": 8}), {"attempts": [entry]}, (), rules=RULES)
    assert [one.device_seconds for one in found.ended] == [0.0]


def test_a_reason_that_is_none_of_ours_is_other() -> None:
    found = accounting.account(a_raw(), {"attempts": [closed("Weather", counted=True)]}, (), rules=RULES)
    assert [one.reason for one in found.ended] == ["Other"]


def test_a_first_attempt_that_starts_tells_what_went_before() -> None:
    pods = (a_pod(running=True), a_pod(attempt=1, running=True))
    entry = {"number": 0, "startTime": stamp(NOW - 60)}
    found = accounting.account(a_raw(), {"attempts": [entry]}, pods, rules=RULES)
    assert found.began == (Began(to_pod=20.0, in_queue=5.0, to_running=10.0),)


def test_an_attempt_waits_in_the_queue_until_the_last_of_its_pods_has_a_node() -> None:
    late = dataclasses.replace(a_pod(running=True), rank=1, scheduled_at=NOW - 61)
    entry = {"number": 0, "startTime": stamp(NOW - 60)}
    found = accounting.account(a_raw(), {"attempts": [entry]}, (a_pod(running=True), late), rules=RULES)
    assert [one.in_queue for one in found.began] == [9.0]


def test_a_job_that_was_suspended_from_the_start_waits_from_its_resumption_on() -> None:
    resumed = [{"type": "Suspended", "status": "False", "lastTransitionTime": stamp(NOW - 72)}]
    entry = {"number": 0, "startTime": stamp(NOW - 60)}
    raw = a_raw({"conditions": resumed})
    found = accounting.account(raw, {"attempts": [entry]}, (a_pod(running=True),), rules=RULES)
    assert [one.to_pod for one in found.began] == [2.0]


def test_a_later_attempt_says_nothing_of_the_time_to_the_first_pod() -> None:
    raw = a_raw({"startTime": stamp(NOW - 1000), "attempts": [closed("Evicted", counted=False)]})
    entry = {"number": 1, "startTime": stamp(NOW - 60)}
    after = {"attempts": [*raw["status"]["attempts"], entry]}
    found = accounting.account(raw, after, (a_pod(attempt=1, running=True),), rules=RULES)
    assert found.began == (Began(to_pod=None, in_queue=5.0, to_running=10.0),)


def test_without_its_pod_nothing_is_made_up() -> None:
    found = accounting.account(
        a_raw(), {"attempts": [{"number": 0, "startTime": stamp(NOW)}]}, (), rules=RULES
    )
    assert found.began == (Began(to_pod=None, in_queue=None, to_running=None),)


def test_the_end_of_a_job_is_booked_once_with_the_bytes_of_its_artifacts() -> None:
    after = done(
        {"uri": "s3://b/u/attempt-0", "size": 1000},
        {"uri": "s3://b/u/attempt-0/model.bin", "size": 900},
        {"uri": "s3://b/u/attempt-0-report", "size": 24},
    )
    found = accounting.account(a_raw(), after, (), rules=RULES)
    assert (found.finished, found.uploaded) == (("Done", "Completed"), 1024)
    again = accounting.account(a_raw(after), {**after, "message": "An edit was seen."}, (), rules=RULES)
    assert (again.finished, again.uploaded) == (None, None)


def test_artifacts_of_unknown_size_are_no_upload() -> None:
    after = done({"uri": "pvc://c/u/attempt-0"})
    assert accounting.account(a_raw(), after, (), rules=RULES).uploaded is None


def test_a_result_that_was_found_after_a_backup_is_no_upload_and_took_no_gpu() -> None:
    after = done({"uri": "s3://b/u/attempt-0", "size": 1000})
    del after["attempts"][0]["startTime"]
    found = accounting.account(a_raw(accelerator={"count": 8}), after, (), rules=RULES)
    assert found.uploaded is None
    assert [one.device_seconds for one in found.ended] == [0.0]


@pytest.mark.parametrize(
    ("spec", "devices"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"accelerator": {}}, None, id="an empty accelerator"),
        pytest.param({"accelerator": {"count": 4}}, Devices(accelerator="any", count=4), id="any four"),
        pytest.param(
            {"accelerator": {"count": 4, "type": "a100"}, "nodes": 2},
            Devices(accelerator="a100", count=8),
            id="four of a kind on two nodes",
        ),
        pytest.param(
            {"accelerator": {"count": 1, "type": "abacus"}},
            Devices(accelerator="other", count=1),
            id="one of a kind that the settings do not have",
        ),
        pytest.param(
            {"resources": {"limits": {"nvidia.com/gpu": "2"}}},
            Devices(accelerator="any", count=2),
            id="two by resources",
        ),
        pytest.param({"accelerator": {"count": "many"}}, None, id="a count that is no number"),
    ],
)
def test_devices_are_those_of_all_nodes(spec: dict[str, Any], devices: Devices | None) -> None:
    assert accounting.devices(spec, RULES) == devices
