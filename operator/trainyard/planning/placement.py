"""Where a pod may run: accelerators with their toleration and node labels, queue, scheduler, priority.

Separate because scheduling intent is one of the few things that are ours; it yields fragments of a PodSpec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainyard.api.pods import Accelerator
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import nodeloss

Json = dict[str, Any]

#: Taints that Kubernetes gives a node which has fallen silent, or says that it is not ready.
_NODE_TROUBLE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


@dataclass(frozen=True, kw_only=True)
class AcceleratorRules:
    """From the settings: the default resource, and for each type the node labels of which any one suffices."""

    resource_name: str = "nvidia.com/gpu"
    types: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


def unknown_accelerator_type(accelerator: Accelerator | None, rules: AcceleratorRules) -> str | None:
    """What to tell the user when the settings do not know the type; None when they do."""
    if accelerator is None or accelerator.type is None or accelerator.type in rules.types:
        return None
    known = ", ".join(sorted(rules.types))
    return f"accelerator.type: {accelerator.type} is not known here; the operator's settings have {known}."


def resource_name(accelerator: Accelerator, rules: AcceleratorRules) -> str:
    """The extended resource that the pod asks for."""
    return accelerator.resource_name or rules.resource_name


def tolerations(spec: TrainingJobSpec, rules: AcceleratorRules) -> list[Json]:
    """The user's, the one for the taint that GPU nodes customarily carry (key = the resource's name), and how long a
    pod stays bound to a lost node.
    """
    # NB: first, as Kubernetes takes the first that fits, and one of the user's may fit every taint, for ever.
    spoken_of = _keys_of_tolerations(spec)
    result: list[Json] = [
        {
            "key": key,
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": nodeloss.TOLERATION_SECONDS,
        }
        for key in _NODE_TROUBLE
        if key not in spoken_of
    ]
    result += [t.model_dump(by_alias=True, exclude_none=True) for t in spec.tolerations]
    asked = [resource_name(spec.accelerator, rules)] if spec.accelerator is not None else []
    by_count = {**spec.resources.limits, **spec.resources.requests}
    # NB: devices that are claimed lie on the same nodes; the claim itself sees to it that no other is taken.
    if rules.resource_name in by_count or spec.resource_claims:
        asked.append(rules.resource_name)
    for device in dict.fromkeys(asked):
        taint = {"key": device, "operator": "Exists", "effect": "NoSchedule"}
        if taint not in result:
            result.append(taint)
    return result


def _keys_of_tolerations(spec: TrainingJobSpec) -> set[Any]:
    """Keys of the taints that the user speaks of, in the template as well, which can have any shape."""
    keys: set[Any] = {toleration.key for toleration in spec.tolerations}
    template = spec.template.spec if spec.template is not None else None
    theirs = template.get("tolerations") if template is not None else None
    for toleration in theirs if isinstance(theirs, list) else ():
        if isinstance(toleration, Mapping) and isinstance(toleration.get("key"), str):
            keys.add(toleration["key"])
    return keys


def affinity(spec: TrainingJobSpec, rules: AcceleratorRules) -> Json:
    """The user's affinity with the accelerator's node labels required as well.

    Terms of a node selector are alternatives, so both conditions hold only in their cross product.
    """
    result: Json = (
        spec.affinity.model_dump(by_alias=True, exclude_none=True) if spec.affinity is not None else {}
    )
    if spec.accelerator is None or spec.accelerator.type is None:
        return result
    ours = [
        {"matchExpressions": [{"key": label, "operator": "In", "values": list(values)}]}
        for label, values in rules.types[spec.accelerator.type].items()
    ]
    node = dict(result.get("nodeAffinity") or {})
    required = dict(node.get("requiredDuringSchedulingIgnoredDuringExecution") or {})
    theirs = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [_both(mine, other) for other in theirs for mine in ours]
    node["requiredDuringSchedulingIgnoredDuringExecution"] = required
    result["nodeAffinity"] = node
    return result


def _both(mine: Json, other: Json) -> Json:
    term = dict(other)
    term["matchExpressions"] = [*(other.get("matchExpressions") or []), *mine["matchExpressions"]]
    return term
