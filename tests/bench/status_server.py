"""What the status server costs the operator: the CPU of its process while pods post 100 lines a second.

Separate because it is a measurement, not a test: the machine decides. Run as `python -m tests.bench.status_server`.
Status writes are kept out of it (once an hour): they cost the same however a line has come.
"""

from __future__ import annotations

import os
import time
import uuid

from tests.harness import controlplane, kwok
from tests.harness import operator as operators
from tests.harness.client import Client
from tests.harness.controlplane_commands import ControlPlaneConfig
from tests.harness.operator import Operator
from tests.integration.posting import Post
from tests.objects import Jobs

PODS, LINES_A_SECOND, SECONDS = 20, 100, 20
LINE = {
    "epoch": 5,
    "max_epoch": 40,
    "step": 225,
    "max_step": 1800,
    "eta": "0:00:03",
    "status": "RUNNING",
    "kpi": {"training_loss": 0.1817953, "validation_loss": 0.3019691, "accuracy": 0.9444444},
}


def main() -> None:
    """One line for each way to send."""
    config = ControlPlaneConfig(controller_manager=True, scheduler=True)
    settings = {"progress": {"intervalSeconds": 3600}}
    with controlplane.running(f"bench-{os.getpid()}", config) as plane:
        operators.install(plane)
        kwok.start(plane)
        kwok.add_nodes(plane, 1)
        with plane.client() as client, operators.running(plane, name="bench", settings=settings) as operator:
            pods = training_pods(client)
            idle = cpu_share(operator, [], lines=1)
            print(f"idle: {idle:.2%} of a core")
            for lines in (1, 10, 100):
                share = cpu_share(operator, pods, lines=lines) - idle
                print(f"{LINES_A_SECOND} lines/s from {PODS} pods, {lines} a request: {share:.2%} of a core")


def training_pods(client: Client) -> list[Post]:
    """Pods that run for ever, each with a connection that is kept."""
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    client.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    jobs = Jobs(client, namespace)
    names = [f"job-{number}" for number in range(PODS)]
    for name in names:
        jobs.create(name, run_for=None)
    for name in names:
        jobs.reaches(name, "Running")
    return [Post.of(client, namespace, name) for name in names]


def cpu_share(operator: Operator, pods: list[Post], *, lines: int) -> float:
    """CPU seconds a second of the operator's process while the pods post by turns, or while nobody does."""
    for post in pods:
        post.send([LINE])
    began, used = time.monotonic(), cpu_seconds(operator)
    sent = 0
    while (now := time.monotonic()) < began + SECONDS:
        if pods and sent < (now - began) * LINES_A_SECOND / lines:
            answer = pods[sent % len(pods)].send([LINE] * lines)
            assert answer.status == 200, answer
            sent += 1
        else:
            time.sleep(0.002)
    return (cpu_seconds(operator) - used) / (time.monotonic() - began)


def cpu_seconds(operator: Operator) -> float:
    """User and system time of the process so far."""
    with open(f"/proc/{operator.daemon.pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
