"""What is: everything that the plan of one job rests on, made by `reconcile` and for planning only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trainyard.api.callbacks import Callback
from trainyard.api.dataset import DatasetSource
from trainyard.api.shared import Output
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning.experimentview import ExperimentView, Membership
from trainyard.planning.lookedup import NodeView, PodEvent
from trainyard.planning.modelview import ModelView
from trainyard.planning.podview import PodView
from trainyard.planning.progress import Report

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class DatasetView:
    """A Dataset that a job refers to; `uri` is where the data lies, empty for one that each job pulls for itself by
    `source`.
    """

    name: str
    available: bool
    failed: bool
    reason: str
    message: str
    uri: str
    uid: str = ""
    type: str = ""
    format: str = ""
    revision: str = ""
    sha256: str = ""
    listing: str = ""
    source: DatasetSource | None = None
    action_parameters: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ParentView:
    """The job that this one's input comes from; `origins` are UIDs that it had before it was restored. One whose action
    is not `resumable` keeps no checkpoints.
    """

    name: str
    uid: str = ""
    origins: tuple[str, ...] = ()
    action: str = ""
    resumable: bool = True
    finished: bool
    succeeded: bool
    reason: str
    artifact_uri: str | None
    output: Output | None = None
    canceled: bool = False


@dataclass(frozen=True, kw_only=True)
class OutputDatasetView:
    """The Dataset that has the name of the one that this job makes; `job_uid` is of the job that has made it."""

    uid: str
    job_uid: str = ""
    deleting: bool = False


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
    """The API server's answer to the last attempt to create a pod, or a job of an Experiment or a model."""

    status: int
    message: str
    first_at: float
    last_at: float
    count: int

    @classmethod
    def after(cls, before: Refusal | None, *, status: int, message: str, now: float) -> Refusal:
        """One that comes now, after another one of the same or as the first."""
        return cls(
            status=status,
            message=message,
            first_at=before.first_at if before is not None else now,
            last_at=now,
            count=before.count + 1 if before is not None else 1,
        )


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
    are warnings of pods that are stuck, by their UID, and `nodes` those that may be lost. `origins` are UIDs that the
    job had before it was restored from a backup, the newest first, by the annotation `store_uids`. `models` are those
    that it starts from and the one that it registers with, as long as it needs to know of them; `made_by` is the UID of
    what controls it. `experiment` is the
    one that its spec names, where it is there, and `membership` what its own metadata says of it.
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
    origins: tuple[str, ...] = ()
    store_uids: str = ""
    unsupported: str | None = None
    pods: tuple[PodView, ...] = ()
    former_pod: PodView | None = None
    orphans: tuple[PodView, ...] = ()
    datasets: Mapping[str, DatasetView | None] = field(default_factory=dict)
    models: Mapping[str, ModelView | None] = field(default_factory=dict)
    made_by: str = ""
    parent: ParentView | None = None
    experiment: ExperimentView | None = None
    membership: Membership = field(default_factory=Membership)
    output_dataset: OutputDatasetView | None = None
    refusal: Refusal | None = None
    events: Mapping[str, tuple[PodEvent, ...]] = field(default_factory=dict)
    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    logs: Mapping[str, LogView] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    @property
    def callbacks(self) -> Sequence[Callback] | None:
        """Whom it tells; None while its spec cannot be read."""
        return self.spec.callbacks if self.spec is not None else None

    @property
    def suspend(self) -> bool:
        """Whether it shall be paused, by itself or with its Experiment."""
        return self.asks_itself("Suspend") or (self.experiment is not None and self.experiment.suspend)

    @property
    def cancel(self) -> bool:
        """Whether it shall be cancelled, by itself or with its Experiment."""
        return self.asks_itself("Cancel") or (self.experiment is not None and self.experiment.cancel)

    def asks_itself(self, cause: Literal["Suspend", "Cancel"]) -> bool:
        """Whether its own spec asks for a stop; that much is read of any spec."""
        if self.spec is None:
            return cause.lower() in self.wishes
        return self.spec.suspend if cause == "Suspend" else self.spec.cancel
