"""A storm over jobs on fake nodes: whatever is done to them, every job ends as it was last told to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from tests.harness import kwok
from tests.harness import operator as operators
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator
from tests.objects import Jobs
from tests.receiver import Receiver, Say, listening
from tests.storm import scale, trainers
from tests.storm.checks import Told
from tests.storm.engine import Storm
from tests.storm.script import StormJob

pytestmark = pytest.mark.timeout(1200)

JOBS = 34
NODES = 4
SETTINGS = {
    "callbacks": {"allowedCIDRs": ["127.0.0.0/8"], "firstRetrySeconds": 0.5, "longestRetrySeconds": 4}
}
START_SECONDS = 8.0
#: The garbage collector looks for new kinds every 30 s only, and three attempts lost in a row cost 40 s.
PATIENCE = 100.0


class Killed:
    """An operator that is killed and started again, under another name each time, so that its logs stay apart."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._count = 0
        self._running: tuple[AbstractContextManager[Operator], Operator] | None = None
        self.revive(wait=True)

    def kill(self) -> None:
        assert self._running is not None
        context, operator = self._running
        operator.stop(grace=0)
        context.__exit__(None, None, None)
        self._running = None

    def revive(self, *, wait: bool = False) -> None:
        self._count += 1
        context = operators.running(self._plane, name=f"storm-{self._count}", settings=SETTINGS, wait=wait)
        self._running = (context, context.__enter__())

    def deaf_until(self, revived: float) -> float:
        return revived + START_SECONDS

    def close(self) -> None:
        if self._running is not None:
            self._running[0].__exit__(None, None, None)

    def complaints(self) -> list[str]:
        """Lines of its logs that begin a traceback."""
        logs = [self._plane.log(f"storm-{number}") for number in range(1, self._count + 1)]
        return [line for log in logs for line in log.read_text().splitlines() if "Traceback" in line]


@pytest.fixture
def operator(plane: ControlPlane) -> Iterator[Killed]:
    kwok.add_nodes(plane, NODES)
    killed = Killed(plane)
    yield killed
    killed.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as one:
        yield one


def test_whatever_happens_every_job_ends_as_it_was_last_told_to(
    plane: ControlPlane, operator: Killed, jobs: Jobs, receiver: Receiver
) -> None:
    script = scale.drawn(jobs=JOBS, nodes=NODES)
    accepted: list[Told] = []
    receiver.script = {f"/{job.name}": [*[Say(status=503)] * job.refusals, Say()] for job in script.jobs}

    def spec_of(job: StormJob) -> dict[str, object]:
        return trainers.fake(job, url=receiver.url(f"/{job.name}"))

    def told() -> list[Told]:
        refused = {f"/{job.name}": job.refusals for job in script.jobs}
        accepted.clear()
        for request in tuple(receiver.requests):
            if refused[request.path]:
                refused[request.path] -= 1
                continue
            data = request.event["data"]
            accepted.append(
                Told(job=data["name"], id=request.id, event=data["event"], sequence=data["sequence"])
            )
        return accepted

    storm = Storm(
        client=jobs.client,
        namespace=jobs.namespace,
        script=script,
        victim=operator,
        nodes=[f"fake-{number}" for number in range(NODES)],
        spec_of=spec_of,
        told=told,
        patience=PATIENCE,
    )
    begun = time.monotonic()
    outcome = storm.run()
    scale.report("on fake nodes", outcome)
    print(f"in all: {time.monotonic() - begun:.0f} s")
    if outcome.faults:
        pytest.fail(str(outcome), pytrace=False)
    assert not operator.complaints()
