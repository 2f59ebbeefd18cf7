"""The pod that removes what jobs of an Experiment have stored, their checkpoints and artifacts, and what it says.

Separate because it is the contract with the agent's verb `sweep` (docs/artifacts.md). Called by `planning.retention`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from trainyard.api import names
from trainyard.api.shared import Output
from trainyard.planning import experimentpod, uris
from trainyard.planning.agentpod import OUTPUT_MOUNT, SECRETS_DIR, place
from trainyard.planning.context import Context
from trainyard.planning.experimentobserved import ObservedExperiment
from trainyard.planning.podview import PodView

Json = dict[str, Any]

STAGE = "sweep"
_MAX_MESSAGE = 500


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What was removed: files, and their bytes."""

    removed: int
    bytes: int


def build(
    observed: ObservedExperiment, uids: Sequence[str], output: Output, *, number: int, rules: Context
) -> Json:
    """The pod `<experiment>-sweep-<number>`, for jobs whose UIDs these are. NB: there is room for 3,000 of them."""
    told = {
        "namespace": observed.namespace,
        "store": uris.store(output),
        "output": place(output, OUTPUT_MOUNT),
        "uids": list(uids),
    }
    mounts: list[Json] = []
    volumes: list[Json] = []
    if output.claim_name is not None:
        volumes.append({"name": "output", "persistentVolumeClaim": {"claimName": output.claim_name}})
        mounts.append({"name": "output", "mountPath": OUTPUT_MOUNT})
    if output.secret_ref is not None:
        volumes.append({"name": "secret", "secret": {"secretName": output.secret_ref.name}})
        mounts.append({"name": "secret", "mountPath": f"{SECRETS_DIR}/output", "readOnly": True})
    # NB: Kubernetes expands $(NAME) in values; this is data and must arrive as it is.
    value = orjson.dumps(told).decode().replace("$", "$$")
    main = experimentpod.container(
        names.SWEEP_CONTAINER,
        rules.agent.image,
        verb="sweep",
        env=[{"name": "TRAINYARD_SWEEP", "value": value}],
        mounts=mounts,
        requests=rules.agent.requests,
        limits=rules.agent.limits,
        image_pull_policy=rules.image_pull_policy,
    )
    return experimentpod.pod(
        observed, STAGE, number, main, volumes=volumes, group=True, **experimentpod.placed(rules.agent)
    )


def swept(pod: PodView) -> Swept | None:
    """What a pod has removed that has done all of it; None for any other: one that runs, that was lost, that failed."""
    container = pod.trainer
    if container is None or container.state != "terminated" or container.exit_code != 0:
        return None
    said = _said(container.message)
    removed, size = said.get("removed"), said.get("bytes")
    if not isinstance(removed, int) or not isinstance(size, int) or removed < 0 or size < 0:
        return None
    return Swept(removed=removed, bytes=size)


def problem(pod: PodView) -> str:
    """Why a pod that has ended has not done all of it, in a sentence."""
    message = pod.trainer.message if pod.trainer is not None else ""
    error = _said(message).get("error")
    if isinstance(error, str) and error:
        return error[:_MAX_MESSAGE]
    return message.strip()[-_MAX_MESSAGE:] or pod.message or pod.reason or "no reason is given"


def _said(message: str) -> Mapping[str, Any]:
    try:
        said = orjson.loads(message)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
