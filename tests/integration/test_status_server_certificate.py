"""Where the status server's certificate comes from, and that trainings go on where there is none."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.harness import operator as operators
from tests.harness import processes
from tests.harness.client import Client, Json
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import USER, Operator
from tests.integration.posting import Post, trainer
from tests.integration.test_chart import objects
from tests.objects import Jobs, found
from trainyard.reports import pki

pytestmark = pytest.mark.timeout(120)

NAMESPACE, SECRET = "default", "trainyard-status-server"
PATH = f"/api/v1/namespaces/{NAMESPACE}/secrets"


@pytest.fixture
def chart_secret(admin: Client) -> Iterator[None]:
    """The chart's Secret, empty, and the chart's Role for it."""
    (secret,) = objects("Secret")
    admin.apply(secret)
    for kind in ("Role", "RoleBinding"):
        (one,) = [o for o in objects(kind) if o["metadata"]["name"] == SECRET]
        if kind == "RoleBinding":
            one["subjects"] = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}]
        admin.apply(one)
    yield
    admin.delete(f"{PATH}/{SECRET}")


@contextmanager
def operator(plane: ControlPlane, name: str, **server: Any) -> Iterator[Operator]:
    (port,) = processes.free_ports(1)
    settings = {"statusServer": operators.loopback(port, **server)}
    with operators.running(plane, name=name, settings=settings) as process:
        yield process


def kept(name: str = SECRET) -> dict[str, str]:
    return {"secret": name, "namespace": NAMESPACE}


def stored(admin: Client, name: str = SECRET) -> dict[str, bytes]:
    data = admin.get(f"{PATH}/{name}").get("data") or {}
    return {key: base64.b64decode(value) for key, value in data.items()}


def own(admin: Client, name: str, data: dict[str, bytes]) -> Json:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return admin.post(PATH, {"metadata": {"name": name}, "data": encoded})


def running(jobs: Jobs, name: str) -> Post:
    jobs.create(name, run_for=None)
    jobs.reaches(name, "Running", "Training")
    return Post.of(jobs.client, jobs.namespace, name)


def runs_without_a_server(jobs: Jobs, name: str) -> None:
    jobs.create(name)
    jobs.reaches(name, "Done", "Completed")
    (pod,) = jobs.pods(name)
    names = {e["name"] for e in trainer(pod)["env"]}
    assert not {n for n in names if "SERVER" in n}
    assert "trainyard.dev/server-ca" not in pod["metadata"].get("annotations", {})


@pytest.mark.usefixtures("chart_secret")
def test_the_empty_secret_is_filled_once_and_outlives_the_operator(
    plane: ControlPlane, admin: Client, jobs: Jobs
) -> None:
    with operator(plane, "first", **kept()):
        one = running(jobs, "one")
        assert one.send({"step": 1}).status == 200
        filled = stored(admin)
    assert sorted(filled) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]
    assert one.authority.encode() == filled["ca.crt"]
    with operator(plane, "second", **kept()):
        two = running(jobs, "two")
        assert two.send({"step": 1}).status == 200
    assert stored(admin) == filled
    assert two.authority == one.authority


@pytest.mark.usefixtures("chart_secret")
def test_of_two_operators_that_start_at_once_one_makes_the_certificate(
    plane: ControlPlane, admin: Client
) -> None:
    ports = processes.free_ports(2)
    settings = [{"statusServer": operators.loopback(port, **kept())} for port in ports]
    with (
        operators.running(plane, name="left", settings=settings[0], wait=False),
        operators.running(plane, name="right", settings=settings[1], wait=False),
    ):
        shown = [found(lambda port=port: _shown(port), what="a certificate", timeout=30) for port in ports]
        assert shown[0] == shown[1]
        assert ssl.PEM_cert_to_DER_cert(stored(admin)["tls.crt"].decode()) == shown[0]


def _shown(port: int) -> bytes | None:
    try:
        pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=5)
    except OSError:
        return None
    return ssl.PEM_cert_to_DER_cert(pem)


def test_a_certificate_of_the_users_is_used_as_it_is(plane: ControlPlane, admin: Client, jobs: Jobs) -> None:
    authority = pki.new_authority(now=time.time())
    server = pki.new_server(authority, host="127.0.0.1", now=time.time())
    data = {"tls.crt": server.certificate, "tls.key": server.key, "ca.crt": authority.certificate}
    before = own(admin, "own-tls", data)
    with operator(plane, "with-own", **kept("own-tls")):
        post = running(jobs, "posts")
        assert post.authority.encode() == authority.certificate
        assert post.send({"step": 1}).status == 200
    assert (
        admin.get(f"{PATH}/own-tls")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    )


def test_a_secret_without_an_authority_is_told_of_and_trainings_go_on(
    plane: ControlPlane, admin: Client, jobs: Jobs
) -> None:
    own(admin, "half", {"tls.crt": b"x", "tls.key": b"y"})
    with operator(plane, "half", **kept("half")) as process:
        runs_without_a_server(jobs, "plain")
        assert "the Secret default/half has no ca.crt; put it there" in process.log.read_text()


def test_an_authority_that_is_none_is_told_of_and_trainings_go_on(
    plane: ControlPlane, admin: Client, jobs: Jobs
) -> None:
    own(admin, "odd", {"tls.crt": b"x", "tls.key": b"y", "ca.crt": b"z"})
    with operator(plane, "odd", **kept("odd")) as process:
        runs_without_a_server(jobs, "plain")
        assert "ca.crt in the Secret default/odd is no certificate" in process.log.read_text()


def test_a_secret_that_holds_no_certificate_is_told_of_and_trainings_go_on(
    plane: ControlPlane, admin: Client, jobs: Jobs
) -> None:
    authority = pki.new_authority(now=time.time()).certificate
    own(admin, "broken", {"tls.crt": b"x", "tls.key": b"y", "ca.crt": authority})
    with operator(plane, "broken", **kept("broken")) as process:
        runs_without_a_server(jobs, "plain")
        assert "The status server cannot use its certificate" in process.log.read_text()


def test_without_the_right_to_write_its_secret_the_operator_says_so_and_trainings_go_on(
    plane: ControlPlane, admin: Client, jobs: Jobs
) -> None:
    metadata = {"name": "forbidden", "annotations": {"trainyard.dev/generated": "true"}}
    admin.post(PATH, {"metadata": metadata})
    with operator(plane, "forbidden", **kept("forbidden")) as process:
        runs_without_a_server(jobs, "plain")
        assert "let the operator get and patch the Secret default/forbidden" in process.log.read_text()


def test_switched_off_nothing_listens_and_trainings_go_on(plane: ControlPlane, jobs: Jobs) -> None:
    (port,) = processes.free_ports(1)
    settings = {"statusServer": operators.loopback(port, enabled=False)}
    with operators.running(plane, name="off", settings=settings):
        runs_without_a_server(jobs, "plain")
        assert _shown(port) is None
