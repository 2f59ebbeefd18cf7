"""The plan of an MLModel: what has become of it, and what is to be done for it.

Separate because it is a kind of its own. Each part is planned by itself: versions, aliases, the recommendation,
training, monitoring, publishing and the records; here they are put in their order. Called by `reconcile.model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trainyard.api.mlmodel import MLModelSpec
from trainyard.api.reasons import Phase, Reason
from trainyard.planning import (
    conditions,
    modelaliases,
    modelmonitor,
    modelpublish,
    modelrecommend,
    modelrecords,
    modelstate,
    modeltraining,
    modelversions,
)
from trainyard.planning.modelaliases import Aliases
from trainyard.planning.modelobserved import ModelPlan, ObservedModel, Part
from trainyard.planning.modelrules import ModelRules
from trainyard.planning.modelstate import Found, Problem
from trainyard.planning.modelversions import Versions
from trainyard.planning.plan import Announcement, Plan
from trainyard.planning.times import sooner

Json = Mapping[str, Any]


def plan_model(observed: ObservedModel, *, now: float, rules: ModelRules) -> ModelPlan:
    """The plan for one look at a model. `now` is seconds since the epoch."""
    if observed.deleting:
        return ModelPlan()  # its jobs and pods go with it, by their owner reference
    if observed.spec is None:
        return _refused(observed, Reason.INVALID_SPEC, observed.spec_error, now=now)
    if observed.unsupported is not None:
        return _refused(observed, Reason.NOT_YET_SUPPORTED, observed.unsupported, now=now)
    return _plan(observed, observed.spec, now=now, rules=rules)


def _plan(observed: ObservedModel, spec: MLModelSpec, *, now: float, rules: ModelRules) -> ModelPlan:
    catalog = tuple(rules.context.catalog)
    versions = modelversions.registered(observed, now=now, catalog=catalog)
    versions, records = modelrecords.plan(observed, versions, now=now, rules=rules)
    aliases = modelaliases.moved(observed, versions, now=now)
    recommend = modelrecommend.plan(observed, now=now, rules=rules)
    monitor = modelmonitor.plan(observed, versions, aliases.stand_for, now=now, rules=rules)
    publish = modelpublish.plan(observed, versions, aliases.stand_for, now=now, rules=rules)
    watched = monitor.status.get("monitor") or {}
    type_name = modelrecommend.type_of(observed, recommend) if spec.type == "auto" else spec.type
    training = modeltraining.plan(
        observed,
        type_name=type_name,
        degraded_at=modelmonitor.wants_training(spec, watched),
        now=now,
        rules=rules,
    )
    kept = modelversions.retained(
        versions, wanted=spec.versions_retained, in_use=_in_use(spec, aliases, publish)
    )
    if versions.news:
        records, monitor, publish = map(_once_told, (records, monitor, publish))
    parts = (records, recommend, monitor, publish, training)
    status: dict[str, Any] = {
        **observed.status,
        "aliases": list(aliases.states) or None,
        "baseModels": modeltraining.base_models(observed),
    }
    later: float | None = None
    for part in parts:
        status.update(part.status)
        if part.requeue_after is not None:
            later = sooner(later, part.requeue_after)
    run = recommend.status.get("recommendationRun") or {}
    found = Found(
        versions=kept,
        training=training.status.get("training") or {},
        degraded=modelmonitor.degraded(spec, watched, _watched(spec, versions, aliases)),
        recommending=run.get("state") == "Running",
        recommended=type_name if spec.type == "auto" else None,
        problem=_problem(training, recommend, type_name=type_name, auto=spec.type == "auto"),
        remarks=[
            text
            for text in (
                modelversions.without_a_model(observed),
                aliases.problem,
                monitor.problem,
                publish.problem,
                records.problem,
            )
            if text
        ],
    )
    whole, changed = modelstate.stated(observed, status, found, now=now, catalog=catalog)
    news: tuple[Announcement, ...] = (*versions.news, *aliases.news)
    plan = Plan(
        create=tuple(pod for part in parts for pod in part.create),
        delete=tuple(dict.fromkeys(pod for part in parts for pod in part.delete)),
        status=whole if whole != observed.status else None,
        announce=(*news, *(one for part in parts for one in part.announce), *changed),
        requeue_after=later,
    )
    return ModelPlan(plan=plan, jobs=tuple(job for part in parts for job in part.jobs))


def _once_told(part: Part) -> Part:
    """What a part makes of versions, put off to the next look: their numbers hold once status has them. NB: before,
    an operator that ends here may number them otherwise, and a record or an evaluation would be another version's.
    """
    jobs = tuple(job for job in part.jobs if job.verb != "make")
    return replace(part, create=(), jobs=jobs, requeue_after=0.0)


def _problem(training: Part, recommend: Part, *, type_name: str | None, auto: bool) -> Problem | None:
    """What keeps the model from being trained."""
    if training.problem and training.requeue_after is not None:
        return Problem(phase=Phase.PENDING, reason=Reason.POLICY_REFUSED, message=training.problem)
    if training.problem:
        return Problem(phase=Phase.ERROR, reason=Reason.INVALID_SPEC, message=training.problem)
    if auto and recommend.problem and recommend.requeue_after is not None:
        return Problem(phase=Phase.PENDING, reason=Reason.POLICY_REFUSED, message=recommend.problem)
    if auto and type_name is None and recommend.problem:
        return Problem(phase=Phase.ERROR, reason=Reason.RECOMMENDATION_FAILED, message=recommend.problem)
    return None


def _in_use(spec: MLModelSpec, aliases: Aliases, publish: Part) -> frozenset[int]:
    """Versions that status has to go on listing: aliases and targets are looked up there."""
    wanted = {target.version for target in spec.publish if target.version is not None}
    published = {int(one["version"]) for one in publish.status.get("published") or () if one.get("version")}
    return frozenset({*aliases.stand_for.values(), *wanted, *published})


def _watched(spec: MLModelSpec, versions: Versions, aliases: Aliases) -> int | None:
    """The version that monitoring looks at."""
    if spec.monitor is not None and spec.monitor.alias is not None:
        return aliases.stand_for.get(spec.monitor.alias)
    return int(versions.newest["number"]) if versions.newest is not None else None


def _refused(observed: ObservedModel, reason: Reason, message: str, *, now: float) -> ModelPlan:
    """What cannot be read, or not be done yet; what the model has stays."""
    phase = Phase.ERROR if reason is Reason.INVALID_SPEC else Phase.PENDING
    status = {
        **observed.status,
        "lifecycle": observed.status.get("lifecycle") or "draft",
        **conditions.stated(
            observed.status,
            phase=phase,
            reason=str(reason),
            message=message,
            generation=observed.generation,
            now=now,
            ready=True,
            available=bool(observed.status.get("versions")),
        ),
    }
    if status == observed.status:
        return ModelPlan()
    changed = (observed.status.get("phase"), observed.status.get("reason")) != (str(phase), str(reason))
    news = Announcement(type="Warning", reason=str(reason), message=message[:1024])
    return ModelPlan(plan=replace(Plan(), status=status, announce=(news,) if changed else ()))
