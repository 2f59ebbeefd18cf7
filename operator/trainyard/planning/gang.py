"""Admission of all pods of an attempt together or of none: Kueue's pod groups, and a scheduler's PodGroup.

Separate because these are other projects' APIs: Kueue's labels of plain pods, `scheduling.x-k8s.io` of
scheduler-plugins, and `scheduling.volcano.sh`. Called by `planning.podspec` and the plan.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from trainyard.api import names
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import owner, placement
from trainyard.planning.observed import ObservedJob
from trainyard.planning.placement import AcceleratorRules

Json = dict[str, Any]

KUEUE_GROUP_NAME = "kueue.x-k8s.io/pod-group-name"
KUEUE_GROUP_SIZE = "kueue.x-k8s.io/pod-group-total-count"
#: Which of the group a pod is; topology-aware scheduling puts neighbours near each other by it.
KUEUE_POD_INDEX = "kueue.x-k8s.io/pod-group-pod-index"
#: With "false" the group has ended when all its pods have: a lost one gets no successor in this group.
KUEUE_RETRIABLE = "kueue.x-k8s.io/retriable-in-group"
COSCHEDULING_GROUP_NAME = "scheduling.x-k8s.io/pod-group"
VOLCANO_GROUP_NAME = "scheduling.k8s.io/group-name"
#: By this annotation a pod names its Volcano queue; the PodGroup has a field for it.
VOLCANO_QUEUE = "scheduling.volcano.sh/queue-name"


@dataclass(frozen=True, kw_only=True)
class Gang:
    """What makes pods a gang: labels and annotations of one of them, and objects to create before the first."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    objects: tuple[Json, ...] = ()


def gang(
    observed: ObservedJob,
    spec: TrainingJobSpec,
    *,
    attempt: int,
    rank: int,
    schedulers: Mapping[str, str],
    rules: AcceleratorRules,
) -> Gang:
    """How the pod of a rank waits for the others; `schedulers` gives the API of those that have one, by their name.

    NB: without Kueue's pod-group-fast-admission, which reserves quota when the first pod is there: all of them are
    made at once, and a group of which some are refused must hold none.
    """
    group = group_name(job=observed.name, attempt=attempt)
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    objects: list[Json] = []
    if spec.queue_name:
        labels[names.LABEL_QUEUE] = spec.queue_name
        if spec.nodes > 1:
            labels |= {KUEUE_GROUP_NAME: group, KUEUE_POD_INDEX: str(rank)}
            annotations |= {KUEUE_GROUP_SIZE: str(spec.nodes), KUEUE_RETRIABLE: "false"}
    if spec.nodes > 1:
        match schedulers.get(spec.scheduler_name or ""):
            case "coscheduling":
                labels[COSCHEDULING_GROUP_NAME] = group
                # NB: no minResources: a group refused by them is looked at again when a pod is created, not when a
                # node is, and it preempts nobody.
                objects.append(
                    _pod_group(observed, "scheduling.x-k8s.io/v1alpha1", attempt, {"minMember": spec.nodes})
                )
            case "volcano":
                annotations[VOLCANO_GROUP_NAME] = group
                objects.append(
                    _pod_group(observed, "scheduling.volcano.sh/v1beta1", attempt, _volcano_spec(spec, rules))
                )
    return Gang(labels=labels, annotations=annotations, objects=tuple(objects))


def group_name(*, job: str, attempt: int) -> str:
    """The group of an attempt, `<job>-<attempt>`: a new one each time, as all ranks start anew together."""
    return f"{job}-{attempt}"


def _pod_group(observed: ObservedJob, api_version: str, attempt: int, spec: Json) -> Json:
    return {
        "apiVersion": api_version,
        "kind": "PodGroup",
        "metadata": {
            "name": group_name(job=observed.name, attempt=attempt),
            "namespace": observed.namespace,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_JOB: observed.name,
                names.LABEL_JOB_UID: observed.uid,
                names.LABEL_ATTEMPT: str(attempt),
            },
            "ownerReferences": [owner.reference(observed)],
        },
        "spec": spec,
    }


def _volcano_spec(spec: TrainingJobSpec, rules: AcceleratorRules) -> Json:
    metadata = spec.template.metadata if spec.template is not None else None
    queue = (metadata.annotations or {}).get(VOLCANO_QUEUE) if metadata is not None else None
    return {
        key: value
        for key, value in (
            ("minMember", spec.nodes),
            ("queue", queue),
            ("priorityClassName", spec.priority_class_name),
            ("minResources", _of_all_pods(spec, rules)),
        )
        if value
    }


def _of_all_pods(spec: TrainingJobSpec, rules: AcceleratorRules) -> dict[str, str]:
    """What the trainers of all nodes ask for together. A limit without a request is a request, as in a pod."""
    one = {**spec.resources.limits, **spec.resources.requests}
    if spec.accelerator is not None:
        one[placement.resource_name(spec.accelerator, rules)] = str(spec.accelerator.count)
    return {name: _times(str(quantity), spec.nodes) for name, quantity in sorted(one.items())}


def _times(quantity: str, factor: int) -> str:
    """A multiple of a Kubernetes quantity, in its own unit: four times 1.5Gi is 6Gi."""
    number = re.match(r"[+-]?(\d+\.?\d*|\.\d+)", quantity)
    if number is None:
        return quantity
    product = (Decimal(number[0]) * factor).normalize()
    return f"{product:f}{quantity[number.end() :]}"
