"""What is: frozen views of raw objects, made for planning and for nothing else.

Separate so that the shape of raw Kubernetes JSON is known in one place; the rest of planning reads names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainyard.api import names
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning.lookedup import NodeView, PodEvent
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
_LOST_CONDITIONS = ("DisruptionTarget", "TerminationTarget")


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
                    # NB: of a container that could not be started it is the zero of Unix time.
                    started_at=seconds(detail.get("startedAt")) or None,
                    finished_at=seconds(detail.get("finishedAt")),
                )
        return cls(name=raw.get("name", ""), state="unknown")


@dataclass(frozen=True, kw_only=True)
class PodView:
    """A pod with our labels, or what has lost them. Whose it is and which one, its controller and its name say, since
    anybody can copy or change labels: `job_uid` is empty for a pod that no job has made, whatever its labels say.

    `finalized` while our finalizer keeps it; the digests are those it was made with; `forced` when it is being deleted
    without any grace; `deletion_due_at` is when a node that lives has ended it; `disruption` is the reason of the
    condition that says so, and `disruption_message` its words; `unheard_since` is when its node was found to be
    silent; `claims` are those it mounts; `watched` while it has the labels that our watch selects.
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
    deletion_due_at: float | None = None
    disrupted_at: float | None = None
    disruption: str = ""
    disruption_message: str = ""
    unheard_since: float | None = None
    scheduled: bool = False
    scheduled_at: float | None = None
    scheduling_reason: str = ""
    scheduling_message: str = ""
    sandbox_ready: bool = False
    disrupted: bool = False
    finalized: bool = False
    watched: bool = True
    spec_hash: str = ""
    parameters_digest: str = ""
    claims: tuple[str, ...] = ()
    trainer: ContainerView | None = None
    init: tuple[ContainerView, ...] = ()

    @classmethod
    def from_raw(cls, raw: Json) -> PodView:
        metadata, status, spec = raw["metadata"], raw.get("status") or {}, raw.get("spec") or {}
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        job, job_uid, attempt, rank = _made_by(metadata)
        conditions = {c.get("type"): c for c in status.get("conditions") or []}
        scheduled = conditions.get("PodScheduled") or {}
        containers = [ContainerView.from_raw(c) for c in status.get("containerStatuses") or []]
        due_at = seconds(metadata.get("deletionTimestamp"))
        deleted_at = due_at
        if deleted_at is not None:
            deleted_at -= float(metadata.get("deletionGracePeriodSeconds") or 0)
        lost = [
            c for c in map(conditions.get, _LOST_CONDITIONS) if c is not None and c.get("status") == "True"
        ]
        disrupted = [at for c in lost if (at := seconds(c.get("lastTransitionTime"))) is not None]
        return cls(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            job_uid=job_uid,
            job=job,
            attempt=attempt,
            rank=rank,
            phase=status.get("phase") or "Pending",
            reason=status.get("reason") or "",
            message=status.get("message") or "",
            node=spec.get("nodeName"),
            created_at=seconds(metadata.get("creationTimestamp")),
            deletion_requested_at=deleted_at,
            forced=deleted_at is not None and metadata.get("deletionGracePeriodSeconds") == 0,
            deletion_due_at=due_at,
            disrupted_at=min(disrupted, default=None),
            disruption=next((c["reason"] for c in lost if c.get("reason")), ""),
            disruption_message=next((c["message"] for c in lost if c.get("message")), ""),
            unheard_since=_unheard_since(conditions),
            scheduled=scheduled.get("status") == "True" or bool(spec.get("nodeName")),
            scheduled_at=seconds(scheduled.get("lastTransitionTime"))
            if scheduled.get("status") == "True"
            else None,
            scheduling_reason=scheduled.get("reason") or "",
            scheduling_message=scheduled.get("message") or "",
            sandbox_ready=(conditions.get("PodReadyToStartContainers") or {}).get("status") == "True",
            disrupted=_is_lost(status.get("reason") or "") or bool(lost),
            finalized=names.VERDICT_FINALIZER in (metadata.get("finalizers") or ()),
            watched=labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY and names.LABEL_JOB_UID in labels,
            spec_hash=annotations.get(names.SPEC_HASH, ""),
            parameters_digest=annotations.get(names.PARAMETERS_DIGEST, ""),
            claims=tuple(
                volume["persistentVolumeClaim"]["claimName"]
                for volume in spec.get("volumes") or []
                if volume.get("persistentVolumeClaim")
            ),
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
    canceled: bool = False


@dataclass(frozen=True, kw_only=True)
class LogView:
    """What the log of one pod has told so far.

    `silent_since` is when its last bytes came or when we began to listen, whichever was later; None while nobody
    listens, which is no silence. `reading`: there is more of it, which is on its way or has to wait for its turn.
    """

    report: Report | None = None
    tail: tuple[str, ...] = ()
    ended: bool = False
    silent_since: float | None = None
    reading: bool = False


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
    """What came of the `number`th try to deliver a callback; it was sent and known at these seconds since the epoch.

    `waiting`: nothing was sent, and the next try comes as soon as what it lacks (a Secret) is there.
    """

    number: int
    sent_at: float
    at: float
    message: str
    delivered: bool = False
    gone: bool = False
    waiting: bool = False
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
    pods of former jobs of this name; `retry_requested_at` is the annotation that asks for another attempt; `events`
    are warnings of pods that are stuck, by their UID, and `nodes` those that may be lost.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    status: Json
    spec: TrainingJobSpec | None
    spec_error: str = ""
    wishes: frozenset[str] = frozenset()
    retry_requested_at: str = ""
    unsupported: str | None = None
    pods: tuple[PodView, ...] = ()
    former_pod: PodView | None = None
    orphans: tuple[PodView, ...] = ()
    datasets: Mapping[str, DatasetView | None] = field(default_factory=dict)
    parent: ParentView | None = None
    refusal: Refusal | None = None
    events: Mapping[str, tuple[PodEvent, ...]] = field(default_factory=dict)
    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    logs: Mapping[str, LogView] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    @property
    def suspend(self) -> bool:
        """Whether it shall be paused; that much is read of any spec."""
        return self.spec.suspend if self.spec is not None else "suspend" in self.wishes

    @property
    def cancel(self) -> bool:
        """Whether it shall be cancelled; that much is read of any spec."""
        return self.spec.cancel if self.spec is not None else "cancel" in self.wishes


def _unheard_since(conditions: Mapping[str, Json]) -> float | None:
    """When the node controller has marked the pod, as it does when a node falls silent.

    NB: it sets Ready and nothing else; a kubelet gives a reason with it, and ContainersReady is False as well.
    """
    ready, containers = conditions.get("Ready") or {}, conditions.get("ContainersReady") or {}
    if ready.get("status") != "False" or ready.get("reason") or containers.get("status") != "True":
        return None
    return seconds(ready.get("lastTransitionTime"))


def _is_lost(reason: str) -> bool:
    return reason in _LOST_REASONS or reason.startswith("OutOf")


def job_of_pod(metadata: Json) -> str:
    """The name of the TrainingJob that controls a pod; of one that none controls, what its label says."""
    controller = _controlling_job(metadata)
    if controller is not None:
        return str(controller.get("name") or "")
    return str((metadata.get("labels") or {}).get(names.LABEL_JOB) or "")


def _made_by(metadata: Json) -> tuple[str, str, int, int]:
    """Job, its UID, attempt and rank of a pod that a job has made; the UID is empty for any other pod."""
    job, controller = job_of_pod(metadata), _controlling_job(metadata)
    if controller is not None:
        attempt, _, rank = metadata["name"].removeprefix(f"{job}-").partition("-")
        # NB: one that is called otherwise is somebody's copy, and its end is no verdict.
        if attempt.isdecimal() and rank.isdecimal():
            made = names.pod_name(job=job, attempt=int(attempt), rank=int(rank))
            if metadata["name"] == made:
                return job, str(controller.get("uid") or ""), int(attempt), int(rank)
    return job, "", 0, 0


def _controlling_job(metadata: Json) -> Json | None:
    for owner in metadata.get("ownerReferences") or ():
        group = str(owner.get("apiVersion") or "").partition("/")[0]
        if owner.get("controller") and owner.get("kind") == "TrainingJob" and group == names.GROUP:
            return dict(owner)
    return None
