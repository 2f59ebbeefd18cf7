"""Entries of the catalogue as administrators write them: what is taken, and what is said of a wrong one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainyard import catalog
from trainyard.catalog import CatalogError
from trainyard.planning.runtime import Runtime

A_CLOSED_SCHEMA = {"properties": {"epochs": {"type": "integer"}}, "additionalProperties": False}


def an_entry(**fields: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "image": "mine:1",
        "architectures": ["resnet50"],
        "actions": {"train": {}},
    } | fields


def added(**fields: Any) -> Runtime:
    entries = catalog.with_files({"mine.yaml": yaml.safe_dump(an_entry(**fields))})
    (found,) = [entry for entry in entries if entry.name == fields.get("name", "mine")]
    return found


def test_an_entry_is_taken_as_it_is_written() -> None:
    found = added(
        types={"forest": {"datasetType": "tabular", "metrics": ["accuracy"]}},
        requires=["gpu"],
        runAsUser=1000,
        env={"HOME": "/tmp"},
        actions={
            "train": {
                "command": ["run"],
                "args": ["$(TRAINYARD_TYPE)"],
                "schema": {"properties": {"epochs": {"type": "integer"}, "trees": {"type": "integer"}}},
                "defaults": {"epochs": 3},
                "tunable": {"epochs": {"type": "int", "min": 1, "max": 9}},
                "epochs": "epochs",
                "epochsOf": {"forest": ["epochs", "trees"]},
                "resumable": True,
            },
            "export": {"only": ["forest"]},
        },
    )
    train = found.actions["train"]
    assert (train.command, train.args, train.resumable) == (("run",), ("$(TRAINYARD_TYPE)",), True)
    assert (train.defaults, train.tunable) == (
        {"epochs": 3},
        {"epochs": {"type": "int", "min": 1, "max": 9}},
    )
    assert (train.epochs, train.epochs_of) == (("epochs",), {"forest": ("epochs", "trees")})
    assert sorted(found.actions_of("resnet50")) == ["train"]
    assert sorted(found.actions_of("forest")) == ["export", "train"]
    assert found.details["forest"].dataset_type == "tabular"
    assert (found.own, found.run_as_user, found.env) == (True, 1000, {"HOME": "/tmp"})


def test_a_file_beside_the_entry_is_put_in_its_place_and_kubernetes_expands_nothing_in_it() -> None:
    text = yaml.safe_dump(
        an_entry(
            actions={"train": {"command": ["python3", "-c", {"file": "go.py"}], "schema": {"file": "p.json"}}}
        )
    )
    files = {
        "mine.yaml": text,
        "go.py": 'print("$(HOME)")',
        "p.json": '{"properties": {"a": {"type": "string"}}}',
    }
    (found,) = [entry for entry in catalog.with_files(files) if entry.name == "mine"]
    action = found.actions["train"]
    assert action.command == ("python3", "-c", 'print("$$(HOME)")')
    assert action.schema is not None
    assert action.schema.raw["properties"] == {"a": {"type": "string"}}


def test_top_level_keys_that_start_with_x_are_for_anchors() -> None:
    text = (
        "x-run: &run {command: [go]}\nname: mine\nactions: {train: *run, evaluate: {<<: *run, args: [-e]}}\n"
    )
    (found,) = [entry for entry in catalog.with_files({"mine.yml": text}) if entry.name == "mine"]
    assert (found.actions["evaluate"].command, found.actions["evaluate"].args) == (("go",), ("-e",))


def test_numbers_are_those_of_yaml_1_2() -> None:
    text = (
        "name: mine\n"
        "actions: {train: {schema: {properties: {lr: {minimum: 1e-05, maximum: 1e5}}},"
        " defaults: {lr: 1e-5, name: '1e-5'}}}\n"
    )
    (found,) = [entry for entry in catalog.with_files({"mine.yaml": text}) if entry.name == "mine"]
    action = found.actions["train"]
    assert action.schema is not None
    assert action.schema.raw["properties"]["lr"] == {"minimum": 1e-5, "maximum": 1e5}
    assert action.defaults == {"lr": 1e-5, "name": "1e-5"}


def test_a_time_is_text_and_a_key_that_is_there_twice_is_an_error() -> None:
    text = "name: mine\nactions: {train: {defaults: {at: 12:30, 1: a}}}\n"
    (found,) = [entry for entry in catalog.with_files({"mine.yaml": text}) if entry.name == "mine"]
    assert found.actions["train"].defaults == {"at": "12:30", "1": "a"}
    with pytest.raises(CatalogError, match=r"the key image is there twice in one place"):
        catalog.with_files({"mine.yaml": f"image: a\nimage: b\n{text}"})


def test_defaults_may_leave_out_what_the_job_must_give_also_in_an_object_or_null() -> None:
    train = {"type": "object", "required": ["data"], "properties": {"data": {}, "lr": {"type": "number"}}}
    found = added(
        actions={
            "train": {
                "schema": {"properties": {"train": {"anyOf": [train, {"type": "null"}]}}},
                "defaults": {"train": {"lr": 0.1}},
            }
        }
    )
    assert found.actions["train"].defaults == {"train": {"lr": 0.1}}


def test_a_default_may_have_a_name_that_a_pattern_takes() -> None:
    schema = {"patternProperties": {"^lr_": {"type": "number"}}, "additionalProperties": False}
    found = added(actions={"train": {"schema": schema, "defaults": {"lr_head": 0.1}}})
    assert found.actions["train"].defaults == {"lr_head": 0.1}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        pytest.param({"imag": "x"}, "imag: there is no such key", id="a key of none"),
        pytest.param({"name": "My Trainer"}, "name: String should match", id="a name with a space"),
        pytest.param({"image": "a b"}, "image: String should match", id="an image with a space"),
        pytest.param({"actions": {}}, "actions: Dictionary should have at least 1 item", id="no actions"),
        pytest.param(
            {"actions": {"trian": {}}},
            "actions.trian: there is no such action: did you mean train or retrain?",
            id="an action's typo",
        ),
        pytest.param(
            {"actions": {"train": {"comand": []}}},
            "actions.train.comand: there is no such key",
            id="a key of an action",
        ),
        pytest.param(
            {"actions": {"train": {"only": ["vgg"]}}},
            "actions.train.only: vgg is no type or architecture of this entry",
            id="an action only for what the entry does not serve",
        ),
        pytest.param(
            {"actions": {"train": {"schema": {"type": "objekt"}}}},
            "actions.train.schema: schema.type: 'objekt' is not valid",
            id="a schema that is none",
        ),
        pytest.param(
            {"actions": {"train": {"schema": {"$ref": "http://example.com/s.json"}}}},
            "actions.train.schema: schema: $ref http://example.com/s.json points outside",
            id="a schema that would be fetched",
        ),
        pytest.param(
            {"actions": {"train": {"schema": {"file": "none.json"}}}},
            "actions.train.schema: there is no file none.json beside the entry",
            id="a file that is not there",
        ),
        pytest.param(
            {"actions": {"train": {"schema": {"file": "../secret.json"}}}},
            "actions.train.schema.file: String should match",
            id="a file elsewhere",
        ),
        pytest.param(
            {"actions": {"train": {"command": [{"file": "/etc/passwd"}]}}},
            "actions.train.command.0",
            id="a command from a file elsewhere",
        ),
        pytest.param(
            {"types": ["a", "b"], "actions": {"train": {"schemas": {"a": {}}}}},
            "actions.train.schemas: there is none for b, resnet50, and no schema for all",
            id="a schema for one of several",
        ),
        pytest.param(
            {"actions": {"train": {"schemas": {"vgg": {}}}}},
            "actions.train.schemas: vgg is no type or architecture of this entry",
            id="a schema for what the entry does not serve",
        ),
        pytest.param(
            {
                "actions": {
                    "train": {
                        "schema": {"additionalProperties": False, "properties": {"epochs": {}}},
                        "defaults": {"epoch": 1},
                    }
                }
            },
            "actions.train.defaults.epoch: not in the schema: did you mean epochs?",
            id="a default that the schema does not know",
        ),
        pytest.param(
            {"actions": {"train": {"schema": {"properties": {"n": {"minimum": 1}}}, "defaults": {"n": 0}}}},
            "actions.train.defaults: parameters.n must be at least 1, but is 0",
            id="a default that the schema refuses",
        ),
        pytest.param(
            {
                "actions": {
                    "train": {
                        "schema": {
                            "properties": {"train": {"additionalProperties": False, "properties": {"lr": {}}}}
                        },
                        "tunable": {"train.rl": {"type": "float", "min": 0, "max": 1}},
                    }
                }
            },
            "actions.train.tunable.train.rl: not in the schema: did you mean train.lr or train?",
            id="a range for what the schema does not know",
        ),
        pytest.param(
            {"actions": {"train": {"tunables": {"vgg": {}}}}},
            "actions.train.tunables: vgg is no type or architecture of this entry",
            id="ranges for what the entry does not serve",
        ),
        pytest.param(
            {"actions": {"train": {"tunables": {"resnet50": {"lr": {"type": "float", "min": 1}}}}}},
            "actions.train.tunables.resnet50.lr: a float or an int needs min and max",
            id="a range without an end",
        ),
        pytest.param(
            {"actions": {"train": {"epochsOf": {"vgg": "epochs"}}}},
            "actions.train.epochsOf: vgg is no type or architecture of this entry",
            id="epochs of what the entry does not serve",
        ),
        pytest.param(
            {"actions": {"train": {"schema": A_CLOSED_SCHEMA, "epochs": "epoch"}}},
            "actions.train.epochs: epoch is not in the schema: did you mean epochs?",
            id="epochs that the schema does not know",
        ),
        pytest.param(
            {
                "actions": {
                    "train": {"schema": A_CLOSED_SCHEMA, "epochsOf": {"resnet50": ["epochs", "steps"]}}
                }
            },
            "actions.train.epochsOf: steps is not in the schema",
            id="another name of the epochs that the schema does not know",
        ),
        pytest.param(
            {"actions": {"train": {"epochs": 5}}},
            "actions.train.epochs: Input should be a valid tuple",
            id="a number of epochs",
        ),
        pytest.param(
            {"actions": {"train": {"tunable": {"lr": {"type": "float", "min": "low", "max": 1}}}}},
            "actions.train.tunable.lr: min: Input should be a valid number",
            id="a range from a word",
        ),
        pytest.param(
            {"actions": {"train": {"tunable": {"lr": {"type": "float", "min": 0, "max": 1, "log": True}}}}},
            "actions.train.tunable.lr: a log scale needs a min of more than 0",
            id="a log scale from 0",
        ),
        pytest.param(
            {"actions": {"train": {"schema": {"properties": {"lr": {"x-tunable": {"type": "real"}}}}}}},
            "actions.train.schema: x-tunable of lr: type: Input should be 'float'",
            id="an x-tunable of no type",
        ),
        pytest.param(
            {"types": ["resnet50"]},
            "types: resnet50 is among the architectures too",
            id="a type and an architecture",
        ),
        pytest.param({"runAsUser": 0}, "runAsUser: Input should be greater than or equal to 1", id="root"),
    ],
)
def test_a_wrong_entry_is_refused_with_the_file_and_the_key(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CatalogError) as refused:
        added(**fields)
    assert "Catalogue entry mine.yaml" in str(refused.value)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        pytest.param({"a.yaml": "]:"}, "Catalogue file a.yaml is not YAML or JSON", id="no YAML"),
        pytest.param({"a.yaml": "- 1"}, "Catalogue entry a.yaml: it must be a map", id="a list"),
        pytest.param(
            {"a.yaml": yaml.safe_dump(an_entry()), "b.yaml": yaml.safe_dump(an_entry())},
            "Catalogue entry b.yaml: name: another file has an entry mine already",
            id="one name twice",
        ),
        pytest.param(
            {"a.yaml": yaml.safe_dump(an_entry(name="a")), "b.yaml": yaml.safe_dump(an_entry(name="b"))},
            "Catalogue entries a and b both do train of resnet50: take it out of one.",
            id="one action of an architecture twice",
        ),
    ],
)
def test_wrong_files_are_refused(files: dict[str, str], complaint: str) -> None:
    with pytest.raises(CatalogError) as refused:
        catalog.with_files(files)
    assert complaint in str(refused.value)


def folder(path: Path, **fields: Any) -> str:
    path.mkdir()
    (path / "mine.yaml").write_text(yaml.safe_dump(an_entry(**fields)))
    return str(path)


def test_an_entry_with_the_name_of_the_releases_replaces_it_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    entries = catalog.load({}, [folder(tmp_path / "a", name="pytorch", architectures=[])])
    (found,) = [entry for entry in entries if entry.name == "pytorch"]
    assert found.image == "mine:1"
    assert "your entry pytorch replaces the one of that name" in caplog.text


def test_an_entry_for_an_architecture_of_the_releases_goes_before_it_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    catalog.load({}, [folder(tmp_path / "a", architectures=["dino"])])
    assert "your entry mine does train of dino, not tao-pyt" in caplog.text


def test_images_of_the_settings_are_for_any_entry(tmp_path: Path) -> None:
    entries = catalog.load({"mine": "mine:2", "reference": "ours:2"}, [folder(tmp_path / "a")])
    images = {entry.name: entry.image for entry in entries}
    assert (images["mine"], images["reference"]) == ("mine:2", "ours:2")


def test_a_mounted_config_map_is_read_as_kubernetes_lays_it_out(tmp_path: Path) -> None:
    data = tmp_path / "..2027_01_01"
    data.mkdir()
    (data / "mine.yaml").write_text(yaml.safe_dump(an_entry()))
    (tmp_path / "..data").symlink_to(data.name)
    (tmp_path / "mine.yaml").symlink_to("..data/mine.yaml")
    assert "mine" in [entry.name for entry in catalog.load({}, [str(tmp_path)])]


@pytest.mark.parametrize(
    ("images", "folders", "complaint"),
    [
        pytest.param(
            {"referense": "x"},
            [],
            "settings images.referense: no catalogue entry has this name: did you mean reference or reference-jax?",
            id="an image for no entry",
        ),
        pytest.param(
            {}, ["/nowhere/at/all"], "Catalogue folder /nowhere/at/all cannot be read", id="a folder of none"
        ),
    ],
)
def test_wrong_settings_of_the_catalogue_are_refused(
    images: dict[str, str], folders: list[str], complaint: str
) -> None:
    with pytest.raises(CatalogError) as refused:
        catalog.load(images, folders)
    assert complaint in str(refused.value)


def test_two_folders_may_not_have_a_file_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"there is a file mine\.yaml in another folder already"):
        catalog.load({}, [folder(tmp_path / "a"), folder(tmp_path / "b")])
