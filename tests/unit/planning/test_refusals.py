"""What the API server's refusal of a pod means. The texts are those of a real API server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.builders import a_job, a_refusal, plan, said, settled, status_after

FORBIDDEN = 'pods "digits-0-0" is forbidden: '
REFUSED: list[Any] = [
    pytest.param(
        'error looking up service account team-a/robot: serviceaccount "robot" not found',
        "ServiceAccountNotFound",
        "kubectl create serviceaccount robot",
        id="a service account that there is not",
    ),
    pytest.param(
        "exceeded quota: gpus, requested: requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=8, limited: "
        "requests.nvidia.com/gpu=8",
        "QuotaExceeded",
        "have the quota raised",
        id="a quota that is used up",
    ),
    pytest.param(
        "failed quota: memory: must specify limits.memory for: trainer",
        "QuotaExceeded",
        "Set it in spec.resources",
        id="a quota that asks for limits",
    ),
    pytest.param(
        'violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true)',
        "PolicyRefused",
        "Change what is named there in spec.template",
        id="Pod Security",
    ),
    pytest.param(
        "no PriorityClass with name urgent was found",
        "PolicyRefused",
        "spec.priorityClassName",
        id="a priority that there is not",
    ),
    pytest.param(
        'pod rejected: RuntimeClass "gvisor" not found',
        "PolicyRefused",
        "spec.template.spec.runtimeClassName",
        id="a runtime class that there is not",
    ),
    pytest.param(
        "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        "PolicyRefused",
        "Change what it names",
        id="a limit range",
    ),
]


@pytest.mark.parametrize(("text", "reason", "advice"), REFUSED)
def test_a_refusal_is_pending_by_its_name_with_what_to_do_and_tried_again(
    text: str, reason: str, advice: str
) -> None:
    observed = a_job(refusal=a_refusal(403, FORBIDDEN + text))
    p = settled(observed)
    assert said(p) == ("Pending", reason)
    message = status_after(p)["message"]
    assert text.partition(":")[0].rpartition(" ")[0] in message or reason == "ServiceAccountNotFound"
    assert advice in message
    assert "tried again by itself" in message
    assert p.requeue_after is not None
    assert p.requeue_after <= 60


def test_a_kind_of_a_scheduler_that_is_not_installed_is_named_and_tried_again() -> None:
    text = "PodGroup of scheduling.volcano.sh/v1beta1 is not served by this cluster: 404 page not found"
    p = settled(a_job(refusal=a_refusal(404, text)))
    assert said(p) == ("Pending", "Unschedulable")
    message = status_after(p)["message"]
    assert text in message
    assert "Install the scheduler that spec.schedulerName names" in message
    assert p.requeue_after is not None
    assert p.requeue_after <= 60


def test_a_refusal_that_lasts_ends_the_job_with_what_was_refused() -> None:
    text = FORBIDDEN + 'error looking up service account a/robot: serviceaccount "robot" not found'
    p = plan(a_job(refusal=a_refusal(403, text, age=1801)))
    assert said(p) == ("Error", "StartupTimeout")
    assert "ServiceAccountNotFound: There is no ServiceAccount robot" in status_after(p)["message"]
