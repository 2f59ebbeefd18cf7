"""Waiting for a TrainingJob's pod to start, for `trainyard logs -f`.

Separate because it looks at two things at once: the pod, which starts, and the job, which may end without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from trainyard.api import names
from trainyard.api.reasons import FINAL, Phase
from trainyard.cli.changes import changes
from trainyard.cli.connection import Connection
from trainyard.cli.reading import headline, phase
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Start:
    """Which start is waited for: of an attempt after `after`, of exactly `attempt` where that is given."""

    after: int
    attempt: int | None
    rank: int

    def is_of(self, pod: Json) -> bool:
        labels = pod["metadata"].get("labels") or {}
        number, rank = labels.get(names.LABEL_ATTEMPT, ""), labels.get(names.LABEL_RANK, "")
        if not number.isdecimal() or rank != str(self.rank) or not started(pod):
            return False
        return int(number) > self.after and self.attempt in (None, int(number))


def newest_attempt(job: Json) -> int:
    """The highest number in `status.attempts`; 0 before any is recorded."""
    attempts = (job.get("status") or {}).get("attempts") or []
    return max((int(attempt["number"]) for attempt in attempts), default=0)


def has_begun(job: Json, number: int) -> bool:
    """Whether the trainer of this attempt has started, as the job's status remembers it."""
    attempts = (job.get("status") or {}).get("attempts") or []
    return any(attempt.get("startTime") for attempt in attempts if int(attempt["number"]) == number)


def is_over(job: Json, number: int) -> bool:
    """Whether the operator has done with this attempt, so that it has read the whole of its logs."""
    attempts = (job.get("status") or {}).get("attempts") or []
    return any(attempt.get("completionTime") for attempt in attempts if int(attempt["number"]) == number)


def started(pod: Json) -> bool:
    """Whether the trainer runs or has run, so that there is a log."""
    state = _trainer(pod).get("state") or {}
    return "running" in state or "terminated" in state or restarted(pod)


def restarted(pod: Json) -> bool:
    """Whether the trainer's container has had one before it, by a restartPolicy of the user's template."""
    return bool(_trainer(pod).get("restartCount"))


def ended(pod: Json) -> bool:
    """Whether the trainer will log no more."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return True
    again = (pod.get("spec") or {}).get("restartPolicy", "Never") != "Never"
    return not again and "terminated" in (_trainer(pod).get("state") or {})


def trainer_started_at(pod: Json) -> str:
    """When the trainer's container began; empty while it has not."""
    state = _trainer(pod).get("state") or {}
    return str((state.get("running") or state.get("terminated") or {}).get("startedAt") or "")


def _trainer(pod: Json) -> Json:
    """The trainer's containerStatus; empty when there is none yet."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return next((one for one in statuses if one.get("name") == names.TRAINER_CONTAINER), {})


async def find_pod(there: Connection, job: Json, *, attempt: int, rank: int) -> Json | None:
    """The pod of one rank of one attempt of this very job, or None."""
    name = names.pod_name(job=job["metadata"]["name"], attempt=attempt, rank=rank)
    try:
        pod = await there.client.get(resources.path("Pod", there.namespace, name))
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    labels = pod["metadata"].get("labels") or {}
    return pod if labels.get(names.LABEL_JOB_UID) == job["metadata"]["uid"] else None


async def wait_for_start(
    there: Connection, job: Json, start: Start, *, say: Callable[[str], None]
) -> Json | None:
    """The pod once its trainer has started; None when the job ended or went without that."""
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    pod_starts = asyncio.create_task(_first_pod(there, uid, start))
    job_ends = asyncio.create_task(_end_of_job(there, name, uid, say))
    try:
        await asyncio.wait({pod_starts, job_ends}, return_when=asyncio.FIRST_COMPLETED)
        if pod_starts.done():
            return pod_starts.result()
        job_ends.result()
        # NB: the job's end may be told before a start that came first.
        selector = {"labelSelector": f"{names.LABEL_JOB_UID}={uid}"}
        pods = (await there.client.get(resources.path("Pod", there.namespace), selector)).get("items") or []
        return next((pod for pod in pods if start.is_of(pod)), None)
    finally:
        for task in (pod_starts, job_ends):
            task.cancel()
        await asyncio.gather(pod_starts, job_ends, return_exceptions=True)


async def _first_pod(there: Connection, job_uid: str, start: Start) -> Json | None:
    selector = {"labelSelector": f"{names.LABEL_JOB_UID}={job_uid}"}
    path = resources.path("Pod", there.namespace)
    async with aclosing(changes(there.client, path, selector)) as states:
        async for exists, pod in states:
            if exists and start.is_of(pod):
                return pod
    return None


async def _end_of_job(there: Connection, name: str, uid: str, say: Callable[[str], None]) -> None:
    selector = {"fieldSelector": f"metadata.name={name}"}
    said = ""
    path = resources.path("TrainingJob", there.namespace)
    async with aclosing(changes(there.client, path, selector)) as states:
        async for exists, job in states:
            if not exists or job["metadata"]["uid"] != uid or phase(job) in FINAL:
                return
            text = f"Waiting for {name} to start. {headline(job)}"
            if phase(job) == Phase.PENDING and text != said:
                say(text)
                said = text
