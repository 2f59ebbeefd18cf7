"""What a check finds: why a job is not running.

Separate because the checks of `planning.waiting`, `planning.refusals`, `planning.stuckpod` and `planning.nodeloss` all
give it and `planning.pending` takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.api.reasons import Phase, Reason


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A phase other than the straight way, why, and what the user can do. `since` starts the start-up clock.
    `cause` is the message without what to do with the job, where it says that: a pod can be of no job.
    """

    phase: Phase
    reason: Reason
    message: str
    since: float | None = None
    cause: str = ""
