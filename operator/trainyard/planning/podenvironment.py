"""The environment of the training container: most of the contract with a trainer (docs/trainer-contract.md).

Separate from `planning.podspec`, which calls it for each pod.
"""

from __future__ import annotations

from typing import Any

import orjson

from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import agentpod, basemodelpod, datasetinputs, network, parameters, server, uris
from trainyard.planning.agentpod import OUTPUT_MOUNT
from trainyard.planning.observed import ObservedJob
from trainyard.planning.podinputs import DATA_DIR, PARENT_DIR, PodInputs

Json = dict[str, Any]

ENCRYPTION_KEY = "TRAINYARD_ENCRYPTION_KEY"


def environment(observed: ObservedJob, spec: TrainingJobSpec, inputs: PodInputs, *, rank: int) -> list[Json]:
    """Entries of the container's `env`: ours, the image's, and the user's, who may set all but ours."""
    given = datasetinputs.defaults(observed, spec, inputs.action)
    values: dict[str, str] = {
        "TRAINYARD_JOB": observed.name,
        "TRAINYARD_NAMESPACE": observed.namespace,
        "TRAINYARD_ACTION": spec.action,
        "TRAINYARD_TYPE": spec.type or spec.architecture or "",
        "TRAINYARD_PARAMETERS": orjson.dumps(
            parameters.settled(spec.parameters, schema=inputs.action.schema, defaults=given)
        ).decode(),
        "TRAINYARD_ATTEMPT": str(inputs.attempt),
        **network.environment(
            observed.name,
            attempt=inputs.attempt,
            rank=rank,
            nodes=spec.nodes,
            processes=spec.processes_per_node,
        ),
    }
    if inputs.server is not None:
        values |= server.environment(inputs.server, namespace=observed.namespace, job=observed.name)
    if inputs.dataset_uris or inputs.dataset_pulls:
        values["TRAINYARD_DATA_DIR"] = DATA_DIR
        values["TRAINYARD_DATASETS"] = orjson.dumps(datasetinputs.roles(spec)).decode()
    values |= datasetinputs.environment(spec, observed.datasets)
    if inputs.parent_uri is not None:
        values["TRAINYARD_PARENT_DIR"] = PARENT_DIR
    elif inputs.bucket_parent is not None:
        values["TRAINYARD_PARENT_DIR"] = agentpod.FETCHED_PARENT_DIR
    elif spec.parent_job is None and (model := basemodelpod.whole(inputs.base_models)) is not None:
        values["TRAINYARD_PARENT_DIR"] = model
    values |= basemodelpod.environment(inputs.base_models)
    if spec.output is not None:
        below = uris.job_folder(job_uid=observed.uid, attempt=inputs.attempt, rank=rank)
        values["TRAINYARD_OUTPUT_DIR"] = f"{OUTPUT_MOUNT}/{below}"
        values["TRAINYARD_CHECKPOINT_DIR"] = f"{OUTPUT_MOUNT}/{below}/checkpoints"
        if inputs.action.resumable:
            values["TRAINYARD_RESUME"] = agentpod.RESUME_DIR
    if inputs.handed is not None and inputs.handed.continues:
        values["TRAINYARD_RESUME"] = agentpod.RESUME_DIR
        values["TRAINYARD_CONTINUES"] = "true"
    elif inputs.handed is not None:
        values["TRAINYARD_PARENT_CHECKPOINT"] = agentpod.PARENT_CHECKPOINT_DIR
    # NB: Kubernetes expands $(NAME) in values; these are data and must arrive as they are.
    ours: list[Json] = [{"name": name, "value": value.replace("$", "$$")} for name, value in values.items()]
    if spec.encryption_key_secret_ref is not None:
        # NB: by reference, so that the key is in no object of ours, and in no container but the trainer's.
        key = {"secretKeyRef": spec.encryption_key_secret_ref.model_dump(by_alias=True)}
        ours.append({"name": ENCRYPTION_KEY, "valueFrom": key})
    of_ours = {entry["name"] for entry in ours}
    theirs = [e.model_dump(by_alias=True, exclude_none=True) for e in spec.env if e.name not in of_ours]
    taken = of_ours | {e.name for e in spec.env}
    image_needs = [{"name": k, "value": v} for k, v in inputs.runtime.env.items() if k not in taken]
    return ours + image_needs + theirs
