"""The Dataset that a job makes: once, when it is Done, never over another one, and whatever dies in between."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from tests.unit.planning.builders import (
    NOW,
    UID,
    a_dataset,
    a_job,
    a_pod,
    a_refusal,
    an_agent,
    env_of,
    plan,
    said,
    settled,
    status_after,
)
from trainyard.api.dataset import DatasetSpec
from trainyard.api.datasetstatus import DatasetLineage
from trainyard.api.trainingjobstatus import MadeDataset
from trainyard.planning.observed import ObservedJob, OutputDatasetView
from trainyard.planning.plan import Plan

BUCKET = {"uri": "s3://models/team", "endpoint": "http://s3:9000", "secretRef": {"name": "keys"}}
FOLDER = f"s3://models/team/{UID}/attempt-0"
SAFE = {"uploaded": True, "uri": FOLDER, "size": 12, "sha256": "a" * 64}
WANTED = {"name": "cats-kitti", "type": "object_detection", "format": "kitti"}
OURS = OutputDatasetView(uid="d-1", job_uid=UID)
FOREIGN = OutputDatasetView(uid="d-2", job_uid="another-job")


def making(**fields: Any) -> ObservedJob:
    """A job that makes a Dataset; `fields` are the builder's or of its spec."""
    there = fields.pop("there", None)
    origins = fields.pop("origins", ())
    job = a_job(
        **{
            "output": BUCKET,
            "outputDataset": WANTED,
            "datasets": {"cats": a_dataset("cats", uid="c-1", type="object_detection", format="coco")},
            **fields,
        }
    )
    assert job.spec is not None
    spec = job.spec.model_copy(
        update={"datasets": job.spec.datasets.model_copy(update={"input": "cats"}), "action": "train"}
    )
    return dataclasses.replace(job, spec=spec, output_dataset=there, origins=origins)


def done(**fields: Any) -> ObservedJob:
    """The job as it is after the write that says Done."""
    ended = making(pods=(a_pod(exit_code=0, sidecars=an_agent(**SAFE), parameters_digest="p" * 16),))
    status = {**status_after(plan(ended)), **fields.pop("over", {})}
    return making(status=status, **fields)


def entry(p: Plan) -> dict[str, Any]:
    found = dict(status_after(p)["outputDataset"])
    MadeDataset.model_validate(found)
    return found


def test_the_intent_is_in_the_write_that_says_done_and_nothing_is_created_before_it() -> None:
    p = plan(making(pods=(a_pod(exit_code=0, sidecars=an_agent(**SAFE)),)))
    assert said(p) == ("Done", "Completed")
    assert entry(p) == {"name": "cats-kitti", "uri": f"{FOLDER}/dataset", "state": "Pending"}
    assert p.make is None
    assert p.requeue_after == 0.0


def test_then_it_is_created_as_the_job_says_with_where_it_comes_from() -> None:
    used = [
        {"name": "cats", "uid": "c-1", "uri": "pvc://data/cats", "revision": "v1", "sha256": "b" * 64},
    ]
    p = plan(done(over={"datasets": used}))
    assert p.make is not None
    assert p.status is None, "what came of it is recorded when it has been seen"
    assert p.make["metadata"]["name"] == "cats-kitti"
    assert "ownerReferences" not in p.make["metadata"]
    assert p.make["metadata"]["labels"] == {"trainyard.dev/job": "digits", "trainyard.dev/job-uid": UID}
    assert p.make["spec"] == {
        "type": "object_detection",
        "format": "kitti",
        "source": {
            "uri": f"{FOLDER}/dataset",
            "fileType": "folder",
            "endpoint": "http://s3:9000",
            "secretRef": {"name": "keys"},
        },
    }
    DatasetSpec.model_validate(p.make["spec"])
    lineage = json.loads(p.make["metadata"]["annotations"]["trainyard.dev/lineage"])
    assert lineage == {
        "job": "digits",
        "jobUid": UID,
        "action": "train",
        "parametersDigest": "p" * 16,
        "inputs": [{"name": "cats", "uid": "c-1", "revision": "v1", "sha256": "b" * 64}],
    }
    DatasetLineage.model_validate(lineage)


def test_of_a_claim_the_source_is_the_folder_in_it() -> None:
    ended = making(output={"claimName": "out"}, pods=(a_pod(exit_code=0),))
    p = plan(making(output={"claimName": "out"}, status=status_after(plan(ended))))
    assert p.make is not None
    assert p.make["spec"]["source"] == {"uri": f"pvc://out/{UID}/attempt-0/dataset"}
    inputs = json.loads(p.make["metadata"]["annotations"]["trainyard.dev/lineage"])["inputs"]
    assert inputs == [{"name": "cats"}], "a restored job knows no more of them"


def test_when_it_is_seen_it_is_told_and_never_made_again() -> None:
    p = plan(done(there=OURS))
    assert entry(p) == {
        "name": "cats-kitti",
        "uri": f"{FOLDER}/dataset",
        "state": "Created",
        "uid": "d-1",
    }
    assert [a.reason for a in p.announce] == ["DatasetCreated"]
    assert p.make is None
    deleted = done(over={"outputDataset": entry(p)})
    assert (plan(deleted).make, plan(deleted).status) == (None, None), "its user does not want it any longer"


def test_one_that_the_job_made_before_it_came_back_from_a_backup_is_its_own() -> None:
    before = OutputDatasetView(uid="d-0", job_uid="uid-before")
    assert entry(plan(done(there=before, origins=("uid-before",))))["state"] == "Created"


def test_another_one_of_that_name_is_left_as_it_is_and_the_job_stays_done() -> None:
    p = plan(done(there=FOREIGN))
    assert said(p) == ("Done", "Completed")
    assert entry(p)["state"] == "NameTaken"
    assert f"{FOLDER}/dataset" in entry(p)["message"]
    assert [(a.type, a.reason) for a in p.announce] == [("Warning", "DatasetExists")]
    later = done(over={"outputDataset": entry(p)})
    assert plan(later).make is None, "also when the other one is gone"


def test_one_that_is_being_deleted_is_waited_for() -> None:
    p = plan(done(there=dataclasses.replace(FOREIGN, deleting=True)))
    assert (p.make, p.status) == (None, None)


def test_a_refusal_is_told_and_tried_again_and_the_job_stays_done() -> None:
    refusal = a_refusal(403, "exceeded quota: datasets")
    p = plan(done(refusal=refusal))
    assert said(p) == ("Done", "Completed")
    assert entry(p)["state"] == "Pending"
    assert "exceeded quota" in entry(p)["message"]
    assert [(a.type, a.reason) for a in p.announce] == [("Warning", "DatasetRefused")]
    assert p.make is None
    told = done(refusal=refusal, over={"outputDataset": entry(p)})
    waits = plan(told, now=NOW + 1)
    assert (waits.make, waits.status) == (None, None)
    assert waits.requeue_after == pytest.approx(4.0)
    assert plan(told, now=NOW + 6).make is not None
    made = plan(done(refusal=refusal, there=OURS, over={"outputDataset": entry(p)}))
    assert "message" not in entry(made)


@pytest.mark.parametrize(
    "unfinished",
    [
        pytest.param(making(pods=(a_pod(running=True),)), id="running"),
        pytest.param(making(pods=(a_pod(exit_code=1),)), id="failed"),
        pytest.param(making(cancel=True), id="cancelled"),
    ],
)
def test_a_job_that_is_not_done_makes_none(unfinished: ObservedJob) -> None:
    p = plan(unfinished)
    assert p.make is None
    assert "outputDataset" not in (p.status or {})


def test_a_name_that_is_taken_costs_no_run() -> None:
    p = settled(making(there=FOREIGN))
    assert said(p) == ("Pending", "DatasetExists")
    assert "cats-kitti" in status_after(p)["message"]
    assert not p.create
    assert plan(making()).create
    assert plan(making(there=OURS)).create, "a job that is tried again"


def test_the_trainer_is_told_types_and_formats() -> None:
    (pod,) = plan(making()).create
    told = {key: value for key, value in env_of(pod).items() if key.endswith(("_TYPE", "_FORMAT"))}
    assert told == {
        "TRAINYARD_TYPE": "neural_network",
        "TRAINYARD_INPUT_TYPE": "object_detection",
        "TRAINYARD_INPUT_FORMAT": "coco",
        "TRAINYARD_OUTPUT_TYPE": "object_detection",
        "TRAINYARD_OUTPUT_FORMAT": "kitti",
    }
