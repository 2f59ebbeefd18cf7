"""The agent's two commands as processes, on a real S3 server and on a volume: fetched, sent, killed, gone on."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.harness import s3
from tests.harness.s3 import S3
from tests.integration.agentpod import UID, Json, Pod
from trainyard_agent import credentials, patience
from trainyard_agent.bucket import Bucket
from trainyard_agent.order import Place
from trainyard_agent.patience import Patience
from trainyard_agent.troubles import Trouble

pytestmark = pytest.mark.timeout(300)

Pods = Callable[..., Pod]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3.running(tmp_path_factory.mktemp("s3"), "models") as server:
        yield server


@pytest.fixture
def pods(server: S3, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Pod]]:
    """Makes pods of one job; what they left running is ended."""
    made: list[Pod] = []
    folder = hashlib.sha256(request.node.name.encode()).hexdigest()[:8]

    def make(*, volume: bool = False, attempt: int = 0, rank: int = 0, ranks: int = 1, **more: Any) -> Pod:
        root = tmp_path / f"pod-{len(made)}"
        (root / "work").mkdir(parents=True)
        (tmp_path / "volume").mkdir(exist_ok=True)
        pod = Pod(
            root,
            server=None if volume else server,
            bucket_folder=folder,
            volume=tmp_path / "volume" if volume else None,
            attempt=attempt,
            rank=rank,
            ranks=ranks,
            more=more,
        )
        made.append(pod)
        return pod

    yield make
    for pod in made:
        if pod.process is not None and pod.process.poll() is None:
            pod.process.kill()
            pod.process.wait()


def until(condition: Callable[[], object], *, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


@pytest.mark.parametrize("volume", [False, True], ids=["bucket", "volume"])
def test_a_training_leaves_checkpoints_and_artifacts_and_a_later_attempt_goes_on(
    pods: Pods, volume: bool
) -> None:
    pod = pods(volume=volume)
    assert pod.fetch()[0] == 0
    assert list(pod.resume.iterdir()) == []
    pod.run()
    first = pod.checkpoint(1)
    until(lambda: pod.listed() == [1])
    second = pod.checkpoint(2)
    until(lambda: pod.listed() == [1, 2])
    pod.artifact("model.bin", b"m" * 5000)
    pod.artifact("plots/curve.csv", b"1,2\n")
    code, said = pod.end()
    assert (code, said["uploaded"], said["error"], said["files"]) == (0, True, "", 2)
    assert said["checkpoint"]["epoch"] == 2
    stored = pod.stored()
    for epoch, contents in ((1, first), (2, second)):
        for name, data in contents.items():
            assert stored[f"attempt-0/checkpoints/epoch-{epoch:06d}/{name}"] == data
    listing = stored["attempt-0/artifacts.json"]
    assert said["sha256"] == hashlib.sha256(listing).hexdigest()
    for entry in json.loads(listing)["files"]:
        data = stored[f"attempt-0/{entry['path']}"]
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["size"], entry["sha256"])
    again = pods(volume=volume, attempt=1)
    assert again.fetch()[0] == 0
    assert [path.name for path in again.resume.iterdir()] == ["epoch-000002"]
    assert {path.name: path.read_bytes() for path in (again.resume / "epoch-000002").glob("*.bin")} == second
    assert (again.resume / "epoch-000002").is_symlink() == volume


def test_an_agent_that_is_killed_in_mid_upload_goes_on_and_sends_nothing_twice(
    pods: Pods, server: S3
) -> None:
    pod = pods()
    assert pod.fetch()[0] == 0
    pod.checkpoint(1, size=1 << 20, files=150)
    large = os.urandom(20 << 20)
    pod.artifact("model.bin", large)
    process = pod.run()
    until(lambda: len(pod.stored()) > 20)
    process.kill()
    process.wait()
    bucket = server.folder / "buckets" / "models" / pod.bucket_folder / UID / "attempt-0"
    sent = {path: path.stat().st_mtime_ns for path in bucket.rglob("state-*.bin")}
    assert len(sent) < 150
    pod.run()
    until(lambda: pod.listed() == [1])
    again = [path for path, when in sent.items() if path.stat().st_mtime_ns != when]
    # Those that were on their way when it was killed are not known to be there.
    assert len(again) <= 8
    code, said = pod.end()
    assert (code, said["uploaded"]) == (0, True)
    assert pod.stored()["attempt-0/model.bin"] == large


def unfinished(server: S3, pod: Pod) -> list[Path]:
    """Uploads in parts that were begun and neither completed nor given up."""
    folder = server.folder / "buckets" / "models" / ".sgwtmp" / "multipart"
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 1000]


def test_an_agent_that_is_killed_in_a_large_file_leaves_no_parts_behind(pods: Pods, server: S3) -> None:
    pod = pods()
    assert pod.fetch()[0] == 0
    pod.checkpoint(1, size=120 << 20, files=1)
    process = pod.run()
    until(lambda: len(unfinished(server, pod)) >= 2)
    process.kill()
    process.wait()
    assert unfinished(server, pod)
    pod.run()
    until(lambda: pod.listed() == [1])
    assert not unfinished(server, pod)
    assert pod.end()[0] == 0


def test_too_little_time_is_told_with_what_is_missing_and_the_knob(pods: Pods, server: S3) -> None:
    pod = pods(uploadSeconds=8)
    assert pod.fetch()[0] == 0
    pod.artifact("small.txt", b"x")
    with (pod.output_dir / "huge.bin").open("wb") as file:
        file.truncate(16 << 30)
    pod.run()
    # NB: a first checkpoint that arrived, so that all the seconds are for the artifacts, however busy the machine.
    pod.checkpoint(1)
    until(lambda: pod.listed() == [1])
    began = time.monotonic()
    code, said = pod.end()
    assert time.monotonic() - began < 9.5
    assert (code, said["uploaded"], said["files"]) == (1, False, 0)
    assert "spec.uploadSeconds" in said["error"]
    assert "1 of 2 files (16.0 GiB of 16.0 GiB) are not in s3://models/" in said["error"]
    assert "attempt-0/artifacts.json" not in pod.stored()


def test_a_store_that_is_away_is_waited_for_and_what_was_closed_meanwhile_comes(
    pods: Pods, server: S3
) -> None:
    pod = pods()
    assert pod.fetch()[0] == 0
    process = pod.run()
    pod.checkpoint(1)
    until(lambda: pod.listed() == [1])
    server.stop()
    try:
        pod.checkpoint(2)
        until(lambda: "cannot be reached" in pod.log())
        assert process.poll() is None
    finally:
        server.start()
    until(lambda: pod.listed() == [1, 2], seconds=40)
    assert pod.end()[1]["checkpoint"]["epoch"] == 2


def test_a_store_that_stays_away_is_told_in_a_sentence(pods: Pods, server: S3) -> None:
    pod = pods(uploadSeconds=15)
    assert pod.fetch()[0] == 0
    pod.artifact("model.bin", b"m")
    pod.run()
    time.sleep(1)
    server.stop()
    try:
        code, said = pod.end()
    finally:
        server.start()
    assert (code, said["uploaded"]) == (1, False)
    assert "cannot be reached" in said["error"]
    assert "1 of 1 files" in said["error"]


def test_credentials_that_are_refused_are_told_and_new_ones_are_taken_up(pods: Pods, server: S3) -> None:
    pod = pods()
    assert pod.fetch()[0] == 0
    secret = pod.root / "secrets" / "output" / "AWS_SECRET_ACCESS_KEY"
    secret.write_text("wrong")
    pod.run()
    pod.checkpoint(1)
    until(lambda: "refuses us" in pod.log())
    assert "check the Secret of its secretRef" in pod.log()
    secret.write_text(server.environment["AWS_SECRET_ACCESS_KEY"])
    until(lambda: pod.listed() == [1])


def test_a_bucket_that_is_not_there_is_told_as_such(
    server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "LASTING_SECONDS", 0.2)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    place = Place(uri="s3://lacking/x", endpoint=server.endpoint)
    bucket = Bucket(
        place,
        name="s3://lacking/x",
        options=lambda: credentials.options(place, tmp_path),
        patience=Patience(tolerance=60),
    )
    for ask in (bucket.names, bucket.sizes, bucket.read, lambda path: bucket.create(path, b"")):
        with pytest.raises(Trouble, match="s3://lacking/x is not there"):
            ask("claims")


def test_of_many_that_create_a_file_at_once_one_wins(
    server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    place = Place(uri="s3://models/create", endpoint=server.endpoint)
    bucket = Bucket(
        place,
        name="s3://models",
        options=lambda: credentials.options(place, tmp_path),
        patience=Patience(tolerance=5),
    )
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda number: bucket.create("claim", b"%d" % number), range(16)))
    assert won.count(True) == 1
    assert bucket.read("claim") == b"%d" % won.index(True)


def test_an_attempt_that_a_later_one_has_followed_starts_and_promotes_nothing(pods: Pods) -> None:
    old, new = pods(), pods(attempt=1)
    assert old.fetch()[0] == 0
    old.run()
    old.checkpoint(1)
    until(lambda: old.listed() == [1])
    assert new.fetch()[0] == 0
    old.checkpoint(2)
    until(lambda: "Attempt 1 of this job has begun" in old.log())
    code, said = old.end()
    assert (code, said["result"]) == (0, "superseded")
    assert old.listed() == [1]
    assert old.fetch()[0] == 11
    third = pods(attempt=2)
    assert third.fetch()[0] == 0
    assert [path.name for path in third.resume.iterdir()] == ["epoch-000001"]


class Verdicts(BaseHTTPRequestHandler):
    """The operator's word on the attempt: not known at first."""

    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.headers["Authorization"])
        said: Json = {"state": "Pending"}
        if len(type(self).asked) > 2:
            said = {"state": "Complete", "record": {"keyMetric": {"name": "accuracy", "value": "0.97"}}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize("volume", [False, True], ids=["bucket", "volume"])
def test_a_confirmed_result_is_written_once_and_nothing_is_run_again(
    pods: Pods, tmp_path: Path, volume: bool
) -> None:
    Verdicts.asked = []
    (tmp_path / "token").write_text("abc\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Verdicts) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        verdict = {
            "url": f"http://127.0.0.1:{http.server_port}/verdict",
            "caFile": str(tmp_path / "ca.crt"),
            "tokenFile": str(tmp_path / "token"),
        }
        pod = pods(volume=volume, verdict=verdict)
        assert pod.fetch()[0] == 0
        pod.run()
        pod.artifact("model.bin", b"m")
        code, said = pod.end()
        http.shutdown()
    assert (code, said["result"], set(Verdicts.asked)) == (0, "written", {"Bearer abc"})
    result = json.loads(pod.stored()["result.json"])
    assert result["record"]["keyMetric"]["value"] == "0.97"
    assert (result["attempt"], result["artifacts"]["sha256"]) == (0, said["sha256"])
    # A backup that was restored gives the job another UID, and attempts from 0.
    restored = pods(volume=volume, origins=[UID])
    restored.uid = "11111111-ceea-467f-a6d1-0c2bd0e3a9b1"
    assert restored.fetch()[0] == 10
    assert restored.message() == {"complete": True, "result": result}


def test_a_checkpoint_of_two_ranks_counts_when_both_parts_are_there(pods: Pods) -> None:
    ranks = [pods(rank=rank, ranks=2) for rank in range(2)]
    for pod in ranks:
        assert pod.fetch()[0] == 0
        pod.run()
    parts = [ranks[0].checkpoint(1, world=2)]
    until(lambda: "attempt-0/checkpoints/epoch-000001/manifest.json" in ranks[0].stored())
    time.sleep(4)
    assert ranks[0].listed() == []
    parts.append(ranks[1].checkpoint(1, world=2))
    until(lambda: ranks[0].listed() == [1])
    ranks[1].artifact("shard.bin", b"s")
    assert ranks[1].end()[1]["files"] == 1
    assert ranks[0].end()[1]["checkpoint"]["epoch"] == 1
    assert "attempt-0/rank-1/artifacts.json" in ranks[0].stored()
    for rank in range(2):
        again = pods(attempt=1, rank=rank, ranks=2)
        assert again.fetch()[0] == 0
        folder = again.resume / "epoch-000001"
        assert {path.name: path.read_bytes() for path in folder.glob("*.bin")} == parts[rank]


@pytest.mark.parametrize("volume", [False, True], ids=["bucket", "volume"])
def test_a_checkpoint_that_is_broken_in_the_store_gives_way_to_the_one_before(
    pods: Pods, server: S3, volume: bool
) -> None:
    pod = pods(volume=volume)
    assert pod.fetch()[0] == 0
    pod.run()
    for epoch in (1, 2):
        pod.checkpoint(epoch)
    until(lambda: pod.listed() == [1, 2])
    assert pod.end()[0] == 0
    top = pod.volume or server.folder / "buckets" / "models" / pod.bucket_folder
    (top / UID / "attempt-0" / "checkpoints" / "epoch-000002" / "state-1.bin").write_bytes(b"y" * 1000)
    for attempt in (1, 2):
        again = pods(volume=volume, attempt=attempt)
        code, log = again.fetch()
        assert code == 0
        assert [path.name for path in again.resume.iterdir()] == ["epoch-000001"]
        assert ("epoch 2 of attempt 0 is passed over: " in log) == (attempt == 1)


@pytest.mark.parametrize("volume", [False, True], ids=["bucket", "volume"])
def test_what_a_trainer_without_manifests_leaves_is_handed_on_as_a_whole(pods: Pods, volume: bool) -> None:
    pod = pods(volume=volume)
    assert pod.fetch()[0] == 0
    pod.run()
    pod.artifact("checkpoints/last.ckpt", b"weights")
    pod.artifact("checkpoints/old/first.ckpt", b"old")
    code, said = pod.end()
    assert (code, said["files"], said["checkpoint"]) == (0, 0, None)
    again = pods(volume=volume, attempt=1)
    assert again.fetch()[0] == 0
    assert (again.resume / "last.ckpt").read_bytes() == b"weights"
    assert (again.resume / "old" / "first.ckpt").read_bytes() == b"old"


def test_checkpoints_that_the_trainer_removed_go_from_the_bucket_but_never_the_newest(pods: Pods) -> None:
    pod = pods()
    assert pod.fetch()[0] == 0
    pod.run()
    for epoch in (1, 2, 3):
        pod.checkpoint(epoch)
        until(lambda epoch=epoch: epoch in pod.listed())
    for epoch in (1, 3):
        folder = pod.output_dir / "checkpoints" / f"epoch-{epoch:06d}"
        (folder / "manifest.json").unlink()
    until(lambda: pod.listed() == [2, 3])
    until(lambda: not any("epoch-000001" in path for path in pod.stored()))
    time.sleep(1.5)
    assert pod.listed() == [2, 3]
    assert "attempt-0/checkpoints/epoch-000003/state-0.bin" in pod.stored()
