"""Nothing is lost and nothing is doubled, wherever and whenever the operator is killed."""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import pytest

from tests.harness import operator as operators
from tests.harness import processes
from tests.harness.controlplane import ControlPlane
from tests.objects import Jobs, found
from trainyard.cluster.failpoints import PLACES, VARIABLE

pytestmark = pytest.mark.timeout(420)

JOBS = 20
SEED = 20
MESSAGE = '{"metrics": {"accuracy": 0.97}, "keyMetric": {"name": "accuracy", "value": 0.97}}'


def pods_created(plane: ControlPlane, namespace: str) -> Counter[str]:
    """Names of the pods that the operator has created, as the API server has it."""
    names: Counter[str] = Counter()
    for line in plane.audit_log.read_text().splitlines():
        event = json.loads(line)
        ref = event.get("objectRef") or {}
        if (
            event["user"]["username"] == operators.USER
            and (event["verb"], ref.get("resource"), ref.get("namespace")) == ("create", "pods", namespace)
            and event["responseStatus"]["code"] == 201
        ):
            names[ref["name"]] += 1
    return names


def test_killed_at_every_write_and_at_any_moment_each_job_runs_once(plane: ControlPlane, jobs: Jobs) -> None:
    moments = random.Random(SEED)
    jobs.create("failing", run_for="1s", exit_code=1, backoffLimit=1)
    stopped = [place for place in PLACES if "delete" in place]
    with operators.running(plane, name="first"):
        for place in stopped:
            jobs.create(place, run_for=None)
            jobs.reaches(place, "Running")
    for number, place in enumerate(PLACES):
        if place in stopped:  # a finished job whose pod holds a node is what the operator deletes a pod for
            over = {"completionTime": "2026-01-01T00:00:00Z", "phase": "Done", "reason": "Completed"}
            jobs.client.patch(f"{jobs.path('trainingjobs', place)}/status", {"status": over})
        jobs.create(f"job-{number}", run_for="1s", message=MESSAGE)
        with operators.running(
            plane, name=f"killed-{place}", environment={VARIABLE: place}, wait=False
        ) as one:
            assert processes.wait_gone(one.daemon, timeout=60), f"the operator never came to {place}"
            # NB: not known at once; its threads end after it.
            found(lambda daemon=one.daemon: processes.exit_code(daemon) == -9, what="its end by SIGKILL")
    for number in range(len(PLACES), JOBS):
        jobs.create(f"job-{number}", run_for="1s", message=MESSAGE)
        with operators.running(plane, name="killed-some-time", wait=False) as one:
            time.sleep(moments.uniform(0.8, 4.0))
            one.stop(grace=0)
    with operators.running(plane, name="last"):
        for number in range(JOBS):
            status = jobs.reaches(f"job-{number}", "Done", timeout=60)
            assert len(status["attempts"]) == 1
            assert status["keyMetric"]["display"] == "accuracy 0.97"
        status = jobs.reaches("failing", "Error", "BackoffLimitExceeded", timeout=60)
        assert (status["failures"], len(status["attempts"])) == (2, 2)
        for place in stopped:
            found(lambda job=place: not jobs.pods(job), what="the pod of a finished job to go")
        found(
            lambda: not any(pod["metadata"].get("finalizers") for pod in jobs.pods()),
            what="all pods to be released",
        )
    wanted = {*(f"job-{number}-0-0" for number in range(JOBS)), "failing-0-0", "failing-1-0"}
    assert {pod["metadata"]["name"] for pod in jobs.pods()} == wanted
    # NB: of a request whose client was killed the log need not have an answer, so a name may be missing there.
    created = pods_created(plane, jobs.namespace)
    assert created.keys() <= wanted | {f"{place}-0-0" for place in stopped}
    assert set(created.values()) == {1}, "no pod was made twice under its name"


def test_pods_that_go_while_the_operator_is_away_keep_their_verdict(plane: ControlPlane, jobs: Jobs) -> None:
    pods = f"/api/v1/namespaces/{jobs.namespace}/pods"
    with operators.running(plane, name="before"):
        jobs.create("evicted", run_for=None)
        jobs.create("finished", run_for="3s", message=MESSAGE)
        jobs.create("deleted", run_for=None)
        for name in ("evicted", "finished", "deleted"):
            jobs.reaches(name, "Running")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted-0-0"}}
    jobs.client.post(f"{pods}/evicted-0-0/eviction", eviction)
    found(
        lambda: jobs.client.get(f"{pods}/finished-0-0")["status"]["phase"] == "Succeeded",
        what="the end of finished-0-0",
    )
    # NB: stamps have whole seconds; an end in the second of the deletion is taken for the deletion's work.
    time.sleep(1.5)
    jobs.client.delete(f"{pods}/finished-0-0")
    jobs.delete("trainingjobs", "deleted")
    found(
        lambda: jobs.client.get(f"{pods}/evicted-0-0")["status"]["phase"] == "Failed",
        what="the end of evicted-0-0",
    )
    assert jobs.client.get(f"{pods}/finished-0-0")["metadata"]["deletionTimestamp"]
    with operators.running(plane, name="after"):
        done = jobs.reaches("finished", "Done")
        assert done["keyMetric"]["display"] == "accuracy 0.97"
        assert len(done["attempts"]) == 1
        found(lambda: len(jobs.status("evicted")["attempts"]) == 2, what="another attempt")
        first = jobs.status("evicted")["attempts"][0]
        assert (first["reason"], first["exitCode"]) == ("Evicted", 143)
        assert jobs.status("evicted").get("failures", 0) == 0
        # NB: the garbage collector looks for new kinds every 30 s only.
        found(lambda: not jobs.pods("deleted"), what="the pod of the deleted job to go", timeout=90)
        found(lambda: not jobs.pods("finished"), what="the deleted pod to go")
