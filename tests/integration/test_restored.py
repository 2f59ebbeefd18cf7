"""Jobs that come back from a backup, without status and with another UID, as Velero restores them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.client import Json
from tests.objects import Jobs, found

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(120)]

STORE_UIDS = "trainyard.dev/store-uids"
OUTPUT = {"uri": "s3://models/team"}


def order_of(jobs: Jobs, pod: str) -> dict[str, Any]:
    raw = jobs.client.get(f"/api/v1/namespaces/{jobs.namespace}/pods/{pod}")
    agent = next(c for c in raw["spec"]["initContainers"] if c["name"] == "trainyard-agent")
    told = next(e["value"] for e in agent["env"] if e["name"] == "TRAINYARD_AGENT")
    return dict(json.loads(told.replace("$$", "$")))


def backup(jobs: Jobs, name: str) -> Json:
    """The object as a backup has it."""
    live = jobs.get(name)
    metadata = {key: live["metadata"][key] for key in ("name", "annotations") if key in live["metadata"]}
    return {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        "metadata": metadata,
        "spec": live["spec"],
    }


def test_a_restored_job_looks_where_it_stored_before(jobs: Jobs) -> None:
    first = jobs.create("digits", run_for=None, output=OUTPUT)["metadata"]["uid"]
    jobs.reaches("digits", "Running", "Training")
    assert jobs.get("digits")["metadata"]["annotations"][STORE_UIDS] == f"digits/{first}"
    assert order_of(jobs, "digits-0-0")["origins"] == []
    saved = backup(jobs, "digits")
    jobs.delete("trainingjobs", "digits")
    found(lambda: not jobs.pods("digits"), what="its pod to go")
    second = jobs.client.post(jobs.path("trainingjobs"), saved)["metadata"]["uid"]
    jobs.reaches("digits", "Running", "Training")
    assert order_of(jobs, "digits-0-0")["origins"] == [first]
    assert jobs.get("digits")["metadata"]["annotations"][STORE_UIDS] == f"digits/{first},{second}"


def test_one_that_is_applied_again_from_its_manifest_begins_anew(jobs: Jobs) -> None:
    jobs.create("digits", run_for=None, output=OUTPUT)
    jobs.reaches("digits", "Running", "Training")
    jobs.delete("trainingjobs", "digits")
    found(lambda: not jobs.pods("digits"), what="its pod to go")
    jobs.create("digits", run_for=None, output=OUTPUT)
    jobs.reaches("digits", "Running", "Training")
    assert order_of(jobs, "digits-0-0")["origins"] == []


def test_a_copy_of_a_live_job_does_not_take_its_results(jobs: Jobs) -> None:
    jobs.create("digits", run_for=None, output=OUTPUT)
    jobs.reaches("digits", "Running", "Training")
    copied = backup(jobs, "digits")
    other = f"{jobs.namespace}-copy"
    jobs.client.post("/api/v1/namespaces", {"metadata": {"name": other}})
    try:
        copy = Jobs(jobs.client, other)
        copy.client.post(copy.path("trainingjobs"), copied)
        copy.reaches("digits", "Running", "Training")
        assert order_of(copy, "digits-0-0")["origins"] == []
    finally:
        jobs.client.delete(f"/api/v1/namespaces/{other}")


def test_a_job_without_output_carries_no_mark(jobs: Jobs) -> None:
    jobs.create("plain", run_for=None)
    jobs.reaches("plain", "Running", "Training")
    assert STORE_UIDS not in (jobs.get("plain")["metadata"].get("annotations") or {})
