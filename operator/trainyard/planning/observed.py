"""What is: frozen views of raw objects, made for planning and for nothing else.

Separate so that the shape of raw Kubernetes JSON is known in one place; the rest of planning reads names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainyard.api import names
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning.progress import Report
from trainyard.planning.times import seconds

Json = Mapping[str, Any]

_LOST_REASONS = frozenset(
    {
        "Evicted",
        "Preempting",
        "Terminated",
        "NodeLost",
        "NodeShutdown",
        "Shutdown",
        "UnexpectedAdmissionError",
    }
)
_LOST_CONDITIONS = frozenset({"DisruptionTarget", "TerminationTarget"})


@dataclass(frozen=True, kw_only=True)
class ContainerView:
    """One container's state. Times are seconds since the epoch."""

    name: str
    state: Literal["waiting", "running", "terminated", "unknown"]
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started_at: float | None = None
    finished_at: float | None = None

    @classmethod
    def from_raw(cls, raw: Json) -> ContainerView:
        state = raw.get("state") or {}
        kind: Literal["terminated", "running", "waiting"]
        for kind in ("terminated", "running", "waiting"):
            if kind in state:
                detail = state[kind] or {}
                return cls(
                    name=raw.get("name", ""),
                    state=kind,
                    reason=detail.get("reason") or "",
                    message=detail.get("message") or "",
                    exit_code=detail.get("exitCode"),
                    started_at=seconds(detail.get("startedAt")),
                    finished_at=seconds(detail.get("finishedAt")),
                )
        return cls(name=raw.get("name", ""), state="unknown")


@dataclass(frozen=True, kw_only=True)
class PodView:
    """One of our pods. `finalized` while our finalizer keeps it; the digests are those it was made with; `forced` when
    it is being deleted without any grace.
    """

    name: str
    uid: str
    job_uid: str
    job: str = ""
    attempt: int
    rank: int
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    node: str | None = None
    created_at: float | None = None
    deletion_requested_at: float | None = None
    forced: bool = False
    disrupted_at: float | None = None
    scheduled: bool = False
    scheduled_at: float | None = None
    scheduling_reason: str = ""
    scheduling_message: str = ""
    sandbox_ready: bool = False
    disrupted: bool = False
    finalized: bool = False
    spec_hash: str = ""
    parameters_digest: str = ""
    trainer: ContainerView | None = None
    init: tuple[ContainerView, ...] = ()

    @classmethod
    def from_raw(cls, raw: Json) -> PodView:
        metadata, status, spec = raw["metadata"], raw.get("status") or {}, raw.get("spec") or {}
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        conditions = {c.get("type"): c for c in status.get("conditions") or []}
        scheduled = conditions.get("PodScheduled") or {}
        containers = [ContainerView.from_raw(c) for c in status.get("containerStatuses") or []]
        deleted_at = seconds(metadata.get("deletionTimestamp"))
        if deleted_at is not None:
            deleted_at -= float(metadata.get("deletionGracePeriodSeconds") or 0)
        disrupted = [
            at
            for name in _LOST_CONDITIONS
            if (conditions.get(name) or {}).get("status") == "True"
            and (at := seconds(conditions[name].get("lastTransitionTime"))) is not None
        ]
        return cls(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            job_uid=labels.get(names.LABEL_JOB_UID, ""),
            job=labels.get(names.LABEL_JOB, ""),
            attempt=_integer(labels.get(names.LABEL_ATTEMPT)),
            rank=_integer(labels.get(names.LABEL_RANK)),
            phase=status.get("phase") or "Pending",
            reason=status.get("reason") or "",
            message=status.get("message") or "",
            node=spec.get("nodeName"),
            created_at=seconds(metadata.get("creationTimestamp")),
            deletion_requested_at=deleted_at,
            forced=deleted_at is not None and metadata.get("deletionGracePeriodSeconds") == 0,
            disrupted_at=min(disrupted, default=None),
            scheduled=scheduled.get("status") == "True" or bool(spec.get("nodeName")),
            scheduled_at=seconds(scheduled.get("lastTransitionTime"))
            if scheduled.get("status") == "True"
            else None,
            scheduling_reason=scheduled.get("reason") or "",
            scheduling_message=scheduled.get("message") or "",
            sandbox_ready=(conditions.get("PodReadyToStartContainers") or {}).get("status") == "True",
            disrupted=_is_lost(status.get("reason") or "")
            or any((conditions.get(name) or {}).get("status") == "True" for name in _LOST_CONDITIONS),
            finalized=names.VERDICT_FINALIZER in (metadata.get("finalizers") or ()),
            spec_hash=annotations.get(names.SPEC_HASH, ""),
            parameters_digest=annotations.get(names.PARAMETERS_DIGEST, ""),
            trainer=next((c for c in containers if c.name == names.TRAINER_CONTAINER), None),
            init=tuple(ContainerView.from_raw(c) for c in status.get("initContainerStatuses") or []),
        )

    @property
    def judgeable(self) -> bool:
        """Whether its training container has ended; others (an injected proxy) may still run."""
        return self.over or (self.trainer is not None and self.trainer.state == "terminated")

    @property
    def over(self) -> bool:
        """Whether all its containers have ended, so that it holds nothing of its node."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, kw_only=True)
class DatasetView:
    """A Dataset that a job refers to."""

    name: str
    available: bool
    failed: bool
    reason: str
    message: str
    uri: str


@dataclass(frozen=True, kw_only=True)
class ParentView:
    """The job that this one's input comes from."""

    name: str
    finished: bool
    succeeded: bool
    reason: str
    artifact_uri: str | None


@dataclass(frozen=True, kw_only=True)
class LogView:
    """What the log of one pod has told so far."""

    report: Report | None = None
    tail: tuple[str, ...] = ()
    ended: bool = False


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The API server's answer to the last attempt to create a pod."""

    status: int
    message: str
    first_at: float
    last_at: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of the `number`th try to deliver a callback; it was sent and known at these seconds since the epoch."""

    number: int
    sent_at: float
    at: float
    message: str
    delivered: bool = False
    gone: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What one reconcile leaves to the next of the same job. Only in RAM: losing it costs a write, no truth."""

    pending: str | None = None
    pending_since: float = 0.0
    pending_written_at: float | None = None
    progress_written_at: float | None = None
    terminal_seen: tuple[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class ObservedJob:
    """One TrainingJob and everything its plan rests on.

    `spec_error` says why a spec of None cannot be read, `unsupported` what in it nothing acts on yet; `orphans` are
    pods of former jobs of this name.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    status: Json
    spec: TrainingJobSpec | None
    spec_error: str = ""
    unsupported: str | None = None
    pods: tuple[PodView, ...] = ()
    former_pod: PodView | None = None
    orphans: tuple[PodView, ...] = ()
    datasets: Mapping[str, DatasetView | None] = field(default_factory=dict)
    parent: ParentView | None = None
    refusal: Refusal | None = None
    logs: Mapping[str, LogView] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)


def _is_lost(reason: str) -> bool:
    return reason in _LOST_REASONS or reason.startswith("OutOf")


def _integer(text: Any) -> int:
    try:
        return int(text)
    except (TypeError, ValueError):
        return 0
