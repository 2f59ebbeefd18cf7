"""The operator's memory: idle, and how it grows with each job that has ended.

Separate because it takes its time: after each portion of jobs the operator is left alone until it has given back what
it will give back.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from tests.bench import rig, sample, stats, trial, usage
from tests.bench.trial import Load
from tests.harness import console
from tests.harness.client import wait_for
from tests.harness.controlplane import ControlPlane
from tests.harness.errors import HarnessError
from tests.harness.operator import Operator

NAMESPACE = "memory"
_IDLE_SECONDS = 20.0
_SAMPLE_SECONDS = 1.0
_DONE = 'trainyard_jobs{phase="Done",reason="Completed"}'


def run(*, jobs: int = 10_000, portions: int = 10) -> dict[str, Any]:
    """PSS in MiB: idle, the highest, and after `jobs` jobs have ended; what each of them has left behind, in kB.

    NB: the first portion is not in that, as it makes room that the later ones use.
    """
    with rig.cluster("bench-memory") as plane:
        rig.make_namespace(plane, NAMESPACE)
        with rig.operator(plane) as operator:
            time.sleep(_IDLE_SECONDS)
            points, peak = [(0.0, operator.pss_mib())], 0.0
            for portion in range(portions):
                highest = _portion(plane, operator, first=portion * (jobs // portions), jobs=jobs // portions)
                peak = max(peak, highest)
                points.append((float((portion + 1) * (jobs // portions)), operator.pss_mib()))
    return {
        "jobs": jobs,
        "idleMiB": points[0][1],
        "peakMiB": peak,
        "afterMiB": points[-1][1],
        "kilobytesPerFinishedJob": stats.slope(points[1:]) * 1024,
        "points": points,
    }


def _portion(plane: ControlPlane, operator: Operator, *, first: int, jobs: int) -> float:
    """So many jobs as fast as they can be posted, until they have ended and a while longer; the highest PSS."""
    highest = 0.0

    def all_done() -> bool:
        nonlocal highest
        highest = max(highest, operator.pss_mib())
        with contextlib.suppress(HarnessError):  # it is busy
            return operator.metrics().get(_DONE) == first + jobs
        return False

    with (
        console.step(f"{first + jobs} jobs"),
        trial.loading(plane, (sample.job(),), Load(jobs=jobs, namespace=NAMESPACE), first=first),
    ):
        wait_for(all_done, what=f"{jobs} jobs to end", timeout=60 + jobs, every=_SAMPLE_SECONDS)
        usage.wait_until_quiet([operator.daemon.pid])
    return highest
