"""What is: everything that the plan of one MLModel rests on, and what a part of that plan may ask for.

Separate because `reconcile.model` makes the one and carries out the other, and all of planning's parts share both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainyard.api import names
from trainyard.api.mlmodel import MLModelSpec
from trainyard.api.reasons import ConditionType
from trainyard.planning import conditions, jobstatus
from trainyard.planning.experimentobserved import JobStep
from trainyard.planning.lookedup import PodEvent
from trainyard.planning.modelactions import MAKES_A_MODEL
from trainyard.planning.observed import Refusal
from trainyard.planning.plan import Announcement, Plan
from trainyard.planning.podview import PodView

Json = Mapping[str, Any]

#: What the API server, a quota or a policy has refused is tried again as often.
REFUSED_AGAIN_SECONDS = 15.0
#: As much of a request as a job's status keeps.
_LONGEST_REQUEST = 64
_MOST_DIGITS = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskView:
    """A TrainingJob or an Experiment that works for a model.

    `owner` is the UID of what controls it: `task`, `number` and `digest` are said of those alone that the model has
    made. One that `registers` becomes a version when it is Done. `ended_at` and `started_at` are as in its status.
    `metrics` are names and values; `source` is the raw object, of which a version's lineage is made; `outcome_job` is
    the name of the job that is an Experiment's outcome.
    """

    kind: Literal["TrainingJob", "Experiment"]
    name: str
    uid: str
    owner: str
    deleting: bool
    registers: bool
    task: str = ""
    number: int = 0
    digest: str = ""
    action: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    finished: bool = False
    succeeded: bool = False
    canceled: bool = False
    started_at: str | None = None
    ended_at: str | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    key_metric: Json | None = None
    outcome_job: str = ""
    source: Json = field(default_factory=dict, compare=False)

    @property
    def failed(self) -> bool:
        """Whether it has ended in an Error."""
        return self.finished and not self.succeeded and not self.canceled


def task_of(kind: Literal["TrainingJob", "Experiment"], raw: Json, *, model: str, model_uid: str) -> TaskView:
    """A raw job or Experiment as its model sees it. NB: labels may have been changed by anybody."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    owner: Json = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), {})
    owner_uid = str(owner.get("uid") or "")
    own = owner_uid == model_uid
    number = annotations.get(names.TASK_NUMBER, "")
    asked = str(annotations.get(names.RETRY_REQUESTED_AT) or "")[:_LONGEST_REQUEST]
    done = conditions.is_true(status, ConditionType.SUCCEEDED)
    # NB: of one that is asked to try again the end is not the end; one that is Done, or told to cancel, does not.
    answered = asked in ("", str(status.get("retryRequestedAt") or "")) or done or spec.get("cancel") is True
    finished = bool(status.get("completionTime")) and answered
    return TaskView(
        kind=kind,
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        owner=owner_uid,
        deleting=bool(metadata.get("deletionTimestamp")),
        registers=spec.get("model") == model,
        task=labels.get(names.LABEL_TASK, "") if own else "",
        number=int(number) if own and number.isdecimal() and len(number) <= _MOST_DIGITS else 0,
        digest=annotations.get(names.TASK_DIGEST, "") if own else "",
        action=str(spec.get("action") or "train"),
        phase=status.get("phase") or "",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        finished=finished,
        succeeded=finished and done,
        canceled=finished and (jobstatus.was_canceled(status) or status.get("phase") == "Canceled"),
        started_at=status.get("startTime"),
        ended_at=status.get("completionTime") if finished else None,
        metrics={str(m.get("name")): str(m.get("value")) for m in status.get("metrics") or ()},
        key_metric=status.get("keyMetric"),
        outcome_job=_outcome(status) if kind == "Experiment" else "",
        source=raw,
    )


def _outcome(status: Json) -> str:
    """The job of the last step that made a model; of a tuned step that is the best trial's."""
    made = [
        step for step in status.get("steps") or () if step.get("action") in MAKES_A_MODEL and step.get("job")
    ]
    return str(made[-1]["job"]) if made else ""


@dataclass(frozen=True, kw_only=True)
class ObservedModel:
    """One MLModel. `tasks` are all jobs and Experiments that it has made or that name it; `outcomes` the jobs that are
    the outcome of Experiments among them, by the Experiment's UID; `answers` is what the trainers of its own ended jobs
    have said last, by the job's UID: absent while it has not been read, empty where there is none to be read;
    `refusals` are the API server's answers to jobs that it would not create, by name and digest; `pods` are those that
    store records, and `events` the warnings of those that are stuck, by their UID; `datasets` are names of the Datasets
    that there are, of those that it names.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    status: Json
    spec: MLModelSpec | None
    spec_error: str = ""
    unsupported: str | None = None
    train_requested_at: str = ""
    tasks: tuple[TaskView, ...] = ()
    outcomes: Mapping[str, TaskView] = field(default_factory=dict)
    answers: Mapping[str, Json] = field(default_factory=dict)
    refusals: Mapping[tuple[str, str], Refusal] = field(default_factory=dict)
    pods: tuple[PodView, ...] = ()
    events: Mapping[str, tuple[PodEvent, ...]] = field(default_factory=dict)
    pod_refusal: Refusal | None = None
    datasets: frozenset[str] = frozenset()

    def of_task(self, *tasks: str) -> tuple[TaskView, ...]:
        """Jobs and Experiments that the model has made for one of these tasks, the oldest first."""
        found = [one for one in self.tasks if one.owner == self.uid and one.task in tasks]
        return tuple(sorted(found, key=lambda one: one.number))

    def refused(self, name: str, digest: str, *, now: float) -> tuple[str, float] | None:
        """Why a job is not tried now, in words of the API server, and the seconds until it is again."""
        refusal = self.refusals.get((name, digest))
        if refusal is None:
            return None
        left = refusal.last_at + REFUSED_AGAIN_SECONDS - now
        return (refusal.message, left) if left > 0 else None

    def pod_refused(self, *, now: float) -> tuple[str, float] | None:
        """Why no pod is tried now, in words of the API server, and the seconds until one is again."""
        if self.pod_refusal is None:
            return None
        left = self.pod_refusal.last_at + REFUSED_AGAIN_SECONDS - now
        return (self.pod_refusal.message, left) if left > 0 else None


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one part of a model's plan comes to: the keys of status that are its own, with None for one that goes; what
    is to be done to jobs; when it has to be looked at again; `problem` is a sentence for the model's message.
    """

    status: Json = field(default_factory=dict)
    jobs: tuple[JobStep, ...] = ()
    create: tuple[Json, ...] = ()
    delete: tuple[PodView, ...] = ()
    requeue_after: float | None = None
    announce: tuple[Announcement, ...] = ()
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelPlan:
    """What to do now: first the changes of jobs in this order, then `plan`."""

    plan: Plan = field(default_factory=Plan)
    jobs: tuple[JobStep, ...] = ()
