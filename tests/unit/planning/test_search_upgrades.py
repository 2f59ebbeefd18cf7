"""A search goes on as it began when the operator's catalogue changes and nobody has edited the Experiment."""

from __future__ import annotations

import base64
import dataclasses
import zlib
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.experiments import LEARNING_RATE, RULES, World, a_search
from trainyard import catalog
from trainyard.api import names
from trainyard.api.automl import AutoML
from trainyard.api.automlstatus import AutoMLStatus
from trainyard.planning import searchkept
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.experimentview import view
from trainyard.planning.objective import Goal
from trainyard.planning.parameters import Schema
from trainyard.planning.runtime import Unresolved, choose
from trainyard.planning.searchkept import Searched
from trainyard.planning.searchspace import space_of
from trainyard.search.space import Dimension, Space

Json = dict[str, Any]
RATE: Json = {"type": "float", "min": 0.001, "max": 0.1, "step": 0.001}
WIDER: Json = {**RATE, "max": 0.9}
KEPT = ("specDigest", "space", "epochsParameters")


def a_catalogue(
    *,
    tunable: Json | None = None,
    metrics: tuple[str, ...] = ("accuracy",),
    epochs: tuple[str, ...] = ("epochs",),
    properties: Json | None = None,
) -> ExperimentRules:
    """One that says this of training a neural network; `properties` are those of its parameters' schema."""
    (runtime,) = RULES.context.catalog
    said = {"learning_rate": RATE} if tunable is None else tunable
    schema = None
    if properties is not None:
        schema = Schema({"type": "object", "additionalProperties": False, "properties": properties})
    train = dataclasses.replace(runtime.actions["train"], tunable=said, epochs=epochs, schema=schema)
    entry = dataclasses.replace(runtime, metrics=metrics, actions={**runtime.actions, "train": train})
    return dataclasses.replace(RULES, context=dataclasses.replace(RULES.context, catalog=(entry,)))


#: What a later release may say. Each makes another search of the same spec, or none at all.
OTHERS = {
    "another range": a_catalogue(tunable={"learning_rate": WIDER}),
    "another parameter": a_catalogue(tunable={"learning_rate": RATE, "momentum": WIDER}),
    "a parameter gone": a_catalogue(properties={"steps": {"type": "integer"}, "epochs": {"type": "integer"}}),
    "nothing to tune": a_catalogue(tunable={}),
    "another metric": a_catalogue(metrics=("rmse", "accuracy")),
    "all of that": a_catalogue(tunable={"momentum": WIDER}, metrics=("loss",), epochs=("steps",)),
}
each_other = pytest.mark.parametrize("later", OTHERS.values(), ids=OTHERS.keys())


def quality(job: Json) -> float:
    """Better near 0.03; of a step that is not tuned nothing."""
    told = orjson.loads(job["metadata"]["annotations"].get(names.TRIAL_PARAMETERS, "{}"))
    return 1 - abs(float(told.get("learning_rate", 0)) - 0.03)


def a_world(rules: ExperimentRules | None = None, **automl: Any) -> World:
    """One whose space is the catalogue's, as is its metric."""
    spec = a_search(**{"algorithm": "random", "maxRecommendations": 4, **automl})
    del spec["automl"]["space"]
    return World(spec=spec, rules=rules or a_catalogue())


def jobs_of(world: World) -> dict[str, Json]:
    """What each job was made with."""
    return {name: job["spec"]["parameters"] for name, job in world.jobs.items()}


def one_ends(world: World) -> None:
    world.settle()
    name = next(name for name, job in world.jobs.items() if not job.get("status", {}).get("completionTime"))
    world.ends(name, value=quality(world.jobs[name]))


def ordered(world: World) -> Json:
    """What the pod that proposes is told."""
    told = world.orders[world.proposer().name]["TRAINYARD_SEARCH"]
    found: Json = orjson.loads(zlib.decompress(base64.b64decode(told)))
    return found


def by_an_earlier_release(world: World) -> None:
    """Its status is as a release wrote it that kept nothing of this."""
    automl = {key: value for key, value in world.status["automl"].items() if key not in KEPT}
    world.status = {**world.status, "automl": automl}


ALGORITHMS: list[Json] = [
    {"algorithm": "random", "maxRecommendations": 4, "parallelism": 2},
    {"algorithm": "grid", "maxRecommendations": 5},
    {"algorithm": "hyperband", "maxResource": 4, "nu": 2, "parallelism": 3},
    {"algorithm": "asha", "maxResource": 4, "nu": 2, "maxRecommendations": 4},
]


@each_other
@pytest.mark.parametrize("automl", ALGORITHMS, ids=lambda automl: str(automl["algorithm"]))
def test_one_that_is_under_way_goes_on_as_it_began(automl: Json, later: ExperimentRules) -> None:
    undisturbed = a_world(**automl)
    undisturbed.runs_all(quality)
    world = a_world(**automl)
    one_ends(world)
    world.settle()
    kept = {key: world.status["automl"].get(key) for key in (*KEPT, "digest", "seed", "metric", "goal")}
    world.rules = later
    world.runs_all(quality)
    assert world.removed == []
    assert sorted(world.made) == sorted(undisturbed.made)
    assert jobs_of(world) == jobs_of(undisturbed)
    assert world.status["phase"] == "Done"
    assert world.status["automl"]["bestTrial"] == undisturbed.status["automl"]["bestTrial"]
    assert {key: world.status["automl"].get(key) for key in kept} == kept


@each_other
def test_one_that_has_ended_is_not_run_again_also_when_somebody_edits_something_else(
    later: ExperimentRules,
) -> None:
    world = a_world()
    world.spec["actions"].append({"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]})
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    made, before = list(world.made), world.status
    world.rules = later
    world.settle()
    assert world.status == before
    world.edit(displayName="Somebody edits it")
    world.settle()
    assert (world.made, world.removed) == (made, [])
    assert world.status["phase"] == "Done"
    assert world.status["automl"] == before["automl"]


@each_other
def test_knobs_beside_the_search_are_turned_meanwhile(later: ExperimentRules) -> None:
    wanted = a_world(maxRecommendations=6)
    wanted.runs_all(quality)
    world = a_world()
    one_ends(world)
    world.settle()
    world.rules = later
    knobs = {"maxRecommendations": 6, "parallelism": 3, "maxFailed": 2, "checkpointRetention": "Best"}
    world.edit(automl={**world.spec["automl"], **knobs}, objective={"threshold": "2"})
    world.runs_all(quality)
    assert world.removed == []
    assert jobs_of(world) == jobs_of(wanted)


@pytest.mark.parametrize(
    "edit",
    [
        {"automl": {"seed": 8}},
        {"automl": {"algorithm": "bayesian"}},
        {"automl": {"removeHyperparameters": ["momentum"]}},
        {"automl": {"space": [LEARNING_RATE]}},
        {"automl": {"epochsParameter": "epochs"}},
        {"objective": {"metric": "f1_score"}},
        {"objective": {"goal": "Minimize"}},
        {"actionParameters": {"train": {"epochs": 9}}},
    ],
    ids=str,
)
def test_who_edits_what_is_searched_has_it_begin_anew_with_the_catalogue_of_then(edit: Json) -> None:
    tunable = {"learning_rate": WIDER, "momentum": WIDER}
    world = a_world()
    one_ends(world)
    world.settle()
    before = world.status["automl"]
    world.rules = a_catalogue(tunable=tunable)
    automl = {**world.spec["automl"], **edit.get("automl", {})}
    world.edit(**{**edit, "automl": automl})
    world.settle()
    assert world.removed == ["digits-t0-r0", "digits-t1-r0"]
    assert world.made[2:] == ["digits-t0-r0"]
    told = world.status["automl"]
    assert "ledger" not in told
    assert told["specDigest"] != before["specDigest"]
    found = {one["name"]: one["max"] for one in told["space"]}
    own = automl.get("space") or automl.get("removeHyperparameters")
    assert found == (
        {"learning_rate": "0.1" if "space" in automl else "0.9"} if own else dict.fromkeys(tunable, "0.9")
    )


@pytest.mark.parametrize(
    "edit",
    [
        {"objective": {"goal": "Maximize"}},
        {"objective": {"metric": "accuracy"}},
        {"automl": {"space": [{"name": "learning_rate", **{k: str(v) for k, v in RATE.items()}}]}},
        {"automl": {"addHyperparameters": ["learning_rate"]}},
    ],
    ids=str,
)
def test_who_says_the_same_in_other_words_has_it_go_on(edit: Json) -> None:
    world = a_world()
    one_ends(world)
    world.settle()
    said = world.status["automl"]["specDigest"]
    world.edit(**{**edit, "automl": {**world.spec["automl"], **edit.get("automl", {})}})
    world.settle()
    assert world.status["automl"]["specDigest"] != said
    world.rules = OTHERS["another range"]
    world.runs_all(quality)
    assert world.removed == []
    assert world.made == [f"digits-t{number}-r0" for number in range(4)]


def test_an_edit_that_is_taken_back_while_it_is_paused_loses_nothing() -> None:
    world = a_world()
    one_ends(world)
    world.settle()
    automl = world.spec["automl"]
    world.edit(suspend=True)
    world.settle()
    world.edit(automl={**automl, "seed": 8})
    world.settle()
    world.rules = OTHERS["another range"]
    world.edit(automl=automl)
    world.settle()
    world.edit(suspend=False)
    world.runs_all(quality)
    assert world.removed == []
    assert world.made == [f"digits-t{number}-r0" for number in range(4)]


@each_other
def test_one_that_was_paused_by_an_earlier_release_goes_on(later: ExperimentRules) -> None:
    world = a_world(parallelism=2)
    one_ends(world)
    world.settle()
    world.edit(suspend=True)
    world.settle()
    world.rules = later
    world.settle()
    assert world.status["reason"] == "Paused"
    world.edit(suspend=False)
    world.runs_all(quality)
    assert world.removed == []
    assert world.made == [f"digits-t{number}-r0" for number in range(4)]


@each_other
def test_a_retry_runs_the_failed_ones_again_and_no_other(later: ExperimentRules) -> None:
    world = a_world(parallelism=2, maxFailed=0)
    one_ends(world)
    world.settle()
    made = list(world.made)
    for name in made[1:]:
        world.ends(name, "Error", "TrainerFailed")
    world.settle()
    assert world.status["reason"] == "TrialsFailed"
    world.rules = later
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    for name in made[1:]:
        world.goes_on(name)
    world.runs_all(quality)
    assert world.status["phase"] == "Done"
    assert world.made == [f"digits-t{number}-r0" for number in range(4)]


def test_the_best_trials_job_is_made_again_as_it_was() -> None:
    world = a_world()
    world.spec["actions"].append({"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]})
    while "digits-evaluate" not in world.jobs:
        one_ends(world)
        world.settle()
    world.ends("digits-evaluate", "Error", "TrainerFailed")
    world.settle()
    best = world.step("train")["job"]
    before = world.jobs.pop(best)
    world.rules = OTHERS["all of that"]
    world.annotations[names.RETRY_REQUESTED_AT] = "now"
    world.settle()
    assert world.jobs[best]["spec"] == before["spec"]
    assert world.removed == []


def test_a_bayesian_search_is_proposed_trials_of_the_space_that_it_began_with() -> None:
    world = a_world(algorithm="bayesian", maxRecommendations=5)
    for _ in range(2):
        one_ends(world)
    world.rules = OTHERS["another parameter"]
    one_ends(world)
    world.settle()
    order = ordered(world)
    assert [(one["name"], one["high"]) for one in order["space"]] == [("learning_rate", "0.1")]
    assert len(order["history"]) == 3
    world.proposes(("0.02",))
    world.settle()
    assert world.jobs["digits-t3-r0"]["spec"]["parameters"] == {"learning_rate": 0.02}
    assert world.removed == []


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_operators_that_come_and_go_with_other_catalogues_come_to_the_same_winner(
    data: st.DataObject,
) -> None:
    automl: Json = {"algorithm": "hyperband", "maxResource": 9}
    undisturbed = a_world(**automl)
    undisturbed.runs_all(quality)
    world = a_world(**automl, parallelism=data.draw(st.integers(1, 9)))
    world.settle()
    disturbances = data.draw(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=20))
    for _ in range(400):
        if world.status.get("completionTime"):
            break
        world.rules = data.draw(st.sampled_from([a_catalogue(), *OTHERS.values()]))
        world.writes_left = disturbances.pop() if disturbances else None
        world.look()
        alive = [n for n, job in world.jobs.items() if not job.get("status", {}).get("completionTime")]
        if alive:
            name = data.draw(st.sampled_from(alive))
            world.ends(name, value=quality(world.jobs[name]))
    assert world.status.get("phase") == "Done"
    assert world.removed == []
    assert sorted(world.made) == sorted(undisturbed.made)
    assert jobs_of(world) == jobs_of(undisturbed)
    same = {key: world.status["automl"]["bestTrial"][key] for key in ("number", "value", "job")}
    assert same == {key: undisturbed.status["automl"]["bestTrial"][key] for key in same}


class TestAnEarlierRelease:
    """Its status has nothing of what a search began with."""

    @pytest.mark.parametrize("automl", ALGORITHMS, ids=lambda automl: str(automl["algorithm"]))
    def test_what_it_began_goes_on_and_is_kept_from_now_on(self, automl: Json) -> None:
        world = a_world(**automl)
        one_ends(world)
        world.settle()
        before = world.status
        by_an_earlier_release(world)
        world.settle()
        assert world.status == before
        world.runs_all(quality)
        assert world.removed == []
        assert len(world.made) == len(set(world.made))

    @pytest.mark.parametrize("automl", ALGORITHMS, ids=lambda automl: str(automl["algorithm"]))
    @pytest.mark.parametrize("other", ["another range", "another parameter", "another metric"])
    def test_nothing_is_lost_where_this_one_has_another_catalogue(self, other: str, automl: Json) -> None:
        world = a_world(**automl)
        one_ends(world)
        world.settle()
        before, first = world.status["automl"], world.made[0]
        by_an_earlier_release(world)
        world.rules = OTHERS[other]
        world.settle()
        told = world.status["automl"]
        assert {key: told[key] for key in ("digest", "seed", "metric", "goal", "ledger")} == {
            key: before[key] for key in ("digest", "seed", "metric", "goal", "ledger")
        }
        world.runs_all(quality)
        assert world.removed == []
        assert world.made.count(first) == 1
        assert world.status["phase"] == "Done"
        for name, parameters in jobs_of(world).items():
            number, rung = name.removeprefix("digits-t").split("-r")
            if int(rung):
                begun = world.jobs[f"digits-t{number}-r0"]["spec"]["parameters"]
                assert {**parameters, "epochs": None} == {**begun, "epochs": None}

    def test_what_has_been_tried_elsewhere_is_not_told_to_who_proposes(self) -> None:
        world = a_world(algorithm="bayesian", maxRecommendations=6)
        for _ in range(3):
            one_ends(world)
        world.settle()
        world.pods.clear()
        by_an_earlier_release(world)
        world.rules = a_catalogue(tunable={"learning_rate": {**RATE, "min": 0.05, "max": 0.9}})
        world.settle()
        history = ordered(world)["history"]
        rates = [parameters["learning_rate"] for parameters in jobs_of(world).values()]
        assert [float(point[0]) for point, _ in history] == [rate for rate in rates if rate >= 0.05]

    def test_who_edits_it_has_it_begin_anew(self) -> None:
        world = a_world()
        one_ends(world)
        world.settle()
        by_an_earlier_release(world)
        world.rules = OTHERS["another range"]
        world.edit(automl={**world.spec["automl"], "seed": 8})
        world.settle()
        assert world.removed == ["digits-t0-r0", "digits-t1-r0"]

    def test_a_catalogue_that_knows_its_parameter_no_longer_is_told_of_and_it_goes_on_once_mended(
        self,
    ) -> None:
        world = a_world()
        one_ends(world)
        world.settle()
        by_an_earlier_release(world)
        world.rules = OTHERS["nothing to tune"]
        world.settle()
        assert world.step("train")["reason"] == "InvalidSpec"
        world.rules = OTHERS["another range"]
        world.runs_all(quality)
        assert world.removed == []
        assert world.made == [f"digits-t{number}-r0" for number in range(4)]
        assert world.status["phase"] == "Done"

    @each_other
    def test_one_that_has_ended_stays_as_it_is(self, later: ExperimentRules) -> None:
        world = a_world()
        world.spec["actions"].append({"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]})
        world.runs_all(quality)
        made = list(world.made)
        by_an_earlier_release(world)
        before = world.status
        world.rules = later
        world.settle()
        assert (world.made, world.removed) == (made, [])
        assert {**world.status, "automl": None} == {**before, "automl": None}
        same = {key: value for key, value in world.status["automl"].items() if key not in KEPT}
        assert same == before["automl"]


def test_an_edit_that_was_refused_does_not_pass_for_the_search_before() -> None:
    world = a_world()
    one_ends(world)
    world.settle()
    by_an_earlier_release(world)
    world.edit(automl={**world.spec["automl"], "seed": 8, "addHyperparameters": ["momentum"]})
    world.settle()
    assert world.step("train")["reason"] == "InvalidSpec"
    assert world.removed == []
    world.rules = OTHERS["another parameter"]
    world.settle()
    assert world.removed == ["digits-t0-r0", "digits-t1-r0"]
    assert world.status["automl"]["seed"] == 8


def test_where_status_was_lost_the_jobs_tell() -> None:
    world = a_world(parallelism=2)
    one_ends(world)
    world.settle()
    world.status = {}
    world.runs_all(quality)
    assert world.removed == []
    assert world.made == [f"digits-t{number}-r0" for number in range(4)]


@pytest.mark.parametrize(
    "space",
    [
        [{"name": "learning_rate", "type": "float", "min": "one", "max": "2"}],
        [{"name": "learning_rate", "type": "float", "min": "2", "max": "1"}],
        [{"name": "learning_rate", "type": "float"}],
        [{"type": "float"}],
        [{"name": "learning_rate", "type": "colour"}],
    ],
    ids=str,
)
def test_a_kept_space_that_is_none_is_kept_anew_and_nothing_is_lost(space: list[Json]) -> None:
    world = a_world()
    one_ends(world)
    world.settle()
    before = world.status
    world.status = {**before, "automl": {**before["automl"], "space": space}}
    world.settle()
    assert world.status == before
    assert world.removed == []


def test_a_space_that_has_no_room_in_status_goes_on_all_the_same() -> None:
    values = [f"{number:0200}" for number in range(250)]
    many = a_catalogue(tunable={"learning_rate": RATE, "seed": {"type": "categorical", "values": values}})
    world = a_world(many)
    one_ends(world)
    world.settle()
    assert "space" not in world.status["automl"]
    digest = world.status["automl"]["digest"]
    world.rules = OTHERS["another range"]
    world.edit(automl={**world.spec["automl"], "parallelism": 2})
    world.runs_all(quality)
    assert world.removed == []
    assert world.status["automl"]["digest"] == digest


def test_jobs_report_the_metric_that_the_search_began_with() -> None:
    world = a_world()
    one_ends(world)
    world.settle()
    raw = {"metadata": {"name": "digits", "uid": "uid-1"}, "spec": world.spec, "status": world.status}
    later = OTHERS["another metric"].context.catalog
    assert view(raw, later).goal == Goal("accuracy", False)
    assert view({**raw, "status": {}}, later).goal == Goal("rmse", True)
    asked = {**world.spec, "objective": {"metric": "recall", "goal": "Minimize"}}
    assert view({**raw, "spec": asked}, later).goal == Goal("recall", True)
    for automl in (None, {"enabled": False}):
        assert view({**raw, "spec": {**world.spec, "automl": automl}}, later).goal == Goal("rmse", True)


def test_the_digest_of_what_a_spec_asks_for_is_the_same_in_every_release() -> None:
    """NB: another one here begins weeks of training anew. Do not change this."""
    world = World(spec=a_search(algorithm="hyperband", maxResource=9))
    world.settle()
    assert world.status["automl"]["specDigest"] == "3992e76fdd40f68c"


def spaces() -> list[Any]:
    found = []
    for entry in catalog.built_in():
        for kind in sorted(entry.kinds):
            chosen = choose(kind, "train", catalog.built_in())
            if not isinstance(chosen, Unresolved) and chosen[1].tunable and chosen[0].name == entry.name:
                found.append(pytest.param(chosen[1], id=f"{entry.name} {kind}"))
    return found


@pytest.mark.parametrize("action", spaces())
def test_every_space_of_the_release_has_room_and_is_read_as_it_was(action: Any) -> None:
    automl = AutoML.model_validate({"algorithm": "random", "overrideDisabledParams": True})
    space = space_of(automl, action, {})
    searched = Searched(space=space, goal=Goal("m", True), epochs=("epochs",), digest="d")
    record = searchkept.as_status(searched, spec_digest="0" * 16)
    assert record["space"]
    assert len(orjson.dumps(record)) < 10_000
    AutoMLStatus.model_validate(record)
    assert searchkept.read({**record, "digest": "d", "metric": "m", "goal": "Minimize"}) == searched


#: As a spec or a catalogue may have them.
DECIMALS = st.builds(
    lambda digits, exponent: Decimal(f"{digits}e{exponent}"), st.integers(1, 10**17), st.integers(-99, 99)
)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_space_is_read_as_it_was_kept(data: st.DataObject) -> None:
    dimensions = []
    for number in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["float", "log", "stepped", "int", "categorical", "bool"]))
        name = f"p{number}"
        if kind == "bool":
            dimensions.append(Dimension(name, "bool"))
        elif kind == "categorical":
            values = data.draw(st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=5))
            dimensions.append(Dimension(name, "categorical", values=tuple(values)))
        elif kind == "int":
            low, high = sorted(data.draw(st.tuples(st.integers(-99, 99), st.integers(-99, 99))))
            dimensions.append(Dimension(name, "int", Decimal(low), Decimal(high)))
        else:
            low, high = sorted(data.draw(st.tuples(DECIMALS, DECIMALS)))
            step = data.draw(DECIMALS) if kind == "stepped" else None
            dimensions.append(Dimension(name, "float", low, high, step, log=kind == "log"))
    space = Space(tuple(dimensions))
    searched = Searched(space=space, goal=Goal("m", False), epochs=(), digest="d")
    record = orjson.loads(orjson.dumps(searchkept.as_status(searched, spec_digest="0")))
    found = searchkept.read({**record, "digest": "d", "metric": "m", "goal": "Maximize"})
    assert found is not None
    assert found.space == space
    assert found.space.as_json() == space.as_json()
