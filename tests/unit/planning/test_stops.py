"""What the rows of docs/lifecycle.md do not tell of stops: times, grace, what is written when, and the sentences."""

from __future__ import annotations

import dataclasses

import pytest

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
    assert plan.grace_seconds == 77


def test_the_grace_is_that_of_the_spec_when_it_is_deleted() -> None:
    plan = training(gracePeriodSeconds=30).edit(suspend=True, gracePeriodSeconds=600).look()
    assert plan.grace_seconds == 600


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
