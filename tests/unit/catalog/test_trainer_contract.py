"""What the reference trainer and the operator say to each other about models, each in the other's own terms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainyard.api.mlmodel import RecommendationRequest
from trainyard.api.modelstatus import ColumnDrift, Recommendation
from trainyard_trainer import samples

#: Bytes of a line of a log that the operator reads.
LONGEST_LINE = 60 * 1024


def last_line(tmp_path: Path, action: str, *, parameters: Any = None, parent: Path | None = None) -> str:
    """The last line of a trainer that works on scikit-learn's wines."""
    samples.write(tmp_path / "data", "wine")
    done = subprocess.run(
        [sys.executable, "-m", "trainyard_trainer"],
        env={
            "PATH": os.environ["PATH"],
            "TRAINYARD_ACTION": action,
            "TRAINYARD_TYPE": "decision_tree" if action == "train" else "",
            "TRAINYARD_PARAMETERS": json.dumps(parameters or {}),
            "TRAINYARD_DATA_DIR": str(tmp_path / "data"),
            "TRAINYARD_DATASETS": json.dumps({"train": "wine"}),
            "TRAINYARD_OUTPUT_DIR": str(tmp_path / action),
            "TRAINYARD_PARENT_DIR": str(parent or ""),
            "TRAINYARD_TERMINATION_LOG": str(tmp_path / "log"),
        },
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()[-1]


def test_the_trainer_takes_what_a_model_asks_for_and_its_answer_is_a_recommendation(tmp_path: Path) -> None:
    asked = RecommendationRequest()
    line = last_line(
        tmp_path,
        "recommend",
        parameters={
            "candidates": list(asked.candidates),
            "time_budget_seconds": asked.time_budget_seconds,
            "folds": 2,
        },
    )
    assert len(line) < LONGEST_LINE
    found = json.loads(line)["recommendation"]
    read = Recommendation.model_validate({**found, "dataset": "wine", "time": "2026-01-02T03:04:05Z"})
    assert read.measured
    assert set(read.all_scores) == set(asked.candidates)
    assert read.model_dump(by_alias=True, mode="json", exclude={"dataset", "time"}) == found


@pytest.mark.parametrize("what", ["defaults", "least", "most"])
def test_what_a_model_may_ask_for_is_what_the_trainer_takes(what: str) -> None:
    from trainyard_trainer import parameters

    asked = {
        "defaults": RecommendationRequest(),
        "least": RecommendationRequest(time_budget_seconds=1, folds=2, candidates=["regression"]),
        "most": RecommendationRequest(time_budget_seconds=86400, folds=20),
    }[what]
    given = {
        "candidates": list(asked.candidates),
        "time_budget_seconds": asked.time_budget_seconds,
        "folds": asked.folds,
    }
    taken = parameters.check(given, schema_name="recommend")
    assert {name: taken[name] for name in given} == given
    if what == "defaults":
        assert parameters.check({}, schema_name="recommend") == taken


def test_the_drift_of_an_evaluation_is_a_column_and_a_number_each(tmp_path: Path) -> None:
    last_line(tmp_path, "train")
    found = json.loads(last_line(tmp_path, "evaluate", parent=tmp_path / "train"))["drift"]
    read = [ColumnDrift(column=column, psi=f"{psi:.4f}") for column, psi in found.items()]
    assert len(read) == 13
    assert all(float(one.psi) >= 0 for one in read)
