"""Which runtime and action a job gets, and what is said when there is none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.builders import CONTEXT, NOW, a_job, a_spec, plan
from trainyard.planning.context import Context
from trainyard.planning.nearest import hint
from trainyard.planning.parameters import Schema
from trainyard.planning.runtime import Runtime, RuntimeAction, Unresolved, resolve
from trainyard.planning.trainingjob import plan_training_job

CATALOG = (
    Runtime(
        name="deploy",
        image="vendor/deploy:1",
        architectures=frozenset({"dino"}),
        actions={"gen_trt_engine": RuntimeAction(args=("engine",), needs_kind=True)},
    ),
    Runtime(
        name="pyt",
        image="vendor/pyt:1",
        architectures=frozenset({"dino", "ocrnet"}),
        actions={
            "train": RuntimeAction(command=("tool",), args=("train",), needs_kind=True),
            "prune": RuntimeAction(kinds=frozenset({"ocrnet"})),
        },
        run_as_user=65532,
        env={"HOME": "/tmp", "MODE": "entry"},
    ),
    Runtime(name="script", image="", actions={"train": RuntimeAction(needs_args="give args.")}),
    Runtime(
        name="tables",
        image="tables:1",
        types=frozenset({"forest", "network"}),
        actions={
            "train": RuntimeAction(
                needs_kind=True,
                schemas={
                    "forest": Schema({"properties": {"trees": {"x-tunable": {"min": 1}}}}),
                    "network": Schema({"properties": {"layers": {}}}),
                },
            ),
            "evaluate": RuntimeAction(),
        },
    ),
)
CATALOG_CONTEXT = Context(catalog=CATALOG, follow_logs=False)


def resolved(**fields: Any) -> tuple[Runtime, RuntimeAction]:
    found = resolve(a_spec(**fields), CATALOG)
    assert not isinstance(found, Unresolved), found.message
    return found


@pytest.mark.parametrize(
    ("fields", "image", "command", "args"),
    [
        pytest.param({"architecture": "dino"}, "vendor/pyt:1", ("tool",), ("train",), id="an architecture"),
        pytest.param(
            {"architecture": "dino", "action": "gen_trt_engine"},
            "vendor/deploy:1",
            (),
            ("engine",),
            id="an action of the architecture that another runtime does",
        ),
        pytest.param({"type": "forest"}, "tables:1", (), (), id="a type"),
        pytest.param(
            {"runtime": "tables", "action": "evaluate"}, "tables:1", (), (), id="a runtime by its name"
        ),
        pytest.param(
            {"architecture": "dino", "image": "mine:2"},
            "mine:2",
            ("tool",),
            ("train",),
            id="an image of one's own",
        ),
        pytest.param(
            {"architecture": "dino", "args": ["x"]},
            "vendor/pyt:1",
            ("tool",),
            ("x",),
            id="arguments of one's own",
        ),
        pytest.param(
            {"architecture": "dino", "command": ["mine"]},
            "vendor/pyt:1",
            ("mine",),
            (),
            id="a command of one's own takes none of the entry's arguments",
        ),
        pytest.param({"image": "mine:2", "action": "custom"}, "mine:2", (), (), id="an image and no runtime"),
        pytest.param(
            {"runtime": "script", "image": "mine:2", "args": ["train.py"]},
            "mine:2",
            (),
            ("train.py",),
            id="a runtime that has neither image nor arguments",
        ),
    ],
)
def test_what_serves_a_job(
    fields: dict[str, Any], image: str, command: tuple[str, ...], args: tuple[str, ...]
) -> None:
    runtime, action = resolved(**fields)
    assert (runtime.image, action.command, action.args) == (image, command, args)


def test_the_schema_and_what_can_be_tuned_are_those_of_the_type() -> None:
    _, forest = resolved(type="forest")
    _, network = resolved(type="network")
    assert forest.schema is not None
    assert forest.schema.raw["properties"].keys() == {"trees"}
    assert forest.tunable == {"trees": {"min": 1}}
    assert network.tunable == {}


def test_ranges_of_the_entry_go_over_the_schemas_and_those_of_a_type_over_both() -> None:
    schema = Schema({"properties": {name: {"x-tunable": {"min": 0}} for name in "abc"}})
    action = RuntimeAction(
        schema=schema,
        tunable={"b": {"min": 1}, "c": {"min": 1}},
        tunables={"forest": {"c": {"min": 2}}, "network": {"c": {"min": 3}}},
    )
    assert action.for_kind("forest").tunable == {"a": {"min": 0}, "b": {"min": 1}, "c": {"min": 2}}
    assert action.for_kind("").tunable["c"] == {"min": 1}


def test_what_sets_the_epochs_is_that_of_the_type_where_it_has_its_own() -> None:
    action = RuntimeAction(epochs=("epochs",), epochs_of={"forest": ("epochs", "trees"), "tree": ()})
    assert action.for_kind("network").epochs == ("epochs",)
    assert action.for_kind("forest").epochs == action.for_kind("forest").for_kind("forest").epochs
    assert action.for_kind("forest").epochs == ("epochs", "trees")
    assert action.for_kind("tree").epochs == ()


@pytest.mark.parametrize("action", ["train", "retrain", "distill", "quantize", "custom"])
def test_an_image_of_ones_own_can_resume_what_trains(action: str) -> None:
    assert resolved(image="mine:2", action=action)[1].resumable


@pytest.mark.parametrize("action", ["evaluate", "inference", "export", "prune"])
def test_an_image_of_ones_own_resumes_nothing_else(action: str) -> None:
    assert not resolved(image="mine:2", action=action)[1].resumable


@pytest.mark.parametrize("theirs_first", [True, False])
def test_an_entry_of_the_users_own_goes_before_one_of_the_release(theirs_first: bool) -> None:
    theirs = Runtime(
        name="zz-mine",
        image="mine:1",
        architectures=frozenset({"dino"}),
        actions={"train": RuntimeAction()},
        own=True,
    )
    catalog = (theirs, *CATALOG) if theirs_first else (*CATALOG, theirs)
    found = resolve(a_spec(architecture="dino"), catalog)
    assert not isinstance(found, Unresolved)
    assert found[0].name == "zz-mine"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        pytest.param(
            {"architecture": "dinno"}, "No runtime for architecture dinno: did you mean dino?", id="a typo"
        ),
        pytest.param(
            {"architecture": "qqq"},
            "No runtime for architecture qqq: known are dino, ocrnet.",
            id="nothing like it",
        ),
        pytest.param(
            {"architecture": "forest"},
            "No runtime for architecture forest: write type: forest instead.",
            id="a type as an architecture",
        ),
        pytest.param(
            {"type": "dino"},
            "No runtime for type dino: write architecture: dino instead.",
            id="an architecture as a type",
        ),
        pytest.param(
            {"type": "auto"},
            "type: auto asks for the type that suits the data best, which only an MLModel can; name a type, one of "
            "forest, network.",
            id="auto",
        ),
        *(
            pytest.param(
                {"type": kind},
                f"No runtime serves type {kind}: name an architecture instead (`trainyard runtimes` lists them), or "
                "add an entry of your own to the catalogue.",
                id=kind,
            )
            for kind in (
                "single_label_classification",
                "multi_label_classification",
                "object_detection",
            )
        ),
        pytest.param(
            {"runtime": "table"}, "No runtime is named table: did you mean tables?", id="a runtime's typo"
        ),
        pytest.param(
            {"architecture": "dino", "action": "prune"},
            "There is no action prune for dino: it has gen_trt_engine, train.",
            id="an action that another architecture of the runtime has",
        ),
        pytest.param(
            {"runtime": "tables", "action": "quantize"},
            "Runtime tables has no action quantize: it has evaluate, train.",
            id="an action that the runtime lacks",
        ),
        pytest.param(
            {"runtime": "tables"},
            "Action train of runtime tables has to know the type. Give type instead of runtime, one of forest, "
            "network.",
            id="a runtime where the type matters",
        ),
        pytest.param(
            {"runtime": "pyt"},
            "Action train of runtime pyt has to know the architecture. Give architecture instead of runtime, one of "
            "dino, ocrnet.",
            id="a runtime where the architecture matters",
        ),
        pytest.param(
            {"runtime": "script", "args": ["x"]},
            "Runtime script has no image of its own: give one as spec.image.",
            id="no image",
        ),
        pytest.param(
            {"runtime": "script", "image": "mine:1"}, "Runtime script: give args.", id="no arguments"
        ),
    ],
)
def test_what_is_said_when_nothing_serves_a_job(fields: dict[str, Any], sentence: str) -> None:
    found = resolve(a_spec(**fields), CATALOG)
    assert isinstance(found, Unresolved)
    assert found.message == sentence
    status = plan(a_job(**fields), context=CATALOG_CONTEXT).status
    assert status is not None
    assert status["reason"] == "InvalidSpec"
    assert status["message"].startswith(sentence)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("tao", "did you mean tao-pyt, tao-tf1 or tao-tf2?", id="names that begin so, three"),
        pytest.param("tao-tf3", "did you mean tao-tf2 or tao-tf1?", id="names like it, two"),
        pytest.param(
            "mon", "did you mean monai or montage?", id="a short beginning, which is not much like the whole"
        ),
        pytest.param(
            "net_of_mine",
            "the nearest are number_net_9, number_net_8, number_net_7; `trainyard runtimes` lists all 16.",
            id="nothing alike among many",
        ),
        pytest.param("qqq", "`trainyard runtimes` lists all 16.", id="nothing alike at all"),
    ],
)
def test_which_of_many_names_are_named(name: str, expected: str) -> None:
    known = ["tao-deploy", "tao-tf2", "tao-pyt", "tao-tf1", "monai", "montage"]
    known += [f"number_net_{number}" for number in range(10)]
    assert hint(name, known, listed_by="`trainyard runtimes`") == expected


@pytest.mark.parametrize(
    "fields",
    [{"architecture": "qqq"}, {"type": "qqq"}, {"runtime": "qqq"}],
    ids=lambda fields: next(iter(fields)),
)
def test_a_long_list_of_what_is_known_is_left_to_a_command(fields: dict[str, Any]) -> None:
    names = [f"name{number}" for number in range(46)]
    kinds = frozenset(names)
    catalog = [Runtime(name=name, image="", architectures=kinds, types=kinds) for name in names]
    found = resolve(a_spec(**fields), catalog)
    assert isinstance(found, Unresolved)
    assert found.message.endswith("qqq: `trainyard runtimes` lists all 46.")


def test_the_pod_gets_what_the_image_needs_and_the_jobs_own_environment_wins() -> None:
    job = a_job(architecture="dino", env=[{"name": "MODE", "value": "job"}])
    (pod,) = plan_training_job(job, now=NOW, context=CATALOG_CONTEXT).create
    (container,) = pod["spec"]["containers"]
    env = [(e["name"], e["value"]) for e in container["env"] if not e["name"].startswith("TRAINYARD_")]
    assert env == [("HOME", "/tmp"), ("MODE", "job")]
    assert pod["spec"]["securityContext"]["runAsUser"] == 65532


def test_an_image_that_says_its_user_keeps_it() -> None:
    (pod,) = plan_training_job(a_job(), now=NOW, context=CONTEXT).create
    assert "runAsUser" not in pod["spec"]["securityContext"]
