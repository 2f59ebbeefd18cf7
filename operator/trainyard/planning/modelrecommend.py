"""The recommendation of a type for a model of `type: auto`: the job that measures it on the data, and what came of it.

Separate because training waits for it. A change of the data, the target, the candidates or the budget measures anew; a
failure stands until there is such a change or the annotation train-requested-at has a new value. Called by
`planning.model`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from trainyard.api import names
from trainyard.api.mlmodel import MLModelSpec, RecommendationRequest
from trainyard.api.modelstatus import Recommendation
from trainyard.planning import modeltasks
from trainyard.planning.measurements import clean
from trainyard.planning.modelobserved import ObservedModel, Part, TaskView
from trainyard.planning.modelrules import ModelRules
from trainyard.planning.plan import Announcement
from trainyard.planning.times import stamp

Json = Mapping[str, Any]

_RUNTIME = "reference"
_READ_AGAIN_SECONDS = 5.0
_LIMIT = 1024
#: What a training is given besides, and the measuring has to know as well.
_SHARED = ("target", "task", "ignore_columns", "random_seed")


def plan(observed: ObservedModel, *, now: float, rules: ModelRules) -> Part:
    """What is to be done about the recommendation; `status.recommendation` and `status.recommendationRun` are its own.

    NB: status tells of a measuring only once its job is there, as with evaluations.
    """
    assert observed.spec is not None
    spec, tasks = observed.spec, observed.of_task("recommend")
    old = modeltasks.outdated(tasks)
    if spec.type != "auto" or spec.stage == "archived" or not spec.datasets.train:
        return Part(status=_at_rest(observed), jobs=(*modeltasks.unwanted(tasks), *old))
    digest = _digest(spec)
    run: Json = observed.status.get("recommendationRun") or {}
    newest = next((one for one in reversed(tasks) if not one.deleting), None)
    # NB: what was cancelled when nothing was to be measured is measured anew when it is again.
    taken_back = newest is not None and (newest.source.get("spec") or {}).get("cancel") is True
    if newest is not None and not taken_back and newest.number > int(run.get("number") or 0):
        run = _begun(newest)
    due = _is_due(observed, run, digest)
    found = _next(observed, run, digest, now=now, rules=rules) if due else _followed(observed, run, now=now)
    of_before = tuple(one for one in tasks if one.digest != digest)
    return dataclasses.replace(
        found,
        status={"recommendation": observed.status.get("recommendation"), **found.status},
        jobs=(*modeltasks.unwanted(of_before), *old, *found.jobs),
    )


def type_of(observed: ObservedModel, part: Part) -> str | None:
    """The type that is recommended for what the spec says now; None while there is none. `part` is the plan of it."""
    assert observed.spec is not None
    run, found = part.status.get("recommendationRun") or {}, part.status.get("recommendation") or {}
    if observed.spec.type != "auto":
        return None
    measured = (run.get("digest"), run.get("state")) == (_digest(observed.spec), "Done")
    return found.get("type") if measured or not observed.spec.datasets.train else None


def _is_due(observed: ObservedModel, run: Json, digest: str) -> bool:
    """Whether there is something to measure that no job was made for; a failure is not repeated by itself."""
    if run.get("digest") != digest or not run.get("job"):
        return True
    asked = observed.train_requested_at
    return run["state"] == "Failed" and bool(asked) and asked != run.get("requestedAt")


def _at_rest(observed: ObservedModel) -> Json:
    """What stays of it when nothing is to be measured any longer."""
    run = observed.status.get("recommendationRun")
    running = run is not None and run["state"] == "Running"
    return {
        "recommendation": observed.status.get("recommendation"),
        "recommendationRun": None if running else run,
    }


def _next(observed: ObservedModel, run: Json, digest: str, *, now: float, rules: ModelRules) -> Part:
    """The job that measures, or why there is none yet."""
    assert observed.spec is not None
    before = max(
        [int(run.get("number") or 0), *(one.number for one in observed.of_task("recommend"))], default=0
    )
    body, asked = _body(observed.spec), observed.train_requested_at
    problem = modeltasks.problem_of(body, tuple(rules.context.catalog))
    if problem is not None:
        return _not_begun(before, digest, "Failed", problem)
    step = modeltasks.make(
        observed,
        "recommend",
        number=before + 1,
        digest=digest,
        spec=body,
        annotations={names.TRAIN_REQUESTED_AT: asked} if asked else None,
    )
    refused = observed.refused(step.name, digest, now=now)
    if refused is not None:
        why = f"The API server refuses {step.name}, and is asked again: {refused[0]}"
        return _not_begun(before, digest, "Running", why, again=refused[1])
    return Part(status={"recommendationRun": run or None}, jobs=(step,))


def _begun(task: TaskView) -> dict[str, Any]:
    """`status.recommendationRun` of a new one."""
    annotations = task.source["metadata"].get("annotations") or {}
    return clean(
        {
            "number": task.number,
            "digest": task.digest,
            "requestedAt": annotations.get(names.TRAIN_REQUESTED_AT),
            "job": task.name,
            "state": "Running",
        }
    )


def _not_begun(number: int, digest: str, state: str, why: str, *, again: float | None = None) -> Part:
    run = {"number": number, "digest": digest, "state": state, "message": why[:_LIMIT]}
    return Part(status={"recommendationRun": run}, requeue_after=again, problem=_sentence(why))


def _followed(observed: ObservedModel, run: Json, *, now: float) -> Part:
    """What has become of the job of the newest run."""
    tasks = observed.of_task("recommend")
    job = next((one for one in tasks if one.name == run["job"] and not one.deleting), None)
    if job is not None and not job.finished:  # NB: also one that is tried again when it has failed
        waits = f"{job.reason}: {job.message}"[:_LIMIT] if job.phase == "Pending" else None
        return Part(status={"recommendationRun": clean({**run, "state": "Running", "message": waits})})
    if run["state"] != "Running":
        problem = _sentence(str(run.get("message"))) if run["state"] == "Failed" else ""
        return Part(status={"recommendationRun": run}, problem=problem)
    if job is None:
        return _failed(run, f"{run['job']} was deleted before it had ended.")
    if job.canceled:
        return _failed(run, f"{job.name} was cancelled.")
    if job.failed:
        return _failed(run, f"{job.name} failed with {job.reason or 'no reason'}: {job.message}")
    answer = modeltasks.answer(observed, job, now=now)
    if answer is None:
        return Part(status={"recommendationRun": run}, requeue_after=_READ_AGAIN_SECONDS)
    assert observed.spec is not None
    found = _read(answer, observed.spec, at=job.ended_at or stamp(now))
    if isinstance(found, str):
        return _failed(run, f"{job.name} has ended, but {found}")
    said = f"{found['type']} suits the data best, with a score of {found['score']} of 100. {found.get('reasoning', '')}"
    return Part(
        status={
            "recommendation": found,
            "recommendationRun": {**{k: v for k, v in run.items() if k != "message"}, "state": "Done"},
        },
        announce=(Announcement(type="Normal", reason="TypeRecommended", message=said.strip()[:_LIMIT]),),
    )


def _read(answer: Json, spec: MLModelSpec, *, at: str) -> dict[str, Any] | str:
    """The recommendation in a trainer's last word; else what is wrong with it. NB: a trainer may print anything."""
    told = answer.get("recommendation")
    if not isinstance(told, Mapping):
        return "its last status line has no recommendation, or its log is gone."
    try:
        read = Recommendation.model_validate({**told, "dataset": spec.datasets.train[0], "time": at})
    except ValidationError as error:
        first = error.errors()[0]
        return f"its recommendation cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    candidates = (spec.recommendation or RecommendationRequest()).candidates
    if read.type not in candidates:
        return f"it recommends {read.type[:63]}, which is none of the candidates."
    found: dict[str, Any] = read.model_dump(by_alias=True, mode="json", exclude_none=True)
    return found


def _failed(run: Json, why: str) -> Part:
    return Part(
        status={"recommendationRun": {**run, "state": "Failed", "message": why[:_LIMIT]}},
        announce=(Announcement(type="Warning", reason="RecommendationFailed", message=why[:_LIMIT]),),
        problem=_sentence(why),
    )


def _sentence(why: str) -> str:
    return f"No type could be recommended: {why}"[:_LIMIT]


def _measured(spec: MLModelSpec) -> dict[str, Any]:
    """What is measured on what; a change of this measures anew."""
    asked = spec.recommendation or RecommendationRequest()
    shared = {name: spec.training_config[name] for name in _SHARED if name in spec.training_config}
    return {
        "action": "recommend",
        "datasets": {"train": list(spec.datasets.train)},
        "parameters": clean(
            {
                **shared,
                "target": asked.target or shared.get("target"),
                "candidates": list(asked.candidates),
                "time_budget_seconds": asked.time_budget_seconds,
                "folds": asked.folds,
            }
        ),
    }


def _digest(spec: MLModelSpec) -> str:
    return modeltasks.digest_of(_measured(spec))


def _body(spec: MLModelSpec) -> dict[str, Any]:
    """The spec of the job. It may use what a training may."""
    template = spec.training.job_template if spec.training is not None else None
    resources = (template.spec or {}).get("resources") if template is not None else None
    return {"runtime": _RUNTIME, **({"resources": resources} if resources else {}), **_measured(spec)}
