"""A job's attempts all see the data that it began with, and a job that is begun anew the newest."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson

from tests.unit.planning.builders import a_dataset, a_job, a_pod, a_spec
from tests.unit.planning.story import Story
from trainyard.api import names
from trainyard.api.dataset import DatasetSource
from trainyard.planning import useddatasets

OLD = a_dataset("d", uid="u", revision="one", sha256="1" * 64)
NEW = dataclasses.replace(OLD, revision="two", sha256="2" * 64, uri="pvc://data-2/data")
RECORDED = [{"name": "d", "uid": "u", "uri": "pvc://data/d", "revision": "one", "sha256": "1" * 64}]


def a_story(**spec: Any) -> Story:
    """A job whose attempt 0 runs with the old revision; the pods of plans are read as they were made."""
    story = Story(**{"backoffLimit": 3, **spec}, datasets={"train": ["d"]})
    story.job = dataclasses.replace(story.job, datasets={"d": OLD})
    return story


def claims_of(story: Story) -> list[list[str]]:
    """Of each pod that was made."""
    volumes = [body["spec"]["volumes"] for body in story.bodies]
    return [
        [v["persistentVolumeClaim"]["claimName"] for v in of_pod if "persistentVolumeClaim" in v]
        for of_pod in volumes
    ]


def test_the_pod_carries_what_it_is_made_with() -> None:
    (pod,) = a_story().look().create
    assert orjson.loads(pod["metadata"]["annotations"][names.DATASETS]) == RECORDED


def test_status_records_it_with_the_first_write_and_the_next_attempt_gets_the_same() -> None:
    story = a_story().settle().pod_is_scheduled().pod_runs().settle()
    assert story.status["datasets"] == RECORDED
    story.job = dataclasses.replace(story.job, datasets={"d": NEW})
    story.pod_ends(1).settle().passes(60).settle()
    assert claims_of(story) == [["data"], ["data"]]


def test_another_attempt_needs_no_dataset_that_is_available_now() -> None:
    story = a_story().settle().pod_is_scheduled().pod_runs().settle()
    failed = dataclasses.replace(NEW, available=False, failed=True)
    story.job = dataclasses.replace(story.job, datasets={"d": failed})
    story.pod_ends(1).settle().passes(60).settle()
    assert len(story.created) == 2


def test_a_job_that_is_tried_again_after_its_end_gets_the_newest() -> None:
    story = a_story(backoffLimit=0).settle().pod_is_scheduled().pod_runs().settle()
    story.pod_ends(1).settle()
    assert story.status["phase"] == "Error"
    story.job = dataclasses.replace(story.job, datasets={"d": NEW})
    story.retry().settle()
    assert claims_of(story) == [["data"], ["data-2"]]


def test_an_annotation_that_somebody_has_written_harms_nobody() -> None:
    for text in ("{", "[1]", '[{"name": 1}]', '[{"name": "d", "uri": ["x"]}]', '{"name": "d"}'):
        found = useddatasets.as_status({}, (a_pod(running=True, datasets=text),)) or []
        assert all(set(one) <= {"name", *useddatasets.LIMITS} for one in found)
    long = orjson.dumps([{"name": "d", "revision": "x" * 999}]).decode()
    (entry,) = useddatasets.as_status({}, (a_pod(running=True, datasets=long),)) or []
    assert len(entry["revision"]) == 253
    many = orjson.dumps([{"name": f"d-{number}"} for number in range(500)]).decode()
    assert len(useddatasets.as_status({}, (a_pod(running=True, datasets=many),)) or []) == 72
    for uri in ("s3://bucket", "pvc://disk/../else", "pvc:///data"):
        climbing = orjson.dumps([{"name": "d", "uri": uri}]).decode()
        assert useddatasets.as_status({}, (a_pod(running=True, datasets=climbing),)) == [{"name": "d"}]


def test_data_that_no_volume_keeps_is_pulled_by_the_pod_itself() -> None:
    source = DatasetSource.model_validate({"uri": "s3://bucket/d", "secretRef": {"name": "keys"}})
    view = dataclasses.replace(OLD, uri="", listing="3" * 64, source=source)
    story = Story(datasets={"train": ["d"]})
    story.job = a_job(spec=a_spec(datasets={"train": ["d"]}), datasets={"d": view})
    (pod,) = story.look().create
    (pull,) = pod["spec"]["initContainers"]
    assert pull["args"] == ["pull"]
    order = orjson.loads(next(e["value"] for e in pull["env"] if e["name"] == "TRAINYARD_DATA"))
    assert (order["listing"], order["source"]["uri"]) == ("3" * 64, "s3://bucket/d")
    mounts = {m["mountPath"]: m for m in pod["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["/trainyard/data/d"] == {
        "name": "dataset-0",
        "mountPath": "/trainyard/data/d",
        "subPath": "data",
        "readOnly": True,
    }
    assert {"name": "dataset-0-secret", "secret": {"secretName": "keys"}} in pod["spec"]["volumes"]
    assert "secret" not in str(mounts), "the trainer does not see the Secret"


def test_what_was_pulled_by_each_pod_and_is_kept_on_a_volume_by_now_is_no_data_for_another_attempt() -> None:
    view = dataclasses.replace(OLD, uri="", listing="3" * 64, source=DatasetSource(uri="s3://bucket/d"))
    story = a_story()
    story.job = dataclasses.replace(story.job, datasets={"d": view})
    story.settle().pod_is_scheduled().pod_runs().settle()
    story.job = dataclasses.replace(story.job, datasets={"d": NEW})
    story.pod_ends(1).settle().passes(60).settle()
    assert (story.status["phase"], story.status["reason"]) == ("Error", "DatasetFailed")
    story.retry().settle()
    assert claims_of(story) == [[], ["data-2"]]
