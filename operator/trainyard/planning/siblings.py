"""What the pods of an attempt need beside them: the Service of its ranks, the group in which a scheduler admits them.

Separate because they are made before the pods and removed after them, which a job of one pod never needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import attempts, jobstatus, network
from trainyard.planning.context import Context
from trainyard.planning.gang import gang
from trainyard.planning.observed import ObservedJob
from trainyard.planning.plan import Child

Json = Mapping[str, Any]


def needed(
    observed: ObservedJob, spec: TrainingJobSpec, *, attempt: int, context: Context
) -> tuple[Json, ...]:
    """Objects to create before the pods of an attempt of several ranks."""
    admitted = gang(
        observed, spec, attempt=attempt, rank=0, schedulers=context.schedulers, rules=context.accelerators
    )
    return (network.service(observed, attempt=attempt), *admitted.objects)


def left_over(observed: ObservedJob, status: Json, *, context: Context) -> tuple[Child, ...]:
    """Objects of attempts that end with `status`; should this be lost, they go with the job."""
    spec = observed.spec
    if spec is None or spec.nodes == 1:
        return ()
    ended = {
        int(entry["number"])
        for entry in status.get("attempts") or []
        if entry.get("completionTime")
        and not jobstatus.attempt_entry(observed.status, int(entry["number"])).get("completionTime")
    }
    if _at_an_end(status) and not _at_an_end(observed.status):
        # NB: an attempt that never began may be in no record.
        ended.add(attempts.newest(status, observed.pods))
    return tuple(
        Child(api_version=raw["apiVersion"], kind=raw["kind"], name=raw["metadata"]["name"])
        for attempt in sorted(ended)
        for raw in needed(observed, spec, attempt=attempt, context=context)
    )


def _at_an_end(status: Json) -> bool:
    return bool(status.get("completionTime") or (status.get("stop") or {}).get("endTime"))
