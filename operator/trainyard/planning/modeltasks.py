"""The jobs and Experiments that an MLModel makes: their metadata, their digest, and which of them are in the way.

Separate because training, recommending, monitoring and publishing all make some. Called by `planning.model*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import ValidationError

from trainyard.api import names
from trainyard.api.experiment import JobTemplate
from trainyard.api.jobedits import RUN_POLICY
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import parameters, stepjobs
from trainyard.planning.experimentobserved import JobStep
from trainyard.planning.merge import merged
from trainyard.planning.modelobserved import ObservedModel, TaskView
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.runtime import Runtime, Unresolved, resolve
from trainyard.planning.times import seconds

Json = dict[str, Any]
Task = Literal["train", "recommend", "monitor", "publish", "unpublish"]

_WHAT = ("runtime", "architecture", "type")
#: What of a job says where it runs.
_WHERE = ("tolerations", "nodeSelector", "affinity", "priorityClassName", "schedulerName", "queueName")
#: The resource of an accelerator that says no other (api.pods).
_DEVICE = AcceleratorRules().resource_name
#: For so long the answer of a job that has ended is waited for.
ANSWER_SECONDS = 120.0
#: Ended jobs of a task that are kept, so that a person can look at them.
_KEPT = 3


def with_template(base: Mapping[str, Any], template: JobTemplate | None) -> Json:
    """The spec of a job with the user's template over it; parameters key by key."""
    over = (template.spec or {}) if template is not None else {}
    if any(over.get(name) for name in _WHAT):
        base = {key: value for key, value in base.items() if key not in _WHAT}
    given = over.get("parameters")
    both = merged(dict(base), {key: value for key, value in over.items() if key != "parameters"})
    if isinstance(given, Mapping):
        both["parameters"] = parameters.merged(base.get("parameters") or {}, given)
    return {key: value for key, value in both.items() if value not in ({}, [])}


def digest_of(spec: Mapping[str, Any], *more: Any) -> str:
    """Digest of what a job runs. NB: how it is run (limits, times, callbacks) may change without running it again."""
    return stepjobs.digest({key: value for key, value in spec.items() if key not in RUN_POLICY}, *more)


def problem_of(spec: Mapping[str, Any], catalog: tuple[Runtime, ...]) -> str | None:
    """Make sure that a job's spec is one, and that there is a runtime for it; else a sentence."""
    try:
        job = TrainingJobSpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'its job'}: {first['msg']}"
    found = resolve(job, catalog)
    return found.message if isinstance(found, Unresolved) else None


def make(
    observed: ObservedModel,
    task: Task,
    *,
    number: int,
    digest: str,
    spec: Mapping[str, Any],
    template: JobTemplate | None = None,
    annotations: Mapping[str, str] | None = None,
) -> JobStep:
    """The step that posts the job `<model>-<task>-<number>` with this spec, the labels of `template` under ours. What
    does not train runs where the trainings do.
    """
    name = names.task_name(model=observed.name, task=task, number=number)
    body = {
        "apiVersion": names.API_VERSION,
        "kind": "TrainingJob",
        "metadata": metadata(
            observed,
            task,
            name=name,
            number=number,
            digest=digest,
            said=_metadata(template),
            annotations=annotations,
        ),
        "spec": dict(spec) if task == "train" else _placed(observed, spec),
    }
    return JobStep(verb="make", name=name, digest=digest, body=body)


def _placed(observed: ObservedModel, spec: Mapping[str, Any]) -> Json:
    """A spec with where it runs, as far as it does not say so; what either tolerates is tolerated."""
    where = _where(observed)
    given = spec.get("tolerations") or []
    known = {one["key"] for one in given if isinstance(one, Mapping) and "key" in one}
    both = [*given, *(one for one in where.get("tolerations") or () if one.get("key") not in known)]
    return {**where, **spec, **({"tolerations": both} if both else {})}


def _where(observed: ObservedModel) -> Json:
    """Where the trainings of the model run, without the devices themselves. NB: a claim may be mounted on their nodes
    alone, and these carry a taint that nobody tolerates who asks for no device.
    """
    training = observed.spec.training if observed.spec is not None else None
    template = training.job_template if training is not None else None
    said = (template.spec or {}) if template is not None else {}
    found = {key: said[key] for key in _WHERE if said.get(key)}
    listed = found.pop("tolerations", None)
    given = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    device = said.get("accelerator")
    if isinstance(device, Mapping):
        taint = {"key": device.get("resourceName") or _DEVICE, "operator": "Exists", "effect": "NoSchedule"}
        if taint["key"] not in {one.get("key") for one in given}:
            given.append(taint)
    return {**found, "tolerations": given} if given else found


def metadata(
    observed: ObservedModel,
    task: Task,
    *,
    name: str,
    number: int,
    digest: str,
    said: Mapping[str, Any],
    annotations: Mapping[str, str] | None = None,
) -> Json:
    """The metadata of what a model makes; `said` are labels and annotations of the user's template."""
    return {
        "name": name,
        "namespace": observed.namespace,
        "labels": {
            **(said.get("labels") or {}),
            names.LABEL_MODEL: observed.name,
            names.LABEL_MODEL_UID: observed.uid,
            names.LABEL_TASK: task,
        },
        "annotations": {
            **(said.get("annotations") or {}),
            **(annotations or {}),
            names.TASK_NUMBER: str(number),
            names.TASK_DIGEST: digest,
        },
        "ownerReferences": [owner(observed)],
    }


def owner(observed: ObservedModel) -> Json:
    """The reference by which a model's jobs and pods go with it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "MLModel",
        "name": observed.name,
        "uid": observed.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def remove(task: TaskView) -> JobStep:
    """The step that deletes a job that the model has made."""
    return JobStep(verb="remove", name=task.name, uid=task.uid)


def answer(observed: ObservedModel, task: TaskView, *, now: float) -> Mapping[str, Any] | None:
    """What the trainer of an ended job has said last; None while it may still be read. What cannot be read for long, as
    that of a pod whose node has gone, is taken for nothing.
    """
    found = observed.answers.get(task.uid)
    ended = seconds(task.ended_at)
    if found is None and task.succeeded and ended is not None and now < ended + ANSWER_SECONDS:
        return None
    return found or {}


def cancel(task: TaskView) -> JobStep:
    """The step that ends a job that is not wanted any longer, and keeps its record."""
    return JobStep(verb="patch", name=task.name, uid=task.uid, body={"spec": {"cancel": True}})


def unwanted(tasks: Iterable[TaskView]) -> tuple[JobStep, ...]:
    """Steps that cancel those of the tasks that still run."""
    return tuple(
        cancel(one)
        for one in tasks
        if not (one.finished or one.deleting or (one.source.get("spec") or {}).get("cancel"))
    )


def outdated(tasks: Iterable[TaskView], *, kept: int = _KEPT) -> tuple[JobStep, ...]:
    """Steps that delete all ended jobs of a task but the newest; `tasks` are of one task, the oldest first."""
    ended = [one for one in tasks if one.finished and not one.deleting and one.kind == "TrainingJob"]
    return tuple(remove(one) for one in ended[: max(0, len(ended) - kept)])


def _metadata(template: JobTemplate | None) -> Mapping[str, Any]:
    if template is None or template.metadata is None:
        return {}
    said: Json = template.metadata.model_dump(by_alias=True, exclude_none=True)
    return said
