"""What a search began with, as `status.automl` keeps it: its space, its metric, what sets the epochs, its digest.

Separate because it outlives the catalogue that it came from. A release or an administrator may change a range while a
search runs, and nobody has asked for another search then: as long as the spec asks for the same, it goes on with what
it began with. Called by `planning.searchsetup`, `planning.searchstatus` and the commands that draw a search.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from pydantic import ValidationError

from trainyard.api.automlstatus import AutoMLStatus
from trainyard.api.experiment import ExperimentSpec
from trainyard.api.reasons import Reason
from trainyard.planning import stepjobs, steps
from trainyard.planning.experimentobserved import ObservedExperiment
from trainyard.planning.objective import Goal
from trainyard.search.rules import ON_RUNGS
from trainyard.search.space import Dimension, Space, SpaceError

Json = Mapping[str, Any]

#: A larger one would leave too little room for the ledger.
_LARGEST_BYTES = 32_000


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What is searched, whoever said it. `epochs` are the names of the parameter that sets the number of epochs: the
    first is what is set, the others are left out; none where trials have no rungs.
    """

    space: Space
    goal: Goal
    epochs: tuple[str, ...]
    digest: str


def spec_digest(spec: ExperimentSpec, step_digest: str) -> str:
    """Digest of what a spec asks to search, whatever any catalogue makes of it; `step_digest` is that of the step by
    itself. NB: another one for the same spec begins all searches anew.
    """
    automl, objective = spec.automl, spec.objective
    assert automl is not None
    space = [one.model_dump(by_alias=True, mode="json", exclude_defaults=True) for one in automl.space]
    names = (automl.add_hyperparameters, automl.remove_hyperparameters)
    what: tuple[Any, ...] = (
        sorted(space, key=lambda one: str(one["name"])),
        *map(sorted, names),
        automl.override_disabled_params,
        automl.epochs_parameter,
        automl.algorithm,
        automl.seed,
        objective.metric,
        objective.goal,
    )
    if automl.algorithm in ON_RUNGS:
        what += (automl.variant, automl.max_resource, automl.nu, automl.epoch_multiplier)
    return stepjobs.digest(step_digest, what)


def is_asked_for(observed: ObservedExperiment, step: str, *, spec_digest: str) -> bool:
    """Whether the search of `status.automl` is the one that the spec asks for.

    Earlier releases wrote no digest of that; then nobody has edited the spec since the search was last looked at.
    """
    told, entry = observed.status.get("automl") or {}, steps.entry_of(observed.status, step)
    if not (told.get("digest") and told.get("metric")):
        return False
    if said := told.get("specDigest"):
        return bool(said == spec_digest)
    # NB: what was refused is not what the search before it was of, though its digest is kept.
    known = told["digest"] == entry.get("digest") and entry.get("reason") != Reason.INVALID_SPEC
    return known and unedited(observed)


def unedited(observed: ObservedExperiment) -> bool:
    """Whether the spec is the one that status speaks of."""
    return observed.status.get("observedGeneration") == observed.generation


def read(told: Json) -> Searched | None:
    """What `status.automl` has kept; None where it has not, or where somebody has made nonsense of it."""
    entries = told.get("space")
    if not entries:
        return None
    try:
        space = Space(tuple(_dimension(one) for one in entries))
    except (SpaceError, KeyError, InvalidOperation):
        return None
    return Searched(
        space=space,
        goal=goal(told),
        epochs=tuple(told.get("epochsParameters") or ()),
        digest=str(told.get("digest") or ""),
    )


def goal(told: Json) -> Goal:
    """The goal of the search of `status.automl`."""
    return Goal(str(told.get("metric")), told.get("goal") == "Minimize")


def as_tried(space: Space, observed: ObservedExperiment) -> Space:
    """The part of a space that trials of the search have had values of, where there is any: what the catalogue has
    taken up since is not what they were to tell of.
    """
    told = observed.status.get("automl") or {}
    jobs = [job for job in observed.jobs if job.owner == observed.uid and job.digest == told.get("digest")]
    tried = {name for job in jobs for name in job.parameters}
    tried |= {one["name"] for trial in told.get("topTrials") or () for one in trial.get("parameters") or ()}
    return Space(tuple(d for d in space.dimensions if d.name in tried) or space.dimensions)


def as_status(searched: Searched, *, spec_digest: str) -> dict[str, Any]:
    """The part of `status.automl` that `read` reads, besides digest, metric and goal. A space that status has no room
    for is not kept; what of it is the spec's own cannot change.
    """
    found: dict[str, Any] = {"specDigest": spec_digest}
    kept: dict[str, Any] = {"space": [_entry(dimension) for dimension in searched.space.dimensions]}
    if searched.epochs:
        kept["epochsParameters"] = list(searched.epochs)
    try:
        AutoMLStatus.model_validate(kept)
    except ValidationError:
        return found
    return found | kept if len(orjson.dumps(kept)) <= _LARGEST_BYTES else found


def _entry(dimension: Dimension) -> dict[str, Any]:
    return steps.clean(
        {
            "name": dimension.name,
            "type": dimension.type,
            "min": _text(dimension.low),
            "max": _text(dimension.high),
            "step": _text(dimension.step),
            "log": dimension.log or None,
            "values": list(dimension.values) or None,
        }
    )


def _dimension(entry: Json) -> Dimension:
    return Dimension(
        name=entry["name"],
        type=entry["type"],
        low=_decimal(entry.get("min")),
        high=_decimal(entry.get("max")),
        step=_decimal(entry.get("step")),
        log=bool(entry.get("log")),
        values=tuple(entry.get("values") or ()),
    )


def _text(number: Decimal | None) -> str | None:
    return None if number is None else str(number)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
