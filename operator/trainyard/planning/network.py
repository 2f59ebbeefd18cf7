"""How the ranks of an attempt find each other: a headless Service, and the environment of torchrun and of
jax.distributed.

Separate because a job of one pod has none of it. Called by `planning.podspec` and the plan.
"""

from __future__ import annotations

from typing import Any

from trainyard.api import names
from trainyard.planning import owner
from trainyard.planning.observed import ObservedJob

Json = dict[str, Any]

#: What torchrun and jax.distributed take by default differs; one is enough, as only one of them runs.
PORT = 29500


def service(observed: ObservedJob, *, attempt: int) -> Json:
    """The headless Service of an attempt; it names pods that are not ready as well, which meet before they are."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": names.service_name(job=observed.name, attempt=attempt),
            "namespace": observed.namespace,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_JOB: observed.name,
                names.LABEL_JOB_UID: observed.uid,
                names.LABEL_ATTEMPT: str(attempt),
            },
            "ownerReferences": [owner.reference(observed)],
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {names.LABEL_JOB_UID: observed.uid, names.LABEL_ATTEMPT: str(attempt)},
            "ports": [{"name": "rendezvous", "port": PORT}],
        },
    }


def environment(job: str, *, attempt: int, rank: int, nodes: int, processes: int | None) -> dict[str, str]:
    """Variables by which a launcher finds the others. `PET_*` are torchrun's own (torch.distributed.run)."""
    values = {"TRAINYARD_RANK": str(rank), "TRAINYARD_WORLD_SIZE": str(nodes)}
    if processes is not None:
        values["PET_NPROC_PER_NODE"] = str(processes)
    if nodes == 1:
        return values
    first = (
        f"{names.pod_name(job=job, attempt=attempt, rank=0)}.{names.service_name(job=job, attempt=attempt)}"
    )
    values |= {
        "PET_NNODES": str(nodes),
        "PET_NODE_RANK": str(rank),
        "PET_MASTER_ADDR": first,
        "PET_MASTER_PORT": str(PORT),
        "MASTER_ADDR": first,
        "MASTER_PORT": str(PORT),
        "NODE_RANK": str(rank),
        "JAX_COORDINATOR_ADDRESS": f"{first}:{PORT}",
        "JAX_NUM_PROCESSES": str(nodes),
        "JAX_PROCESS_ID": str(rank),
    }
    if processes in (None, 1):
        # NB: with several processes a launcher counts them, and gives each its own.
        values |= {"WORLD_SIZE": str(nodes), "RANK": str(rank)}
    return values


def spread(observed: ObservedJob, *, attempt: int) -> Json:
    """An affinity by which the ranks keep apart as far as there are nodes."""
    labels = {names.LABEL_JOB_UID: observed.uid, names.LABEL_ATTEMPT: str(attempt)}
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]
        }
    }
