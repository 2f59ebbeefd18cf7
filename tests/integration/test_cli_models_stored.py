"""`trainyard card` and `download` of a model, through the API server to the agent that reads the store.

The node's kubelet is a server that forwards ports, as a kubelet does, to the real agent, which is a process here: that
the pod itself runs on a node is tested with real nodes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

from tests.commandline import Cli
from tests.harness import controlplane, pki
from tests.harness import operator as operators
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.models import UID, a_model, put
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(120)

CARD = "# churn, version 3\n\n| metric | value |\n|---|---|\n| accuracy | 0.93 |\n"
WEIGHTS = bytes(range(256)) * 400


class Kubelet:
    """Forwards the port of every pod to `port` of this machine."""

    def __init__(self) -> None:
        self.port = 0

    async def forward(self, request: web.Request) -> web.WebSocketResponse:
        opened = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await opened.prepare(request)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        asked = int(request.query.get("port") or request.query["ports"]).to_bytes(2, "little")
        for channel in (0, 1):
            await opened.send_bytes(bytes([channel]) + asked)

        async def back() -> None:
            while data := await reader.read(64 << 10):
                await opened.send_bytes(b"\0" + data)
            await opened.close()

        returning = asyncio.create_task(back())
        async for message in opened:
            if message.type is WSMsgType.BINARY:
                writer.write(message.data[1:])
                await writer.drain()
        returning.cancel()
        writer.close()
        return opened


@pytest.fixture(scope="module")
def kubelet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kubelet, int]]:
    pair = pki.Authority(tmp_path_factory.mktemp("pki")).server("kubelet", hosts=("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    one, ready, ends = Kubelet(), threading.Event(), asyncio.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        application = web.Application()
        application.router.add_get("/portForward/{pod:.+}", one.forward)
        runner = web.AppRunner(application, shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, listening, ssl_context=context).start()
        ready.set()
        await ends.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    yield one, listening.getsockname()[1]
    loops[0].call_soon_threadsafe(ends.set)
    thread.join(10)


@pytest.fixture(scope="module")
def plane(kubelet: tuple[Kubelet, int]) -> Iterator[ControlPlane]:
    with controlplane.running("test-cli-stored", ControlPlaneConfig(controller_manager=True)) as plane:
        operators.install(plane)
        with plane.client() as client:
            client.post("/api/v1/nodes", {"metadata": {"name": "node"}})
            status = {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet[1]}},
            }
            client.patch("/api/v1/nodes/node/status", {"status": status})
        yield plane


@pytest.fixture
def cli(plane: ControlPlane, namespace: str) -> Cli:
    return Cli(plane.admin, namespace)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """What a job and the pod that stores records have left in a claim; the job is gone."""
    attempt, cards = tmp_path / "claim" / UID / "attempt-0", tmp_path / "claim" / UID / "models"
    attempt.mkdir(parents=True)
    cards.mkdir()
    (attempt / "model.bin").write_bytes(WEIGHTS)
    entry = {"path": "model.bin", "size": len(WEIGHTS), "sha256": hashlib.sha256(WEIGHTS).hexdigest()}
    (attempt / "artifacts.json").write_text(json.dumps({"files": [entry]}))
    (cards / "churn-3.md").write_text(CARD)
    (cards / "churn-3.json").write_text('{"number": 3}')
    return tmp_path / "claim"


@pytest.fixture
def model(jobs: Jobs, store: Path) -> Json:
    """The model whose newest version that is."""
    core = f"/api/v1/namespaces/{jobs.namespace}"
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    jobs.client.post(f"{core}/persistentvolumeclaims", {"metadata": {"name": "models"}, "spec": claim})
    found(lambda: jobs.client.find(f"{core}/serviceaccounts/default"), what="an account for the pod")
    listing = (store / UID / "attempt-0/artifacts.json").read_bytes()
    described = a_model()
    described["status"]["versions"][2]["sha256"] = hashlib.sha256(listing).hexdigest()
    return put(jobs, described)


@contextmanager
def reading(jobs: Jobs, kubelet: Kubelet, store: Path) -> Iterator[None]:
    """Plays the node for the next pod that reads: the agent runs with what the pod says, on the claim's folder."""
    pods = f"/api/v1/namespaces/{jobs.namespace}/pods"
    with socket.create_server(("127.0.0.1", 0)) as free:
        kubelet.port = free.getsockname()[1]
    agents: list[subprocess.Popen[bytes]] = []

    def play() -> None:
        pod = found(lambda: next(iter(jobs.pods()), None), what="the pod that reads")
        container = pod["spec"]["containers"][0]
        order = json.loads(container["env"][0]["value"].replace("$$", "$"))
        order["output"]["path"] = str(store)
        arguments = [*container["args"], f"--port={kubelet.port}"]
        environment = {**os.environ, "TRAINYARD_AGENT": json.dumps(order)}
        agents.append(
            subprocess.Popen(
                [sys.executable, "-m", "trainyard_agent", *arguments],
                env=environment,
                stderr=subprocess.DEVNULL,
            )
        )
        name = pod["metadata"]["name"]
        target = {"apiVersion": "v1", "kind": "Node", "name": "node"}
        jobs.client.post(f"{pods}/{name}/binding", {"metadata": {"name": name}, "target": target})
        jobs.client.patch(f"{pods}/{name}/status", {"status": {"phase": "Running"}})

    playing = threading.Thread(target=play)
    playing.start()
    try:
        yield
    finally:
        playing.join(60)
        for agent in agents:
            agent.terminate()
            agent.wait(30)
        for pod in jobs.pods():
            with suppress(Exception):
                jobs.client.delete(f"{pods}/{pod['metadata']['name']}", gracePeriodSeconds=0)
        found(lambda: not jobs.pods(), what="the pod to be gone")


def test_the_card_and_the_record_are_what_is_stored(
    cli: Cli, jobs: Jobs, kubelet: tuple[Kubelet, int], store: Path, model: Json
) -> None:
    with reading(jobs, kubelet[0], store):
        result = cli("card", "model", "churn")
    assert (result.exit_code, result.stdout) == (0, CARD), result.stderr
    with reading(jobs, kubelet[0], store):
        result = cli("card", "model", "churn", "--version", "3", "--record")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"number": 3}), result.stderr
    (store / UID / "models/churn-3.md").unlink()
    with reading(jobs, kubelet[0], store):
        result = cli("card", "model", "churn")
    assert (result.exit_code, result.stdout) == (1, "")
    gone = f"Error: pvc://models/{UID}/models/churn-3.md is not there."
    assert result.stderr.splitlines()[-1] == gone


def test_a_version_is_downloaded_whole_and_not_when_it_was_changed(
    cli: Cli, jobs: Jobs, kubelet: tuple[Kubelet, int], store: Path, model: Json, tmp_path: Path
) -> None:
    with reading(jobs, kubelet[0], store):
        result = cli("download", "model", "churn", str(tmp_path / "here"))
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "here/model.bin").read_bytes() == WEIGHTS
    listing = store / UID / "attempt-0/artifacts.json"
    listing.write_text(listing.read_text() + " ")
    with reading(jobs, kubelet[0], store):
        result = cli("download", "model", "churn", str(tmp_path / "there"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "It was changed in the store; nothing was downloaded." in result.stderr
    assert not (tmp_path / "there").exists()
