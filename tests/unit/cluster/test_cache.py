"""What the cache keeps, forgets and takes back, and whose pods it takes for a job's own."""

from __future__ import annotations

import tracemalloc
from typing import Any

import orjson
import pytest

from trainyard.api import names
from trainyard.cluster.cache import POD, TRAINING_JOB, Cache, Key, owner_key_of_pod

Json = dict[str, Any]

JOB = Key(TRAINING_JOB, "team", "resnet")
CONTROLLER = {
    "apiVersion": names.API_VERSION,
    "kind": "TrainingJob",
    "name": "resnet",
    "uid": "job-uid",
    "controller": True,
}
LABELS = {
    names.LABEL_MANAGED_BY: names.MANAGED_BY,
    names.LABEL_JOB: "resnet",
    names.LABEL_JOB_UID: "job-uid",
    names.LABEL_ATTEMPT: "0",
    names.LABEL_RANK: "0",
}


def a_job(*, version: int, uid: str = "job-uid") -> Json:
    metadata = {"namespace": "team", "name": "resnet", "uid": uid, "resourceVersion": str(version)}
    return {"kind": TRAINING_JOB, "metadata": metadata}


def a_pod(
    name: str = "resnet-0-0", *, version: int = 5, owner: Json | None = None, **labels: str | None
) -> Json:
    """A pod that the job has made; `owner` replaces its controller (empty: none), a label of None is taken off."""
    wanted = {**LABELS, **{f"{names.GROUP}/{key.replace('_', '-')}": value for key, value in labels.items()}}
    return {
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "labels": {key: value for key, value in wanted.items() if value is not None},
            "ownerReferences": [CONTROLLER if owner is None else owner] if owner != {} else [],
        }
    }


def remove(cache: Cache, *, version: int | None = None) -> None:
    cache.remove(TRAINING_JOB, namespace="team", name="resnet", uid="job-uid", version=version)


def test_what_a_watch_says_is_gone_comes_back_only_with_a_newer_version() -> None:
    cache = Cache()
    cache.store(TRAINING_JOB, a_job(version=5))
    remove(cache, version=7)
    for version, expected in ((5, False), (7, False), (8, True)):
        assert cache.store(TRAINING_JOB, a_job(version=version)) is expected


def test_what_a_stray_404_says_is_gone_comes_back_as_it_was() -> None:
    cache = Cache()
    cache.store(TRAINING_JOB, a_job(version=5))
    remove(cache)
    assert cache.get(JOB) is None
    assert not cache.store(TRAINING_JOB, a_job(version=4)), "an event older than what was known"
    assert cache.store(TRAINING_JOB, a_job(version=5))


def test_a_404_does_not_outdo_what_the_watch_knows_better() -> None:
    cache = Cache()
    cache.store(TRAINING_JOB, a_job(version=5))
    remove(cache, version=7)
    remove(cache)
    assert not cache.store(TRAINING_JOB, a_job(version=6))


def test_what_a_get_shows_is_kept_though_the_watch_has_lost_it() -> None:
    cache = Cache()
    pod = a_pod(version=7, attempt=None)
    cache.remove(POD, namespace="team", name="resnet-0-0", uid="uid-resnet-0-0", version=7)
    assert not cache.store(POD, pod)
    cache.restore(POD, pod)
    (view,) = cache.pods_of("job-uid")
    assert not view.watched


def test_a_cleared_cache_knows_neither_what_is_there_nor_what_is_gone() -> None:
    cache = Cache()
    cache.store(TRAINING_JOB, a_job(version=5))
    cache.store(POD, a_pod())
    cache.remove(POD, namespace="team", name="gone-0-0", uid="uid-gone-0-0", version=9)
    cache.clear()
    assert cache.keys(TRAINING_JOB) == cache.keys(POD) == cache.jobs_of_pods() == []
    assert cache.pods_of("job-uid") == ()
    assert cache.store(POD, a_pod("gone-0-0", version=2))


def test_a_job_lives_by_its_uid_until_it_is_gone_or_another_has_its_name() -> None:
    cache = Cache()
    cache.store(TRAINING_JOB, a_job(version=5))
    assert cache.lives("job-uid")
    cache.store(TRAINING_JOB, a_job(version=6, uid="another"))
    assert (cache.lives("job-uid"), cache.lives("another")) == (False, True)
    cache.remove(TRAINING_JOB, namespace="team", name="resnet", uid="job-uid", version=7)
    assert cache.lives("another")
    cache.remove(TRAINING_JOB, namespace="team", name="resnet", uid="another", version=8)
    assert not cache.lives("another")


def test_a_job_is_finished_when_its_status_says_when() -> None:
    cache = Cache()
    assert not cache.finished(JOB), "there is none"
    cache.store(TRAINING_JOB, {**a_job(version=5), "status": {"phase": "Done"}})
    assert not cache.finished(JOB)
    cache.store(TRAINING_JOB, {**a_job(version=6), "status": {"completionTime": "2026-11-21T10:00:00Z"}})
    assert cache.finished(JOB)


def test_a_finished_job_and_its_pod_take_less_than_4_kb() -> None:
    stamp, count = "2026-11-21T10:00:00Z", 300
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": stamp, "finishedAt": stamp}}
    condition = {
        "lastTransitionTime": stamp,
        "message": "It has ended.",
        "reason": "Completed",
        "status": "True",
    }
    listed = []
    for number in range(count):
        job = a_job(version=number + 1, uid=f"0e1af5c2-8d2c-4a0e-9a0a-{number:012}")
        job["metadata"]["name"] = f"job-{number}"
        job["spec"] = {"image": "registry.example.com/trainer:1", "parameters": {"epochs": number}}
        conditions = [{**condition, "type": kind} for kind in ("Ready", "Stalled", "Finished", "Succeeded")]
        job["status"] = {"completionTime": stamp, "conditions": conditions, "attempts": [condition]}
        pod = a_pod(f"job-{number}-0-0", owner={**CONTROLLER, "name": f"job-{number}"}, job=f"job-{number}")
        pod["spec"] = {
            "nodeName": "node-17",
            "containers": [{"name": "trainer", "image": "registry/trainer"}],
        }
        statuses = [{"name": "trainer", "state": ended}]
        pod["status"] = {"phase": "Succeeded", "containerStatuses": statuses, "conditions": [condition] * 5}
        listed.append(orjson.dumps((job, pod)))
    cache = Cache()
    tracemalloc.start()
    for text in listed:
        job, pod = orjson.loads(text)
        cache.store(TRAINING_JOB, job)
        cache.store(POD, pod)
    del job, pod
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(cache.keys(POD)) == count
    assert taken / count < 4_000, taken / count


@pytest.mark.parametrize(
    ("pod", "attempt"),
    [
        pytest.param(a_pod(), 0, id="as it was made"),
        pytest.param(a_pod("resnet-12-0", attempt="12"), 12, id="of a later attempt"),
        pytest.param(
            a_pod("resnet-1-0", attempt="7", job_uid="other"), 1, id="with labels that somebody changed"
        ),
        pytest.param(a_pod(job=None, job_uid=None, attempt=None, rank=None), 0, id="without labels"),
    ],
)
def test_a_pod_is_its_controllers_whatever_its_labels_say(pod: Json, attempt: int) -> None:
    cache = Cache()
    cache.store(POD, pod)
    (view,) = cache.pods_of("job-uid")
    assert (view.job, view.attempt, view.rank) == ("resnet", attempt, 0)
    assert owner_key_of_pod(pod) == JOB


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(a_pod("debug", owner={}), id="a copy of kubectl debug"),
        pytest.param(a_pod(owner={}), id="one without a controller that has the name"),
        pytest.param(a_pod("resnet-0-0-debug"), id="a copy with the controller"),
        pytest.param(a_pod("resnet-00-0"), id="a number that we do not write so"),
        pytest.param(
            a_pod("resnet-0-0", owner={**CONTROLLER, "controller": False}), id="an owner that controls not"
        ),
        pytest.param(a_pod("resnet-0-0", owner={**CONTROLLER, "apiVersion": "batch/v1"}), id="another group"),
        pytest.param(a_pod("resnet-0-0", owner={**CONTROLLER, "kind": "Workflow"}), id="another kind"),
    ],
)
def test_a_pod_that_the_job_has_not_made_is_none_of_its_own_but_is_named_for_it(pod: Json) -> None:
    cache = Cache()
    cache.store(POD, pod)
    assert cache.pods_of("job-uid") == cache.pods_of("") == ()
    (view,) = cache.pods_named_for(JOB)
    assert view.job_uid == ""
    assert owner_key_of_pod(pod) == JOB


def test_jobs_are_found_by_the_experiment_that_they_name() -> None:
    def a_job(name: str, version: int, experiment: str | None) -> Json:
        metadata = {"namespace": "team", "name": name, "uid": name, "resourceVersion": str(version)}
        return {"metadata": metadata, "spec": {"experiment": experiment} if experiment else {}}

    cache, digits = Cache(), Key("Experiment", "team", "digits")
    cache.store(TRAINING_JOB, a_job("a", 1, "digits"))
    cache.store(TRAINING_JOB, a_job("b", 2, "digits"))
    cache.store(TRAINING_JOB, a_job("c", 3, None))
    assert {key.name for key in cache.jobs_of(digits)} == {"a", "b"}
    cache.remove(TRAINING_JOB, namespace="team", name="a", uid="a")
    assert {key.name for key in cache.jobs_of(digits)} == {"b"}
    # One of the same name that is made anew may name another.
    cache.store(TRAINING_JOB, a_job("b", 4, "other"))
    assert cache.jobs_of(digits) == ()
    assert cache.experiment_of(Key(TRAINING_JOB, "team", "b")) == Key("Experiment", "team", "other")


def test_jobs_are_found_by_the_parent_that_they_name() -> None:
    def a_job(name: str, version: int, parent: str | None) -> Json:
        metadata = {"namespace": "team", "name": name, "uid": name, "resourceVersion": str(version)}
        return {"metadata": metadata, "spec": {"parentJob": parent} if parent else {}}

    cache, parent = Cache(), Key(TRAINING_JOB, "team", "parent")
    cache.store(TRAINING_JOB, a_job("a", 1, "parent"))
    cache.store(TRAINING_JOB, a_job("b", 2, "parent"))
    cache.store(TRAINING_JOB, a_job("parent", 3, None))
    assert {key.name for key in cache.children_of(parent)} == {"a", "b"}
    cache.remove(TRAINING_JOB, namespace="team", name="a", uid="a")
    assert {key.name for key in cache.children_of(parent)} == {"b"}
    # One that has not begun may be given another.
    cache.store(TRAINING_JOB, a_job("b", 4, "other"))
    assert cache.children_of(parent) == ()
    assert {key.name for key in cache.children_of(Key(TRAINING_JOB, "team", "other"))} == {"b"}
    cache.clear()
    assert cache.children_of(Key(TRAINING_JOB, "team", "other")) == ()
