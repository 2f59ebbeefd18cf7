"""`trainyard-agent receive` as a process, spoken to over HTTP: what it keeps, refuses, finds again, and publishes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).parents[1] / "src"
START = "import sys; from trainyard_agent.intake import receive; sys.exit(receive(sys.argv[1:]))"
TOKEN = "a-token-of-32-random-bytes"
PART = 8 << 20


class Receiver:
    """One that runs, and what it is asked."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.process = process

    def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = TOKEN
    ) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                said = error.read()
                return error.code, json.loads(said) if said.startswith(b"{") else {"error": said.decode()}

    def files(self) -> dict[str, str]:
        request = urllib.request.Request(f"{self.url}/files", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            lines = [json.loads(line) for line in answer.read().splitlines()]
        return {line["path"]: line["sha256"] for line in lines}

    def send(self, files: dict[str, bytes]) -> dict[str, str]:
        """Whole, in one request; gives what it finds wrong."""
        pieces = [piece(path, data, number) for path, data in files.items() for number in parts(data)]
        status, said = self.ask("POST", "/pieces", b"".join(pieces))
        assert status == 200, said
        return dict(said["problems"])

    def finish(self, files: dict[str, bytes], /, **more: Any) -> tuple[int, dict[str, Any]]:
        said = {
            "sha256": digest_of(files),
            "bytes": sum(map(len, files.values())),
            "files": len(files),
            **more,
        }
        while (found := self.ask("POST", "/finish", said))[0] == 202:
            time.sleep(0.1)
        return found


@contextmanager
def receiving(volume: Path, *, idle: float = 30.0) -> Iterator[Receiver]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    task = {
        "dataset": "digits",
        "volume": str(volume),
        "tokenSha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", START, f"--port={port}", f"--idle-seconds={idle}"],
        env={**os.environ, "TRAINYARD_RECEIVE": json.dumps(task), "PYTHONPATH": str(SOURCES)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Receiving on 127.0.0.1")
        yield Receiver(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of(files: dict[str, bytes]) -> str:
    if len(files) == 1:
        return sha256(*files.values())
    return sha256(b"".join(sorted(f"{sha256(data)}  {path}\n".encode() for path, data in files.items())))


def parts(data: bytes) -> range:
    return range(max(1, -(-len(data) // PART)))


def piece(path: str, data: bytes, number: int = 0, **more: Any) -> bytes:
    content = data[number * PART : (number + 1) * PART]
    said = {"path": path, "size": len(data), "sha256": sha256(data), "offset": number * PART}
    head = json.dumps({**said, "length": len(content), **more}).encode()
    return len(head).to_bytes(4, "big") + head + content


def published(volume: Path) -> dict[str, bytes]:
    top = volume / "data"
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}


SMALL = {"train/a.csv": b"x,y\n1,2\n", "train/größe 1.csv": b"x,y\n", "empty": b""}


def test_files_small_empty_and_large_are_published_at_once_and_nothing_is_left_beside(tmp_path: Path) -> None:
    files = {**SMALL, "big.bin": os.urandom(2 * PART + 5), "a part.bin": os.urandom(PART)}
    with receiving(tmp_path) as receiver:
        assert receiver.send(files) == {}
        assert not (tmp_path / "data").exists(), "nobody sees it before the end"
        status, said = receiver.finish(files)
        expected = {
            "sha256": digest_of(files),
            "bytes": sum(map(len, files.values())),
            "files": len(files),
        }
        assert (status, said) == (200, {"listing": digest_of(files), **expected})
        assert published(tmp_path) == files
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "published.json"]
        assert receiver.ask("GET", "/state")[1]["published"] == said
        assert receiver.finish(files) == (200, said), "asked again, it says the same"
        status, refused = receiver.ask("POST", "/pieces", piece("more", b"x"))
        assert (status, refused["error"]) == (409, "What was pushed of Dataset digits is published already.")
    with receiving(tmp_path) as receiver:
        assert receiver.finish(files) == (200, said), "also after a restart"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "published.json"]


def test_parts_of_a_large_file_come_in_any_order_and_at_the_same_time(tmp_path: Path) -> None:
    data = os.urandom(5 * PART + 1)
    with receiving(tmp_path) as receiver:

        def send(number: int) -> int:
            return receiver.ask("POST", "/pieces", piece("big.bin", data, number))[0]

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(send, reversed(parts(data)))) == {200}
        assert send(3) == 200, "sent again, as its answer was lost"
        assert receiver.finish({"big.bin": data})[0] == 200
    assert published(tmp_path) == {"big.bin": data}


@pytest.mark.parametrize("killed", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to end"])
def test_what_an_earlier_pod_received_is_there_for_the_next(tmp_path: Path, killed: signal.Signals) -> None:
    data = os.urandom(4 * PART)
    with receiving(tmp_path) as receiver:
        receiver.send(SMALL)
        for number in (0, 2):
            receiver.ask("POST", "/pieces", piece("big.bin", data, number))
        receiver.process.send_signal(killed)
        receiver.process.wait(timeout=20)
    with receiving(tmp_path) as receiver:
        assert receiver.files() == {path: sha256(content) for path, content in SMALL.items()}
        (growing,) = receiver.ask("GET", "/state")[1]["growing"]
        assert growing == {"path": "big.bin", "size": len(data), "sha256": sha256(data), "done": [0, 2]}
        for number in (1, 3):
            receiver.ask("POST", "/pieces", piece("big.bin", data, number))
        assert receiver.finish({**SMALL, "big.bin": data})[0] == 200
    assert published(tmp_path) == {**SMALL, "big.bin": data}


def test_what_is_damaged_on_the_way_is_not_kept_and_is_told(tmp_path: Path) -> None:
    data = os.urandom(2 * PART)
    with receiving(tmp_path) as receiver:
        wrong = piece("a.csv", b"right")[:-5] + b"wrong"
        assert list(receiver.ask("POST", "/pieces", wrong + piece("b.csv", b"b"))[1]["problems"]) == ["a.csv"]
        assert list(receiver.files()) == ["b.csv"]
        receiver.ask("POST", "/pieces", piece("big.bin", data, 0)[:-1] + b"?")
        receiver.ask("POST", "/pieces", piece("big.bin", data, 1))
        files = {"b.csv": b"b", "big.bin": data}
        status, said = receiver.finish(files)
        assert (status, list(said["broken"])) == (200, ["big.bin"])
        assert receiver.ask("GET", "/state")[1]["growing"] == []
        receiver.send({"big.bin": data})
        assert receiver.finish(files)[0] == 200
    assert published(tmp_path) == files


def test_what_a_crash_of_the_node_has_damaged_is_not_taken_for_arrived(tmp_path: Path) -> None:
    with receiving(tmp_path) as receiver:
        receiver.send({"a": b"aaaa", "b": b"bbbb", "sub/c": b"cccc"})
    folder = tmp_path / ".upload"
    (folder / "files/a").write_bytes(b"")
    (folder / "files/sub/c").unlink()
    (folder / "files/stranger").write_bytes(b"x")
    with (folder / "journal").open("ab") as journal:
        journal.write(b'{"path": "cut')
    with receiving(tmp_path) as receiver:
        assert list(receiver.files()) == ["b"]
        receiver.send({"d": b"d"})
    with receiving(tmp_path) as receiver:
        files = {"b": b"bbbb", "d": b"d"}
        assert receiver.finish(files)[0] == 200
    assert published(tmp_path) == files


def test_what_arrived_before_the_node_was_started_again_is_read_again(tmp_path: Path) -> None:
    files = {"a": b"aaaa", "b": b"bbbb"}
    with receiving(tmp_path) as receiver:
        receiver.send(files)
    folder = tmp_path / ".upload"
    (folder / "files/a").write_bytes(bytes(4))
    lines = [line for line in (folder / "journal").read_bytes().splitlines() if b'"boot"' not in line]
    (folder / "journal").write_bytes(b"\n".join([*lines, b""]))
    with receiving(tmp_path) as receiver:
        receiver.send(files | {"c": b"cccc"})
        while (answer := receiver.finish(files | {"c": b"cccc"}))[1].get("broken"):
            assert list(answer[1]["broken"]) == ["a"]
            receiver.send({"a": b"aaaa"})
        assert answer[0] == 200
    assert published(tmp_path) == {**files, "c": b"cccc"}


def test_files_that_do_not_belong_to_it_any_more_are_removed(tmp_path: Path) -> None:
    with receiving(tmp_path) as receiver:
        receiver.send({"a": b"1", "old/deep/b": b"2", "c": b"3"})
        receiver.ask("POST", "/pieces", piece("half.bin", os.urandom(3 * PART), 1))
        assert receiver.ask("POST", "/remove", {"paths": ["c", "old/deep/b", "half.bin", "never"]})[0] == 200
        assert receiver.ask("GET", "/state")[1]["growing"] == []
        # A folder where a file was, and the other way round.
        files = {"a": b"1", "old": b"file", "c/d": b"4"}
        assert receiver.send({"old": b"file", "c/d": b"4"}) == {}
        assert receiver.finish(files)[0] == 200
    assert published(tmp_path) == files


def test_nothing_is_published_that_is_not_what_was_promised(tmp_path: Path) -> None:
    with receiving(tmp_path) as receiver:
        receiver.send({"a": b"1"})
        for wrong in ({"files": 2}, {"bytes": 0}, {"sha256": "0" * 64}):
            status, said = receiver.finish({"a": b"1"}, **wrong)
            assert status == 409
            assert "1 files with 1 bytes have come" in said["error"]
            assert not (tmp_path / "data").exists()
        assert receiver.finish({"a": b"1"})[0] == 200


def test_a_name_that_leaves_the_folder_or_is_none_is_refused(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    with receiving(volume) as receiver:
        for path in ("../a", "/etc/passwd", "a//b", "a/../../b", "", "a\nb", "x" * 256, "a/./b"):
            status, said = receiver.ask("POST", "/pieces", piece(path, b"x"))
            assert (status, said["error"].startswith("The name ")) == (422, True), path
            assert receiver.ask("POST", "/remove", {"paths": [path]})[0] == 422, path
    assert [one.name for one in tmp_path.iterdir()] == ["volume"]


def test_a_piece_that_is_none_is_refused(tmp_path: Path) -> None:
    with receiving(tmp_path) as receiver:
        for what, body in {
            "a huge head": b"\xff\xff\xff\xff{}",
            "an empty head": b"\0\0\0\2{}",
            "an odd offset": piece("a", b"xx", offset=1),
            "a negative offset": piece("a", b"xx", offset=-PART),
            "an odd length": piece("a", b"xx", length=1),
            "a huge size": piece("a", b"xx", size=1 << 60),
        }.items():
            assert receiver.ask("POST", "/pieces", body)[0] == 400, what
        assert receiver.files() == {}


def test_nobody_without_the_token_is_let_in(tmp_path: Path) -> None:
    with receiving(tmp_path) as receiver:
        for method, path in (("GET", "/state"), ("GET", "/files"), ("POST", "/pieces"), ("POST", "/finish")):
            body = piece("a", b"x") if method == "POST" else None
            for token in (None, "", "another"):
                assert receiver.ask(method, path, body, token=token)[0] == 401
        assert receiver.files() == {}


def test_one_archive_is_unpacked(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, data in SMALL.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    files = {"digits.tar.gz": packed.getvalue()}
    with receiving(tmp_path) as receiver:
        receiver.send(files)
        status, said = receiver.finish(files, unpack=True)
        assert (status, said["files"], said["sha256"]) == (200, len(SMALL), digest_of(SMALL))
        assert said["listing"] == digest_of(files)
    assert published(tmp_path) == SMALL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "published.json"]


def test_it_ends_when_nobody_sends_and_stays_while_somebody_does(tmp_path: Path) -> None:
    with receiving(tmp_path, idle=2.0) as receiver:
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert receiver.ask("GET", "/state")[0] == 200
            time.sleep(0.5)
        assert receiver.process.wait(timeout=20) == 0


def test_a_pod_that_is_not_told_what_it_receives_ends(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    ended = subprocess.run(
        [sys.executable, "-c", START], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (
        1,
        "TRAINYARD_RECEIVE does not say what is received; `trainyard push dataset` sets it.\n",
    )
