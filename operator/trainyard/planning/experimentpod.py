"""What the pods of an Experiment have in common: whose they are, and that they may do nothing but their work.

Separate because two programs work for an Experiment, and one for an MLModel whose pod may do no more. Called by
`planning.tunerpod`, `planning.sweeppod` and `planning.recordpod`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainyard.api import names
from trainyard.planning import stepjobs
from trainyard.planning.agentpod import AgentRules
from trainyard.planning.experimentobserved import ObservedExperiment

Json = dict[str, Any]

_USER_ID = 65532
TMP: Json = {"name": "tmp", "mountPath": "/tmp"}
HOME: Json = {"name": "HOME", "value": "/tmp"}


def container(
    name: str,
    image: str,
    *,
    verb: str,
    env: Sequence[Mapping[str, Any]],
    mounts: Sequence[Mapping[str, Any]] = (),
    requests: Mapping[str, str],
    limits: Mapping[str, str],
    image_pull_policy: str | None,
) -> Json:
    """The one container of such a pod, with a /tmp of its own."""
    found: Json = {
        "name": name,
        "image": image,
        "args": [verb],
        "env": [HOME, *env],
        "resources": {k: dict(v) for k, v in (("requests", requests), ("limits", limits)) if v},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [TMP, *mounts],
    }
    if image_pull_policy is not None:
        found["imagePullPolicy"] = image_pull_policy
    return found


def pod(
    observed: ObservedExperiment,
    stage: str,
    number: int,
    main: Json,
    *,
    volumes: Sequence[Mapping[str, Any]] = (),
    group: bool = False,
    **spec: Any,
) -> Json:
    """The pod `<experiment>-<stage>-<number>`; it may be killed at any moment, and another does what is left. `group`:
    volumes are its group's, too. What of `spec` is empty is left out.
    """
    metadata = {
        "name": names.staged_pod_name(owner=observed.name, stage=stage, number=number),
        "namespace": observed.namespace,
        "labels": {
            names.LABEL_MANAGED_BY: names.MANAGED_BY,
            names.LABEL_EXPERIMENT: observed.name,
            names.LABEL_EXPERIMENT_UID: observed.uid,
            names.LABEL_ATTEMPT: str(number),
        },
        "ownerReferences": [stepjobs.owner(observed)],
    }
    return pod_of(metadata, main, volumes=volumes, group=group, **spec)


def placed(rules: AgentRules) -> Json:
    """Where a pod of the agent's own runs, as `pod` and `pod_of` take it."""
    return {
        "nodeSelector": dict(rules.node_selector),
        "tolerations": [dict(one) for one in rules.tolerations],
    }


def pod_of(
    metadata: Mapping[str, Any],
    main: Json,
    *,
    volumes: Sequence[Mapping[str, Any]] = (),
    group: bool = False,
    **spec: Any,
) -> Json:
    """A pod with this one container, which may do nothing but its work, and ends at once when it is told to."""
    security: Json = {"runAsNonRoot": True, "runAsUser": _USER_ID, "runAsGroup": _USER_ID}
    if group:
        security |= {"fsGroup": _USER_ID, "fsGroupChangePolicy": "OnRootMismatch"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": dict(metadata),
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "securityContext": {**security, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [main],
            "volumes": [{"name": "tmp", "emptyDir": {}}, *volumes],
            **{key: value for key, value in spec.items() if value},
        },
    }
