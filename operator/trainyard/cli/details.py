"""One object in full, for people: why it is where it is, and what has come of it.

Separate from the tables, whose columns are the server's: what a TrainingJob's status means is known here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from trainyard.api.reasons import FINAL
from trainyard.cli import output
from trainyard.cli.amounts import size_of
from trainyard.cli.reading import headline, metrics, phase, printable
from trainyard.planning.times import seconds

Json = dict[str, Any]

_ATTEMPTS = ("ATTEMPT", "STARTED", "RAN", "ENDED BY", "EXIT", "COUNTED", "NODE", "RESUMED FROM")
_DELIVERIES = ("CALLBACK", "EVENT", "STATE", "TRIES", "WHEN", "MESSAGE")
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def show(raw: Json) -> None:
    """Prints it on stdout."""
    now = time.time()
    output.print_table(_grid(list(_head(raw, now=now))))
    status = raw.get("status") or {}
    if attempts := status.get("attempts"):
        ranked = ((raw.get("spec") or {}).get("nodes") or 1) > 1
        titles = (*_ATTEMPTS, "RANK") if ranked else _ATTEMPTS
        _section(titles, [_attempt(entry, now=now)[: len(titles)] for entry in attempts])
        if last := printable(attempts[-1].get("message") or ""):
            typer.echo(f"\nAttempt {attempts[-1]['number']}: {last}")
    if deliveries := status.get("callbacks"):
        _section(_DELIVERIES, [_delivery(entry, now=now) for entry in deliveries])
    if artifacts := status.get("artifacts"):
        _section(("ARTIFACT", "SIZE"), [(str(a.get("uri") or ""), _size(a.get("size"))) for a in artifacts])


def _head(raw: Json, *, now: float) -> Iterator[tuple[str, str]]:
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    yield raw["kind"], metadata["name"]
    yield "Namespace", metadata["namespace"]
    if spec.get("description"):
        yield "Description", spec["description"]
    yield "State", headline(raw)
    if metadata.get("deletionTimestamp"):
        yield "Deleted", f"{_ago(metadata['deletionTimestamp'], now=now)}, and held by a finalizer"
    if raw["kind"] == "TrainingJob":
        yield from _job(spec, status, now=now, final=phase(raw) in FINAL)
    yield "Created", _ago(metadata.get("creationTimestamp"), now=now)


def _job(spec: Json, status: Json, *, now: float, final: bool) -> Iterator[tuple[str, str]]:
    wishes = [
        text
        for key, text in (("cancel", "cancelled (spec.cancel)"), ("suspend", "suspended (spec.suspend)"))
        if spec.get(key)
    ]
    yield "Wanted", ", ".join(wishes)
    kind = next((spec[key] for key in ("type", "architecture", "runtime", "image") if spec.get(key)), "")
    yield "Runs", f"{spec.get('action', 'train')} {kind}".strip()
    yield "Works on", spec.get("parentJob") or ""
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
    yield "Started", _ago(status.get("startTime"), now=now)
    yield "Ended", _ago(status.get("completionTime"), now=now)
    report = status.get("lastReport") or {}
    if report.get("message"):
        yield "Last report", f"{report['message']} ({_ago(report.get('time'), now=now)})"
    yield "Logs", status.get("logs") or ""


def _checkpoint(found: Json, *, now: float) -> str:
    if not found:
        return ""
    parts = [
        f"epoch {found['epoch']:g}" if "epoch" in found else "",
        f"step {found['step']}" if "step" in found else "",
        _ago(found.get("time"), now=now),
        found.get("uri") or "",
    ]
    return ", ".join(part for part in parts if part)


def _stop(found: Json, *, now: float) -> str:
    if not found:
        return ""
    if not found.get("endTime"):
        return f"{found.get('cause')}, under way for {_span(found.get('time'), now=now)}"
    saved = "" if found.get("checkpoint") is None else ", a checkpoint was saved"
    if found.get("checkpoint") is False:
        saved = ", no checkpoint was saved"
    return f"{found.get('cause')}, {_ago(found.get('endTime'), now=now)}{saved}"


def _attempt(entry: Json, *, now: float) -> tuple[str, ...]:
    begun, over = seconds(entry.get("startTime")), seconds(entry.get("completionTime"))
    ran = "" if begun is None else _amount((now if over is None else over) - begun)
    counted = "" if entry.get("counted") is None else "yes" if entry["counted"] else "no"
    code = entry.get("exitCode")
    return (
        str(entry["number"]),
        _ago(entry.get("startTime"), now=now),
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
        _ago(entry.get("time"), now=now),
        entry.get("message") or "",
    )


def _grid(rows: Sequence[tuple[str, str]]) -> Any:
    from rich.table import Table

    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column()
    grid.add_column(overflow="fold")
    for title, text in rows:
        if text:
            grid.add_row(title, printable(str(text)))
    return grid


def _section(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table

    table = Table(*titles, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    typer.echo()
    output.print_table(table)


def _ago(stamp: str | None, *, now: float) -> str:
    span = _span(stamp, now=now)
    return f"{span} ago" if span else ""


def _span(stamp: str | None, *, now: float) -> str:
    at = seconds(stamp)
    return "" if at is None else _amount(now - at)


def _amount(span: float) -> str:
    """As kubectl says it: `45s`, `3m20s`, `2h5m`, `3d4h`."""
    left = max(0, int(span))
    parts: list[str] = []
    for unit, size in _UNITS:
        number, left = divmod(left, size)
        if number or parts:
            parts.append(f"{number}{unit}" if number else "")
    return "".join(parts[:2]) or "0s"


def _size(size: int | None) -> str:
    return "" if size is None else size_of(size)
