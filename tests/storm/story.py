"""What happened to one job, line by line, for whoever looks into a fault.

Separate because it is only for reading. Called by the engine for the jobs that a fault names.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.storm.checks import LABEL_JOB, Evidence
from tests.storm.record import Seen

Json = dict[str, Any]


def story(evidence: Evidence, name: str) -> list[str]:
    """Every version of a job and of its pods, and what was told of it."""
    pods = [
        one for one in evidence.pods if (one.object["metadata"].get("labels") or {}).get(LABEL_JOB) == name
    ]
    jobs = [one for one in evidence.jobs if one.name == name]
    said = [(one.at, f"job {_job(one.object)}") for one in jobs]
    said += [(one.at, f"  pod {one.name} {_pod(one)}") for one in pods]
    lines = [f"{_clock(at)} {text}" for at, text in sorted(said, key=lambda line: line[0])]
    told = ", ".join(f"{one.sequence} {one.event} {one.id[:6]}" for one in evidence.told if one.job == name)
    return [*lines, f"told: {told or 'nothing'}"]


def _job(job: Json) -> str:
    spec, status = job["spec"], job.get("status") or {}
    wish = " ".join(key for key in ("suspend", "cancel") if spec.get(key)) or "run"
    return " ".join(
        [
            f"[{wish}] {status.get('phase')}/{status.get('reason')}",
            f"attempts {', '.join(map(_attempt, status.get('attempts') or []))};",
            *(f"{key} {status[key]};" for key in ("stop", "completionTime") if status.get(key)),
            f"'{status.get('message', '')[:100]}'",
        ]
    )


def _attempt(entry: Json) -> str:
    return f"{entry['number']} {entry.get('reason', 'open')}"


def _pod(seen: Seen) -> str:
    metadata, status = seen.object["metadata"], seen.object.get("status") or {}
    parts = ["GONE" if seen.deleted else str(status.get("phase"))]
    if "deletionTimestamp" in metadata:
        parts.append(
            f"deletion {metadata['deletionTimestamp']} grace {metadata['deletionGracePeriodSeconds']}"
        )
    parts += [
        f"{one['reason']} since {one['lastTransitionTime']}"
        for one in status.get("conditions") or []
        if one["type"] == "DisruptionTarget"
    ]
    parts += [str(one["state"]) for one in status.get("containerStatuses") or []]
    return " ".join([*parts, *_finalizers(metadata)])


def _finalizers(metadata: Json) -> Iterator[str]:
    if metadata.get("finalizers"):
        yield f"held by {metadata['finalizers']}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
