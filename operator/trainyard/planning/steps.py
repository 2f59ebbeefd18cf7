"""The steps of a chain: their order, and what each is waiting for, does, or has come to.

Separate from the plan of the whole, which adds them up. A step is judged anew at every look: by its job where there is
one, by what status has recorded of it where somebody has deleted the job, and by the steps that it depends on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trainyard.api import names
from trainyard.api.experiment import Step
from trainyard.api.reasons import FINAL, Phase, Reason
from trainyard.planning import experimentbases, stepjobs, takeover
from trainyard.planning.experimentobserved import (
    REFUSED_AGAIN_SECONDS,
    ChildView,
    JobStep,
    ObservedExperiment,
)
from trainyard.planning.podview import PodView

Json = Mapping[str, Any]

_MESSAGE_LIMIT = 1024


@dataclass(frozen=True, kw_only=True)
class StepState:
    """What a step is at; `status` is its entry of `status.steps`. `absent`: it has ended and its job is gone. `jobs`,
    `create` and `delete` are what is to be done for it. Of the step that is tuned `automl` is `status.automl`, and
    `output` where its trials store.
    """

    step: Step
    status: dict[str, Any]
    digest: str
    child: ChildView | None = None
    absent: bool = False
    jobs: tuple[JobStep, ...] = ()
    create: tuple[Json, ...] = ()
    delete: tuple[PodView, ...] = ()
    requeue_after: float | None = None
    automl: Json | None = None
    output: Json | None = None
    tuned: bool = False

    @property
    def handed(self) -> str:
        """Digest of what the steps after it work on: of the tuned one also by which trial is the best."""
        return stepjobs.digest(self.digest, self.job) if self.tuned else self.digest

    @property
    def phase(self) -> str:
        return str(self.status.get("phase") or Phase.PENDING)

    @property
    def final(self) -> bool:
        return self.phase in FINAL

    @property
    def base(self) -> dict[str, Any]:
        """Its entry but for what it is at."""
        return {key: value for key, value in self.status.items() if key not in ("phase", "reason", "message")}

    @property
    def job(self) -> str | None:
        """The job whose artifacts are handed on."""
        found: str | None = self.status.get("job")
        return found


def in_order(steps: Sequence[Step]) -> list[Step] | list[str]:
    """The steps so that each comes after those that it depends on; or the names of a cycle, as a list that ends where
    it begins.
    """
    by_name = {step.name: step for step in steps}
    done: dict[str, Step] = {}
    for first in steps:
        path: list[str] = []
        stack = [(first, iter(first.depends_on))] if first.name not in done else []
        path = [first.name] if stack else []
        while stack:
            step, rest = stack[-1]
            for name in rest:
                if name in path:
                    return [*path[path.index(name) :], name]
                if name in by_name and name not in done:
                    stack.append((by_name[name], iter(by_name[name].depends_on)))
                    path.append(name)
                    break
            else:
                done[step.name] = step
                stack.pop()
                path.pop()
    return list(done.values())


def waiting_for(parents: Sequence[StepState]) -> tuple[Phase, Reason, str] | None:
    """What the steps before make of one that has not begun; None when it may begin."""
    for parent in parents:
        if parent.phase == Phase.ERROR:
            return (
                Phase.ERROR,
                Reason.PARENT_FAILED,
                f"Step {parent.step.name} failed, so there is nothing to work on.",
            )
    for parent in parents:
        if parent.phase == Phase.CANCELED:
            return Phase.CANCELED, Reason.PARENT_CANCELED, f"Step {parent.step.name} was cancelled."
    undone = [parent.step.name for parent in parents if parent.phase != Phase.DONE]
    if undone:
        said = ", ".join(undone)
        return Phase.PENDING, Reason.WAITING_FOR_PARENT, f"Waiting for {said} to be Done."
    return None


def plain(
    observed: ObservedExperiment,
    step: Step,
    parents: Sequence[StepState],
    *,
    spec: Json,
    checkpoint: Json | None,
    digest: str,
    again: bool,
    now: float,
) -> StepState:
    """The state of a step that runs once. `again`: its job is gone, and a step that is to run needs what it made."""
    name = names.step_job_name(experiment=observed.name, step=step.name)
    recorded = entry_of(observed.status, step.name)
    child = next((job for job in observed.jobs if job.name == name and job.owner == observed.uid), None)
    run = int(recorded.get("run") or 0)
    if recorded.get("digest") not in (None, digest) and recorded.get("job"):
        run += 1
    base = {"name": step.name, "action": step.action, "digest": digest, "run": run}
    if child is not None and child.digest == digest and not child.deleting:
        return of_child(observed, step, child, base)
    if child is not None:
        return _being_replaced(observed, step, child, base)
    ended = recorded.get("digest") == digest and recorded.get("phase") in FINAL and recorded.get("job")
    if ended and not again and not _retried(observed, recorded):
        return StepState(step=step, status=dict(recorded), digest=digest, absent=True)
    base["job"] = None
    finding = waiting_for(parents)
    if finding is not None:
        return stated(step, digest, base, *finding)
    if held := held_back(observed):
        return stated(step, digest, base, *held)
    parent = parents[0].job if parents else None
    body = {**experimentbases.pinned(observed, spec), **({"parentJob": parent} if parent else {})}
    if parent and checkpoint:
        body["checkpoint"] = dict(checkpoint)
    refused = refused_job(observed, step, base, name, digest, now=now)
    if refused is not None and refused.requeue_after is None:
        return refused
    make = JobStep(
        verb="make",
        name=name,
        digest=digest,
        body=stepjobs.job(observed, step, name=name, digest=digest, spec=body),
    )
    if refused is not None:
        due = (refused.requeue_after or 0.0) <= 0
        return replace(refused, jobs=(make,), requeue_after=1.0) if due else refused
    state = stated(
        step, digest, {**base, "job": name}, Phase.PENDING, Reason.ACCEPTED, "Its job is being made."
    )
    return replace(state, jobs=(make,))


def of_child(observed: ObservedExperiment, step: Step, child: ChildView, base: Json) -> StepState:
    """What a step's job says of it."""
    shown = child.key_metric or {}
    goes_on = child.finished and not child.over
    status = {
        **base,
        "job": child.name,
        "phase": (child.phase if not goes_on else "") or str(Phase.PENDING),
        "reason": (child.reason if not goes_on else "") or str(Reason.ACCEPTED),
        "message": child.message[:_MESSAGE_LIMIT] or None,
        "metric": shown.get("display"),
        "startTime": child.started_at,
        "completionTime": child.ended_at if not goes_on else None,
    }
    jobs: tuple[JobStep, ...] = ()
    asked = observed.retry_requested_at
    if (
        retry_is_new(observed)
        and child.finished
        and not child.succeeded
        and child.retry_requested_at != asked
    ):
        jobs = (stepjobs.asked_again(child, asked),)
    return StepState(step=step, status=clean(status), digest=str(base["digest"]), child=child, jobs=jobs)


def retry_is_new(observed: ObservedExperiment) -> bool:
    """Whether somebody asks for another try that has not been given yet."""
    assert observed.spec is not None
    asked = observed.retry_requested_at
    # NB: cancel wins; taken back, the request still stands.
    return bool(asked) and asked != observed.status.get("retryRequestedAt") and not observed.spec.cancel


def held_back(observed: ObservedExperiment) -> tuple[Phase, Reason, str] | None:
    """Why no job is made, whatever is due."""
    assert observed.spec is not None
    if observed.spec.cancel:
        return Phase.CANCELED, Reason.CANCELED_BY_USER, "The Experiment is cancelled."
    if observed.spec.suspend:
        return Phase.PENDING, Reason.PAUSED, "The Experiment is paused."
    return None


def refused_job(
    observed: ObservedExperiment, step: Step, base: Json, name: str, digest: str, *, now: float
) -> StepState | None:
    """What keeps a job of this name from being made; with `requeue_after` where that may pass."""
    if (left := takeover.why_not(observed, name)) is not None:
        return stated(step, digest, base, *left)
    if name in observed.strangers:
        message = (
            f"There is a TrainingJob {name} that this Experiment has not made, and it is left as it is. Delete it, or "
            "give the step another name."
        )
        return stated(step, digest, base, Phase.PENDING, Reason.JOB_NAME_TAKEN, message)
    if any(job.name == name and job.owner == observed.uid for job in observed.jobs):
        message = (
            f"TrainingJob {name} is this Experiment's and has lost the labels that say what it is for. Put them back, "
            "or delete it, and it is made again."
        )
        return stated(step, digest, base, Phase.PENDING, Reason.JOB_NAME_TAKEN, message)
    refusal = observed.refusals.get((name, digest))
    if refusal is None:
        return None
    if refusal.status in (400, 422):
        message = f"The API server refuses its job: {refusal.message}"
        return stated(step, digest, base, Phase.ERROR, Reason.INVALID_SPEC, message)
    quota = "exceeded quota" in refusal.message
    reason = Reason.QUOTA_EXCEEDED if quota else Reason.POLICY_REFUSED
    state = stated(
        step, digest, base, Phase.PENDING, reason, f"Its job is refused and tried again: {refusal.message}"
    )
    due = refusal.last_at + REFUSED_AGAIN_SECONDS - now
    return replace(state, requeue_after=max(due, 0.0))


def stated(
    step: Step, digest: str, base: Json, phase: Phase, reason: Reason, message: str, **fields: Any
) -> StepState:
    """A step in a phase, with its entry of the status."""
    status = {
        **base,
        "phase": str(phase),
        "reason": str(reason),
        "message": message[:_MESSAGE_LIMIT],
        **fields,
    }
    return StepState(step=step, status=clean(status), digest=digest)


def reason_of(text: Any) -> Reason:
    """The reason that a job tells; that it is accepted for none, or for one that this version does not know."""
    try:
        return Reason(text)
    except ValueError:
        return Reason.ACCEPTED


def clean(status: Json) -> dict[str, Any]:
    """Without what says nothing."""
    return {key: value for key, value in status.items() if value is not None}


def entry_of(status: Json, name: str) -> Json:
    """What status has recorded of a step; empty for nothing."""
    return next((entry for entry in status.get("steps") or [] if entry.get("name") == name), {})


def _retried(observed: ObservedExperiment, recorded: Json) -> bool:
    return retry_is_new(observed) and recorded.get("phase") != Phase.DONE


def _being_replaced(observed: ObservedExperiment, step: Step, child: ChildView, base: Json) -> StepState:
    """The job is of what the step was before, or is being deleted: another one comes when it is gone."""
    message = (
        f"TrainingJob {child.name} of the step as it was is being deleted; it runs again when that is gone."
    )
    state = stated(
        step,
        str(base["digest"]),
        {**base, "job": child.name},
        Phase.PENDING,
        Reason.WAITING_FOR_CLEANUP,
        message,
    )
    if child.deleting:
        return state
    held = held_back(observed)
    if held is not None:
        return stated(step, str(base["digest"]), {**base, "job": child.name}, *held)
    remove = JobStep(verb="remove", name=child.name, uid=child.uid)
    return replace(state, jobs=(remove,))
