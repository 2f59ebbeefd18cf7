"""What commands read from a raw TrainingJob, Dataset or Experiment, as text for people.

Separate because `get`, `watch`, `logs` and everything that waits say it in the same words.
"""

from __future__ import annotations

from typing import Any

from trainyard.api.reasons import FINAL, ConditionType, Phase
from trainyard.planning import conditions

Json = dict[str, Any]

_METRICS = 6


def phase(job: Json) -> str:
    """The phase in status; Pending for an object that no operator has seen."""
    return str((job.get("status") or {}).get("phase") or Phase.PENDING)


def told(job: Json) -> bool:
    """Whether the status speaks of the spec as it is now."""
    observed = (job.get("status") or {}).get("observedGeneration") or 0
    return bool(observed >= (job["metadata"].get("generation") or 0))


def ended(job: Json) -> bool:
    """Whether the job has ended, and no change of it that might revive it is yet to be looked at."""
    return phase(job) in FINAL and told(job)


def is_stalled(job: Json) -> bool:
    """Whether the job waits for what only a change of it, or another operator, can bring."""
    # NB: a status of an earlier generation says nothing of the change that may have mended it.
    return (
        told(job)
        and phase(job) not in FINAL
        and conditions.is_true(job.get("status") or {}, ConditionType.STALLED)
    )


def is_paused(job: Json) -> bool:
    """Whether the job is stopped by spec.suspend and nothing of it runs."""
    return told(job) and conditions.is_true(job.get("status") or {}, ConditionType.SUSPENDED)


def headline(job: Json) -> str:
    """Phase, reason and message as one line."""
    status = job.get("status") or {}
    head = " ".join(part for part in (phase(job), status.get("reason")) if part)
    message = printable(status.get("message") or "")
    return f"{head}: {message}" if message else head


def progress_line(job: Json) -> str:
    """Epoch, time left and metrics as one line; empty while nothing is reported."""
    progress = advance(job)
    parts = [
        progress.get("summary"),
        f"{progress['percent']}%" if "percent" in progress else None,
        f"{progress['eta']} left" if progress.get("eta") else None,
        *metrics(job),
    ]
    return "  ".join(printable(str(part)) for part in parts if part)


def advance(raw: Json) -> Json:
    """How far a job's training is, or an Experiment, or a Dataset's pull while it goes on: summary, percent, eta."""
    status = raw.get("status") or {}
    if raw.get("kind") == "Experiment":
        progress = status.get("progress") or {}
        percent = share(progress.get("summary"))
        return dict(progress) if percent is None else {**progress, "percent": percent}
    pull = status.get("pull") or {}
    goes_on = pull.get("state") in ("starting", "in_progress")
    return dict(status.get("progress") or (pull if goes_on else {}))


def share(summary: str | None) -> int | None:
    """Of `12/20` the percentage; None of what is no such text."""
    done, _, total = (summary or "").partition("/")
    if not (done.isdecimal() and total.isdecimal() and int(total)):
        return None
    return round(100 * int(done) / int(total))


def metrics(job: Json) -> list[str]:
    """The key metric first, then the others, a few."""
    status = job.get("status") or {}
    key = status.get("keyMetric") or {}
    others = [m for m in status.get("metrics") or [] if m.get("name") != key.get("name")]
    shown = [key.get("display"), *(f"{m.get('name')} {m.get('value')}" for m in others)]
    return [text for text in shown if text][:_METRICS]


def printable(text: str) -> str:
    """Text of strangers for a terminal: on one line, without control sequences."""
    return "".join(c if c.isprintable() else " " for c in text)
