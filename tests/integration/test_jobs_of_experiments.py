"""TrainingJobs that people post to an Experiment: they wait for it, are stopped and go with it, and tell its metric."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.commandline import Cli
from tests.harness import operator as operators
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.integration.experiments import Experiments, condition
from tests.integration.posting import Post
from tests.objects import found, manifest

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(180)]

SOON: Json = {"gracePeriodSeconds": 1, "experiment": "study"}
LABEL = "trainyard.dev/experiment"
#: Longer than anything takes that must not happen.
SETTLED_SECONDS = 3.0


def a_study(experiments: Experiments, **spec: Any) -> str:
    """An Experiment without steps, for jobs to join; its UID."""
    spec.setdefault("objective", {"metric": "accuracy"})
    body = manifest("Experiment", "study", spec)
    return str(experiments.client.post(experiments.path("experiments"), body)["metadata"]["uid"])


def owners(job: Json) -> list[tuple[str, bool]]:
    references = job["metadata"].get("ownerReferences") or []
    return [(one["uid"], bool(one.get("controller"))) for one in references]


def joins(experiments: Experiments, name: str, uid: str) -> Json:
    """The job once it is the Experiment's."""

    def there() -> Json | None:
        job = experiments.get(name)
        return job if owners(job) == [(uid, False)] else None

    job = dict(found(there, what=f"{name} to join"))
    assert job["metadata"]["labels"][LABEL] == "study"
    return job


def change(experiments: Experiments, name: str, **spec: Any) -> None:
    experiments.client.patch(experiments.path("trainingjobs", name), {"spec": spec})


def exists(experiments: Experiments, plural: str, name: str) -> bool:
    return experiments.client.find(experiments.path(plural, name)) is not None


def patches(plane: ControlPlane, namespace: str, name: str) -> int:
    """How often the operator has changed a job beside its status."""
    events = map(json.loads, plane.audit_log.read_text().splitlines())
    wanted = {"resource": "trainingjobs", "namespace": namespace, "name": name}
    return sum(
        event["verb"] == "patch"
        and event["stage"] == "ResponseComplete"
        and event["user"]["username"] == operators.USER
        and wanted.items() <= event["objectRef"].items()
        and "subresource" not in event["objectRef"]
        for event in events
    )


def test_a_job_waits_for_its_experiment_and_becomes_its_own_in_one_write(
    experiments: Experiments, control_plane: ControlPlane
) -> None:
    experiments.create("early", run_for="300ms", output={"uri": "s3://models/early"}, **SOON)
    status = experiments.reaches("early", "Pending", "WaitingForExperiment")
    assert "There is no Experiment study" in status["message"]
    assert condition(status, "Stalled") == "False"
    assert not experiments.pods("early")
    uid = a_study(experiments)
    experiments.reaches("early", "Done", "Completed")
    job = joins(experiments, "early", uid)
    assert "trainyard.dev/store-uids" in job["metadata"]["annotations"]
    assert patches(control_plane, experiments.namespace, "early") == 1


def test_a_job_is_paused_with_its_experiment_and_goes_on_with_it(experiments: Experiments) -> None:
    uid = a_study(experiments)
    experiments.create("mine", run_for=None, **SOON)
    experiments.reaches("mine", "Running", "Training")
    joins(experiments, "mine", uid)
    experiments.edit("study", suspend=True)
    status = experiments.reaches("mine", "Pending", "Paused")
    assert (status["stop"]["cause"], status["stop"]["experiment"]) == ("Suspend", "study")
    assert "trainyard resume experiment study" in status["message"]
    assert condition(status, "Suspended") == "True"
    assert "suspend" not in experiments.get("mine")["spec"] or not experiments.get("mine")["spec"]["suspend"]
    experiments.create("late", run_for=None, **SOON)
    experiments.reaches("late", "Pending", "Paused")
    assert not experiments.pods("late")
    change(experiments, "mine", suspend=True)
    found(
        lambda: "and so is the job itself" in experiments.status("mine")["message"], what="both to be named"
    )
    experiments.edit("study", suspend=False)
    experiments.reaches("late", "Running", "Training")
    alone = found(
        lambda: (
            experiments.status("mine") if "experiment" not in experiments.status("mine")["stop"] else None
        ),
        what="the job alone to be what asks",
    )
    assert alone["message"].endswith("trainyard resume mine (spec.suspend: false) goes on.")
    change(experiments, "mine", suspend=False)
    status = experiments.reaches("mine", "Running", "Training")
    assert [attempt["number"] for attempt in status["attempts"]] == [0, 1]


def test_a_cancellation_wins_and_can_be_taken_back_for_all(experiments: Experiments) -> None:
    a_study(experiments)
    experiments.create("runs", run_for=None, **SOON)
    experiments.create("fails", run_for="100ms", exit_code=1, backoffLimit=0, **SOON)
    experiments.create("ends", run_for="100ms", **SOON)
    experiments.reaches("runs", "Running", "Training")
    experiments.reaches("fails", "Error")
    experiments.reaches("ends", "Done")
    experiments.edit("study", suspend=True, cancel=True)
    status = experiments.reaches("runs", "Canceled", "CanceledByUser")
    assert status["stop"]["experiment"] == "study"
    assert "Experiment study is cancelled: trainyard resume experiment study" in status["message"]
    experiments.create("new", run_for=None, **SOON)
    experiments.reaches("new", "Canceled", "CanceledByUser")
    assert not experiments.pods("new")
    assert [experiments.status(name)["phase"] for name in ("fails", "ends")] == ["Error", "Done"]
    experiments.edit("study", suspend=False, cancel=False)
    assert len(experiments.reaches("runs", "Running", "Training")["attempts"]) == 2
    experiments.reaches("new", "Running", "Training")


def test_jobs_go_with_their_experiment_and_none_begins_meanwhile(experiments: Experiments) -> None:
    uid = a_study(experiments)
    for name in ("runs", "cancelled"):
        experiments.create(name, run_for=None, **SOON)
        experiments.reaches(name, "Running", "Training")
        joins(experiments, name, uid)
    experiments.create("waits", run_for=None, parentJob="nobody", **SOON)
    joins(experiments, "waits", uid)
    experiments.edit("study", cancel=True)
    experiments.reaches("cancelled", "Canceled")
    experiments.reaches("runs", "Canceled")
    experiments.delete("experiments", "study")
    for name in ("runs", "cancelled", "waits"):
        found(lambda name=name: not exists(experiments, "trainingjobs", name), what=f"{name} to go")
    found(lambda: not experiments.pods(), what="all pods to go")
    made = experiments.events("cancelled-1-0") + experiments.events("runs-1-0")
    assert not made, "no other attempt had a pod"


def test_jobs_that_are_left_behind_go_on(experiments: Experiments) -> None:
    uid = a_study(experiments)
    experiments.create("runs", run_for=None, **SOON)
    experiments.create("stopped", run_for=None, **SOON)
    for name in ("runs", "stopped"):
        experiments.reaches(name, "Running", "Training")
        joins(experiments, name, uid)
    change(experiments, "stopped", suspend=True)
    experiments.reaches("stopped", "Pending", "Paused")
    experiments.client.delete(experiments.path("experiments", "study"), propagationPolicy="Orphan")
    found(lambda: not exists(experiments, "experiments", "study"), what="the Experiment to go")
    found(lambda: not owners(experiments.get("runs")), what="the owner to be taken off")
    change(experiments, "stopped", suspend=False)
    experiments.reaches("stopped", "Running", "Training")
    time.sleep(SETTLED_SECONDS)
    status = experiments.status("runs")
    assert (status["phase"], len(status["attempts"])) == ("Running", 1)


def test_the_experiments_parameters_are_defaults(experiments: Experiments) -> None:
    a_study(experiments, actionParameters={"train": {"epochs": 9, "seed": 1}, "evaluate": {"x": 1}})
    experiments.create("mine", run_for=None, parameters={"epochs": 3}, **SOON)
    experiments.reaches("mine", "Running", "Training")
    (pod,) = experiments.pods("mine")
    (trainer,) = [c for c in pod["spec"]["containers"] if c["name"] == "trainer"]
    given = {one["name"]: one.get("value") for one in trainer["env"]}
    assert given["TRAINYARD_PARAMETERS"] == '{"epochs":3,"seed":1}'


def test_a_job_tells_the_experiments_metric_and_its_curve(experiments: Experiments) -> None:
    a_study(experiments, objective={"metric": "val_loss"})
    experiments.create("told", run_for=None, **SOON)
    experiments.reaches("told", "Running", "Training")
    post = Post.of(experiments.client, experiments.namespace, "told")
    values = [0.5, 0.25, 0.375]
    lines = [{"epoch": n, "max_epoch": 80, "kpi": {"val_loss": v}} for n, v in enumerate(values, 1)]
    assert post.send(lines).status == 200

    def objective(last: int) -> Json:
        def there() -> Json | None:
            told = experiments.status("told").get("objective") or {}
            return told if told.get("lastEpoch") == last else None

        return dict(found(there, what=f"epoch {last}", timeout=20))

    assert objective(3) == {
        "metric": "val_loss",
        "goal": "Minimize",
        "value": "0.25",
        "epoch": 2,
        "last": "0.375",
        "lastEpoch": 3,
        "curve": {"epochs": [1, 2, 3], "values": ["0.5", "0.25", "0.375"]},
    }
    more = [{"epoch": n, "kpi": {"val_loss": 1 + n / 100}} for n in range(4, 81)]
    assert post.send(more).status == 200
    many = objective(80)
    assert (many["value"], many["epoch"], many["last"]) == ("0.25", 2, "1.8")
    assert 20 < len(many["curve"]["epochs"]) <= 64
    assert (many["curve"]["epochs"][0], many["curve"]["epochs"][-1]) == (1, 80)
    experiments.ends("told", message='{"metrics": {"val_loss": 0.1}}')
    done = experiments.reaches("told", "Done")
    assert done["objective"] == many, "a closing word is of no epoch"


def test_a_value_without_epochs_is_the_jobs_as_well(experiments: Experiments) -> None:
    a_study(experiments)
    experiments.create("once", run_for="200ms", message='{"metrics": {"accuracy": 0.75}}', **SOON)
    told = experiments.reaches("once", "Done")["objective"]
    assert told == {"metric": "accuracy", "goal": "Maximize", "value": "0.75", "last": "0.75"}


def test_the_command_line_says_that_the_experiment_holds_a_job(
    experiments: Experiments, control_plane: ControlPlane
) -> None:
    cli = Cli(control_plane.admin, experiments.namespace)
    a_study(experiments)
    experiments.create("mine", run_for=None, **SOON)
    experiments.reaches("mine", "Running", "Training")
    paused = cli("pause", "experiment", "study")
    assert (paused.exit_code, paused.stdout) == (0, "experiment.trainyard.dev/study is being paused\n")
    experiments.reaches("mine", "Pending", "Paused")
    before = experiments.get("mine")["metadata"]["generation"]
    refused = cli("resume", "mine")
    assert refused.exit_code == 1
    assert refused.stderr == (
        "Error: mine stays stopped. Experiment study is paused, and its jobs with it: `trainyard resume experiment "
        "study` lets them go on.\n"
    )
    assert experiments.get("mine")["metadata"]["generation"] == before
    held = cli("resume", "mine", "--wait", "--timeout", "20s")
    assert held.exit_code == 1
    also = cli("pause", "mine")
    assert also.exit_code == 0
    assert also.stderr == "Experiment study is paused, too: when it goes on, mine stays paused.\n"
    again = cli("resume", "mine", "--wait", "--timeout", "20s")
    assert again.exit_code == 3, again.output
    assert "mine is paused with Experiment study" in again.stderr
    resumed = cli("resume", "experiment", "study")
    assert (resumed.exit_code, resumed.stdout) == (0, "experiment.trainyard.dev/study goes on\n")
    experiments.reaches("mine", "Running", "Training")
    assert cli("cancel", "exp/study").exit_code == 0
    experiments.reaches("mine", "Canceled")
