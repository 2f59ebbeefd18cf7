"""The books of TrainingJobs and of trials: metrics of what the status that was just written says.

Separate because counting is nobody's decision. Called by `reconcile.trainingjob` and `reconcile.experiment` after each
write that succeeded, so that an end is counted once, by the process that wrote it: a restart counts nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from prometheus_client import Counter

from trainyard import metrics
from trainyard.api.reasons import Reason
from trainyard.planning import accounting, trialaccounting
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.podview import PodView

Json = Mapping[str, Any]


def account(raw: Json, status: Json | None, pods: Sequence[PodView], *, rules: AcceleratorRules) -> None:
    """Count what came about when `status` was written over that of the job `raw`; None: nothing was."""
    if status is None:
        return
    found = accounting.account(raw, status, pods, rules=rules)
    if found.devices is not None and found.began:
        for outcome in accounting.OUTCOMES:
            # NB: at 0 before it is counted: Prometheus sees no increase in a series that begins with one.
            _gpu_seconds(outcome, found.devices.accelerator)
    for began in found.began:
        for histogram, took in (
            (metrics.TIME_TO_POD, began.to_pod),
            (metrics.TIME_IN_QUEUE, began.in_queue),
            (metrics.TIME_TO_RUNNING, began.to_running),
        ):
            if took is not None:
                histogram.observe(took)
    for ended in found.ended:
        metrics.ATTEMPTS.labels(outcome=ended.outcome, reason=ended.reason).inc()
        if found.devices is not None:
            _gpu_seconds(ended.outcome, found.devices.accelerator).inc(ended.device_seconds)
        if ended.reason == Reason.UPLOAD_FAILED:
            metrics.UPLOADS.labels(outcome="failed").inc()
    if found.finished is not None:
        phase, reason = found.finished
        metrics.JOBS_FINISHED.labels(phase=phase, reason=reason).inc()
    if found.uploaded is not None:
        metrics.UPLOADS.labels(outcome="stored").inc()
        metrics.UPLOAD_BYTES.inc(found.uploaded)


def account_trials(raw: Json, status: Json | None) -> None:
    """Count the runs of trials that had ended when `status` was written over that of the Experiment `raw`."""
    algorithm = trialaccounting.algorithm(raw)
    if status is None or algorithm is None:
        return
    ended = trialaccounting.ended(raw, status)
    for state in trialaccounting.STATES:
        # NB: at 0 before it is counted: Prometheus sees no increase in a series that begins with one.
        metrics.TRIALS.labels(state=state, algorithm=algorithm).inc(ended[state])


@cache
def _gpu_seconds(outcome: str, accelerator: str) -> Counter:
    return metrics.GPU_SECONDS.labels(outcome=outcome, accelerator=accelerator)
