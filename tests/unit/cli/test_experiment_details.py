"""What `describe` and `get` draw of an Experiment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.experiments import (
    a_hyperband,
    a_job,
    a_random_search,
    a_trial,
    accuracy,
    an_experiment,
    point,
)
from trainyard.cli import details, intents, reading, views
from trainyard.cli.experimenthistory import history


def shown(
    capsys: pytest.CaptureFixture[str], raw: dict[str, Any], jobs: list[Any] | None = None
) -> list[list[str]]:
    details.show(raw, history=None if jobs is None else history(raw, jobs))
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_search_is_drawn_with_its_best_trials(capsys: pytest.CaptureFixture[str]) -> None:
    experiment, jobs = a_random_search(40, failed=(3,))
    lines = shown(capsys, experiment, jobs)
    best = experiment["status"]["automl"]["bestTrial"]
    number, value = str(best["number"]), best["value"]
    for expected in (
        "Experiment tune",
        f"State Done Completed: Of 40 trials {number} is the best.",
        "Objective accuracy, Maximize",
        f"Progress {'█' * 30} 40/40 1 of 1 steps done",
        "Search random, of step train, 1 at a time, seed 7",
        "Trials 40: 39 succeeded, 1 failed",
        f"Best accuracy {value} in epoch 10, trial {number} (tune-t{number}-r0)",
        "STEP ACTION JOB PHASE REASON METRIC TOOK",
        "BEST TRIAL'S PARAMETER VALUE",
        f"learning_rate {point(int(number))['learning_rate']}",
        "TOP TRIAL ACCURACY RUNG EPOCH JOB PARAMETERS",
        "TRIAL STATE ACCURACY EPOCH TOOK PARAMETERS",
        "and 10 more",
    ):
        assert expected.split() in lines, expected
    newest = next(line for line in lines if line[:2] == ["39", "success"])
    assert newest[2:5] == [f"{accuracy(39, 10):.6g}", "10", "2m"]
    assert newest[5:] == [f"{name}={value}" for name, value in point(39).items()]
    (top,) = (line for line in lines if line[:3] == [number, value, "█" * 24])
    assert f"tune-t{number}-r0" in top


def test_what_is_searched_is_told_as_the_search_began_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    experiment, jobs = a_random_search(3)
    space: list[dict[str, Any]] = [
        {"name": "activation", "type": "categorical", "values": ["relu", "tanh"]},
        {"name": "batch_size", "type": "int", "min": "16", "max": "128", "step": "16"},
        {"name": "learning_rate", "type": "float", "min": "0.0001", "max": "0.1", "log": True},
        {"name": "use_bias", "type": "bool"},
    ]
    experiment["status"]["automl"]["space"] = space
    said = (
        "Space activation relu, tanh; batch_size 16 to 128 by 16; learning_rate 0.0001 to 0.1 log; use_bias"
    )
    assert said.split() in shown(capsys, experiment, jobs)
    experiment["status"]["automl"]["space"] = [{**space[3], "name": f"p{number}"} for number in range(64)]
    (line,) = (line for line in shown(capsys, experiment, jobs) if line[:1] == ["Space"])
    assert line[-4:] == ["p11;", "and", "52", "more"]


def test_rungs_are_drawn_with_how_far_each_is(capsys: pytest.CaptureFixture[str]) -> None:
    experiment, jobs = a_hyperband(9, 3)
    experiment["status"]["automl"]["rungs"][-1] |= {"finished": 1, "running": 2}
    lines = shown(capsys, experiment, jobs)
    assert ["BRACKET", "RUNG", "TRIALS", "EPOCHS", "RUNNING", "ENDED", "GO", "ON", "BEST"] in lines
    rungs = experiment["status"]["automl"]["rungs"]
    assert ["2", "0", "9", "1", "█" * 10, "0", "9", "3", rungs[0]["best"]] in lines
    assert ["0", "0", "3", "9", "█" * 3 + "░" * 7, "2", "1", "0", rungs[-1]["best"]] in lines
    search = next(" ".join(line) for line in lines if line[:1] == ["Search"])
    assert search == "Search hyperband, R 9, nu 3, of step train, 1 at a time, seed 7"
    assert ["TRIAL", "RUNG", "STATE", "ACCURACY", "EPOCH", "TOOK", "PARAMETERS"] in lines


def test_steps_say_why_they_wait_or_failed(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [
        {
            "name": "train",
            "action": "train",
            "job": "chain-train",
            "run": 1,
            "phase": "Done",
            "reason": "Completed",
            "metric": "accuracy 0.97",
            "startTime": "2025-03-09T07:05:09Z",
            "completionTime": "2025-03-09T07:06:14Z",
        },
        {
            "name": "prune",
            "action": "prune",
            "phase": "Error",
            "reason": "TrainerFailed",
            "message": "No\x1b[31m tree.",
        },
        {"name": "export", "action": "export", "phase": "Pending", "reason": "WaitingForParent"},
    ]
    conditions = [{"type": "Stalled", "status": "True", "reason": "StepFailed", "message": "Step prune."}]
    experiment = an_experiment("chain", status={"steps": steps, "conditions": conditions})
    lines = shown(capsys, experiment, [a_job("chain", "", name="mine", phase="Running")])
    for expected in (
        "STEP ACTION JOB PHASE REASON METRIC TOOK RUN",
        "train train chain-train Done Completed accuracy 0.97 1m5s 1",
        "prune prune Error TrainerFailed 0",
        "prune: No [31m tree.",
        "export export Pending WaitingForParent 0",
        "CONDITION STATUS REASON SINCE MESSAGE",
        "Stalled True StepFailed Step prune.",
        "JOB THAT JOINED STATE ACCURACY TOOK",
    ):
        assert expected.split() in lines, expected
    assert ["mine", "running"] in [line[:2] for line in lines]
    assert not any(line[:1] == ["TRIAL"] for line in lines)


def test_the_result_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status = {"result": {"uri": "s3://models/chain/metrics.json"}}
    lines = shown(capsys, an_experiment("chain", status=status))
    assert ["Result", "s3://models/chain/metrics.json"] in lines
    assert "Result" not in {line[0] for line in shown(capsys, an_experiment("chain")) if line}


def test_without_its_jobs_it_is_drawn_from_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    experiment, _ = a_random_search(12)
    lines = shown(capsys, experiment, [])
    top = {trial["number"] for trial in experiment["status"]["automl"]["topTrials"]}
    lost = next(number for number in range(12) if number not in top)
    assert [str(lost), "success", f"{accuracy(lost, 10):.6g}", "(its", "job", "is", "gone)"] in lines
    unasked = shown(capsys, experiment)
    assert [str(lost), "success", f"{accuracy(lost, 10):.6g}"] in unasked


def test_a_new_experiment_and_a_draft_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    new = {"kind": "Experiment", "metadata": {"name": "new", "namespace": "team"}}
    assert ["State", "Pending"] in shown(capsys, new, [])
    off = an_experiment(automl={"enabled": False})
    assert ["Search", "switched", "off", "(spec.automl.enabled)"] in shown(capsys, off, [])


def test_a_trial_that_runs_is_on_top_with_its_time_so_far(capsys: pytest.CaptureFixture[str]) -> None:
    experiment, jobs = a_random_search(40)
    running = a_trial("tune", 0, phase="Running")
    experiment["status"]["automl"]["ledger"] = experiment["status"]["automl"]["ledger"][1:]
    lines = shown(capsys, experiment, [running, *jobs[1:]])
    first = lines.index(["TRIAL", "STATE", "ACCURACY", "EPOCH", "TOOK", "PARAMETERS"]) + 1
    assert lines[first][:2] == ["0", "running"]


def test_how_far_an_experiment_is_on_one_line() -> None:
    experiment, _ = a_random_search(20)
    experiment["status"]["progress"]["summary"] = "5/20"
    assert reading.advance(experiment)["percent"] == 25
    assert reading.progress_line(experiment).startswith("5/20  25%  accuracy 0.")
    assert views.PlainView(experiment).job is experiment
    assert reading.share("x/0") is None


@pytest.mark.parametrize(
    ("status", "verb", "said"),
    [
        ({"phase": "Error", "observedGeneration": 1}, intents.resume, "`trainyard retry experiment tune`"),
        (
            {"phase": "Running", "observedGeneration": 1},
            intents.retry,
            "`trainyard cancel experiment tune --wait`",
        ),
    ],
)
def test_what_to_do_is_said_of_an_experiment_as_one(status: Any, verb: intents.Decide, said: str) -> None:
    from datetime import UTC, datetime

    experiment = an_experiment(status=status)
    experiment["metadata"]["generation"] = 1
    decided = verb(experiment, datetime.now(UTC), None)
    assert isinstance(decided, intents.Refusal)
    assert said in decided.said
