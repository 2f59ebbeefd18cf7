"""What the operator costs the API server and its node: counted, not estimated."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import operator as operators
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator
from tests.objects import Jobs

pytestmark = pytest.mark.timeout(180)

JOBS = 10


@pytest.fixture
def counted(plane: ControlPlane, namespace: str) -> Iterator[Operator]:
    """An operator that serves this test's namespace only."""
    settings = {"namespaces": [namespace], "progress": {"enabled": False}}
    with operators.running(plane, name="counted", settings=settings) as operator:
        yield operator


def requests(audit_log: Path, *, user: str) -> Counter[tuple[str, str]]:
    """Finished requests of a user by (verb, resource); watches are open and are not among them."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in audit_log.read_text().splitlines():
        event = json.loads(line)
        if (
            event["user"]["username"] == user
            and event["stage"] == "ResponseComplete"
            and event["verb"] != "watch"
        ):
            ref = event.get("objectRef") or {}
            resource = "/".join(part for part in (ref.get("resource"), ref.get("subresource")) if part)
            counts[event["verb"], resource] += 1
    return counts


def test_a_one_pod_job_costs_one_post_and_three_patches_and_no_read_besides_two_events(
    plane: ControlPlane, counted: Operator, jobs: Jobs
) -> None:
    time.sleep(2)  # kopf's own lists at the start
    before = requests(plane.audit_log, user=operators.USER)
    for number in range(JOBS):
        jobs.create(f"job-{number}", run_for="2s")
    for number in range(JOBS):
        jobs.reaches(f"job-{number}", "Done")
    time.sleep(4)  # whatever might come late
    spent = requests(plane.audit_log, user=operators.USER) - before
    events = spent.pop(("create", "events"), 0)
    assert spent == {
        ("create", "pods"): JOBS,
        ("patch", "trainingjobs/status"): 2 * JOBS,  # Running and the verdict
        ("patch", "pods"): JOBS,  # the finalizer
    }
    assert events == 2 * JOBS


def test_an_idle_operator_holds_less_than_100_mib(counted: Operator) -> None:
    time.sleep(60)
    assert counted.pss_mib() < 100
