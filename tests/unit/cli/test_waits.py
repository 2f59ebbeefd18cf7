"""When a wait is over: which state of a job is the one that was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.cli.exits import ExitCode
from trainyard.cli.waits import Judge, canceled, end, paused, retried, running

Json = dict[str, Any]

STAMP = "2025-03-09T07:05:09.000001Z"


def a_job(
    phase: str | None = None,
    reason: str = "",
    *,
    told: bool = True,
    spec: Json | None = None,
    asked: str | None = None,
    **more: Any,
) -> Json:
    """`told`: the status is of the spec as it is now; `asked`: the annotation that asks for a retry."""
    conditions = [{"type": kind, "status": "True"} for kind in more.pop("true", ())]
    status = {"observedGeneration": 2 if told else 1, "reason": reason, "conditions": conditions, **more}
    metadata: Json = {"name": "resnet", "generation": 2}
    if asked:
        metadata["annotations"] = {"trainyard.dev/retry-requested-at": asked}
    return {
        "metadata": metadata,
        "spec": spec or {},
        "status": {**status, "phase": phase} if phase else status,
    }


SUSPENDED = {"suspend": True}
CANCELED = {"cancel": True}


@pytest.mark.parametrize(
    ("judge", "job", "code"),
    [
        pytest.param(end, a_job("Running"), None, id="the end: not of one that runs"),
        pytest.param(end, a_job("Done"), ExitCode.OK, id="the end: done"),
        pytest.param(end, a_job("Error"), ExitCode.JOB_FAILED, id="the end: failed"),
        pytest.param(end, a_job("Canceled"), ExitCode.JOB_CANCELED, id="the end: cancelled"),
        pytest.param(end, a_job("Canceled", told=False), None, id="the end: not one that was just brought back"),
        pytest.param(end, a_job("Pending", true=["Stalled"]), ExitCode.STALLED, id="the end: stalled"),
        pytest.param(paused, a_job("Running", spec=SUSPENDED, told=False), None, id="a pause: not told yet"),
        pytest.param(paused, a_job("Running", "Pausing", spec=SUSPENDED), None, id="a pause: under way"),
        pytest.param(paused, a_job("Pending", spec=SUSPENDED, true=["Suspended"]), ExitCode.OK, id="a pause: reached"),
        pytest.param(paused, a_job("Done", spec=SUSPENDED), ExitCode.OK, id="a pause: done before"),
        pytest.param(paused, a_job("Error", spec=SUSPENDED), ExitCode.JOB_FAILED, id="a pause: failed before"),
        pytest.param(paused, a_job("Running"), ExitCode.FAILED, id="a pause: taken back by somebody else"),
        pytest.param(
            paused, a_job("Pending", spec=SUSPENDED, true=["Suspended"], told=False), None,
            id="a pause: not an earlier one",
        ),
        pytest.param(canceled, a_job("Running", spec=CANCELED), None, id="a cancellation: under way"),
        pytest.param(canceled, a_job("Canceled", spec=CANCELED), ExitCode.OK, id="a cancellation: reached"),
        pytest.param(canceled, a_job("Done", spec=CANCELED), ExitCode.OK, id="a cancellation: done before"),
        pytest.param(canceled, a_job("Running"), ExitCode.FAILED, id="a cancellation: taken back"),
        pytest.param(running, a_job("Pending", "Resuming"), None, id="a resume: on its way"),
        pytest.param(running, a_job("Running", "Training"), ExitCode.OK, id="a resume: reached"),
        pytest.param(running, a_job("Running", "Training", told=False), None, id="a resume: not told yet"),
        pytest.param(running, a_job("Running", "Pausing", stop={"cause": "Suspend"}), None,
                     id="a resume: still pausing"),
        pytest.param(running, a_job("Done"), ExitCode.OK, id="a resume: quick"),
        pytest.param(running, a_job("Canceled"), ExitCode.JOB_CANCELED, id="a resume: of one that cannot"),
        pytest.param(running, a_job("Pending", spec=SUSPENDED, true=["Suspended"]), ExitCode.STALLED,
                     id="a resume: paused again"),
        pytest.param(
            running,
            a_job("Pending", true=["Suspended"], stop={"cause": "Suspend", "experiment": "tuning", "endTime": STAMP}),
            ExitCode.STALLED, id="a resume: of one that is paused with its Experiment",
        ),
        pytest.param(retried, a_job("Error", asked=STAMP), None, id="a retry: not noticed yet"),
        pytest.param(retried, a_job("Error", asked=STAMP, retryRequestedAt="an earlier one"), None,
                     id="a retry: an earlier one"),
        pytest.param(retried, a_job("Pending", asked=STAMP, retryRequestedAt=STAMP), None, id="a retry: on its way"),
        pytest.param(retried, a_job("Running", asked=STAMP, retryRequestedAt=STAMP), ExitCode.OK,
                     id="a retry: reached"),
        pytest.param(retried, a_job("Error", asked=STAMP, retryRequestedAt=STAMP), ExitCode.JOB_FAILED,
                     id="a retry: failed again"),
    ],
)  # fmt: skip
def test_a_wait_ends_with(judge: Judge, job: Json, code: ExitCode | None) -> None:
    outcome = judge(job)
    assert (None if outcome is None else outcome.code) == code
