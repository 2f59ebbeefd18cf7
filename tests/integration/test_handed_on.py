"""The agent as a process, between a real S3 server and volumes: a parent's checkpoint fetched, and jobs swept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness import s3
from tests.harness.s3 import S3
from tests.integration.agentpod import Json, Pod

pytestmark = pytest.mark.timeout(300)

PARENT, CHILD = "11111111-ceea-467f-a6d1-0c2bd0e3a9b1", "22222222-ceea-467f-a6d1-0c2bd0e3a9b1"

Pods = Callable[..., Pod]
Trained = tuple[Pod, dict[int, dict[str, bytes]]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3.running(tmp_path_factory.mktemp("s3"), "models") as server:
        yield server


@contextmanager
def making(server: S3, folder: Path) -> Iterator[Pods]:
    """Makes pods, each with a volume of its own unless it stores in the bucket."""
    made: list[Pod] = []

    def make(uid: str, *, volume: bool, **fields: Any) -> Pod:
        root = folder / f"pod-{len(made)}"
        (root / "work").mkdir(parents=True)
        (folder / f"volume-{uid}").mkdir(exist_ok=True)
        pod = Pod(
            root,
            server=None if volume else server,
            bucket_folder=f"{folder.name}-{uid[0]}",
            volume=folder / f"volume-{uid}" if volume else None,
            uid=uid,
            **fields,
        )
        made.append(pod)
        return pod

    yield make
    for pod in made:
        if pod.process is not None and pod.process.poll() is None:
            pod.process.kill()
            pod.process.wait()


@pytest.fixture
def pods(server: S3, tmp_path: Path) -> Iterator[Pods]:
    with making(server, tmp_path) as make:
        yield make


@pytest.fixture(scope="module")
def in_bucket(server: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """A parent that has ended in the bucket, for all tests, which only read it."""
    with making(server, tmp_path_factory.mktemp("parent")) as make:
        yield trained(make, volume=False)


def trained(pods: Pods, *, volume: bool) -> Trained:
    """A parent that has ended, and what its checkpoints hold."""
    pod = pods(PARENT, volume=volume)
    assert pod.fetch()[0] == 0
    pod.run()
    contents = {epoch: pod.checkpoint(epoch, size=9 << 20 if epoch == 2 else 1000) for epoch in (1, 2)}
    until(lambda: pod.listed() == [1, 2])
    assert pod.end()[0] == 0
    return pod, contents


def until(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def handed(parent: Pod, child: Pod, **fields: Any) -> None:
    """Tells the child's agent of its parent, and gives it the parent's Secret where it needs one."""
    output, store = {"path": str(parent.volume)}, "pvc://theirs"
    if parent.server is not None:
        store = f"s3://models/{parent.bucket_folder}"
        output = {"uri": store, "endpoint": parent.server.endpoint, "region": "us-east-1"}
        secret = child.root / "secrets" / "parent"
        secret.mkdir(parents=True, exist_ok=True)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            (secret / name).write_text(parent.server.environment[name])
    child.more["handed"] = {
        "job": "base",
        "uids": [PARENT],
        "output": output,
        "store": store,
        "epoch": None,
        "continues": True,
        "folder": str(child.root / "work" / "parent-checkpoint"),
        **fields,
    }


def there(folder: Path) -> dict[str, dict[str, bytes]]:
    return {
        path.name: {file.name: file.read_bytes() for file in path.glob("*.bin")} for path in folder.iterdir()
    }


@pytest.mark.parametrize(
    ("from_volume", "to_volume"),
    [
        pytest.param(False, True, id="of a bucket for a volume"),
        pytest.param(True, False, id="of a volume for a bucket"),
        pytest.param(False, False, id="of a bucket for a bucket", marks=pytest.mark.soak),
    ],
)
def test_a_training_goes_on_with_its_parents_and_then_with_its_own(
    pods: Pods, in_bucket: Trained, from_volume: bool, to_volume: bool
) -> None:
    parent, contents = trained(pods, volume=True) if from_volume else in_bucket
    before = parent.stored()
    child = pods(CHILD, volume=to_volume)
    handed(parent, child)
    code, log = child.fetch()
    assert code == 0, log
    assert "goes on from the checkpoint of epoch 2 of attempt 0 of TrainingJob base" in log
    assert there(child.resume) == {"epoch-000002": contents[2]}
    assert (child.resume / "epoch-000002").is_symlink() == from_volume
    child.run()
    third = child.checkpoint(3)
    until(lambda: child.listed() == [3])
    assert child.process is not None
    child.process.kill()
    child.process.wait()
    again = pods(CHILD, volume=to_volume, attempt=1)
    handed(parent, again)
    assert again.fetch()[0] == 0
    assert there(again.resume) == {"epoch-000003": third}
    assert parent.stored() == before


def test_another_action_gets_the_epoch_that_was_chosen(pods: Pods, in_bucket: Trained) -> None:
    parent, contents = in_bucket
    child = pods(CHILD, volume=True, more={"resumable": False})
    handed(parent, child, epoch=1, continues=False)
    code, log = child.fetch()
    assert code == 0, log
    assert there(child.root / "work" / "parent-checkpoint") == {"epoch-000001": contents[1]}
    assert list(child.resume.iterdir()) == []


def test_an_epoch_that_is_not_there_is_told_with_those_that_are(pods: Pods, in_bucket: Trained) -> None:
    parent, _ = in_bucket
    child = pods(CHILD, volume=True)
    handed(parent, child, epoch=5)
    began = time.monotonic()
    code, _ = child.fetch()
    assert code == 1
    assert time.monotonic() - began < 20, "what is not there is not waited for"
    said = child.message()
    assert said["kind"] == "absent"
    assert "TrainingJob base has left no checkpoint of epoch 5" in said["error"]
    assert "there: 1, 2." in said["error"]


def test_one_that_is_damaged_in_the_parents_bucket_gives_way_to_the_one_before(
    pods: Pods, in_bucket: Trained, server: S3
) -> None:
    parent, contents = in_bucket
    top = server.folder / "buckets" / "models" / parent.bucket_folder / PARENT
    damaged = top / "attempt-0" / "checkpoints" / "epoch-000002" / "state-1.bin"
    damaged.write_bytes(b"y" * (9 << 20))
    child = pods(CHILD, volume=True)
    handed(parent, child)
    code, log = child.fetch()
    damaged.write_bytes(contents[2]["state-1.bin"])
    assert code == 0, log
    assert there(child.resume) == {"epoch-000001": contents[1]}
    assert "epoch 2 of attempt 0 is passed over" in log


ODD = ["a[1]*?.bin", "with space", "ü/ö.csv", "plus+percent%41", "deep/er/and/deeper/x"]


@pytest.fixture
def sweep(server: S3, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the agent's `sweep` of a folder in the bucket."""
    secret = tmp_path / "secrets" / "output"
    secret.mkdir(parents=True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (secret / name).write_text(server.environment[name])

    def start(*uids: str) -> subprocess.Popen[str]:
        store = f"s3://models/{tmp_path.name}"
        order: Json = {
            "namespace": "team",
            "store": store,
            "output": {"uri": store, "endpoint": server.endpoint, "region": "us-east-1"},
            "uids": list(uids),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environ = {
            **kept,
            "TRAINYARD_SWEEP": json.dumps(order),
            "TRAINYARD_SECRETS": str(tmp_path / "secrets"),
            "TRAINYARD_TERMINATION_LOG": str(tmp_path / "word"),
        }
        argv = [sys.executable, "-m", "trainyard_agent", "sweep"]
        return subprocess.Popen(argv, env=environ, stderr=subprocess.PIPE, text=True)

    return start


def test_jobs_in_a_bucket_are_swept_also_after_a_kill_and_nothing_beside_them(
    server: S3, sweep: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    top = server.folder / "buckets" / "models" / tmp_path.name

    def put(path: str, data: bytes = b"x") -> None:
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(data)

    for uid in (PARENT, CHILD, f"{PARENT}0"):
        put(f"{uid}/claims/attempt-0.json", b"{}")
        put(f"{uid}/result.json", b"{}")
        for name in ODD:
            put(f"{uid}/attempt-0/{name}")
    for number in range(2300):
        put(f"{PARENT}/attempt-0/checkpoints/epoch-{number % 7:06d}/part-{number}.bin", b"abc")
    put(f"{PARENT}/attempt-0x/mine")
    put("photos/attempt-0/one.png")
    before = server.objects("models")

    process = sweep(PARENT, CHILD)

    def present() -> int:
        return sum(len(files) for _, _, files in os.walk(top))

    many = present()
    until(lambda: present() < many - 300)
    process.kill()
    process.communicate()
    # NB: the server still does what it was asked for last.
    seen = -1
    while seen != (seen := present()):
        time.sleep(1)
    left = server.objects("models")
    assert any("part-" in key for key in left), "it was meant to be killed in the middle"

    process = sweep(PARENT, CHILD, "never-was")
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    after = server.objects("models")
    gone = left.keys() - after.keys()
    assert json.loads((tmp_path / "word").read_text()) == {
        "removed": len(gone),
        "bytes": sum(len(left[key]) for key in gone),
    }
    prefix = f"{tmp_path.name}/"
    assert {key.removeprefix(prefix) for key in before.keys() - after.keys()} == {
        key.removeprefix(prefix)
        for key in before
        if key.startswith((f"{prefix}{PARENT}/attempt-0/", f"{prefix}{CHILD}/attempt-0/"))
    }
    assert {key: data for key, data in before.items() if key in after} == after

    process = sweep(PARENT, "photos")
    process.communicate(timeout=60)
    assert process.returncode == 1
    word = json.loads((tmp_path / "word").read_text())
    assert (word["removed"], "no job has claimed it" in word["error"]) == (0, True)
    assert server.objects("models") == after
