"""`status.objective` of a job of an Experiment: out of logs and posts, over attempts and restarts of the operator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.planning.builders import NOW, a_job, a_pod, a_spec, an_experiment, plan, status_after
from tests.unit.planning.story import STORY_CONTEXT
from trainyard.planning import jobstatus, progress, reportedobjective, statusline
from trainyard.planning.curve import Curve
from trainyard.planning.objective import Goal
from trainyard.planning.observed import LogView, Memory, ObservedJob
from trainyard.planning.progress import Report

Json = dict[str, Any]
ACCURACY, LOSS = Goal("accuracy", False), Goal("loss", True)


def report(goal: Goal, *records: Json, at: str = "2027-01-15T08:00:00Z") -> Report:
    found: Report = Report(at=at, curve=reportedobjective.begin(goal))
    for record in records:
        line = statusline.parse(json.dumps(record))
        assert line is not None
        found = progress.fold(found, line, at=at)
    return found


def epochs(goal: Goal, *values: float, first: int = 1) -> Report:
    lines = [{"epoch": first + i, "kpi": {goal.metric: value}} for i, value in enumerate(values)]
    return report(goal, *lines)


def told(goal: Goal, *records: Json, old: Json | None = None) -> Json | None:
    return reportedobjective.told(old, report(goal, *records), goal)


def test_the_best_and_the_last_are_told_with_their_epochs() -> None:
    found = reportedobjective.told(None, epochs(LOSS, 0.5, 0.125, 0.25), LOSS)
    assert found == {
        "metric": "loss",
        "goal": "Minimize",
        "value": "0.125",
        "epoch": 2,
        "last": "0.25",
        "lastEpoch": 3,
        "curve": {"epochs": [1, 2, 3], "values": ["0.5", "0.125", "0.25"]},
    }
    most = reportedobjective.told(None, epochs(ACCURACY, 0.5, 0.125, 0.25), ACCURACY)
    assert most is not None
    assert (most["goal"], most["value"], most["epoch"]) == ("Maximize", "0.5", 1)


@pytest.mark.parametrize(
    ("records", "value"),
    [
        pytest.param([{"epoch": 1, "kpi": {"loss": 0.5}}], None, id="another metric"),
        pytest.param([{"epoch": 1}], None, id="none"),
        pytest.param([{"epoch": 1, "kpi": {"accuracy": float("nan")}}], None, id="no number"),
        pytest.param(
            [{"epoch": 1, "kpi": {"accuracy": 0.5}}, {"epoch": 2, "kpi": {"accuracy": float("nan")}}],
            "0.5",
            id="no number in one epoch",
        ),
        pytest.param([{"epoch": 1, "graphical": {"accuracy": 0.5}}], "0.5", id="a curve"),
        pytest.param(
            [{"epoch": 1}, {"epoch": 2}, {"status": "SUCCESS", "kpi": {"accuracy": 0.75}}],
            "0.75",
            id="a closing line alone",
        ),
        pytest.param(
            [{"epoch": 1, "kpi": {"accuracy": 0.5}}, {"status": "SUCCESS", "kpi": {"accuracy": 0.75}}],
            "0.5",
            id="a closing line after epochs",
        ),
        pytest.param(
            [
                {"epoch": 1, "kpi": {"accuracy": 0.5}, "status": "RUNNING"},
                {"epoch": 1, "status": "SUCCESS", "kpi": {"accuracy": 0.75}},
            ],
            "0.5",
            id="a closing line that repeats the epoch",
        ),
        pytest.param(
            [{"epoch": 1}, {"epoch": 1, "status": "SUCCESS", "kpi": {"accuracy": 0.75}}],
            "0.75",
            id="a closing line alone that repeats the epoch",
        ),
    ],
)
def test_which_lines_count(records: list[Json], value: str | None) -> None:
    found = told(ACCURACY, *records)
    assert (found or {}).get("value") == value


def test_a_value_without_epochs_has_no_curve() -> None:
    assert told(ACCURACY, {"kpi": {"accuracy": 0.75}}) == {
        "metric": "accuracy",
        "goal": "Maximize",
        "value": "0.75",
        "last": "0.75",
    }


def test_an_operator_that_has_seen_nothing_of_it_adds_to_what_status_has() -> None:
    whole = reportedobjective.told(None, epochs(ACCURACY, *(i / 200 for i in range(150))), ACCURACY)
    first = reportedobjective.told(None, epochs(ACCURACY, *(i / 200 for i in range(100))), ACCURACY)
    rest = epochs(ACCURACY, *(i / 200 for i in range(100, 150)), first=101)
    both = reportedobjective.told(first, rest, ACCURACY)
    assert both == whole
    assert reportedobjective.told(both, rest, ACCURACY) == both, "and nothing is written twice"


def test_the_best_outlives_a_restart_though_its_point_was_thinned_out() -> None:
    values = [0.1] * 200
    values[76] = 0.9
    old = reportedobjective.told(None, epochs(ACCURACY, *values), ACCURACY)
    assert old is not None
    assert (old["value"], old["epoch"], "0.9" in old["curve"]["values"]) == ("0.9", 77, False)
    found = reportedobjective.told(old, epochs(ACCURACY, 0.2, first=201), ACCURACY)
    assert found is not None
    assert (found["value"], found["epoch"], found["lastEpoch"]) == ("0.9", 77, 201)


def test_epochs_that_another_attempt_does_again_count_as_it_did_them() -> None:
    old = reportedobjective.told(None, epochs(ACCURACY, 0.1, 0.2, 0.9), ACCURACY)
    found = reportedobjective.told(old, epochs(ACCURACY, 0.3, first=3), ACCURACY)
    assert found is not None
    assert found["curve"] == {"epochs": [1, 2, 3], "values": ["0.1", "0.2", "0.3"]}
    assert (found["value"], found["epoch"]) == ("0.3", 3)
    anew = reportedobjective.told(old, epochs(ACCURACY, 0.05), ACCURACY)
    assert anew is not None
    assert (anew["value"], anew["curve"]["epochs"]) == ("0.05", [1])


def test_an_attempt_that_has_told_nothing_yet_leaves_it_as_it_was() -> None:
    old = reportedobjective.told(None, epochs(ACCURACY, 0.1, 0.2), ACCURACY)
    assert told(ACCURACY, {"status": "STARTED"}, old=old) == old
    closing = told(ACCURACY, {"kpi": {"accuracy": 0.75}}, old=old)
    assert closing == old
    only = told(ACCURACY, {"kpi": {"accuracy": 0.75}})
    assert told(ACCURACY, {"status": "STARTED"}, old=only) == only


def test_another_metric_is_another_objective() -> None:
    old = reportedobjective.told(None, epochs(ACCURACY, 0.1, 0.2), ACCURACY)
    assert told(LOSS, {"status": "STARTED"}, old=old) is None
    found = reportedobjective.told(old, epochs(LOSS, 3.0, first=7), LOSS)
    assert found is not None
    assert found["curve"]["epochs"] == [7]
    turned = reportedobjective.told(old, None, Goal("accuracy", True))
    assert turned is not None
    assert (turned["goal"], turned["value"]) == ("Minimize", "0.1")


@pytest.mark.parametrize(
    "old",
    [
        {"metric": "accuracy", "curve": {"epochs": [1, "x", None], "values": ["a", 2, "nan"]}},
        {"metric": "accuracy", "epoch": 3, "value": "inf", "goal": "Maximize"},
        {"metric": 3},
    ],
)
def test_a_status_that_somebody_has_written_does_no_harm(old: Json) -> None:
    found = reportedobjective.told(old, epochs(ACCURACY, 0.5, first=9), ACCURACY)
    assert found is not None
    assert (found["value"], found["curve"]["epochs"]) == ("0.5", [9])


def test_a_log_and_posts_are_one_curve() -> None:
    printed = epochs(ACCURACY, 0.1, 0.2, 0.3)
    posted = report(
        ACCURACY,
        {"epoch": 3, "kpi": {"accuracy": 0.35}},
        {"epoch": 4, "kpi": {"accuracy": 0.4}},
        at="2027-01-15T09:00:00Z",
    )
    both = progress.merged(printed, posted)
    found = reportedobjective.told(None, both, ACCURACY)
    assert found is not None
    assert found["curve"] == {"epochs": [1, 2, 3, 4], "values": ["0.1", "0.2", "0.35", "0.4"]}


def running(log: Report | None, **fields: Any) -> ObservedJob:
    logs = {"pod-0": LogView(report=log, silent_since=NOW)} if log is not None else {}
    fields.setdefault("experiment", an_experiment())
    spec = a_spec(experiment="tuning")
    return a_job(spec=spec, pods=(fields.pop("pod", a_pod(running=True)),), logs=logs, **fields)


def test_it_is_in_the_writes_that_there_are_anyway() -> None:
    first = status_after(plan(running(epochs(ACCURACY, 0.1)), context=STORY_CONTEXT))
    assert first["objective"]["value"] == "0.1"
    soon = running(epochs(ACCURACY, 0.1, 0.2), status=first, memory=Memory(progress_written_at=NOW - 2))
    waits = plan(soon, context=STORY_CONTEXT)
    assert waits.status is None
    assert waits.requeue_after == pytest.approx(3)
    later = running(epochs(ACCURACY, 0.1, 0.2), status=first, memory=Memory(progress_written_at=NOW - 5))
    assert status_after(plan(later, context=STORY_CONTEXT))["objective"]["lastEpoch"] == 2


def test_it_is_whole_when_the_job_has_ended() -> None:
    job = running(epochs(ACCURACY, 0.1, 0.3, 0.2), pod=a_pod(exit_code=0))
    log = LogView(report=job.logs["pod-0"].report, ended=True)
    ended = running(None, pod=a_pod(exit_code=0)).__class__(**{**vars(job), "logs": {"pod-0": log}})
    status = status_after(plan(ended, context=STORY_CONTEXT))
    assert status["phase"] == "Done"
    assert (status["objective"]["value"], status["objective"]["lastEpoch"]) == ("0.3", 3)


def test_a_job_of_no_experiment_has_none() -> None:
    job = running(epochs(ACCURACY, 0.1), experiment=None)
    assert "objective" not in status_after(plan(job, context=STORY_CONTEXT))


def test_a_result_that_comes_back_from_a_backup_has_it_without_its_curve() -> None:
    status = {"objective": reportedobjective.told(None, epochs(ACCURACY, 0.1, 0.2), ACCURACY)}
    record = jobstatus.recorded(status)
    assert "curve" not in record["objective"]
    restored = jobstatus.restored(json.loads(json.dumps(record)))["objective"]
    assert (restored["value"], restored["epoch"], restored["lastEpoch"]) == ("0.2", 2, 2)
    assert "objective" not in jobstatus.restored({"objective": {"metric": "accuracy"}})
    assert "objective" not in jobstatus.recorded({"metrics": []})


def test_a_report_without_a_curve_has_none_after_it_is_folded() -> None:
    line = statusline.parse('{"epoch": 1, "kpi": {"accuracy": 0.5}}')
    assert line is not None
    assert progress.fold(None, line, at="2027-01-15T08:00:00Z").curve is None
    watched = Report(at="2027-01-15T08:00:00Z", curve=Curve(metric="accuracy"))
    assert progress.fold(watched, line, at="2027-01-15T08:00:00Z").curve is not None
