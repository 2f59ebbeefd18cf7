"""Builders of observed things for planning tests, `a_job(gpus=2)`, `a_pod(running=True)`, and looks at plans."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning.context import Context
from trainyard.planning.experimentview import ExperimentView, Membership
from trainyard.planning.lookedup import NodeView, PodEvent
from trainyard.planning.modelview import ModelView
from trainyard.planning.objective import Goal
from trainyard.planning.observed import (
    DatasetView,
    LogView,
    Memory,
    ObservedJob,
    ParentView,
    Refusal,
)
from trainyard.planning.pending import SETTLE_SECONDS
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.plan import Plan
from trainyard.planning.podview import ContainerView, PodView
from trainyard.planning.runtime import Runtime, RuntimeAction
from trainyard.planning.trainingjob import plan_training_job

NOW = 1_800_000_000.0
UID = "11111111-2222-3333-4444-555555555555"

CONTEXT = Context(
    catalog=(
        Runtime(
            name="reference",
            image="trainyard/trainer:test",
            types=frozenset({"neural_network"}),
            architectures=frozenset({"mlp"}),
            actions={"train": RuntimeAction(), "evaluate": RuntimeAction(args=("--evaluate",))},
        ),
    ),
    accelerators=AcceleratorRules(
        types={"a100": {"nvidia.com/gpu.product": ("NVIDIA-A100-SXM4-80GB",), "gke": ("nvidia-tesla-a100",)}}
    ),
    follow_logs=False,
)


def a_spec(**fields: Any) -> TrainingJobSpec:
    """A spec that runs `type: neural_network` unless told what to run, and once unless told how often."""
    fields.setdefault("backoffLimit", 0)
    if not fields.keys() & {"image", "runtime", "architecture", "type"}:
        fields["type"] = "neural_network"
    return TrainingJobSpec.model_validate(fields)


def a_job(
    *,
    spec: TrainingJobSpec | None = None,
    pods: tuple[PodView, ...] = (),
    status: Mapping[str, Any] | None = None,
    datasets: Mapping[str, DatasetView | None] | None = None,
    models: Mapping[str, ModelView | None] | None = None,
    made_by: str = "",
    parent: ParentView | None = None,
    experiment: ExperimentView | None = None,
    membership: Membership | None = None,
    refusal: Refusal | None = None,
    events: Mapping[str, tuple[PodEvent, ...]] | None = None,
    nodes: Mapping[str, NodeView] | None = None,
    logs: Mapping[str, LogView] | None = None,
    memory: Memory | None = None,
    former_pod: PodView | None = None,
    orphans: tuple[PodView, ...] = (),
    unsupported: str | None = None,
    deleting: bool = False,
    generation: int = 1,
    **fields: Any,
) -> ObservedJob:
    """A job that was just applied; `fields` are of its spec (camelCase)."""
    return ObservedJob(
        namespace="team-a",
        name="digits",
        uid=UID,
        generation=generation,
        deleting=deleting,
        status=status if status is not None else {"observedGeneration": -1},
        spec=spec if spec is not None else a_spec(**fields),
        pods=pods,
        former_pod=former_pod,
        orphans=orphans,
        unsupported=unsupported,
        datasets=datasets or {},
        models=models or {},
        made_by=made_by,
        parent=parent,
        experiment=experiment,
        membership=membership or Membership(),
        refusal=refusal,
        events=events or {},
        nodes=nodes or {},
        logs=logs or {},
        memory=memory or Memory(),
    )


def a_pod(
    *,
    attempt: int = 0,
    rank: int = 0,
    running: bool = False,
    exit_code: int | None = None,
    exit_reason: str = "",
    message: str = "",
    waiting: tuple[str, str] | None = None,
    scheduled: bool = True,
    uid: str | None = None,
    **fields: Any,
) -> PodView:
    """A pod of the job: created, or `running`, or ended with `exit_code`, or `waiting` for (reason, message)."""
    trainer, phase = None, "Pending"
    if exit_code is not None:
        phase = "Succeeded" if exit_code == 0 else "Failed"
        trainer = ContainerView(
            name="trainer",
            state="terminated",
            reason=exit_reason or ("Completed" if exit_code == 0 else "Error"),
            message=message,
            exit_code=exit_code,
            started_at=NOW - 60,
            finished_at=fields.pop("finished_at", NOW - 1),
        )
    elif running:
        phase = "Running"
        trainer = ContainerView(name="trainer", state="running", started_at=NOW - 60)
    elif waiting is not None:
        trainer = ContainerView(name="trainer", state="waiting", reason=waiting[0], message=waiting[1])
    fields.setdefault("phase", phase)
    return PodView(
        name=f"digits-{attempt}-{rank}",
        uid=uid or (f"pod-{attempt}" if rank == 0 else f"pod-{attempt}-{rank}"),
        job_uid=UID,
        job="digits",
        attempt=attempt,
        rank=rank,
        node="node-1" if scheduled else None,
        created_at=NOW - 70,
        scheduled=scheduled,
        scheduled_at=NOW - 65 if scheduled else None,
        trainer=trainer,
        **fields,
    )


def an_agent(**word: Any) -> tuple[ContainerView, ...]:
    """The sidecar of a pod that ended with this word; without any it still runs."""
    if not word:
        return (ContainerView(name="trainyard-agent", state="running", started_at=NOW - 60),)
    return (
        ContainerView(
            name="trainyard-agent",
            state="terminated",
            exit_code=0 if word.get("uploaded") else 1,
            message=json.dumps(word),
            finished_at=NOW,
        ),
    )


def a_fetch(code: int, **word: Any) -> tuple[ContainerView, ...]:
    """The init container that kept the trainer from starting."""
    ended = ContainerView(
        name="trainyard-fetch", state="terminated", exit_code=code, message=json.dumps(word), finished_at=NOW
    )
    return (ended,)


def a_dataset(name: str = "digits-data", **fields: Any) -> DatasetView:
    """An available dataset."""
    values = {"available": True, "failed": False, "reason": "Completed", "message": ""} | fields
    return DatasetView(name=name, uri=f"pvc://data/{name}", **values)


def a_parent(**fields: Any) -> ParentView:
    """A parent that is Done and left artifacts."""
    values: dict[str, Any] = {
        "name": "base",
        "finished": True,
        "succeeded": True,
        "reason": "Completed",
        "artifact_uri": "pvc://out/parent-uid/attempt-0",
    }
    return ParentView(**(values | fields))


def an_experiment(**fields: Any) -> ExperimentView:
    """An Experiment that neither pauses nor cancels its jobs, and goes by their accuracy."""
    values: dict[str, Any] = {"name": "tuning", "uid": "experiment-uid", "goal": Goal("accuracy", False)}
    return ExperimentView(**(values | fields))


def a_refusal(status: int, message: str, *, age: float = 0.0, count: int = 1) -> Refusal:
    """The API server's refusal of a pod, first given `age` seconds ago."""
    return Refusal(status=status, message=message, first_at=NOW - age, last_at=NOW, count=count)


def plan(observed: ObservedJob, *, now: float = NOW, context: Any = CONTEXT) -> Plan:
    return plan_training_job(observed, now=now, context=context)


def settled(observed: ObservedJob, *, context: Any = CONTEXT) -> Plan:
    """The plan after whatever is Pending has stood long enough to be written."""
    first = plan(observed, context=context)
    if first.status is not None:
        return first
    again = dataclasses.replace(observed, memory=first.memory)
    return plan(again, now=NOW + SETTLE_SECONDS + 0.1, context=context)


def said(p: Plan) -> tuple[str, str]:
    assert p.status is not None
    return p.status["phase"], p.status["reason"]


def status_after(p: Plan) -> dict[str, Any]:
    assert p.status is not None
    return dict(p.status)


def trainer_of(pod: Mapping[str, Any]) -> dict[str, Any]:
    """The training container of a raw pod."""
    return dict(next(c for c in pod["spec"]["containers"] if c["name"] == "trainer"))


def env_of(pod: Mapping[str, Any]) -> dict[str, str]:
    """Its environment."""
    return {e["name"]: e.get("value", "") for e in trainer_of(pod)["env"]}
