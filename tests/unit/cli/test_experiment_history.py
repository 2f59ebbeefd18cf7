"""The history of an Experiment, from its ledger and from the jobs that are there."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests import experiments
from tests.experiments import (
    SEARCH,
    a_hyperband,
    a_job,
    a_random_search,
    a_trial,
    accuracy,
    an_experiment,
    entry,
    objective,
    point,
)
from trainyard.cli import experimentjobs, redrawing
from trainyard.cli.experimenthistory import History, Run, history


def run_of(found: History, number: int, rung: int = 0) -> Run:
    return next(run for run in found.trials if (run.number, run.rung) == (number, rung))


def test_every_run_has_what_the_ledger_and_its_job_know() -> None:
    experiment, jobs = a_random_search(4, failed=(2,))
    found = history(experiment, jobs)
    assert (found.metric, found.goal, found.algorithm, found.seed) == ("accuracy", "Maximize", "random", 7)
    assert [(run.number, run.state) for run in found.trials] == [
        (0, "success"),
        (1, "success"),
        (2, "failure"),
        (3, "success"),
    ]
    run = run_of(found, 1)
    assert (run.job, run.value, run.epoch, run.took) == ("tune-t1-r0", accuracy(1, 10), 10, 120)
    assert run.parameters == point(1)
    assert run.curve[0] == (1, accuracy(1, 1))
    assert len(run.curve) == 10
    assert run_of(found, 2).message == "Exit code 1."
    assert found.parameter_names == ("activation", "hidden_units", "learning_rate", "momentum")
    assert found.best is run_of(found, max((0, 1, 3), key=lambda number: accuracy(number, 10)))


def test_the_history_is_whole_when_all_jobs_are_gone() -> None:
    experiment, jobs = a_random_search(30, failed=(2,))
    with_jobs = history(experiment, jobs)
    without = history(experiment, [], redraw=redrawing.of(experiment))

    def known(found: History) -> list[Any]:
        return [(r.number, r.rung, r.state, r.value, r.parameters, r.job, r.key) for r in found.trials]

    assert known(without) == known(with_jobs)
    assert not any(run.present or run.curve for run in without.trials)


def test_parameters_that_cannot_be_drawn_again_are_absent_and_not_wrong() -> None:
    experiment, _ = a_random_search(20)
    experiment["status"]["automl"]["seed"] += 1
    found = history(experiment, [], redraw=redrawing.of(experiment))
    told = {trial["number"] for trial in experiment["status"]["automl"]["topTrials"]}
    assert {run.number for run in found.trials if run.parameters} == told, "those that status tells"


def test_points_of_a_grid_are_known_by_their_numbers() -> None:
    from trainyard.search.grid import grid_point

    space = [{"name": "depth", "type": "int", "min": "1", "max": "4"}, experiments.PARAMETERS[0]]
    experiment = an_experiment(automl={"algorithm": "grid", "space": space})
    redraw = redrawing.of(an_experiment(automl={"algorithm": "grid", "space": space}))
    assert redraw is not None
    grid = redrawing.space_of(experiment)
    assert grid is not None
    drawn = [redraw(number, grid.digest(grid_point(grid, number))) for number in range(8)]
    assert {(one or {})["depth"] for one in drawn} == {"1", "2", "3", "4"}
    assert redraw(8, "") is None
    assert redraw(0, "of another space") is None


def test_what_the_runtime_would_search_has_the_scales_of_the_catalogue() -> None:
    experiment = an_experiment(type="neural_network", jobTemplate={}, automl={"algorithm": "random"})
    experiment["spec"]["type"] = "neural_network"
    found = redrawing.scales(experiment)
    assert found["learning_rate"] is True
    assert "epochs" not in found
    assert history(experiment, [], scales=found).scales == found


def test_what_status_has_kept_is_drawn_from_whatever_spec_and_catalogue_say_now() -> None:
    experiment, _ = a_random_search(20)
    kept = experiment["spec"]["automl"].pop("space")
    experiment["spec"]["jobTemplate"] = {"spec": {"runtime": "known to the operator alone"}}
    assert redrawing.of(experiment) is None
    experiment["status"]["automl"]["space"] = kept
    found = history(experiment, [], redraw=redrawing.of(experiment), scales=redrawing.scales(experiment))
    assert [run.parameters for run in found.trials] == [point(number) for number in range(20)]
    assert found.scales["learning_rate"] is True


def test_a_spec_that_cannot_be_read_draws_nothing() -> None:
    assert redrawing.of(an_experiment(automl={"algorithm": "nonsense"})) is None
    assert redrawing.of(an_experiment(automl={"space": [{"name": "a", "type": "int"}]})) is None
    assert redrawing.of(an_experiment()) is None


def test_trials_of_hyperband_know_their_bracket_and_the_epochs_of_their_rung() -> None:
    experiment, jobs = a_hyperband(9, 3)
    found = history(experiment, jobs)
    seen = {(run.bracket, run.rung, run.epochs) for run in found.trials}
    told = {(r["bracket"], r["rung"], r["epochs"]) for r in experiment["status"]["automl"]["rungs"]}
    assert seen == told
    counts = [
        sum((r.bracket, r.rung) == (one["bracket"], one["rung"]) for r in found.trials) for one in found.rungs
    ]
    assert counts == [one["configurations"] for one in found.rungs]
    assert found.best is not None
    assert found.best.epochs == 9


def test_on_an_inner_rung_the_last_value_counts_and_its_epoch_is_told() -> None:
    experiment, _ = a_random_search(1)
    job = a_trial("tune", 0)
    job["status"]["objective"] |= {"value": "0.9", "epoch": 3, "last": "0.8", "lastEpoch": 10}
    experiment["status"]["automl"]["ledger"] = [entry(0) | {"value": "0.8"}]
    (run,) = history(experiment, [job]).trials
    assert (run.value, run.epoch) == (0.8, 10)
    experiment["status"]["automl"]["ledger"] = [entry(0) | {"value": "0.7"}]
    (run,) = history(experiment, [job]).trials
    assert (run.value, run.epoch) == (0.7, None)


@pytest.mark.parametrize(
    ("more", "state", "value"),
    [
        ({"phase": "Pending", "objective": None}, "pending", None),
        ({"phase": "Running"}, "running", accuracy(0, 10)),
        ({"phase": "Done"}, "success", accuracy(0, 10)),
        ({"phase": "Done", "objective": None}, "failure", None),
        ({"phase": "Done", "objective": {"value": "NaN"}}, "failure", None),
        ({"phase": "Error"}, "failure", accuracy(0, 10)),
        ({"phase": "Canceled"}, "canceled", accuracy(0, 10)),
    ],
    ids=["waits", "runs", "done", "without a value", "NaN", "failed", "cancelled"],
)
def test_a_run_that_is_not_in_the_ledger_is_told_by_its_job(
    more: dict[str, Any], state: str, value: float | None
) -> None:
    (run,) = history(an_experiment(automl={}), [a_trial("tune", 0, **more)]).trials
    assert (run.state, run.value) == (state, value)


def test_a_trial_that_the_search_stopped_was_not_cancelled() -> None:
    job = a_trial("tune", 0, phase="Canceled")
    job["metadata"]["annotations"]["trainyard.dev/stopped"] = "median"
    (run,) = history(an_experiment(automl={}), [job]).trials
    assert run.state == "stopped"


def test_jobs_of_a_former_experiment_or_search_are_left_out() -> None:
    experiment, jobs = a_random_search(2)
    jobs[0]["metadata"]["labels"]["trainyard.dev/experiment-uid"] = "another"
    jobs[1]["metadata"]["annotations"]["trainyard.dev/step-digest"] = "f" * 16
    assert [run.present for run in history(experiment, jobs).trials] == [False, False]


def test_steps_and_jobs_that_joined_are_told_beside_the_trials() -> None:
    steps = [
        {"name": "train", "action": "train", "job": "chain-train", "digest": SEARCH, "phase": "Done"},
        {"name": "prune", "action": "prune", "job": "chain-prune", "digest": "d", "phase": "Error"},
        {"name": "export", "action": "export", "phase": "Pending"},
    ]
    experiment = an_experiment("chain", status={"steps": steps})
    jobs = [a_job("chain", "", name="mine"), a_job("chain", "train", **objective(1))]
    found = history(experiment, jobs)
    assert (found.trials, found.algorithm) == ((), "")
    assert [(r.step, r.job, r.state, r.value, r.present) for r in found.others] == [
        ("train", "chain-train", "success", accuracy(1, 10), True),
        ("prune", "chain-prune", "failure", None, False),
        ("", "mine", "success", None, True),
    ]
    assert len({run.key for run in found.others}) == 3


def test_a_run_has_the_same_key_whether_its_job_is_there_or_not() -> None:
    steps = [{"name": "train", "action": "train", "job": "chain-train", "digest": SEARCH, "phase": "Done"}]
    experiment = an_experiment("chain", status={"steps": steps})
    (there,) = history(experiment, [a_job("chain", "train")]).others
    (gone,) = history(experiment, []).others
    assert there.key == gone.key


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ("accuracy", False)),
        ({"objective": {"metric": "val_loss"}}, ("val_loss", True)),
        ({"objective": {"metric": "val_loss", "goal": "Maximize"}}, ("val_loss", False)),
        ({"objective": {"metric": "rmse"}}, ("rmse", True)),
        ({"objective": {}}, ("", False)),
    ],
)
def test_what_is_looked_for_before_any_job_has_told(spec: dict[str, Any], expected: tuple[str, bool]) -> None:
    found = history(an_experiment(**spec), [])
    assert (found.metric, found.minimize) == expected


def test_a_new_experiment_has_no_history() -> None:
    found = history({"metadata": {"name": "new"}}, [])
    assert (found.runs, found.best, found.rungs) == ((), None, ())


def test_an_odd_annotation_is_no_reason_to_fail() -> None:
    for odd in ("", "[]", "{", '{"a": 1}'):
        job = a_trial("tune", 0)
        job["metadata"]["annotations"]["trainyard.dev/trial-parameters"] = odd
        (run,) = history(an_experiment(automl={}), [job]).trials
        assert run.parameters == ({"a": "1"} if "a" in odd else {})


def test_a_thousand_trials_take_less_than_a_second() -> None:
    experiment, _ = a_random_search(1000)
    began = time.monotonic()
    found = history(experiment, [], redraw=redrawing.of(experiment))
    assert time.monotonic() - began < 2.0
    assert all(run.parameters for run in found.trials)


def test_the_log_that_is_meant_is_that_of_the_job_that_has_started_last() -> None:
    jobs = [a_trial("tune", number) for number in range(4)]
    jobs[1]["status"]["phase"] = "Running"
    del jobs[3]["status"]["startTime"]

    def name(job: dict[str, Any] | None) -> str:
        return "" if job is None else str(job["metadata"]["name"])

    assert name(experimentjobs.chosen(jobs, None)) == "tune-t1-r0", "one that runs goes first"
    assert name(experimentjobs.chosen(jobs, jobs[0])) == "tune-t1-r0"
    assert name(experimentjobs.chosen(jobs, jobs[1])) == "tune-t2-r0"
    assert experimentjobs.chosen(jobs, jobs[2]) is None


def test_the_artifacts_of_an_experiment_are_those_of_one_of_its_jobs() -> None:
    experiment, jobs = a_random_search(3)
    for number, job in enumerate(jobs):
        job["status"]["artifacts"] = [{"uri": f"pvc://models/uid-{number}/attempt-0"}]
    assert experimentjobs.holder(experiment, jobs) is None
    experiment["status"]["artifacts"] = [{"uri": "pvc://models/uid-2/attempt-0"}]
    assert experimentjobs.holder(experiment, jobs) is jobs[2]


def test_of_jobs_that_started_in_the_same_second_the_later_step_is_the_newest() -> None:
    def a_job(name: str, step: str, **labels: str) -> dict[str, Any]:
        metadata = {"name": name, "labels": {"trainyard.dev/step": step, **labels}}
        return {"metadata": metadata, "status": {"phase": "Done", "startTime": "2026-01-01T00:00:00Z"}}

    train, evaluate = a_job("chain-train", "train"), a_job("chain-evaluate", "evaluate")
    order = ["train", "evaluate"]
    assert experimentjobs.chosen([evaluate, train], None, order) is evaluate
    assert experimentjobs.chosen([evaluate, train], train, order) is evaluate
    assert experimentjobs.chosen([evaluate, train], evaluate, order) is None
    trials = [a_job(f"e-t{n}-r0", "train", **{"trainyard.dev/trial": str(n)}) for n in (2, 10)]
    assert experimentjobs.chosen(trials, None, order) is trials[1]
