"""A model that is evaluated on a schedule, on a real API server: fake pods print what an evaluation has found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.harness import controlplane, kwok, processes
from tests.harness import operator as operators
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.harness.operator import Operator
from tests.integration.experiments import FAKE, condition, owners, pretend
from tests.integration.models import Models
from tests.objects import bind_claim, found, manifest
from trainyard.cluster.failpoints import VARIABLE

pytestmark = pytest.mark.timeout(240)

MONITOR: Json = {
    "schedule": "0 * * * *",
    "dataset": "fresh",
    "metric": "accuracy",
    "threshold": "0.9",
    "jobTemplate": {
        "spec": {
            "image": "example.com/trainer:1",
            "backoffLimit": 0,
            "gracePeriodSeconds": 1,
            "template": pretend(run_for=None),
        }
    },
}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane whose fake pods have logs."""
    config = ControlPlaneConfig(controller_manager=True, scheduler=True)
    nothing: Path = tmp_path_factory.mktemp("logs") / "lines"
    nothing.write_text("")
    with controlplane.running("test-model-monitor", config) as one:
        operators.install(one)
        kwok.start(one, logs=nothing)
        kwok.add_nodes(one, 2)
        yield one


@pytest.fixture(scope="class")
def monitoring(plane: ControlPlane) -> Iterator[Operator]:
    with operators.running(plane, name="monitoring") as one:
        yield one


@pytest.fixture(scope="module")
def models(plane: ControlPlane) -> Iterator[Models]:
    """MLModels of one namespace, which has the data that they are evaluated on."""
    with plane.client() as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": "watched"}})
        found = Models(client, "watched")
        # NB: once for all of them, as it takes the controller up to 15 s.
        bind_claim(found, "data")
        spec = {
            "type": "tabular",
            "format": "csv",
            "source": {"uri": "pvc://data/fresh"},
            "validation": {"mode": "None"},
        }
        client.post(found.path("datasets"), manifest("Dataset", "fresh", spec))
        yield found


@pytest.fixture(scope="class")
def timely(monitoring: Operator, models: Models) -> Iterator[str]:
    """The first time at which a model is due that is evaluated each minute."""
    monitored(models, "timely", schedule="* * * * *", timeZone="Europe/Berlin")
    yield str(found(lambda: told(models, "timely").get("nextScheduleTime"), what="a time"))
    models.delete("mlmodels", "timely")


def monitored(models: Models, name: str, **monitor: object) -> None:
    """A model with one version that is evaluated."""
    models.keep(name, monitor={**MONITOR, **monitor})
    models.becomes(name, "trained", version=1)


def told(models: Models, name: str) -> Json:
    return dict(models.told_of(name).get("monitor") or {})


def miss(models: Models, name: str) -> str:
    """The last full hour passes as if the operator had been away then; when that was."""
    found(lambda: told(models, name).get("nextScheduleTime"), what="the first time")
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0).isoformat().replace("+00:00", "Z")
    status = {"status": {"monitor": {"nextScheduleTime": hour}}}
    models.client.patch(f"{models.path('mlmodels', name)}/status", status)
    return hour


def finds(
    models: Models, job: str, accuracy: float | None, drift: Json | None = None, *, code: int = 0
) -> None:
    """The evaluation runs, and ends with this."""
    models.child(job)
    models.reaches(job, "Running")
    line = {"status": "SUCCESS", "message": "Evaluated.", **({"drift": drift} if drift else {})}
    path = f"/api/v1/namespaces/{models.namespace}/pods/{job}-0-0"
    printed = f"Reading the data.\n{json.dumps(line)}\n"
    models.client.patch(path, {"metadata": {"annotations": {f"{FAKE}/prints": printed}}})
    metrics = {} if accuracy is None else {"metrics": {"accuracy": accuracy}}
    models.ends(job, code=code, message=json.dumps(metrics))


def measured(models: Models, name: str, count: int) -> list[Json]:
    """The history, the newest first, once it has so many entries."""

    def there() -> list[Json] | None:
        history: list[Json] = told(models, name).get("history") or []
        return history if len(history) == count else None

    return list(found(there, what=f"{count} measurements of {name}"))


@pytest.mark.usefixtures("monitoring", "timely")
class TestAnEvaluation:
    def test_is_a_job_on_the_version_whose_value_and_drift_are_in_status(
        self, models: Models, monitoring: Operator
    ) -> None:
        monitored(models, "watched")
        hour = miss(models, "watched")
        finds(models, "watched-monitor-1", 0.95, {"age": 0.31, "city": 0.02})
        job = models.get("watched-monitor-1")
        assert owners(job) == [("MLModel", "watched", True)]
        assert job["spec"]["action"] == "evaluate"
        (base,) = job["status"]["baseModels"]
        assert (base["name"], base["version"]) == ("watched@1", 1)
        (measurement,) = measured(models, "watched", 1)
        assert (measurement["value"], measurement["version"]) == ("0.95", 1)
        status = told(models, "watched")
        assert status["lastScheduleTime"] == hour
        assert status["nextScheduleTime"] > hour
        assert status["drift"] == [{"column": "age", "psi": "0.31"}, {"column": "city", "psi": "0.02"}]
        assert status["drifted"] == 1
        models.announces("watched", "DataDrifted")
        assert models.becomes("watched", "trained")["reason"] == "Completed"
        served = monitoring.metrics()
        value = f'trainyard_model_monitored_value{{metric="accuracy",model="watched",namespace="{models.namespace}"}}'
        assert served[value] == 0.95

    def test_below_the_threshold_is_degraded_trained_anew_once_and_then_good(self, models: Models) -> None:
        monitored(models, "sinks", retrain="OnDegraded", forRuns=2)
        miss(models, "sinks")
        finds(models, "sinks-monitor-1", 0.8)
        measured(models, "sinks", 1)
        assert models.becomes("sinks", "trained", version=1)["latestVersion"] == 1
        models.edit_model("sinks", training={"jobTemplate": {"spec": {"template": pretend(run_for=None)}}})
        miss(models, "sinks")
        finds(models, "sinks-monitor-2", 0.81)
        measured(models, "sinks", 2)
        models.becomes("sinks", "training")
        job = models.get("sinks-train-2")
        since = told(models, "sinks")["degradedTime"]
        assert job["metadata"]["annotations"]["trainyard.dev/degraded-at"] == since
        models.announces("sinks", "TrainingStarted")
        models.reaches("sinks-train-2", "Running")
        models.leaves("sinks-train-2")
        models.becomes("sinks", "trained", version=2)
        assert "degradedTime" not in told(models, "sinks")
        miss(models, "sinks")
        finds(models, "sinks-monitor-3", 0.7)
        assert models.get("sinks-monitor-3")["spec"]["baseModels"][0]["version"] == 2
        measured(models, "sinks", 3)
        assert told(models, "sinks")["runsBelow"] == 1
        assert set(models.of_model("sinks")) == {
            *(f"sinks-monitor-{number}" for number in (1, 2, 3)),
            *(f"sinks-train-{number}" for number in (1, 2)),
        }

    def test_the_message_of_a_degraded_model_has_the_measurement(self, models: Models) -> None:
        monitored(models, "bad")
        miss(models, "bad")
        finds(models, "bad-monitor-1", 0.5)
        status = models.becomes("bad", "degraded")
        assert "accuracy of version 1 is 0.5 on fresh, below the threshold of 0.9" in status["message"]
        assert condition(status, "Available") == "True"
        models.edit_model("bad", monitor={"threshold": "0.4"})
        models.becomes("bad", "trained")

    def test_that_fails_says_why_and_counts_neither_way(self, models: Models) -> None:
        monitored(models, "breaks")
        miss(models, "breaks")
        finds(models, "breaks-monitor-1", None, code=1)
        (measurement,) = measured(models, "breaks", 1)
        assert "breaks-monitor-1 failed with TrainerFailed" in measurement["message"]
        models.announces("breaks", "EvaluationFailed")
        assert models.becomes("breaks", "trained")["monitor"]["runsBelow"] == 0
        miss(models, "breaks")
        models.child("breaks-monitor-2")
        models.delete("trainingjobs", "breaks-monitor-2")
        newest, _ = measured(models, "breaks", 2)
        assert "was deleted before it had ended" in newest["message"]

    def test_waits_for_data_and_is_told_of(self, models: Models) -> None:
        monitored(models, "hungry", dataset="to-come")
        miss(models, "hungry")
        status = found(
            lambda: "to-come" in (s := models.told_of("hungry")).get("message", "") and s, what="a message"
        )
        assert "there is no Dataset to-come in this namespace" in status["message"]
        assert status["lifecycle"] == "trained"
        assert set(models.of_model("hungry")) == {"hungry-train-1"}
        models.edit_model("hungry", monitor={"dataset": "fresh"})
        models.child("hungry-monitor-1")
        found(lambda: "message" not in told(models, "hungry"), what="the message to go")

    def test_ends_with_monitoring(self, models: Models) -> None:
        monitored(models, "unwatched")
        miss(models, "unwatched")
        models.reaches(models.child("unwatched-monitor-1")["metadata"]["name"], "Running")
        models.edit_model("unwatched", monitor=None)
        models.reaches("unwatched-monitor-1", "Canceled")
        found(lambda: "monitor" not in models.told_of("unwatched"), what="the status to go")

    def test_comes_by_itself_when_its_time_has_come(self, models: Models, timely: str) -> None:
        due = datetime.fromisoformat(timely)
        wait = due + timedelta(seconds=15) - datetime.now(UTC)
        job = found(
            lambda: models.of_model("timely").get("timely-monitor-1"),
            what="an evaluation",
            timeout=max(wait.total_seconds(), 5),
        )
        begun = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
        assert timedelta(0) <= begun - due <= timedelta(seconds=5)
        found(lambda: told(models, "timely").get("lastScheduleTime") == timely, what="the time to be told")


#: The writes at which an evaluation begins, in their order, and those at which it ends.
BEGINNING = ("before-job-make", "after-job-make", "after-status")
ENDING = ("before-status", "after-status")


def test_killed_at_every_write_each_time_is_evaluated_once(plane: ControlPlane, models: Models) -> None:
    only = {"namespaces": [models.namespace]}
    with operators.running(plane, name="first", settings=only):
        monitored(models, "hardy")
    hour = miss(models, "hardy")
    for place in BEGINNING:
        killed_at(plane, place, only)
    with operators.running(plane, name="between", settings=only):
        models.reaches("hardy-monitor-1", "Running")
        assert told(models, "hardy")["lastScheduleTime"] == hour
    models.ends("hardy-monitor-1", message=json.dumps({"metrics": {"accuracy": 0.5}}))
    for place in ENDING:
        killed_at(plane, place, only)
    with operators.running(plane, name="last", settings=only):
        models.becomes("hardy", "degraded")
        (measurement,) = measured(models, "hardy", 1)
        assert (measurement["job"], measurement["value"]) == ("hardy-monitor-1", "0.5")
        assert set(models.of_model("hardy")) == {"hardy-monitor-1", "hardy-train-1"}


def killed_at(plane: ControlPlane, place: str, settings: Json) -> None:
    """An operator that dies at its place."""
    told = {VARIABLE: place}
    with operators.running(plane, name="dies", settings=settings, environment=told, wait=False) as one:
        assert processes.wait_gone(one.daemon, timeout=60), f"the operator never came to {place}"
