"""A Dataset in full, for people: where its data comes from and lies, whether it is right, and what is in it.

Separate from `details`, which all kinds share, because this draws: what one wants to see before a training.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from trainyard.api import names
from trainyard.cli.amounts import size_of
from trainyard.cli.reading import headline, phase, printable
from trainyard.cli.rendering import ago, bar, gauge, section

Json = dict[str, Any]

_BAR = 40
_GAUGE = 30
_CLASSES, _COLUMNS, _SPLITS = 40, 60, 16
_ROLES = ("train", "eval", "inference", "calibration", "input")


def head(raw: Json, *, now: float) -> Iterator[tuple[str, str]]:
    """What stands in one line each."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    profile = status.get("profile") or {}
    yield "Type", ", ".join(part for part in (spec.get("type"), spec.get("format")) if part)
    yield "Meant for", ", ".join(spec.get("usage") or [])
    yield "Source", _source(raw, now=now)
    yield "Pull", _pull(status.get("pull") or {})
    yield "Revision", status.get("revision") or ""
    yield "SHA-256", status.get("sha256") or ""
    yield "Lies in", status.get("uri") or ""
    yield "Earlier", ", ".join(_held(one) for one in status.get("held") or [])
    yield "Checked", _validation(status.get("validation") or {}, now=now)
    yield "First finding", _finding((status.get("validation") or {}).get("first") or {})
    yield "Content", profile.get("summary") or ""
    yield "Size", _size(profile)
    yield "Images", _images(profile)
    yield "Target", profile.get("target") or ""
    yield "Made by", _lineage(status.get("lineage") or {})
    yield "Refreshed", ago(status.get("lastRefreshTime"), now=now)
    yield "Next refresh", status.get("nextRefreshTime") or ""


def show(raw: Json, *, jobs: Sequence[Json] | None) -> None:
    """Prints the tables below that: classes, columns, splits, and the jobs that use it, where they were asked for."""
    profile = (raw.get("status") or {}).get("profile") or {}
    _counts("CLASS", profile.get("classes") or [], most=_CLASSES)
    _columns(profile)
    _counts("SPLIT", profile.get("splits") or [], most=_SPLITS)
    if jobs:
        section(("JOB", "STATE", "AS", "REVISION"), [_job(one, raw["metadata"]["name"]) for one in jobs])
    elif jobs is not None:
        typer.echo("\nNo TrainingJob of this namespace names it.")


def users(jobs: Sequence[Json], name: str) -> list[Json]:
    """The jobs that name a Dataset, those that go on first, the newest first."""
    found = [job for job in jobs if _roles(job, name)]
    found.sort(key=lambda job: str(job["metadata"].get("creationTimestamp")), reverse=True)
    return sorted(found, key=lambda job: phase(job) not in ("Pending", "Running"))


def _source(raw: Json, *, now: float) -> str:
    source = raw["spec"].get("source") or {}
    if "uri" in source:
        parts = [source["uri"], f"at {source['revision']}" if source.get("revision") else ""]
        return " ".join(part for part in parts if part)
    if "files" in source:
        return f"{_files(len(source['files']))}, the first of them {source['files'][0].get('url')}"
    if "upload" not in source:
        return ""
    try:
        told = json.loads((raw["metadata"].get("annotations") or {})[names.UPLOAD])
        when, files, size = told.get("time"), int(told["files"]), int(told["bytes"])
        return f"pushed {ago(when, now=now)}: {_files(files)}, {size_of(size)}"
    except (KeyError, ValueError, TypeError, AttributeError):
        return f"to be pushed: trainyard push dataset FOLDER {raw['metadata']['name']}"


def _pull(pull: Json) -> str:
    """A bar while it goes on, and what has come of it."""
    state = pull.get("state")
    if state in ("starting", "in_progress"):
        files = f"{pull.get('files', 0)}/{pull['totalFiles']} files" if "totalFiles" in pull else ""
        left = f"{pull['eta']} left" if pull.get("eta") else ""
        percent = pull.get("percent")
        drawn = f"{gauge(percent, width=_GAUGE)} {percent}%" if percent is not None else str(state)
        return "  ".join(part for part in (drawn, pull.get("summary") or "", files, left) if part)
    failures = f"{pull['failures']} failed" if pull.get("failures") else ""
    return ", ".join(part for part in (state or "", failures) if part)


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def _held(one: Json) -> str:
    revision = f" (revision {one['revision']})" if one.get("revision") else ""
    return f"{one.get('claim')}{revision}"


def _validation(found: Json, *, now: float) -> str:
    if not found:
        return ""
    when = ago(found.get("time"), now=now)
    checked = _files(found["filesChecked"]) if "filesChecked" in found else ""
    wrong = f"something wrong with {found['problems']}" if found.get("problems") else ""
    return ", ".join(part for part in (found.get("state") or "", checked, wrong, when) if part)


def _finding(first: Json) -> str:
    if not first:
        return ""
    line = f", line {first['line']}" if first.get("line") else ""
    return f"{first.get('path')}{line}: {first.get('message')}"


def _size(profile: Json) -> str:
    files = _files(profile["files"]) if "files" in profile else ""
    size = size_of(profile["bytes"]) if "bytes" in profile else ""
    return ", ".join(part for part in (files, size) if part)


def _images(profile: Json) -> str:
    sizes = profile.get("imageSizes") or {}
    parts = [str(profile["images"])] if "images" in profile else []
    if sizes:
        width = _range(sizes.get("minWidth"), sizes.get("maxWidth"))
        height = _range(sizes.get("minHeight"), sizes.get("maxHeight"))
        parts.append(f"{width} wide, {height} high, in pixels")
    if "boxes" in profile:
        parts.append(f"{profile['boxes']} boxes")
    return "; ".join(parts)


def _range(least: Any, most: Any) -> str:
    return str(least) if least == most else f"{least} to {most}"


def _lineage(found: Json) -> str:
    if not found:
        return ""
    inputs = ", ".join(
        f"{one.get('name')}" + (f" at {one['revision']}" if one.get("revision") else "")
        for one in found.get("inputs") or []
    )
    action = f" ({found['action']})" if found.get("action") else ""
    return f"job {found.get('job')}{action}" + (f", from {inputs}" if inputs else "")


def _counts(title: str, found: Sequence[Json], *, most: int) -> None:
    """A histogram: the bar of the largest is the longest."""
    if not found:
        return
    total = sum(one["count"] for one in found)
    largest = max(one["count"] for one in found)
    section(
        (title, "COUNT", "SHARE", ""),
        [
            (
                one["name"],
                str(one["count"]),
                f"{100 * one['count'] / total:.1f}%" if total else "",
                bar(one["count"], most=largest, width=_BAR),
            )
            for one in found[:most]
        ],
    )
    _more(len(found) - most)


def _columns(profile: Json) -> None:
    found = profile.get("columnProfiles") or []
    if not found:
        return
    rows = profile.get("rows") or 0
    section(
        ("COLUMN", "TYPE", "MISSING", "DISTINCT", "MIN", "MAX"),
        [_column(one, rows=rows, target=profile.get("target")) for one in found[:_COLUMNS]],
    )
    _more((profile.get("columns") or len(found)) - min(len(found), _COLUMNS))


def _column(one: Json, *, rows: int, target: str | None) -> tuple[str, ...]:
    missing = one.get("missing")
    share = f" ({100 * missing / rows:.1f}%)" if missing and rows else ""
    return (
        f"{one['name']} (target)" if one["name"] == target else one["name"],
        one.get("type") or "",
        "" if missing is None else f"{missing}{share}",
        str(one.get("distinct", "")),
        str(one.get("min") or ""),
        str(one.get("max") or ""),
    )


def _more(number: int) -> None:
    if number > 0:
        typer.echo(f"and {number} more")


def _roles(job: Json, name: str) -> list[str]:
    said = (job.get("spec") or {}).get("datasets") or {}
    return [role for role in _ROLES if said.get(role) == name or name in (said.get(role) or [])]


def _job(job: Json, name: str) -> tuple[str, ...]:
    used = (job.get("status") or {}).get("datasets") or []
    revision = next((str(one.get("revision") or "") for one in used if one.get("name") == name), "")
    state = printable(headline(job).partition(":")[0])
    return job["metadata"]["name"], state, ", ".join(_roles(job, name)), revision
