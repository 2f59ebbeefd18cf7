"""A log that the kubelet rotates, and a kubelet that restarts, while the operator follows it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from tests.e2e.test_life_of_a_pod import own
from tests.harness import chart, kindcluster
from tests.harness.cluster import ClusterHandle
from tests.harness.kubectl import Kubectl
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(400)

LINES = 12_000
PRINT = f"""
import json, time
for number in range({LINES}):
    print("line", number, "x" * 80)
    if number % 1000 == 999:
        print(json.dumps({{"epoch": (number + 1) // 1000, "max_epoch": {LINES // 1000}, "status": "RUNNING"}}))
    if number % 100 == 99:
        time.sleep(0.4)
"""


@pytest.fixture
def small_logs(operator_installed: ClusterHandle) -> Iterator[None]:
    """Nodes whose kubelets rotate logs at 200 KB, which those of production do at 10 MiB."""
    if not operator_installed.made_by_us:
        pytest.skip("the nodes of a cluster of yours are yours")
    small = "containerLogMaxSize: 200Ki\ncontainerLogMonitorInterval: 3s\ncontainerLogMaxFiles: 3\n"
    config = "/var/lib/kubelet/config.yaml"
    kindcluster.run_on_nodes(operator_installed, f"cp {config} {config}.before; printf '{small}' >> {config}")
    kindcluster.run_on_nodes(operator_installed, "systemctl restart kubelet")
    yield
    kindcluster.run_on_nodes(operator_installed, f"mv {config}.before {config}; systemctl restart kubelet")


def stored(kubectl: Kubectl, jobs: Jobs, name: str) -> list[str]:
    uid = jobs.get(name)["metadata"]["uid"]
    words = [
        "trainyard",
        "stored-log",
        f"--namespace={jobs.namespace}",
        f"--uid={uid}",
        "--attempt=0",
        "--rank=0",
    ]
    where = ["exec", f"--namespace={chart.NAMESPACE}", "deployment/trainyard", "--"]
    return kubectl.run(*where, *words).splitlines()


def test_a_log_that_is_rotated_and_cut_has_each_line_once_or_a_mark(
    small_logs: None, operator_installed: ClusterHandle, jobs: Jobs, kubectl: Kubectl, python_image: str
) -> None:
    own(jobs, "chatty", python_image, PRINT)
    found(
        lambda: (jobs.status("chatty").get("progress") or {}).get("epoch", 0) >= 4,
        what="epoch 4",
        timeout=120,
    )
    kindcluster.run_on_nodes(operator_installed, "systemctl restart kubelet")
    status = jobs.reaches("chatty", "Done", timeout=200)
    assert status["progress"]["summary"] == "12/12"
    log = stored(kubectl, jobs, "chatty")
    numbers = [int(match[1]) for line in log if (match := re.search(r" line (\d+) x", line))]
    gaps = [line for line in log if "[trainyard] gap: lines between" in line]
    jumps = sum(after != before + 1 for before, after in itertools.pairwise(numbers))
    assert numbers == sorted(set(numbers)), "none comes twice"
    assert (numbers[0], numbers[-1]) == (0, LINES - 1)
    assert jumps <= len(gaps), f"{jumps} jumps and {gaps}"
    hint = "is this machine out of inotify instances (fs.inotify.max_user_instances)?"
    # NB: while a kubelet is away for some seconds, files go that were rotated meanwhile; without inotify nearly all do.
    assert len(numbers) > LINES * 0.4, f"{hint} {gaps}"
