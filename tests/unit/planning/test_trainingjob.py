"""The plan of a TrainingJob, row by row: what ends it, what it writes, what its reports become."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import (
    CONTEXT,
    NOW,
    a_dataset,
    a_job,
    a_parent,
    a_pod,
    a_refusal,
    plan,
    said,
    settled,
    status_after,
)
from trainyard.planning.observed import LogView, ObservedJob
from trainyard.planning.plan import Plan
from trainyard.planning.podends import LOG_END_SECONDS
from trainyard.planning.progress import Metric, Report

OUTPUT = {"claimName": "out"}

FOLLOWING = dataclasses.replace(CONTEXT, follow_logs=True, log_store="file:///logs")


ENDED: list[Any] = [
    pytest.param(
        a_job(pods=(a_pod(exit_code=0, message='{"status": "FAILURE", "metrics": {"rmse": NaN}}'),)),
        "Error",
        "TrainerFailed",
        id="fails when a diverged trainer writes NaN beside its FAILURE",
    ),
    pytest.param(
        a_job(template={"spec": {"containers": [{"name": {"a": "map"}}]}}),
        "Error",
        "InvalidSpec",
        id="refuses a template of which no pod can be made",
    ),
    pytest.param(
        a_job(type="unheard_of"), "Error", "InvalidSpec", id="refuses a type that no runtime serves"
    ),
    pytest.param(
        a_job(action="prune"), "Error", "InvalidSpec", id="refuses an action that the runtime has not"
    ),
    pytest.param(
        a_job(accelerator={"type": "abacus"}),
        "Error",
        "InvalidSpec",
        id="refuses an accelerator nobody knows",
    ),
    pytest.param(
        a_job(parameters={"table": "x" * 100_000}),
        "Error",
        "InvalidSpec",
        id="refuses parameters over 96 KiB",
    ),
    pytest.param(
        a_job(datasets={"d": a_dataset("d", available=False, failed=True)}),
        "Error",
        "DatasetFailed",
        id="fails with its dataset",
    ),
    pytest.param(
        a_job(parentJob="base", parent=a_parent(succeeded=False, reason="OutOfMemory")),
        "Error",
        "ParentFailed",
        id="fails with its parent",
    ),
    pytest.param(
        a_job(parentJob="base", parent=a_parent(artifact_uri=None)),
        "Error",
        "ParentFailed",
        id="fails when the parent left nothing to work on",
    ),
    pytest.param(
        a_job(refusal=a_refusal(422, "spec.containers[0].image: Required value")),
        "Error",
        "InvalidSpec",
        id="fails when the API server finds the pod invalid",
    ),
    pytest.param(
        a_job(refusal=a_refusal(403, "exceeded quota", age=2000)),
        "Error",
        "StartupTimeout",
        id="gives a quota up after startupTimeoutSeconds",
    ),
    pytest.param(
        a_job(pods=(a_pod(waiting=("ErrImagePull", "no")),), startupTimeoutSeconds=30),
        "Error",
        "StartupTimeout",
        id="gives an image up after startupTimeoutSeconds",
    ),
    pytest.param(a_job(pods=(a_pod(exit_code=0),)), "Done", "Completed", id="is Done with exit code 0"),
    pytest.param(a_job(pods=(a_pod(exit_code=1),)), "Error", "TrainerFailed", id="fails with exit code 1"),
    pytest.param(
        a_job(pods=(a_pod(exit_code=137, exit_reason="OOMKilled"),)),
        "Error",
        "OutOfMemory",
        id="tells a kill for memory by its name",
    ),
    pytest.param(
        a_job(pods=(a_pod(exit_code=0, message='{"status": "FAILURE", "message": "diverged"}'),)),
        "Error",
        "TrainerFailed",
        id="fails with exit code 0 when the trainer's last word is FAILURE",
    ),
    pytest.param(
        a_job(pods=(a_pod(phase="Failed", reason="BadPod"),)),
        "Error",
        "PodFailed",
        id="fails when the pod failed without a container",
    ),
    pytest.param(
        a_job(pods=(a_pod(exit_code=0, finished_at=NOW - 100, deletion_requested_at=NOW - 50),)),
        "Done",
        "Completed",
        id="is Done when the pod was deleted after its end",
    ),
    pytest.param(
        a_job(pods=(a_pod(exit_code=0, message='{"complete": true}', deletion_requested_at=NOW - 50),)),
        "Done",
        "Completed",
        id="is Done when the trainer says complete in spite of a SIGTERM",
    ),
]


@pytest.mark.parametrize(("observed", "phase", "reason"), ENDED)
def test_what_ends(observed: ObservedJob, phase: str, reason: str) -> None:
    p = settled(observed)
    assert said(p) == (phase, reason)
    status = status_after(p)
    conditions = {c["type"]: c["status"] for c in status["conditions"]}
    assert conditions["Finished"] == "True"
    assert conditions["Succeeded"] == ("True" if phase == "Done" else "False")
    assert status["completionTime"]
    assert not p.create, "nothing is started in the plan that ends"


@pytest.mark.parametrize(("observed", "phase", "reason"), ENDED)
def test_an_end_is_final(observed: ObservedJob, phase: str, reason: str) -> None:
    ended = dataclasses.replace(observed, status=status_after(settled(observed)))
    p = plan(ended, now=NOW + 3600)
    assert p.status is None
    assert not p.create


def test_a_new_job_costs_one_pod_and_no_write() -> None:
    p = plan(a_job())
    assert len(p.create) == 1
    assert p.status is None


def test_a_quick_job_is_one_write() -> None:
    running = a_job(pods=(a_pod(running=True),))
    first = plan(running)
    assert said(first) == ("Running", "Training")
    again = dataclasses.replace(running, status=status_after(first), memory=first.memory)
    assert plan(again).status is None
    done = dataclasses.replace(again, pods=(a_pod(exit_code=0),))
    assert said(plan(done)) == ("Done", "Completed")


def test_an_edit_after_the_end_is_acknowledged_and_changes_nothing() -> None:
    done = a_job(pods=(a_pod(exit_code=0),))
    edited = dataclasses.replace(done, status=status_after(plan(done)), generation=2)
    p = plan(edited)
    assert status_after(p)["observedGeneration"] == 2
    assert said(p) == ("Done", "Completed")
    assert not p.create


def test_a_finished_job_keeps_no_pod_running() -> None:
    failed = a_job(refusal=a_refusal(422, "no"))
    ended = dataclasses.replace(failed, status=status_after(settled(failed)), pods=(a_pod(),))
    assert [pod.name for pod in plan(ended).delete] == ["digits-0-0"]


def test_a_job_that_is_being_deleted_is_left_alone() -> None:
    assert plan(a_job(deleting=True)) == Plan()


def report(**fields: Any) -> Report:
    values: dict[str, Any] = {"at": "2027-01-15T08:00:00Z", "status": "RUNNING", "epoch": 3, "max_epoch": 10}
    return Report(**(values | fields))


def test_progress_is_written_at_most_every_interval() -> None:
    pod = a_pod(running=True)
    observed = a_job(pods=(pod,), logs={pod.uid: LogView(report=report())})
    first = plan(observed, context=FOLLOWING)
    assert status_after(first)["progress"]["summary"] == "3/10"
    later = dataclasses.replace(
        observed,
        status=status_after(first),
        memory=first.memory,
        logs={pod.uid: LogView(report=report(epoch=4))},
    )
    soon = plan(later, now=NOW + 1, context=FOLLOWING)
    assert soon.status is None
    assert soon.requeue_after == pytest.approx(FOLLOWING.progress_interval - 1)
    due = plan(later, now=NOW + FOLLOWING.progress_interval, context=FOLLOWING)
    assert status_after(due)["progress"]["summary"] == "4/10"


def test_the_verdict_waits_for_the_end_of_the_log_but_not_for_ever() -> None:
    pod = a_pod(exit_code=0)
    observed = a_job(pods=(pod,), logs={pod.uid: LogView(report=report())})
    first = plan(observed, context=FOLLOWING)
    assert first.status is None
    assert first.ended == (pod,)
    again = dataclasses.replace(observed, memory=first.memory)
    assert said(plan(again, now=NOW + LOG_END_SECONDS + 1, context=FOLLOWING)) == ("Done", "Completed")
    ended = dataclasses.replace(observed, logs={pod.uid: LogView(report=report(), ended=True)})
    assert said(plan(ended, context=FOLLOWING)) == ("Done", "Completed")


def test_the_last_word_of_the_trainer_is_in_the_metrics() -> None:
    pod = a_pod(exit_code=0, message='{"metrics": {"accuracy": 0.97}, "keyMetric": {"name": "accuracy"}}')
    log = LogView(report=report(metrics={"loss": Metric(number=0.1)}), ended=True)
    observed = a_job(pods=(pod,), logs={pod.uid: log}, output=OUTPUT)
    status = status_after(plan(observed, context=FOLLOWING))
    assert {m["name"]: m["value"] for m in status["metrics"]} == {"loss": "0.1", "accuracy": "0.97"}
    assert status["keyMetric"]["display"] == "accuracy 0.97"
    assert status["artifacts"] == [{"uri": f"pvc://out/{observed.uid}/attempt-0"}]
    assert "eta" not in status["progress"]


def test_the_last_words_of_a_failed_trainer_are_told() -> None:
    pod = a_pod(exit_code=1, message="Traceback\nValueError: no column named target")
    assert "no column named target" in status_after(plan(a_job(pods=(pod,))))["message"]


def test_a_spec_that_cannot_be_read_stops_only_itself() -> None:
    observed = dataclasses.replace(a_job(), spec=None, spec_error="spec.action: not one of ...")
    p = plan(observed)
    assert said(p) == ("Error", "InvalidSpec")
    assert "spec.action" in status_after(p)["message"]


def test_a_null_in_the_template_is_as_good_as_nothing() -> None:
    assert len(plan(a_job(template={"metadata": None, "spec": None})).create) == 1


def test_a_sidecar_that_never_ends_does_not_hold_the_node_of_a_finished_job() -> None:
    pod = a_pod(exit_code=0, phase="Running", finished_at=NOW)
    observed = a_job(pods=(pod,))
    first = plan(observed)
    assert said(first) == ("Done", "Completed")
    assert not first.delete
    assert first.requeue_after is not None
    ended = dataclasses.replace(observed, status=status_after(first))
    assert not plan(ended, now=NOW + 1).delete
    assert plan(ended, now=NOW + 20).delete == (pod,)
