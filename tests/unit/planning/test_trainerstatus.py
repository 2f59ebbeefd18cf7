"""What trainers written for Kubeflow Trainer post, as status lines of ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.planning.progress import fold, key_metric_status, metrics_status, progress_status
from trainyard.planning.statusline import StatusLine
from trainyard.planning.trainerstatus import read, understood

AT = "2026-01-01T00:00:00Z"
#: As the callback in Hugging Face Transformers sends it in the midst of a training.
TRANSFORMERS = {
    "lastUpdatedTime": "2026-01-01T00:00:00+00:00",
    "progressPercentage": 50,
    "estimatedRemainingSeconds": 434,
    "metrics": [
        {"name": "loss", "value": "0.25"},
        {"name": "learning_rate", "value": "5e-05"},
        {"name": "epoch", "value": "1.5"},
        {"name": "current_step", "value": "500"},
        {"name": "total_steps", "value": "1000"},
        {"name": "current_epoch", "value": "1.51"},
    ],
}


def metric(name: str, value: Any) -> dict[str, Any]:
    return {"metrics": [{"name": name, "value": value}]}


def test_progress_eta_and_metrics_of_transformers_are_shown() -> None:
    report = fold(None, read(understood(TRANSFORMERS)), at=AT)
    assert progress_status(report) == {
        "epoch": 1.51,
        "step": 500,
        "maxStep": 1000,
        "percent": 50,
        "eta": "0:07:14",
        "summary": "500/1000",
    }
    assert [m["name"] for m in metrics_status(report)] == ["loss", "learning_rate"]


def test_a_count_is_not_the_key_metric() -> None:
    first = {"progressPercentage": 0, **metric("total_steps", "1000")}
    report = fold(None, read(understood(first)), at=AT)
    assert key_metric_status(report) is None
    report = fold(report, read(understood(metric("loss", "0.5"))), at=AT)
    assert key_metric_status(report) == {"name": "loss", "value": "0.5", "display": "loss 0.5"}


@pytest.mark.parametrize(
    ("given_status", "expected"),
    [
        pytest.param({"progressPercentage": 101}, None, id="more than all"),
        pytest.param({"progressPercentage": -1}, None, id="less than nothing"),
        pytest.param({"progressPercentage": "7"}, None, id="a percentage that is text"),
        pytest.param({"progressPercentage": True}, None, id="a percentage that is a truth"),
        pytest.param({"progressPercentage": 0}, 0, id="none"),
        pytest.param({"progressPercentage": 99.9}, 99.9, id="a part of a percent"),
    ],
)
def test_a_percentage_is_one_of_a_hundred(given_status: dict[str, Any], expected: float | None) -> None:
    assert read(understood(given_status)).percent == expected


@pytest.mark.parametrize("value", ["nan", "gold", "", "1e999", None, [], {}])
def test_a_metric_that_is_no_number_is_left_out(value: Any) -> None:
    assert read(understood(metric("loss", value))).kpi == {}


def test_what_is_of_another_type_is_left_out_of_what_was_understood() -> None:
    wrong = {
        "progressPercentage": "7",
        "metrics": [7, {"name": 3}, {"value": "1"}],
        "lastUpdatedTime": 5,
        "x": 1,
    }
    assert understood(wrong) == {"metrics": []}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_no_value_of_a_stranger_is_too_much(value: Any) -> None:
    status = dict.fromkeys(
        ("progressPercentage", "estimatedRemainingSeconds", "metrics", "lastUpdatedTime"), value
    )
    assert isinstance(read(understood(status)), StatusLine)
    assert isinstance(read(understood({**status, **metric("loss", value)})), StatusLine)
