"""What is: everything that the plan of one Experiment rests on, and what the plan may ask for.

Separate because `reconcile.experiment` makes the one and carries out the other, and all of planning's parts share both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import orjson

from trainyard.api import names
from trainyard.api.callbacks import Callback
from trainyard.api.experiment import ExperimentSpec
from trainyard.api.reasons import ConditionType
from trainyard.planning import conditions, jobstatus, spechash
from trainyard.planning.observed import Answer, Refusal
from trainyard.planning.plan import Plan
from trainyard.planning.podview import PodView

Json = Mapping[str, Any]
Curve = tuple[tuple[float, float], ...]

#: What the API server, a quota or a policy has refused is tried again as often.
REFUSED_AGAIN_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildView:
    """A TrainingJob that names an Experiment. `owner` is the UID of what controls it: those that the Experiment has
    not made are counted and nothing else. `digest` is that of the step or the search that it was made for,
    `parameters` those of a trial; `value` is its best value of the objective, `last` that of its last epoch,
    `fell_silent`: it told none (or NaN) of epochs after that. `retried`: the request for another try that it was
    last given; `canceled_with`: the name of the Experiment that it was cancelled with. `begun`: an attempt has
    started. `registers`: it becomes a version of an MLModel by itself. `parent`: the job that it works on.
    `made_for`: the UID of the Experiment that has made it, as its label says.
    """

    name: str
    uid: str
    owner: str
    deleting: bool
    made_for: str = ""
    step: str = ""
    parent: str = ""
    number: int | None = None
    rung: int = 0
    digest: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    stopped: str = ""
    retry_requested_at: str = ""
    retried: str = ""
    told_to_cancel: bool = False
    phase: str = ""
    reason: str = ""
    message: str = ""
    finished: bool = False
    succeeded: bool = False
    canceled: bool = False
    canceled_with: str = ""
    begun: bool = False
    registers: bool = False
    started_at: str | None = None
    ended_at: str | None = None
    metric: str | None = None
    minimized: bool = False
    value: float | None = None
    epoch: float | None = None
    last: float | None = None
    last_epoch: float | None = None
    fell_silent: bool = False
    curve: Curve = ()
    key_metric: Json | None = None
    last_report: Json | None = None
    artifacts: tuple[Json, ...] = ()
    archive: Json | None = None
    result: Json | None = None
    base_models: tuple[Json, ...] = ()

    @classmethod
    def from_raw(cls, raw: Json, *, with_curve: bool = False) -> ChildView:
        """NB: a label may have been changed by anybody; one that is no number is none of a trial."""
        metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        owner: Json = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), {})
        number, rung = labels.get(names.LABEL_TRIAL, ""), labels.get(names.LABEL_RUNG, "")
        told = status.get("objective") or {}
        curve = told.get("curve") or {}
        finished = bool(status.get("completionTime"))
        canceled = finished and jobstatus.was_canceled(status)
        return cls(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            owner=str(owner.get("uid") or ""),
            deleting=bool(metadata.get("deletionTimestamp")),
            made_for=labels.get(names.LABEL_EXPERIMENT_UID, ""),
            step=labels.get(names.LABEL_STEP, ""),
            parent=str(spec.get("parentJob") or ""),
            number=int(number) if number.isdecimal() else None,
            rung=int(rung) if rung.isdecimal() else 0,
            digest=annotations.get(names.STEP_DIGEST, ""),
            parameters=_parameters(annotations.get(names.TRIAL_PARAMETERS, "")),
            stopped=annotations.get(names.STOPPED, ""),
            retry_requested_at=annotations.get(names.RETRY_REQUESTED_AT, ""),
            retried=str(status.get("retryRequestedAt") or ""),
            told_to_cancel=spec.get("cancel") is True,
            phase=status.get("phase") or "",
            reason=status.get("reason") or "",
            message=status.get("message") or "",
            finished=finished,
            succeeded=finished and conditions.is_true(status, ConditionType.SUCCEEDED),
            canceled=canceled,
            canceled_with=str((status.get("stop") or {}).get("experiment") or "") if canceled else "",
            begun=spechash.begun(status),
            registers=bool(spec.get("model")),
            started_at=status.get("startTime"),
            ended_at=status.get("completionTime"),
            metric=told.get("metric"),
            minimized=told.get("goal") == "Minimize",
            value=_number(told.get("value")),
            epoch=_number(told.get("epoch")),
            last=_number(told.get("last")),
            last_epoch=_number(told.get("lastEpoch")),
            fell_silent=_fell_silent(told, status.get("progress") or {}),
            curve=tuple(
                (float(epoch), float(value))
                for epoch, value in zip(curve.get("epochs") or (), curve.get("values") or (), strict=False)
            )
            if with_curve
            else (),
            key_metric=status.get("keyMetric"),
            last_report=status.get("lastReport"),
            artifacts=tuple(status.get("artifacts") or ()),
            archive=status.get("archive"),
            result=status.get("result"),
            base_models=tuple(status.get("baseModels") or ()),
        )

    @property
    def over(self) -> bool:
        """Whether it has ended and nobody has asked it to go on since."""
        return self.finished and self.retry_requested_at in ("", self.retried)


def _parameters(text: str) -> Mapping[str, str]:
    try:
        found = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _fell_silent(told: Json, progress: Json) -> bool:
    """Whether epochs have been told after the last one with a value, and more than lay between two such before.

    NB: a trainer may measure every few epochs only; of one that has done so once, as many as it took to come there.
    """
    last, at = _number(told.get("lastEpoch")), _number(progress.get("epoch"))
    if last is None or at is None:
        return False
    epochs = [float(epoch) for epoch in (told.get("curve") or {}).get("epochs") or ()]
    usual = max((after - before for before, after in pairwise(epochs)), default=max(last, 1.0))
    return at - last > usual


def _number(text: Any) -> float | None:
    try:
        return float(text) if text is not None else None
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftBehind:
    """A job that an Experiment of the same name and of another UID has made. `goes`: it is owned by what is not there
    any longer, and is deleted with it; `abandoned`: nothing controls it, and that Experiment is gone. `owners` are its
    owner references at `version`.
    """

    job: ChildView
    goes: bool = False
    abandoned: bool = False
    owners: tuple[Json, ...] = ()
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class ObservedExperiment:
    """One Experiment. `jobs` are all TrainingJobs that name it, and `strangers` names of jobs that do not and stand
    where one of its own would; `left_behind` are those of `jobs` that an earlier Experiment has made; `parents` are
    names of `jobs` that any job that has not ended names as its parent; `refusals` are the API server's answers to jobs
    that it would not create, by name and digest; `pods` are those that propose trials and remove what trials have
    stored, `proposals` the last line of those that have ended, by UID; `pod_refusal` is the answer to the last pod that
    it would not create; `answers` are those of callbacks.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    status: Json
    spec: ExperimentSpec | None
    spec_error: str = ""
    unsupported: str | None = None
    retry_requested_at: str = ""
    jobs: tuple[ChildView, ...] = ()
    strangers: frozenset[str] = frozenset()
    left_behind: tuple[LeftBehind, ...] = ()
    parents: frozenset[str] = frozenset()
    refusals: Mapping[tuple[str, str], Refusal] = field(default_factory=dict)
    pods: tuple[PodView, ...] = ()
    proposals: Mapping[str, str] = field(default_factory=dict)
    pod_refusal: Refusal | None = None
    answers: Mapping[str, Answer] = field(default_factory=dict)

    def pod_refused(self, *, now: float) -> tuple[str, float] | None:
        """Why no pod is tried now, in words of the API server, and the seconds until one is again."""
        if self.pod_refusal is None:
            return None
        left = self.pod_refusal.last_at + REFUSED_AGAIN_SECONDS - now
        return (self.pod_refusal.message, left) if left > 0 else None

    def with_going_on(self, uids: Collection[str]) -> ObservedExperiment:
        """As it will be when the ended jobs of these UIDs have taken note that they go on."""
        if not uids:
            return self
        jobs = tuple(
            replace(job, finished=False, canceled=False, ended_at=None, phase="", reason="", message="")
            if job.uid in uids and not job.succeeded
            else job
            for job in self.jobs
        )
        return replace(self, jobs=jobs)

    @property
    def callbacks(self) -> list[Callback] | None:
        """Who is to be told; None where the spec cannot be read."""
        return self.spec.callbacks if self.spec is not None else None


@dataclass(frozen=True, kw_only=True)
class JobStep:
    """One change of a job, or of an Experiment that a model has made: `make` posts `body`, `remove` deletes the one of
    `uid`, `patch` merges `body` over it.
    """

    kind: Literal["TrainingJob", "Experiment"] = "TrainingJob"
    verb: Literal["make", "remove", "patch"]
    name: str
    uid: str = ""
    digest: str = ""
    body: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ExperimentPlan:
    """What to do now: first the changes of jobs in this order, then `plan`."""

    plan: Plan = field(default_factory=Plan)
    jobs: tuple[JobStep, ...] = ()
