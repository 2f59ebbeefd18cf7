"""One object in full, for people: why it is where it is, and what has come of it.

Separate from the tables, whose columns are the server's: what a TrainingJob's status means is known here, in
`datasetdetails` what a Dataset's means, in `experimentdetails` an Experiment's, in `modeldetails` an MLModel's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from trainyard.api.reasons import FINAL
from trainyard.cli import datasetdetails, experimentdetails, modeldetails, output
from trainyard.cli.amounts import size_of
from trainyard.cli.experimenthistory import History
from trainyard.cli.reading import headline, metrics, phase, printable
from trainyard.cli.rendering import ago, amount, grid, section, span
from trainyard.planning.times import seconds

Json = dict[str, Any]

_ATTEMPTS = ("ATTEMPT", "STARTED", "RAN", "ENDED BY", "EXIT", "COUNTED", "NODE", "RESUMED FROM")
_DELIVERIES = ("CALLBACK", "EVENT", "STATE", "TRIES", "WHEN", "MESSAGE")


def show(raw: Json, *, jobs: Sequence[Json] | None = None, history: History | None = None) -> None:
    """Prints it on stdout. `jobs` are those that use a Dataset or work for an MLModel, `history` is an Experiment's,
    where they were asked for.
    """
    now = time.time()
    output.print_table(grid(list(_head(raw, now=now))))
    if raw["kind"] == "Dataset":
        datasetdetails.show(raw, jobs=jobs)
        return
    if raw["kind"] == "MLModel":
        modeldetails.show(raw, tasks=jobs, now=now)
        return
    if raw["kind"] == "Experiment":
        experimentdetails.show(raw, history, now=now)
    status = raw.get("status") or {}
    if attempts := status.get("attempts"):
        ranked = ((raw.get("spec") or {}).get("nodes") or 1) > 1
        titles = (*_ATTEMPTS, "RANK") if ranked else _ATTEMPTS
        section(titles, [_attempt(entry, now=now)[: len(titles)] for entry in attempts])
        if last := printable(attempts[-1].get("message") or ""):
            typer.echo(f"\nAttempt {attempts[-1]['number']}: {last}")
    if deliveries := status.get("callbacks"):
        section(_DELIVERIES, [_delivery(entry, now=now) for entry in deliveries])
    if artifacts := status.get("artifacts"):
        section(("ARTIFACT", "SIZE"), [(str(a.get("uri") or ""), _size(a.get("size"))) for a in artifacts])


def _head(raw: Json, *, now: float) -> Iterator[tuple[str, str]]:
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    yield raw["kind"], metadata["name"]
    yield "Namespace", metadata["namespace"]
    if spec.get("description"):
        yield "Description", spec["description"]
    yield "State", headline(raw)
    if metadata.get("deletionTimestamp"):
        yield "Deleted", f"{ago(metadata['deletionTimestamp'], now=now)}, and held by a finalizer"
    if raw["kind"] == "TrainingJob":
        yield from _job(spec, status, now=now, final=phase(raw) in FINAL)
    if raw["kind"] == "Dataset":
        yield from datasetdetails.head(raw, now=now)
    if raw["kind"] == "Experiment":
        yield from experimentdetails.head(raw, now=now)
    if raw["kind"] == "MLModel":
        yield from modeldetails.head(raw, now=now)
    yield "Created", ago(metadata.get("creationTimestamp"), now=now)


def _job(spec: Json, status: Json, *, now: float, final: bool) -> Iterator[tuple[str, str]]:
    wishes = [
        text
        for key, text in (("cancel", "cancelled (spec.cancel)"), ("suspend", "suspended (spec.suspend)"))
        if spec.get(key)
    ]
    yield "Wanted", ", ".join(wishes)
    kind = next((spec[key] for key in ("type", "architecture", "runtime", "image") if spec.get(key)), "")
    yield "Runs", f"{spec.get('action', 'train')} {kind}".strip()
    yield "Works on", spec.get("parentJob") or (spec.get("datasets") or {}).get("input") or ""
    yield "Makes", _made(spec.get("outputDataset") or {}, status.get("outputDataset") or {})
    progress = status.get("progress") or {}
    parts = [
        progress.get("summary"),
        f"{progress['percent']}%" if "percent" in progress else None,
        f"{progress['eta']} left" if progress.get("eta") and not final else None,
    ]
    yield "Progress", "  ".join(part for part in parts if part)
    yield "Metrics", "  ".join(metrics({"status": status}))
    best = status.get("best") or {}
    if best:
        epoch = f" in epoch {best['epoch']:g}" if "epoch" in best else ""
        yield "Best", f"{best['name']} {best['value']}{epoch}"
    yield "Checkpoint", _checkpoint(status.get("lastCheckpoint") or {}, now=now)
    yield "Stop", _stop(status.get("stop") or {}, now=now)
    failures = status.get("failures")
    yield (
        "Failures",
        f"{failures}, backoffLimit {spec['backoffLimit']}" if failures and "backoffLimit" in spec else "",
    )
    yield "Started", ago(status.get("startTime"), now=now)
    yield "Ended", ago(status.get("completionTime"), now=now)
    report = status.get("lastReport") or {}
    if report.get("message"):
        yield "Last report", f"{report['message']} ({ago(report.get('time'), now=now)})"
    yield "Logs", status.get("logs") or ""


def _made(wanted: Json, found: Json) -> str:
    """The Dataset that the job makes, and what has become of it."""
    if not wanted:
        return ""
    if found.get("message"):
        return printable(found["message"])
    name = f"Dataset {wanted.get('name')}"
    return {"Created": f"{name}, created", "Pending": f"{name}, being created"}.get(
        found.get("state", ""), name
    )


def _checkpoint(found: Json, *, now: float) -> str:
    if not found:
        return ""
    parts = [
        f"epoch {found['epoch']:g}" if "epoch" in found else "",
        f"step {found['step']}" if "step" in found else "",
        ago(found.get("time"), now=now),
        found.get("uri") or "",
    ]
    return ", ".join(part for part in parts if part)


def _stop(found: Json, *, now: float) -> str:
    if not found:
        return ""
    cause = found.get("cause")
    if found.get("experiment"):
        cause = f"{cause} with Experiment {found['experiment']}"
    if not found.get("endTime"):
        return f"{cause}, under way for {span(found.get('time'), now=now)}"
    saved = "" if found.get("checkpoint") is None else ", a checkpoint was saved"
    if found.get("checkpoint") is False:
        saved = ", no checkpoint was saved"
    return f"{cause}, {ago(found.get('endTime'), now=now)}{saved}"


def _attempt(entry: Json, *, now: float) -> tuple[str, ...]:
    begun, over = seconds(entry.get("startTime")), seconds(entry.get("completionTime"))
    ran = "" if begun is None else amount((now if over is None else over) - begun)
    counted = "" if entry.get("counted") is None else "yes" if entry["counted"] else "no"
    code = entry.get("exitCode")
    return (
        str(entry["number"]),
        ago(entry.get("startTime"), now=now),
        ran,
        entry.get("reason") or "",
        "" if code is None else str(code),
        counted,
        entry.get("node") or "",
        entry.get("resumedFrom") or "",
        str(entry.get("rank", "")),
    )


def _delivery(entry: Json, *, now: float) -> tuple[str, ...]:
    return (
        entry.get("name") or "",
        entry.get("event") or "",
        entry.get("state") or "",
        str(entry.get("attempts") or 0),
        ago(entry.get("time"), now=now),
        entry.get("message") or "",
    )


def _size(size: int | None) -> str:
    return "" if size is None else size_of(size)
