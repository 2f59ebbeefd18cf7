"""A storm over real pods, with the operator in the cluster; on fake nodes it is in tests/integration."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from tests.harness import kindcluster
from tests.harness.cluster import ClusterHandle
from tests.harness.errors import HarnessError
from tests.objects import Jobs
from tests.storm import scale, trainers
from tests.storm.engine import Storm
from tests.storm.inside import InsideReceiver

pytestmark = pytest.mark.timeout(1200)

JOBS = 6
#: NB: few, as the kubelet waits longer each time before it starts the operator again.
KILLS = 2
RESTART_SECONDS = 60.0
PATIENCE = 150.0


class InCluster:
    """The operator's process on a node; the kubelet starts it again by itself."""

    def __init__(self, handle: ClusterHandle) -> None:
        self._handle = handle

    def kill(self) -> None:
        with contextlib.suppress(HarnessError):  # it is waiting to be started again after an earlier kill
            kindcluster.kill(self._handle, "trainyard run")

    def revive(self) -> None:
        """Nothing to do."""

    def deaf_until(self, revived: float) -> float:
        return revived + RESTART_SECONDS


def test_whatever_happens_to_real_pods_every_job_ends_as_it_was_last_told_to(
    operator_installed: ClusterHandle, jobs: Jobs, python_image: str
) -> None:
    if not operator_installed.made_by_us:
        pytest.skip("the nodes of a cluster of yours are yours")
    nodes = [node["metadata"]["name"] for node in jobs.client.list("/api/v1/nodes")]
    script = scale.drawn(jobs=JOBS, nodes=len(nodes), kills=KILLS)
    # NB: as `trainers.real` makes them, and as the checks must expect them.
    plain = tuple(dataclasses.replace(job, nodes=1, output=False) for job in script.jobs)
    script = dataclasses.replace(script, jobs=plain)
    refusals = {f"/{job.name}": job.refusals for job in script.jobs}
    receiver = InsideReceiver(jobs.client, jobs.namespace, image=python_image, refusals=refusals)
    receiver.start()
    storm = Storm(
        client=jobs.client,
        namespace=jobs.namespace,
        script=script,
        victim=InCluster(operator_installed),
        nodes=nodes,
        spec_of=lambda job: trainers.real(job, url=receiver.url(f"/{job.name}"), image=python_image),
        told=receiver.told,
        patience=PATIENCE,
    )
    outcome = storm.run()
    scale.report("with real pods", outcome)
    if outcome.faults:
        pytest.fail(str(outcome), pytrace=False)
