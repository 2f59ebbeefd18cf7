"""A field that nothing acts on yet is told, and nothing runs until it is taken out."""

from __future__ import annotations

import pytest

from tests.objects import Jobs, found, manifest

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(120)]


def test_a_job_with_such_a_field_runs_when_it_is_taken_out(jobs: Jobs) -> None:
    jobs.create("wide", baseModels=[{"uri": "ngc:nvidia/tao/pretrained"}])
    status = jobs.reaches("wide", "Pending", "NotYetSupported")
    assert "spec.baseModels[].uri: ngc:" in status["message"]
    assert {c["type"]: c["status"] for c in status["conditions"]}["Stalled"] == "True"
    assert jobs.pods("wide") == []
    jobs.client.patch(jobs.path("trainingjobs", "wide"), {"spec": {"baseModels": None}})
    jobs.reaches("wide", "Done", "Completed")


def test_a_job_waits_for_a_dataset_with_such_a_field(jobs: Jobs) -> None:
    elsewhere = manifest("Dataset", "numbers", {"type": "tabular", "source": {"uri": "ngc:nvidia/numbers"}})
    jobs.client.post(jobs.path("datasets"), elsewhere)
    found(
        lambda: (
            jobs.client.get(jobs.path("datasets", "numbers"))["status"].get("reason") == "NotYetSupported"
        ),
        what="the dataset to be NotYetSupported",
    )
    jobs.create("early", datasets={"train": ["numbers"]})
    status = jobs.reaches("early", "Pending", "WaitingForDataset")
    assert "spec.source.uri" in status["message"]
