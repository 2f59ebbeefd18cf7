"""What the settings and the catalogue say to every plan.

Separate because the plan's parts share it and nothing else does; made by `trainyard.app`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainyard.planning.agentpod import AgentRules
from trainyard.planning.deliveries import RetryRules
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.runtime import Runtime
from trainyard.planning.server import ServerAddress


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the settings and the catalogue say; the same for every job.

    `schedulers` are those that admit the pods of a job together, with their API.
    """

    catalog: tuple[Runtime, ...] = ()
    accelerators: AcceleratorRules = field(default_factory=AcceleratorRules)
    image_pull_policy: str | None = None
    follow_logs: bool = True
    report_progress: bool = True
    progress_interval: float = 5.0
    log_store: str = ""
    callbacks: RetryRules = field(default_factory=RetryRules)
    agent: AgentRules = field(default_factory=AgentRules)
    server: ServerAddress | None = None
    schedulers: Mapping[str, str] = field(default_factory=dict)
