"""What `describe` and `get` draw of a Dataset."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trainyard.cli import datasetdetails, details, rendering, waits
from trainyard.cli.exits import ExitCode

NOW = 1_741_503_909.0


def a_dataset(
    *, source: Any = None, annotations: dict[str, str] | None = None, **status: Any
) -> dict[str, Any]:
    return {
        "kind": "Dataset",
        "metadata": {
            "name": "digits",
            "namespace": "team",
            "uid": "u",
            "creationTimestamp": "2025-03-09T07:05:09Z",
            "annotations": annotations or {},
        },
        "spec": {
            "type": "tabular",
            "format": "csv",
            "source": source or {"uri": "s3://data/digits", "revision": "v1"},
        },
        "status": status,
    }


def a_job(name: str, phase: str, **datasets: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "creationTimestamp": "2025-03-09T07:05:09Z"},
        "spec": {"datasets": datasets},
        "status": {"phase": phase, "reason": "Why", "datasets": [{"name": "digits", "revision": "abc"}]},
    }


def shown(capsys: pytest.CaptureFixture[str], raw: dict[str, Any], **more: Any) -> str:
    details.show(raw, **more)
    return capsys.readouterr().out


PROFILE = {
    "summary": "1797 rows, 3 classes",
    "files": 2,
    "bytes": 500_000,
    "rows": 200,
    "columns": 70,
    "target": "label",
    "columnProfiles": [
        {"name": "pixel", "type": "number", "missing": 0, "distinct": 17, "min": "0", "max": "16"},
        {"name": "label", "type": "text", "missing": 5, "distinct": 3},
    ],
    "classes": [
        {"name": "cat", "count": 100},
        {"name": "dog\x1b[31m", "count": 50},
        {"name": "rare", "count": 1},
    ],
    "splits": [{"name": "train", "count": 160}, {"name": "val", "count": 40}],
    "imageSizes": {"minWidth": 8, "maxWidth": 8, "minHeight": 8, "maxHeight": 64},
    "images": 12,
}


def test_everything_that_one_wants_to_know_before_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    raw = a_dataset(
        phase="Done",
        reason="Completed",
        message="1797 rows.",
        pull={"state": "pull_complete"},
        revision="abc",
        sha256="0" * 64,
        uri="pvc://data-1/data",
        validation={"state": "Valid", "filesChecked": 2},
        lineage={"job": "conv", "action": "convert", "inputs": [{"name": "raw", "revision": "r1"}]},
        profile=PROFILE,
    )
    lines = [line.split() for line in shown(capsys, raw).splitlines()]
    for expected in (
        "Dataset digits",
        "State Done Completed: 1797 rows.",
        "Type tabular, csv",
        "Source s3://data/digits at v1",
        "Pull pull_complete",
        "Revision abc",
        f"SHA-256 {'0' * 64}",
        "Lies in pvc://data-1/data",
        "Checked Valid, 2 files",
        "Content 1797 rows, 3 classes",
        "Size 2 files, 488.3 KiB",
        "Images 12; 8 wide, 8 to 64 high, in pixels",
        "Made by job conv (convert), from raw at r1",
        f"cat 100 66.2% {'█' * 40}",
        f"dog [31m 50 33.1% {'█' * 20}",
        "rare 1 0.7% ▍",
        "pixel number 0 17 0 16",
        "label (target) text 5 (2.5%) 3",
        "and 68 more",
        f"train 160 80.0% {'█' * 40}",
        f"val 40 20.0% {'█' * 10}",
    ):
        assert expected.split() in lines, expected


@pytest.mark.parametrize(
    ("pull", "line"),
    [
        (
            {
                "state": "in_progress",
                "percent": 50,
                "summary": "1.2/2.4 GB",
                "files": 3,
                "totalFiles": 9,
                "eta": "0:03:10",
            },
            f"{'█' * 15}{'░' * 15} 50%  1.2/2.4 GB  3/9 files  0:03:10 left",
        ),
        ({"state": "starting"}, "starting"),
        ({"state": "invalid_pull", "failures": 2}, "invalid_pull, 2 failed"),
        ({}, None),
    ],
    ids=["goes on", "begins", "failed", "nothing yet"],
)
def test_how_far_a_pull_is(
    capsys: pytest.CaptureFixture[str], pull: dict[str, Any], line: str | None
) -> None:
    found = [
        row for row in shown(capsys, a_dataset(phase="Running", pull=pull)).splitlines() if row[:4] == "Pull"
    ]
    assert found == ([] if line is None else [f"Pull       {line}"])


def test_the_first_finding_is_named_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    first = {"path": "train/a.csv", "line": 17, "message": "The row has 3 fields, the header 4."}
    validation = {"state": "Invalid", "filesChecked": 9, "problems": 2, "first": first}
    text = shown(capsys, a_dataset(phase="Error", reason="InvalidData", validation=validation))
    assert "Invalid, 9 files, something wrong with 2" in text
    assert "train/a.csv, line 17: The row has 3 fields, the header 4." in text


def test_a_new_dataset_and_a_draft_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    raw = a_dataset()
    del raw["status"], raw["spec"]["source"]
    assert "State      Pending" in shown(capsys, raw, jobs=[])


def test_of_a_push_it_says_when_it_was_or_how_it_is_done() -> None:
    waiting = dict(datasetdetails.head(a_dataset(source={"upload": {}}), now=NOW))
    assert waiting["Source"] == "to be pushed: trainyard push dataset FOLDER digits"
    told = {"claim": "data-1", "files": 3, "bytes": 2048, "time": "2025-03-09T07:05:00Z"}
    pushed = a_dataset(source={"upload": {}}, annotations={"trainyard.dev/upload": json.dumps(told)})
    assert dict(datasetdetails.head(pushed, now=NOW))["Source"] == "pushed 9s ago: 3 files, 2.0 KiB"
    for broken in ("", "[]", "{}", '{"files": "many"}'):
        raw = a_dataset(source={"upload": {}}, annotations={"trainyard.dev/upload": broken})
        assert "to be pushed" in dict(datasetdetails.head(raw, now=NOW))["Source"]


def test_jobs_that_use_it_those_that_go_on_first(capsys: pytest.CaptureFixture[str]) -> None:
    jobs = [
        a_job("over", "Done", train=["digits"]),
        a_job("other", "Running", train=["cats"], eval="dogs"),
        a_job("runs", "Running", train=["cats", "digits"], eval="digits"),
        {"metadata": {"name": "none"}, "spec": {}},
    ]
    using = datasetdetails.users(jobs, "digits")
    assert [job["metadata"]["name"] for job in using] == ["runs", "over"]
    lines = [line.split() for line in shown(capsys, a_dataset(), jobs=using).splitlines()]
    assert ["runs", "Running", "Why", "train,", "eval", "abc"] in lines
    assert "No TrainingJob of this namespace names it." in shown(capsys, a_dataset(), jobs=[])
    assert "TrainingJob" not in shown(capsys, a_dataset()), "where they were not asked for"


def test_where_a_terminal_has_no_blocks_bars_are_of_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rendering.bar(1, most=1000, width=40) == "▏"
    assert rendering.bar(0, most=10, width=40) == ""
    monkeypatch.setattr(rendering, "_has_blocks", lambda: False)
    assert rendering.bar(5, most=10, width=40) == "#" * 20
    assert rendering.bar(1, most=1000, width=40) == "#"
    assert rendering.gauge(50, width=4) == "##.."


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Done", "pull": {"of": "old"}}, None),
        ({"phase": "Error", "pull": {"of": "old"}}, None),
        ({"phase": "Running", "pull": {"of": "new"}}, None),
        ({"phase": "Done", "pull": {"of": "new"}}, ExitCode.OK),
        ({"phase": "Error", "reason": "InvalidData", "pull": {"of": "new"}}, ExitCode.JOB_FAILED),
        ({"phase": "Error", "reason": "InvalidSpec", "pull": {"of": "old"}}, ExitCode.JOB_FAILED),
    ],
)
def test_what_was_pushed_is_waited_for_not_what_was_there_before(
    status: dict[str, Any], expected: ExitCode | None
) -> None:
    judge = waits.looked_at(a_dataset(phase="Done", pull={"of": "old"}))
    outcome = judge(a_dataset(**status))
    assert (None if outcome is None else outcome.code) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Done"}, None),
        ({"phase": "Done", "refreshRequestedAt": "then"}, None),
        ({"phase": "Done", "refreshRequestedAt": "now", "pull": {"state": "in_progress"}}, None),
        ({"phase": "Done", "refreshRequestedAt": "now", "pull": {"state": "pull_complete"}}, ExitCode.OK),
        (
            {
                "phase": "Done",
                "reason": "RefreshFailed",
                "refreshRequestedAt": "now",
                "pull": {"state": "invalid_pull"},
            },
            ExitCode.JOB_FAILED,
        ),
        (
            {"phase": "Error", "refreshRequestedAt": "now", "pull": {"state": "invalid_pull"}},
            ExitCode.JOB_FAILED,
        ),
    ],
)
def test_how_a_refresh_that_is_waited_for_ends(status: dict[str, Any], expected: ExitCode | None) -> None:
    raw = a_dataset(annotations={"trainyard.dev/refresh-requested-at": "now"}, **status)
    outcome = waits.refreshed(raw)
    assert (None if outcome is None else outcome.code) == expected
