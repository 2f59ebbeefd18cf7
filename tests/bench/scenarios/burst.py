"""Bursts: so many jobs as fast as they can be posted, until the last one is Done.

Separate because throughput is measured here, and latency when there is too much to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.bench import rounds, trial
from tests.bench.contenders import OWN, Contender
from tests.bench.sample import Sample
from tests.bench.trial import Load, Trial
from tests.harness.controlplane import ControlPlane

RATIOS = (
    "jobsPerSecond",
    "jobsPerSecondToQuiet",
    "applyToPod.p50Ms",
    "applyToPod.p99Ms",
    "cpuMsPerJob.kube-apiserver",
)


def run(*, jobs: int = 500, times: int = 8, contenders: Sequence[Contender] = OWN) -> dict[str, Any]:
    """`times` rounds of a burst of `jobs`."""

    def one(plane: ControlPlane, contender: Contender, found: Sample) -> Trial:
        return trial.run(plane, contender, Load(jobs=jobs), found)

    return {
        "jobs": jobs,
        **rounds.run(f"Burst of {jobs}", contenders, rounds=times, trial=one, ratios=RATIOS),
    }
