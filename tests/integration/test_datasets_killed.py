"""A Dataset is pulled once and let go of once, wherever the operator is killed."""

from __future__ import annotations

import pytest

from tests.harness import operator as operators
from tests.harness import processes
from tests.harness.controlplane import ControlPlane
from tests.integration.datasetpods import claims, create, pull_ends, reaches, status, survey_ends
from tests.objects import Jobs, found
from trainyard.api import names
from trainyard.cluster.failpoints import VARIABLE

pytestmark = pytest.mark.timeout(420)

#: Of the life that the test plays, in the order in which they are passed.
BEFORE_THE_SURVEY = ("before-status", "after-status", "before-pod-create", "after-pod-create")
BEFORE_THE_PULL = (
    "before-status",
    "after-status",
    "before-annotate",
    "after-annotate",
    "before-claim",
    "after-claim",
    "before-pod-create",
    "after-pod-create",
)
AFTER_THE_PULL = (
    "before-claim",
    "after-claim",
    "before-status",
    "after-status",
    "before-pod-delete",
    "after-pod-delete",
)


def killed_at(plane: ControlPlane, *places: str) -> None:
    """Operators one after the other, each of which dies at its place."""
    for place in places:
        with operators.running(plane, name="killed", environment={VARIABLE: place}, wait=False) as one:
            assert processes.wait_gone(one.daemon, timeout=60), f"the operator never came to {place}"


def test_killed_at_every_write_it_is_pulled_once_and_its_volume_goes_with_it(
    plane: ControlPlane, jobs: Jobs
) -> None:
    create(jobs, "digits")
    killed_at(plane, *BEFORE_THE_SURVEY)
    survey_ends(jobs, "digits-survey-0")
    killed_at(plane, *BEFORE_THE_PULL)
    assert [p["metadata"]["name"] for p in jobs.pods()].count("digits-pull-1") == 1
    pull_ends(jobs, "digits-pull-1")
    killed_at(plane, *AFTER_THE_PULL)
    with operators.running(plane, name="last"):
        told = reaches(jobs, "digits", "Done", "Completed")
        assert told["pull"]["failures"] == 0
        found(lambda: not jobs.pods(), what="its pods to go")
        (claim,) = claims(jobs).values()
        assert names.PUBLISHED in claim["metadata"]["annotations"]
    jobs.delete("datasets", "digits")
    assert status(jobs, "digits"), "it stays while nobody is there to let go of it"
    killed_at(plane, "before-annotate", "after-annotate")
    found(lambda: jobs.client.find(jobs.path("datasets", "digits")) is None, what="it to go")
    found(
        lambda: all(c["metadata"].get("deletionTimestamp") for c in claims(jobs).values()),
        what="its volume to go",
        timeout=60,
    )
