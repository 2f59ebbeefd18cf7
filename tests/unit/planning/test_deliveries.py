"""In which order deliveries go out, what of progress is told and how often, and what there is no room for."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.builders import CONTEXT, NOW, UID, a_job
from tests.unit.planning.story import Story
from trainyard.planning.callbacks import delivery_id, with_callbacks
from trainyard.planning.observed import Answer, ObservedJob
from trainyard.planning.plan import Plan
from trainyard.planning.times import seconds, stamp

Json = dict[str, Any]

EVENTS = ["Started", "Progress", "Paused", "Resumed", "Completed", "Failed", "Canceled"]
HOOK = {"name": "hook", "url": "https://hook.example.com/", "events": EVENTS}
OTHER = {**HOOK, "name": "other"}
RUNNING: Json = {"startTime": "t0", "attempts": [{"number": 0}]}
PAUSED: Json = {**RUNNING, "stop": {"cause": "Suspend", "time": "t1", "endTime": "t2"}}
DONE: Json = {
    **RUNNING,
    "completionTime": "t3",
    "conditions": [{"type": "Succeeded", "status": "True"}, {"type": "Finished", "status": "True"}],
}
RULES = CONTEXT.callbacks


def an_entry(number: int, event: str = "Paused", name: str = "hook", **fields: Any) -> Json:
    return {
        "id": delivery_id(UID, name, event, number),
        "name": name,
        "event": event,
        "sequence": number,
        "time": stamp(NOW),
        "state": "Pending",
        "attempts": 0,
        **fields,
    }


def at_epoch(epoch: int) -> Json:
    return {**RUNNING, "progress": {"epoch": epoch}}


def a_running_job(
    *entries: Json, answers: Mapping[str, Answer] | None = None, status: Json = RUNNING, **fields: Any
) -> ObservedJob:
    job = a_job(status={**status, "callbacks": list(entries)}, **{"callbacks": [HOOK], **fields})
    return dataclasses.replace(job, answers=answers or {})


def look(job: ObservedJob, *, status: Json | None = None, now: float = NOW) -> Plan:
    """The plan that is given this status to write, or none."""
    wanted = None if status is None else {**status, "callbacks": job.status["callbacks"]}
    return with_callbacks(job, Plan(status=wanted), now=now, rules=RULES)


def written(p: Plan) -> list[Json]:
    assert p.status is not None
    return list(p.status["callbacks"])


def sent(p: Plan) -> dict[str, list[int]]:
    """By callback, the ids of what is sent, as numbers of the test's entries."""
    known = {
        an_entry(n, event, name)["id"]: n for n in range(80) for event in EVENTS for name in ("hook", "other")
    }
    return {delivery.callback: [known[one] for one in delivery.ids] for delivery in p.deliver}


def failed(number: int = 1, at: float = NOW + 1, **fields: Any) -> Answer:
    return Answer(number=number, sent_at=at, at=at, message="Answered 500.", **fields)


def arrived(number: int = 1, at: float = NOW + 1) -> Answer:
    return failed(number, at, delivered=True)


# Order.


def test_what_waits_for_one_callback_goes_out_in_order() -> None:
    job = a_running_job(an_entry(1), an_entry(2, "Resumed"), an_entry(3))
    assert sent(look(job)) == {"hook": [1, 2, 3]}


def test_a_later_one_waits_for_the_retry_of_an_earlier_one() -> None:
    later = stamp(NOW + 30)
    job = a_running_job(an_entry(1, nextAttemptTime=later), an_entry(2, "Resumed"))
    p = look(job)
    assert p.deliver == ()
    assert p.requeue_after == pytest.approx(30)
    assert sent(look(job, now=NOW + 30)) == {"hook": [1, 2]}


def test_one_callback_does_not_wait_for_another() -> None:
    job = a_running_job(
        an_entry(1, nextAttemptTime=stamp(NOW + 30)), an_entry(1, name="other"), callbacks=[HOOK, OTHER]
    )
    assert sent(look(job)) == {"other": [1]}


def test_when_one_has_failed_just_now_those_after_it_are_not_sent() -> None:
    first = an_entry(1)
    job = a_running_job(first, an_entry(2, "Resumed"), answers={first["id"]: failed()})
    p = look(job, now=NOW + 1)
    assert p.deliver == ()
    assert p.requeue_after is not None
    assert p.requeue_after > 3


def test_when_one_has_arrived_or_is_given_up_the_next_is_sent() -> None:
    first = an_entry(1)
    for answer in (arrived(), failed(gone=True)):
        job = a_running_job(first, an_entry(2, "Resumed"), answers={first["id"]: answer})
        assert sent(look(job)) == {"hook": [2]}


def test_a_new_event_is_not_sent_before_it_is_in_status_also_behind_one_that_is() -> None:
    p = look(a_running_job(an_entry(1)), status=PAUSED)
    assert [e["event"] for e in written(p)] == ["Paused", "Paused"]
    assert sent(p) == {"hook": [1]}


def test_what_lacks_a_secret_is_due_again_at_once_and_has_no_time() -> None:
    first = an_entry(1)
    job = a_running_job(first, answers={first["id"]: failed(waiting=True)})
    (entry,) = written(look(job, now=NOW + 1))
    assert (entry["state"], entry["attempts"]) == ("Pending", 1)
    assert "nextAttemptTime" not in entry
    assert look(job, now=NOW + 1).requeue_after == 0
    assert sent(look(a_running_job(entry), now=NOW + 1)) == {"hook": [1]}


def test_what_lacks_a_secret_for_24_hours_is_given_up() -> None:
    first = an_entry(1)
    day = NOW + 86400
    job = a_running_job(first, answers={first["id"]: failed(at=day, waiting=True)})
    assert written(look(job, now=day))[0]["state"] == "Failed"


# Progress.


def test_the_first_report_is_told_at_once_and_the_next_after_the_interval() -> None:
    (first,) = written(look(a_running_job(), status=at_epoch(1)))
    assert (first["event"], first["attempt"]) == ("Progress", 0)
    assert "nextAttemptTime" not in first
    told = {**first, "state": "Delivered", "attempts": 1, "lastAttemptTime": stamp(NOW)}
    job = a_running_job(told, status=at_epoch(1))
    second = written(look(job, status=at_epoch(2), now=NOW + 5))[-1]
    assert second["sequence"] == 2
    assert second["nextAttemptTime"] == stamp(NOW + 60)
    waiting = a_running_job(told, second, status=at_epoch(2))
    assert look(waiting, now=NOW + 5).requeue_after == pytest.approx(55)
    assert sent(look(waiting, now=NOW + 60)) == {"hook": [2]}


def test_a_report_that_waits_takes_up_the_newer_ones_without_a_write_of_its_own() -> None:
    waiting = an_entry(1, "Progress", nextAttemptTime=stamp(NOW + 60))
    job = a_running_job(waiting, status=at_epoch(1))
    assert written(look(job, status=at_epoch(2), now=NOW + 10)) == [waiting]
    assert look(job, now=NOW + 10).status is None


def test_progress_alone_never_causes_a_write() -> None:
    told = an_entry(1, "Progress", state="Delivered", attempts=1, lastAttemptTime=stamp(NOW))
    job = a_running_job(told, status=at_epoch(9))
    assert look(job, now=NOW + 1000).status is None


def test_progress_is_told_with_the_writes_that_record_it_anyway() -> None:
    def story(*events: str) -> Story:
        job = Story(callbacks=[{**HOOK, "events": list(events)}]).settle().pod_runs().settle()
        for epoch in range(1, 20):
            job.passes(10).trainer_says(epoch=epoch, of=20).settle()
        return job

    silent, telling = story("Completed"), story("Progress")
    assert len(telling.phases) == len(silent.phases) > 19
    assert set(telling.told) == {"Progress"}


def test_a_report_that_is_on_its_way_stays_and_the_newer_one_goes_after_it() -> None:
    first = an_entry(1, "Progress")
    p = look(a_running_job(first, status=at_epoch(1)), status=at_epoch(2), now=NOW + 5)
    assert [e["sequence"] for e in written(p)] == [1, 2]
    assert sent(p) == {"hook": [1]}
    both = written(p)
    after = look(a_running_job(*both, answers={first["id"]: arrived()}, status=at_epoch(2)), now=NOW + 6)
    assert [(e["sequence"], e["state"]) for e in written(after)] == [(1, "Delivered"), (2, "Pending")]
    assert after.deliver == ()


def test_a_report_that_failed_is_superseded_by_a_newer_one_which_goes_on_counting() -> None:
    tries = {"attempts": 7, "lastAttemptTime": stamp(NOW + 1), "message": "Answered 500."}
    waiting = an_entry(1, "Progress", nextAttemptTime=stamp(NOW + 900), **tries)
    (entry,) = written(look(a_running_job(waiting, status=at_epoch(1)), status=at_epoch(2), now=NOW + 100))
    assert entry == an_entry(
        2, "Progress", time=stamp(NOW + 100), attempt=0, nextAttemptTime=stamp(NOW + 900), **tries
    )
    job = a_running_job(entry, status=at_epoch(2))
    assert written(look(job, status=at_epoch(3), now=NOW + 200)) == [entry], "it has not been sent itself"


def test_a_receiver_that_hangs_is_asked_ever_more_seldom_although_progress_goes_on() -> None:
    """Each try is answered after the next report has been written."""
    entries, now, tried = [], NOW, []
    for epoch in range(1, 2000):
        now += 5
        job = a_running_job(*entries, status=at_epoch(epoch))
        sending = look(job, now=now).deliver
        entries = written(look(job, status=at_epoch(epoch + 1), now=now))
        assert len(entries) <= 2
        if sending:
            (id,) = sending[0].ids
            number = next(e["attempts"] for e in entries if e["id"] == id) + 1
            tried.append(now)
            now += 10
            answers = {id: failed(number, at=now)}
            entries = written(
                look(a_running_job(*entries, answers=answers, status=at_epoch(epoch + 1)), now=now)
            )
    assert len(tried) < 20
    assert tried[-1] - tried[-2] > 1800


def test_an_end_supersedes_a_report_that_waits() -> None:
    waiting = an_entry(1, "Progress", nextAttemptTime=stamp(NOW + 60))
    p = look(a_running_job(waiting, status=at_epoch(1)), status=DONE)
    assert [(e["event"], e["sequence"]) for e in written(p)] == [("Completed", 2)]


def test_an_end_waits_for_the_report_that_is_on_its_way_and_not_for_its_retry() -> None:
    first = an_entry(1, "Progress")
    both = written(look(a_running_job(first, status=at_epoch(1)), status=DONE))
    assert [e["event"] for e in both] == ["Progress", "Completed"]
    ended = a_running_job(*both, answers={first["id"]: failed()}, status=DONE)
    p = look(ended, now=NOW + 1)
    assert [e["event"] for e in written(p)] == ["Completed"]
    assert sent(p) == {"hook": [2]}


def test_a_report_that_is_held_behind_another_event_is_not_replaced_all_the_time() -> None:
    held = [an_entry(1, "Started", nextAttemptTime=stamp(NOW + 900)), an_entry(2, "Progress")]
    job = a_running_job(*held, status=at_epoch(1))
    assert written(look(job, status=at_epoch(2), now=NOW + 300)) == held


def test_old_reports_do_not_fill_status() -> None:
    entries: list[Json] = []
    for epoch in range(1, 50):
        now = NOW + 60 * epoch
        job = a_running_job(*entries, status=at_epoch(epoch))
        entries = written(look(job, status=at_epoch(epoch + 1), now=now))
        answers = {entries[-1]["id"]: arrived(at=now + 1)}
        entries = written(look(a_running_job(*entries, answers=answers), now=now + 1))
    assert [(e["sequence"], e["state"]) for e in entries] == [(49, "Delivered")]


# Room.


def test_of_many_entries_those_that_are_settled_go_first() -> None:
    old = [an_entry(1)] + [an_entry(n, state="Delivered") for n in range(2, 65)]
    kept = written(look(a_running_job(*old), status=DONE))
    assert len(kept) == 64
    assert [e["sequence"] for e in kept] == [1, *range(3, 66)]


def test_what_there_is_no_room_for_is_given_up_aloud_and_never_of_a_callback_with_less() -> None:
    old = [an_entry(1, name="other")] + [an_entry(n) for n in range(2, 65)]
    job = a_running_job(*old, callbacks=[HOOK, OTHER])
    p = look(job, status=DONE)
    assert len(written(p)) == 64
    assert [e["sequence"] for e in written(p) if e["name"] == "other"] == [1, 65]
    assert [e["sequence"] for e in written(p) if e["name"] == "hook"] == list(range(4, 66))
    assert [(a.type, a.reason) for a in p.announce] == [("Warning", "CallbackFailed")] * 2
    assert p.announce[0].message == (
        "Callback hook was not told Paused and is given up: as many later ones wait already as status can hold. Bring "
        "the receiver back, or take the callback out of spec.callbacks."
    )


# All of it.


@settings(deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["progress", "pause", "resume", "wait", "restart"]),
            st.sampled_from(["arrived", "failed", "hangs"]),
            st.floats(min_value=0.5, max_value=120),
        ),
        max_size=60,
    )
)
def test_whatever_happens_events_arrive_in_order_and_all_but_progress_does(
    steps: list[tuple[str, str, float]],
) -> None:
    entries: list[Json] = []
    under_way: list[str] = []
    seen: dict[str, Json] = {}
    got: list[str] = []
    sent: dict[str, float] = {}
    status, epoch, now = RUNNING, 0, NOW
    for step, receiver, seconds_ in [*steps, *[("wait", "arrived", 3600.0)] * 12]:
        now += seconds_
        new = status
        if step == "progress" and "stop" not in status:
            epoch += 1
            new = {**status, "progress": {"epoch": epoch}}
        elif step == "pause":
            new = {**status, "stop": PAUSED["stop"]}
        elif step == "resume":
            new = {key: value for key, value in status.items() if key != "stop"}
        elif step == "restart":
            under_way = []  # what had been sent is not known any longer
        answers = {}
        if under_way and receiver != "hangs":
            first = seen[under_way[0]]
            held = next((e for e in entries if e["id"] == first["id"]), first)
            ok = receiver == "arrived"
            answers = {first["id"]: failed(held["attempts"] + 1, at=now, delivered=ok)}
            if ok:
                got.append(first["id"])
            under_way = under_way[1:] if ok else []
        p = look(
            a_running_job(*entries, answers=answers, status=status),
            status=new if new != status else None,
            now=now,
        )
        entries = written(p) if p.status is not None else entries
        seen |= {e["id"]: e for e in entries}
        status = new
        if not under_way and p.deliver:
            under_way = [one for delivery in p.deliver for one in delivery.ids]
            for one in under_way:
                sent.setdefault(one, now)
        assert p.announce == ()
    wanted = [one for one, entry in seen.items() if entry["event"] != "Progress"]
    first_time = list(dict.fromkeys(got))
    assert [one for one in first_time if one in wanted] == wanted
    assert [seen[one]["sequence"] for one in first_time] == sorted(
        seen[one]["sequence"] for one in first_time
    )
    # NB: of one that has failed and that another event has made idle nothing is kept.
    reports = [sent[one] for one in first_time if seen[one]["event"] == "Progress"]
    assert all(other - one > 59 for one, other in itertools.pairwise(reports))
    assert len({e["sequence"] for e in seen.values()}) == len(seen), "no number is used twice"
    assert all(e["state"] == "Delivered" for e in entries)
    progress = [e for e in entries if e["event"] == "Progress"]
    assert len(progress) <= 1
    assert all(seconds(e["lastAttemptTime"]) for e in progress)
