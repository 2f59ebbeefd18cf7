"""The model card: read as hubs read it, by a Markdown parser and a YAML parser, with hostile words in it."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from trainyard_agent import markdown, modelcard
from trainyard_agent.checkpoints import File

Json = dict[str, Any]

RECORD: Json = {
    "model": "digits",
    "namespace": "team-a",
    "modelUid": "m-uid",
    "about": {
        "displayName": "Digits of cheques",
        "description": "Reads | digits.",
        "license": "mit",
        "tags": ["cheques"],
    },
    "number": 3,
    "time": "2026-01-01T00:00:00Z",
    "origin": "job",
    "uri": "pvc://out/job-uid/attempt-1",
    "size": 5 << 20,
    "sha256": "a" * 64,
    "performanceMetrics": [
        {"name": "accuracy", "value": "0.97"},
        {"name": "f1_score", "value": "0.96", "epoch": 7.0},
    ],
    "trainingMetrics": [{"name": "training_loss", "value": "-0.1"}],
    "parameters": {"epochs": 7, "note": "```\n| a"},
    "lineage": {
        "job": "digits-train-3",
        "jobUid": "job-uid",
        "attempt": 1,
        "experiment": "search",
        "trial": 4,
        "architecture": "decision_tree",
        "runtime": "reference",
        "image": "trainer:1",
        "imageDigest": f"sha256:{'b' * 64}",
        "parametersDigest": "c" * 64,
        "datasets": [{"name": "train", "uri": "s3://d/x", "revision": "r1", "sha256": "d" * 64}],
        "baseModels": [
            {
                "name": "base",
                "version": 2,
                "alias": "champion",
                "uri": "pvc://o/u/attempt-0",
                "sha256": "e" * 64,
            }
        ],
        "parentVersion": 2,
    },
}
METRICS: Json = {
    "task": "classification",
    "target": "digit",
    "trainingRows": 1200,
    "testRows": 300,
    "featureImportance": {"pixel_1": 0.25, "pixel_2": 0.75},
}
FILES = [
    File(path="model.joblib", size=1000, sha256="f" * 64),
    File(path="metrics.json", size=1, sha256="0" * 64),
]


def card(record: Json = RECORD, metrics: Json = METRICS, confusion: Any = None, files: Any = FILES) -> str:
    return modelcard.render(record, files=files, metrics=metrics, confusion=confusion)


def matrix(labels: list[str], rows: list[list[int]]) -> bytes:
    """As the reference trainer writes it."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(
        [["true\\predicted", *labels], *([label, *row] for label, row in zip(labels, rows, strict=True))]
    )
    return text.getvalue().encode()


def split(text: str) -> tuple[Json, str]:
    """The YAML in front, and the Markdown after it."""
    _, front, body = text.split("---\n", 2)
    said: Json = yaml.safe_load(front)
    return said, body


def tokens(body: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(body)


def rows_of(body: str, title: str) -> list[list[str]]:
    """The cells of the first table of a section, as a reader sees them."""
    found, inside, rows = False, False, list[list[str]]()
    for before, token in zip([None, *tokens(body)], tokens(body), strict=False):
        if token.type == "inline" and before is not None and before.type == "heading_open":
            found = token.content == title
        if found and token.type == "table_open":
            inside = True
        if inside and token.type == "tr_open":
            rows.append([])
        if inside and token.type == "inline":
            rows[-1].append("".join(child.content for child in token.children or ()))
        if inside and token.type == "table_close":
            return rows[1:]
    return []


def headings(body: str) -> list[str]:
    parsed = tokens(body)
    return [
        "".join(child.content for child in parsed[number + 1].children or ())
        for number, token in enumerate(parsed)
        if token.type == "heading_open"
    ]


def test_the_front_matter_says_what_hubs_ask_for() -> None:
    said, _ = split(card())
    assert said == {
        "license": "mit",
        "pipeline_tag": "tabular-classification",
        "tags": ["trainyard", "decision_tree", "cheques"],
        "metrics": ["accuracy", "f1_score"],
    }


def test_all_that_is_known_has_its_section() -> None:
    _, body = split(card(confusion=matrix(["0", "1"], [[5, 1], [0, 6]])))
    assert headings(body) == [
        "Digits of cheques, version 3",
        "Data",
        "Metrics",
        "Confusion matrix",
        "What the predictions rest on",
        "Parameters",
        "Lineage",
        "Files",
        "How to load it",
    ]
    assert rows_of(body, "Data") == [["train", "r1", "d" * 64, "s3://d/x"]]
    assert rows_of(body, "Metrics") == [
        ["accuracy", "0.97", "", "performance"],
        ["f1_score", "0.96", "7", "performance"],
        ["training_loss", "-0.1", "", "training"],
    ]
    assert rows_of(body, "Confusion matrix") == [["0", "5", "1"], ["1", "0", "6"]]
    assert rows_of(body, "What the predictions rest on") == [["pixel_2", "0.7500"], ["pixel_1", "0.2500"]]
    lineage = dict(rows_of(body, "Lineage"))
    assert lineage == {
        "TrainingJob": "digits-train-3, UID job-uid",
        "Attempt": "1",
        "Experiment": "search",
        "Trial": "4",
        "Image digest": f"sha256:{'b' * 64}",
        "Digest of the parameters": "c" * 64,
        "Went on from version": "2",
        "Base model": f"base version 2 (champion), pvc://o/u/attempt-0, SHA-256 {'e' * 64}",
        "SHA-256 of artifacts.json": "a" * 64,
        "Where it lies": "pvc://out/job-uid/attempt-1",
    }
    assert rows_of(body, "Files")[0] == ["model.joblib", "1000 bytes", "f" * 64]
    assert "It predicts the column digit. It was trained on 1200 rows." in body


def test_parameters_are_shown_as_they_are() -> None:
    _, body = split(card())
    (block,) = [t for t in tokens(body) if t.type == "fence" and t.info == "json"]
    assert json.loads(block.content) == RECORD["parameters"]


def test_how_to_load_it_is_python_that_compiles() -> None:
    files = [*FILES, File(path="sub/net.onnx", size=1, sha256="0" * 64)]
    _, body = split(card(files=files))
    blocks = [t.content for t in tokens(body) if t.type == "fence" and t.info == "python"]
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "card", "exec")
    assert "pickle" in body
    (start,) = [t.content for t in tokens(body) if t.type == "fence" and t.info == "yaml"]
    assert yaml.safe_load(start)["spec"]["baseModels"] == [
        {"model": "digits", "version": 3, "isPtmBackbone": False}
    ]


def test_synthetic_data_is_said_in_bold_and_in_the_tags() -> None:
    said, body = split(card({**RECORD, "syntheticData": True, "lineage": {"architecture": "decision_tree"}}))
    assert "synthetic-data" in said["tags"]
    bold = [t for t in tokens(body) if any(c.type == "strong_open" for c in t.children or ())]
    assert "synthetic demo data" in bold[0].content
    assert "Synthetic demo data" in bold[1].content
    assert "synthetic" not in card()
    said, _ = split(card(metrics={"synthetic_data": True}))
    assert "synthetic-data" in said["tags"]


def test_of_a_version_of_which_little_is_known_nothing_is_made_up() -> None:
    said, body = split(card({"model": "m", "number": 1, "parameters": None}, metrics={}, files=FILES[1:]))
    assert said == {"tags": ["trainyard"]}
    assert headings(body) == [
        "m, version 1",
        "Data",
        "Metrics",
        "Parameters",
        "Lineage",
        "Files",
        "How to load it",
    ]
    assert "No dataset is known" in body
    assert "The training told none." in body
    assert "As its trainer's documentation says" in body


def test_of_many_classes_the_largest_confusions_are_told() -> None:
    labels = [f"c{number}" for number in range(30)]
    rows = [[10 if true == other else 0 for other in range(30)] for true in range(30)]
    rows[3][4], rows[7][1] = 5, 9
    _, body = split(card(confusion=matrix(labels, rows)))
    assert rows_of(body, "Confusion matrix") == [["c7", "c1", "9"], ["c3", "c4", "5"]]
    assert "There are 30 classes; 300 of 314 rows are right." in body


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"true,a\nb,1\n", b"true,a\na,x\n", b"true,a,b\na,1\nb,2\n", b'"', b"true,a\na,1,2\n"],
)
def test_a_table_that_is_no_confusion_matrix_is_left_out(data: bytes) -> None:
    assert "Confusion matrix" not in card(confusion=data)


NASTY = [
    "<script>alert(1)</script>",
    "a | b",
    "# heading",
    "- item",
    "1. one",
    "---",
    "=== x",
    "[x](http://evil)",
    "![x](http://evil)",
    "**bold** _it_ `code` ~~no~~ $x$",
    "two\nlines\r\n\n# three",
    "\\| \\",
    "&amp; &#35;",
    "``` fence",
    "\u202etxt.exe",
    "'\"",
    "{{ x }} {% y %}",
    "ends with \\",
]


@pytest.mark.parametrize("word", NASTY)
def test_words_from_outside_stay_words(word: str) -> None:
    """The same tokens as with a plain word, and no markup within."""
    one = {**RECORD, "about": {"displayName": word, "description": word, "license": word, "tags": [word]}}
    one["performanceMetrics"] = [{"name": word, "value": word}]
    labels = [f"{word}1", f"{word}2"]
    given = card(
        one, {**METRICS, "target": word, "featureImportance": {word: 1.0}}, matrix(labels, [[1, 2], [3, 4]])
    )
    plain = card(
        {
            **one,
            "about": {"displayName": "w", "description": "w"},
            "performanceMetrics": [{"name": "w", "value": "w"}],
        },
        {**METRICS, "target": "w", "featureImportance": {"w": 1.0}},
        matrix(["a", "b"], [[1, 2], [3, 4]]),
    )
    said, body = split(given)
    assert said["license"] == word
    assert [t.type for t in tokens(body)] == [t.type for t in tokens(split(plain)[1])]
    shown = " ".join(word.split()).replace("\u202e", " ").strip()
    assert " ".join(rows_of(body, "Metrics")[0][0].split()) == shown
    for token in tokens(body):
        kinds = {child.type for child in token.children or ()}
        assert not kinds & {"html_inline", "link_open", "image", "em_open", "s_open"}, token.content


@pytest.mark.parametrize("word", [*NASTY, "", "`", "``", "` `", "a`b"])
def test_code_stays_code_in_a_table(word: str) -> None:
    body = markdown.table(("a", "b"), [(markdown.code(word), "end")])
    assert rows_of(f"## T\n\n{body}", "T")[0][1] == "end"
    shown = " ".join(rows_of(f"## T\n\n{body}", "T")[0][0].split())
    assert shown == " ".join(word.replace("\u202e", " ").split())


def test_the_same_version_gives_the_same_bytes() -> None:
    assert card() == card(json.loads(json.dumps(RECORD)), json.loads(json.dumps(METRICS)))
