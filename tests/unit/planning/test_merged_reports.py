"""One trainer that says things in two ways: what its status shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trainyard.planning.progress import (
    Report,
    fold,
    key_metric_status,
    last_report_status,
    merged,
    metrics_status,
    progress_status,
)
from trainyard.planning.statusline import MAX_NAMES, read

Lines = list[tuple[float, dict[str, Any]]]


def told(*lines: tuple[float, dict[str, Any]]) -> Report | None:
    """The report of these lines, each with its second."""
    report: Report | None = None
    for second, record in lines:
        at = datetime.fromtimestamp(1_700_000_000 + second, tz=UTC).isoformat(timespec="microseconds")
        report = fold(report, read(record), at=at)
    return report


def both(printed: Lines, posted: Lines) -> Report:
    report = merged(told(*printed), told(*posted))
    assert report is not None
    return report


def test_one_way_alone_stands_as_it_is() -> None:
    only = told((1, {"epoch": 1}))
    assert merged(only, None) is only
    assert merged(None, only) is only
    assert merged(None, None) is None


def test_an_old_field_of_the_newer_way_does_not_hide_a_newer_one_of_the_other() -> None:
    posted: Lines = [(1, {"epoch": 3, "max_epoch": 40}), (9, {"percent": 30})]
    report = both([(8, {"epoch": 12})], posted)
    assert progress_status(report) == {"epoch": 12, "maxEpoch": 40, "percent": 30, "summary": "12/40"}


def test_a_percentage_stands_until_epochs_or_steps_are_counted() -> None:
    assert (
        progress_status(both([(5, {"epoch": 12, "max_epoch": 40})], [(4, {"percent": 27})]))["percent"] == 30
    )
    assert (
        progress_status(both([(4, {"epoch": 12, "max_epoch": 40})], [(5, {"percent": 31})]))["percent"] == 31
    )


def test_of_each_metric_the_last_value_is_shown() -> None:
    printed: Lines = [(1, {"kpi": {"loss": 5, "accuracy": 0.1}}), (6, {"kpi": {"loss": 0.2}})]
    report = both(printed, [(4, {"kpi": {"loss": 0.4, "accuracy": 0.8}})])
    assert {m["name"]: m["value"] for m in metrics_status(report)} == {"loss": "0.2", "accuracy": "0.8"}
    assert key_metric_status(report) == {"name": "accuracy", "value": "0.8", "display": "accuracy 0.8"}


def test_the_last_word_is_the_last_report() -> None:
    report = both([(9, {"status": "SUCCESS"})], [(8, {"status": "RUNNING", "message": "epoch 3"})])
    assert last_report_status(report) == {
        "time": "2023-11-14T22:13:29Z",
        "status": "SUCCESS",
        "message": "epoch 3",
    }


def test_an_eta_is_over_with_the_end_whoever_told_it() -> None:
    assert "eta" not in progress_status(both([(9, {"status": "SUCCESS"})], [(8, {"eta": 60})]))


def test_stamps_of_metrics_go_with_the_metrics() -> None:
    report = told(*((n, {"kpi": {f"metric-{n}": n}, "graphical": {"curve": n}}) for n in range(300)))
    assert report is not None
    assert len(report.metrics) == MAX_NAMES
    assert {name for name in report.said if name.startswith("metrics.")} == {
        f"metrics.{n}" for n in report.metrics
    }


records = st.fixed_dictionaries(
    {},
    optional={
        "epoch": st.integers(0, 9),
        "max_epoch": st.integers(1, 9),
        "step": st.integers(0, 9),
        "percent": st.integers(0, 100),
        "eta": st.integers(0, 9),
        "status": st.sampled_from(["RUNNING", "SUCCESS"]),
        "kpi": st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), max_size=2),
    },
)


@given(st.lists(st.tuples(records, st.booleans(), st.booleans()), min_size=1, max_size=8))
def test_lines_said_in_either_way_or_in_both_read_as_in_one(
    said: list[tuple[dict[str, Any], bool, bool]],
) -> None:
    lines = [(float(second), *line) for second, line in enumerate(said)]
    printed = [(second, record) for second, record, prints, posts in lines if prints or not posts]
    posted = [(second, record) for second, record, prints, posts in lines if posts]
    together = told(*((second, record) for second, record, _, _ in lines))
    found = merged(told(*printed), told(*posted))
    assert together is not None
    assert found is not None
    assert progress_status(found) == progress_status(together)
    assert {m["name"]: m["value"] for m in metrics_status(found)} == {
        m["name"]: m["value"] for m in metrics_status(together)
    }
    assert last_report_status(found) == last_report_status(together)
