"""Folding status lines into a report, and how a report reads in status."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.planning.progress import (
    Report,
    checkpoint_status,
    decimal,
    fold,
    fold_all,
    key_metric_status,
    last_report_status,
    metrics_status,
    progress_status,
)
from trainyard.planning.statusline import MAX_NAMES, parse, read

AT = "2025-03-09T07:05:09.123456789Z"


def report_of(*records: dict[str, Any], at: str = AT) -> Report:
    report: Report | None = None
    for record in records:
        line = parse(json.dumps(record))
        assert line is not None
        report = fold(report, line, at=at)
    assert report is not None
    return report


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param(
            [{"epoch": 12, "max_epoch": 40, "eta": "0:07:14", "time_per_epoch": "0:00:15.5"}],
            {
                "epoch": 12,
                "maxEpoch": 40,
                "percent": 30,
                "eta": "0:07:14",
                "timePerEpoch": "0:00:16",
                "summary": "12/40",
            },
            id="epochs out of a known number",
        ),
        pytest.param(
            [{"percent": 41.9, "eta": "0:07:14", "status": "RUNNING"}],
            {"percent": 41, "eta": "0:07:14", "summary": "41%"},
            id="a percentage alone",
        ),
        pytest.param(
            [{"percent": 41, "status": "RUNNING"}, {"epoch": 12, "max_epoch": 40}],
            {"epoch": 12, "maxEpoch": 40, "percent": 30, "summary": "12/40"},
            id="a percentage until epochs are counted",
        ),
        pytest.param(
            [{"step": 29, "max_step": 100, "time_per_iter": 0.25}],
            {"step": 29, "maxStep": 100, "percent": 29, "timePerIter": "0:00:00.25", "summary": "29/100"},
            id="steps alone",
        ),
        pytest.param(
            [{"epoch": 0, "max_epoch": 1, "step": 500, "max_step": 1000}],
            {"epoch": 0, "maxEpoch": 1, "step": 500, "maxStep": 1000, "percent": 50, "summary": "500/1000"},
            id="steps where there is a single epoch",
        ),
        pytest.param(
            [{"epoch": 0.5, "max_epoch": 3}],
            {"epoch": 0.5, "maxEpoch": 3, "percent": 16, "summary": "0.5/3"},
            id="a part of an epoch",
        ),
        pytest.param([{"epoch": 7}], {"epoch": 7, "summary": "7"}, id="no known end"),
        pytest.param(
            [{"epoch": 41, "max_epoch": 40}],
            {"epoch": 41, "maxEpoch": 40, "percent": 100, "summary": "41/40"},
            id="further than the end",
        ),
        pytest.param(
            [{"epoch": -1, "max_epoch": 0}],
            {"epoch": -1, "maxEpoch": 0, "summary": "-1/0"},
            id="before the start of nothing",
        ),
        pytest.param(
            [{"epoch": 1, "max_epoch": 4, "eta": 10}, {"epoch": 2}],
            {"epoch": 2, "maxEpoch": 4, "percent": 50, "eta": "0:00:10", "summary": "2/4"},
            id="what a later line leaves out stays",
        ),
        pytest.param(
            [{"epoch": 4, "max_epoch": 4, "eta": 10}, {"status": "SUCCESS"}],
            {"epoch": 4, "maxEpoch": 4, "percent": 100, "summary": "4/4"},
            id="no time is left after the end",
        ),
        pytest.param([{"eta": "1 day, 2:03:04"}], {"eta": "1 day, 2:03:04"}, id="more than a day left"),
        pytest.param([{"status": "STARTED"}], {}, id="no progress yet"),
    ],
)
def test_progress(records: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    assert progress_status(report_of(*records)) == expected


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param(
            [{"kpi": {"accuracy": 0.91}}, {"kpi": {"mAP": 0.5}, "key_metric": "mAP"}],
            {"name": "mAP", "value": "0.5", "display": "mAP 0.5"},
            id="the one that the trainer names",
        ),
        pytest.param(
            [{"kpi": {"zeta": 1, "training_loss": 0.1, "accuracy": 0.97}}],
            {"name": "accuracy", "value": "0.97", "display": "accuracy 0.97"},
            id="the first of the well-known ones",
        ),
        pytest.param(
            [{"kpi": {"accuracy": 0.97}, "key_metric": "absent"}],
            {"name": "accuracy", "value": "0.97", "display": "accuracy 0.97"},
            id="a named one that never came is passed over",
        ),
        pytest.param(
            [{"graphical": {"curve": 1}}, {"kpi": {"zeta": 2, "beta": 3}}],
            {"name": "zeta", "value": "2", "display": "zeta 2"},
            id="else the first kpi",
        ),
        pytest.param(
            [{"kpi": {"accuracy": 0.9712345678}}],
            {"name": "accuracy", "value": "0.971235", "display": "accuracy 0.9712"},
            id="the display is shorter than the value",
        ),
        pytest.param([{"epoch": 1}], None, id="none without metrics"),
    ],
)
def test_key_metric(records: list[dict[str, Any]], expected: dict[str, str] | None) -> None:
    assert key_metric_status(report_of(*records)) == expected


def test_metrics_hold_the_latest_value_and_its_epoch_in_the_order_of_first_mention() -> None:
    report = report_of(
        {"epoch": 1, "kpi": {"b": 1.0, "a": 2}, "graphical": {"lr": 1e-5}}, {"epoch": 2, "kpi": {"b": 0.5}}
    )
    assert metrics_status(report) == [
        {"name": "b", "value": "0.5", "epoch": 2},
        {"name": "a", "value": "2", "epoch": 1},
        {"name": "lr", "value": "0.00001", "epoch": 1},
    ]


def test_a_kpi_takes_the_place_of_a_curve_when_there_are_too_many() -> None:
    report = report_of({"graphical": {f"g{i}": i for i in range(MAX_NAMES)}}, {"kpi": {"accuracy": 1}})
    assert len(report.metrics) == MAX_NAMES
    assert report.metrics["accuracy"].kpi


def test_further_names_are_left_out_when_kpis_fill_the_list() -> None:
    report = report_of({"kpi": {f"k{i}": i for i in range(MAX_NAMES)}}, {"kpi": {"late": 1, "k0": 9}})
    assert "late" not in report.metrics
    assert report.metrics["k0"].value == "9"


def test_last_report_has_whole_seconds_in_utc() -> None:
    report = report_of(
        {"status": "RUNNING", "message": "Training", "epoch": 1}, at="2025-03-09T09:05:09.9+02:00"
    )
    assert last_report_status(report) == {
        "time": "2025-03-09T07:05:09Z",
        "status": "RUNNING",
        "message": "Training",
    }


def test_the_last_checkpoint_outlives_lines_without_one() -> None:
    report = report_of({"checkpoint": {"epoch": 12, "path": "/out/epoch-000012"}}, {"epoch": 13})
    assert checkpoint_status(report) == {
        "epoch": 12,
        "uri": "/out/epoch-000012",
        "time": "2025-03-09T07:05:09Z",
    }
    assert checkpoint_status(report_of({"epoch": 1})) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1 + 0.2, "0.3"),
        (-0.0, "0"),
        (1e-05, "0.00001"),
        (123456.789, "123457"),
        (1234567.8, "1234568"),
        (12, "12"),
        (10.0, "10"),
        (100, "100"),
        (1e16, "1e+16"),
        (2.34567891e-12, "2.34568e-12"),
        (0.999999999, "1"),
        (-0.000123456789, "-0.000123457"),
    ],
    ids=str,
)
def test_decimal(value: float, expected: str) -> None:
    assert decimal(value) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_close_to_its_number_and_short(value: float) -> None:
    text = decimal(value)
    assert len(text) <= 24
    assert math.isclose(float(text), value, rel_tol=1e-5, abs_tol=1e-320)


NUMBER = st.integers() | st.floats() | st.booleans() | st.text(max_size=5)
LINE = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("epoch", "max_epoch", "step", "max_step", "eta", "time_per_iter"), NUMBER),
        "kpi": st.dictionaries(st.text(max_size=5), NUMBER, max_size=80),
        "graphical": st.dictionaries(st.text(max_size=5), NUMBER, max_size=80),
        "checkpoint": st.fixed_dictionaries({"epoch": NUMBER, "path": st.text(min_size=1)}),
        "status": st.sampled_from(["RUNNING", "SUCCESS", "nonsense"]),
        "message": st.text(),
    },
)


@given(st.lists(LINE, max_size=6))
def test_whatever_is_reported_the_status_can_be_written(records: list[dict[str, Any]]) -> None:
    report: Report | None = None
    for record in records:
        line = parse(json.dumps(record))
        if line is not None:
            report = fold(report, line, at=AT)
    if report is None:
        return
    progress, metrics = progress_status(report), metrics_status(report)
    orjson.dumps(
        [
            progress,
            metrics,
            key_metric_status(report),
            last_report_status(report),
            checkpoint_status(report),
        ]
    )
    assert 0 <= progress.get("percent", 0) <= 100
    assert all(len(progress.get(name, "")) <= 64 for name in ("summary", "eta", "timePerIter"))
    assert len({metric["name"] for metric in metrics}) == len(metrics) <= MAX_NAMES
    assert all(len(metric["value"]) <= 64 for metric in metrics)


@given(st.lists(LINE, min_size=1, max_size=12), st.integers(min_value=0))
def test_lines_that_are_folded_together_say_what_they_say_one_after_the_other(
    records: list[dict[str, Any]], cut: int
) -> None:
    lines = [(read(record), f"2025-03-09T07:05:{number:02}Z") for number, record in enumerate(records)]
    alone = Report(at=AT)
    for line, at in lines:
        alone = fold(alone, line, at=at)
    cut %= len(lines)
    together = fold_all(fold_all(Report(at=AT), lines[:cut]), lines[cut:])
    assert together == alone
    assert together.said == alone.said
    assert metrics_status(together) == metrics_status(alone), "in the same order"
