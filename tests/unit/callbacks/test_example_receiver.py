"""The receiver in examples/quickstart takes what we sign, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.harness import processes
from trainyard.api import names
from trainyard.callbacks import cloudevent, credentials, signature
from trainyard.callbacks.sender import NoReplyError, Reply, Sender

EXAMPLE = Path(__file__).parents[3] / "examples" / "quickstart" / "15-receiver.yaml"
JOB = {
    "metadata": {"name": "digits-mlp", "namespace": "quickstart", "uid": "u-1"},
    "status": {"phase": "Done"},
}
ENTRY = {"id": "0" * 32, "event": "Completed", "sequence": 1, "time": "2026-01-02T03:04:05Z"}


@dataclass(frozen=True)
class Running:
    """The example's receiver as a process."""

    url: str
    process: subprocess.Popen[str]
    keys: tuple[bytes, ...]

    def next_line(self) -> dict[str, object]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Running]:
    objects = {one["kind"]: one for one in yaml.safe_load_all(EXAMPLE.read_text())}
    secret = objects["Secret"]
    value = secret["stringData"]["secret"]
    raw = {**secret, "data": {"secret": base64.b64encode(value.encode()).decode()}}
    (tmp_path / "secret").write_text(value + "\n")
    (tmp_path / "receiver.py").write_text(objects["ConfigMap"]["data"]["receiver.py"])
    (port,) = processes.free_ports(1)
    argv = [sys.executable, str(tmp_path / "receiver.py"), str(tmp_path / "secret"), str(port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        yield Running(f"http://127.0.0.1:{port}/", process, credentials.signing_keys(raw))
        process.kill()


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    allowed = (ipaddress.ip_network("127.0.0.0/8"),)
    one = Sender(allowed=allowed, seconds=5, threads=1, user_agent="trainyard/test")
    yield one
    await one.close()


async def sent(sender: Sender, url: str, body: bytes, headers: dict[str, str]) -> Reply:
    """The reply, once the receiver listens."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return await sender.post(url, body=body, headers=headers)
        except NoReplyError:
            assert time.monotonic() < deadline, "the receiver does not listen"
            await asyncio.sleep(0.1)


def signed(body: bytes, *keys: bytes, age: int = 0) -> dict[str, str]:
    return signature.headers(message_id=ENTRY["id"], timestamp=int(time.time()) - age, body=body, keys=keys)


async def test_it_prints_a_signed_event_once(receiver: Running, sender: Sender) -> None:
    body = cloudevent.body(JOB, ENTRY)
    for _ in range(2):
        assert (await sent(sender, receiver.url, body, signed(body, b"old key", *receiver.keys))).delivered
    forged = signed(body, b"another key")
    assert "401" in (await sent(sender, receiver.url, body, forged)).message
    assert receiver.next_line() == {
        "verified": True,
        "id": ENTRY["id"],
        "type": "dev.trainyard.trainingjob.completed",
        "job": "digits-mlp",
        "metric": None,
    }
    assert receiver.next_line() == {"verified": False}


async def test_it_refuses_what_is_unsigned_changed_or_old(receiver: Running, sender: Sender) -> None:
    body = cloudevent.body(JOB, ENTRY)
    good = signed(body, *receiver.keys)
    for headers, content in (
        ({}, body),
        (signed(body), body),
        (good, body + b" "),
        (signed(body, *receiver.keys, age=900), body),
    ):
        reply = await sent(sender, receiver.url, content, headers)
        assert "401" in reply.message


def test_the_callback_of_the_example_may_use_its_secret() -> None:
    jobs = list(yaml.safe_load_all((EXAMPLE.parent / "20-train.yaml").read_text()))
    (callback,) = jobs[0]["spec"]["callbacks"]
    objects = {one["kind"]: one for one in yaml.safe_load_all(EXAMPLE.read_text())}
    assert callback["secretRef"]["name"] == objects["Secret"]["metadata"]["name"]
    assert objects["Secret"]["metadata"]["labels"] == {names.LABEL_CALLBACK: "true"}
    assert f"//{objects['Service']['metadata']['name']}." in callback["url"]
