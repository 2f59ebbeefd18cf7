"""Experiments as their jobs see them: read once for each version, and known to be gone."""

from __future__ import annotations

from typing import Any

import pytest

from trainyard.cluster.cache import EXPERIMENT, TRAINING_JOB, Cache, Key
from trainyard.planning import experimentview
from trainyard.planning.experimentview import ExperimentView
from trainyard.reconcile import experimentviews
from trainyard.reconcile.experimentviews import ExperimentViews

Json = dict[str, Any]


def an_experiment(version: int, *, uid: str = "uid-1", **spec: Any) -> Json:
    metadata = {"namespace": "team", "name": "tuning", "uid": uid, "resourceVersion": str(version)}
    return {"kind": EXPERIMENT, "metadata": {**metadata, "generation": version}, "spec": spec}


def a_job(*, experiment: str | None = "tuning", owner: str = "", **metadata: Any) -> Json:
    spec = {"experiment": experiment} if experiment else {}
    if owner:
        api = "trainyard.dev/v1alpha1"
        metadata["ownerReferences"] = [
            {"apiVersion": api, "kind": "Experiment", "name": "tuning", "uid": owner}
        ]
    return {"kind": TRAINING_JOB, "metadata": {"namespace": "team", "name": "one", **metadata}, "spec": spec}


def test_each_version_is_read_once_however_many_jobs_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(raw: Json, catalog: Any) -> ExperimentView:
        read.append(raw["metadata"]["resourceVersion"])
        return view(raw, catalog)

    view = experimentview.view
    monkeypatch.setattr(experimentview, "view", counted)
    cache = Cache()
    views = ExperimentViews(cache=cache, catalog=())
    cache.store(EXPERIMENT, an_experiment(5))
    for _ in range(100):
        found, _ = views.of(a_job())
        assert found is not None
        assert not found.suspend
    cache.store(EXPERIMENT, an_experiment(6, suspend=True))
    for _ in range(100):
        found, _ = views.of(a_job())
        assert found is not None
        assert found.suspend
    assert read == ["5", "6"]


def test_an_experiment_that_is_deleted_is_none_and_its_job_goes_with_it() -> None:
    cache = Cache()
    views = ExperimentViews(cache=cache, catalog=())
    cache.store(EXPERIMENT, an_experiment(5))
    assert views.of(a_job(owner="uid-1"))[1].goes is False
    cache.remove(EXPERIMENT, namespace="team", name="tuning", uid="uid-1", version=7)
    found, membership = views.of(a_job(owner="uid-1"))
    assert (found, membership.goes) == (None, True)
    assert views.of(a_job())[1].goes is False, "nobody deletes a job without an owner"
    cache.store(EXPERIMENT, an_experiment(9, uid="uid-2"))
    found, membership = views.of(a_job(owner="uid-1"))
    assert found is not None
    assert (found.uid, membership.goes) == ("uid-2", True)


def test_a_job_of_no_experiment_has_nothing_to_do_with_any() -> None:
    views = ExperimentViews(cache=Cache(), catalog=())
    assert views.of(a_job(experiment=None, owner="uid-1"))[0] is None
    assert not views.of(a_job(experiment=None, owner="uid-1"))[1].goes
    assert experimentviews.named(a_job(experiment=None)) == set()
    assert experimentviews.named(a_job()) == {Key(EXPERIMENT, "team", "tuning")}


def test_so_many_experiments_are_remembered_and_no_more() -> None:
    cache = Cache()
    views = ExperimentViews(cache=cache, catalog=())
    for number in range(300):
        raw = an_experiment(5, uid=f"uid-{number}")
        raw["metadata"]["name"] = f"tuning-{number}"
        cache.store(EXPERIMENT, raw)
        assert views.of(a_job(experiment=f"tuning-{number}"))[0] is not None
    assert len(views._views) == 256


@pytest.mark.parametrize(
    ("status", "asked", "revives"),
    [
        pytest.param({"stop": {"cause": "Cancel"}}, None, True, id="one that was cancelled"),
        pytest.param({}, None, False, id="one that is done"),
        pytest.param({"retryRequestedAt": "a"}, "a", False, id="one whose retry was seen"),
        pytest.param({"retryRequestedAt": "a"}, "b", True, id="one whose retry is still to come"),
    ],
)
def test_which_ended_job_may_go_on_with_its_experiment(
    status: Json, asked: str | None, revives: bool
) -> None:
    metadata = {"annotations": {"trainyard.dev/retry-requested-at": asked}} if asked else {}
    assert experimentviews.may_revive(a_job(**metadata), status) is revives


def test_parents_are_those_of_jobs_that_have_not_ended_whomever_these_name() -> None:
    def a_child(name: str, version: int, parent: str, status: Json) -> Json:
        metadata = {"namespace": "team", "name": name, "uid": name, "resourceVersion": str(version)}
        return {"metadata": metadata, "spec": {"parentJob": parent}, "status": status}

    cache = Cache()
    cache.store(TRAINING_JOB, a_child("runs", 1, "tuning-t0-r0", {"phase": "Running"}))
    cache.store(TRAINING_JOB, a_child("ended", 2, "tuning-t1-r0", {"completionTime": "2026-11-22T12:00:00Z"}))
    cache.store(
        TRAINING_JOB, a_child("ended-too", 3, "tuning-t0-r0", {"completionTime": "2026-11-22T12:00:00Z"})
    )
    found = experimentviews.parents(cache, "team", [f"tuning-t{number}-r0" for number in range(3)])
    assert found == {"tuning-t0-r0"}
    assert not experimentviews.parents(cache, "another", ["tuning-t0-r0"])
