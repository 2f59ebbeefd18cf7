"""What holds for every CRD, whatever fields are added. Each test names all fields for which it does not."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard import crdgen
from trainyard.api import names
from trainyard.kinds import KINDS, Kind

Json = dict[str, Any]

_TERMINAL_WIDTH = 100
_FORBIDDEN = {"$ref", "anyOf", "oneOf", "allOf", "title", "const", "propertyNames", "definitions", "$defs"}
_TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict, "number": float}


def defaults_in_lists(node: Any, definitions: Json, *, in_list: bool = False) -> Iterator[tuple[str, Json]]:
    """Fields of entries of lists that have a default other than nothing, in pydantic's own schema."""
    if isinstance(node, list):
        for child in node:
            yield from defaults_in_lists(child, definitions, in_list=in_list)
    elif isinstance(node, dict):
        if "$ref" in node:
            yield from defaults_in_lists(
                definitions[node["$ref"].removeprefix("#/$defs/")], definitions, in_list=in_list
            )
        for name, field in node.get("properties", {}).items():
            if in_list and field.get("default") not in (None, [], {}):
                yield name, field
            yield from defaults_in_lists(field, definitions, in_list=in_list)
        for key in ("anyOf", "items", "additionalProperties"):
            yield from defaults_in_lists(node.get(key), definitions, in_list=in_list or key == "items")


each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


@functools.cache
def schema_of(kind: Kind) -> Json:
    schema: Json = crdgen.crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every schema below, with the path of its field."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def fields(kind: Kind) -> Iterator[tuple[str, Json]]:
    """Everything below spec and status, these included."""
    for part in ("spec", "status"):
        yield from nodes(schema_of(kind)["properties"][part], f".{part}")


@each_kind
def test_the_schema_is_structural(kind: Kind) -> None:
    assert not [path for path, node in fields(kind) if node.keys() & _FORBIDDEN]
    typed = [path for path, node in fields(kind) if node.get("type") in _TYPES]
    mixed = [path for path, node in fields(kind) if node.get("x-kubernetes-int-or-string")]
    assert sorted(typed + mixed) == sorted(path for path, _ in fields(kind))


@each_kind
def test_every_string_list_and_map_is_bounded(kind: Kind) -> None:
    def unbounded(node: Json) -> bool:
        if node.get("x-kubernetes-int-or-string"):
            return "maxLength" not in node
        if node["type"] == "object":
            described = "properties" in node or node.get("x-kubernetes-preserve-unknown-fields")
            return not described and "maxProperties" not in node
        bounds = {"string": {"maxLength", "enum"}, "array": {"maxItems"}}.get(node["type"])
        return bounds is not None and not bounds & node.keys()

    assert not [path for path, node in fields(kind) if unbounded(node)]


@each_kind
def test_spec_has_no_number_that_is_not_an_integer_or_a_decimal_string(kind: Kind) -> None:
    assert not [
        path for path, node in fields(kind) if node.get("type") == "number" and path.startswith(".spec")
    ]


@each_kind
def test_every_field_explains_itself_in_a_sentence(kind: Kind) -> None:
    def is_silent(path: str, node: Json) -> bool:
        if path.endswith(("[]", "{}")):
            return False  # kubectl explain shows the description of the list or map
        text = node.get("description", "")
        return len(text) < 4 or not text.endswith((".", ")")) or "  " in text

    assert not [path for path, node in fields(kind) if is_silent(path, node)]


@each_kind
def test_lists_tell_their_entries_apart_by_fields_that_must_be_there(kind: Kind) -> None:
    for path, node in fields(kind):
        keys = node.get("x-kubernetes-list-map-keys", [])
        assert bool(keys) == (node.get("x-kubernetes-list-type") == "map"), path
        for key in keys:
            entry = node["items"]
            assert entry["properties"][key]["type"] in ("string", "integer"), path
            assert key in entry.get("required", []) or "default" in entry["properties"][key], path


@each_kind
def test_a_default_is_one_that_its_own_schema_takes(kind: Kind) -> None:
    for path, node in fields(kind):
        if "default" not in node or path == ".status":
            continue
        default = node["default"]
        assert isinstance(default, _TYPES[node["type"]]), path
        assert default in node.get("enum", [default]), path
        if node["type"] == "integer":
            assert node.get("minimum", default) <= default <= node.get("maximum", default), path
        if "pattern" in node:
            assert re.match(node["pattern"], default), path


@each_kind
def test_no_entry_of_a_list_gets_a_default_for_which_a_gitops_tool_would_call_it_out_of_sync(
    kind: Kind,
) -> None:
    assert not [path for path, node in fields(kind) if "default" in node and "[]" in path]


@each_kind
def test_a_default_that_the_schema_of_spec_does_not_have_stands_in_the_description(kind: Kind) -> None:
    schema = kind.spec.model_json_schema()
    left_out = defaults_in_lists(schema, schema["$defs"])
    assert not [name for name, field in left_out if "default" not in field["description"]]


@each_kind
def test_no_reference_can_name_another_namespace(kind: Kind) -> None:
    assert not [path for path, _ in fields(kind) if "namespace" in path.lower()]


@each_kind
def test_rules_say_what_would_be_right_and_patterns_are_anchored(kind: Kind) -> None:
    for path, node in nodes(schema_of(kind)):
        for rule in node.get("x-kubernetes-validations", []):
            assert len(rule["message"]) > 10, path
            assert "\n" not in rule["message"], path
        if "pattern" in node:
            assert re.fullmatch(r"\^.*\$", node["pattern"]), path


@each_kind
def test_a_crd_fits_into_the_annotation_of_client_side_apply(kind: Kind) -> None:
    assert len(crdgen.rendered(kind).encode()) < 256 * 1024


@each_kind
def test_a_crd_has_what_people_and_tools_look_for(kind: Kind) -> None:
    crd = crdgen.crd(kind)
    (version,) = crd["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert version["selectableFields"] == [{"jsonPath": ".status.phase"}]
    assert crd["spec"]["names"]["categories"] == [names.CATEGORY]
    shown = [column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority")]
    assert shown[:2] == ["Phase", "Reason"]
    assert shown[-1] == "Age"
    assert len(" ".join(shown)) < _TERMINAL_WIDTH
    assert schema_of(kind)["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_the_short_names_are_those_of_the_docs() -> None:
    assert {kind.kind: kind.short for kind in KINDS} == {
        "TrainingJob": "tj",
        "Dataset": "dset",
        "Experiment": "exp",
        "MLModel": "mlm",
    }


@each_kind
def test_a_printer_column_shows_a_field_that_there_is(kind: Kind) -> None:
    known = dict(nodes(schema_of(kind))) | {".metadata.creationTimestamp": {"type": "string"}}
    for column in kind.columns:
        assert column.type in (known[column.path]["type"], "date"), column.path


def test_a_stale_or_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crdgen.main([str(tmp_path)]) == 0
    assert crdgen.main(["--check", str(tmp_path)]) == 0
    stale = tmp_path / KINDS[0].file_name
    stale.write_text(stale.read_text().replace("maxLength", "minLength", 1))
    (tmp_path / KINDS[1].file_name).unlink()
    assert crdgen.main(["--check", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert KINDS[0].file_name in told
    assert KINDS[1].file_name in told
    assert KINDS[2].file_name not in told
