"""What the settings and the catalogue say to the plan of every Experiment; made by `trainyard.app`."""

from __future__ import annotations

from dataclasses import dataclass, field

from trainyard.planning.context import Context
from trainyard.planning.tunerpod import TunerRules


@dataclass(frozen=True, kw_only=True)
class ExperimentRules:
    """`context` is that of the jobs, `tuner` the image that proposes trials."""

    context: Context = field(default_factory=Context)
    tuner: TunerRules = field(default_factory=TunerRules)
