"""What its Experiment means for a job, beyond the rows of docs/lifecycle.md: sentences, joining, default parameters."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from tests.unit.planning.builders import (
    CONTEXT,
    UID,
    a_dataset,
    a_job,
    a_pod,
    a_spec,
    an_experiment,
    env_of,
    plan,
    said,
    settled,
    status_after,
)
from tests.unit.planning.story import Story
from trainyard.planning.experimentview import ExperimentView, Membership, membership, runtime_metrics, view
from trainyard.planning.objective import Goal
from trainyard.planning.observed import Memory
from trainyard.planning.parameters import Schema
from trainyard.planning.runtime import Details, Runtime, RuntimeAction

OWNED = Membership(owner="experiment-uid", label="tuning")


def training(**spec: Any) -> Story:
    story = Story(**{"experiment": "tuning", "output": {"claimName": "models"}, **spec}).experiment().settle()
    return story.pod_runs().settle().passes(10).trainer_says(epoch=4, checkpoint=True).settle()


def paused(**wishes: bool) -> Story:
    story = training(**wishes).experiment(suspend=True).settle().passes(3)
    return story.pod_ends(143).settle()


def message(story: Story) -> str:
    return str(story.status["message"])


@pytest.mark.parametrize(
    ("experiment", "belongs", "told"),
    [
        pytest.param(None, Membership(), "There is no Experiment tuning in this namespace yet", id="not there"),
        pytest.param(
            an_experiment(deleting=True), OWNED, "Experiment tuning is being deleted.", id="being deleted"
        ),
        pytest.param(
            None, Membership(owner="experiment-uid", goes=True), "was deleted, and the job goes with it", id="gone"
        ),
        pytest.param(
            an_experiment(uid="another"),
            Membership(owner="experiment-uid", goes=True),
            "was deleted, and the job goes with it",
            id="another of its name",
        ),
    ],
)  # fmt: skip
def test_a_job_does_not_begin_without_its_experiment(
    experiment: ExperimentView | None, belongs: Membership, told: str
) -> None:
    job = a_job(experiment=experiment, membership=belongs, spec=a_spec(experiment="tuning"))
    p = settled(job)
    assert said(p) == ("Pending", "WaitingForExperiment")
    assert told in status_after(p)["message"]
    assert not p.create


def test_what_cannot_be_run_at_all_is_told_before_its_experiment_is_there() -> None:
    assert said(plan(a_job(spec=a_spec(experiment="tuning", runtime="no-such")))) == ("Error", "InvalidSpec")


def test_a_job_that_has_begun_takes_its_next_attempt_without_its_experiment() -> None:
    story = training(backoffLimit=1).experiment_is_gone().pod_ends(1).settle().passes(60).settle()
    assert story.said == "Pending/Accepted"
    assert story.created == ["digits-0-0", "digits-1-0"]


def test_a_job_that_goes_with_its_experiment_takes_no_next_attempt() -> None:
    story = training(backoffLimit=1).experiment_is_gone(with_its_jobs=True).pod_ends(1).settle()
    assert story.passes(60).settle().said == "Pending/WaitingForExperiment"
    assert story.created == ["digits-0-0"]


def test_a_pause_says_with_whom_and_what_lets_the_job_go_on() -> None:
    story = training().experiment(suspend=True).settle()
    assert message(story).startswith("Being paused with Experiment tuning; pod digits-0-0 has been told")
    assert story.status["stop"]["experiment"] == "tuning"
    story.passes(3).pod_ends(143).settle()
    assert message(story).endswith(
        "Experiment tuning is paused: trainyard resume experiment tuning (spec.suspend: false there) goes on."
    )


def test_a_cancellation_says_so_as_well() -> None:
    story = training().experiment(cancel=True).settle().passes(3).pod_ends(143).settle()
    assert story.said == "Canceled/CanceledByUser"
    assert message(story).endswith(
        "Experiment tuning is cancelled: trainyard resume experiment tuning (spec.cancel: false there) goes on."
    )


def test_a_cancelled_evaluation_says_that_it_needs_a_retry_too() -> None:
    story = Story(experiment="tuning", action="evaluate").experiment().settle().pod_runs().settle().passes(9)
    story.experiment(cancel=True).settle().pod_ends(143).settle()
    assert "trainyard resume experiment tuning, and then trainyard retry digits, runs it" in message(story)
    assert "stays so: action evaluate" in message(story.experiment().settle())


def test_who_asks_for_a_pause_is_said_anew_when_it_changes_and_written_once() -> None:
    story = paused()
    story.edit(suspend=True).settle()
    assert "Experiment tuning is paused, and so is the job itself" in message(story)
    assert story.status["stop"]["experiment"] == "tuning"
    story.experiment().settle()
    assert message(story).endswith("trainyard resume digits (spec.suspend: false) goes on.")
    assert "experiment" not in story.status["stop"]
    assert "an epoch" not in message(story)
    written = len(story.phases)
    for _ in range(3):
        story.passes(600).look()
    assert len(story.phases) == written


def test_who_asks_is_known_to_an_operator_that_remembers_nothing() -> None:
    story = paused()
    before = dict(story.status)
    story.job = dataclasses.replace(story.job, memory=Memory(), logs={})
    assert story.settle().status == before


def test_who_asks_for_a_cancellation_is_said_anew_as_well() -> None:
    story = training().experiment(cancel=True).settle().passes(3).pod_ends(143).settle()
    story.edit(cancel=True).settle()
    assert "Experiment tuning is cancelled, and so is the job itself" in message(story)
    story.experiment().settle()
    assert story.said == "Canceled/CanceledByUser"
    assert message(story).endswith("trainyard resume digits (spec.cancel: false) goes on.")
    assert story.edit(cancel=False).settle().said == "Pending/Accepted"


def test_a_pause_that_becomes_a_cancellation_by_the_experiment_says_who() -> None:
    story = training().edit(suspend=True).settle()
    assert "experiment" not in story.status["stop"]
    story.experiment(suspend=True, cancel=True).settle().passes(2).pod_ends(143).settle()
    assert story.said == "Canceled/CanceledByUser"
    assert story.status["stop"]["experiment"] == "tuning"


def test_a_retry_waits_until_the_experiment_is_cancelled_no_longer() -> None:
    story = training(backoffLimit=0).pod_ends(1).settle().experiment(cancel=True).retry().settle()
    assert story.said == "Error/TrainerFailed"
    assert story.experiment().settle().said == "Pending/Accepted"


def test_a_failed_job_of_a_cancelled_experiment_lets_go_of_what_it_holds() -> None:
    story = training(backoffLimit=0).pod_ends(1)._pod(phase="Running")  # an injected proxy goes on
    story.settle().experiment(cancel=True).settle().passes(20).settle()
    assert story.said == "Error/TrainerFailed"
    assert story.deleted == ["digits-0-0"]


def test_a_job_of_no_experiment_is_left_as_it_is() -> None:
    p = plan(a_job())
    assert (p.label, p.own) == ({}, None)


@pytest.mark.parametrize(
    ("spec", "status", "pods"),
    [
        pytest.param({}, None, (), id="one that begins"),
        pytest.param({"suspend": True}, None, (), id="one that is suspended"),
        pytest.param({"parentJob": "nobody"}, None, (), id="one that waits"),
        pytest.param({}, None, (a_pod(running=True),), id="one that runs"),
    ],
)
def test_a_job_that_somebody_has_posted_becomes_its_experiments(
    spec: dict[str, Any], status: dict[str, Any] | None, pods: tuple[Any, ...]
) -> None:
    job = a_job(
        experiment=an_experiment(), spec=a_spec(experiment="tuning", **spec), status=status, pods=pods
    )
    p = plan(job)
    assert p.label == {"trainyard.dev/experiment": "tuning"}
    assert p.own == {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "Experiment",
        "name": "tuning",
        "uid": "experiment-uid",
        "controller": False,
        "blockOwnerDeletion": False,
    }
    assert not plan(dataclasses.replace(job, membership=OWNED)).label


def test_what_an_output_needs_is_in_the_same_write() -> None:
    job = a_job(
        experiment=an_experiment(suspend=True),
        spec=a_spec(experiment="tuning", output={"claimName": "models"}),
    )
    p = plan(job)
    assert (p.annotate, bool(p.label)) == ({"trainyard.dev/store-uids": f"digits/{UID}"}, True)
    begun = dataclasses.replace(job, experiment=an_experiment(), membership=OWNED, store_uids=f"digits/{UID}")
    again = plan(begun)
    assert (again.annotate, again.label, len(again.create)) == ({}, {}, 1)


def test_an_owner_that_is_there_is_not_added_twice() -> None:
    known = Membership(owner="experiment-uid")
    p = plan(a_job(experiment=an_experiment(), membership=known, spec=a_spec(experiment="tuning")))
    assert (p.label, p.own) == ({"trainyard.dev/experiment": "tuning"}, None)


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(
            a_job(experiment=an_experiment(deleting=True), spec=a_spec(experiment="tuning")),
            id="whose Experiment is being deleted",
        ),
        pytest.param(a_job(spec=a_spec(experiment="tuning")), id="whose Experiment is not there"),
        pytest.param(
            a_job(experiment=an_experiment(), deleting=True, spec=a_spec(experiment="tuning")),
            id="that is being deleted",
        ),
        pytest.param(
            a_job(
                experiment=an_experiment(),
                membership=Membership(owner="experiment-uid", made=True),
                spec=a_spec(experiment="tuning"),
            ),
            id="that its Experiment has made",
        ),
        pytest.param(
            a_job(
                experiment=an_experiment(),
                spec=a_spec(experiment="tuning"),
                status={"completionTime": "2027-01-15T08:00:00Z", "observedGeneration": 1},
            ),
            id="that has ended",
        ),
    ],
)
def test_no_other_job_is_changed(job: Any) -> None:
    p = plan(job)
    assert (p.label, p.own) == ({}, None)


CHECKED = dataclasses.replace(
    CONTEXT,
    catalog=(
        Runtime(
            name="reference",
            image="trainer:1",
            types=frozenset({"neural_network"}),
            actions={
                "train": RuntimeAction(
                    schema=Schema(
                        {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["epochs"],
                            "properties": {"epochs": {"type": "integer"}, "rate": {"type": "number"}},
                        }
                    ),
                    defaults={"rate": 0.1},
                )
            },
        ),
    ),
)


def asked(experiment: ExperimentView | None, parameters: dict[str, Any], **fields: Any) -> Any:
    datasets = {"one": a_dataset("one", action_parameters={"train": {"epochs": 2, "rate": 0.2}})}
    spec = a_spec(experiment="tuning", parameters=parameters, datasets={"train": ["one"]})
    return a_job(experiment=experiment, spec=spec, datasets=datasets, **fields)


def given(job: Any) -> dict[str, Any]:
    (pod,) = plan(job, context=CHECKED).create
    return dict(json.loads(env_of(pod)["TRAINYARD_PARAMETERS"]))


def test_its_parameters_are_over_those_of_datasets_and_under_the_jobs_own() -> None:
    brought = an_experiment(action_parameters={"train": {"epochs": "3", "rate": 0.3}, "evaluate": {"x": 1}})
    assert given(asked(brought, {"rate": 0.4})) == {"epochs": 3, "rate": 0.4}
    assert given(asked(an_experiment(), {})) == {"epochs": 2, "rate": 0.2}


def test_a_job_that_it_has_made_has_them_in_its_own_already() -> None:
    brought = an_experiment(action_parameters={"train": {"rate": 0.9}})
    made = Membership(owner="experiment-uid", made=True, label="tuning")
    assert given(asked(brought, {"epochs": 7}, membership=made)) == {"epochs": 7, "rate": 0.2}


def test_a_wrong_one_is_told_with_who_brings_it() -> None:
    p = plan(asked(an_experiment(action_parameters={"train": {"epoch": 2}}), {"epochs": 1}), context=CHECKED)
    assert said(p) == ("Error", "InvalidSpec")
    assert status_after(p)["message"].startswith(
        "With spec.actionParameters.train of Experiment tuning and Dataset one: parameters.epoch is not known"
    )


def test_one_that_is_missing_may_come_with_the_experiment() -> None:
    spec = a_spec(experiment="tuning")
    waiting = settled(a_job(spec=spec), context=CHECKED)
    assert said(waiting) == ("Pending", "WaitingForExperiment")
    lacking = plan(a_job(spec=spec, experiment=an_experiment()), context=CHECKED)
    assert "parameters.epochs is missing" in status_after(lacking)["message"]
    wrong = plan(a_job(spec=a_spec(experiment="tuning", parameters={"rat": 1})), context=CHECKED)
    assert said(wrong) == ("Error", "InvalidSpec")


RAW = {
    "metadata": {"name": "tuning", "uid": "u", "generation": 4, "deletionTimestamp": "2027-01-15T08:00:00Z"},
    "spec": {
        "type": "neural_network",
        "suspend": True,
        "cancel": False,
        "objective": {"metric": "validation_loss"},
        "actionParameters": {"train": {"epochs": 3}, "evaluate": "unreadable"},
    },
}


def test_a_view_has_what_counts_for_jobs() -> None:
    found = view(RAW, CONTEXT.catalog)
    assert found == ExperimentView(
        name="tuning",
        uid="u",
        generation=4,
        deleting=True,
        suspend=True,
        goal=Goal("validation_loss", True),
        action_parameters={"train": {"epochs": 3}},
    )


def test_a_view_of_a_spec_that_cannot_be_read_still_tells_what_is_wanted() -> None:
    raw = {**RAW, "spec": {"cancel": True, "objective": {"goal": "Sideways"}, "actionParameters": 3}}
    found = view(raw, CONTEXT.catalog)
    assert (found.suspend, found.cancel, dict(found.action_parameters)) == (False, True, {})


CATALOG = (
    Runtime(name="tools", image="t:1", architectures=frozenset({"dino"}), metrics=("mAP", "recall")),
    Runtime(
        name="mine",
        image="t:1",
        own=True,
        types=frozenset({"neural_network"}),
        metrics=("accuracy",),
        details={"neural_network": Details(metrics=("f1_score",))},
    ),
)


@pytest.mark.parametrize(
    ("spec", "metric"),
    [
        pytest.param({"architecture": "dino"}, "mAP", id="of an architecture"),
        pytest.param({"type": "neural_network"}, "f1_score", id="of a type with metrics of its own"),
        pytest.param({"runtime": "mine"}, "accuracy", id="of a runtime"),
        pytest.param(
            {"architecture": "dino", "jobTemplate": {"spec": {"runtime": "mine"}}}, "accuracy", id="of the template"
        ),
        pytest.param({"jobTemplate": {"spec": {"image": "a/b:1"}}}, None, id="of an image of one's own"),
    ],
)  # fmt: skip
def test_the_headline_metric_is_that_of_the_runtime(spec: dict[str, Any], metric: str | None) -> None:
    assert next(iter(runtime_metrics(spec, CATALOG)), None) == metric


def test_a_job_belongs_to_an_experiment_by_an_owner_of_our_group() -> None:
    owners = [
        {"apiVersion": "other.dev/v1", "kind": "Experiment", "name": "tuning", "uid": "theirs"},
        {"apiVersion": "trainyard.dev/v1alpha1", "kind": "Experiment", "name": "tuning", "uid": "ours"},
    ]
    labels = {"trainyard.dev/experiment": "tuning"}
    assert membership({"ownerReferences": owners, "labels": labels}) == Membership(
        owner="ours", label="tuning"
    )
    owners[1] |= {"controller": True}
    assert membership({"ownerReferences": owners}) == Membership(owner="ours", made=True)
    assert membership({}) == Membership()
