"""Base models whose fetching breaks off, or is damaged on the way: nothing half is ever handed on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_servers import Store
from modelpods import Pod, of_store
from modelstores import FILES, Stored, found, sha256

from trainyard_agent import receiving, transfer

Files = Any
SOURCES = Path(__file__).parents[1] / "src"
SECONDS = 60.0


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kind", ["version", "folder"])
def test_killed_anywhere_nothing_half_is_there_and_the_next_one_finishes(
    s3: Store, pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Each write and each file's end may be the last one of a run."""
    files = {f"{number}/part.bin": os.urandom(3000 * number) for number in range(12)}
    digest = Stored(s3.buckets / "models" / f"killed-{kind}").put(files)
    said = of_store(s3, tmp_path, f"s3://models/killed-{kind}")
    chance, lock = random.Random(7), threading.Lock()

    def perhaps(really: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **more: Any) -> Any:
            with lock:
                if chance.random() < 0.08:
                    raise Killed
            return really(*arguments, **more)

        return act

    with monkeypatch.context() as patch:
        patch.setattr(receiving, "_write_all", perhaps(receiving._write_all))
        patch.setattr(transfer.Transfer, "_write", perhaps(transfer.Transfer._write))
        patch.setattr(Path, "replace", perhaps(Path.replace))
        patch.setattr(Path, "rename", perhaps(Path.rename))
        kills = 0
        for _ in range(100):
            try:
                code, _word = pod.fetch(**said, kind=kind, sha256=digest)
            except Killed:
                kills += 1
                assert not pod.folder.exists()
                continue
            break
    assert (code, kills > 0) == (0, True)
    handed = found(pod.folder)
    assert handed.pop("artifacts.json")
    assert handed == files


def test_a_pod_that_is_killed_while_it_fetches_hands_on_nothing(files: Files, pod: Pod) -> None:
    files.contents["net.onnx"] = data = os.urandom(8 << 20)
    files.rate = 4 << 20
    said = {"uri": files.url("net.onnx"), "endpoint": files.endpoint, "kind": "file", "sha256": sha256(data)}
    environ = {**os.environ, **pod.environ, "PYTHONPATH": str(SOURCES), "TRAINYARD_AGENT": pod.order(**said)}
    argv = [sys.executable, "-m", "trainyard_agent", "fetch"]
    deadline = time.monotonic() + SECONDS
    with subprocess.Popen(argv, env=environ, stderr=subprocess.DEVNULL) as process:
        while files.sent < 2 << 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not pod.folder.exists()
    files.rate = None
    assert (
        subprocess.run(argv, env=environ, stderr=subprocess.DEVNULL, timeout=SECONDS, check=False).returncode
        == 0
    )
    assert found(pod.folder) == {"net.onnx": data}


def test_one_that_is_there_from_before_is_checked_again(s3: Store, pod: Pod, tmp_path: Path) -> None:
    digest = Stored(s3.buckets / "models" / "again").put()
    said = of_store(s3, tmp_path, "s3://models/again")
    assert pod.fetch(**said, sha256=digest)[0] == 0
    (pod.folder / "labels.json").write_bytes(b"half")
    assert pod.fetch(**said, sha256=digest)[0] == 0
    assert (pod.folder / "labels.json").read_bytes() == FILES["labels.json"]


def test_damage_on_the_way_is_no_damage_at_the_store(
    s3: Store, pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = Stored(s3.buckets / "models" / "noisy").put()
    before, noise = receiving._Receiver._range, iter([b"x"])

    def ranges(self: Any, key: str, start: int, end: int) -> bytes:
        data = before(self, key, start, end)
        for byte in noise:
            data = byte + data[1:]
        return data

    monkeypatch.setattr(receiving._Receiver, "_range", ranges)
    assert pod.fetch(**of_store(s3, tmp_path, "s3://models/noisy"), sha256=digest)[0] == 0
    assert not list(noise)
