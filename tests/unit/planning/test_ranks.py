"""Jobs of several pods: they begin, go on and end together."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.planning.builders import (
    CONTEXT,
    NOW,
    UID,
    a_job,
    a_pod,
    a_spec,
    env_of,
    plan,
    said,
    settled,
    status_after,
)
from trainyard.planning.observed import LogView, ObservedJob
from trainyard.planning.plan import Child
from trainyard.planning.podview import PodView
from trainyard.planning.progress import Report
from trainyard.planning.times import stamp

FOLLOWING = dataclasses.replace(CONTEXT, follow_logs=True)


def ranks(count: int, **fields: Any) -> tuple[PodView, ...]:
    return tuple(a_pod(rank=rank, **fields) for rank in range(count))


def of_nodes(*, nodes: int = 1, pods: tuple[PodView, ...] = (), **spec: Any) -> ObservedJob:
    """A job of so many pods."""
    return a_job(spec=a_spec(nodes=nodes, **spec), pods=pods)


def under_way(*pods: PodView, **spec: Any) -> ObservedJob:
    """A job of so many nodes as it was before whatever happened to its pods."""
    running = of_nodes(pods=ranks(len(pods), running=True), nodes=len(pods), **spec)
    return dataclasses.replace(running, status=status_after(plan(running)), pods=pods)


def test_all_pods_are_made_after_the_service_by_which_they_meet() -> None:
    created = plan(of_nodes(nodes=3)).create
    assert [raw["kind"] for raw in created] == ["Service", "Pod", "Pod", "Pod"]
    service, *pods = created
    assert [pod["metadata"]["name"] for pod in pods] == ["digits-0-0", "digits-0-1", "digits-0-2"]
    assert service["metadata"]["name"] == "digits-0"
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    for pod in pods:
        labels = pod["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == (pod["metadata"]["name"], "digits-0")


def test_a_service_is_named_as_services_may_be() -> None:
    job = dataclasses.replace(of_nodes(nodes=2), name="3d-unet")
    service, pod, _ = plan(job).create
    assert service["metadata"]["name"] == pod["spec"]["subdomain"] == "svc-3d-unet-0"


def test_torchrun_and_jax_are_told_where_the_first_rank_is() -> None:
    env = env_of(plan(of_nodes(nodes=4)).create[3])
    first = "digits-0-0.digits-0"
    assert {
        key: env[key] for key in ("PET_NNODES", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT")
    } == {
        "PET_NNODES": "4",
        "PET_NODE_RANK": "2",
        "PET_MASTER_ADDR": first,
        "PET_MASTER_PORT": "29500",
    }
    assert (env["JAX_COORDINATOR_ADDRESS"], env["JAX_NUM_PROCESSES"], env["JAX_PROCESS_ID"]) == (
        f"{first}:29500",
        "4",
        "2",
    )
    assert (env["WORLD_SIZE"], env["RANK"], env["TRAINYARD_RANK"]) == ("4", "2", "2")


def test_a_launcher_of_several_processes_counts_them_itself() -> None:
    env = env_of(plan(of_nodes(nodes=2, processesPerNode=8)).create[1])
    assert env["PET_NPROC_PER_NODE"] == "8"
    assert not env.keys() & {"WORLD_SIZE", "RANK"}


def test_a_job_of_one_pod_has_nothing_of_it() -> None:
    (pod,) = plan(of_nodes()).create
    env = env_of(pod)
    assert not {key for key in env if key.startswith(("PET_", "JAX_", "MASTER_", "WORLD_"))}
    assert "subdomain" not in pod["spec"]


def test_the_ranks_keep_apart_unless_the_user_says_how() -> None:
    pod = plan(of_nodes(nodes=2)).create[1]
    (term,) = pod["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["labelSelector"]["matchLabels"]["trainyard.dev/job-uid"] == UID
    theirs = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}
    assert plan(of_nodes(nodes=2, affinity=theirs)).create[1]["spec"]["affinity"] == theirs


def test_what_was_refused_half_way_is_completed() -> None:
    created = plan(of_nodes(nodes=3, pods=ranks(1))).create
    assert [raw["metadata"]["name"] for raw in created] == ["digits-0-1", "digits-0-2"]


def test_it_runs_when_the_last_rank_does() -> None:
    some = of_nodes(nodes=2, pods=(a_pod(rank=0, running=True), a_pod(rank=1)))
    waiting = status_after(settled(some))
    assert waiting["phase"] == "Pending"
    assert "1 of 2 pods have not started" in waiting["message"]
    assert "startTime" not in waiting
    late = dataclasses.replace(a_pod(rank=1, running=True))
    assert late.trainer is not None
    late = dataclasses.replace(late, trainer=dataclasses.replace(late.trainer, started_at=NOW - 5))
    status = status_after(plan(dataclasses.replace(some, pods=(a_pod(running=True), late))))
    assert (status["phase"], status["reason"]) == ("Running", "Training")
    assert status["startTime"] == stamp(NOW - 5)
    assert status["pods"]["running"] == 2


def test_it_is_done_when_all_ranks_are_and_not_before() -> None:
    half = under_way(a_pod(exit_code=0), a_pod(rank=1, running=True))
    assert said(plan(half)) == ("Running", "Training")
    assert said(plan(dataclasses.replace(half, pods=ranks(2, exit_code=0)))) == ("Done", "Completed")


def test_a_rank_that_fails_ends_the_attempt_of_all_and_the_next_begins_with_all() -> None:
    failed = under_way(a_pod(running=True), a_pod(rank=1, exit_code=1, message="NaN"), backoffLimit=3)
    p = plan(failed)
    assert said(p) == ("Pending", "BackingOff")
    status = status_after(p)
    assert (status["attempts"][0]["rank"], status["attempts"][0]["counted"]) == (1, True)
    waits = dataclasses.replace(failed, status=status)
    left = plan(waits, now=NOW + 11)
    assert [pod.name for pod in left.delete] == ["digits-0-0"], "nobody trains on alone"
    assert not left.create
    over = (a_pod(exit_code=143, deletion_requested_at=NOW), failed.pods[1])
    created = plan(dataclasses.replace(waits, pods=over), now=NOW + 12).create
    assert [raw["metadata"]["name"] for raw in created] == ["digits-1", "digits-1-0", "digits-1-1"]


def test_the_service_of_an_attempt_goes_with_it() -> None:
    failed = under_way(a_pod(running=True), a_pod(rank=1, exit_code=1), backoffLimit=3)
    p = plan(failed)
    assert p.remove == (Child(api_version="v1", kind="Service", name="digits-0"),)
    assert not plan(dataclasses.replace(failed, status=status_after(p)), now=NOW + 1).remove


@pytest.mark.parametrize(
    ("first", "second", "reason", "counted"),
    [
        pytest.param(
            a_pod(exit_code=1, finished_at=NOW - 3),
            a_pod(rank=1, exit_code=143, disrupted=True, disrupted_at=NOW - 9, finished_at=NOW - 4),
            "Restarting",
            False,
            id="one was taken away and the other failed for want of it",
        ),
        pytest.param(
            a_pod(exit_code=7, finished_at=NOW - 9),
            a_pod(rank=1, exit_code=1, finished_at=NOW - 3),
            "TrainerFailed",
            True,
            id="the first to fail is the cause",
        ),
        pytest.param(
            a_pod(exit_code=0, finished_at=NOW - 20),
            a_pod(rank=1, exit_code=1, finished_at=NOW - 3),
            "TrainerFailed",
            True,
            id="one was done already",
        ),
    ],
)
def test_the_end_that_came_first_decides(first: PodView, second: PodView, reason: str, counted: bool) -> None:
    status = status_after(plan(under_way(first, second, backoffLimit=3)))
    assert (status["attempts"][0]["reason"], status["attempts"][0]["counted"]) == (reason, counted)


def test_a_rank_that_is_gone_without_a_word_restarts_all() -> None:
    gone = under_way(a_pod(running=True), a_pod(rank=1, running=True))
    p = plan(dataclasses.replace(gone, pods=gone.pods[:1]))
    assert said(p) == ("Running", "Restarting")
    assert "digits-0-1" in status_after(p)["message"]


def test_a_rank_below_others_that_is_gone_while_they_start_restarts_all() -> None:
    starting = of_nodes(nodes=3, pods=(a_pod(rank=0, running=True), a_pod(rank=2)))
    assert said(plan(starting)) == ("Running", "Restarting")


def test_a_rank_that_somebody_deletes_takes_the_others_with_it_to_save() -> None:
    leaving = under_way(a_pod(running=True), a_pod(rank=1, running=True, deletion_requested_at=NOW))
    p = plan(leaving)
    assert said(p) == ("Running", "Restarting")
    assert [pod.name for pod in p.delete] == ["digits-0-0"]


def test_a_pause_ends_all_ranks_and_is_in_force_when_the_last_has_ended() -> None:
    job = under_way(a_pod(running=True), a_pod(rank=1, running=True))
    job = dataclasses.replace(job, spec=a_spec(nodes=2, suspend=True))
    first = plan(job)
    assert said(first) == ("Running", "Pausing")
    assert [pod.name for pod in first.delete] == ["digits-0-0", "digits-0-1"]
    half = (
        a_pod(exit_code=0, finished_at=NOW + 1, deletion_requested_at=NOW),
        a_pod(rank=1, running=True, deletion_requested_at=NOW),
    )
    waiting = dataclasses.replace(job, status=status_after(first), pods=half)
    between = plan(waiting, now=NOW + 2)
    assert between.status is None or said(between) == ("Running", "Pausing")
    crashed = a_pod(rank=1, exit_code=1, finished_at=NOW + 2, deletion_requested_at=NOW)
    both = dataclasses.replace(waiting, pods=(half[0], crashed))
    assert said(plan(both, now=NOW + 3)) == ("Pending", "Paused"), "it failed for want of the first"


def test_all_logs_are_followed_and_that_of_rank_0_leads() -> None:
    job = under_way(a_pod(running=True), a_pod(rank=1, running=True))
    reports = {
        "pod-0": LogView(report=Report(at=stamp(NOW), epoch=3, max_epoch=9), silent_since=NOW - 50),
        "pod-0-1": LogView(report=Report(at=stamp(NOW), epoch=8, max_epoch=9), silent_since=NOW - 5),
    }
    p = plan(dataclasses.replace(job, logs=reports), context=FOLLOWING)
    assert [pod.name for pod in p.follow] == ["digits-0-0", "digits-0-1"]
    assert status_after(p)["progress"]["epoch"] == 3


def test_a_word_of_any_rank_is_a_sign_of_life() -> None:
    job = under_way(a_pod(running=True), a_pod(rank=1, running=True), progressTimeoutSeconds=30)
    told = Report(at=stamp(NOW), epoch=3)
    heard = {"pod-0": LogView(report=told, silent_since=NOW - 50), "pod-0-1": LogView(silent_since=NOW - 5)}
    p = plan(dataclasses.replace(job, logs=heard), context=FOLLOWING)
    assert not p.delete
    assert p.requeue_after == pytest.approx(25)
    silent = {**heard, "pod-0-1": LogView(silent_since=NOW - 40)}
    assert len(plan(dataclasses.replace(job, logs=silent), context=FOLLOWING).delete) == 2


def test_ranks_write_beside_each_other() -> None:
    _, first, second = plan(of_nodes(nodes=2, output={"claimName": "out"})).create
    assert env_of(first)["TRAINYARD_OUTPUT_DIR"] == f"/trainyard/output/{UID}/attempt-0"
    assert env_of(second)["TRAINYARD_OUTPUT_DIR"] == f"/trainyard/output/{UID}/attempt-0/rank-1"
    assert (
        env_of(second)["TRAINYARD_CHECKPOINT_DIR"] == f"/trainyard/output/{UID}/attempt-0/rank-1/checkpoints"
    )
