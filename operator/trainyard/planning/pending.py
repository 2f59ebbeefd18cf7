"""Pending: what keeps a job from running is told once it has stood, and given up when it has stood too long.

Separate because the rules of time are here and nowhere else: the settling of a reason, the pace of messages,
the start-up clock. Called by `planning.podcreation` with what `planning.waiting` found, and by
`planning.trainingjob` with what a pod is stuck on.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from trainyard.api.reasons import FINAL, Phase, Reason
from trainyard.planning import conditions, jobstatus
from trainyard.planning.ends import end
from trainyard.planning.finding import Finding
from trainyard.planning.observed import Memory, ObservedJob
from trainyard.planning.plan import Plan
from trainyard.planning.podview import PodView
from trainyard.planning.times import sooner

#: A Pending reason is written once it has stood this long: most pass sooner, and each write is a request.
SETTLE_SECONDS = 3.0
#: A message that changes while its reason stays is written no more often than this.
MESSAGE_SECONDS = 30.0


def pending(observed: ObservedJob, finding: Finding, *, now: float, pod: PodView | None = None) -> Plan:
    """The plan while `finding` stands; `pod` is the one that is stuck, if there is one."""
    if finding.phase in FINAL:
        return end(observed, phase=finding.phase, reason=finding.reason, message=finding.message, now=now)
    left = None
    if finding.since is not None and observed.spec is not None:
        left = finding.since + observed.spec.startup_timeout_seconds - now
        if left <= 0:
            return end(
                observed,
                phase=Phase.ERROR,
                reason=Reason.STARTUP_TIMEOUT,
                message=f"Not started within startupTimeoutSeconds ({observed.spec.startup_timeout_seconds} s). "
                f"{finding.reason}: {finding.message}",
                now=now,
                delete=(pod,) if pod is not None else (),
            )
    memory, unsettled = _settling(observed, finding, now=now)
    if unsettled is None:
        return Plan(requeue_after=left, memory=memory)
    if unsettled > 0:
        return Plan(requeue_after=sooner(left, unsettled), memory=memory)
    over: dict[str, Any] = {}
    if pod is not None:
        over["pods"] = jobstatus.summary(observed.pods, pod.attempt)
    status = jobstatus.in_phase(
        observed, phase=finding.phase, reason=finding.reason, message=finding.message, now=now, over=over
    )
    return Plan(
        status=status,
        announce=jobstatus.announcement(observed.status, status),
        requeue_after=left,
        memory=dataclasses.replace(memory, pending_written_at=now),
    )


def _settling(observed: ObservedJob, finding: Finding, *, now: float) -> tuple[Memory, float | None]:
    """Seconds until what is pending may be written (0: now), None when status says it already.

    A reason must have stood for a moment. A message that changes under the same reason (a scheduler's count of nodes)
    is written every half a minute at most. An edit is acknowledged at once.
    """
    status, memory = observed.status, observed.memory
    if memory.pending != finding.reason:
        memory = dataclasses.replace(
            memory, pending=str(finding.reason), pending_since=now, pending_written_at=None
        )
    same_reason = status.get("phase") == finding.phase and status.get("reason") == finding.reason
    if same_reason and status.get("observedGeneration") != observed.generation:
        return memory, 0.0
    if same_reason and status.get("message") == finding.message[: conditions.MESSAGE_LIMIT]:
        return memory, None
    if same_reason and memory.pending_written_at is not None:
        return memory, max(0.0, memory.pending_written_at + MESSAGE_SECONDS - now)
    return memory, max(0.0, memory.pending_since + SETTLE_SECONDS - now)
