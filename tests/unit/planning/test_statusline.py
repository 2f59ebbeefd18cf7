"""What counts as a status line, and what is read from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.planning.statusline import MAX_LINE, MAX_NAMES, Checkpoint, StatusLine, parse

SEED = (
    '{"epoch":3,"max_epoch":10,"time_per_epoch":"0:01:02","eta":"0:07:14","date":"9/3/2025","time":"7:5:9",'
    '"status":"RUNNING","verbosity":"INFO","message":"Training loop in progress","categorical":{},'
    '"graphical":{"loss":0.4},"kpi":{"val_mAP":0.61}}'
)


def test_reads_the_line_of_the_tao_service() -> None:
    assert parse(SEED) == StatusLine(
        epoch=3,
        max_epoch=10,
        time_per_epoch=62.0,
        eta=434.0,
        status="RUNNING",
        verbosity="INFO",
        message="Training loop in progress",
        graphical={"loss": 0.4},
        kpi={"val_mAP": 0.61},
    )


@pytest.mark.parametrize(
    ("record", "field", "expected"),
    [
        pytest.param({"eta": "1 day, 2:03:04"}, "eta", 93784.0, id="a duration of more than a day"),
        pytest.param({"eta": "12 days, 0:00:00"}, "eta", 1036800.0, id="a duration of several days"),
        pytest.param(
            {"time_per_iter": "0:00:00.250000"}, "time_per_iter", 0.25, id="a duration with a fraction"
        ),
        pytest.param({"eta": 434}, "eta", 434.0, id="a duration as a number of seconds"),
        pytest.param({"eta": "434.5"}, "eta", 434.5, id="a duration as a number in a string"),
        pytest.param({"epoch": 2.5}, "epoch", 2.5, id="an epoch that is no integer"),
        pytest.param({"epoch": "7"}, "epoch", 7.0, id="an epoch written as a string"),
        pytest.param({"epoch": -1, "status": "STARTED"}, "epoch", -1, id="the epoch before the first"),
        pytest.param({"cur_iter": 40}, "step", 40, id="cur_iter is the step"),
        pytest.param({"step": 0}, "step", 0, id="step zero"),
        pytest.param({"step": 5, "cur_iter": 4}, "step", 5, id="step goes before cur_iter"),
        pytest.param({"status": "running"}, "status", "RUNNING", id="a status in lower case"),
        pytest.param(
            {"message": "x" * 7000, "status": "RUNNING"},
            "message",
            "x" * 6400,
            id="a message that is too long",
        ),
        pytest.param(
            {"categorical": {"iou": {"car": 0.5, "x": None}}},
            "categorical",
            {"iou": {"car": 0.5}},
            id="values per category",
        ),
        pytest.param({"kpi": {"a" * 200: 1}}, "kpi", {"a" * 100: 1}, id="a metric's name that is too long"),
        pytest.param({"key_metric": "mAP"}, "key_metric", "mAP", id="the key metric's name"),
        pytest.param(
            {"key_metric": 0.61, "kpi": {"loss": 1, "mAP": 0.61}},
            "key_metric",
            "mAP",
            id="the key metric's value as in the TAO API",
        ),
        pytest.param(
            {"checkpoint": {"epoch": 12, "path": "/out/epoch-000012"}},
            "checkpoint",
            Checkpoint(epoch=12, path="/out/epoch-000012"),
            id="a checkpoint",
        ),
        pytest.param(
            {"epoch": 3, "checkpoint": {"path": "/out/c"}},
            "checkpoint",
            Checkpoint(epoch=3, path="/out/c"),
            id="a checkpoint of the line's epoch",
        ),
    ],
)
def test_understands(record: dict[str, Any], field: str, expected: object) -> None:
    found = parse(json.dumps(record))
    assert found is not None
    assert getattr(found, field) == expected


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="an empty line"),
        pytest.param("Epoch 3/10", id="plain text"),
        pytest.param("[1, 2]", id="a JSON list"),
        pytest.param("{", id="a lone brace"),
        pytest.param('{"epoch": 3', id="a line cut short"),
        pytest.param("{'epoch': 3}", id="a Python dict"),
        pytest.param('{"level": "info", "event": "ready"}', id="an object without a known field"),
        pytest.param('{"message": "GET /", "level": "info"}', id="a structured logger's line"),
        pytest.param('{"status": 200}', id="an access log's status"),
        pytest.param('{"status": "ok"}', id="an unknown status"),
        pytest.param('{"epoch": true}', id="a boolean for a number"),
        pytest.param('{"epoch": "three"}', id="a word for a number"),
        pytest.param('{"epoch": NaN}', id="NaN for a number"),
        pytest.param('{"epoch": 1e999}', id="a number beyond doubles"),
        pytest.param('{"epoch": -2}', id="an epoch below -1"),
        pytest.param('{"eta": "-1 day, 23:59:59"}', id="a negative duration"),
        pytest.param('{"eta": 1e300}', id="a duration beyond every life"),
        pytest.param('{"kpi": {}}', id="no kpi at all"),
        pytest.param('{"kpi": {"a": {"b": 1}}, "graphical": [1]}', id="metrics of another shape"),
        pytest.param('{"checkpoint": {"epoch": 1, "path": ""}}', id="a checkpoint nowhere"),
        pytest.param('{"a":' * 5000 + "1" + "}" * 5000, id="deep nesting"),
        pytest.param('{"a":[NaN,' + "[" * 5000 + "]" * 5001 + "}", id="deep nesting after NaN"),
        pytest.param('{"epoch": 1, "x": "' + "y" * MAX_LINE + '"}', id="a huge line"),
        pytest.param('{"epoch": ' + "9" * 400 + "}", id="an integer beyond doubles"),
        pytest.param('{"epoch": NaN, "step": ' + "9" * 5000 + "}", id="an integer beyond Python's limit"),
    ],
)
def test_is_log_and_no_status(line: str) -> None:
    assert parse(line) is None


def test_drops_nan_and_infinity_and_keeps_the_rest() -> None:
    found = parse('{"kpi": {"loss": NaN, "lr": -Infinity, "acc": 0.5, "ok": true, "n": "3"}, "epoch": 1}')
    assert found == StatusLine(epoch=1, kpi={"acc": 0.5, "n": 3.0})


def test_keeps_a_bounded_number_of_metrics() -> None:
    found = parse(json.dumps({"kpi": {f"m{i}": i for i in range(500)}}))
    assert found is not None
    assert list(found.kpi) == [f"m{i}" for i in range(MAX_NAMES)]


def test_never_lets_a_lone_surrogate_through() -> None:
    found = parse('{"epoch": NaN, "status": "RUNNING", "message": "\\ud800"}')
    assert found is not None
    assert found.message == "?"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KNOWN = [
    *("epoch", "max_epoch", "step", "cur_iter", "max_step", "eta", "time_per_epoch", "time_per_iter"),
    *("kpi", "graphical", "categorical", "status", "verbosity", "message", "key_metric", "checkpoint"),
]


@given(st.text())
def test_no_text_is_a_failure(text: str) -> None:
    parse(text)
    parse("{" + text)


@given(st.dictionaries(st.sampled_from(KNOWN), JSON))
def test_no_value_of_a_known_field_is_a_failure(record: dict[str, Any]) -> None:
    found = parse(json.dumps(record))
    assert found is None or len(found.kpi) <= MAX_NAMES
