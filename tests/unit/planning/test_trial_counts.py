"""`status.automl.trials` and its rungs: a trial that is paused or waits for a node does not run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.experiments import World, a_search
from trainyard.api import names


def counts(world: World) -> dict[str, int]:
    found: dict[str, int] = world.status["automl"]["trials"]
    ended = sum(found[name] for name in ("succeeded", "failed", "stopped", "canceled"))
    assert found["total"] == found["pending"] + found["running"] + ended
    return found


@pytest.fixture(
    params=[{"algorithm": "random", "maxRecommendations": 6}, {"algorithm": "hyperband", "maxResource": 9}]
)
def world(request: pytest.FixtureRequest) -> World:
    automl: dict[str, Any] = request.param
    world = World(spec=a_search(**automl, parallelism=3))
    world.settle()
    return world


def test_trials_run_whose_jobs_run(world: World) -> None:
    total = counts(world)["total"]
    assert (counts(world)["running"], counts(world)["pending"]) == (0, total)
    world.starts("digits-t0-r0")
    world.starts("digits-t1-r0")
    world.settle()
    assert (counts(world)["running"], counts(world)["pending"]) == (2, total - 2)
    world.ends("digits-t0-r0", value=0.5)
    world.settle()
    assert (counts(world)["running"], counts(world)["succeeded"]) == (1, 1)
    assert counts(world)["pending"] == total - 2


def test_trials_of_a_paused_experiment_wait(world: World) -> None:
    world.starts("digits-t0-r0")
    world.settle()
    assert counts(world)["running"] == 1
    world.edit(suspend=True)
    for job in world.jobs.values():
        job["status"] = {"phase": "Pending", "reason": "Paused"}
    world.settle()
    assert counts(world)["running"] == world.status["jobs"]["running"] == 0
    for rung in world.status["automl"].get("rungs") or ():
        assert rung.get("running", 0) == 0


def test_the_trials_of_a_rung_run_whose_jobs_run() -> None:
    world = World(spec=a_search(algorithm="hyperband", maxResource=9, parallelism=3))
    world.settle()
    world.starts("digits-t0-r0")
    world.settle()
    first, *others = world.status["automl"]["rungs"]
    assert first["running"] == 1
    assert all(not rung.get("running") for rung in others)


def test_a_job_that_is_labelled_as_a_trial_that_there_is_not_breaks_nothing() -> None:
    world = World(spec=a_search(algorithm="hyperband", maxResource=9, parallelism=3))
    world.settle()
    world.jobs["digits-t0-r0"]["metadata"]["labels"][names.LABEL_TRIAL] = "9999"
    world.starts("digits-t0-r0")
    world.settle()
    assert all(not rung.get("running") for rung in world.status["automl"]["rungs"])
