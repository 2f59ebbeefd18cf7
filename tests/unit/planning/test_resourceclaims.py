"""Devices by dynamic resource allocation: what the pod says, and what is said of a pod that waits for them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.builders import NOW, UID, a_job, a_pod, a_spec, plan, said, settled, status_after
from trainyard.planning import resourceclaims
from trainyard.planning.podview import PodView

OF_TEMPLATE = {"name": "gpus", "resourceClaimTemplateName": "four-gpus", "request": "big"}
SHARED = {"name": "link", "resourceClaimName": "the-switch"}


def test_a_pod_names_its_claims_and_the_trainer_gets_what_it_asks_of_them() -> None:
    spec = a_spec(resourceClaims=[OF_TEMPLATE, SHARED])
    assert resourceclaims.of_pod(spec) == [
        {"name": "gpus", "resourceClaimTemplateName": "four-gpus"},
        {"name": "link", "resourceClaimName": "the-switch"},
    ]
    assert resourceclaims.of_trainer(spec) == [{"name": "gpus", "request": "big"}, {"name": "link"}]


def made(**fields: Any) -> dict[str, Any]:
    """The spec of the pod that is created."""
    return dict(plan(a_job(**fields)).create[0]["spec"])


def test_the_pod_that_is_created_has_them_beside_what_it_asks_for_by_count() -> None:
    spec = made(resourceClaims=[OF_TEMPLATE], resources={"limits": {"cpu": "2"}}, accelerator={"count": 1})
    assert spec["resourceClaims"] == [{"name": "gpus", "resourceClaimTemplateName": "four-gpus"}]
    assert spec["containers"][0]["resources"] == {
        "requests": {"nvidia.com/gpu": "1"},
        "limits": {"cpu": "2", "nvidia.com/gpu": "1"},
        "claims": [{"name": "gpus", "request": "big"}],
    }


def test_a_pod_without_claims_says_nothing_of_them() -> None:
    spec = made()
    assert "resourceClaims" not in spec
    assert "claims" not in spec["containers"][0]["resources"]


@pytest.mark.parametrize(("fields", "tolerated"), [({"resourceClaims": [OF_TEMPLATE]}, True), ({}, False)])
def test_claimed_devices_bring_the_toleration_of_accelerators(
    fields: dict[str, Any], tolerated: bool
) -> None:
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert (toleration in made(**fields)["tolerations"]) is tolerated


def test_a_template_that_is_not_there_is_named() -> None:
    pod = a_pod(scheduled=False, unmade_claims_of=("four-gpus",))
    p = settled(a_job(pods=(pod,)))
    assert said(p) == ("Pending", "ClaimNotFound")
    assert "ResourceClaimTemplate four-gpus" in status_after(p)["message"]


def test_a_job_gives_up_when_its_template_never_comes() -> None:
    pod = a_pod(scheduled=False, unmade_claims_of=("four-gpus",))
    p = plan(a_job(pods=(pod,), startupTimeoutSeconds=60), now=NOW + 60)
    assert said(p) == ("Error", "StartupTimeout")


def test_a_pod_that_no_scheduler_looks_at_names_the_claims_it_may_lack() -> None:
    pod = a_pod(scheduled=False, resource_claims=("the-switch",))
    p = settled(a_job(pods=(pod,)))
    assert said(p) == ("Pending", "Accepted")
    assert "ResourceClaim the-switch" in status_after(p)["message"]


def test_devices_that_are_taken_are_told() -> None:
    text = (
        "0/3 nodes are available: 3 cannot allocate all claims. still not schedulable, preemption: 0/3 nodes are "
        "available: 3 Preemption is not helpful for scheduling."
    )
    pod = a_pod(scheduled=False, scheduling_reason="Unschedulable", scheduling_message=text)
    p = settled(a_job(pods=(pod,)))
    message = status_after(p)["message"]
    assert said(p) == ("Pending", "Unschedulable")
    assert "3 cannot allocate all claims. No node has free what the pod's resource claims ask for" in message


@pytest.mark.parametrize(
    ("statuses", "unmade"),
    [([], ("four-gpus",)), ([{"name": "gpus", "resourceClaimName": "digits-0-0-gpus-x"}], ())],
)
def test_a_claim_that_is_made_is_waited_for_no_longer(
    statuses: list[dict[str, str]], unmade: tuple[str, ...]
) -> None:
    raw = {
        "metadata": {
            "name": "digits-0-0",
            "ownerReferences": [
                {
                    "apiVersion": "trainyard.dev/v1alpha1",
                    "kind": "TrainingJob",
                    "name": "digits",
                    "uid": UID,
                    "controller": True,
                }
            ],
        },
        "spec": {"resourceClaims": [{"name": "gpus", "resourceClaimTemplateName": "four-gpus"}, SHARED]},
        "status": {"resourceClaimStatuses": statuses},
    }
    view = PodView.from_raw(raw)
    assert (view.unmade_claims_of, view.resource_claims) == (unmade, ("the-switch",))
