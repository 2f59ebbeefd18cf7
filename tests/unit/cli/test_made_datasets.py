"""What `trainyard get JOB` tells of the Dataset that a job makes."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.cli import details

WANTED = {"name": "cats-kitti", "type": "object_detection", "format": "kitti"}
TAKEN = "There is another Dataset cats-kitti already, and it is left as it is."


@pytest.mark.parametrize(
    ("wanted", "status", "line"),
    [
        pytest.param(WANTED, {}, "Dataset cats-kitti", id="before it is Done"),
        pytest.param(WANTED, {"state": "Pending"}, "Dataset cats-kitti, being created", id="on its way"),
        pytest.param(WANTED, {"state": "Created"}, "Dataset cats-kitti, created", id="there"),
        pytest.param(WANTED, {"state": "NameTaken", "message": TAKEN}, TAKEN, id="another of that name"),
        pytest.param(None, {}, None, id="a job that makes none"),
    ],
)
def test_it_says_what_became_of_it(
    wanted: Any,
    status: Any,
    line: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    spec = {"runtime": "reference-data", "action": "convert", "datasets": {"input": "cats"}}
    raw = {
        "kind": "TrainingJob",
        "metadata": {"name": "convert", "namespace": "team-a"},
        "spec": {**spec, **({"outputDataset": wanted} if wanted else {})},
        "status": {"phase": "Done", "outputDataset": status},
    }
    details.show(raw)
    told = dict(row.split(maxsplit=1) for row in capsys.readouterr().out.splitlines() if len(row.split()) > 1)
    assert told.get("Makes") == line
