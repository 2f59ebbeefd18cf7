"""`trainyard runtimes` and `trainyard schema`, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from trainyard import catalog
from trainyard.cli import main


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_runtimes_are_a_table_of_all() -> None:
    result = call("runtimes")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["NAME", "SERVES", "ACTIONS", "IMAGE", "REQUIRES"]
    for entry in catalog.built_in():
        assert f"\n{entry.name} " in result.stdout


def test_one_runtime_is_shown_in_full() -> None:
    result = call("runtimes", "tao-pyt")
    assert result.exit_code == 0
    for text in ("NGC registry", "Not run by Trainyard's tests", "val_mAP50", "object_detection"):
        assert text in result.stdout


def test_runtimes_for_programs_can_be_given_back_as_entries() -> None:
    (entry,) = [one for one in json.loads(call("runtimes", "-o", "json").stdout) if one["name"] == "tao-pyt"]
    entry["name"], entry["image"] = "mine", "mine:1"
    (again,) = [e for e in catalog.with_files({"mine.yaml": json.dumps(entry)}) if e.name == "mine"]
    (ours,) = [e for e in catalog.built_in() if e.name == "tao-pyt"]
    assert again.details == ours.details
    assert again.actions["train"].tunables == ours.actions["train"].tunables
    assert again.actions["train"].epochs == ours.actions["train"].epochs
    assert again.actions["train"].epochs_of == ours.actions["train"].epochs_of
    assert {name: action.kinds for name, action in again.actions.items()} == {
        name: action.kinds for name, action in ours.actions.items()
    }
    assert yaml.safe_load(call("runtimes", "reference", "-o", "yaml").stdout)["name"] == "reference"


def test_a_schema_has_the_defaults_of_the_entry_in_their_places() -> None:
    schema = json.loads(call("schema", "dino", "train").stdout)
    assert schema["properties"]["results_dir"]["default"] == "${TRAINYARD_OUTPUT_DIR}"
    assert schema["properties"]["train"]["properties"]["seed"] == {"type": "integer"}


def test_a_schema_has_the_ranges_of_the_entry_in_their_places() -> None:
    train = json.loads(call("schema", "dino", "train").stdout)["properties"]["train"]["properties"]
    assert train["optim"]["properties"]["lr"]["x-tunable"] == {"type": "float", "min": 1e-7, "max": 2e-4}
    assert train["num_epochs"]["minimum"] == 1
    assert train["num_epochs"]["x-tunable"]["enabled"] is False


@pytest.mark.parametrize("what", ["random_forest", "neural_network"])
def test_the_schema_of_a_type_is_the_trainers(what: str) -> None:
    file = Path(__file__).parents[3] / f"images/trainer/src/trainyard_trainer/schemas/{what}.json"
    assert json.loads(call("schema", what, "train").stdout) == json.loads(file.read_text())
    assert yaml.safe_load(call("schema", what, "train", "-o", "yaml").stdout) == json.loads(file.read_text())


def test_a_runtime_without_a_schema_takes_any_object() -> None:
    schema = json.loads(call("schema", "custom", "custom").stdout)
    assert (schema["type"], schema["description"]) == (
        "object",
        "Runtime custom takes any parameters for this action.",
    )


def test_entries_of_a_folder_are_shown_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, image: 'mine:1', architectures: [resnet50],"
        " actions: {train: {schema: {properties: {train: {properties: {lr: {type: number}}}}},"
        " defaults: {train: {lr: 0.1}, seed: 1}}}}"
    )
    assert "\nmine " in call("runtimes", "--catalog", str(tmp_path)).stdout
    schema = json.loads(call("schema", "resnet50", "train", "--catalog", str(tmp_path)).stdout)
    assert schema["properties"] == {
        "train": {"properties": {"lr": {"type": "number", "default": 0.1}}},
        "seed": {"default": 1},
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            ["schema", "dinno", "train"],
            "No runtime serves dinno: did you mean dino?",
            id="an architecture's typo",
        ),
        pytest.param(
            ["schema", "dino", "prune"],
            "There is no action prune for dino: it has evaluate, export, gen_trt_engine, inference, train.",
            id="an action that it lacks",
        ),
        pytest.param(
            ["schema", "reference", "train"],
            "Action train of runtime reference has to know the type. Give type instead of runtime, one of "
            "decision_tree, neural_network, random_forest, regression.",
            id="a runtime whose parameters differ by type",
        ),
        pytest.param(
            ["runtimes", "pytorhc"],
            "No runtime is named pytorhc: did you mean pytorch?",
            id="a runtime's typo",
        ),
        pytest.param(
            ["runtimes", "--catalog", "FOLDER"],
            "Catalogue entry bad.yaml: it must be a map",
            id="a bad entry",
        ),
        pytest.param(
            ["runtimes", "--cluster", "--kubeconfig", "FOLDER/none"],
            "There is no cluster to talk to",
            id="no cluster where one is asked for",
        ),
    ],
)
def test_says_in_one_sentence_what_is_wrong(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    (tmp_path / "bad.yaml").write_text("- 1\n")
    result = call(*(argument.replace("FOLDER", str(tmp_path)) for argument in arguments))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"Error: {sentence}")
    assert result.stderr.count("\n") == 1
