"""An MLModel: its versions, aliases, trainings and records, as their plans have them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning.models import FOREST, OUTPUT, World
from trainyard.api.mlmodel import MLModelStatus
from trainyard.planning import modelversions

Json = dict[str, Any]


def trained(**spec: Any) -> World:
    world = World({**FOREST, **spec}).settle()
    return world.ends(world.newest, accuracy=0.9).settle()


def test_a_model_without_training_is_a_draft_and_makes_nothing() -> None:
    world = World({"type": "random_forest"}).settle()
    assert (world.status["lifecycle"], world.status["phase"], world.status["reason"]) == (
        "draft",
        "Pending",
        "Draft",
    )
    assert world.made == []
    assert world.look().plan.status is None


def test_it_is_trained_by_a_job_of_its_own_with_what_its_spec_says() -> None:
    world = World({**FOREST, "training": {"jobTemplate": {"spec": {"parameters": {"n_estimators": 50}}}}})
    world.settle()
    job = world.tasks["digits-train-1"]
    assert job["spec"] == {
        "type": "random_forest",
        "action": "train",
        "datasets": {"train": ["digits"]},
        "output": OUTPUT,
        "parameters": {"n_estimators": 50, "random_seed": 42},
        "model": "digits",
    }
    assert job["metadata"]["ownerReferences"][0]["uid"] == world.uid
    assert world.status["lifecycle"] == "training"
    assert world.status["training"]["job"] == "digits-train-1"


def test_a_done_training_is_a_version_with_its_lineage_and_its_record_is_stored() -> None:
    world = World(FOREST).settle()
    world.tasks[world.newest]["status"] = {
        "datasets": [{"name": "digits", "uid": "d", "revision": "r1", "sha256": "a" * 64}]
    }
    world.ends(world.newest, accuracy=0.97, training_loss=0.1).settle()
    (version,) = world.status["versions"]
    assert (version["number"], version["origin"], version["size"]) == (1, "job", 10)
    assert version["performanceMetrics"] == [{"name": "accuracy", "value": "0.97"}]
    assert version["trainingMetrics"] == [{"name": "training_loss", "value": "0.1"}]
    lineage = version["lineage"]
    assert (lineage["job"], lineage["jobUid"], lineage["runtime"]) == ("digits-train-1", "uid-1", "reference")
    assert lineage["imageDigest"] == "sha256:" + "1" * 64
    assert lineage["datasets"][0]["sha256"] == "a" * 64
    assert version["card"].endswith("/models/digits-1.md")
    assert world.pods == {}
    assert world.status["keyMetric"] == {"name": "accuracy", "value": "0.97", "display": "accuracy 0.97"}
    assert (world.status["lifecycle"], world.status["phase"]) == ("trained", "Done")
    MLModelStatus.model_validate(world.status)


def test_without_data_it_is_trained_on_demo_data_and_the_version_says_so() -> None:
    world = World({key: value for key, value in FOREST.items() if key != "datasets"}).settle()
    assert world.tasks[world.newest]["spec"]["parameters"]["synthetic_data"] is True
    world.ends(world.newest, accuracy=1.0).settle()
    assert world.status["versions"][0]["syntheticData"] is True
    assert "synthetic demo data" in world.status["message"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"type": None}, "type or architecture"),
        ({"output": None}, "spec.output"),
        ({"type": "object_detection"}, "object_detection"),
    ],
)
def test_what_cannot_be_trained_is_an_error_that_says_what_to_do(spec: Json, words: str) -> None:
    world = World({key: value for key, value in {**FOREST, **spec}.items() if value is not None}).settle()
    assert (world.status["phase"], world.status["reason"]) == ("Error", "InvalidSpec")
    assert words in world.status["message"]
    assert world.made == []


def test_another_request_or_another_spec_trains_again_and_the_same_does_not() -> None:
    world = trained()
    assert world.settle().made == ["digits-train-1"]
    world.asked("one").settle()
    assert world.made[-1] == "digits-train-2"
    world.edit(trainingConfig={"n_estimators": 30}).settle()
    assert world.made[-1] == "digits-train-2", "one at a time"
    world.ends("digits-train-2", accuracy=0.91).settle()
    assert world.made[-1] == "digits-train-3"
    world.ends("digits-train-3", accuracy=0.92).settle()
    assert [one["number"] for one in world.status["versions"]] == [1, 2, 3]
    assert world.settle().made[-1] == "digits-train-3"


def test_training_that_is_off_waits_for_a_request() -> None:
    world = World({**FOREST, "training": {"enabled": False}}).settle()
    assert world.made == []
    world.asked().settle()
    assert world.made == ["digits-train-1"]


def test_a_failure_keeps_the_last_good_version_and_says_why() -> None:
    world = trained().asked().settle()
    world.ends(world.newest, "Error").settle()
    assert (world.status["lifecycle"], world.status["phase"], world.status["reason"]) == (
        "failed",
        "Error",
        "TrainingFailed",
    )
    assert "OutOfMemory" in world.status["message"]
    assert "Version 1 (accuracy 0.9) stays" in world.status["message"]
    assert world.status["latestVersion"] == 1
    del world.tasks[world.newest]
    assert world.settle().status["lifecycle"] == "failed"


def test_a_cancelled_training_is_no_failure() -> None:
    world = trained().asked().settle()
    assert world.ends(world.newest, "Canceled").settle().status["lifecycle"] == "trained"


def test_a_failure_before_the_last_good_version_stays_history_when_that_ones_job_is_deleted() -> None:
    world = trained().asked().settle()
    world.ends(world.newest, "Error").settle()
    world.posted("mine").settle().ends("mine", accuracy=0.99).settle()
    del world.tasks["mine"]
    world.passes(5).settle()
    assert world.status["lifecycle"] == "trained", world.status["message"]


@pytest.mark.parametrize("template", [None, {"experimentTemplate": {"metadata": {"labels": {"a": "b"}}}}])
def test_a_training_that_waits_for_what_a_spec_said_wrongly_gives_way_to_the_mended_one(
    template: Json | None,
) -> None:
    world = World({**FOREST, "datasets": {"train": ["didgits"]}, "training": template or {}}).settle()
    first = world.newest
    world.tasks[first]["status"] = {
        "phase": "Pending",
        "reason": "WaitingForDataset",
        "message": "no Dataset",
    }
    assert "cancel" not in world.settle().tasks[first]["spec"]
    plan = world.edit(datasets={"train": ["digits"]}).look()
    assert [(step.verb, step.name, step.kind) for step in plan.jobs] == [
        ("patch", first, "Experiment" if template else "TrainingJob")
    ]
    assert world.settle().made == [first]
    world.ends(first, "Canceled").settle()
    assert world.newest != first
    assert world.tasks[world.newest]["spec"]["datasets"]["train"] == ["digits"]


def test_a_training_that_waits_gives_way_to_another_request_where_it_is_trained_on_request_alone() -> None:
    world = World({**FOREST, "training": {"enabled": False}}).asked("one").settle()
    world.edit(datasets={"train": ["other"]}).settle()
    assert "cancel" not in world.tasks["digits-train-1"]["spec"]
    assert world.asked("two").settle().tasks["digits-train-1"]["spec"]["cancel"] is True
    world.ends("digits-train-1", "Canceled").settle()
    assert world.made == ["digits-train-1", "digits-train-2"]


def test_a_training_that_has_begun_or_that_somebody_has_suspended_is_not_taken_back() -> None:
    running, suspended = World(FOREST).settle().runs("digits-train-1"), World(FOREST).settle()
    suspended.tasks["digits-train-1"]["spec"]["suspend"] = True
    for world in (running, suspended):
        world.edit(trainingConfig={"n_estimators": 5}).settle()
        assert "cancel" not in world.tasks["digits-train-1"]["spec"]


def test_a_cancelled_first_training_is_told_and_not_that_nothing_is_to_train() -> None:
    world = World(FOREST).settle()
    world.ends(world.newest, "Canceled").settle()
    assert world.status["lifecycle"] == "draft"
    assert "digits-train-1 was cancelled" in world.status["message"]
    assert "not enabled" not in world.status["message"]
    del world.tasks["digits-train-1"]
    assert "digits-train-1 was cancelled" in world.settle().status["message"]


@pytest.mark.parametrize("asked", ["2027-01-15T08:00:00Z", "x" * 100], ids=["in time", "too long"])
@pytest.mark.parametrize(
    ("phase", "spec", "retried", "lifecycle"),
    [
        ("Done", {}, "", "trained"),  # a job that is Done is not tried again
        ("Canceled", {"cancel": True}, "", "draft"),  # nor is one whose spec says cancel
        ("Error", {}, "", "training"),
        ("Error", {}, "answered", "failed"),
    ],
)
def test_a_job_that_was_asked_for_a_retry_has_ended_unless_it_is_to_be_tried_again(
    phase: str, spec: Json, retried: str, lifecycle: str, asked: str
) -> None:
    world = World({"type": "random_forest"}).posted("mine", **spec).settle()
    world.ends("mine", phase, accuracy=0.9)
    world.tasks["mine"]["metadata"]["annotations"] = {"trainyard.dev/retry-requested-at": asked}
    if retried:
        world.tasks["mine"]["status"]["retryRequestedAt"] = asked[:64]  # as the job's status has room for
    assert world.settle().status["lifecycle"] == lifecycle


def test_numbers_that_no_status_can_hold_are_none() -> None:
    """Anybody can write labels and annotations, and the status would be refused for ever."""
    world = World(FOREST).settle()
    world.tasks["digits-train-1"]["metadata"]["annotations"]["trainyard.dev/task-number"] = "9" * 5000
    world.tasks["digits-train-1"]["metadata"]["labels"]["trainyard.dev/trial"] = "9" * 63
    world.ends("digits-train-1", accuracy=0.9).settle()
    (version,) = world.status["versions"]
    assert "trial" not in version["lineage"]
    assert world.status["training"]["number"] == 1


def test_a_job_of_the_users_own_registers_too() -> None:
    world = World({"type": "random_forest"}).posted("mine").settle()
    assert world.status["lifecycle"] == "training"
    world.ends("mine", accuracy=0.8).settle()
    assert world.status["versions"][0]["lineage"]["job"] == "mine"
    assert world.status["lifecycle"] == "trained"


def test_an_experiment_registers_the_job_that_it_came_to() -> None:
    search = {"spec": {"automl": {"algorithm": "random", "maxRecommendations": 2}}}
    world = World({**FOREST, "training": {"experimentTemplate": search}}).settle()
    body = world.tasks["digits-x1"]
    assert body["kind"] == "Experiment"
    assert body["spec"]["actions"] == [{"name": "train", "action": "train"}]
    assert body["spec"]["actionParameters"] == {"train": {"n_estimators": 20, "random_seed": 42}}
    assert body["spec"]["model"] == "digits"
    world.posted("digits-x1-t1-r0", model=None).ends("digits-x1-t1-r0", accuracy=0.99)
    world.ends("digits-x1")
    body["status"]["steps"] = [{"name": "train", "action": "train", "job": "digits-x1-t1-r0"}]
    world.settle()
    (version,) = world.status["versions"]
    assert version["lineage"]["job"] == "digits-x1-t1-r0"
    assert version["lineage"]["experiment"] == "digits-x1"


def test_two_that_end_at_once_are_two_versions_in_a_settled_order() -> None:
    for first, second in (("a", "b"), ("b", "a")):
        world = World({"type": "random_forest"}).posted("a").posted("b").settle()
        moment = world.now
        for name in (first, second):
            world.now = moment
            world.ends(name, accuracy=0.5)
        world.settle()
        assert [one["lineage"]["job"] for one in world.status["versions"]] == ["a", "b"]


def test_a_record_is_made_only_for_a_number_that_status_has() -> None:
    """Else an operator that ends in between would take the record of one job for that of another."""
    world = World({"type": "random_forest"}).posted("a").posted("b").settle()
    moment = world.now
    world.ends("b", accuracy=0.5)
    world.writes_left = 1
    world.look()
    world.writes_left = None
    world.now = moment
    world.ends("a", accuracy=0.5)
    assert list(world.pods) == []
    world.settle()
    assert all(one["card"] for one in world.status["versions"])


def test_of_two_that_end_within_a_second_the_later_training_counts() -> None:
    world = trained()
    for asked, phase in (("twice", "Error"), ("thrice", "Done")):
        world.annotations["trainyard.dev/train-requested-at"] = asked
        world.settle()
        world.ends(world.newest, phase, accuracy=0.9)
        world.now -= 1  # the second in which it all happens
        world.settle()
    assert world.status["lifecycle"] == "trained"
    assert world.status["latestVersion"] == 2


def test_a_list_that_was_lost_comes_back_under_its_numbers_and_what_is_new_comes_after() -> None:
    world = trained()
    world.asked("more").settle()
    world.ends(world.newest, accuracy=0.8).settle()
    for number, name in enumerate(("digits-train-1", "digits-train-2"), start=1):
        world.tasks[name]["status"]["modelVersion"] = {"name": "digits", "number": number}
    world.posted("mine").ends("mine", accuracy=0.7)
    world.status = {}
    world.settle()
    jobs = {one["number"]: one["lineage"]["job"] for one in world.status["versions"]}
    assert jobs == {1: "digits-train-1", 2: "digits-train-2", 3: "mine"}


def test_older_versions_go_to_the_store_but_not_before_they_are_there() -> None:
    world = trained(versionsRetained=2)
    world.stores_records = False
    for number in range(4):
        world.asked(f"n{number}").settle()
        world.ends(world.newest, accuracy=0.9).settle().passes(5)
    assert [one["number"] for one in world.status["versions"]] == [2, 3, 4, 5], (
        "1 alone has its record stored"
    )
    assert "could not be stored" in world.status["message"]
    world.stores_records = True
    world.passes(300).settle()
    assert [one["number"] for one in world.status["versions"]] == [4, 5]
    assert [one["number"] for one in world.status["formerVersions"]] == [1, 2, 3]
    assert all(one["card"] for one in world.status["formerVersions"])
    assert world.settle().status["latestVersion"] == 5
    MLModelStatus.model_validate(world.status)


def test_records_that_wait_for_their_claim_say_so_and_keep_no_other_waiting() -> None:
    world = World({"type": "random_forest"})
    for number in range(1, 7):
        world.posted(f"job-{number}").ends(f"job-{number}", accuracy=0.5)
    world.look()
    world.look()
    assert [f"digits-record-{number}" for number in (1, 2, 3, 4)] == sorted(world.pods)
    for name, pod in world.pods.items():
        world.pods[name] = dataclasses.replace(
            pod,
            phase="Pending",
            trainer=None,
            created_at=world.now,
            scheduling_reason="Unschedulable",
            scheduling_message='persistentvolumeclaim "models" not found',
        )
    world.passes(60).look()
    assert len(world.pods) == 4
    world.passes(600).settle()
    assert "There is no PersistentVolumeClaim models in this namespace" in world.status["message"]
    assert [one["number"] for one in world.status["versions"] if one.get("card")] == [5, 6]


def test_an_alias_stands_for_a_version_moves_and_keeps_it_in_the_list() -> None:
    world = trained(versionsRetained=1, aliases=[{"name": "champion", "version": 1}])
    assert world.status["aliases"][0]["version"] == 1
    for number in (2, 3):
        world.asked(str(number)).settle().ends(world.newest, accuracy=0.9).settle()
    assert [one["number"] for one in world.status["versions"]] == [1, 3]
    world.edit(aliases=[{"name": "champion", "version": 3}]).settle()
    assert world.status["aliases"] == [
        {"name": "champion", "version": 3, "time": world.status["aliases"][0]["time"]}
    ]
    assert [one["number"] for one in world.status["versions"]] == [3]
    assert world.events.count("AliasMoved") == 2


def test_an_alias_for_a_version_that_is_not_there_says_so_and_stays_where_it_was() -> None:
    world = trained(aliases=[{"name": "champion", "version": 1}])
    world.edit(aliases=[{"name": "champion", "version": 7}]).settle()
    assert world.status["aliases"][0]["version"] == 1
    assert "champion is to stand for version 7" in world.status["message"]


def test_what_was_reported_counts_until_something_newer_happens_here() -> None:
    world = trained()
    at = "2099-01-01T00:00:00Z"
    world.status["reported"] = {"lifecycle": "failed", "reason": "too little data", "time": at}
    world.settle()
    assert world.status["lifecycle"] == "failed"
    assert "too little data" in world.status["message"]
    world.status["reported"]["time"] = "2020-01-01T00:00:00Z"
    assert world.settle().status["lifecycle"] == "trained"


def test_what_was_reported_as_archived_says_so_and_nothing_of_a_stage_that_is_active_already() -> None:
    world = World({"type": "random_forest"}).settle()
    world.status["reported"] = {"lifecycle": "archived", "time": "2027-01-15T08:00:00Z"}
    world.settle()
    assert world.status["lifecycle"] == "archived"
    assert world.status["message"] == "Reported from outside at 2027-01-15T08:00:00Z: archived."


def test_a_training_that_was_reported_as_complete_is_a_version() -> None:
    world = World({"type": "random_forest"}).settle()
    world.status["reported"] = {
        "lifecycle": "trained",
        "artifactUri": "s3://models/v1.pkl",
        "performanceMetrics": {"accuracy": 0.95, "note": "good"},
        "time": "2026-11-22T10:00:00Z",
    }
    world.settle()
    (version,) = world.status["versions"]
    assert (version["origin"], version["uri"]) == ("reported", "s3://models/v1.pkl")
    assert version["performanceMetrics"] == [{"name": "accuracy", "value": "0.95"}]
    assert world.settle().status["latestVersion"] == 1


@pytest.mark.parametrize(
    ("told", "numbers"),
    [
        ({"old": 4}, [("old", 4), ("new", 5), ("other", 6)]),
        ({"new": 1}, [("new", 1), ("old", 2), ("other", 3)]),
        ({"old": 2, "other": 2}, [("old", 2), ("other", 3), ("new", 4)]),
    ],
)
def test_a_model_that_is_made_again_takes_up_its_jobs_under_the_numbers_that_they_were_told(
    told: dict[str, int], numbers: list[tuple[str, int]]
) -> None:
    world = World({"type": "random_forest"}).posted("old").posted("new").posted("other").settle()
    world.ends("old", accuracy=0.5).ends("new", accuracy=0.6).ends("other", accuracy=0.7)
    for name, number in told.items():
        world.tasks[name]["status"]["modelVersion"] = {"name": "digits", "number": number}
    world.settle()
    assert [(one["lineage"]["job"], one["number"]) for one in world.status["versions"]] == numbers


def test_an_experiment_that_makes_no_model_says_so() -> None:
    world = World({**FOREST, "training": {"experimentTemplate": {"spec": {"actions": []}}}}).settle()
    world.ends("digits-x1").settle()
    assert "none of its steps makes a model" in world.status["message"]


def test_what_status_has_forgotten_is_no_version_again() -> None:
    """The job that an Experiment came to is told no number, and what was reported has none."""
    world = World({"type": "random_forest", "versionsRetained": 1})
    world.status = {
        "reported": {
            "lifecycle": "trained",
            "artifactUri": "s3://models/one",
            "time": "2026-01-01T00:00:00Z",
        },
        "latestVersion": 300,
        "formerVersions": [
            {"number": number, "time": "2026-02-01T00:00:00Z", "source": f"gone-{number}"}
            for number in range(101, 301)
        ],
    }
    world.posted("search-t1").posted("search")
    world.tasks["search"]["kind"] = "Experiment"
    del world.tasks["search-t1"]["spec"]["model"]
    for name in ("search-t1", "search"):
        world.ends(name, accuracy=0.5)
        world.tasks[name]["status"]["completionTime"] = "2026-01-02T00:00:00Z"
    world.tasks["search"]["status"]["steps"] = [{"name": "train", "action": "train", "job": "search-t1"}]
    world.settle()
    assert (world.status["latestVersion"], world.status.get("versions")) == (300, None)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ask", "edit", "end", "fail", "cancel", "post", "kill", "pass", "forget"]),
            st.integers(0, 3),
        ),
        max_size=25,
    )
)
def test_whatever_happens_each_job_is_one_version_and_none_is_lost(events: list[tuple[str, int]]) -> None:
    world = World({**FOREST, "versionsRetained": 2}).settle()
    done: list[str] = []
    for number, (event, choice) in enumerate(events):
        open_jobs = [n for n, raw in world.tasks.items() if not raw.get("status", {}).get("completionTime")]
        if event == "ask":
            world.asked(str(number))
        elif event == "edit":
            world.edit(trainingConfig={"n_estimators": 10 + choice})
        elif event == "post":
            world.posted(f"job-{number}")
        elif event == "pass":
            world.passes(1000 * choice)
        elif event == "forget" and world.made:
            ended = [n for n in world.tasks if n in done and world.status.get("versions")]
            known = {v["lineage"]["job"] for v in world.status.get("versions") or ()}
            for name in ended[:1]:
                if name in known:
                    del world.tasks[name]
        elif event in ("end", "fail", "cancel") and open_jobs:
            name = open_jobs[choice % len(open_jobs)]
            world.ends(name, {"end": "Done", "fail": "Error", "cancel": "Canceled"}[event], accuracy=0.5)
            if event == "end":
                done.append(name)
        if event == "kill":
            world.writes_left = choice
            world.look()
            world.writes_left = None
        elif number % 2:
            world.settle()
    world.settle()
    listed = [*(world.status.get("versions") or ()), *(world.status.get("formerVersions") or ())]
    numbers = sorted(one["number"] for one in listed)
    assert numbers == list(range(1, len(done) + 1))
    assert world.status.get("latestVersion") == (len(done) or None)


def test_a_version_reads_as_a_sentence() -> None:
    version = {"number": 3, "performanceMetrics": [{"name": "accuracy", "value": "0.97"}]}
    assert modelversions.in_words(version) == "Version 3 (accuracy 0.97)"


def test_what_does_not_train_runs_where_the_trainings_do_but_without_their_devices() -> None:
    where = {"accelerator": {"count": 1}, "nodeSelector": {"pool": "gpu"}, "tolerations": [{"key": "mine"}]}
    monitor = {"schedule": "0 * * * *", "dataset": "fresh", "threshold": "0.8"}
    world = trained(training={"jobTemplate": {"spec": where}}, monitor=monitor)
    world.passes(3600).settle()
    spec = world.tasks["digits-monitor-1"]["spec"]
    assert spec["nodeSelector"] == {"pool": "gpu"}
    assert [one["key"] for one in spec["tolerations"]] == ["mine", "nvidia.com/gpu"]
    assert "accelerator" not in spec
