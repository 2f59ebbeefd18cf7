"""Callbacks over the life of jobs: in order, complete after an outage, and none twice under two ids."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import processes
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator
from tests.hooks import starting
from tests.objects import Jobs, found
from tests.receiver import Receiver, listening

pytestmark = pytest.mark.timeout(300)

EVENTS = ["Started", "Paused", "Resumed", "Completed", "Failed", "Canceled"]
JOBS = 20


@pytest.fixture
def operator(plane: ControlPlane, namespace: str) -> Iterator[Operator]:
    with starting(plane, namespace) as process:
        yield process


def tell(url: str) -> list[Json]:
    return [{"name": "hook", "url": url, "events": EVENTS}]


def edit(jobs: Jobs, name: str, **spec: Any) -> None:
    jobs.client.patch(jobs.path("trainingjobs", name), {"spec": spec})


def ends(jobs: Jobs, pod: str) -> None:
    """The trainer in a fake pod completes."""
    path = f"/api/v1/namespaces/{jobs.namespace}/pods/{pod}"
    jobs.client.patch(path, {"metadata": {"annotations": {"fake.trainyard.dev/run-for": "0s"}}})


def entries(jobs: Jobs, name: str) -> list[Json]:
    return list(jobs.status(name).get("callbacks") or [])


def all_delivered(jobs: Jobs, name: str, count: int) -> bool:
    states = [entry["state"] for entry in entries(jobs, name)]
    return states == ["Delivered"] * count


def told(receiver: Receiver, path: str) -> list[str]:
    """The events for a path in the order in which their ids came first; each id stands for one event."""
    events: dict[str, str] = {}
    for request in receiver.at(path):
        event = request.event["data"]["event"]
        assert events.setdefault(request.id, event) == event
    return list(events.values())


def patches(operator: Operator) -> float:
    return sum(
        value
        for name, value in operator.metrics().items()
        if name.startswith("trainyard_api_requests_total") and 'verb="PATCH"' in name
    )


def test_after_an_outage_all_arrives_in_order_also_what_a_killed_operator_had_recorded(
    plane: ControlPlane, namespace: str, jobs: Jobs
) -> None:
    (port,) = processes.free_ports(1)
    names = [f"job-{number}" for number in range(JOBS)]
    with starting(plane, namespace) as operator:
        for name in names:
            url = f"http://127.0.0.1:{port}/{name}"
            jobs.create(name, run_for=None, gracePeriodSeconds=1, callbacks=tell(url))
        for name in names:
            jobs.reaches(name, "Running", "Training")
            edit(jobs, name, suspend=True)
        for name in names:
            jobs.reaches(name, "Pending", "Paused")
        operator.stop(grace=0)
    with starting(plane, namespace) as operator:
        for name in names:
            edit(jobs, name, suspend=False)
        for name in names:
            jobs.reaches(name, "Running", "Training")
            ends(jobs, f"{name}-1-0")
        for name in names:
            jobs.reaches(name, "Done")
        ids = {name: [entry["id"] for entry in entries(jobs, name)] for name in names}
        for name in names:
            first, *rest = entries(jobs, name)
            assert first["attempts"] > 1, "the receiver was asked"
            assert "could not be reached" in first["message"]
            assert [entry["attempts"] for entry in rest] == [0, 0, 0], "the rest waits for its turn"
        before = patches(operator)
        with listening(port) as receiver:
            for name in names:
                found(lambda name=name: all_delivered(jobs, name, 4), what=f"what {name} has to tell")
            for name in names:
                assert told(receiver, f"/{name}") == ["Started", "Paused", "Resumed", "Completed"]
                arrived = [request.id for request in receiver.at(f"/{name}")]
                assert arrived == ids[name], "each once, under the id that it had before"
            spent = patches(operator) - before
            assert spent <= 2 * JOBS, f"{spent} writes for the deliveries of {JOBS} jobs"


def test_a_pause_tells_that_there_was_no_checkpoint_and_going_on_which_attempt(
    operator: Operator, jobs: Jobs, receiver: Receiver
) -> None:
    jobs.create("paused", run_for=None, gracePeriodSeconds=1, callbacks=tell(receiver.url()))
    jobs.reaches("paused", "Running", "Training")
    edit(jobs, "paused", suspend=True)
    found(lambda: len(receiver.requests) == 2, what="Paused to be told")
    data = receiver.requests[1].event["data"]
    assert (data["event"], data["phase"], data["reason"]) == ("Paused", "Pending", "Paused")
    assert (data["attempt"], data["checkpointSaved"]) == (0, False)
    edit(jobs, "paused", suspend=False)
    found(lambda: len(receiver.requests) == 3, what="Resumed to be told")
    data = receiver.requests[2].event["data"]
    assert (data["event"], data["phase"], data["attempt"]) == ("Resumed", "Pending", 1)
    edit(jobs, "paused", cancel=True)
    found(lambda: len(receiver.requests) == 4, what="Canceled to be told")
    data = receiver.requests[3].event["data"]
    assert (data["event"], data["phase"], data["reason"]) == ("Canceled", "Canceled", "CanceledByUser")


def test_cancel_taken_back_before_the_first_attempt_tells_that_it_goes_on(
    operator: Operator, jobs: Jobs, receiver: Receiver
) -> None:
    jobs.create("undecided", cancel=True, callbacks=tell(receiver.url("/undecided")))
    jobs.reaches("undecided", "Canceled")
    edit(jobs, "undecided", cancel=False)
    jobs.reaches("undecided", "Done")
    found(lambda: all_delivered(jobs, "undecided", 4), what="all of it to be told")
    assert told(receiver, "/undecided") == ["Canceled", "Resumed", "Started", "Completed"]


def test_a_failed_job_that_is_tried_again_tells_both_ends(
    operator: Operator, jobs: Jobs, receiver: Receiver
) -> None:
    jobs.create("again", exit_code=2, callbacks=tell(receiver.url("/again")))
    jobs.reaches("again", "Error")
    annotation = {"metadata": {"annotations": {"trainyard.dev/retry-requested-at": "now"}}}
    jobs.client.patch(jobs.path("trainingjobs", "again"), annotation)
    found(lambda: all_delivered(jobs, "again", 3), what="the second end to be told")
    assert told(receiver, "/again") == ["Started", "Failed", "Failed"]
    assert len({request.id for request in receiver.requests}) == 3
    assert [request.event["data"]["attempt"] for request in receiver.requests] == [0, 0, 1]


def test_suspend_toggled_while_operators_are_killed_is_told_in_turn_and_under_one_id_each(
    plane: ControlPlane, namespace: str, jobs: Jobs, receiver: Receiver
) -> None:
    names = ["one", "two", "three"]
    for name in names:
        jobs.create(name, run_for=None, gracePeriodSeconds=1, callbacks=tell(receiver.url(f"/{name}")))
    for _ in range(3):
        with starting(plane, namespace) as operator:
            until = time.monotonic() + 4
            wanted = False
            while time.monotonic() < until:
                wanted = not wanted
                for name in names:
                    edit(jobs, name, suspend=wanted)
                time.sleep(0.15)
            operator.stop(grace=0)
    with starting(plane, namespace):
        for name in names:
            edit(jobs, name, suspend=True)
        for name in names:
            jobs.reaches(name, "Pending", "Paused")
            found(
                lambda name=name: all(e["state"] == "Delivered" for e in entries(jobs, name)),
                what=f"all of {name} to be told",
            )
    for name in names:
        stops = [event for event in told(receiver, f"/{name}") if event != "Started"]
        assert stops == ["Paused", "Resumed"] * (len(stops) // 2) + ["Paused"]
        assert len(stops) > 5, "it was toggled"
        ids: dict[int, set[str]] = defaultdict(set)
        for request in receiver.at(f"/{name}"):
            ids[request.event["data"]["sequence"]].add(request.id)
        assert all(len(several) == 1 for several in ids.values())
        first = list(dict.fromkeys(r.event["data"]["sequence"] for r in receiver.at(f"/{name}")))
        assert first == sorted(first)
