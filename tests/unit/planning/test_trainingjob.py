"""The plan of a TrainingJob, row by row."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.planning.builders import (
    CONTEXT,
    NOW,
    a_dataset,
    a_job,
    a_parent,
    a_pod,
    a_refusal,
    a_spec,
)
from trainyard.api.trainingjob import TrainingJobStatus
from trainyard.planning import attempts
from trainyard.planning.observed import ContainerView, LogView, Memory, ObservedJob, PodView
from trainyard.planning.pending import SETTLE_SECONDS
from trainyard.planning.plan import Plan
from trainyard.planning.progress import Metric, Report
from trainyard.planning.trainingjob import (
    LOG_END_SECONDS,
    plan_training_job,
)

FOLLOWING = dataclasses.replace(CONTEXT, follow_logs=True, log_store="file:///logs")


def plan(observed: ObservedJob, *, now: float = NOW, context: Any = CONTEXT) -> Plan:
    return plan_training_job(observed, now=now, context=context)


def settled(observed: ObservedJob, *, context: Any = CONTEXT) -> Plan:
    """The plan after whatever is Pending has stood long enough to be written."""
    first = plan(observed, context=context)
    if first.status is not None:
        return first
    again = dataclasses.replace(observed, memory=first.memory)
    return plan(again, now=NOW + SETTLE_SECONDS + 0.1, context=context)


def said(p: Plan) -> tuple[str, str]:
    assert p.status is not None
    return p.status["phase"], p.status["reason"]


def status_after(p: Plan) -> dict[str, Any]:
    assert p.status is not None
    return dict(p.status)


OUTPUT = {"claimName": "out"}

WAITING: list[Any] = [
    pytest.param(
        a_job(refusal=a_refusal(400, 'admission webhook "x" denied the request: no')),
        "PolicyRefused",
        id="takes a webhook's denial for a policy and not for a bad spec",
    ),
    pytest.param(
        a_job(refusal=a_refusal(422, "ValidatingAdmissionPolicy 'x' denied request: no")),
        "PolicyRefused",
        id="takes an admission policy's denial for a policy and not for a bad spec",
    ),
    pytest.param(
        a_job(
            pods=(a_pod(init=(ContainerView(name="fetch", state="running"),)),),
            startupTimeoutSeconds=60,
        ),
        "Starting",
        id="lets an init container take its time",
    ),
    pytest.param(
        a_job(datasets={"d": None}), "WaitingForDataset", id="waits for a dataset that is not there"
    ),
    pytest.param(
        a_job(datasets={"d": a_dataset("d", available=False)}),
        "WaitingForDataset",
        id="waits for a dataset that is not available",
    ),
    pytest.param(a_job(parentJob="base"), "WaitingForParent", id="waits for a parent that is not there"),
    pytest.param(
        a_job(parentJob="base", parent=a_parent(finished=False, succeeded=False)),
        "WaitingForParent",
        id="waits for a parent that is not done",
    ),
    pytest.param(
        a_job(former_pod=a_pod()),
        "WaitingForCleanup",
        id="waits for a pod of an earlier job of the same name",
    ),
    pytest.param(
        a_job(refusal=a_refusal(403, "exceeded quota: gpus")), "QuotaExceeded", id="tells a quota by its name"
    ),
    pytest.param(
        a_job(refusal=a_refusal(403, 'violates PodSecurity "restricted"')),
        "PolicyRefused",
        id="tells a policy's refusal by its name",
    ),
    pytest.param(
        a_job(refusal=a_refusal(409, "exists")), "PodNameTaken", id="never adopts a pod that is not its own"
    ),
    pytest.param(
        a_job(
            pods=(a_pod(scheduled=False, scheduling_reason="Unschedulable", scheduling_message="no GPUs"),)
        ),
        "Unschedulable",
        id="says that no node can take the pod",
    ),
    pytest.param(
        a_job(pods=(a_pod(scheduled=False, scheduling_reason="SchedulingGated"),)),
        "Queued",
        id="says that a gated pod waits in its queue",
    ),
    pytest.param(
        a_job(pods=(a_pod(waiting=("ImagePullBackOff", "not found")),)),
        "ImagePullFailed",
        id="says that the image cannot be pulled",
    ),
    pytest.param(
        a_job(pods=(a_pod(waiting=("CreateContainerConfigError", "secret not found")),)),
        "ContainerConfigInvalid",
        id="says that the container cannot be created",
    ),
    pytest.param(
        a_job(pods=(a_pod(waiting=("ContainerCreating", ""), sandbox_ready=True),)),
        "PullingImage",
        id="tells a pull from the set-up of volumes and network",
    ),
    pytest.param(
        a_job(pods=(a_pod(waiting=("ContainerCreating", "")),)), "Starting", id="says that the pod starts"
    ),
]


@pytest.mark.parametrize(("observed", "reason"), WAITING)
def test_what_is_pending(observed: ObservedJob, reason: str) -> None:
    assert plan(observed).status is None, "a Pending reason is written only when it has stood"
    assert said(settled(observed)) == ("Pending", reason)


@pytest.mark.parametrize(("observed", "reason"), WAITING)
def test_a_pending_reason_is_written_once(observed: ObservedJob, reason: str) -> None:
    first = settled(observed)
    again = dataclasses.replace(observed, status=status_after(first), memory=first.memory)
    assert plan(again, now=NOW + 60).status is None


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


LOST: list[Any] = [
    pytest.param(
        a_pod(exit_code=0, finished_at=NOW - 5, deletion_requested_at=NOW - 10),
        id="a trainer that saved and exited with 0 on somebody's deletion",
    ),
    pytest.param(a_pod(exit_code=143, deletion_requested_at=NOW - 10), id="a trainer killed by a deletion"),
    pytest.param(a_pod(exit_code=137, disrupted=True), id="a pod evicted or preempted"),
    pytest.param(a_pod(phase="Failed", disrupted=True), id="a pod of a node that is gone"),
]


@pytest.mark.parametrize("pod", LOST)
def test_a_pod_taken_away_is_replaced_and_is_no_end(pod: PodView) -> None:
    observed = a_job(pods=(pod,), output=OUTPUT)
    first = plan(observed)
    assert said(first) == ("Running", "Restarting")
    assert not first.create, "the attempt is recorded before its pod"
    status = status_after(first)
    assert [entry["number"] for entry in status["attempts"]] == [0, 1]
    assert "completionTime" not in status
    waits = dataclasses.replace(observed, status=status)
    second = plan(waits, now=NOW + 10)
    (created,) = second.create
    assert created["metadata"]["name"] == "digits-1-0"
    env = {e["name"]: e["value"] for e in created["spec"]["containers"][0]["env"]}
    assert env["TRAINYARD_RESUME"].endswith("/attempt-0/checkpoints")


def test_a_pod_that_vanished_after_it_ran_is_replaced() -> None:
    ran = a_job(pods=(a_pod(running=True),))
    status = status_after(plan(ran))
    gone = dataclasses.replace(ran, pods=(), status=status)
    assert said(plan(gone)) == ("Running", "Restarting")


def test_a_pod_being_deleted_is_waited_for() -> None:
    ran = a_job(pods=(a_pod(running=True),))
    leaving = dataclasses.replace(
        ran, status=status_after(plan(ran)), pods=(a_pod(running=True, deletion_requested_at=NOW),)
    )
    p = plan(leaving)
    assert said(p) == ("Running", "Restarting")
    assert not p.create


def test_a_checkpoint_of_an_earlier_attempt_is_resumed_from() -> None:
    status = {
        "attempts": [{"number": 0}, {"number": 1}, {"number": 2}],
        "lastCheckpoint": {"uri": "pvc://out/uid/attempt-0/checkpoints/epoch-000003", "time": "t"},
    }
    (created,) = plan(a_job(status=status, output=OUTPUT)).create
    env = {e["name"]: e["value"] for e in created["spec"]["containers"][0]["env"]}
    assert env["TRAINYARD_RESUME"].endswith("/attempt-0/checkpoints")


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


def test_unschedulable_never_times_out() -> None:
    pod = a_pod(scheduled=False, scheduling_reason="Unschedulable", scheduling_message="busy")
    observed = a_job(pods=(pod,), startupTimeoutSeconds=1)
    assert said(settled(observed)) == ("Pending", "Unschedulable")


def test_a_refused_pod_is_tried_again_after_a_while() -> None:
    observed = a_job(refusal=a_refusal(403, "exceeded quota"))
    assert not plan(observed).create
    assert len(plan(observed, now=NOW + 6).create) == 1


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
    log = LogView(report=report(metrics={"loss": Metric(value="0.1")}), ended=True)
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


pods = st.builds(
    a_pod,
    attempt=st.integers(0, 3),
    running=st.booleans(),
    exit_code=st.none() | st.sampled_from([0, 1, 2, 137]),
    deletion_requested_at=st.none() | st.just(NOW - 5),
    disrupted=st.booleans(),
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
)


@given(
    held=st.lists(pods, max_size=3, unique_by=lambda pod: pod.attempt).map(tuple),
    recorded=st.lists(st.integers(0, 3), unique=True),
    started=st.booleans(),
)
def test_whatever_is_observed_there_is_one_plan_that_keeps_the_rules(
    held: tuple[PodView, ...], recorded: list[int], started: bool
) -> None:
    entries = [{"number": n} | ({"startTime": "2027-01-15T08:00:00Z"} if started else {}) for n in recorded]
    observed = a_job(spec=a_spec(output=OUTPUT), pods=held, status={"attempts": entries} if entries else {})
    p = plan(observed)
    attempt = attempts.newest(observed.status, observed.pods)
    names = {pod.name for pod in held}
    for created in p.create:
        assert created["metadata"]["name"] == f"digits-{attempt}-0"
        assert created["metadata"]["name"] not in names
        assert p.status is None
    if p.status is not None:
        again = dataclasses.replace(observed, status=dict(p.status), memory=p.memory)
        twice = plan(again)
        assert twice.status is None or twice.status != p.status, "the same status is never written twice"
    assert plan(observed) == p, "planning is a pure function"


def test_memory_of_another_pending_reason_starts_anew() -> None:
    observed = a_job(datasets={"d": None}, memory=Memory(pending="Other", pending_since=NOW - 100))
    assert plan(observed).status is None


def test_a_null_in_the_template_is_as_good_as_nothing() -> None:
    assert len(plan(a_job(template={"metadata": None, "spec": None})).create) == 1


def test_an_edit_while_pending_is_acknowledged_at_once() -> None:
    observed = a_job(datasets={"d": None})
    first = settled(observed)
    edited = dataclasses.replace(observed, status=status_after(first), memory=first.memory, generation=2)
    assert status_after(plan(edited, now=NOW + 4))["observedGeneration"] == 2


def test_a_message_that_changes_all_the_time_is_written_twice_a_minute() -> None:
    status: dict[str, Any] = {"observedGeneration": -1}
    memory, writes = Memory(), 0
    for second in range(0, 100, 4):
        pod = a_pod(scheduled=False, scheduling_reason="Unschedulable", scheduling_message=f"{second} nodes")
        p = plan(a_job(pods=(pod,), status=status, memory=memory), now=NOW + second)
        memory = p.memory
        if p.status is not None:
            status, writes = dict(p.status), writes + 1
    assert writes <= 4


def test_attempts_that_are_lost_at_once_are_paced_and_their_pods_do_not_pile_up() -> None:
    status: dict[str, Any] = {"observedGeneration": -1}
    pods: list[PodView] = []
    deleted: set[str] = set()
    memory, created, now = Memory(), 0, NOW
    while now < NOW + 3600:
        p = plan(a_job(pods=tuple(pods), status=status, memory=memory), now=now)
        memory = p.memory
        deleted |= {pod.name for pod in p.delete}
        pods = [pod for pod in pods if pod.name not in deleted]
        if p.status is not None:
            status = dict(p.status)
        if p.create:
            pods.append(
                a_pod(attempt=created, phase="Failed", reason="UnexpectedAdmissionError", disrupted=True)
            )
            created += 1
        now += max(1.0, p.requeue_after or 1.0)
    assert created <= 17, "10 s, doubled, then every five minutes"
    assert len(pods) <= 5
    assert "completionTime" not in status


def test_an_attempt_that_ran_long_is_replaced_at_once() -> None:
    status = {
        "attempts": [
            {"number": 0, "startTime": "2027-01-15T07:00:00Z", "completionTime": "2027-01-15T08:00:00Z"},
            {"number": 1},
        ]
    }
    assert len(plan(a_job(status=status)).create) == 1


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


json_text = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=150), inner, max_size=70),
    max_leaves=30,
).map(json.dumps)
verdicts = st.fixed_dictionaries(
    {},
    optional={
        "status": st.text(max_size=200) | st.sampled_from(["SUCCESS", "FAILURE", "RUNNING"]),
        "complete": st.none() | st.booleans() | st.text(),
        "message": st.text(max_size=2000),
        "metrics": st.dictionaries(st.text(max_size=150), st.floats() | st.text(max_size=100), max_size=80),
        "keyMetric": st.dictionaries(st.sampled_from(["name", "value"]), st.text(max_size=150) | st.floats()),
    },
).map(json.dumps)


@given(message=st.text(max_size=300) | json_text | verdicts, code=st.sampled_from([0, 1, 2]))
def test_whatever_a_trainer_leaves_the_verdict_fits_the_schema(message: str, code: int) -> None:
    pod = a_pod(exit_code=code, message=message)
    status = status_after(plan(a_job(pods=(pod,), output=OUTPUT)))
    TrainingJobStatus.model_validate(status)
    assert status["completionTime"]
