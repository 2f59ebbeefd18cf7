"""Trainings that store to a real S3 server and are struck at seeded moments: Done means that every byte is safe."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import chained
from tests.harness import kindcluster, s3pod
from tests.harness.client import Client, Json
from tests.harness.cluster import ClusterHandle
from tests.harness.errors import HarnessError
from tests.harness.kubectl import Kubectl
from tests.harness.s3pod import S3Pod
from tests.objects import Jobs, found, manifest

pytestmark = pytest.mark.timeout(420)

SEED = 11
EPOCHS = 16
BLOWS = (
    "trainer",
    "trainer",
    "agent",
    "agent",
    "pod by force",
    "pod by force",
    "pod",
    "operator",
    "operator",
    "store",
)


class Depot(Jobs):
    """A namespace with an S3 server in it, and jobs that store there."""

    def __init__(self, client: Client, handle: ClusterHandle, store: S3Pod, image: str) -> None:
        super().__init__(client, store.namespace)
        self.handle = handle
        self.store = store
        self.image = image

    def output(self, *, secret: str = "keys") -> Json:
        return {
            "uri": f"s3://{self.store.bucket}/team",
            "endpoint": self.store.endpoint,
            "secretRef": {"name": secret},
        }

    def train(self, name: str, *, epochs: int = EPOCHS, secret: str = "keys", **more: Any) -> None:
        spec = chained.spec(
            self.image, epochs=epochs, output=self.output(secret=secret), uploadSeconds=60, **more
        )
        self.client.post(self.path("trainingjobs"), manifest("TrainingJob", name, spec))

    def strike(self, name: str, blow: str) -> None:
        """Whatever it hits is another's chance to go wrong as well."""
        pods = [pod for pod in self.pods(name) if pod["status"].get("phase") in ("Pending", "Running")]
        where = f"/api/v1/namespaces/{self.namespace}/pods/"
        match blow:
            case "trainer" | "agent" | "operator":
                pattern = {
                    "trainer": "python3 -uc",
                    "agent": "trainyard-agent run",
                    "operator": "trainyard run",
                }[blow]
                with contextlib.suppress(HarnessError):  # none of it may be there at this moment
                    kindcluster.kill(self.handle, pattern)
            case "pod" | "pod by force":
                for pod in pods:
                    grace = {"gracePeriodSeconds": "0"} if blow == "pod by force" else {}
                    self.client.delete(where + pod["metadata"]["name"], **grace)
            case "store":
                self.store.stop()
                time.sleep(3)
                self.store.start()

    def checked(self, name: str, files: Any, *, epochs: int = EPOCHS) -> Json:
        """The status of a job that is Done, whose every byte is in the bucket and right."""
        status = self.status(name)
        assert (status["phase"], status["reason"]) == ("Done", "Completed"), status
        folder, *_ = status["artifacts"]
        prefix = folder["uri"].removeprefix("s3://")
        listing = files.cat_file(f"{prefix}/artifacts.json")
        assert hashlib.sha256(listing).hexdigest() == folder["sha256"]
        stored = {entry["path"]: entry for entry in json.loads(listing)["files"]}
        assert sum(entry["size"] for entry in stored.values()) == folder["size"]
        wanted = chained.result(epochs)
        assert stored.keys() == wanted.keys()
        for path, data in wanted.items():
            assert files.cat_file(f"{prefix}/{path}") == data, f"{path} of {name}"
            assert stored[path]["sha256"] == hashlib.sha256(data).hexdigest()
        return status


@pytest.fixture(scope="module")
def depot(operator_installed: ClusterHandle, python_image: str) -> Iterator[Depot]:
    if not operator_installed.made_by_us:
        pytest.skip("the nodes of a cluster of yours are yours")
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    with Client(operator_installed.kubeconfig, context=operator_installed.context) as client:
        client.post("/api/v1/namespaces", {"metadata": {"name": name}})
        store = s3pod.install(operator_installed, name)
        Kubectl(operator_installed).apply([store.secret("keys")], namespace=name)
        yield Depot(client, operator_installed, store, python_image)
        client.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def files(depot: Depot) -> Iterator[Any]:
    """The bucket's contents, from this machine."""
    with depot.store.forwarded() as endpoint:
        yield depot.store.files(endpoint)


@pytest.fixture(scope="module")
def struck(depot: Depot) -> list[str]:
    """Ten jobs, each struck at a moment of its own, while the others go on."""
    random_ = random.Random(SEED)
    names = [f"job-{number}" for number in range(len(BLOWS))]
    for name in names:
        depot.train(name, backoffLimit=20)

    def strike_later(name: str, blow: str, after: float) -> None:
        found(lambda: depot.status(name).get("startTime"), what=f"{name} to begin", timeout=120)
        time.sleep(after)
        depot.strike(name, blow)

    moments = [random_.uniform(0.0, 14.0) for _ in names]
    threads = [
        threading.Thread(target=strike_later, args=(name, blow, moment))
        for name, blow, moment in zip(names, BLOWS, moments, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return names


def test_struck_at_ten_moments_a_job_is_done_only_with_every_byte_safe(
    depot: Depot, struck: list[str]
) -> None:
    left, attempts = set(struck), 0
    # NB: a store that is taken away ends a forward to it.
    while left:
        name = found(
            lambda: next((name for name in left if depot.status(name).get("completionTime")), None),
            what=f"one of {sorted(left)} to end",
            timeout=180,
        )
        with depot.store.forwarded() as endpoint:
            status = depot.checked(name, depot.store.files(endpoint))
        for entry in status["attempts"]:
            if entry.get("reason") == "UploadFailed":
                assert len(entry["message"]) > 40, "a sentence"
        attempts += len(status["attempts"])
        left.remove(name)
    assert attempts > len(struck), "some of the blows hit"


def test_jobs_that_are_restored_without_status_are_done_by_their_result_and_none_runs_again(
    depot: Depot, struck: list[str], files: Any
) -> None:
    before = {name: depot.checked(name, files) for name in struck[:4]}
    backups = []
    for name in before:
        live = depot.get(name)
        kept = {"name": name, "annotations": live["metadata"]["annotations"]}
        backups.append(
            {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": kept, "spec": live["spec"]}
        )
        depot.delete("trainingjobs", name)
    found(lambda: not any(depot.pods(name) for name in before), what="all pods to go", timeout=120)
    for backup in backups:
        depot.client.post(depot.path("trainingjobs"), backup)
    for name, was in before.items():
        status = depot.reaches(name, "Done", "Completed", timeout=120)
        assert "not run again" in status["message"]
        assert status["artifacts"][0] == was["artifacts"][0]
        assert status["metrics"] == was["metrics"]
        for pod in depot.pods(name):
            (trainer,) = pod["status"]["containerStatuses"]
            assert "waiting" in trainer["state"] or trainer["state"]["terminated"]["exitCode"] != 0
            assert not trainer.get("started"), "its trainer never began"


def test_keys_that_are_refused_are_told_and_mended_and_the_training_is_kept(depot: Depot, files: Any) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
    wrong = depot.store.secret("mended") | {"stringData": keys}
    Kubectl(depot.handle).apply([wrong], namespace=depot.namespace)
    depot.train("locked", epochs=3, secret="mended", backoffLimit=0)
    status = depot.reaches("locked", "Error", timeout=120)
    assert status["reason"] in ("FetchFailed", "UploadFailed")
    assert "mended" in status["message"] or "secretRef" in status["message"], "it names what to mend"
    Kubectl(depot.handle).apply([depot.store.secret("mended")], namespace=depot.namespace)
    depot.client.patch(
        depot.path("trainingjobs", "locked"),
        {"metadata": {"annotations": {"trainyard.dev/retry-requested-at": "now"}}},
    )
    depot.reaches("locked", "Done", "Completed", timeout=120)
    depot.checked("locked", files, epochs=3)


def test_a_store_that_is_gone_at_the_end_fails_the_upload_and_a_retry_ends_with_all_of_it(
    depot: Depot,
) -> None:
    depot.train("late", epochs=12, backoffLimit=0)
    depot.client.patch(depot.path("trainingjobs", "late"), {"spec": {"uploadSeconds": 30}})
    found(
        lambda: (depot.status("late").get("progress") or {}).get("epoch", 0) >= 6,
        what="half of it",
        timeout=90,
    )
    depot.store.stop()
    try:
        status = depot.reaches("late", "Error", "UploadFailed", timeout=150)
        assert "cannot be reached" in status["message"], "it names what to mend"
    finally:
        depot.store.start()
    depot.client.patch(
        depot.path("trainingjobs", "late"),
        {"metadata": {"annotations": {"trainyard.dev/retry-requested-at": "now"}}},
    )
    again = depot.reaches("late", "Done", "Completed", timeout=120)
    with depot.store.forwarded() as endpoint:
        depot.checked("late", depot.store.files(endpoint), epochs=12)
    assert (again["attempts"][-1].get("resumedFrom") or "").startswith("s3://")


def test_a_child_is_handed_what_its_parent_has_stored(depot: Depot) -> None:
    """The parent's artifacts come from the bucket into a folder of the child's."""
    depot.train("parent", epochs=2)
    depot.reaches("parent", "Done", timeout=120)
    look = "import os, hashlib, pathlib; folder = pathlib.Path(os.environ['TRAINYARD_PARENT_DIR']); "
    say = "print(hashlib.sha256((folder / 'model.bin').read_bytes()).hexdigest(), sorted(os.listdir(folder)))"
    child = chained.spec(depot.image, epochs=1, parentJob="parent") | {
        "command": ["python3", "-uc", look + say]
    }
    depot.client.post(depot.path("trainingjobs"), manifest("TrainingJob", "child", child))
    depot.reaches("child", "Done", timeout=120)
    log = depot.client.text(f"/api/v1/namespaces/{depot.namespace}/pods/child-0-0/log")
    assert hashlib.sha256(chained.result(2)["model.bin"]).hexdigest() in log
