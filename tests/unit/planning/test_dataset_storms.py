"""Drawn lives of a Dataset: whatever happens to it and to the operator, nothing that is used goes, nothing that does
not hold is served, and in the end it is Done.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.datasets import LISTING, OTHER_LISTING, S3, World
from trainyard.api import names
from trainyard.planning import dataends

KINDS = ("network", "forbidden", "full", "changed", "hostile", "mismatch", "crash")
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("ends well"), st.sampled_from((LISTING, OTHER_LISTING))),
        st.tuples(st.just("fails"), st.sampled_from(KINDS)),
        st.tuples(st.just("is invalid"), st.none()),
        st.tuples(st.just("is taken away"), st.none()),
        st.tuples(st.just("is edited"), st.integers(0, 2)),
        st.tuples(st.just("is refreshed"), st.integers(0, 99)),
        st.tuples(st.just("time goes by"), st.integers(1, 4000)),
        st.tuples(st.just("a job begins"), st.none()),
        st.tuples(st.just("jobs end"), st.none()),
        st.tuples(st.just("the operator is killed"), st.integers(0, 3)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_a_life(events: list[tuple[str, Any]]) -> None:
    world = World(spec={**S3, "backoffLimit": 2})
    looks(world)
    for event, detail in events:
        happens(world, event, detail)
        looks(world)
    world.users, world.used_claims = (), frozenset()
    world.annotations[names.REFRESH_REQUESTED_AT] = "the last"
    for _ in range(20):
        world.now += 400
        looks(world)
        if world.said() == ("Done", "Completed") and not alive(world):
            break
        happens(world, "ends well", LISTING)
    assert world.said() == ("Done", "Completed")
    world.now += 400
    looks(world)
    assert set(world.claims) == {names.data_claim_name(LISTING)}
    assert "held" not in world.status


def happens(world: World, event: str, detail: Any) -> None:
    """One event; those that need a pod are nothing without one."""
    pods = alive(world)
    if event in ("ends well", "fails", "is invalid", "is taken away") and pods:
        (name,) = pods
        surveys = "-survey-" in name
        pulls = not surveys and not world.pods[name].init and "initContainers" in world.bodies[name]["spec"]
        if event == "is taken away":
            del world.pods[name]
        elif event == "fails" and surveys:
            world.survey_ends(error="No.", kind=detail)
        elif event == "fails" and pulls:
            world.pull_ends(error="No.", kind=detail)
        elif surveys:
            world.survey_ends(listing=detail or LISTING)
        elif pulls:
            world.pull_ends()
        else:
            world.check_ends(valid=event != "is invalid")
    elif event == "is edited":
        world.edit(source={"uri": f"s3://bucket/{detail}"})
    elif event == "is refreshed":
        world.annotations[names.REFRESH_REQUESTED_AT] = str(detail)
    elif event == "time goes by":
        world.now += detail
    elif event == "a job begins" and world.condition("Available") == "True":
        claim = dataends.own_claim(world.status["uri"])
        world.users, world.used_claims = ("job",), world.used_claims | {claim}
    elif event == "jobs end":
        world.users, world.used_claims = (), frozenset()
    elif event == "the operator is killed":
        world.writes_left = detail
        world.look()
        world.writes_left = None


def looks(world: World) -> None:
    """Until it rests, and what holds at any rest."""
    world.settle(limit=40)
    assert len(alive(world)) <= 1
    assert world.used_claims <= set(world.claims)
    if world.condition("Available") == "True":
        claim = dataends.own_claim(world.status["uri"])
        assert world.claims[claim].published is not None
        assert world.claims[claim].is_owned_by(world.uid)
        assert world.status["of"] == world.observed().digest
    known = {one["claim"] for one in world.status.get("held") or []}
    known |= {world.status.get("pull", {}).get("claim"), dataends.own_claim(world.status.get("uri") or "")}
    assert set(world.claims) <= known, "a volume that nothing knows of is paid for, for ever"


def alive(world: World) -> list[str]:
    return [name for name, pod in world.pods.items() if not pod.over]
