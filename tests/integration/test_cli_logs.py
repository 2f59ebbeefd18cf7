"""Where `trainyard logs` reads, on a real API server whose node is a kubelet that knows one log."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.commandline import Cli, a_status, kept
from tests.harness import controlplane, pki
from tests.harness import operator as operators
from tests.harness.controlplane import ControlPlane
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.objects import Jobs, found
from trainyard.logs.store import LogStore

pytestmark = pytest.mark.timeout(120)

BEGAN = "2025-03-09T07:05:00Z"


class Kubelet(BaseHTTPRequestHandler):
    """What is left of a log after a rotation."""

    def do_GET(self) -> None:
        body = b"2025-03-09T07:09:00Z last\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture(scope="module")
def kubelet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    pair = pki.Authority(tmp_path_factory.mktemp("pki")).server("kubelet", hosts=("127.0.0.1",))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kubelet)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def plane(kubelet: int) -> Iterator[ControlPlane]:
    with controlplane.running("test-cli-logs", ControlPlaneConfig(controller_manager=True)) as plane:
        operators.install(plane)
        with plane.client() as client:
            client.post("/api/v1/nodes", {"metadata": {"name": "node"}})
            status = {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet}},
            }
            client.patch("/api/v1/nodes/node/status", {"status": status})
        yield plane


@pytest.fixture
def cli(plane: ControlPlane, namespace: str) -> Cli:
    return Cli(plane.admin, namespace)


def a_job_with_a_pod(jobs: Jobs, folder: Path | None, *, ended: bool) -> None:
    """A job at its first attempt, and its pod; its logs are kept in `folder`, in none without one."""
    uid = jobs.create("resnet")["metadata"]["uid"]
    attempt = {"number": 0, "startTime": BEGAN} | ({"completionTime": BEGAN} if ended else {})
    logs = {} if folder is None else {"logs": f"{folder.as_uri()}/{jobs.namespace}/{uid}/"}
    phase, reason = ("Done", "Completed") if ended else ("Running", "Training")
    a_status(jobs, "resnet", phase, reason, attempts=[attempt], startTime=BEGAN, **logs)
    labels = {"attempt": "0", "rank": "0", "job-uid": uid}
    state = {"startedAt": BEGAN} | ({"exitCode": 0, "finishedAt": BEGAN} if ended else {})
    container = {"name": "trainer", "image": "i", "imageID": "i", "ready": True, "restartCount": 0}
    path = f"/api/v1/namespaces/{jobs.namespace}/pods"
    account = f"/api/v1/namespaces/{jobs.namespace}/serviceaccounts/default"
    found(lambda: jobs.client.find(account), what="an account for the pod")
    jobs.client.post(
        path,
        {
            "metadata": {
                "name": "resnet-0-0",
                "labels": {f"trainyard.dev/{k}": v for k, v in labels.items()},
            },
            "spec": {
                "nodeName": "node",
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "containers": [{"name": "trainer", "image": "i"}],
            },
        },
    )
    status = {
        "phase": "Succeeded" if ended else "Running",
        "containerStatuses": [{**container, "state": {"terminated" if ended else "running": state}}],
    }
    jobs.client.patch(f"{path}/resnet-0-0/status", {"status": status})


def test_the_log_of_a_pod_that_has_ended_is_the_whole_one_that_is_kept(
    cli: Cli, jobs: Jobs, tmp_path: Path
) -> None:
    a_job_with_a_pod(jobs, tmp_path, ended=True)
    kept(tmp_path, jobs, "resnet", ["first", "last"])
    for options in ([], ["-f"], ["--from", "store"]):
        result = cli("logs", "resnet", *options)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "first\nlast\n", ""), options
    assert cli("logs", "resnet", "--from", "pod").stdout == "last\n"


def test_a_pod_that_has_ended_is_read_where_nothing_is_kept_of_it(
    cli: Cli, jobs: Jobs, tmp_path: Path
) -> None:
    a_job_with_a_pod(jobs, tmp_path, ended=True)
    result = cli("logs", "resnet")
    assert (result.exit_code, result.stdout) == (0, "last\n")
    assert result.stderr.startswith(
        f"The first line is of 2025-03-09T07:09:00Z and the container began at {BEGAN}: its node may have rotated "
        "lines away. What is kept cannot be read: The log is kept by the operator, and no pod of it runs"
    )
    refused = cli("logs", "resnet", "--from", "store")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: The log is kept by the operator, and no pod of it runs")


def test_a_pod_that_runs_is_read_itself_and_points_at_the_store_for_what_was_rotated_away(
    cli: Cli, jobs: Jobs, tmp_path: Path
) -> None:
    a_job_with_a_pod(jobs, tmp_path, ended=False)
    kept(tmp_path, jobs, "resnet", ["first", "last"])
    result = cli("logs", "resnet")
    assert (result.exit_code, result.stdout) == (0, "last\n")
    assert result.stderr == (
        f"The first line is of 2025-03-09T07:09:00Z and the container began at {BEGAN}: its node may have rotated "
        "lines away. `trainyard logs resnet --from store` has them.\n"
    )
    assert cli("logs", "resnet", "--from", "store").stdout == "first\nlast\n"
    part = cli("logs", "resnet", "--tail", "1")
    assert (part.stdout, part.stderr) == ("last\n", "")


def test_says_that_no_log_was_kept_where_none_ever_was(cli: Cli, jobs: Jobs) -> None:
    a_job_with_a_pod(jobs, None, ended=True)
    assert cli("logs", "resnet").stdout == "last\n"
    result = cli("logs", "resnet", "--from", "store")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: No log of resnet was kept: settings.logs.follow of the operator is off, or was when the job ran.\n"
    )


def test_a_pod_that_is_gone_is_not_read(cli: Cli, jobs: Jobs, tmp_path: Path) -> None:
    jobs.create("resnet")
    a_status(
        jobs, "resnet", "Done", "Completed", attempts=[{"number": 0, "startTime": BEGAN}], startTime=BEGAN
    )
    result = cli("logs", "resnet", "--from", "pod")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: The pod of attempt 0 of resnet is gone; `--from store` prints what is kept of its log.\n"
    )


def test_a_rank_that_the_job_does_not_have_is_refused(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet", nodes=2)
    result = cli("logs", "resnet", "--rank", "2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: TrainingJob resnet has no rank 2; its highest is 1 (spec.nodes: 2).\n"


def test_a_paused_job_is_followed_though_what_is_kept_cannot_be_read(
    cli: Cli, jobs: Jobs, tmp_path: Path
) -> None:
    uid = jobs.create("resnet", suspend=True)["metadata"]["uid"]
    attempts = [{"number": 0, "startTime": BEGAN, "completionTime": BEGAN}]
    where = f"{tmp_path.as_uri()}/{jobs.namespace}/{uid}/"
    a_status(jobs, "resnet", "Pending", "Paused", attempts=attempts, startTime=BEGAN, logs=where)
    assert cli("logs", "resnet").exit_code == 1
    ends = threading.Timer(3, a_status, (jobs, "resnet", "Canceled", "CanceledByUser"))
    ends.start()
    result = cli("logs", "resnet", "-f")
    ends.join()
    assert (result.exit_code, result.stdout) == (0, "")
    told = result.stderr.splitlines()
    assert told[0].startswith(
        "The log of attempt 0 of resnet cannot be shown: The log is kept by the operator"
    )
    assert told[0].endswith(" The next attempt is followed.")
    assert told[1].startswith("Waiting for resnet to start. Pending Paused: ")


def test_what_is_kept_cannot_be_followed(cli: Cli) -> None:
    result = cli("logs", "resnet", "-f", "--from", "store")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: --from store is what is kept so far; take it without --follow.\n",
    )


def test_the_logs_of_all_ranks_are_told_apart(cli: Cli, jobs: Jobs, tmp_path: Path) -> None:
    uid = jobs.create("resnet", nodes=3)["metadata"]["uid"]
    store = LogStore(tmp_path.as_uri())
    for rank, lines in enumerate(([b"led", b"done"], [b"followed"])):
        file = store.file(namespace=jobs.namespace, uid=uid, attempt=0, rank=rank)
        file.append((BEGAN.encode(), line) for line in lines)
        asyncio.run(store.flush([file]))
    attempts = [
        {"number": 0, "startTime": BEGAN, "completionTime": BEGAN, "rank": 1, "reason": "TrainerFailed"}
    ]
    where = f"{tmp_path.as_uri()}/{jobs.namespace}/{uid}/"
    a_status(jobs, "resnet", "Error", "TrainerFailed", attempts=attempts, startTime=BEGAN, logs=where)
    assert cli("logs", "resnet").stdout == "led\ndone\n"
    assert cli("logs", "resnet", "--rank", "1").stdout == "followed\n"
    result = cli("logs", "resnet", "--all-ranks")
    assert (result.exit_code, result.stdout) == (1, "[0] led\n[0] done\n[1] followed\n")
    missing, last = result.stderr.splitlines()
    assert missing.startswith("Rank 2: The log is kept by the operator")
    assert last == "Error: The logs of 1 of 3 ranks could not be printed."
    tail = cli("logs", "resnet", "--all-ranks", "--tail", "1", "--timestamps")
    assert tail.stdout == f"[0] {BEGAN} done\n[1] {BEGAN} followed\n"
    shown = cli("get", "resnet").stdout
    titles, row = (line.split() for line in shown.splitlines() if line.startswith(("ATTEMPT", "0 ")))
    assert (titles[-1], row[-1]) == ("RANK", "1")


def test_all_ranks_and_one_are_not_asked_for_at_once(cli: Cli) -> None:
    result = cli("logs", "resnet", "--all-ranks", "--rank", "0")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: --all-ranks is every rank; take it without --rank.\n",
    )


def test_all_ranks_of_a_job_are_followed_until_it_ends(cli: Cli, jobs: Jobs) -> None:
    jobs.create("resnet", nodes=2)
    ends = threading.Timer(2, a_status, (jobs, "resnet", "Canceled", "CanceledByUser"))
    ends.start()
    result = cli("logs", "resnet", "-f", "--all-ranks")
    ends.join()
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.count("Waiting for resnet to start.") == 1, "not once a rank"
