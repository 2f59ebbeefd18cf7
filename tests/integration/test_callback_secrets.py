"""Secrets of callbacks: which may be used, how one that comes later is noticed, and what is never shown."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import pytest

from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator
from tests.hooks import KEY, a_callback, make_secret, starting, told, tried
from tests.objects import Jobs, found
from tests.receiver import Receiver

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def operator(plane: ControlPlane, namespace: str) -> Iterator[Operator]:
    with starting(plane, namespace) as process:
        yield process


def test_a_secret_without_the_label_is_refused_until_it_has_it(
    operator: Operator, jobs: Jobs, receiver: Receiver
) -> None:
    name = make_secret(jobs, "database", label=None, secret=KEY)
    jobs.create("curious", callbacks=[a_callback(receiver.url(), secretRef={"name": name})])
    assert tried(jobs, "curious")["message"] == (
        'Secret database may not be used by callbacks. Label it trainyard.dev/callback: "true" if it is meant for '
        "them."
    )
    assert receiver.requests == []
    path = f"/api/v1/namespaces/{jobs.namespace}/secrets/{name}"
    jobs.client.patch(path, {"metadata": {"labels": {"trainyard.dev/callback": "true"}}})
    told(jobs, "curious")
    assert receiver.requests[0].signed_by(KEY)


def test_a_missing_secret_is_told_and_waited_for(operator: Operator, jobs: Jobs, receiver: Receiver) -> None:
    jobs.create("early", callbacks=[a_callback(receiver.url(), secretRef={"name": "later"})])
    assert tried(jobs, "early")["message"] == "There is no Secret later in this namespace yet."
    make_secret(jobs, "later", secret=KEY)
    told(jobs, "early")
    assert receiver.requests[0].signed_by(KEY)


def test_a_rotating_secret_signs_twice_and_headers_come_along_and_neither_is_shown(
    operator: Operator, jobs: Jobs, receiver: Receiver
) -> None:
    new = b"whsec_" + base64.b64encode(b"the new key of the receiver")
    make_secret(jobs, "hook", secret=new, previousSecret=KEY)
    make_secret(jobs, "headers", Authorization=b"Bearer very-secret\n")
    callback = a_callback(receiver.url(), secretRef={"name": "hook"}, headersSecretRef={"name": "headers"})
    jobs.create("rotating", callbacks=[callback])
    told(jobs, "rotating")
    (request,) = receiver.requests
    assert request.signed_by(KEY)
    assert request.signed_by(b"the new key of the receiver")
    assert request.headers["authorization"] == "Bearer very-secret"
    shown = str(jobs.get("rotating")) + operator.log.read_text() + request.body.decode()
    for word in ("very-secret", KEY.decode(), new.decode()):
        assert word not in shown


def test_a_secret_that_comes_or_is_labelled_later_is_noticed_soon_and_costs_no_writes_before(
    plane: ControlPlane, namespace: str, jobs: Jobs, receiver: Receiver
) -> None:
    hours = {"firstRetrySeconds": 3600, "longestRetrySeconds": 3600}
    with starting(plane, namespace, **hours) as operator:
        jobs.create("patient", callbacks=[a_callback(receiver.url(), secretRef={"name": "later"})])
        jobs.reaches("patient", "Done")
        tried(jobs, "patient")
        time.sleep(1)
        before = jobs.get("patient")["metadata"]["resourceVersion"]
        time.sleep(3)
        assert jobs.get("patient")["metadata"]["resourceVersion"] == before, (
            "nothing changed, nothing is written"
        )
        operator.stop(grace=0)
    with starting(plane, namespace, **hours):
        time.sleep(1)
        make_secret(jobs, "later", label=None, secret=KEY)

        def may_not() -> bool:
            return "may not be used by callbacks" in jobs.status("patient")["callbacks"][0]["message"]

        found(may_not, what="the label to be missed", timeout=5)
        assert receiver.requests == []
        path = f"/api/v1/namespaces/{jobs.namespace}/secrets/later"
        jobs.client.patch(path, {"metadata": {"labels": {"trainyard.dev/callback": "true"}}})
        assert told(jobs, "patient", timeout=5)["attempts"] == 3
        assert receiver.requests[0].signed_by(KEY)


def test_a_job_that_is_deleted_while_it_waits_for_a_secret_is_forgotten(
    operator: Operator, jobs: Jobs, receiver: Receiver
) -> None:
    jobs.create("patient", callbacks=[a_callback(receiver.url(), secretRef={"name": "later"})])
    tried(jobs, "patient")
    jobs.delete("trainingjobs", "patient")
    time.sleep(1)
    make_secret(jobs, "later", secret=KEY)
    time.sleep(2)
    assert receiver.requests == []
    assert "Traceback" not in operator.log.read_text()
