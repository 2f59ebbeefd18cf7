"""What the rows of docs/lifecycle.md do not tell of stops: times, grace, what is written when, and the sentences."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.planning.builders import a_pod
from tests.unit.planning.story import Story
from trainyard.planning.observed import LogView, Memory


def training(**spec: object) -> Story:
    story = Story(**{"output": {"claimName": "models"}, **spec}).settle().pod_runs().settle()
    return story.passes(10).trainer_says(epoch=4, checkpoint=True).settle()


def test_a_stop_is_in_status_in_the_plan_that_deletes_the_pod() -> None:
    story = training(gracePeriodSeconds=77).edit(suspend=True)
    plan = story.look()
    assert plan.status is not None
    assert plan.status["stop"]["cause"] == "Suspend"
    assert [pod.name for pod in plan.delete] == ["digits-0-0"]
    assert plan.grace_seconds == 77 + 300, "and uploadSeconds for the agent"


def test_the_grace_is_that_of_the_spec_when_it_is_deleted() -> None:
    plan = training(gracePeriodSeconds=30).edit(suspend=True, gracePeriodSeconds=600, uploadSeconds=60).look()
    assert plan.grace_seconds == 660


def test_the_log_of_a_pod_that_ends_is_read_to_its_end() -> None:
    assert [pod.name for pod in training().edit(suspend=True).look().follow] == ["digits-0-0"]


def test_a_paused_job_writes_nothing_more() -> None:
    story = training().edit(suspend=True).settle().passes(3).pod_ends(143).settle()
    written = len(story.phases)
    for _ in range(5):
        story.passes(600).look()
    assert len(story.phases) == written


def test_an_edit_of_a_paused_job_is_acknowledged_once() -> None:
    story = training().edit(suspend=True).settle().passes(3).pod_ends(143).settle()
    story.edit(description="another").settle()
    assert story.status["observedGeneration"] == story.job.generation
    assert story.said == "Pending/Paused"
    assert not story.settle().deleted[1:]


def test_the_deadline_counts_all_attempts_and_no_pause() -> None:
    story = training(activeDeadlineSeconds=100, progressTimeoutSeconds=0)
    story.passes(50).edit(suspend=True).settle().pod_ends(143).settle()
    ran = story.status["runSeconds"]
    assert ran == 60
    story.passes(5000).edit(suspend=False).settle().pod_runs().settle()
    left = story.look().requeue_after
    assert left is not None
    assert left == pytest.approx(40, abs=1)
    assert story.passes(30).settle().said == "Running/Training"
    assert story.passes(11).settle().said == "Running/Stopping"


def test_a_trainer_is_silent_only_while_somebody_listens_and_after_its_first_line() -> None:
    story = training(progressTimeoutSeconds=50)
    uid, heard = story.pod.uid, story.job.logs[story.pod.uid]
    for unheard in (
        {},
        {uid: dataclasses.replace(heard, silent_since=None)},
        {uid: LogView(silent_since=story.now)},
    ):
        deaf = Story(progressTimeoutSeconds=50).settle().pod_runs().settle()
        assert deaf.pod.uid == uid
        deaf.job = dataclasses.replace(deaf.job, logs=unheard)
        assert deaf.passes(1000).settle().said == "Running/Training"
    assert story.passes(40).settle().said == "Running/Training"
    assert story.passes(11).settle().said == "Running/Stopping"


def test_silence_for_ever_is_allowed_by_zero() -> None:
    assert training(progressTimeoutSeconds=0).passes(10**6).settle().said == "Running/Training"


def test_pods_of_an_ended_job_are_looked_at_when_their_time_has_come() -> None:
    story = training(ttlSecondsAfterFinished=300).pod_ends(0).settle()
    after = story.look().requeue_after
    assert after is not None
    assert after == pytest.approx(300, abs=5)
    assert not story.deleted
    story.passes(301).settle()
    assert story.deleted == ["digits-0-0"]
    assert not story.job.pods


def test_a_job_without_time_to_live_keeps_its_pods() -> None:
    story = training().pod_ends(0).settle().passes(10**7).settle()
    assert not story.deleted


def test_a_retry_is_done_once_for_each_value_also_by_an_operator_that_remembers_nothing() -> None:
    story = training(backoffLimit=0).pod_ends(1).settle().retry("a").settle()
    assert story.created == ["digits-0-0", "digits-1-0"]
    story.pod_runs().settle().pod_ends(1).settle()
    story.job = dataclasses.replace(story.job, memory=Memory(), logs={})
    assert story.settle().said == "Error/TrainerFailed"
    assert len(story.created) == 2
    assert len(story.retry("b").settle().created) == 3


def test_a_retry_waits_for_cancel_to_be_taken_back() -> None:
    story = training(backoffLimit=0).pod_ends(1).settle().edit(cancel=True).settle().retry().settle()
    assert story.said == "Error/TrainerFailed"
    assert story.edit(cancel=False).settle().said == "Pending/Accepted"


def test_a_job_that_is_suspended_before_it_could_be_run_is_told_what_is_wrong_with_it() -> None:
    story = Story(type=None, runtime="no-such-runtime", suspend=True)
    assert story.settle().said == "Error/InvalidSpec"


PAUSED = [
    ("a checkpoint on the way out", True, True, "Paused with a checkpoint of epoch 6, saved on the way out."),
    ("an older one only", True, False, "the last one is of epoch 4; what came after it is done again."),
    ("none at all", False, False, "without a checkpoint: the trainer has reported none."),
]


@pytest.mark.parametrize(
    ("before", "after", "told"), [row[1:] for row in PAUSED], ids=[row[0] for row in PAUSED]
)
def test_it_tells_what_is_saved(before: bool, after: bool, told: str) -> None:
    story = Story(output={"claimName": "models"}).settle().pod_runs().settle()
    story.passes(10).trainer_says(epoch=4, checkpoint=before).settle()
    story.passes(10).trainer_says(epoch=5).settle().edit(suspend=True).settle().passes(2)
    if after:
        story.trainer_says(epoch=6, checkpoint=True)
    story.pod_ends(143).settle()
    assert told in story.status["message"]
    assert story.status["stop"]["checkpoint"] is after


def test_a_checkpoint_that_was_told_just_before_the_pause_is_not_called_one_of_the_way_out() -> None:
    story = Story(output={"claimName": "models"}).settle().pod_runs().settle()
    story.trainer_says(epoch=4, checkpoint=True).edit(suspend=True).settle()
    assert story.status["lastCheckpoint"]["epoch"] == 4
    story.pod_ends(137).settle()
    assert story.status["stop"]["checkpoint"] is False
    assert "no later epoch was done" in story.status["message"]


def test_a_trainer_that_fails_by_itself_while_it_is_stopped_for_its_silence_has_failed_once() -> None:
    story = training(progressTimeoutSeconds=50, backoffLimit=1).passes(51).settle()
    assert story.said == "Running/Stopping"
    story.now -= 20  # it had ended before, and nobody had heard of it
    story.pod_ends(1).passes(20).settle()
    assert story.status["failures"] == 1
    assert story.created == ["digits-0-0", "digits-1-0"], "its delay has passed meanwhile"
    assert [a.get("counted") for a in story.status["attempts"]] == [True, None]


def test_a_trainer_that_fails_by_itself_while_its_deadline_passes_ends_with_the_deadline() -> None:
    story = training(activeDeadlineSeconds=50, backoffLimit=3).passes(41).settle()
    assert story.said == "Running/Stopping"
    story.now -= 20
    story.pod_ends(1).passes(20).settle()
    assert story.said == "Error/DeadlineExceeded"
    assert story.status["attempts"][0]["reason"] == "TrainerFailed"


def test_a_checkpoint_that_was_read_late_but_is_older_than_the_pause_is_not_of_the_way_out() -> None:
    story = Story(output={"claimName": "models"}).settle().pod_runs().settle()
    story.passes(600).edit(suspend=True).settle().passes(30)
    story.now -= 200
    story.trainer_says(epoch=4, checkpoint=True)
    story.now += 200
    story.pod_ends(137).settle()
    assert story.status["stop"]["checkpoint"] is False
    assert story.status["lastCheckpoint"]["epoch"] == 4


def test_a_deadline_that_was_used_up_before_a_pause_makes_no_pod_after_it() -> None:
    story = (
        training(activeDeadlineSeconds=1000).passes(100).edit(suspend=True).settle().pod_ends(143).settle()
    )
    story.edit(activeDeadlineSeconds=60, suspend=False).settle()
    assert story.said == "Error/DeadlineExceeded"
    assert story.created == ["digits-0-0"]


def test_a_pod_whose_other_containers_go_on_is_not_called_paused() -> None:
    story = training().edit(suspend=True).settle().passes(3).pod_ends(143)
    story._pod(phase="Running").settle()
    assert story.said == "Running/Pausing"
    assert story._pod(phase="Failed").settle().said == "Pending/Paused"


def test_an_edit_of_an_ended_job_is_seen_in_its_conditions_too() -> None:
    story = training().pod_ends(0).settle().edit(description="another").settle()
    assert {c["observedGeneration"] for c in story.status["conditions"]} == {story.job.generation}


def unreadable(story: Story, *wishes: str) -> Story:
    story.job = dataclasses.replace(
        story.job,
        spec=None,
        spec_error="spec.nodes: Input should be less than 5",
        wishes=frozenset(wishes),
        generation=story.job.generation + 1,
    )
    return story


def test_a_running_job_whose_spec_cannot_be_read_any_longer_says_so_and_runs_on() -> None:
    story = unreadable(training()).settle()
    assert story.said == "Running/Training"
    assert "cannot be read (spec.nodes" in story.status["message"]
    assert story.condition("Ready") == "False"


@pytest.mark.parametrize(
    ("wish", "end"), [("suspend", "Pending/Paused"), ("cancel", "Canceled/CanceledByUser")]
)
def test_a_job_whose_spec_cannot_be_read_is_stopped_all_the_same(wish: str, end: str) -> None:
    story = unreadable(training(), wish).settle()
    assert story.deleted == ["digits-0-0"]
    assert story.passes(3).pod_ends(143).settle().said == end


def test_a_pod_that_appears_while_the_job_is_paused_goes_again() -> None:
    story = training().edit(suspend=True).settle().passes(3).pod_ends(143).settle()
    stray = a_pod(attempt=1, scheduled=False, finalized=True, uid="stray")
    story.job = dataclasses.replace(story.job, pods=(*story.job.pods, stray))
    story.settle()
    assert story.deleted[-1] == "digits-1-0"
    assert "digits-1-0" not in {pod.name for pod in story.job.pods}
    assert story.said == "Pending/Paused"


def test_a_pod_of_an_older_attempt_does_not_run_beside_the_newest() -> None:
    story = training().passes(100).pod_is_evicted().settle()
    story.pod_runs().settle()
    old = dataclasses.replace(story.pod, name="digits-0-0", uid="late", attempt=0)
    story.job = dataclasses.replace(story.job, pods=(old, *story.job.pods))
    story.look()
    assert story.deleted == ["digits-0-0"]


def test_nothing_is_left_to_do_of_a_paused_job() -> None:
    story = (
        training()
        .trainer_says(epoch=5)
        .settle()
        .edit(suspend=True)
        .settle()
        .passes(3)
        .pod_vanishes()
        .settle()
    )
    assert story.status.get("pods", {}).get("running", 0) == 0
    assert "eta" not in story.status["progress"]


def test_no_pod_is_deleted_or_released_twice_in_one_plan() -> None:
    story = training().edit(suspend=True).settle().passes(3).pod_ends(143).settle()
    strays = tuple(
        dataclasses.replace(a_pod(attempt=number, finalized=True, uid=f"stray-{number}"), **fields)
        for number, fields in ((0, {"phase": "Failed", "deletion_requested_at": story.now}), (1, {}))
    )
    story.job = dataclasses.replace(story.job, pods=strays)
    plan = story.look()
    assert len(plan.release) == len(set(plan.release)) == 1
    assert len(plan.delete) == len(set(plan.delete)) == 1
