"""`trainyard-agent share` as a process, asked over HTTP: what it gives, what it never gives, and when it ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

UID = "5f6a1c1e-0000-4000-8000-000000000001"
SOURCES = Path(__file__).parents[1] / "src"
START = "import sys; from trainyard_agent.sharing import share; sys.exit(share(sys.argv[1:]))"


@contextmanager
def shared(root: Path, *, idle: float = 30.0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    order = {
        "namespace": "team",
        "job": "resnet",
        "uid": UID,
        "attempt": 0,
        "output": {"path": str(root)},
        "store": "pvc://models",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", START, f"--port={port}", f"--idle-seconds={idle}"],
        env={**os.environ, "TRAINYARD_AGENT": json.dumps(order), "PYTHONPATH": str(SOURCES)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Sharing on 127.0.0.1")
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.communicate(timeout=20)


def get(url: str, **headers: str) -> tuple[int, bytes, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def written(root: Path, path: str, content: bytes | str) -> Path:
    file = root / UID / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_files_are_given_whole_and_from_some_byte_on(tmp_path: Path) -> None:
    content = os.urandom(9 << 20)
    written(tmp_path, "attempt-0/a table.bin", content)
    written(tmp_path, "attempt-0/empty", b"")
    with shared(tmp_path) as (url, _):
        assert get(f"{url}/files/attempt-0/a%20table.bin")[:2] == (200, content)
        status, rest, headers = get(f"{url}/files/attempt-0/a%20table.bin", Range="bytes=5000000-")
        assert (status, rest) == (206, content[5_000_000:])
        assert headers["Content-Range"] == f"bytes 5000000-{len(content) - 1}/{len(content)}"
        assert get(f"{url}/files/attempt-0/a%20table.bin", Range=f"bytes={len(content) + 1}-")[0] == 416
        assert get(f"{url}/files/attempt-0/empty")[:2] == (200, b"")
        status, said, _ = get(f"{url}/files/attempt-0/none")
        assert (status, json.loads(said)["error"]) == (
            404,
            f"pvc://models/{UID}/attempt-0/none is not there.",
        )


def test_nothing_outside_of_the_jobs_folder_is_given(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("no")
    (tmp_path / "other-job").mkdir()
    (tmp_path / "other-job/file").write_text("no")
    folder = written(tmp_path, "attempt-0/good", b"yes").parent
    (folder / "link").symlink_to(secret)
    (folder / "folder").symlink_to(tmp_path / "other-job")
    (folder / "inside").symlink_to("good")
    os.mkfifo(folder / "pipe")
    with shared(tmp_path) as (url, _):
        assert get(f"{url}/files/attempt-0/inside")[:2] == (200, b"yes"), "as the agent lists it"
        for path in (
            *("attempt-0/link", "attempt-0/folder/file", "attempt-0/pipe", "attempt-0", "attempt-0/good/x"),
            *(
                "..%2fsecret",
                "%2e%2e/secret",
                "attempt-0/%2e%2e/%2e%2e/secret",
                "/etc/passwd",
                "%2fetc%2fpasswd",
            ),
        ):
            status, said, _ = get(f"{url}/files/{path}")
            assert status in (400, 404), path
            assert said != b"no", path


def test_the_manifest_has_all_ranks_and_the_newest_attempt_that_has_what_is_asked_for(tmp_path: Path) -> None:
    written(tmp_path, "attempt-2/artifacts.json", '{"rank": 0}')
    written(tmp_path, "attempt-2/rank-1/artifacts.json", '{"rank": 1}')
    written(tmp_path, "attempt-10/checkpoints/index.json", '{"checkpoints": []}')
    written(tmp_path, "attempt-11/half", b"")
    written(tmp_path, "claims/attempt-12.json", b"{}")
    written(tmp_path, "result.json", '{"version": 1}')
    with shared(tmp_path) as (url, _):
        newest = json.loads(get(f"{url}/manifest?newest=artifacts")[1])
        assert newest == {
            "attempts": [2, 10, 11],
            "attempt": 2,
            "result": '{"version": 1}',
            "artifacts": {"0": '{"rank": 0}', "1": '{"rank": 1}'},
            "checkpoints": None,
            "whole": None,
        }
        assert json.loads(get(f"{url}/manifest?newest=checkpoints")[1])["attempt"] == 10
        assert json.loads(get(f"{url}/manifest?attempt=11")[1])["artifacts"] == {}
        assert get(f"{url}/manifest")[0] == 400


def test_a_job_that_has_stored_nothing_has_an_empty_manifest(tmp_path: Path) -> None:
    with shared(tmp_path) as (url, _):
        found = json.loads(get(f"{url}/manifest?newest=checkpoints")[1])
        assert (found["attempts"], found["attempt"]) == ([], None)


def test_it_ends_when_nobody_asks_and_stays_while_somebody_does(tmp_path: Path) -> None:
    with shared(tmp_path, idle=2.0) as (url, process):
        until = time.monotonic() + 4
        while time.monotonic() < until:
            assert get(f"{url}/alive")[0] == 200
            time.sleep(0.5)
        assert process.wait(timeout=20) == 0


def test_a_reader_that_takes_nothing_does_not_keep_it(tmp_path: Path) -> None:
    written(tmp_path, "attempt-0/big", bytes(64 << 20))
    with shared(tmp_path, idle=1.5) as (url, process):
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as reader:
            reader.sendall(b"GET /files/attempt-0/big HTTP/1.1\r\nHost: x\r\n\r\n")
            assert process.wait(timeout=20) == 0


def test_an_order_without_an_output_is_refused() -> None:
    order = {"namespace": "team", "job": "resnet", "uid": UID, "attempt": 0, "output": None}
    environment = {**os.environ, "TRAINYARD_AGENT": json.dumps(order), "PYTHONPATH": str(SOURCES)}
    ended = subprocess.run(
        [sys.executable, "-c", START], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stderr == "TrainingJob resnet has no output: there is nothing to share.\n"
