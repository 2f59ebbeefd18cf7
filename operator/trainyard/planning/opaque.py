"""What is opaque to our schema (template, affinity, sources of variables): bounded, laid over the pod, never trusted.

Separate because it can have any shape: whatever goes wrong with it is the user's error and ends that job alone, while
an error of ours must not pass for one. Called by `planning.podspec` and before it by `planning.podcreation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.api import names
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import placement
from trainyard.planning.merge import merged
from trainyard.planning.placement import AcceleratorRules

Json = dict[str, Any]

_DEPTH_LIMIT = 64


class TemplateError(ValueError):
    """No pod can be made of it; the message is for the user."""


def nested_too_deeply(spec: TrainingJobSpec) -> str | None:
    """Make sure that all of it can be walked and written as JSON."""
    fields = {
        "template": spec.template.spec if spec.template is not None else None,
        "affinity": vars(spec.affinity) if spec.affinity is not None else None,
        "env": [variable.value_from for variable in spec.env],
    }
    for field, value in fields.items():
        if _deep(value):
            return f"{field}: nested deeper than {_DEPTH_LIMIT} levels."
    return None


def affinity(spec: TrainingJobSpec, rules: AcceleratorRules) -> Json:
    """The pod's affinity. Raises TemplateError."""
    try:
        return placement.affinity(spec, rules)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TemplateError(f"spec.affinity cannot be used: {type(error).__name__}: {error}") from error


def with_template(pod: Json, spec: TrainingJobSpec) -> Json:
    """The pod with spec.template laid over it. Raises TemplateError."""
    if spec.template is None:
        return pod
    try:
        result = merged(pod, spec.template.model_dump(by_alias=True, exclude_none=True))
        restarts = _restarts_in_place(result["spec"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TemplateError(f"spec.template cannot be used: {type(error).__name__}: {error}") from error
    if restarts is not None:
        raise TemplateError(
            f"spec.template sets {restarts}, but a trainer is never restarted in its pod, where the log and the end of "
            "the first run would be lost: take it out. A trainer that fails is tried again in a new pod, "
            "from its last checkpoint, up to backoffLimit times."
        )
    return result


def _restarts_in_place(pod_spec: Mapping[str, Any]) -> str | None:
    """What would have the kubelet restart the trainer, if anything."""
    policy = pod_spec.get("restartPolicy")
    if policy != "Never":
        return f"restartPolicy to {policy}" if policy is not None else "restartPolicy to null"
    for container in pod_spec["containers"]:
        if container["name"] == names.TRAINER_CONTAINER:
            if container.get("restartPolicyRules"):
                return "restartPolicyRules of the trainer"
            if (policy := container.get("restartPolicy", "Never")) != "Never":
                return f"restartPolicy of the trainer to {policy}"
    return None


def _deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEPTH_LIMIT):
        if not level:
            break
        level = [
            below
            for item in level
            for below in (
                item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else ()
            )
        ]
    return bool(level)
