"""How large the object of a search may get: one of 1,000 trials has to fit well into what is kept for an object."""

from __future__ import annotations

import copy

import orjson
import pytest

from tests.unit.planning.experiments import World, a_search
from trainyard.api import names

MOST_BYTES = 200_000


def a_large_search(parameters: int, *, units: int, nu: int, rungs: int) -> World:
    """Of asha, with names and values as long as they get, when the best 1/nu of each rung have gone on."""
    spec = a_search(algorithm="asha", maxRecommendations=1000, parallelism=1000, maxResource=units, nu=nu)
    one = {"type": "float", "min": "0.00000001", "max": "0.1", "log": True}
    spec["automl"]["space"] = [
        {"name": f"model.optimizer.parameter_{number:02d}", **one} for number in range(parameters)
    ]
    world = World(spec=spec, name="a" * 35)
    world.look()
    first = world.jobs[names.trial_job_name(experiment=world.name, number=0, rung=0)]
    runs = [(number, rung) for rung in range(rungs) for number in range(1000 // nu**rung)]
    for number, rung in runs:
        name = names.trial_job_name(experiment=world.name, number=number, rung=rung)
        job = world.jobs.setdefault(name, copy.deepcopy(first))
        job["metadata"]["name"], job["metadata"]["uid"] = name, f"uid-of-{name}"
        job["metadata"]["labels"] |= {names.LABEL_TRIAL: str(number), names.LABEL_RUNG: str(rung)}
        world.ends(name, value=-4.23416789e-06 - number * 1e-14)
    world.look()
    assert len(world.status["automl"]["ledger"]) == len(runs)
    return world


@pytest.mark.parametrize(
    ("parameters", "units", "nu", "rungs"),
    [pytest.param(8, 1024, 2, 11, id="2,000 runs"), pytest.param(64, 27, 3, 4, id="64 parameters")],
)
def test_an_object_stays_below_what_it_may_have(parameters: int, units: int, nu: int, rungs: int) -> None:
    world = a_large_search(parameters, units=units, nu=nu, rungs=rungs)
    assert len(orjson.dumps({"spec": world.spec, "status": world.status})) < MOST_BYTES


def test_a_run_on_the_first_rung_needs_no_word_for_it() -> None:
    world = World(spec=a_search(algorithm="hyperband", maxResource=9))
    world.runs_all(lambda job: float(job["metadata"]["labels"][names.LABEL_TRIAL]))
    ledger = world.status["automl"]["ledger"]
    assert {entry.get("rung") for entry in ledger} == {None, 1, 2}
