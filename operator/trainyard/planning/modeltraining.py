"""The training of a model: when one is due, the job or the Experiment that does it, and how the last one went.

Separate because a training that is asked for is a thing of its own beside the versions that come of it. One is due when
what `spec.training` says has changed, when the annotation asks for it, or when monitoring does; one at a time. Called
by `planning.model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from trainyard.api import names
from trainyard.api.mlmodel import ExperimentTemplate, MLModelSpec, TrainedType
from trainyard.planning import modeltasks, parameters
from trainyard.planning.experimentobserved import JobStep
from trainyard.planning.merge import merged
from trainyard.planning.modelobserved import ObservedModel, Part, TaskView
from trainyard.planning.modelrules import ModelRules
from trainyard.planning.plan import Announcement
from trainyard.planning.times import stamp

Json = Mapping[str, Any]

#: Types that the reference trainer trains, on demo data where there is no other.
_DEMONSTRATED = frozenset(get_args(TrainedType))
_SHARED = {"architecture", "type", "datasets", "output", "base_models"}
_MOST_MESSAGE = 1024


def plan(
    observed: ObservedModel,
    *,
    type_name: str | None,
    degraded_at: str,
    now: float,
    rules: ModelRules,
) -> Part:
    """What is to be done about training. `type_name` is the recommended one where the spec says auto, None while it is
    not known; `degraded_at` is a degradation that asks for a training, empty without one.
    """
    assert observed.spec is not None
    spec = observed.spec
    told = _followed(observed, _adopted(observed, dict(observed.status.get("training") or {})))
    found = _child(observed, told)
    if found is not None and not found.finished:
        steps = _taken_back(observed, spec, found, told, type_name=type_name)
        return Part(status={"training": told or None}, jobs=steps)
    if spec.stage != "active":
        return Part(status={"training": told or None})
    waits = spec.type == "auto" and type_name is None
    if waits and not observed.train_requested_at and spec.training is None:
        return Part(status={"training": told or None})
    body = body_of(observed, spec, type_name=type_name)
    digest = modeltasks.digest_of(body["spec"], body["kind"])
    requested = observed.train_requested_at
    asked = bool(requested) and requested != told.get("requestedAt")
    changed = spec.training is not None and spec.training.enabled and digest != told.get("digest")
    degraded = bool(degraded_at) and degraded_at != told.get("degradedAt")
    if not (asked or changed or degraded) or waits:
        return Part(status={"training": told or None})
    problem = _problem(spec, body, rules)
    if problem is not None:
        return Part(status={"training": told or None}, problem=problem)
    number = max([int(told.get("number") or 0), *(one.number for one in observed.of_task("train"))]) + 1
    answers = {names.TRAIN_REQUESTED_AT: requested, names.DEGRADED_AT: degraded_at}
    step = _step(observed, body, number=number, digest=digest, answers=answers)
    waiting = observed.refused(step.name, digest, now=now)
    if waiting is not None:
        return Part(
            status={"training": told or None},
            problem=f"The API server refuses {step.name}, and is asked again: {waiting[0]}",
            requeue_after=waiting[1],
        )
    why = "it was asked for" if asked else "it has degraded" if degraded else "what it is trained with is new"
    return Part(
        status={"training": _begun(step, number=number, answers=answers, at=stamp(now))},
        jobs=(step,),
        announce=(
            Announcement(type="Normal", reason="TrainingStarted", message=f"{step.kind} {step.name}: {why}."),
        ),
    )


def body_of(observed: ObservedModel, spec: MLModelSpec, *, type_name: str | None) -> dict[str, Any]:
    """Kind, template and spec of what trains the model as its spec is now."""
    training = spec.training
    base = spec.model_dump(by_alias=True, mode="json", include=_SHARED, exclude_defaults=True)
    if spec.type == "auto":
        base = {**base, "type": type_name} if type_name else {k: v for k, v in base.items() if k != "type"}
    config = dict(spec.training_config)
    if spec.type == "auto" and spec.recommendation is not None and spec.recommendation.target:
        config.setdefault(
            "target", spec.recommendation.target
        )  # NB: the type is the best one for that column
    if training is not None and training.experiment_template is not None:
        return {
            "kind": "Experiment",
            "template": training.experiment_template,
            "spec": _experiment(observed, spec, base, config, training.experiment_template),
        }
    template = training.job_template if training is not None else None
    job = modeltasks.with_template({**base, "parameters": config, "action": "train"}, template)
    if not (job.get("datasets") or {}).get("train") and job.get("type") in _DEMONSTRATED:
        job["parameters"] = {**(job.get("parameters") or {}), "synthetic_data": True}
    for name in ("suspend", "cancel", "experiment"):
        job.pop(name, None)
    return {"kind": "TrainingJob", "template": template, "spec": {**job, "model": observed.name}}


def live(observed: ObservedModel) -> TaskView | None:
    """What trains the model now: its own training, or else what others have posted; one that runs before others."""
    alive = [one for one in observed.tasks if one.registers and not one.finished and not one.deleting]
    return max(
        alive, key=lambda one: (one.phase == "Running", one.owner == observed.uid, one.name), default=None
    )


def base_models(observed: ObservedModel) -> list[Json] | None:
    """How far the fetching of the base models is, by the newest training that was asked for; None without any."""
    there = observed.of_task("train")
    return list((there[-1].source.get("status") or {}).get("baseModels") or ()) or None if there else None


def _taken_back(
    observed: ObservedModel, spec: MLModelSpec, found: TaskView, told: Json, *, type_name: str | None
) -> tuple[JobStep, ...]:
    """The step that cancels a training that has not begun and is not what the spec says any longer: it may wait for
    what there will never be, such as a Dataset whose name was mistyped, and the next one would wait for its end.
    """
    requested = observed.train_requested_at
    asked = bool(requested) and requested != told.get("requestedAt")
    another = spec.stage == "active" and (asked or (spec.training is not None and spec.training.enabled))
    begun = found.started_at is not None or found.phase not in ("", "Pending")
    suspended = (found.source.get("spec") or {}).get("suspend") is True
    if begun or suspended or not another or (spec.type == "auto" and type_name is None):
        return ()
    body = body_of(observed, spec, type_name=type_name)
    if modeltasks.digest_of(body["spec"], body["kind"]) == found.digest:
        return ()
    return tuple(replace(step, kind=found.kind) for step in modeltasks.unwanted([found]))


def _experiment(
    observed: ObservedModel,
    spec: MLModelSpec,
    base: Mapping[str, Any],
    config: Mapping[str, Any],
    template: ExperimentTemplate,
) -> dict[str, Any]:
    over = template.spec or {}
    under: dict[str, Any] = {**base, "actions": [{"name": "train", "action": "train"}]}
    objective = spec.objective.model_dump(by_alias=True, mode="json", exclude_none=True)
    if objective:
        under["objective"] = objective
    if any(over.get(name) for name in ("architecture", "type", "runtime")):
        under = {key: value for key, value in under.items() if key not in ("architecture", "type")}
    both = merged(under, {key: value for key, value in over.items() if key != "actionParameters"})
    given = over.get("actionParameters") if isinstance(over.get("actionParameters"), Mapping) else {}
    parts = parameters.merged({"train": dict(config)} if config else {}, given or {})
    if parts:
        both["actionParameters"] = parts
    for name in ("suspend", "cancel"):
        both.pop(name, None)
    return {**both, "model": observed.name}


def _step(
    observed: ObservedModel,
    body: Mapping[str, Any],
    *,
    number: int,
    digest: str,
    answers: Mapping[str, str],
) -> JobStep:
    said_here = {key: value for key, value in answers.items() if value}
    if body["kind"] == "TrainingJob":
        return modeltasks.make(
            observed,
            "train",
            number=number,
            digest=digest,
            spec=body["spec"],
            template=body["template"],
            annotations=said_here,
        )
    template: ExperimentTemplate = body["template"]
    said = template.metadata.model_dump(by_alias=True, exclude_none=True) if template.metadata else {}
    name = names.search_name(model=observed.name, number=number)
    return JobStep(
        kind="Experiment",
        verb="make",
        name=name,
        digest=digest,
        body={
            "apiVersion": names.API_VERSION,
            "kind": "Experiment",
            "metadata": modeltasks.metadata(
                observed,
                "train",
                name=name,
                number=number,
                digest=digest,
                said=said,
                annotations=said_here,
            ),
            "spec": dict(body["spec"]),
        },
    )


def _problem(spec: MLModelSpec, body: Mapping[str, Any], rules: ModelRules) -> str | None:
    """Make sure that what is to train can be run at all."""
    wanted = body["spec"]
    named = any(wanted.get(name) for name in ("architecture", "type", "runtime", "image"))
    if not named and body["kind"] == "TrainingJob":
        return (
            "spec.type: say what is to be trained: type or architecture, or a runtime or an image in "
            "spec.training.jobTemplate."
        )
    if body["kind"] == "TrainingJob" and not wanted.get("output"):
        return "spec.output: say where the versions of the model are kept, as claimName or as uri."
    if body["kind"] == "TrainingJob":
        problem = modeltasks.problem_of(wanted, tuple(rules.context.catalog))
        return f"spec.training: {problem}" if problem else None
    return None


def _child(observed: ObservedModel, told: Json) -> TaskView | None:
    """What was made for the training that was asked for last, while it is there."""
    name = told.get("job") or told.get("experiment")
    return next((one for one in observed.of_task("train") if one.name == name and not one.deleting), None)


def _begun(step: JobStep, *, number: int, answers: Mapping[str, str], at: str) -> dict[str, Any]:
    """`status.training` of a new one."""
    found = {
        "number": number,
        "digest": step.digest,
        "requestedAt": answers.get(names.TRAIN_REQUESTED_AT) or None,
        "degradedAt": answers.get(names.DEGRADED_AT) or None,
        ("experiment" if step.kind == "Experiment" else "job"): step.name,
        "startTime": at,
    }
    return {key: value for key, value in found.items() if value is not None}


def _adopted(observed: ObservedModel, told: dict[str, Any]) -> dict[str, Any]:
    """`status.training` of the newest one that there is: the operator may have ended before it was written."""
    there = [one for one in observed.of_task("train") if not one.deleting]
    if not there or there[-1].number <= int(told.get("number") or 0):
        return told
    newest = there[-1]
    metadata = newest.source["metadata"]
    step = JobStep(kind=newest.kind, verb="make", name=newest.name, digest=newest.digest)
    answers = metadata.get("annotations") or {}
    return _begun(step, number=newest.number, answers=answers, at=metadata.get("creationTimestamp") or "")


def _followed(observed: ObservedModel, told: dict[str, Any]) -> dict[str, Any]:
    """`status.training` with how its job or Experiment has ended."""
    if not told:
        return told
    found = _child(observed, told)
    if found is None:
        if told.get("completionTime"):
            return told
        gone = f"{told.get('job') or told.get('experiment')} was deleted before it had ended."
        return {**told, "completionTime": told.get("startTime"), "outcome": "Canceled", "message": gone}
    if not found.finished:
        # NB: one that was tried again, or goes on after a cancel, is under way again.
        return {k: v for k, v in told.items() if k not in ("completionTime", "outcome", "message")}
    outcome = "Done" if found.succeeded else "Canceled" if found.canceled else "Error"
    ended = {**told, "completionTime": found.ended_at, "outcome": outcome}
    if outcome == "Done":
        return {key: value for key, value in ended.items() if key != "message"}
    return {**ended, "message": f"{found.reason}: {found.message}"[:_MOST_MESSAGE]}
