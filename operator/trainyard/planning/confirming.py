"""What the agent is told when it asks whether its trainer has done its work.

Separate because the agent cannot see the exit code of the container beside it, and writes `result.json`, by which a
restored job is known to be Done, on the operator's word only. Called by the status server through `reconcile`.
"""

from __future__ import annotations

from typing import Any

from trainyard.api.reasons import Phase
from trainyard.planning import attempts, jobstatus
from trainyard.planning.agent import uploaded
from trainyard.planning.context import Context
from trainyard.planning.observed import ObservedJob
from trainyard.planning.podends import LOG_END_SECONDS
from trainyard.planning.podview import PodView
from trainyard.planning.ranks import group, told_to_end
from trainyard.planning.verdict import judge_trainer

Json = dict[str, Any]

#: The pod's job is gone, or another attempt has begun: nobody waits for its result.
GONE: Json = {"state": "Superseded"}


def confirmed(observed: ObservedJob, pod_uid: str, *, now: float, context: Context) -> Json:
    """The answer for a pod: `{"state": ...}`, and with Complete the `record` of the run to keep with its result.

    Pending: ask again. Complete: all ranks have done their work. Incomplete: one has not, or was stopped. Superseded:
    the pod is not of the newest attempt any longer.
    """
    attempt = attempts.newest(observed.status, observed.pods)
    ranks = group(observed, attempt)
    if pod_uid not in {pod.uid for pod in ranks.pods}:
        return GONE
    # NB: of a pod that is being deleted the kubelet tells nothing before all its containers have ended, the agent's as
    # well: to wait for the trainer's end would be to wait for ever.
    if any(pod.deletion_requested_at is not None and not pod.trained for pod in ranks.pods):
        return {"state": "Incomplete"}
    others = [pod for pod in ranks.pods if pod.uid != pod_uid]
    if any(_unfinished(observed, pod, now=now, context=context) for pod in ranks.pods) or ranks.missing:
        return {"state": "Pending"}
    # NB: the result speaks for all ranks, so what the others have made must be safe before.
    if any(not pod.judgeable for pod in others):
        return {"state": "Pending"}
    if any(pod.agent is not None and not uploaded(pod.agent).safe for pod in others):
        return {"state": "Incomplete"}
    restart_on = observed.spec.restart_on if observed.spec is not None else None
    verdicts = [
        judge_trainer(
            pod,
            observed.logs.get(pod.uid),
            restart_on=restart_on,
            told_to_end=told_to_end(observed, pod),
        )
        for pod in ranks.pods
    ]
    if any(verdict.phase is not Phase.DONE for verdict in verdicts):
        return {"state": "Incomplete"}
    first = ranks.first
    log = observed.logs.get(first.uid) if first is not None else None
    report = jobstatus.final_report(log.report if log is not None else None, verdicts[0].termination, now=now)
    record = jobstatus.recorded({**observed.status, **jobstatus.reported(observed, report)})
    return {"state": "Complete", "record": {**record, "message": verdicts[0].message[:400]}}


def _unfinished(observed: ObservedJob, pod: PodView, *, now: float, context: Context) -> bool:
    if not pod.trained:
        return not pod.over
    log = observed.logs.get(pod.uid)
    finished = pod.trainer.finished_at if pod.trainer is not None else None
    # NB: its last lines may say that it failed, and have its last metrics.
    reading = context.follow_logs and pod.begun and (log is None or not log.ended)
    return reading and finished is not None and now < finished + LOG_END_SECONDS
