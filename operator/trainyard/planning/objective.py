"""Which metric decides, and which way.

Separate because trials, the jobs of an Experiment and its status must agree on it. The rules are those that
`api.shared.Objective` tells users.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trainyard.api.shared import Objective

#: The default of the TAO service.
_METRIC = "map"
_SMALLER_IS_BETTER = ("loss", "evaluation_cost")
_ERRORS = frozenset({"rmse", "mae"})


@dataclass(frozen=True)
class Goal:
    """The metric that decides, and whether less of it is better."""

    metric: str
    minimize: bool


def goal_of(objective: Objective, runtime_metrics: Sequence[str] = ()) -> Goal:
    """The goal of an objective; `runtime_metrics` are those of the catalogue's runtime, the headline metric first."""
    metric = objective.metric or next(iter(runtime_metrics), _METRIC)
    if objective.goal is not None:
        return Goal(metric, objective.goal == "Minimize")
    return Goal(metric, _is_minimized(metric))


def _is_minimized(metric: str) -> bool:
    name = metric.lower()
    return any(part in name for part in _SMALLER_IS_BETTER) or not _ERRORS.isdisjoint(
        re.split(r"[^a-z]+", name)
    )
