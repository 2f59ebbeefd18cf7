"""What the settings and the catalogue say to every plan.

Separate because the plan's parts share it and nothing else does; made by `trainyard.app`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trainyard.planning.deliveries import RetryRules
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.runtime import Runtime


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the settings and the catalogue say; the same for every job."""

    catalog: tuple[Runtime, ...] = ()
    accelerators: AcceleratorRules = field(default_factory=AcceleratorRules)
    image_pull_policy: str | None = None
    follow_logs: bool = True
    report_progress: bool = True
    progress_interval: float = 5.0
    log_store: str = ""
    callbacks: RetryRules = field(default_factory=RetryRules)
