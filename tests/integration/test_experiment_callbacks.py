"""Callbacks of Experiments from a real operator to a real receiver: each once, also when the operator is killed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from tests.harness.client import Client, Json
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator
from tests.hooks import KEY, a_callback, make_secret, starting
from tests.integration.experiments import Experiments, pretend, step
from tests.objects import found
from tests.receiver import Receiver, Say

pytestmark = pytest.mark.timeout(180)

EVENTS = ["Started", "Paused", "Resumed", "Completed", "Failed", "Canceled"]
CHAIN = [step("train"), step("evaluate", "train")]
OUTPUT = {"uri": "s3://models/told"}
BAD = {"template": pretend(exit_code="2", message="no such column")}


@pytest.fixture(scope="module")
def together(plane: ControlPlane) -> str:
    """The namespace of all tests that share an operator; it goes with the plane."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    with plane.client() as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


@pytest.fixture(scope="module")
def operator(plane: ControlPlane, together: str) -> Iterator[Operator]:
    """An operator for their namespace that may reach loopback addresses and tries again soon."""
    with starting(plane, together) as process:
        yield process


@pytest.fixture
def experiments(request: pytest.FixtureRequest, admin: Client) -> Experiments:
    """Experiments of the shared operator's namespace, or of one of the test's own where it starts operators itself."""
    shared = "operator" in request.fixturenames
    return Experiments(admin, request.getfixturevalue("together" if shared else "namespace"))


def begin(experiments: Experiments, name: str, receiver: Receiver, **spec: object) -> None:
    callback = a_callback(receiver.url(f"/{name}"), events=EVENTS)
    experiments.begin(name, callbacks=[callback], **{"actions": CHAIN, "output": OUTPUT, **spec})


def told(experiments: Experiments, name: str, *events: str) -> list[Json]:
    """The entries of `status.callbacks` once these events have been delivered, and no others are there."""

    def there() -> list[Json] | None:
        entries: list[Json] = experiments.told(name).get("callbacks") or []
        delivered = [entry["event"] for entry in entries if entry["state"] == "Delivered"]
        return entries if delivered == list(events) and len(entries) == len(events) else None

    entries: list[Json] = found(there, what=f"{', '.join(events)} of {name} to be told", timeout=60)
    return entries


def received(receiver: Receiver, name: str) -> list[str]:
    """What the receiver was told, in order."""
    return [request.event["data"]["event"] for request in receiver.at(f"/{name}")]


def test_a_chain_tells_that_it_started_and_completed_once_signed_with_its_steps(
    operator: Operator, experiments: Experiments, receiver: Receiver
) -> None:
    completed = 'trainyard_callbacks_total{event="Completed",outcome="delivered"}'
    before = operator.metrics().get(completed, 0)
    secret = make_secret(experiments, "hook", secret=KEY)
    callback = a_callback(receiver.url("/chain"), events=EVENTS, secretRef={"name": secret})
    experiments.begin("chain", actions=CHAIN, output=OUTPUT, callbacks=[callback])
    entries = told(experiments, "chain", "Started", "Completed")
    time.sleep(2)
    assert [entry["sequence"] for entry in entries] == [1, 2]
    assert [request.id for request in receiver.at("/chain")] == [entry["id"] for entry in entries]
    assert all(request.signed_by(KEY) for request in receiver.at("/chain"))
    event = receiver.at("/chain")[1].event
    assert event["type"] == "dev.trainyard.experiment.completed"
    assert event["source"].endswith(f"/namespaces/{experiments.namespace}/experiments/chain")
    data = event["data"]
    assert (data["phase"], data["uid"]) == ("Done", experiments.experiment("chain")["metadata"]["uid"])
    assert [(one["name"], one["job"], one["phase"]) for one in data["steps"]] == [
        ("train", "chain-train", "Done"),
        ("evaluate", "chain-evaluate", "Done"),
    ]
    assert data["progress"]["summary"] == "2/2"
    assert operator.metrics()[completed] == before + 1


def test_a_pause_what_follows_and_a_cancel_are_told(
    operator: Operator, experiments: Experiments, receiver: Receiver
) -> None:
    begin(experiments, "stopping", receiver, actions=[step("train")], run_for=None)
    told(experiments, "stopping", "Started")
    experiments.edit("stopping", suspend=True)
    told(experiments, "stopping", "Started", "Paused")
    assert [pod for pod in experiments.pods("stopping-train") if pod["status"]["phase"] == "Running"] == []
    experiments.edit("stopping", suspend=False)
    told(experiments, "stopping", "Started", "Paused", "Resumed")
    experiments.edit("stopping", cancel=True)
    told(experiments, "stopping", "Started", "Paused", "Resumed", "Canceled")
    assert received(receiver, "stopping") == ["Started", "Paused", "Resumed", "Canceled"]


def test_a_search_tells_its_progress_and_at_its_end_the_best_trial_and_is_counted(
    operator: Operator, experiments: Experiments, receiver: Receiver
) -> None:
    done = 'trainyard_experiments{phase="Done",reason="Completed"}'
    before = operator.metrics().get(done, 0)
    values = ["0.1", "0.9", "0.5"]
    experiments.begin(
        "search",
        fake={"accuracy-of": "x"},
        objective={"metric": "accuracy", "goal": "Maximize"},
        automl={"algorithm": "grid", "space": [{"name": "x", "type": "categorical", "values": values}]},
        actions=[step("train")],
        callbacks=[a_callback(receiver.url("/search"), events=["Progress", "Completed"])],
    )
    status = experiments.comes_to("search", "Done", timeout=60)
    found(lambda: "Completed" in received(receiver, "search"), what="its end to be told")
    assert received(receiver, "search") == ["Progress", "Completed"]
    data = receiver.at("/search")[1].event["data"]
    assert (data["algorithm"], data["trials"]["succeeded"], data["jobs"]["done"]) == ("grid", 3, 3)
    assert data["best"] == status["automl"]["bestTrial"]
    assert data["best"]["parameters"] == [{"name": "x", "value": "0.9"}]
    assert data["keyMetric"]["display"] == "accuracy 0.9"
    samples = operator.metrics()
    assert samples['trainyard_trials_total{algorithm="grid",state="success"}'] == 3
    assert samples['trainyard_trials_total{algorithm="grid",state="failure"}'] == 0
    assert samples[done] == before + 1


def test_what_is_told_of_an_experiment_outlives_its_operator_and_is_told_under_one_id(
    plane: ControlPlane, namespace: str, experiments: Experiments, receiver: Receiver
) -> None:
    receiver.script["/killed"] = [Say(delay=30), Say()]
    with starting(plane, namespace) as operator:
        begin(experiments, "killed", receiver)
        found(lambda: receiver.at("/killed"), what="a request")
        operator.stop(grace=0)
    with starting(plane, namespace) as operator:
        experiments.comes_to("killed", "Done")
        operator.stop(grace=0)
    with starting(plane, namespace):
        entries = told(experiments, "killed", "Started", "Completed")
        time.sleep(2)
    ids = [request.id for request in receiver.at("/killed")]
    assert set(ids) == {entry["id"] for entry in entries}
    assert received(receiver, "killed")[:2] == ["Started", "Started"], "the first was not answered"
    assert len(ids) <= 5, "at most once more for each operator that was killed"


def test_a_deleted_experiment_drops_what_is_pending(
    operator: Operator, experiments: Experiments, receiver: Receiver
) -> None:
    receiver.script["/short"] = [Say(status=500)]
    begin(experiments, "short", receiver)
    found(lambda: receiver.at("/short"), what="a request")
    experiments.delete("experiments", "short")
    time.sleep(1)
    before = len(receiver.requests)
    time.sleep(4)
    assert len(receiver.requests) == before


# NB: last, as the changed step waits for the garbage collector, and that of a fresh control plane learns of our kinds
# only after half a minute.
def test_a_failed_step_is_told_and_so_is_the_end_that_a_changed_one_comes_to(
    operator: Operator, experiments: Experiments, receiver: Receiver
) -> None:
    begin(experiments, "failing", receiver, actions=[step("train", job=BAD)])
    told(experiments, "failing", "Started", "Failed")
    experiments.edit("failing", actions=[step("train")])
    told(experiments, "failing", "Started", "Failed", "Completed")
    assert received(receiver, "failing") == ["Started", "Failed", "Completed"]
    failed = receiver.at("/failing")[1].event["data"]
    assert (failed["phase"], failed["steps"][0]["phase"]) == ("Error", "Error")
