"""A storm is the same for the same seed, and one job of it can be looked at alone."""

from __future__ import annotations

from tests.storm.script import PATCHES, Script, draw, wish_after


def drawn(seed: int) -> Script:
    return draw(seed, jobs=60, seconds=90, nodes=4, kills=5, drains=3)


def test_the_same_seed_is_the_same_storm_and_another_is_another() -> None:
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_everything_that_can_happen_does_in_a_storm_of_some_size() -> None:
    script = drawn(1)
    assert {action.verb for action in script.actions} >= {
        *PATCHES,
        "create",
        "delete",
        "delete-now",
        "evict",
        "drain",
        "uncordon",
        "kill",
        "revive",
    }
    assert {job.wish for job in script.jobs} == {"run", "suspend", "cancel"}
    assert {job.trainer for job in script.jobs} == {"stops", "stops-with-0", "finishes-anyway", "fails"}
    assert {job.resumable for job in script.jobs} == {True, False}
    assert {(job.nodes, job.output) for job in script.jobs} == {
        (n, o) for n in (1, 2, 3) for o in (True, False)
    }


def test_actions_come_in_order_and_none_on_a_job_that_is_not_there_yet() -> None:
    script = drawn(3)
    assert [action.at for action in script.actions] == sorted(action.at for action in script.actions)
    for job in script.jobs:
        verbs = [action.verb for action in script.actions if action.target == job.name]
        assert verbs[0] == "create"
        assert verbs.count("create") == 1


def test_the_wish_of_a_job_is_what_its_instructions_leave_in_the_spec() -> None:
    script = drawn(4)
    for job in script.jobs:
        spec = {"suspend": False, "cancel": False}
        steps = [action for action in script.actions if action.target == job.name]
        for step in steps:
            spec |= PATCHES.get(step.verb, {})
        assert job.wish == wish_after(steps)
        assert (job.wish == "cancel") == spec["cancel"]
        assert (job.wish == "suspend") == (spec["suspend"] and not spec["cancel"])


def test_every_node_that_is_closed_is_opened_and_every_killed_operator_revived() -> None:
    for verb, back in (("drain", "uncordon"), ("kill", "revive")):
        for target in {a.target for a in drawn(5).actions if a.verb == verb}:
            turns = [a.verb for a in drawn(5).actions if a.target == target and a.verb in (verb, back)]
            assert turns == [verb, back] * (len(turns) // 2)


def test_one_job_alone_keeps_its_own_life_and_what_happens_to_all() -> None:
    script = drawn(6)
    alone = script.only("job-007")
    assert [job.name for job in alone.jobs] == ["job-007"]
    assert alone.of("job-007") == script.of("job-007")
    kept = {action.target for action in alone.actions}
    assert kept == {"job-007", "operator", *(a.target for a in script.actions if a.verb == "drain")}
