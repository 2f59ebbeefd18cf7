"""What a tuned step searches and how: its space, its objective, the rules of the algorithm, the seed.

Separate because all of it follows from the spec, from the catalogue and from what the search began with, and everything
that can be wrong with it is told before the first trial. Called by `planning.trials`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainyard.api.automl import AutoML
from trainyard.api.experiment import Step
from trainyard.planning import searchkept, stepjobs
from trainyard.planning.experimentobserved import ChildView, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.experimentview import runtime_metrics
from trainyard.planning.objective import Goal, goal_of
from trainyard.planning.runtime import Runtime, RuntimeAction, Unresolved
from trainyard.planning.searchkept import Searched
from trainyard.planning.searchspace import epochs_names, space_of
from trainyard.search import draws, grid
from trainyard.search.median import Median
from trainyard.search.rules import ON_RUNGS, Rules
from trainyard.search.space import Space, SpaceError

Json = Mapping[str, Any]
Point = tuple[str, ...]

_WHICH = {"runtime", "architecture", "type", "job_template"}


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched and how: all that does not change while the search goes on."""

    step: Step
    automl: AutoML
    body: Json
    checkpoint: Json | None
    searched: Searched
    spec_digest: str
    rules: Rules
    seed: int

    @property
    def space(self) -> Space:
        return self.searched.space

    @property
    def goal(self) -> Goal:
        return self.searched.goal

    @property
    def digest(self) -> str:
        return self.searched.digest

    def drawn(self, number: int) -> Point | None:
        """The point of a trial that needs nobody's proposal."""
        if self.automl.algorithm == "grid":
            return grid.grid_point(self.space, number)
        if self.automl.algorithm == "bayesian" and number >= draws.startup(self.space):
            return None
        return draws.random_point(self.space, self.seed, number)

    def point_of(self, number: int, child: ChildView | None) -> Point | None:
        """The point of a trial that has begun, by its job, or else drawn once more; None where its job had other
        parameters than are searched now.
        """
        if child is not None and child.parameters:
            try:
                found = tuple(map(child.parameters.__getitem__, self.space.names))
            except KeyError:
                return None
            return found if all(found) else None
        try:
            return self.drawn(number)
        except SpaceError:
            return None  # the grid that an earlier release began with had more points


def search_of(
    observed: ObservedExperiment,
    step: Step,
    *,
    spec: Json,
    checkpoint: Json | None,
    digest: str,
    rules: ExperimentRules,
) -> Search | str:
    """What is searched, or a sentence that says why nothing can be."""
    assert observed.spec is not None
    assert observed.spec.automl is not None
    automl = observed.spec.automl
    found = stepjobs.resolved(spec, rules.context.catalog, has_parent=bool(step.depends_on))
    if isinstance(found, Unresolved):
        return found.message
    runtime, action = found
    asked = searchkept.spec_digest(observed.spec, digest)
    try:
        searched = _searched(observed, step, spec, action, digest=digest, spec_digest=asked, rules=rules)
        cells = grid.grid_size(searched.space) if automl.algorithm == "grid" else None
    except SpaceError as error:
        return str(error)
    on_rungs = automl.algorithm in ON_RUNGS
    if on_rungs and not spec.get("output"):
        return (
            f"spec.output: {automl.algorithm} lets the best trials go on from their checkpoints; say where these are "
            "kept."
        )
    # NB: one that an earlier release has begun goes on, though each promoted trial runs from its beginning.
    begun = searchkept.is_asked_for(observed, step.name, spec_digest=asked)
    if on_rungs and not action.resumable and not begun:
        return _cannot_resume(automl, step, runtime)
    threshold = observed.spec.objective.threshold
    wanted = Rules(
        algorithm=automl.algorithm,
        variant=automl.variant,
        max_recommendations=automl.max_recommendations,
        parallelism=automl.parallelism,
        max_resource=automl.max_resource,
        nu=automl.nu,
        epoch_multiplier=automl.epoch_multiplier,
        max_failed=automl.max_failed,
        minimize=searched.goal.minimize,
        threshold=float(threshold) if threshold is not None else None,
        median=Median(
            startup_trials=automl.early_stopping.startup_trials,
            warmup_epochs=automl.early_stopping.warmup_epochs,
        )
        if automl.early_stopping is not None and not on_rungs
        else None,
        grid=cells,
    )
    if problem := wanted.problem():
        return problem
    return Search(
        step=step,
        automl=automl,
        body=spec,
        checkpoint=checkpoint,
        searched=searched,
        spec_digest=asked,
        rules=wanted,
        seed=_seed(observed, automl, searched.digest),
    )


def _cannot_resume(automl: AutoML, step: Step, runtime: Runtime) -> str:
    cannot = (
        f"of runtime {runtime.name} cannot resume"
        if runtime.name
        else "of an image of one's own is not taken to resume"
    )
    return (
        f"spec.automl.algorithm: {automl.algorithm} lets the best trials go on from their checkpoints, and action "
        f"{step.action} {cannot}. Take bayesian, random or grid, or a catalogue entry of your own whose action is "
        "resumable."
    )


def _searched(
    observed: ObservedExperiment,
    step: Step,
    spec: Json,
    action: RuntimeAction,
    *,
    digest: str,
    spec_digest: str,
    rules: ExperimentRules,
) -> Searched:
    """What the search began with, where the spec still asks for that; else what the catalogue says now.

    Raises SpaceError. A search of an earlier release, which has kept no space, goes on with the catalogue's of now.
    """
    assert observed.spec is not None
    assert observed.spec.automl is not None
    automl, told = observed.spec.automl, observed.status.get("automl") or {}
    on_rungs = automl.algorithm in ON_RUNGS
    goes_on = searchkept.is_asked_for(observed, step.name, spec_digest=spec_digest)
    kept = searchkept.read(told) if goes_on else None
    if kept is not None and bool(kept.epochs) == on_rungs:
        return kept
    said = observed.spec.model_dump(by_alias=True, include=_WHICH, exclude_none=True)
    goal = goal_of(observed.spec.objective, runtime_metrics(said, rules.context.catalog))
    space = space_of(automl, action, spec.get("parameters") or {})
    how: tuple[Any, ...] = (automl.algorithm, automl.seed, goal.metric, goal.minimize)
    epochs = epochs_names(automl, action) if on_rungs else ()
    if on_rungs:
        how += (automl.variant, automl.max_resource, automl.nu, automl.epoch_multiplier, epochs[0])
    whole = stepjobs.digest(digest, space.as_json(), how)
    if goes_on:
        space = searchkept.as_tried(space, observed)
        goal, whole = searchkept.goal(told), str(told["digest"])
    return Searched(space=space, goal=goal, epochs=epochs, digest=whole)


def _seed(observed: ObservedExperiment, automl: AutoML, digest: str) -> int:
    """NB: one that is drawn is drawn from what the search is, so that a look that was lost draws it again. Of an
    Experiment that came back from a backup the UID is another.
    """
    if automl.seed is not None:
        return automl.seed
    told = observed.status.get("automl") or {}
    if told.get("digest") == digest and told.get("seed") is not None:
        return int(told["seed"])
    text = hashlib.sha256(f"{observed.uid}/{digest}".encode()).digest()
    return int.from_bytes(text[:4], "big")
