"""An Experiment that comes back with another UID, and the jobs that are left of the one before."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from tests.unit.planning.experiments import CHAIN, World, a_search
from tests.unit.planning.test_trials import quality
from trainyard.api import names
from trainyard.cluster.cache import EXPERIMENT, TRAINING_JOB, Cache, Key
from trainyard.planning.experimentobserved import ObservedExperiment
from trainyard.reconcile import experimentviews

Json = dict[str, Any]

TUNED: Json = {
    **a_search(algorithm="hyperband", maxResource=4, nu=2, parallelism=3),
    "actions": [
        {"name": "train", "action": "train"},
        {"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]},
    ],
}


@dataclass
class Restored(World):
    """With what the reconciler finds of an earlier Experiment; `elsewhere` is the UID of one in another namespace."""

    elsewhere: str = "uid-9"

    def observed(self) -> ObservedExperiment:
        found = super().observed()
        cache = Cache()
        for uid, namespace in ((self.uid, "team-a"), (self.elsewhere, "team-b")):
            metadata = {"name": self.name, "namespace": namespace, "uid": uid, "resourceVersion": "1"}
            cache.store(EXPERIMENT, {"kind": EXPERIMENT, "metadata": metadata, "spec": {}})
        for raw in self.jobs.values():
            stored = copy.deepcopy(raw)
            stored["metadata"]["resourceVersion"] = "1"
            cache.store(TRAINING_JOB, stored)
        key = Key(EXPERIMENT, "team-a", self.name)
        left = tuple(experimentviews.left_behind(cache, key, self.uid, found.jobs))
        foreign = frozenset(job.name for job in found.jobs if job.owner != self.uid)
        return dataclasses.replace(found, left_behind=left, strangers=foreign)


def orphaned(world: World, **fields: Any) -> Restored:
    """After kubectl delete --cascade=orphan, and an apply of the same manifest."""
    jobs = copy.deepcopy(world.jobs)
    for job in jobs.values():
        del job["metadata"]["ownerReferences"]
    return Restored(spec=world.spec, uid="uid-2", jobs=jobs, **fields)


def from_a_backup(world: World, **fields: Any) -> Restored:
    """As Velero restores it: without status, by other UIDs."""
    found = orphaned(world, **fields)
    for job in found.jobs.values():
        job.pop("status", None)
        job["metadata"]["uid"] += "-restored"
    return found


def controllers(world: World) -> set[str]:
    return {job["metadata"]["ownerReferences"][0]["uid"] for job in world.jobs.values()}


@pytest.mark.parametrize("spec", [CHAIN, TUNED], ids=["chain", "search"])
def test_jobs_that_were_orphaned_are_taken_over_and_nothing_runs_again(spec: Json) -> None:
    world = World(spec=dict(spec))
    world.runs_all(quality)
    back = orphaned(world)
    back.settle()
    assert back.status["phase"] == "Done"
    assert back.made == back.removed == []
    assert controllers(back) == {"uid-2"}
    assert {job["metadata"]["labels"][names.LABEL_EXPERIMENT_UID] for job in back.jobs.values()} == {"uid-2"}
    assert back.phases() == world.phases()
    if spec is TUNED:
        by_run = {
            (entry["number"], entry.get("rung", 0)): entry for entry in world.status["automl"]["ledger"]
        }
        again = {(entry["number"], entry.get("rung", 0)): entry for entry in back.status["automl"]["ledger"]}
        assert again == by_run
        assert back.status["automl"]["bestTrial"] == world.status["automl"]["bestTrial"]


@pytest.mark.parametrize("spec", [CHAIN, TUNED], ids=["chain", "search"])
def test_jobs_from_a_backup_are_taken_over_and_what_they_find_in_the_output_counts(spec: Json) -> None:
    world = World(spec=dict(spec))
    world.runs_all(quality)
    back = from_a_backup(world)
    back.runs_all(quality)
    assert back.status["phase"] == "Done"
    assert back.made == back.removed == []
    assert controllers(back) == {"uid-2"}


def test_what_was_under_way_goes_on_and_what_is_lacking_is_made() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    world.ends("digits-train", value=0.5)
    world.settle()
    world.starts("digits-prune")
    back = orphaned(world)
    back.settle()
    assert back.phases()["prune"] == "Running"
    assert back.made == []
    back.runs_all()
    assert back.made == ["digits-export"]
    assert back.status["phase"] == "Done"


@pytest.mark.parametrize("writes", range(1, 12))
def test_killed_while_it_takes_over_it_comes_to_the_same(writes: int) -> None:
    world = World(spec=dict(TUNED))
    world.runs_all(quality)
    back = orphaned(world)
    back.writes_left = writes
    for _ in range(5):
        back.look()
    back.writes_left = None
    back.settle()
    assert back.status["phase"] == "Done"
    assert back.made == back.removed == []


def test_with_its_ledger_no_trial_is_run_twice_though_no_job_came_back() -> None:
    world = World(spec=dict(TUNED))
    world.runs_all(quality)
    back = Restored(spec=world.spec, uid="uid-2", status=world.status)
    back.settle()
    assert back.status["phase"] == "Done"
    assert back.made == []


def test_one_that_joined_by_itself_in_the_meantime_is_taken_over_all_the_same() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    back = orphaned(world)
    mine = {"apiVersion": names.API_VERSION, "kind": "Experiment", "name": "digits", "uid": "uid-2"}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "uid-7"}
    back.jobs["digits-train"]["metadata"]["ownerReferences"] = [other, {**mine, "controller": False}]
    back.settle()
    owners = back.jobs["digits-train"]["metadata"]["ownerReferences"]
    assert [(one["uid"], one.get("controller", False)) for one in owners] == [
        ("uid-7", False),
        ("uid-2", True),
    ]
    assert back.made == []


@pytest.mark.parametrize("spec", [CHAIN, TUNED], ids=["chain", "search"])
def test_jobs_of_another_spec_are_left_alone_and_the_message_says_what_to_do(spec: Json) -> None:
    world = World(spec=dict(spec))
    world.runs_all(quality)
    back = orphaned(world)
    first = {**spec["actions"][0], "parameters": {"seed": 3}}
    back.spec = {**back.spec, "actions": [first, *spec["actions"][1:]]}
    before = copy.deepcopy(back.jobs)
    back.settle()
    name = "digits-t0-r0" if spec is TUNED else "digits-train"
    assert (back.status["phase"], back.status["reason"]) == ("Pending", "JobNameTaken")
    assert name in back.status["message"]
    assert f"-l {names.LABEL_EXPERIMENT_UID}=uid-1" in back.status["message"]
    assert back.jobs == before
    back.jobs.clear()
    back.runs_all(quality)
    assert back.status["phase"] == "Done"


def test_one_that_is_deleted_with_the_experiment_before_is_waited_for_and_made_anew() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    world.ends("digits-train")
    back = Restored(spec=world.spec, uid="uid-2", jobs=copy.deepcopy(world.jobs))
    back.settle()
    assert (back.status["phase"], back.status["reason"]) == ("Pending", "WaitingForCleanup")
    assert "digits-train" in back.status["message"]
    del back.jobs["digits-train"]
    back.settle()
    assert back.made == ["digits-train"]


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {names.LABEL_EXPERIMENT_UID: "uid-9"}},
        {"labels": {names.LABEL_STEP: "evaluate"}},
        {"labels": {names.LABEL_TRIAL: "0"}},
        {"labels": {names.LABEL_EXPERIMENT_UID: ""}},
        {"annotations": {names.STEP_DIGEST: "0123456789abcdef"}},
        {"annotations": {names.STEP_DIGEST: ""}},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u", "controller": True}]},
    ],
    ids=str,
)
def test_what_is_not_provably_its_own_is_left_as_it_is(change: Json) -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    back = orphaned(world)
    metadata = back.jobs["digits-train"]["metadata"]
    for field, value in change.items():
        metadata[field] = {**metadata[field], **value} if isinstance(value, dict) else value
    before = copy.deepcopy(back.jobs)
    back.settle()
    assert back.jobs == before
    assert (back.status["phase"], back.status["reason"]) == ("Pending", "JobNameTaken")
    assert "digits-train" in back.status["message"]


def test_a_job_that_a_user_posted_is_nobodys_step() -> None:
    world = World(spec=dict(CHAIN))
    world.settle()
    back = orphaned(world)
    back.jobs["digits-train"]["metadata"]["labels"] = {names.LABEL_EXPERIMENT: "digits"}
    assert not back.observed().left_behind
