"""Datasets on a real API server: one claim for one content, jobs that wait, revisions, and what is kept for whom."""

from __future__ import annotations

import time

import pytest

from tests.integration.datasetpods import (
    DIGEST,
    LISTING,
    claims,
    create,
    pod,
    pull_ends,
    pulled,
    reaches,
    status,
    survey_ends,
)
from tests.objects import Jobs, found
from trainyard.api import names

CLAIM = names.data_claim_name(LISTING)
OTHER = "b" * 64

pytestmark = pytest.mark.usefixtures("operator")


def test_a_source_is_listed_pulled_onto_a_claim_of_its_size_and_checked(jobs: Jobs) -> None:
    dataset = create(jobs, "digits")
    survey_ends(jobs, "digits-survey-0")
    body = pod(jobs, "digits-pull-1")
    (init,), (check,) = body["spec"]["initContainers"], body["spec"]["containers"]
    assert (init["args"], check["args"]) == (["pull"], ["check"])
    (claim,) = claims(jobs).values()
    assert claim["metadata"]["name"] == CLAIM
    assert [owner["uid"] for owner in claim["metadata"]["ownerReferences"]] == [dataset["metadata"]["uid"]]
    assert claim["spec"]["resources"]["requests"]["storage"] == "66Mi"
    assert "published" not in str(claim["metadata"]["annotations"])
    pull_ends(jobs, "digits-pull-1")
    told = reaches(jobs, "digits", "Done", "Completed")
    assert (told["uri"], told["sha256"], told["revision"]) == (f"pvc://{CLAIM}/data", DIGEST, "v1")
    assert names.PUBLISHED in claims(jobs)[CLAIM]["metadata"]["annotations"]
    found(lambda: not jobs.pods(), what="its pods to go")


def test_ten_jobs_wait_for_one_pull_and_record_what_they_begin_with(jobs: Jobs) -> None:
    create(jobs, "digits")
    for number in range(10):
        jobs.create(f"job-{number}", datasets={"train": ["digits"]})
    jobs.reaches("job-9", "Pending", "WaitingForDataset")
    pulled(jobs, "digits")
    made = found(lambda: (p := jobs.pods("job-9")) and p, what="the pod of job-9")
    mounts = made[0]["spec"]["containers"][0]["volumeMounts"]
    assert {"mountPath": "/trainyard/data/digits", "subPath": "data", "readOnly": True}.items() <= next(
        m for m in mounts if m["mountPath"] == "/trainyard/data/digits"
    ).items()
    recorded = found(lambda: jobs.status("job-9").get("datasets"), what="status.datasets")
    assert recorded[0]["revision"] == "v1"
    assert len(claims(jobs)) == 1
    assert sum("-pull-" in one["metadata"]["name"] for one in jobs.pods()) == 0


def test_what_two_datasets_have_in_common_is_pulled_once(jobs: Jobs) -> None:
    create(jobs, "first")
    create(jobs, "second", source={"uri": "s3://mirror/digits"})
    survey_ends(jobs, "first-survey-0")
    pod(jobs, "first-pull-1")
    survey_ends(jobs, "second-survey-0")
    found(lambda: "Another Dataset" in status(jobs, "second")["message"], what="that it waits")
    assert status(jobs, "second")["pull"]["claim"] == CLAIM
    pull_ends(jobs, "first-pull-1")
    reaches(jobs, "first", "Done", "Completed")
    assert "initContainers" not in pod(jobs, "second-pull-1")["spec"]
    pull_ends(jobs, "second-pull-1")
    reaches(jobs, "second", "Done", "Completed")
    assert len(claims(jobs)[CLAIM]["metadata"]["ownerReferences"]) == 2
    jobs.delete("datasets", "first")
    found(lambda: len(claims(jobs)[CLAIM]["metadata"]["ownerReferences"]) == 1, what="one owner", timeout=60)


def test_who_takes_over_a_pull_is_the_one_that_waits_for_it(jobs: Jobs) -> None:
    create(jobs, "first")
    create(jobs, "second", source={"uri": "s3://mirror/digits"})
    survey_ends(jobs, "first-survey-0")
    pod(jobs, "first-pull-1")
    survey_ends(jobs, "second-survey-0")
    reaches(jobs, "second", "Running", "Pulling")
    jobs.delete("datasets", "first")
    assert pod(jobs, "second-pull-1")["spec"]["initContainers"]
    pull_ends(jobs, "second-pull-1")
    reaches(jobs, "second", "Done", "Completed")


def test_another_revision_takes_the_place_of_the_first_and_a_job_keeps_what_it_has(jobs: Jobs) -> None:
    create(jobs, "digits")
    pulled(jobs, "digits")
    jobs.create("long", datasets={"train": ["digits"]})
    found(lambda: jobs.status("long").get("datasets"), what="that the job has begun")
    path = jobs.path("datasets", "digits")
    jobs.client.patch(path, {"metadata": {"annotations": {names.REFRESH_REQUESTED_AT: "1"}}})
    survey_ends(jobs, "digits-survey-2", listing=OTHER)
    pull_ends(jobs, "digits-pull-3")
    second = names.data_claim_name(OTHER)
    found(lambda: status(jobs, "digits")["uri"] == f"pvc://{second}/data", what="the second revision")
    assert jobs.status("long")["datasets"][0]["uri"] == f"pvc://{CLAIM}/data"
    time.sleep(2)
    assert set(claims(jobs)) == {CLAIM, second}
    jobs.client.patch(jobs.path("trainingjobs", "long"), {"spec": {"cancel": True}})
    jobs.reaches("long", "Canceled")
    found(
        lambda: claims(jobs).get(CLAIM, {"metadata": {"deletionTimestamp": 1}})["metadata"].get("deletionTimestamp"),
        what="the first volume to go",
        timeout=40,
    )  # fmt: skip


def test_one_that_is_deleted_stays_for_a_job_that_has_begun(jobs: Jobs) -> None:
    create(jobs, "digits")
    pulled(jobs, "digits")
    jobs.create("long", datasets={"train": ["digits"]})
    found(lambda: jobs.status("long").get("datasets"), what="that the job has begun")
    jobs.create("late", datasets={"train": ["digits"]}, suspend=True)
    jobs.delete("datasets", "digits")
    found(lambda: "long" in status(jobs, "digits")["message"], what="that it says who uses it")
    jobs.client.patch(jobs.path("trainingjobs", "late"), {"spec": {"suspend": False}})
    assert "deleted" in jobs.reaches("late", "Pending", "WaitingForDataset")["message"]
    jobs.client.patch(jobs.path("trainingjobs", "long"), {"spec": {"cancel": True}})
    jobs.reaches("long", "Canceled")
    found(lambda: jobs.client.find(jobs.path("datasets", "digits")) is None, what="it to go", timeout=40)


def test_data_that_is_not_what_it_should_be_fails_the_jobs_that_wait_for_it(jobs: Jobs) -> None:
    create(jobs, "digits")
    jobs.create("job", datasets={"train": ["digits"]})
    survey_ends(jobs, "digits-survey-0")
    pull_ends(jobs, "digits-pull-1", valid=False, error="train.csv, line 3: 4 values in 5 columns.")
    reaches(jobs, "digits", "Error", "InvalidData")
    assert "line 3" in jobs.reaches("job", "Error", "DatasetFailed")["message"]


def test_a_source_that_refuses_us_is_tried_again_before_it_is_an_error(jobs: Jobs) -> None:
    create(jobs, "digits", backoffLimit=0)
    create(jobs, "patient", backoffLimit=1)
    for name in ("digits", "patient"):
        survey_ends(jobs, f"{name}-survey-0", error="The keys were revoked.", kind="forbidden")
    reaches(jobs, "digits", "Error", "AccessDenied")
    assert "revoked" in reaches(jobs, "patient", "Pending", "BackingOff")["message"]
    survey_ends(jobs, "patient-survey-1")
    pod(jobs, "patient-pull-2")


def test_a_quota_that_leaves_no_room_for_the_volume_is_told_and_gone_on_from(jobs: Jobs) -> None:
    quota = {"metadata": {"name": "disks"}, "spec": {"hard": {"requests.storage": "1Mi"}}}
    base = f"/api/v1/namespaces/{jobs.namespace}/resourcequotas"
    jobs.client.post(base, quota)
    found(lambda: jobs.client.get(f"{base}/disks")["status"].get("used"), what="the quota to be in force")
    create(jobs, "digits")
    survey_ends(jobs, "digits-survey-0")
    assert "requests.storage" in reaches(jobs, "digits", "Pending", "QuotaExceeded")["message"]
    jobs.client.delete(f"{base}/disks")
    pod(jobs, "digits-pull-1")
