"""Jobs on several nodes and a real scheduler of groups: all pods of a job are bound, or none is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import coscheduling, kwok
from tests.harness import operator as operators
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, found

pytestmark = pytest.mark.timeout(300)

GPU_NODES = 3
#: The scheduler tries a group that does not fit every few seconds; should it give that up, 30 s later.
PATIENCE = 75.0


@pytest.fixture(scope="module", autouse=True)
def operator(plane: ControlPlane) -> Iterator[None]:
    """An operator, a scheduler of groups, and three nodes of one GPU each."""
    coscheduling.start(plane)
    kwok.add_nodes(plane, GPU_NODES, gpus=1, prefix="gpu")
    with operators.running(plane, name="operator"):
        yield
        coscheduling.check(plane)


def gang(jobs: Jobs, name: str, *, nodes: int, run_for: str | None = None, **spec: Any) -> None:
    """A job of so many pods with a GPU each, for the scheduler of groups."""
    jobs.create(
        name,
        run_for=run_for,
        nodes=nodes,
        accelerator={"count": 1},
        schedulerName=coscheduling.SCHEDULER_NAME,
        **spec,
    )


def groups(jobs: Jobs) -> dict[str, Json]:
    """The PodGroups of the namespace, by name."""
    path = f"/apis/scheduling.x-k8s.io/v1alpha1/namespaces/{jobs.namespace}/podgroups"
    return {group["metadata"]["name"]: group for group in jobs.client.list(path)}


def bound(jobs: Jobs, name: str) -> int:
    """How many pods of the job have a node."""
    return sum(bool(pod["spec"].get("nodeName")) for pod in jobs.pods(name))


def holding(jobs: Jobs) -> Counter[str]:
    """How many pods of each job hold a GPU of a node, at one moment."""
    return Counter(
        pod["metadata"]["labels"]["trainyard.dev/job"]
        for pod in jobs.pods()
        if pod["spec"].get("nodeName") and pod["status"]["phase"] in ("Pending", "Running")
    )


def test_a_job_that_does_not_fit_waits_as_a_whole_while_a_smaller_one_runs(
    plane: ControlPlane, jobs: Jobs
) -> None:
    gang(jobs, "wide", nodes=4)
    status = jobs.reaches("wide", "Pending", "Unschedulable")
    assert "PodGroup wide-0 waits until there is room for all its 4 pods at once" in status["message"]
    assert groups(jobs)["wide-0"]["spec"] == {"minMember": 4}
    gang(jobs, "narrow", nodes=2, run_for="3s")
    most = 0
    while jobs.status("narrow").get("phase") not in ("Done", "Error"):
        most = max(most, bound(jobs, "wide"))
        time.sleep(0.1)
    jobs.reaches("narrow", "Done", "Completed")
    assert most == 0
    assert len(jobs.pods("wide")) == 4
    kwok.add_nodes(plane, GPU_NODES + 1, gpus=1, prefix="gpu")
    jobs.reaches("wide", "Running", "Training", timeout=PATIENCE)
    assert bound(jobs, "wide") == 4
    assert {pod["spec"]["nodeName"] for pod in jobs.pods("wide")} == {f"gpu-{n}" for n in range(4)}


def test_two_jobs_that_do_not_fit_together_are_never_bound_half_and_half(
    plane: ControlPlane, jobs: Jobs
) -> None:
    kwok.add_nodes(plane, GPU_NODES + 1, gpus=1, prefix="gpu")
    for name in ("one", "two"):
        gang(jobs, name, nodes=3, run_for="4s")
    seen: list[Counter[str]] = []

    def both_done() -> bool:
        seen.append(holding(jobs))
        return all(jobs.status(name).get("phase") == "Done" for name in ("one", "two"))

    found(both_done, what="both to be done", timeout=PATIENCE + 20)
    assert {max(held[name] for held in seen) for name in ("one", "two")} == {3}
    first, second = sorted(("one", "two"), key=lambda name: [held[name] == 3 for held in seen].index(True))
    # NB: with one pod of the first left, there is room for the three of the second.
    assert [held for held in seen if held[first] > 1 and held[second]] == []


def test_every_attempt_has_a_group_of_its_own_and_leaves_none_behind(jobs: Jobs) -> None:
    gang(jobs, "again", nodes=2, backoffLimit=1)
    jobs.reaches("again", "Running", "Training", timeout=PATIENCE)
    assert set(groups(jobs)) == {"again-0"}
    jobs.client.delete(f"/api/v1/namespaces/{jobs.namespace}/pods/again-0-1")
    found(lambda: set(groups(jobs)) == {"again-1"}, what="the next attempt's group alone", timeout=PATIENCE)
    jobs.reaches("again", "Running", "Training", timeout=PATIENCE)
    labels = {pod["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"] for pod in jobs.pods("again")}
    assert "again-1" in labels
    jobs.delete("trainingjobs", "again")
    found(lambda: not groups(jobs), what="the group to go with its job", timeout=60)


def test_a_cluster_without_the_schedulers_groups_is_told_of(jobs: Jobs) -> None:
    jobs.create("volcanic", nodes=2, schedulerName="volcano")
    status = jobs.reaches("volcanic", "Pending", "Unschedulable")
    assert "PodGroup of scheduling.volcano.sh/v1beta1 is not served by this cluster" in status["message"]
    assert "Install the scheduler" in status["message"]
    assert jobs.pods("volcanic") == []
