"""What `describe` and `get` draw of an MLModel."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models import UID, WHEN, a_model, a_version
from trainyard.cli import details, modeldetails

Json = dict[str, Any]


def shown(capsys: pytest.CaptureFixture[str], raw: Json, jobs: list[Json] | None = None) -> list[str]:
    details.show(raw, jobs=jobs)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def row(lines: list[str], begin: str) -> str:
    return next(line for line in lines if line.startswith(begin))


def a_job(name: str, *, task: str | None = None, model: str | None = None, **status: Any) -> Json:
    labels = {"trainyard.dev/model": "churn", "trainyard.dev/task": task} if task else {}
    return {
        "kind": "TrainingJob",
        "metadata": {"name": name, "labels": labels, "creationTimestamp": WHEN},
        "spec": {"model": model} if model else {},
        "status": {"phase": "Done", "reason": "Completed", **status},
    }


def test_versions_are_listed_newest_first_with_aliases_and_data(capsys: pytest.CaptureFixture[str]) -> None:
    key = {"name": "f1_score", "value": "0.9", "display": "f1_score 0.9"}
    aliases = [{"name": "champion", "version": 2}, {"name": "prod", "version": 2}]
    lines = shown(
        capsys, a_model(aliases=aliases, keyMetric=key, formerVersions=[{"number": 1, "time": WHEN}])
    )
    assert row(lines, "Lifecycle").startswith("Lifecycle trained, since ")
    assert "Aliases champion 2, prod 2" in lines
    at = lines.index("VERSION ALIASES WHEN METRICS SIZE FROM DATA CARD")
    newest, second, _ = lines[at + 1 : at + 4]
    assert newest.startswith("3 ")
    assert newest.endswith("f1_score 0.9 accuracy 0.93 4.0 KiB churn-train-3 customers at 2 yes")
    assert second.startswith("2 champion, prod ")
    assert lines[at + 4] == "and 1 former ones: `trainyard card` has their cards and records"


def test_the_newest_version_is_traced_to_the_bytes_of_its_data(capsys: pytest.CaptureFixture[str]) -> None:
    model = a_model(versions=1)
    lineage = model["status"]["versions"][0]["lineage"]
    lineage |= {"experiment": "tune", "trial": 7, "parentVersion": 1}
    lineage["baseModels"] = [
        {"name": "backbone", "version": 4, "sha256": "e" * 64},
        {"uri": "hf://org/net", "sha256": "f" * 64},
    ]
    lines = shown(capsys, model)
    at = lines.index("VERSION 1 COMES FROM")
    assert (
        lines[at + 1 : at + 13]
        == [
            f"lies at pvc://models/{UID}/attempt-0",
            f"artifacts.json sha256:{'c' * 64}",
            "experiment tune, trial 7",
            f"job churn-train-1, attempt 0, UID {UID}",
            "runtime reference",
            f"image trainyard/trainer:0.1.0 sha256:{'a' * 64}",
            f"parameters sha256:{'b' * 64}",
            "version before 1",
            f"base model backbone version 4 sha256:{'e' * 64}",
            f"base model hf://org/net sha256:{'f' * 64}",
            f"dataset customers at 2 sha256:{'d' * 64}",
        ][:12]
        + lines[at + 12 : at + 13]
    )


def test_synthetic_data_and_what_was_reported_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    model = a_model(reported={"lifecycle": "trained", "artifactUri": "s3://a/b", "time": WHEN})
    model["status"]["versions"] = [
        a_version(1, syntheticData=True),
        {"number": 2, "time": WHEN, "origin": "reported", "uri": "s3://a/b"},
    ]
    lines = shown(capsys, model)
    assert any(line.startswith("1 ") and "synthetic demo data" in line for line in lines)
    assert any(line.startswith("2 ") and line.endswith(" reported") for line in lines)
    assert row(lines, "Reported").startswith("Reported trained, s3://a/b, ")


def test_monitoring_says_what_was_measured_and_what_has_moved(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {
        "schedule": "0 3 * * *",
        "timeZone": "Europe/Berlin",
        "dataset": "live",
        "threshold": "0.9",
        "forRuns": 2,
    }
    found = {
        "metric": "accuracy",
        "runsBelow": 1,
        "nextScheduleTime": WHEN,
        "history": [
            {"time": WHEN, "version": 3, "value": "0.85", "job": "churn-monitor-2"},
            {"time": WHEN, "version": 3, "job": "churn-monitor-1", "message": "The job has failed."},
        ],
        "drift": [{"column": "age", "psi": "0.31"}, {"column": "city", "psi": "0.05"}],
    }
    lines = shown(capsys, a_model(spec={"monitor": asked}, monitor=found, lifecycle="degraded"))
    assert (
        f"Monitored accuracy on live against 0.9, 0 3 * * * Europe/Berlin, next {WHEN}, 1 of 2 below in a row"
        in lines
    )
    at = lines.index("MEASURED VERSION ACCURACY JOB MESSAGE")
    assert lines[at + 1].endswith("ago 3 0.85 against 0.9 churn-monitor-2")
    assert lines[at + 2].endswith("ago 3 churn-monitor-1 The job has failed.")
    at = lines.index("COLUMN PSI")
    assert lines[at + 1 : at + 3] == ["age 0.31 moved", "city 0.05"]
    stricter = {**asked, "drift": {"threshold": "0.01"}}
    assert "city 0.05 moved" in shown(capsys, a_model(spec={"monitor": stricter}, monitor=found))


def test_a_recommendation_is_shown_with_its_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        "type": "decision_tree",
        "score": 88,
        "reasoning": "It is as good as the others\x1b[31m and smaller.",
        "allScores": {"decision_tree": 88, "regression": 20},
        "measured": True,
        "dataset": "customers",
        "time": WHEN,
    }
    lines = shown(capsys, a_model(versions=0, spec={"type": "auto"}, recommendation=found))
    assert "Is auto, so decision_tree" in lines
    assert row(lines, "Recommended").startswith(
        "Recommended decision_tree, score 88 of 100, measured, on customers"
    )
    assert "regression 20 ██████" in lines
    assert "It is as good as the others [31m and smaller." in lines
    failed = {"number": 2, "job": "churn-recommend-2", "state": "Failed", "message": "No column."}
    lines = shown(capsys, a_model(versions=0, spec={"type": "auto"}, recommendationRun=failed))
    assert "Recommending churn-recommend-2 Failed: No column." in lines


def test_targets_base_models_and_the_last_training_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    published = [
        {
            "name": "hub",
            "state": "Published",
            "version": 3,
            "uri": "hf://a/b",
            "digest": "sha256:1",
            "time": WHEN,
        },
        {"name": "registry", "state": "Failed", "message": "401 Unauthorized"},
    ]
    bases = [{"name": "net@2", "version": 2, "pull": "pull_complete", "sha256": "9", "bytes": 1024}]
    training = {
        "number": 4,
        "job": "churn-train-4",
        "outcome": "Error",
        "message": "No data.",
        "completionTime": WHEN,
    }
    lines = shown(capsys, a_model(published=published, baseModels=bases, training=training))
    assert row(lines, "hub").startswith("hub Published 3 hf://a/b sha256:1 ")
    assert "registry Failed 401 Unauthorized" in lines
    assert "net@2 2 pull_complete 1.0 KiB sha256:9" in lines
    assert row(lines, "Training churn-train-4, Error ").endswith("ago: No data.")


def test_what_works_for_a_model_is_listed_with_why(capsys: pytest.CaptureFixture[str]) -> None:
    every = [
        a_job("churn-train-3", task="train", modelVersion={"name": "churn", "number": 3}),
        a_job("churn-monitor-1", task="monitor"),
        a_job("mine", model="churn", phase="Running", reason="Training", message="Epoch 3."),
        a_job("another", model="other"),
        a_job("no-model"),
    ]
    workers = modeldetails.workers(every, "churn")
    lines = shown(capsys, a_model(), workers)
    at = lines.index("JOB FOR STATE VERSION STARTED")
    assert lines[at + 1].startswith("churn-train-3 train Done Completed 3 ")
    assert lines[at + 2].startswith("churn-monitor-1 monitor Done Completed ")
    assert lines[at + 3].startswith("mine train, joined Running Training ")
    assert len(workers) == 3


def test_a_new_model_and_a_status_that_is_cut_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, a_model(versions=0), [])
    assert "State Pending Draft: A draft." in lines
    assert not any(line.startswith("VERSION") for line in lines)
    bare = a_model()
    del bare["status"]
    assert row(shown(capsys, bare), "Lifecycle") == "Lifecycle draft"
    aliases = {"aliases": [{"name": "champion", "version": 9}]}
    assert "Aliases champion (wants 9)" in shown(capsys, a_model(spec=aliases))
    partly = a_model(versions=1)
    partly["status"]["versions"] = [{"number": 1, "time": WHEN, "origin": "job"}]
    assert any(line.startswith("1 ") for line in shown(capsys, partly))
