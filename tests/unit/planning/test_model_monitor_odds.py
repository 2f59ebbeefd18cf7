"""Monitored models where things go wrong: answers that are late, refusals, an operator that dies."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.monitors import HOUR, MONITOR, due, evaluations, monitor_of, part_of, watched
from trainyard.planning.observed import Refusal
from trainyard.planning.times import seconds


def test_an_answer_that_was_not_read_yet_is_waited_for() -> None:
    world = due(watched()).ends("digits-monitor-1", accuracy=0.5)
    part = part_of(world, answers={})
    assert part.status["monitor"]["job"] == "digits-monitor-1"
    assert "history" not in part.status["monitor"]
    assert part.requeue_after is not None
    assert part.requeue_after <= 10
    world.passes(180)
    told = part_of(world, answers={}).status["monitor"]
    assert told["history"][0]["value"] == "0.5", "the value is in the job's status"
    assert "drift" not in told


def test_a_job_that_the_api_server_refuses_is_tried_again_and_is_no_evaluation() -> None:
    world = watched()
    world.passes(2 * HOUR)
    (step,) = part_of(world).jobs
    refusal = Refusal(status=403, message="exceeded quota", first_at=world.now, last_at=world.now, count=1)
    world.refusals[step.name, step.digest] = refusal
    world.settle()
    assert evaluations(world) == []
    assert "exceeded quota" in world.status["message"]
    assert "history" not in monitor_of(world)
    wait = part_of(world).requeue_after
    assert wait is not None
    world.passes(wait).settle()
    assert evaluations(world) == ["digits-monitor-1"]
    assert monitor_of(world)["lastScheduleTime"] == "2027-01-15T09:00:00Z"


EVENTS = st.one_of(
    st.tuples(st.just("passes"), st.sampled_from([60, 1800, 3600, 7200, 100_000])),
    st.tuples(st.just("ends"), st.sampled_from([0.5, 0.8999, 0.9, 0.99])),
    st.tuples(st.just("fails"), st.sampled_from(["Error", "Canceled"])),
    st.tuples(st.just("deleted"), st.none()),
    st.tuples(st.just("killed"), st.integers(0, 3)),
    st.tuples(st.just("version"), st.none()),
    st.tuples(st.just("suspend"), st.booleans()),
)


@settings(max_examples=150, deadline=None)
@given(events=st.lists(EVENTS, max_size=25), for_runs=st.integers(1, 3))
def test_whatever_happens_each_evaluation_counts_once_and_the_verdict_is_what_was_measured(
    events: list[tuple[str, Any]], for_runs: int
) -> None:
    world = watched(forRuns=for_runs)
    begun_at, posted, ended = world.now, 0, set[str]()
    for what, value in events:
        live = [name for name in evaluations(world) if name in world.tasks and name not in ended]
        if what == "passes":
            world.passes(value)
        elif what == "ends" and live:
            world.runs(live[0]).ends(live[0], accuracy=value)
            ended.add(live[0])
        elif what == "fails" and live:
            world.ends(live[0], value)
            ended.add(live[0])
        elif what == "deleted" and live:
            del world.tasks[live[0]]
        elif what == "version":
            posted += 1
            world.posted(f"theirs-{posted}", type="random_forest").ends(f"theirs-{posted}", accuracy=0.99)
        elif what == "suspend":
            world.edit(monitor={**MONITOR, "forRuns": for_runs, "suspend": value})
        elif what == "killed":
            world.writes_left = value
            world.look()
            world.writes_left = None
            continue
        world.settle()
        told = monitor_of(world)
        alive = [n for n in evaluations(world) if n in world.tasks and n not in ended]
        assert len(alive) <= 1
        assert told.get("job") == (alive[0] if alive else None)
        assert len(evaluations(world)) <= (world.now - begun_at) // HOUR + 1
        history = told.get("history") or []
        jobs = [one["job"] for one in history]
        assert len(jobs) == len(set(jobs))
        assert set(jobs) == {n for n in evaluations(world) if n not in alive}
        newest_version = world.status["latestVersion"]
        run = 0
        with_values = [one for one in history if "value" in one]
        for one in with_values:
            if one["version"] != with_values[0]["version"] or float(one["value"]) >= 0.9:
                break
            run += 1
        assert told["runsBelow"] == run
        bad = run >= for_runs and with_values[0]["version"] == newest_version
        assert (world.status["lifecycle"] == "degraded") == bad
        assert ("degradedTime" in told) == bad
        if told.get("nextScheduleTime"):
            assert (seconds(told["nextScheduleTime"]) or 0) > world.now
        assert world.look().jobs == ()
