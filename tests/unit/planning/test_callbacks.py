"""Which events are told, when deliveries are due, and what their answers change."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.builders import CONTEXT, NOW, UID, a_job, a_pod, a_spec, plan, status_after
from trainyard.planning.callbacks import delivery_id
from trainyard.planning.deliveries import RetryRules
from trainyard.planning.observed import Answer, ObservedJob
from trainyard.planning.plan import Delivery, Plan
from trainyard.planning.times import seconds, stamp

HOOK = {"name": "hook", "url": "https://hook.example.com/", "events": ["Completed", "Failed"]}
FIRST = delivery_id(UID, "hook", "Completed", 1)


def an_entry(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": delivery_id(UID, "hook", "Completed", number),
        "name": "hook",
        "event": "Completed",
        "sequence": number,
        "time": stamp(NOW),
        "state": "Pending",
        "attempts": 0,
        **fields,
    }


def an_answer(at: float = NOW + 1, **fields: Any) -> Answer:
    return Answer(sent_at=at - 0.5, at=at, **{"number": 1, "message": "Answered 500.", **fields})


def done(
    *entries: Mapping[str, Any], answers: Mapping[str, Answer] | None = None, **fields: Any
) -> ObservedJob:
    """A job that is Done and whose status has these entries."""
    ended = status_after(plan(a_job(pods=(a_pod(exit_code=0),))))
    job = a_job(status={**ended, "callbacks": list(entries)}, **{"callbacks": [HOOK], **fields})
    return dataclasses.replace(job, answers=answers or {})


def entries(p: Plan) -> list[dict[str, Any]]:
    return list(status_after(p)["callbacks"])


def test_the_intent_is_in_the_status_that_ends_the_job_and_is_not_sent_yet() -> None:
    p = plan(a_job(pods=(a_pod(exit_code=0),), callbacks=[HOOK]))
    assert status_after(p)["phase"] == "Done"
    assert entries(p) == [an_entry(attempt=0)]
    assert p.deliver == ()
    assert p.requeue_after == 0


def test_what_is_in_status_is_sent() -> None:
    p = plan(done(an_entry()))
    assert p.deliver == (Delivery(callback="hook", url=str(HOOK["url"]), ids=(FIRST,)),)
    assert p.status is None
    assert p.requeue_after is None, "its answer will ring"


def test_a_failed_job_is_told_failed() -> None:
    p = plan(a_job(pods=(a_pod(exit_code=2),), callbacks=[HOOK]))
    assert [(e["event"], e["sequence"]) for e in entries(p)] == [("Failed", 1)]


def test_a_job_that_was_never_valid_is_told_failed() -> None:
    p = plan(a_job(type="unheard_of", callbacks=[HOOK]))
    assert [e["event"] for e in entries(p)] == ["Failed"]


def test_a_failed_attempt_that_is_tried_again_tells_nothing() -> None:
    p = plan(a_job(pods=(a_pod(exit_code=1),), callbacks=[HOOK], backoffLimit=3))
    assert "callbacks" not in status_after(p)


def test_an_event_that_nobody_asked_for_is_not_told() -> None:
    p = plan(a_job(pods=(a_pod(exit_code=0),), callbacks=[{**HOOK, "events": ["Failed"]}]))
    assert "callbacks" not in status_after(p)


def test_each_callback_has_an_id_of_its_own_for_the_same_event() -> None:
    both = [HOOK, {**HOOK, "name": "other"}]
    told = entries(plan(a_job(pods=(a_pod(exit_code=0),), callbacks=both)))
    assert [e["sequence"] for e in told] == [1, 1]
    assert len({e["id"] for e in told}) == 2


def test_a_second_end_has_the_next_number() -> None:
    earlier = an_entry(state="Delivered", event="Failed")
    job = a_job(pods=(a_pod(exit_code=0),), status={"callbacks": [earlier]}, callbacks=[HOOK])
    assert [(e["event"], e["sequence"]) for e in entries(plan(job))] == [("Failed", 1), ("Completed", 2)]


def test_a_job_that_is_being_deleted_drops_what_is_pending() -> None:
    job = dataclasses.replace(done(an_entry(), answers={FIRST: an_answer()}), deleting=True)
    assert plan(job).deliver == ()
    assert plan(job).status is None


def test_a_job_without_callbacks_is_left_alone() -> None:
    assert plan(done(callbacks=[])) == plan(dataclasses.replace(done(), spec=a_spec()))


def test_success_is_written_and_not_sent_again() -> None:
    answer = an_answer(delivered=True, message="Answered 204 No Content.")
    p = plan(done(an_entry(), answers={FIRST: answer}), now=NOW + 2)
    (entry,) = entries(p)
    assert entry == an_entry(
        state="Delivered", attempts=1, lastAttemptTime=stamp(NOW), message="Answered 204 No Content."
    )
    assert p.deliver == ()
    assert p.requeue_after is None


def test_several_answers_are_one_write() -> None:
    two = (an_entry(), an_entry(2, event="Failed"))
    answers = {entry["id"]: an_answer(delivered=True) for entry in two}
    assert [e["state"] for e in entries(plan(done(*two, answers=answers)))] == ["Delivered"] * 2


def test_a_failure_is_tried_again_later_and_says_when() -> None:
    p = plan(done(an_entry(), answers={FIRST: an_answer()}), now=NOW + 1)
    (entry,) = entries(p)
    assert (entry["state"], entry["attempts"], entry["message"]) == ("Pending", 1, "Answered 500.")
    due = seconds(entry["nextAttemptTime"])
    assert due is not None
    assert NOW + 1 + 3.75 <= due <= NOW + 1 + 6.25 + 1
    assert p.requeue_after == pytest.approx(due - NOW - 1)
    waiting = done(entry)
    assert plan(waiting, now=due - 0.5).deliver == ()
    assert plan(waiting, now=due - 0.5).requeue_after == pytest.approx(0.5)
    assert plan(waiting, now=due - 0.5).status is None, "waiting writes nothing"
    assert [d.ids for d in plan(waiting, now=due).deliver] == [(FIRST,)]


def test_an_answer_that_is_in_status_already_counts_once() -> None:
    # The status was written, and a request that should have followed it failed: the answer is there again.
    answers = {FIRST: an_answer()}
    (entry,) = entries(plan(done(an_entry(), answers=answers), now=NOW + 1))
    assert plan(done(entry, answers=answers), now=NOW + 2).status is None
    late = plan(done(entry, answers=answers), now=NOW + 60)
    assert late.status is None
    assert late.deliver == ()
    assert late.requeue_after == 0, "to be sent by the next look, when the answer is settled"


def test_retry_after_is_waited_for() -> None:
    p = plan(done(an_entry(), answers={FIRST: an_answer(retry_after=900.0)}))
    assert entries(p)[0]["nextAttemptTime"] == stamp(NOW + 901)


def test_retry_after_beyond_the_end_leaves_one_last_try() -> None:
    p = plan(done(an_entry(), answers={FIRST: an_answer(retry_after=1e9)}))
    assert entries(p)[0]["nextAttemptTime"] == stamp(NOW + 86400)


def test_410_gives_it_up_and_says_so() -> None:
    p = plan(done(an_entry(), answers={FIRST: an_answer(gone=True, message="Answered 410 Gone.")}))
    assert entries(p)[0]["state"] == "Failed"
    (news,) = p.announce
    assert (news.type, news.reason) == ("Warning", "CallbackFailed")
    assert news.message == "Callback hook was not told Completed and is given up: Answered 410 Gone."


def test_after_24_hours_it_is_given_up() -> None:
    late = an_entry(attempts=30)
    p = plan(done(late, answers={FIRST: an_answer(at=NOW + 86400, number=31)}), now=NOW + 86400)
    assert entries(p)[0]["state"] == "Failed"
    assert "nextAttemptTime" not in entries(p)[0]
    assert [a.reason for a in p.announce] == ["CallbackFailed"]


def test_a_callback_that_was_taken_out_is_no_longer_sent() -> None:
    p = plan(done(an_entry(), callbacks=[{**HOOK, "name": "another"}]))
    assert entries(p)[0]["state"] == "Failed"
    assert "taken out" in entries(p)[0]["message"]
    assert p.deliver == ()
    assert p.announce == ()


def test_while_the_spec_cannot_be_read_nothing_is_sent_and_nothing_lost() -> None:
    job = dataclasses.replace(done(an_entry()), spec=None, spec_error="bad")
    assert plan(job).deliver == ()
    assert plan(job).status is None


@settings(max_examples=30, deadline=None)
@given(
    answers=st.lists(
        st.tuples(
            st.floats(min_value=0.1, max_value=15),
            st.one_of(st.none(), st.floats(min_value=0, max_value=1e6)),
        ),
        min_size=200,
        max_size=200,
    ),
    first=st.sampled_from([0.1, 1, 5, 60]),
)
def test_a_receiver_that_never_answers_well_is_given_up_once_and_tried_neither_too_often_nor_too_late(
    answers: list[tuple[float, float | None]], first: float
) -> None:
    rules = RetryRules(first=first, longest=3600, give_up=86400)
    context = dataclasses.replace(CONTEXT, callbacks=rules)
    entry, now, tries, given_up = an_entry(), NOW, 0, 0
    for took, retry_after in answers:
        sent = plan(done(entry), now=now, context=context)
        if not sent.deliver:
            break
        tries += 1
        answer = an_answer(at=now + took, retry_after=retry_after, number=tries)
        p = plan(done(entry, answers={FIRST: answer}), now=now + took, context=context)
        given_up += len(p.announce)
        (entry,) = entries(p)
        assert entry["attempts"] == tries
        if entry["state"] == "Failed":
            now += took
            continue
        due = seconds(entry["nextAttemptTime"])
        assert due is not None
        assert due > now + took, "never at once"
        assert due <= NOW + 86401
        assert due >= min(now + took + (retry_after or 0), NOW + 86400)
        now = due
    assert entry["state"] == "Failed"
    assert given_up == 1
    assert tries <= 60
