"""What the operator says to the data image, said to it: the pod of an action, its container run as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.planning.builders import NOW, UID, a_dataset, a_job, a_spec, env_of, trainer_of
from trainyard import catalog
from trainyard.planning.context import Context
from trainyard.planning.statusline import parse_termination
from trainyard.planning.trainingjob import plan_training_job

CSV = "a,b,label\n" + "".join(f"{n},0.{n},{'xy'[n % 2]}\n" for n in range(40))


def ran(tmp_path: Path, action: str, made: str, **fields: Any) -> tuple[int, str, Path]:
    """Exit code, termination message and the new dataset of a job's container, with its folders below `tmp_path`."""
    (tmp_path / "trainyard/data/numbers").mkdir(parents=True)
    (tmp_path / "trainyard/data/numbers/numbers.csv").write_text(CSV)
    spec = a_spec(
        **{"action": action, "runtime": "reference-data", "datasets": {"input": "numbers"}, **fields},
        output={"claimName": "out"},
        outputDataset={"name": "made", "type": "tabular", "format": made},
    )
    job = a_job(spec=spec, datasets={"numbers": a_dataset("numbers", type="tabular", format="csv")})
    (pod,) = plan_training_job(
        job, now=NOW, context=Context(catalog=catalog.load({}), follow_logs=False)
    ).create
    environment = {
        name: value.replace("$$", "$").replace("/trainyard/", f"{tmp_path}/trainyard/")
        for name, value in env_of(pod).items()
    }
    words = [word.replace("$(TRAINYARD_ACTION)", action) for word in trainer_of(pod)["args"]]
    done = subprocess.run(
        [sys.executable, "-m", "trainyard_data", *words],
        env={"PATH": os.environ["PATH"], "TRAINYARD_TERMINATION_LOG": str(tmp_path / "log"), **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    output = tmp_path / f"trainyard/output/{UID}/attempt-0/dataset"
    return done.returncode, (tmp_path / "log").read_text(), output


def test_a_conversion_makes_what_output_dataset_says(tmp_path: Path) -> None:
    code, said, dataset = ran(tmp_path, "convert", "parquet")
    assert code == 0, said
    assert [path.name for path in dataset.iterdir()] == ["numbers.parquet"]
    termination = parse_termination(said)
    assert termination.report is not None
    assert (termination.message, json.loads(said)["metrics"]["rows"]) == (
        "converted csv to parquet: 40 rows, 3 columns",
        40,
    )


def test_a_split_gets_its_parameters(tmp_path: Path) -> None:
    given = {"train": "0.5", "val": 0, "test": "0.5", "stratify": True, "target": "label"}
    code, said, dataset = ran(tmp_path, "split", "csv", parameters=given)
    assert code == 0, said
    assert {path.name: len((path / "data.csv").read_text().splitlines()) for path in dataset.iterdir()} == {
        "train": 21,
        "test": 21,
    }


@pytest.mark.parametrize("made", ["coco", "csv"])
def test_what_cannot_be_made_ends_with_2(made: str, tmp_path: Path) -> None:
    code, said, dataset = ran(tmp_path, "convert", made)
    assert code == 2
    assert json.loads(said)["status"] == "FAILURE"
    assert not dataset.exists()
