"""The logs of fake pods are served as a kubelet serves them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.harness import controlplane, kwok
from tests.harness.client import Client, wait_for
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import ControlPlaneConfig

pytestmark = pytest.mark.timeout(120)

LINES = "warming up\n" + '{"epoch": 1, "max_epoch": 3}\n'


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    lines = tmp_path_factory.mktemp("logs") / "lines"
    lines.write_text(LINES)
    config = ControlPlaneConfig(controller_manager=True, scheduler=True)
    with controlplane.running("test-podlogs", config) as one:
        kwok.start(one, logs=lines)
        kwok.add_nodes(one, 1)
        yield one


def test_a_log_has_its_lines_and_ends_with_its_pod(
    plane: ControlPlane, admin: Client, namespace: str
) -> None:
    path = run(admin, namespace, "short", {"fake.trainyard.dev/run-for": "3s"})

    began = time.monotonic()
    followed = admin.text(f"{path}/log?follow=true&timestamps=true")

    assert 1 < time.monotonic() - began < 6
    assert [line.partition(" ")[2] for line in followed.splitlines()] == LINES.splitlines()
    assert admin.text(f"{path}/log?timestamps=true") == followed, "again with the same stamps"


def test_a_chatty_pod_prints_so_many_lines_a_second_and_can_be_asked_from_a_moment_on(
    plane: ControlPlane, admin: Client, namespace: str
) -> None:
    annotations = {"fake.trainyard.dev/run-for": "2500ms", "fake.trainyard.dev/log-lines": "100"}
    path = run(admin, namespace, "chatty", annotations)

    lines = admin.text(f"{path}/log?follow=true&timestamps=true").splitlines()

    assert 180 <= len(lines) <= 300
    assert {line.partition(" ")[2] for line in lines[1:]} == {LINES.splitlines()[1]}
    stamps = [line.partition(" ")[0] for line in lines]
    assert stamps == sorted(set(stamps))
    second = stamps[-1][:19]
    rest = admin.text(f"{path}/log?timestamps=true&sinceTime={second}Z").splitlines()
    assert rest == [line for line in lines if line[:19] >= second]


def test_a_pod_prints_what_its_annotation_says_also_when_that_comes_later(
    plane: ControlPlane, admin: Client, namespace: str
) -> None:
    path = run(admin, namespace, "told", {"fake.trainyard.dev/prints": "one\ntwo"})
    assert admin.text(f"{path}/log") == "one\ntwo\n"
    ends = {"fake.trainyard.dev/prints": "other", "fake.trainyard.dev/run-for": "0s"}
    admin.patch(path, {"metadata": {"annotations": ends}})
    wait_for(lambda: admin.get(path)["status"]["phase"] == "Succeeded", what="it to end", every=0.05)
    assert admin.text(f"{path}/log") == "other\n"


def run(admin: Client, namespace: str, name: str, annotations: dict[str, str]) -> str:
    """A pod that runs; its path."""
    where = f"/api/v1/namespaces/{namespace}"
    wait_for(lambda: admin.find(f"{where}/serviceaccounts/default"), what="the service account")
    spec = {"restartPolicy": "Never", "containers": [{"name": "trainer", "image": "none"}]}
    admin.post(f"{where}/pods", {"metadata": {"name": name, "annotations": annotations}, "spec": spec})
    path = f"{where}/pods/{name}"
    wait_for(lambda: admin.get(path)["status"]["phase"] == "Running", what="it to run", every=0.05)
    return path
