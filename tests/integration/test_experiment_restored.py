"""Experiments that come back with another UID, and the jobs that are left of the one before."""

from __future__ import annotations

import time

import pytest

from tests.harness.client import Json
from tests.integration.experiments import Experiments, owners, step, uids
from tests.objects import found, manifest

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(180)]

CHAIN = [step("train"), step("prune", "train")]
UID = "trainyard.dev/experiment-uid"
SETTLED_SECONDS = 3.0


def come_back(experiments: Experiments, name: str, **changed: object) -> str:
    """It is deleted, its jobs are orphaned, and it is applied again; its UID."""
    before = experiments.experiment(name)
    path = experiments.path("experiments", name)
    experiments.client.delete(path, propagationPolicy="Orphan")
    found(lambda: experiments.client.find(path) is None, what=f"{name} to go")
    return again(experiments, before, **changed)


def again(experiments: Experiments, before: Json, **changed: object) -> str:
    body = manifest("Experiment", before["metadata"]["name"], {**before["spec"], **changed})
    return str(experiments.client.post(experiments.path("experiments"), body)["metadata"]["uid"])


def test_what_has_ended_counts_what_runs_goes_on_and_nothing_runs_again(experiments: Experiments) -> None:
    experiments.begin("back", actions=CHAIN, run_for=None)
    experiments.child("back-train")
    experiments.reaches("back-train", "Running")
    experiments.ends("back-train")
    experiments.child("back-prune")
    experiments.reaches("back-prune", "Running")
    before = experiments.children("back")
    uid = come_back(experiments, "back")

    def taken() -> bool:
        jobs = experiments.children("back").values()
        return all(owners(job) == [("Experiment", "back", True)] for job in jobs)

    found(taken, what="its jobs to be taken over")
    experiments.comes_to("back", "Running")
    experiments.ends("back-prune")
    experiments.comes_to("back", "Done")
    after = experiments.children("back")
    assert uids(after, before) == uids(before, before)
    assert {job["metadata"]["labels"][UID] for job in after.values()} == {uid}
    assert [len(job["status"]["attempts"]) for job in after.values()] == [1, 1]


def test_a_job_of_another_spec_is_left_alone_until_somebody_deletes_it(experiments: Experiments) -> None:
    experiments.begin("other", actions=CHAIN)
    former = str(experiments.experiment("other")["metadata"]["uid"])
    experiments.comes_to("other", "Done")
    before = experiments.children("other")
    changed = step("train", parameters={"epochs": 3})
    uid = come_back(experiments, "other", actions=[changed, CHAIN[1]])
    waits = experiments.comes_to("other", "Pending", "JobNameTaken")
    assert f"-l {UID}={former}" in waits["message"]
    time.sleep(SETTLED_SECONDS)
    assert uids(experiments.children("other"), before) == uids(before, before)
    for name in before:
        experiments.delete("trainingjobs", name)
    experiments.comes_to("other", "Done")
    assert {job["metadata"]["labels"][UID] for job in experiments.children("other").values()} == {uid}


def test_after_a_plain_delete_it_begins_from_the_beginning(experiments: Experiments) -> None:
    experiments.begin("anew", actions=CHAIN)
    experiments.comes_to("anew", "Done")
    former = experiments.experiment("anew")
    before = experiments.children("anew")
    experiments.delete("experiments", "anew")
    again(experiments, former)
    experiments.comes_to("anew", "Done", timeout=90)
    after = experiments.children("anew")
    assert after.keys() == before.keys()
    assert not set(uids(after, after).values()) & set(uids(before, before).values())
