"""What nothing acts on is named, and docs/support.md says the same as the code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trainyard import crdgen
from trainyard.api.reasons import Phase, Reason
from trainyard.kinds import KINDS
from trainyard.planning.support import GAPS, Gap, not_yet_supported

Json = dict[str, Any]

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "support.md").read_text(encoding="utf-8")
SPECS = {kind.kind: crdgen.structural(kind.spec) for kind in KINDS}
each_kind = pytest.mark.parametrize("kind", sorted(SPECS))

NAMED: list[Any] = [
    pytest.param(
        "TrainingJob",
        {"model": "m", "baseModels": [{"uri": "s3://b/m"}, {"uri": "ngc:nvidia/tao/a?token=secret"}]},
        ["spec.baseModels[].uri: ngc:"],
        id="one of a list",
    ),
    pytest.param(
        "Dataset",
        {"source": {"uri": "ngc:nvidia/tao/data?token=secret"}},
        ["spec.source.uri: ngc:"],
        id="the scheme of an address",
    ),
    pytest.param(
        "Experiment",
        {
            "actions": [{"name": "a", "action": "train"}],
            "baseModels": [{"uri": "ngc:nvidia/tao/a"}],
            "model": "digits",
        },
        ["spec.baseModels[].uri: ngc:"],
        id="an Experiment's base model",
    ),
    pytest.param(
        "Dataset",
        {"source": {"uri": "ngc:nvidia/tao/data"}, "usage": "unreadable"},
        ["spec.source.uri: ngc:"],
        id="a spec that another version has stored",
    ),
]
SILENT: list[Any] = [
    pytest.param("TrainingJob", {"suspend": False, "cancel": False}, id="switches that are off"),
    pytest.param("TrainingJob", {"baseModels": [], "model": None, "checkpoint": {}}, id="what is empty"),
    pytest.param(
        "TrainingJob", {"checkpoint": {"method": "best_model"}}, id="what is empty, as it is filled in"
    ),
    pytest.param(
        "Experiment",
        {"objective": {}, "checkpoint": {"method": "best_model"}},
        id="empty objects, as they are filled in",
    ),
    pytest.param(
        "TrainingJob", {"callbacks": [{"name": "a", "url": "https://h"}]}, id="a callback without events"
    ),
    pytest.param(
        "TrainingJob",
        {"callbacks": [{"name": "a", "url": "https://h", "events": ["Failed", "Canceled"]}]},
        id="events that are told",
    ),
    pytest.param("TrainingJob", {"output": {"claimName": "out"}}, id="a claim for the output"),
    pytest.param(
        "TrainingJob",
        {"model": "m", "baseModels": [{"uri": "hf://o/r"}, {"model": "m", "alias": "best"}]},
        id="models to start from and to become",
    ),
    pytest.param("Experiment", {"baseModels": "unreadable"}, id="a list that is none"),
    pytest.param("TrainingJob", {"progressTimeoutSeconds": 0}, id="a trainer that may be silent for ever"),
    pytest.param("TrainingJob", {"parameters": {"suspend": True, "nodes": 4}}, id="parameters of such names"),
    pytest.param("Dataset", {"source": {"uri": "pvc://data/f"}, "usage": ["training"]}, id="data on a claim"),
    pytest.param(
        "Dataset", {"source": {"uri": "s3://b/f"}, "cache": {"mode": "None"}}, id="data in a bucket"
    ),
    pytest.param("Experiment", {"flow": {"blocks": [{"block": "b"}]}, "architecture": "dino"}, id="a flow"),
    pytest.param("MLModel", {"metadata": {"a": 1}, "type": "regression", "stage": "active"}, id="a record"),
    pytest.param(
        "Experiment",
        {
            "datasets": {"train": ["d"]},
            "objective": {"metric": "accuracy"},
            "jobTemplate": {"spec": {"nodes": 2}},
            "output": {"claimName": "out"},
            "automl": {"algorithm": "grid"},
            "actions": [{"name": "a", "action": "train"}],
            "suspend": True,
        },
        id="a search",
    ),
    pytest.param(
        "MLModel",
        {
            "datasets": {"train": ["d"]},
            "trainingConfig": {"epochs": 3},
            "baseModels": [{"model": "m", "version": 2}],
            "training": {"enabled": True, "jobTemplate": {"spec": {}}},
            "monitor": {"schedule": "@daily", "dataset": "d", "threshold": "0.9"},
            "type": "auto",
            "stage": "deprecated",
        },
        id="a model that is trained and watched",
    ),
]


@pytest.mark.parametrize(("kind", "spec", "named"), NAMED)
def test_it_names(kind: str, spec: Json, named: list[str]) -> None:
    told = not_yet_supported(kind, spec)
    assert told is not None
    assert set(re.findall(r"spec\.[^ ,]+(?:: [^ ,]+)?(?= \()", told)) == set(named)
    assert "secret" not in told


@pytest.mark.parametrize(("kind", "spec"), SILENT)
def test_it_is_silent_about(kind: str, spec: Json) -> None:
    assert not_yet_supported(kind, spec) is None


@each_kind
def test_what_the_api_server_fills_in_counts_as_not_set(kind: str) -> None:
    filled_in = {
        name: field["default"] for name, field in SPECS[kind]["properties"].items() if "default" in field
    }
    assert not_yet_supported(kind, filled_in) is None


@pytest.mark.parametrize(("kind", "path"), [(kind, gap.path) for kind in GAPS for gap in GAPS[kind]])
def test_a_default_inside_an_object_counts_as_not_set(kind: str, path: str) -> None:
    schema, names = SPECS[kind], path.split(".")
    for name in names:
        schema = schema["properties"][name.removesuffix("[]")]
        schema = schema["items"] if name.endswith("[]") else schema
    if "default" not in schema:
        return
    value = schema["default"]
    for name in reversed(names):
        value = {name.removesuffix("[]"): [value] if name.endswith("[]") else value}
    assert not_yet_supported(kind, value) is None


@each_kind
def test_every_gap_is_a_field_and_no_gap_hides_another(kind: str) -> None:
    known = list(leaves(SPECS[kind]))
    for gap in GAPS[kind]:
        assert any(is_at_or_below(leaf, gap) for leaf in known), gap.path
        assert not [g.path for g in GAPS[kind] if g is not gap and is_at_or_below(g.path, gap)], gap.path


@each_kind
def test_the_docs_list_every_field_with_what_it_does_today(kind: str) -> None:
    wanted = {path: today(path, GAPS[kind]) for path in leaves(SPECS[kind])}
    rows = table_under(f"## {kind}")
    assert not [path for path, times in Counter(row[0] for row in rows).items() if times > 1]
    there = {path: (state, note) for path, state, note in rows}
    lacking = [f"| `{p}` | {s} | {n} |" for p, (s, n) in wanted.items() if there.get(p) != (s, n)]
    assert not lacking, "docs/support.md should read:\n" + "\n".join(lacking).replace("|  |", "| |")
    assert not there.keys() - wanted.keys(), "docs/support.md lists fields that there are not"


def test_the_docs_list_every_annotation_that_a_description_names_and_what_it_does_today() -> None:
    described = {
        name for spec in SPECS.values() for name in re.findall(r"trainyard\.dev/[a-z-]+-at", str(spec))
    } | {
        name
        for kind in KINDS
        for name in re.findall(r"trainyard\.dev/[a-z-]+-at", str(crdgen.structural(kind.status)))
    }
    sources = [
        path.read_text(encoding="utf-8")
        for path in (ROOT / "operator" / "trainyard").rglob("*.py")
        if path.parent.name != "api"
    ]
    rows = {name: state for name, state, _ in table_under("## Annotations")}
    assert rows == {
        name: "acts" if any(name.partition("/")[2] in text for text in sources) else "not yet"
        for name in described
    }


def test_the_docs_list_every_reason_and_those_that_are_set_are_those_of_the_code() -> None:
    rows = table_under("## Reasons")
    assert not [name for name, times in Counter(row[0] for row in rows).items() if times > 1]
    assert {row[1] for row in rows} <= set(Phase)
    assert {row[0] for row in rows if row[2] == "set"} == set(Reason)
    assert {row[2] for row in rows} <= {"set", "not yet"}


def test_every_reason_is_set_somewhere() -> None:
    sources = [
        path.read_text(encoding="utf-8")
        for path in (ROOT / "operator" / "trainyard").rglob("*.py")
        if path.name != "reasons.py"
    ]
    assert not [
        reason.name for reason in Reason if not any(f"Reason.{reason.name}" in text for text in sources)
    ]


def today(path: str, gaps: tuple[Gap, ...]) -> tuple[str, str]:
    gap = next((gap for gap in gaps if is_at_or_below(path, gap)), None)
    if gap is None:
        return "acts", ""
    return "in part", gap.partly


def is_at_or_below(path: str, gap: Gap) -> bool:
    return path == gap.path or path.startswith((f"{gap.path}.", f"{gap.path}[]"))


def leaves(schema: Json, path: str = "") -> Iterator[str]:
    """Every field that holds no other field of ours."""
    below = schema["items"] if schema.get("type") == "array" else schema
    if not below.get("properties"):
        yield path
        return
    prefix = f"{path}[]" if below is not schema else path
    for name, child in below["properties"].items():
        yield from leaves(child, f"{prefix}.{name}" if prefix else name)


def table_under(heading: str) -> list[tuple[str, str, str]]:
    _, _, rest = DOCS.partition(f"\n{heading}\n")
    section = rest.partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \|([^|]*)\|([^|]*)\|", section, re.MULTILINE)
    return [(name, first.strip(), second.strip()) for name, first, second in rows]
