"""Ends that concern several pods at once: what is counted, what is freed and when, what is removed, and how often it is
told."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.planning.builders import (
    NOW,
    a_fetch,
    a_job,
    a_pod,
    a_refusal,
    a_spec,
    an_agent,
    plan,
    said,
    settled,
    status_after,
)
from tests.unit.planning.test_ranks import of_nodes, ranks, under_way
from trainyard.planning import lookups, nodeloss
from trainyard.planning.lookedup import NodeView
from trainyard.planning.plan import Child
from trainyard.planning.podview import ContainerView

BUCKET = {"uri": "s3://models/team"}
SERVICE = Child(api_version="v1", kind="Service", name="digits-0")


def test_an_upload_that_a_disruption_has_cut_off_does_not_count() -> None:
    removed = a_pod(
        exit_code=0,
        finished_at=NOW - 30,
        sidecars=an_agent(),
        phase="Failed",
        disrupted=True,
        disrupted_at=NOW - 5,
        disruption=nodeloss.BY_PODGC,
        deletion_requested_at=NOW - 5,
    )
    status = status_after(plan(a_job(pods=(removed,), output=BUCKET)))
    assert (status["attempts"][0]["reason"], status["attempts"][0]["counted"]) == ("NodeLost", False)
    assert "not safe" in status["message"]


def test_an_upload_that_a_pause_has_cut_off_is_a_pause() -> None:
    job = a_job(pods=(a_pod(running=True),), output=BUCKET, backoffLimit=2)
    begun = dataclasses.replace(job, status=status_after(plan(job)))
    paused = dataclasses.replace(begun, spec=a_spec(output=BUCKET, backoffLimit=2, suspend=True))
    stopping = dataclasses.replace(paused, status=status_after(plan(paused)))
    cut = a_pod(
        exit_code=0,
        finished_at=NOW - 30,
        sidecars=an_agent(uploaded=False, error="The bucket is slow."),
        deletion_requested_at=NOW,
    )
    assert said(plan(dataclasses.replace(stopping, pods=(cut,)), now=NOW + 9)) == ("Pending", "Paused")


def test_a_result_that_one_rank_has_found_counts_before_what_failed_beside_it() -> None:
    job = a_job(
        spec=a_spec(nodes=2, output=BUCKET),
        pods=(
            a_pod(phase="Failed", init=a_fetch(1, error="The bucket does not answer.")),
            a_pod(rank=1, phase="Failed", init=a_fetch(10, complete=True, result={"record": {}})),
        ),
    )
    assert said(plan(job)) == ("Done", "Completed")


def test_pods_that_hold_their_nodes_do_not_wait_for_ever_for_one_without() -> None:
    lacking = a_pod(
        rank=1,
        scheduled=False,
        scheduling_reason="Unschedulable",
        scheduling_message="0/3 nodes are available",
    )
    job = of_nodes(nodes=2, pods=(a_pod(running=True), lacking), startupTimeoutSeconds=600)
    assert said(settled(job)) == ("Pending", "Unschedulable")
    late = plan(job, now=NOW + 600)
    assert said(late) == ("Error", "StartupTimeout")
    nobody = dataclasses.replace(lacking, rank=0, name="digits-0-0", uid="pod-0")
    waiting = of_nodes(nodes=2, pods=(nobody, lacking), startupTimeoutSeconds=600)
    assert plan(waiting, now=NOW + 9000).status is None, "it holds nothing"
    fetching = a_pod(rank=1, init=(ContainerView(name="trainyard-fetch", state="running", started_at=NOW),))
    at_work = dataclasses.replace(job, pods=(a_pod(running=True), fetching))
    assert plan(at_work, now=NOW + 9000).status is None, "it is at work"


def test_pods_that_were_made_before_one_was_refused_are_freed_at_the_timeout() -> None:
    refused = dataclasses.replace(
        of_nodes(nodes=2, pods=ranks(1, running=True), startupTimeoutSeconds=600),
        refusal=a_refusal(403, 'pods "digits-0-1" is forbidden: exceeded quota: q', age=601),
    )
    over = plan(refused)
    assert said(over) == ("Error", "StartupTimeout")
    assert over.requeue_after == 0.0, "nobody rings for the pod that is there"
    after = plan(dataclasses.replace(refused, status=status_after(over)))
    assert [pod.name for pod in after.delete] == ["digits-0-0"]


def test_the_others_of_a_rank_that_failed_for_good_are_freed_at_once() -> None:
    failed = under_way(a_pod(running=True), a_pod(rank=1, exit_code=1))
    p = plan(failed)
    assert said(p) == ("Error", "TrainerFailed")
    assert p.requeue_after == 0.0


def test_a_job_that_is_cancelled_before_it_began_leaves_no_service() -> None:
    cancelled = of_nodes(nodes=2, cancel=True)
    assert plan(cancelled).remove == (SERVICE,)
    ended = dataclasses.replace(cancelled, status=status_after(plan(cancelled)))
    assert plan(ended).remove == ()


def test_a_job_that_never_started_leaves_no_service() -> None:
    late = a_pod(waiting=("ImagePullBackOff", "not found"))
    job = of_nodes(nodes=2, pods=(late, a_pod(rank=1)), startupTimeoutSeconds=60)
    assert plan(job, now=NOW + 60).remove == (SERVICE,)


def test_a_stop_of_many_pods_is_told_in_the_same_words_until_the_last_has_ended() -> None:
    job = under_way(*ranks(3, running=True))
    job = dataclasses.replace(job, spec=a_spec(nodes=3, suspend=True))
    first = plan(job)
    going = [a_pod(rank=rank, running=True, deletion_requested_at=NOW) for rank in range(3)]
    going[0] = a_pod(exit_code=143, deletion_requested_at=NOW)
    second = plan(dataclasses.replace(job, status=status_after(first), pods=tuple(going)), now=NOW + 1)
    assert second.status is None


def test_what_takes_one_rank_away_stays_the_reason_while_the_others_follow() -> None:
    evicted = a_pod(
        rank=1,
        running=True,
        deletion_requested_at=NOW,
        disrupted=True,
        disrupted_at=NOW,
        disruption="EvictionByEvictionAPI",
    )
    leaving = under_way(a_pod(running=True), evicted)
    first = plan(leaving)
    assert said(first) == ("Running", "Evicted")
    following = a_pod(running=True, deletion_requested_at=NOW)
    second = plan(dataclasses.replace(leaving, status=status_after(first), pods=(following, evicted)))
    assert second.status is None


def test_ranks_that_were_made_before_the_number_was_changed_run_as_they_were_made() -> None:
    four = tuple(dataclasses.replace(pod, spec_hash="of-four") for pod in ranks(4, running=True))
    p = plan(of_nodes(nodes=2, pods=four))
    assert said(p) == ("Running", "Training")
    assert "in 4 pods" in status_after(p)["message"]


@pytest.mark.parametrize("state", ["silent", "hidden"])
def test_a_lost_node_is_given_up_as_soon_with_the_long_grace_of_an_upload(state: str) -> None:
    pod = a_pod(
        running=True,
        deletion_requested_at=NOW,
        deletion_due_at=NOW + 330,
        disrupted=True,
        disruption=nodeloss.BY_TAINT,
        unheard_since=NOW - 60,
    )
    job = a_job(
        pods=(pod,), output=BUCKET, nodes={"node-1": NodeView(name="node-1", state=state, since=NOW - 60)}
    )
    assert nodeloss.given_up(job, pod, now=NOW + 29) is None
    assert nodeloss.given_up(job, pod, now=NOW + 91) is not None


def test_a_node_that_is_lost_during_the_upload_takes_no_time_from_the_deadline() -> None:
    job = a_job(pods=(a_pod(running=True),), output=BUCKET, activeDeadlineSeconds=100)
    pod = a_pod(
        exit_code=0,
        finished_at=NOW - 1,
        sidecars=an_agent(),
        phase="Running",
        deletion_requested_at=NOW + 60,
        deletion_due_at=NOW + 390,
    )
    silent = {"node-1": NodeView(name="node-1", state="silent", since=NOW)}
    lost = dataclasses.replace(job, status=status_after(plan(job)), pods=(pod,), nodes=silent)
    status = status_after(plan(lost, now=NOW + 91))
    assert status["attempts"][0]["reason"] == "NodeLost"
    assert status["runSeconds"] == 59, "its result may be there, and only has to be found"


def test_a_pod_that_is_deleted_while_it_uploads_is_looked_at_again() -> None:
    """Nobody rings when its node is lost, or it was deleted by force."""
    pod = a_pod(exit_code=0, sidecars=an_agent(), phase="Running", deletion_requested_at=NOW)
    p = plan(a_job(pods=(pod,), output=BUCKET), now=NOW + 5)
    assert p.requeue_after is not None
    assert p.requeue_after <= 15.0
    both = under_way(a_pod(running=True), dataclasses.replace(pod, rank=1, uid="pod-0-1"))
    assert plan(both).requeue_after == pytest.approx(15.0)


def test_of_many_pods_that_are_stuck_the_warnings_of_one_are_read() -> None:
    stuck = ranks(8, waiting=("ContainerCreating", ""))
    wanted = lookups.wanted(of_nodes(nodes=8, pods=stuck), now=NOW)
    assert [pod.rank for pod in wanted.events_of] == [0]
