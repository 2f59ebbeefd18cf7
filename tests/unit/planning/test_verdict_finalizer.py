"""The finalizer on pods: it stays until status holds the verdict, and no longer."""

from __future__ import annotations

import dataclasses

from tests.unit.planning.builders import NOW, a_job, a_pod, plan, status_after


def test_a_pod_is_released_by_the_plan_that_writes_its_verdict() -> None:
    pod = a_pod(exit_code=0, finalized=True)
    p = plan(a_job(pods=(pod,)))
    assert p.status is not None
    assert p.release == (pod,)


def test_a_running_pod_is_kept() -> None:
    assert plan(a_job(pods=(a_pod(running=True, finalized=True),))).release == ()


def test_a_pod_whose_verdict_was_written_before_a_crash_is_released() -> None:
    pod = a_pod(exit_code=0, finalized=True)
    observed = a_job(pods=(pod,))
    again = dataclasses.replace(observed, status=status_after(plan(observed)))
    p = plan(again)
    assert p.status is None
    assert p.release == (pod,)


def test_the_pod_of_a_failed_attempt_is_released_though_the_job_goes_on() -> None:
    pod = a_pod(exit_code=1, finalized=True)
    p = plan(a_job(pods=(pod,), backoffLimit=3))
    assert status_after(p)["reason"] == "BackingOff"
    assert p.release == (pod,)


def test_a_pod_deleted_while_nobody_looked_keeps_its_verdict() -> None:
    pod = a_pod(exit_code=0, finalized=True, finished_at=NOW - 100, deletion_requested_at=NOW - 50)
    p = plan(a_job(pods=(pod,)))
    assert status_after(p)["phase"] == "Done"
    assert p.release == (pod,)


def test_a_deleted_pod_that_no_node_has_is_released_as_nobody_would_end_it() -> None:
    pod = a_pod(scheduled=False, finalized=True, deletion_requested_at=NOW - 1)
    p = plan(a_job(pods=(pod,)))
    assert p.status is None
    assert p.release == (pod,)


def test_a_deleted_pod_that_a_node_has_is_kept_until_its_end() -> None:
    pod = a_pod(running=True, finalized=True, deletion_requested_at=NOW - 1)
    assert plan(a_job(pods=(pod,))).release == ()


def test_pods_of_a_job_that_is_being_deleted_and_of_former_jobs_are_released() -> None:
    mine, former = a_pod(running=True, finalized=True), a_pod(finalized=True, uid="former")
    assert plan(a_job(pods=(mine,), deleting=True)).release == (mine,)
    assert plan(a_job(orphans=(former,))).release == (former,)


def test_pods_of_attempts_that_status_no_longer_lists_are_released() -> None:
    old = a_pod(attempt=1, exit_code=137, finalized=True)
    status = {"attempts": [{"number": n, "completionTime": "2027-01-15T08:00:00Z"} for n in range(5, 37)]}
    assert old in plan(a_job(status=status, pods=(old,))).release
