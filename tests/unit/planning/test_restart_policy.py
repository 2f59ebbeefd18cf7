"""A trainer is never restarted in its pod: its log and its end would be lost to the next crash."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planning.builders import CONTEXT, NOW, a_job, a_spec
from trainyard.planning.trainingjob import plan_training_job


def plan_for(pod_spec: dict[str, Any]) -> Any:
    return plan_training_job(a_job(spec=a_spec(template={"spec": pod_spec})), now=NOW, context=CONTEXT)


@pytest.mark.parametrize(
    ("pod_spec", "says"),
    [
        pytest.param({"restartPolicy": "OnFailure"}, "restartPolicy to OnFailure", id="on failure"),
        pytest.param({"restartPolicy": "Always"}, "restartPolicy to Always", id="always"),
        pytest.param(
            {"restartPolicy": None}, "restartPolicy to null", id="Kubernetes' default, which is Always"
        ),
        pytest.param(
            {"containers": [{"name": "trainer", "restartPolicy": "OnFailure"}]},
            "restartPolicy of the trainer to OnFailure",
            id="of the trainer's container",
        ),
        pytest.param(
            {"containers": [{"name": "trainer", "restartPolicyRules": [{"action": "Restart"}]}]},
            "restartPolicyRules of the trainer",
            id="by rules",
        ),
    ],
)
def test_a_template_that_restarts_the_trainer_in_place_is_refused(
    pod_spec: dict[str, Any], says: str
) -> None:
    plan = plan_for(pod_spec)
    assert plan.create == ()
    assert (plan.status["phase"], plan.status["reason"]) == ("Error", "InvalidSpec")
    assert plan.status["message"].startswith(f"spec.template sets {says}, but ")
    assert "backoffLimit" in plan.status["message"]


@pytest.mark.parametrize(
    "pod_spec",
    [
        pytest.param({"restartPolicy": "Never"}, id="what it is anyway"),
        pytest.param(
            {"initContainers": [{"name": "proxy", "image": "p", "restartPolicy": "Always"}]},
            id="a native sidecar",
        ),
    ],
)
def test_what_restarts_no_trainer_is_taken(pod_spec: dict[str, Any]) -> None:
    (pod,) = plan_for(pod_spec).create
    assert pod["spec"]["restartPolicy"] == "Never"
