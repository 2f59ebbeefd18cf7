"""What an Experiment searches: its own space, the runtime's choice, and what is refused before the first trial."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard import catalog
from trainyard.api.automl import AutoML
from trainyard.planning.parameters import Schema
from trainyard.planning.runtime import RuntimeAction, Unresolved, choose
from trainyard.planning.searchspace import SpaceError, epochs_names, space_of, with_epochs
from trainyard.search.space import Space

SCHEMA = Schema(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["target"],
        "properties": {
            "target": {"type": "string"},
            "epochs": {"type": ["integer", "null"], "minimum": 1},
            "trees": {
                "type": ["integer", "null"],
                "minimum": 1,
                "x-tunable": {"type": "int", "min": 10, "max": 90},
            },
            "rate": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 10,
                "x-tunable": {"type": "float", "min": 1e-7, "max": 0.1, "log": True},
            },
            "layers": {
                "type": "array",
                "items": {"type": "integer"},
                "x-tunable": {"type": "categorical", "values": [[32], [64, 32]]},
            },
            "name": {
                "type": "string",
                "x-tunable": {"type": "categorical", "values": ["adam", "64", "true"]},
            },
            "decay": {"type": "number", "x-tunable": {"type": "float", "min": 0, "max": 1, "enabled": False}},
            "optim": {"type": "object", "properties": {"lr": {"type": "number", "maximum": 1}}},
        },
    }
)
ACTION = RuntimeAction(schema=SCHEMA, epochs=("epochs", "trees")).for_kind("")
UNKNOWN = RuntimeAction()


def an_automl(**fields: Any) -> AutoML:
    return AutoML.model_validate({"algorithm": "random"} | fields)


def names(space: Space) -> list[str]:
    return [dimension.name for dimension in space.dimensions]


def a_rate(name: str = "rate", low: str = "0.1", high: str = "1") -> dict[str, Any]:
    return {"name": name, "type": "float", "min": low, "max": high}


def test_without_a_space_the_runtime_chooses() -> None:
    space = space_of(an_automl(), ACTION, {})
    assert names(space) == ["layers", "name", "rate", "trees"]
    rate = space.dimensions[2].low, space.dimensions[2].log
    assert (str(rate[0]), rate[1]) == ("1E-7", True)


def test_values_of_the_runtime_arrive_as_what_they_are() -> None:
    space = space_of(an_automl(removeHyperparameters=["rate", "trees"]), ACTION, {})
    assert space.dimensions[0].values == ("[32]", "[64,32]")
    assert space.dimensions[1].values == ("adam", '"64"', '"true"')
    assert space.parameters(("[64,32]", '"64"')) == {"layers": [64, 32], "name": "64"}
    assert space.parameters(("[32]", "adam")) == {"layers": [32], "name": "adam"}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        pytest.param({"removeHyperparameters": ["rate"]}, ["layers", "name", "trees"], id="less"),
        pytest.param(
            {"removeHyperparameters": ["decay"]}, ["layers", "name", "rate", "trees"], id="less of nothing"
        ),
        pytest.param(
            {"addHyperparameters": ["decay"]},
            ["decay", "layers", "name", "rate", "trees"],
            id="one switched off",
        ),
        pytest.param(
            {"overrideDisabledParams": True},
            ["decay", "layers", "name", "rate", "trees"],
            id="all that are switched off",
        ),
        pytest.param({"space": [a_rate()]}, ["rate"], id="a space of one's own"),
        pytest.param(
            {"space": [a_rate("optim.lr")], "addHyperparameters": ["layers"]},
            ["layers", "optim.lr"],
            id="a space of one's own and more",
        ),
        pytest.param({"space": [a_rate()], "addHyperparameters": ["rate"]}, ["rate"], id="one and the same"),
    ],
)
def test_the_choice_can_be_changed(fields: dict[str, Any], found: list[str]) -> None:
    assert names(space_of(an_automl(**fields), ACTION, {})) == found


def test_the_space_of_the_spec_goes_before_the_runtimes_range() -> None:
    space = space_of(an_automl(space=[a_rate(high="0.5")], addHyperparameters=["rate"]), ACTION, {})
    assert str(space.dimensions[0].high) == "0.5"


def test_the_order_of_a_space_is_that_of_the_names() -> None:
    one, other = a_rate("rate"), a_rate("optim.lr")
    assert space_of(an_automl(space=[one, other]), ACTION, {}) == space_of(
        an_automl(space=[other, one]), ACTION, {}
    )


@pytest.mark.parametrize(
    ("fields", "given", "said"),
    [
        pytest.param(
            {"space": [a_rate("rat")]}, {}, r"space: rat is no parameter .* did you mean rate\?", id="typo"
        ),
        pytest.param(
            {"space": [a_rate(high="100")]}, {}, "rate must be at most 10, but is 100", id="too much"
        ),
        pytest.param({"space": [a_rate(low="0")]}, {}, "rate must be above 0, but is 0", id="too little"),
        pytest.param(
            {"space": [{"name": "layers", "type": "categorical", "values": ["[32]", "many"]}]},
            {},
            r"layers\[0\] must be of type integer",
            id="the second choice is wrong",
        ),
        pytest.param(
            {"space": [a_rate(), a_rate("rate.x")]}, {}, r"rate\.x is no parameter", id="a part of a number"
        ),
        pytest.param(
            {"space": [{"name": "optim", "type": "categorical", "values": ["{}"]}, a_rate("optim.lr")]},
            {},
            r"space: optim\.lr is a part of optim",
            id="a parameter and a part of it",
        ),
        pytest.param(
            {"space": [{**a_rate(), "step": "0"}]}, {}, "rate: step must be more than 0", id="no steps"
        ),
        pytest.param(
            {"addHyperparameters": ["optim.lr"]},
            {},
            r"addHyperparameters: the runtime has no range",
            id="no range",
        ),
        pytest.param(
            {"removeHyperparameters": ["rat"]},
            {},
            r"removeHyperparameters: .* mean rate\?",
            id="less of a typo",
        ),
        pytest.param(
            {"addHyperparameters": ["decay"], "removeHyperparameters": ["decay"]},
            {},
            "decay is in addHyperparameters and in removeHyperparameters",
            id="more and less",
        ),
        pytest.param(
            {"removeHyperparameters": ["rate", "layers", "name", "trees"]},
            {},
            "nothing left to search",
            id="nothing",
        ),
        pytest.param(
            {"space": [{"name": "epochs", "type": "int", "min": "1", "max": "9"}]},
            {},
            "epochs cannot be searched: it sets the number of epochs",
            id="the epochs",
        ),
        pytest.param(
            {"space": [{"name": "trees", "type": "int", "min": "1", "max": "9"}]},
            {"epochs": 3},
            "trees cannot be searched: the step gives epochs, which sets the same",
            id="what the step has set under another name",
        ),
        pytest.param(
            {"algorithm": "hyperband", "addHyperparameters": ["trees"]},
            {},
            "trees cannot be searched: it sets the number of epochs",
            id="another name of the epochs where rungs set them",
        ),
        pytest.param(
            {"epochsParameter": "epoch"},
            {},
            r"epochsParameter: epoch is no parameter .* mean epochs\?",
            id="no epochs",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_field(
    fields: dict[str, Any], given: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpaceError, match=said) as raised:
        space_of(an_automl(**fields), ACTION, given)
    assert str(raised.value).startswith("spec.automl")
    assert str(raised.value).endswith((".", "?"))


def test_a_choice_that_the_job_would_be_taken_as_is_no_mistake() -> None:
    values = ["64", "[64, 32]", '"[8]"']
    space = space_of(
        an_automl(space=[{"name": "layers", "type": "categorical", "values": values}]), ACTION, {}
    )
    assert space.dimensions[0].values == tuple(values)


def test_a_runtime_that_knows_no_ranges_needs_a_space() -> None:
    with pytest.raises(SpaceError, match="the runtime says of none that it can be tuned"):
        space_of(an_automl(), UNKNOWN, {})
    assert names(space_of(an_automl(space=[a_rate("whatever")]), UNKNOWN, {})) == ["whatever"]


@pytest.mark.parametrize("algorithm", ["hyperband", "asha"])
def test_rungs_need_to_know_what_sets_the_epochs(algorithm: str) -> None:
    automl = an_automl(algorithm=algorithm, space=[a_rate("lr")])
    with pytest.raises(SpaceError, match=rf"spec.automl.epochsParameter: {algorithm} gives trials"):
        space_of(automl, UNKNOWN, {})
    named = an_automl(algorithm=algorithm, space=[a_rate("lr")], epochsParameter="train.epochs")
    assert names(space_of(named, UNKNOWN, {})) == ["lr"]
    assert epochs_names(named, UNKNOWN) == ("train.epochs",)
    assert epochs_names(automl, UNKNOWN) == ()


@pytest.mark.parametrize("algorithm", ["hyperband", "asha"])
def test_where_rungs_set_the_epochs_none_of_their_names_is_searched(algorithm: str) -> None:
    assert names(space_of(an_automl(algorithm=algorithm), ACTION, {})) == ["layers", "name", "rate"]


def test_another_name_of_the_epochs_may_be_searched_where_nobody_sets_them() -> None:
    for given in ({}, {"trees": 50}, {"epochs": None}):
        assert "trees" in names(space_of(an_automl(), ACTION, given))
    assert "trees" not in names(space_of(an_automl(), ACTION, {"epochs": 5}))


def test_the_epochs_of_a_rung_go_over_all_of_their_names() -> None:
    given = {"trees": 300, "rate": 0.1, "optim": {"lr": 0.5}}
    set_to = with_epochs(given, 9, names=epochs_names(an_automl(), ACTION))
    assert set_to == {"rate": 0.1, "optim": {"lr": 0.5}, "epochs": 9}
    assert given["trees"] == 300
    named = an_automl(epochsParameter="trees")
    assert with_epochs({"epochs": 3}, 9, names=epochs_names(named, ACTION)) == {"trees": 9}


def test_the_epochs_of_a_rung_reach_a_nested_parameter() -> None:
    action = RuntimeAction(
        epochs=("train.num_epochs",), epochs_of={"other": ("run.train.steps", "train.steps")}
    )
    given = {"train": {"num_epochs": 3, "optim": {"lr": 1}, "steps": 4}}
    assert with_epochs(given, 9, names=epochs_names(an_automl(), action.for_kind("dino"))) == {
        "train": {"num_epochs": 9, "optim": {"lr": 1}, "steps": 4}
    }
    assert with_epochs(given, 9, names=epochs_names(an_automl(), action.for_kind("other"))) == {
        "train": {"num_epochs": 3, "optim": {"lr": 1}},
        "run": {"train": {"steps": 9}},
    }
    assert with_epochs(given, 9, names=()) == given


TRAINED = [
    (kind, entry.name)
    for entry in catalog.built_in()
    if "train" in entry.actions
    for kind in sorted(entry.kinds)
    if entry.actions["train"].serves(kind)
]


@pytest.mark.parametrize(("kind", "runtime"), TRAINED)
def test_what_the_release_says_can_be_tuned_makes_a_space(kind: str, runtime: str) -> None:
    found = choose(kind, "train", catalog.built_in())
    assert not isinstance(found, Unresolved)
    entry, action = found
    assert entry.name == runtime
    if not action.tunable:
        return
    automl = an_automl(algorithm="hyperband" if action.epochs else "random", overrideDisabledParams=True)
    space = space_of(automl, action, {})
    assert not {*names(space)} & {*action.epochs}
    assert len(space.dimensions) >= len(action.tunable) - 1
