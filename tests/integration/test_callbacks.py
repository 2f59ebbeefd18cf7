"""Callbacks from a real operator to a real receiver."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.harness import demo_callbacks, pki, processes
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import SERVICE_CIDR
from tests.harness.kubectl import Kubectl
from tests.harness.operator import Operator
from tests.hooks import KEY, a_callback, make_secret, starting, told, tried
from tests.objects import Jobs, found
from tests.receiver import Received, Receiver, Say, listening

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def operator(plane: ControlPlane, namespace: str) -> Iterator[Operator]:
    """An operator for this test's namespace that may reach loopback addresses and tries again soon."""
    with starting(plane, namespace) as process:
        yield process


@pytest.fixture
def secret(jobs: Jobs) -> str:
    return make_secret(jobs, "hook", secret=KEY)


def first(receiver: Receiver, path: str) -> Received:
    found(lambda: receiver.at(path), what=f"a request for {path}")
    return receiver.at(path)[0]


def test_completed_and_failed_are_told_once_signed_and_under_the_id_in_status(
    operator: Operator, jobs: Jobs, receiver: Receiver, secret: str
) -> None:
    for name, more in (("good", {}), ("bad", {"exit_code": 2, "message": "no such column"})):
        jobs.create(
            name, callbacks=[a_callback(receiver.url(f"/{name}"), secretRef={"name": secret})], **more
        )
    jobs.reaches("good", "Done")
    jobs.reaches("bad", "Error")
    entries = {name: told(jobs, name) for name in ("good", "bad")}
    time.sleep(2)
    for name, event, phase in (("good", "completed", "Done"), ("bad", "failed", "Error")):
        (request,) = receiver.at(f"/{name}")
        assert request.signed_by(KEY)
        assert not request.signed_by(b"another key")
        assert abs(int(request.headers["webhook-timestamp"]) - request.at) < 5
        assert request.headers["content-type"] == "application/cloudevents+json"
        assert request.event["type"] == f"dev.trainyard.trainingjob.{event}"
        assert request.event["id"] == request.id == entries[name]["id"]
        assert request.event["data"]["phase"] == phase
        assert request.event["data"]["uid"] == jobs.get(name)["metadata"]["uid"]
        assert entries[name] | {"time": "", "lastAttemptTime": ""} == {
            "id": request.id,
            "name": "hook",
            "event": event.capitalize(),
            "sequence": 1,
            "time": "",
            "attempt": 0,
            "state": "Delivered",
            "attempts": 1,
            "lastAttemptTime": "",
            "message": "Answered 204 No Content.",
        }
    samples = operator.metrics()
    assert samples['trainyard_callbacks_total{event="Completed",outcome="delivered"}'] == 1
    assert samples['trainyard_callbacks_total{event="Failed",outcome="delivered"}'] == 1


def test_an_event_that_is_not_asked_for_is_not_told(
    operator: Operator, jobs: Jobs, receiver: Receiver
) -> None:
    jobs.create("good", callbacks=[a_callback(receiver.url(), events=["Failed"])])
    jobs.reaches("good", "Done")
    time.sleep(1)
    assert receiver.requests == []
    assert "callbacks" not in jobs.status("good")


def test_a_receiver_that_is_down_is_told_when_it_is_up(operator: Operator, jobs: Jobs) -> None:
    (port,) = processes.free_ports(1)
    jobs.create("early", callbacks=[a_callback(f"http://127.0.0.1:{port}/early")])
    jobs.reaches("early", "Done")
    entry = tried(jobs, "early")
    assert "could not be reached" in entry["message"]
    assert entry["nextAttemptTime"] >= entry["lastAttemptTime"]
    with listening(port) as receiver:
        assert told(jobs, "early")["id"] == entry["id"] == first(receiver, "/early").id


def test_a_failure_is_tried_again_under_the_same_id_and_a_signature_of_its_own(
    operator: Operator, jobs: Jobs, receiver: Receiver, secret: str
) -> None:
    receiver.script["/"] = [Say(status=500), Say(status=429, headers={"retry-after": "3"}), Say(status=200)]
    jobs.create("again", callbacks=[a_callback(receiver.url(), secretRef={"name": secret})])
    entry = told(jobs, "again")
    assert entry["attempts"] == 3
    assert {request.id for request in receiver.requests} == {entry["id"]}
    assert all(request.signed_by(KEY) for request in receiver.requests)
    assert len({request.body for request in receiver.requests}) == 1
    assert receiver.requests[2].at - receiver.requests[1].at >= 3, "Retry-After is honoured"


def test_410_ends_it_with_an_event(operator: Operator, jobs: Jobs, receiver: Receiver) -> None:
    receiver.script["/"] = [Say(status=410)]
    jobs.create("gone", callbacks=[a_callback(receiver.url())])
    assert "Answered 410 Gone" in told(jobs, "gone", state="Failed")["message"]
    found(lambda: "CallbackFailed" in jobs.events("gone"), what="the Event")
    time.sleep(2)
    assert len(receiver.requests) == 1


def test_a_redirect_is_not_followed(operator: Operator, jobs: Jobs, receiver: Receiver) -> None:
    receiver.script["/"] = [Say(status=307, headers={"location": receiver.url("/elsewhere")})]
    jobs.create("redirected", callbacks=[a_callback(receiver.url())])
    assert "redirects are not followed" in tried(jobs, "redirected")["message"]
    assert receiver.at("/elsewhere") == []


def test_a_receiver_that_hangs_delays_neither_jobs_nor_other_receivers(
    operator: Operator, jobs: Jobs, receiver: Receiver
) -> None:
    receiver.script["/slow"] = [Say(delay=30)]
    for number in range(10):
        jobs.create(f"slow-{number}", run_for="100ms", callbacks=[a_callback(receiver.url("/slow"))])
    first(receiver, "/slow")
    with listening(address="127.0.0.2") as quick:
        begin = time.monotonic()
        for number in range(20):
            url = quick.url(f"/{number}", host="127.0.0.2")
            jobs.create(f"quick-{number}", run_for="100ms", callbacks=[a_callback(url)])
        for number in range(20):
            jobs.reaches(f"quick-{number}", "Done")
            told(jobs, f"quick-{number}")
        assert time.monotonic() - begin < 15
        assert len(quick.requests) == 20
    for number in range(10):
        jobs.reaches(f"slow-{number}", "Done")
    assert "did not answer within 10 s" in tried(jobs, "slow-0")["message"]


def test_what_a_killed_operator_was_sending_is_sent_by_the_next_under_the_same_id(
    plane: ControlPlane, namespace: str, jobs: Jobs, receiver: Receiver
) -> None:
    receiver.script["/"] = [Say(delay=30), Say()]
    with starting(plane, namespace) as operator:
        jobs.create("killed", callbacks=[a_callback(receiver.url())])
        first(receiver, "/")
        assert jobs.status("killed")["callbacks"][0]["state"] == "Pending", (
            "the intent came before the request"
        )
        operator.stop(grace=0)
    with starting(plane, namespace):
        entry = told(jobs, "killed")
        assert [request.id for request in receiver.requests] == [entry["id"]] * 2
        time.sleep(2)
        assert len(receiver.requests) == 2


def test_a_restarted_operator_waits_for_the_time_in_status(
    plane: ControlPlane, namespace: str, jobs: Jobs, receiver: Receiver
) -> None:
    receiver.script["/"] = [Say(status=503, headers={"retry-after": "8"}), Say()]
    with starting(plane, namespace) as operator:
        jobs.create("patient", callbacks=[a_callback(receiver.url())])
        tried(jobs, "patient")
        operator.stop(grace=0)
    with starting(plane, namespace):
        told(jobs, "patient")
    assert receiver.requests[1].at - receiver.requests[0].at >= 8


def test_loopback_is_refused_unless_the_settings_allow_it(
    plane: ControlPlane, namespace: str, jobs: Jobs, receiver: Receiver
) -> None:
    with starting(plane, namespace, allowedCIDRs=[]):
        for host in ("127.0.0.1", "localhost"):
            jobs.create(f"to-{host.replace('.', '-')}", callbacks=[a_callback(receiver.url(host=host))])
        for host in ("127.0.0.1", "localhost"):
            message = tried(jobs, f"to-{host.replace('.', '-')}")["message"]
            assert "is a loopback address" in message
            assert "callbacks.allowedCIDRs" in message
    assert receiver.requests == []


def test_a_deleted_job_drops_what_is_pending(operator: Operator, jobs: Jobs, receiver: Receiver) -> None:
    receiver.script["/"] = [Say(status=500)]
    jobs.create("short-lived", callbacks=[a_callback(receiver.url())])
    tried(jobs, "short-lived")
    jobs.delete("trainingjobs", "short-lived")
    time.sleep(1)
    before = len(receiver.requests)
    time.sleep(4)
    assert len(receiver.requests) == before


def test_two_deliveries_cost_one_more_write(operator: Operator, jobs: Jobs, receiver: Receiver) -> None:
    def patches() -> float:
        return sum(
            value
            for name, value in operator.metrics().items()
            if name.startswith("trainyard_api_requests_total") and 'verb="PATCH"' in name
        )

    spent = []
    both = [a_callback(receiver.url(f"/{name}"), name=name) for name in ("one", "two")]
    for name, callbacks in (("silent", []), ("telling", both)):
        before = patches()
        jobs.create(name, run_for="1s", callbacks=callbacks)
        jobs.reaches(name, "Done")
        time.sleep(2)
        spent.append(patches() - before)
    assert len(receiver.requests) == 2
    assert spent[1] == spent[0] + 1


def test_the_demo_finds_the_services_ranges_and_says_what_was_not_received(
    plane: ControlPlane, operator: Operator, jobs: Jobs, receiver: Receiver
) -> None:
    kubectl = Kubectl(plane.handle)
    ranges = demo_callbacks.values(kubectl)["settings"]["callbacks"]["allowedCIDRs"]
    assert ranges == [SERVICE_CIDR]
    jobs.create("told", callbacks=[a_callback(receiver.url())])
    told(jobs, "told")
    (one,) = demo_callbacks.until_told(kubectl, jobs.namespace, timeout=1)
    assert (one.job, one.event, one.state, one.id) == (
        "told",
        "Completed",
        "Delivered",
        receiver.requests[0].id,
    )
    assert not one.good, "no receiver in the cluster has printed it"


def test_a_receiver_that_breaks_off_answers_without_end_or_is_not_trusted_is_told_of_in_status(
    operator: Operator, jobs: Jobs, receiver: Receiver, tmp_path: Path
) -> None:
    authority = pki.Authority(tmp_path)
    pair = authority.server("receiver", hosts=("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    receiver.script["/broken"] = [Say(broken=True)]
    receiver.script["/endless"] = [Say(status=200, body=b"x" * 1000, endless=True)]
    with listening(tls=context) as untrusted:
        jobs.create("broken", callbacks=[a_callback(receiver.url("/broken"))])
        jobs.create("untrusted", callbacks=[a_callback(untrusted.url(scheme="https"))])
        jobs.create("endless", callbacks=[a_callback(receiver.url("/endless"))])
        assert "broke off the connection" in tried(jobs, "broken")["message"]
        assert "127.0.0.1 was not trusted: " in tried(jobs, "untrusted")["message"]
        assert untrusted.requests == []
        told(jobs, "endless")


def test_a_date_in_retry_after_is_waited_for(operator: Operator, jobs: Jobs, receiver: Receiver) -> None:
    until = time.time() + 8
    receiver.script["/"] = [Say(status=429, headers={"retry-after": formatdate(until, usegmt=True)}), Say()]
    jobs.create("dated", callbacks=[a_callback(receiver.url())])
    told(jobs, "dated")
    assert receiver.requests[1].at >= int(until)
