"""The TrainingJob of a step: its spec from the Experiment's templates, its digest, its metadata, how it is asked again.

Separate because three things must agree on it: what is posted, what says that a step has changed, and what is checked
before anything runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from trainyard.api import names
from trainyard.api.experiment import ExperimentSpec, Step
from trainyard.api.jobedits import RUN_POLICY
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import parameters
from trainyard.planning.experimentobserved import ChildView, JobStep, ObservedExperiment
from trainyard.planning.merge import merged
from trainyard.planning.nearest import hint
from trainyard.planning.runtime import Runtime, RuntimeAction, Unresolved, resolve

Json = dict[str, Any]

_DIGITS = 16
_WHAT = ("runtime", "architecture", "type")
#: What an Experiment says for all of its jobs, in the words of a TrainingJob.
_SHARED = {
    *_WHAT,
    "datasets",
    "output",
    "env",
    "encryption_key_secret_ref",
}


def spec_of(spec: ExperimentSpec, step: Step) -> Json:
    """The spec of the step's job but for what hangs on other steps.

    The step's template goes over that of the Experiment, and both over the Experiment's own fields; parameters of the
    step over those of the Experiment for its action.
    """
    # NB: a step that works on what another leaves has its model from there.
    shared = _SHARED if step.depends_on else _SHARED | {"base_models"}
    base = spec.model_dump(by_alias=True, mode="json", include=shared, exclude_defaults=True)
    templates = [t.spec or {} for t in (spec.job_template, step.job_template) if t is not None]
    for template in templates:
        if any(template.get(name) for name in _WHAT):
            base = {key: value for key, value in base.items() if key not in _WHAT}
        base = merged(base, template)
    given = base.get("parameters")
    below = parameters.merged(
        given if isinstance(given, Mapping) else {}, spec.action_parameters.get(step.action, {})
    )
    base["parameters"] = parameters.merged(below, step.parameters)
    base["action"] = step.action
    for name in ("suspend", "cancel", "parentJob", "checkpoint"):
        base.pop(name, None)
    return {key: value for key, value in base.items() if value not in ({}, [])}


def checkpoint_of(experiment: str, spec: ExperimentSpec, step: Step) -> Json | None:
    """Which checkpoint of the step before is handed on; None is the best one, which needs no saying."""
    if step.checkpoint is not None:
        choice: Json = step.checkpoint.model_dump(by_alias=True, mode="json", exclude_none=True)
    else:
        choice = {"method": spec.checkpoint.method}
        if spec.checkpoint.method == "from_epoch_number":
            epoch = _epoch(experiment, spec, step)
            if epoch is None:
                return None
            choice["epoch"] = epoch
    return choice if choice.get("method") != "best_model" else None


def _epoch(experiment: str, spec: ExperimentSpec, step: Step) -> int | None:
    """The epoch of the step before. Without one for it, the best checkpoint is taken."""
    if not step.depends_on:
        return None
    before = next(one for one in spec.actions if one.name == step.depends_on[0])
    epochs = spec.checkpoint.epochs
    return next((epochs[key] for key in _called(experiment, before) if key in epochs), None)


def _called(experiment: str, step: Step) -> tuple[str, ...]:
    """What spec.checkpoint.epochs may call a step: its name, its action, its job."""
    return step.name, step.action, names.step_job_name(experiment=experiment, step=step.name)


def epoch_of_nobody(experiment: str, spec: ExperimentSpec) -> str | None:
    """Make sure that an epoch is that of a step; where it is not, the best model would be handed on without a word."""
    if spec.checkpoint.method != "from_epoch_number":
        return None
    known = {name for step in spec.actions for name in _called(experiment, step)}
    wrong = next((key for key in spec.checkpoint.epochs if key not in known), None)
    if wrong is None:
        return None
    near = hint(wrong, known)
    return f"spec.checkpoint.epochs: {wrong[:64]} is no step, no action and no job of this Experiment: {near}"


def problem_of(body: Mapping[str, Any]) -> str | None:
    """Make sure that the spec of a step's job is one at all."""
    try:
        TrainingJobSpec.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'its job'}: {first['msg']}"
    return None


def resolved(
    body: Mapping[str, Any], catalog: tuple[Runtime, ...], *, has_parent: bool
) -> tuple[Runtime, RuntimeAction] | Unresolved:
    """The runtime and its action for the spec of a step's job."""
    spec = TrainingJobSpec.model_validate({**body, **({"parentJob": "parent"} if has_parent else {})})
    return resolve(spec, catalog)


def digest(*parts: Any) -> str:
    """16 hexadecimal digits of what can be written as JSON."""
    text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:_DIGITS]


def digest_of(
    body: Mapping[str, Any], *, checkpoint: Mapping[str, Any] | None, after: tuple[str, ...]
) -> str:
    """Digest of what a step runs with, and of the steps that it depends on. NB: how a job is run (its limits, times and
    callbacks) may change without running it again.
    """
    what = {key: value for key, value in body.items() if key not in RUN_POLICY}
    return digest(what, dict(checkpoint or {}), after)


def job(
    observed: ObservedExperiment,
    step: Step,
    *,
    name: str,
    digest: str,
    spec: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Json:
    """The TrainingJob to POST."""
    assert observed.spec is not None
    said: Json = {}
    for template in (observed.spec.job_template, step.job_template):
        if template is not None and template.metadata is not None:
            said = merged(said, template.metadata.model_dump(by_alias=True, exclude_none=True))
    ours = {
        names.LABEL_EXPERIMENT: observed.name,
        names.LABEL_EXPERIMENT_UID: observed.uid,
        names.LABEL_STEP: step.name,
        **(labels or {}),
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": "TrainingJob",
        "metadata": {
            "name": name,
            "namespace": observed.namespace,
            "labels": {**(said.get("labels") or {}), **ours},
            "annotations": {
                **(said.get("annotations") or {}),
                **(annotations or {}),
                names.STEP_DIGEST: digest,
            },
            "ownerReferences": [owner(observed)],
        },
        "spec": {**spec, "experiment": observed.name},
    }


def owner(observed: ObservedExperiment) -> Json:
    """The reference by which an Experiment's jobs and pods go with it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "Experiment",
        "name": observed.name,
        "uid": observed.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def asked_again(child: ChildView, asked: str) -> JobStep:
    """A job that has ended tries again, whatever it was stopped for."""
    change = {
        "metadata": {"annotations": {names.RETRY_REQUESTED_AT: asked, names.STOPPED: None}},
        "spec": {"cancel": False},
    }
    return JobStep(verb="patch", name=child.name, uid=child.uid, body=change)
