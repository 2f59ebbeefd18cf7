"""What a tuned step searches and how: its space, its objective, the rules of the algorithm, the seed.

Separate because all of it follows from the spec and the catalogue alone, and everything that can be wrong with it is
told before the first trial. Called by `planning.trials`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainyard.api.automl import AutoML
from trainyard.api.experiment import Step
from trainyard.planning import stepjobs
from trainyard.planning.experimentobserved import ChildView, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.experimentview import runtime_metrics
from trainyard.planning.objective import Goal, goal_of
from trainyard.planning.runtime import RuntimeAction, Unresolved
from trainyard.planning.searchspace import epochs_parameter, space_of
from trainyard.search import draws, grid
from trainyard.search.median import Median
from trainyard.search.rules import Rules
from trainyard.search.space import Space, SpaceError

Json = Mapping[str, Any]
Point = tuple[str, ...]

_WHICH = {"runtime", "architecture", "type", "job_template"}
_ON_RUNGS = ("hyperband", "asha")


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched and how: all that does not change while the search goes on."""

    step: Step
    automl: AutoML
    body: Json
    checkpoint: Json | None
    space: Space
    goal: Goal
    rules: Rules
    action: RuntimeAction
    kind: str
    seed: int
    digest: str

    def drawn(self, number: int) -> Point | None:
        """The point of a trial that needs nobody's proposal."""
        if self.automl.algorithm == "grid":
            return grid.grid_point(self.space, number)
        if self.automl.algorithm == "bayesian" and number >= draws.startup(self.space):
            return None
        return draws.random_point(self.space, self.seed, number)

    def point_of(self, number: int, child: ChildView | None) -> Point | None:
        """The point of a trial that has begun, by its job, or else drawn once more."""
        if child is not None and child.parameters:
            found = tuple(child.parameters.get(d.name, "") for d in self.space.dimensions)
            if all(found):
                return found
        return self.drawn(number)


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
    _, action = found
    kind = str(spec.get("type") or spec.get("architecture") or "")
    said = observed.spec.model_dump(by_alias=True, include=_WHICH, exclude_none=True)
    goal = goal_of(observed.spec.objective, runtime_metrics(said, rules.context.catalog))
    epochs = epochs_parameter(automl, action, kind)
    try:
        space = space_of(automl, action, spec.get("parameters") or {})
        cells = grid.grid_size(space) if automl.algorithm == "grid" else None
    except SpaceError as error:
        return str(error)
    on_rungs = automl.algorithm in _ON_RUNGS
    if on_rungs and not spec.get("output"):
        return (
            f"spec.output: {automl.algorithm} lets the best trials go on from their checkpoints; say where these are "
            "kept."
        )
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
        minimize=goal.minimize,
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
    how: tuple[Any, ...] = (automl.algorithm, automl.seed, goal.metric, goal.minimize)
    if on_rungs:
        how += (automl.variant, automl.max_resource, automl.nu, automl.epoch_multiplier, epochs)
    whole = stepjobs.digest(digest, space.as_json(), how)
    return Search(
        step=step,
        automl=automl,
        body=spec,
        checkpoint=checkpoint,
        space=space,
        goal=goal,
        rules=wanted,
        action=action,
        kind=kind,
        seed=_seed(observed, automl, whole),
        digest=whole,
    )


def _seed(observed: ObservedExperiment, automl: AutoML, digest: str) -> int:
    """NB: one that is drawn is drawn from what the search is, so that a look that was lost draws it again."""
    if automl.seed is not None:
        return automl.seed
    text = hashlib.sha256(f"{observed.uid}/{digest}".encode()).digest()
    return int.from_bytes(text[:4], "big")
