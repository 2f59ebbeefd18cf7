"""The body of a callback."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trainyard.callbacks import cloudevent

ENTRY = {
    "id": "0123456789abcdef0123456789abcdef",
    "name": "hook",
    "event": "Completed",
    "sequence": 1,
    "time": "2026-01-02T03:04:05Z",
    "state": "Pending",
    "attempts": 0,
}


def a_job(status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "digits", "namespace": "team-a", "uid": "u-1", **metadata},
        "spec": {
            "action": "train",
            "type": "neural_network",
            "env": [{"name": "TOKEN", "value": "do-not-tell"}],
            "parameters": {"password": "do-not-tell"},
        },
        "status": {"phase": "Done", "reason": "Completed", "message": "All is well.", **(status or {})},
    }


def body(job: dict[str, Any], **entry: Any) -> dict[str, Any]:
    raw = cloudevent.body(job, {**ENTRY, **entry})
    assert len(raw) <= cloudevent.LIMIT
    return dict(json.loads(raw))


def test_it_is_a_cloudevent_that_says_who_what_and_when() -> None:
    event = body(
        a_job(
            {
                "startTime": "2026-01-02T03:00:00Z",
                "completionTime": "2026-01-02T03:04:00Z",
                "metrics": [{"name": "accuracy", "value": "0.97", "epoch": 40}],
                "keyMetric": {"name": "accuracy", "value": "0.97", "display": "accuracy 0.97"},
                "artifacts": [{"uri": "pvc://out/u-1/attempt-0"}],
                "logs": "file:///logs/team-a/u-1/",
                "attempts": [{"number": 0}],
            },
            labels={"team": "a"},
        )
    )
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": ENTRY["id"],
        "source": "/apis/trainyard.dev/v1alpha1/namespaces/team-a/trainingjobs/digits",
        "type": "dev.trainyard.trainingjob.completed",
        "subject": "digits",
        "time": "2026-01-02T03:04:05Z",
        "datacontenttype": "application/json",
    }
    assert data == {
        "name": "digits",
        "namespace": "team-a",
        "uid": "u-1",
        "event": "Completed",
        "sequence": 1,
        "phase": "Done",
        "reason": "Completed",
        "message": "All is well.",
        "action": "train",
        "architecture": "neural_network",
        "startTime": "2026-01-02T03:00:00Z",
        "completionTime": "2026-01-02T03:04:00Z",
        "attempts": 1,
        "keyMetric": {"name": "accuracy", "value": "0.97", "display": "accuracy 0.97"},
        "logs": "file:///logs/team-a/u-1/",
        "metrics": [{"name": "accuracy", "value": "0.97", "epoch": 40}],
        "artifacts": [{"uri": "pvc://out/u-1/attempt-0"}],
        "labels": {"team": "a"},
    }


def test_neither_the_environment_nor_the_parameters_are_told() -> None:
    assert "do-not-tell" not in cloudevent.body(a_job(), ENTRY).decode()


def test_a_job_that_has_gone_on_since_is_told_by_its_event() -> None:
    later = a_job({"phase": "Running", "reason": "Training", "message": "Action train is running."})
    event = body(later, event="Failed")
    assert event["type"] == "dev.trainyard.trainingjob.failed"
    assert event["data"]["phase"] == "Error"
    assert "reason" not in event["data"]
    assert "message" not in event["data"]


PAUSED = {
    "phase": "Pending",
    "reason": "Paused",
    "message": "Paused with a checkpoint of epoch 3, saved on the way out.",
    "attempts": [{"number": 0}],
    "stop": {"cause": "Suspend", "endTime": "2026-01-02T03:04:05Z", "checkpoint": True},
    "lastCheckpoint": {"epoch": 3, "uri": "pvc://out/u-1/epoch-3", "time": "2026-01-02T03:04:06Z"},
}


def test_a_pause_tells_its_checkpoint() -> None:
    data = body(a_job(PAUSED), event="Paused", attempt=0)["data"]
    assert (data["phase"], data["reason"], data["message"]) == ("Pending", "Paused", PAUSED["message"])
    assert data["checkpoint"] == PAUSED["lastCheckpoint"]
    assert data["checkpointSaved"] is True
    assert data["attempt"] == 0


def test_a_pause_that_is_told_late_tells_nothing_of_what_came_after_it() -> None:
    later = {
        "phase": "Pending",
        "reason": "Resuming",
        "completionTime": "2026-01-02T05:00:00Z",
        "lastCheckpoint": {"epoch": 9, "uri": "pvc://out/u-1/epoch-9", "time": "2026-01-02T04:00:00Z"},
    }
    data = body(a_job(later), event="Paused", attempt=0)["data"]
    assert (data["phase"], data["reason"]) == ("Pending", "Paused")
    assert not data.keys() & {"message", "checkpoint", "checkpointSaved", "completionTime"}
    before = {**later["lastCheckpoint"], "time": "2026-01-02T03:00:00Z"}
    assert body(a_job({**later, "lastCheckpoint": before}), event="Paused")["data"]["checkpoint"] == before


def test_going_on_tells_the_attempt_and_where_it_begins_also_when_a_later_one_is_on() -> None:
    attempts = [
        {"number": 0},
        {"number": 1, "resumedFrom": "pvc://out/u-1/epoch-3"},
        {"number": 2, "resumedFrom": "pvc://out/u-1/epoch-7"},
    ]
    data = body(a_job({"phase": "Running", "attempts": attempts}), event="Resumed", attempt=1)["data"]
    assert (data["attempt"], data["resumedFrom"]) == (1, "pvc://out/u-1/epoch-3")
    assert data["phase"] == "Pending"
    assert data["attempts"] == 3


def test_progress_tells_how_far_it_is() -> None:
    status = {
        "phase": "Running",
        "reason": "Training",
        "progress": {"epoch": 12, "maxEpoch": 40, "percent": 30, "summary": "12/40"},
        "metrics": [{"name": "accuracy", "value": "0.9", "epoch": 12}],
        "keyMetric": {"name": "accuracy", "value": "0.9", "display": "accuracy 0.9"},
        "lastCheckpoint": {"epoch": 10, "uri": "pvc://out/u-1/epoch-10", "time": "2026-01-02T03:04:00Z"},
    }
    event = body(a_job(status), event="Progress", attempt=0)
    assert event["type"] == "dev.trainyard.trainingjob.progress"
    for key in ("progress", "metrics", "keyMetric"):
        assert event["data"][key] == status[key]
    assert event["data"]["checkpoint"] == status["lastCheckpoint"]


def test_a_start_that_is_told_after_the_end_is_still_one() -> None:
    data = body(a_job({"completionTime": "2026-01-02T05:00:00Z"}), event="Started", attempt=0)["data"]
    assert data["phase"] == "Running"
    assert not data.keys() & {"reason", "message", "completionTime"}


def test_what_is_too_large_is_cut_and_named() -> None:
    artifacts = [{"uri": f"pvc://out/{number}/" + "x" * 1500} for number in range(64)]
    event = body(a_job({"artifacts": artifacts, "message": "\x01" * 4096}, labels={"a": "b" * 9000}))
    assert event["data"]["truncated"] == ["artifacts", "labels"]
    assert event["data"]["artifacts"] == artifacts[: len(event["data"]["artifacts"])]
    assert len(event["data"]["artifacts"]) >= 8
    assert event["data"]["message"].endswith("…")


texts = st.text(max_size=4096)


@given(
    message=texts,
    display=st.text(max_size=500),
    metrics=st.lists(
        st.fixed_dictionaries({"name": st.text(max_size=100), "value": st.text(max_size=64)}), max_size=64
    ),
    artifacts=st.lists(st.fixed_dictionaries({"uri": st.text(max_size=2048)}), max_size=64),
    labels=st.dictionaries(st.text(max_size=300), st.text(max_size=63), max_size=30),
)
def test_it_is_valid_json_under_20_kb_whatever_a_status_holds(
    message: str,
    display: str,
    metrics: list[dict[str, str]],
    artifacts: list[dict[str, str]],
    labels: dict[str, str],
) -> None:
    job = a_job({"message": message, "metrics": metrics, "artifacts": artifacts}, labels=labels)
    job["spec"]["displayName"] = display
    assert body(job)["data"]["name"] == "digits"


def test_the_largest_status_that_the_schema_admits_stays_under_the_limit() -> None:
    wide = "\x01" * 2048  # six bytes each in JSON
    job = a_job(
        {
            "message": "\x01" * 4096,
            "logs": wide,
            "keyMetric": {"name": wide[:100], "value": wide[:64], "display": wide[:170]},
            "metrics": [{"name": wide[:100], "value": wide[:64]} for _ in range(64)],
            "artifacts": [{"uri": wide} for _ in range(64)],
        },
        labels={f"{number:0317}": "v" * 63 for number in range(64)},
    )
    job["spec"]["displayName"] = "\x01" * 500
    assert body(job)["data"]["truncated"] == ["metrics", "artifacts", "logs", "labels"]


def an_experiment(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "search", "namespace": "team-a", "uid": "e-1", "labels": {"team": "a"}},
        "spec": {
            "type": "neural_network",
            "env": [{"name": "TOKEN", "value": "do-not-tell"}],
            "actionParameters": {"train": {"password": "do-not-tell"}},
            "jobTemplate": {"spec": {"env": [{"name": "TOKEN", "value": "do-not-tell"}]}},
            "automl": {"algorithm": "hyperband"},
            **spec,
        },
        "status": {"phase": "Done", "reason": "Completed", "message": "All is well.", **(status or {})},
    }


def body_of_experiment(experiment: dict[str, Any], **entry: Any) -> dict[str, Any]:
    raw = cloudevent.body_of_experiment(experiment, {**ENTRY, **entry})
    assert len(raw) <= cloudevent.LIMIT
    assert b"do-not-tell" not in raw
    return dict(json.loads(raw))


def test_an_experiment_tells_its_steps_its_trials_and_the_best_of_them() -> None:
    best = {
        "number": 3,
        "job": "search-t3-r2",
        "value": "0.97",
        "parameters": [{"name": "learning_rate", "value": "0.01"}],
    }
    train = {
        "name": "train",
        "action": "train",
        "phase": "Done",
        "job": "search-t3-r2",
        "metric": "accuracy 0.97",
    }
    status = {
        "startTime": "2026-01-02T03:00:00Z",
        "completionTime": "2026-01-02T03:04:00Z",
        "progress": {"done": 2, "total": 2, "summary": "20/20"},
        "keyMetric": {"name": "accuracy", "value": "0.97", "display": "accuracy 0.97"},
        "steps": [
            {**train, "digest": "0123", "run": 0},
            {"name": "export", "action": "export", "phase": "Done"},
        ],
        "jobs": {"total": 21, "done": 21},
        "automl": {
            "trials": {"total": 20, "succeeded": 20},
            "bestTrial": best,
            "ledger": [{"number": 0}] * 2000,
        },
        "artifacts": [{"uri": "pvc://out/u-1/attempt-0"}],
    }
    event = body_of_experiment(an_experiment(status))
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": ENTRY["id"],
        "source": "/apis/trainyard.dev/v1alpha1/namespaces/team-a/experiments/search",
        "type": "dev.trainyard.experiment.completed",
        "subject": "search",
        "time": "2026-01-02T03:04:05Z",
        "datacontenttype": "application/json",
    }
    assert data == {
        "name": "search",
        "namespace": "team-a",
        "uid": "e-1",
        "event": "Completed",
        "sequence": 1,
        "phase": "Done",
        "reason": "Completed",
        "message": "All is well.",
        "architecture": "neural_network",
        "algorithm": "hyperband",
        "startTime": "2026-01-02T03:00:00Z",
        "completionTime": "2026-01-02T03:04:00Z",
        "progress": status["progress"],
        "keyMetric": status["keyMetric"],
        "jobs": {"total": 21, "done": 21},
        "trials": {"total": 20, "succeeded": 20},
        "best": best,
        "steps": [train, {"name": "export", "action": "export", "phase": "Done"}],
        "artifacts": [{"uri": "pvc://out/u-1/attempt-0"}],
        "labels": {"team": "a"},
    }


def test_an_experiment_that_does_not_tune_names_no_algorithm() -> None:
    for automl in (None, {"algorithm": "hyperband", "enabled": False}):
        assert "algorithm" not in body_of_experiment(an_experiment(automl=automl))["data"]


def test_the_largest_status_of_an_experiment_stays_under_the_limit() -> None:
    wide = "\x01" * 2048
    parameters = [{"name": wide[:128], "value": wide[:256]} for _ in range(64)]
    steps = [{"name": f"step-{number}", "action": "train", "metric": wide[:170]} for number in range(32)]
    data = body_of_experiment(
        an_experiment(
            {
                "message": "\x01" * 4096,
                "keyMetric": {"name": wide[:100], "value": wide[:64], "display": wide[:170]},
                "automl": {"bestTrial": {"number": 1, "parameters": parameters}, "trials": {"total": 1000}},
                "steps": steps,
                "artifacts": [{"uri": wide} for _ in range(64)],
            },
            displayName="\x01" * 500,
        )
    )["data"]
    assert data["truncated"] == ["best", "steps", "artifacts"]
    assert data["trials"] == {"total": 1000}
    assert 0 < len(data["steps"]) < 32
