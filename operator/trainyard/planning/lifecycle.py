"""Where a model is in its life.

Separate because it is one pure rule, which docs/models.md tells as a table that a test runs row by row. Nothing is
decided from the lifecycle that status has: what happened counts. Called by `planning.modelstate`.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.modelstatus import Lifecycle


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """`stage` as spec has it; whether something trains it now; whether the newest training failed; whether monitoring
    finds it below its threshold; whether there is a version; `reported` is what was told from outside, while nothing
    newer is known.
    """

    stage: str = "active"
    training: bool = False
    failed: bool = False
    degraded: bool = False
    has_version: bool = False
    reported: Lifecycle | None = None


def lifecycle_of(evidence: Evidence) -> Lifecycle:
    """The first that applies: what the user has put the model to, what is going on, and then what is known of it."""
    if evidence.stage == "archived":
        return "archived"
    if evidence.stage == "deprecated":
        return "deprecated"
    if evidence.training:
        return "training"
    if evidence.reported is not None:
        return evidence.reported
    if evidence.failed:
        return "failed"
    if not evidence.has_version:
        return "draft"
    return "degraded" if evidence.degraded else "trained"
