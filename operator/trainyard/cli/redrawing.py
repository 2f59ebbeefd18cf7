"""The parameters of trials whose jobs are gone, drawn again from the seed of the search.

Separate because it needs the models of the API, the catalogue and the search, which take as long to load as the rest
of a command. What is drawn counts only if it has the digest that the ledger has kept, so that it is right or absent:
as for what bayesian search has proposed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from trainyard import catalog
from trainyard.api.experiment import ExperimentSpec
from trainyard.cli.experimenthistory import Parameters, Redraw, tuned_step
from trainyard.planning import searchkept, searchspace, stepjobs
from trainyard.planning.runtime import Unresolved
from trainyard.search.draws import random_point
from trainyard.search.grid import grid_point
from trainyard.search.space import Point, Space, SpaceError

Json = dict[str, Any]


def of(experiment: Json) -> Redraw | None:
    """None where it is not known what was searched."""
    space = space_of(experiment)
    if space is None:
        return None
    known = space
    asked = experiment["spec"]["automl"]
    seed = ((experiment.get("status") or {}).get("automl") or {}).get("seed", asked.get("seed"))
    is_grid = asked.get("algorithm") == "grid"

    def redraw(number: int, digest: str) -> Parameters | None:
        for point in _points(known, number, seed=seed, is_grid=is_grid):
            if known.digest(point) == digest:
                return known.as_mapping(point)
        return None

    return redraw


def scales(experiment: Json) -> dict[str, bool]:
    """What is searched, and whether on a logarithmic scale; empty where it is not known."""
    space = space_of(experiment)
    return {} if space is None else {dimension.name: dimension.log for dimension in space.dimensions}


def _points(space: Space, number: int, *, seed: int | None, is_grid: bool) -> Iterator[Point]:
    try:
        if is_grid:
            yield grid_point(space, number)
        elif seed is not None:
            yield random_point(space, seed, number)
    except SpaceError:
        return


def space_of(experiment: Json) -> Space | None:
    """What its status says is searched, or else its spec and the release's catalogue; None where neither does."""
    raw = experiment.get("spec") or {}
    told = (experiment.get("status") or {}).get("automl") or {}
    if tuned_step(raw) and (kept := searchkept.read(told)) is not None:
        return kept.space
    try:
        return _by_spec(ExperimentSpec.model_validate(raw), tuned_step(raw))
    except (ValidationError, SpaceError):
        return None


def _by_spec(spec: ExperimentSpec, step_name: str) -> Space | None:
    step = next((one for one in spec.actions if one.name == step_name), None)
    if spec.automl is None or step is None:
        return None
    body = stepjobs.spec_of(spec, step)
    found = stepjobs.resolved(body, catalog.built_in(), has_parent=bool(step.depends_on))
    return (
        None
        if isinstance(found, Unresolved)
        else searchspace.space_of(spec.automl, found[1], body.get("parameters") or {})
    )
