"""The versions of an MLModel as tables: what each is, and where the newest comes from, down to the digests of its data.

Separate from `modeldetails`, which calls it, because the lineage is a record of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from trainyard.cli.amounts import size_of
from trainyard.cli.rendering import ago, section

Json = dict[str, Any]

_VERSIONS, _METRICS = 20, 5


def metrics(found: Sequence[Json]) -> str:
    """Names and values."""
    return "  ".join(f"{one.get('name')} {one.get('value')}" for one in found)


def show(versions: Sequence[Json], status: Json, *, now: float) -> None:
    """Prints the versions, the newest first, and where that comes from."""
    if not versions:
        return
    aliases: dict[int, list[str]] = {}
    for one in status.get("aliases") or []:
        aliases.setdefault(int(one["version"]), []).append(str(one["name"]))
    key = str((status.get("keyMetric") or {}).get("name") or "")
    rows = [_version(one, aliases, key=key, now=now) for one in versions[:_VERSIONS]]
    titles = ("VERSION", "ALIASES", "WHEN", "METRICS", "SIZE", "FROM", "DATA", "CARD")
    section(titles, rows)
    if len(versions) > _VERSIONS:
        typer.echo(f"and {len(versions) - _VERSIONS} more")
    if former := status.get("formerVersions"):
        typer.echo(f"and {len(former)} former ones: `trainyard card` has their cards and records")
    _lineage(versions[0])


def _version(one: Json, aliases: dict[int, list[str]], *, key: str, now: float) -> tuple[str, ...]:
    lineage, number = one.get("lineage") or {}, int(one["number"])
    measured = sorted(one.get("performanceMetrics") or [], key=lambda metric: metric.get("name") != key)
    data = ", ".join(_used(used) for used in lineage.get("datasets") or [])
    return (
        str(number),
        ", ".join(aliases.get(number, [])),
        ago(one.get("time"), now=now),
        metrics(measured[:_METRICS]),
        size_of(one["size"]) if one.get("size") is not None else "",
        "reported" if one.get("origin") == "reported" else str(lineage.get("job") or ""),
        "synthetic demo data" if one.get("syntheticData") else data,
        "yes" if one.get("card") else "",
    )


def _used(used: Json) -> str:
    return f"{used.get('name')}" + (f" at {used['revision']}" if used.get("revision") else "")


def _lineage(version: Json) -> None:
    """Where a version comes from, down to the digests of its data."""
    found = version.get("lineage") or {}
    image = found.get("image") or ""
    rows = [
        ("lies at", str(version.get("uri") or "")),
        ("artifacts.json", sha256(version.get("sha256"))),
        ("experiment", _of_experiment(found)),
        ("job", _of_job(found)),
        ("runtime", str(found.get("runtime") or "")),
        ("image", f"{image} {found.get('imageDigest') or ''}".strip()),
        ("parameters", sha256(found.get("parametersDigest"))),
        ("version before", str(found.get("parentVersion") or "")),
    ]
    for base in found.get("baseModels") or []:
        named = base.get("name") and f"{base['name']} version {base.get('version')}"
        rows.append(("base model", f"{named or base.get('uri') or ''} {sha256(base.get('sha256'))}".strip()))
    for used in found.get("datasets") or []:
        rows.append(("dataset", f"{_used(used)} {sha256(used.get('sha256'))}".strip()))
    shown = [row for row in rows if row[1]]
    if shown:
        section((f"VERSION {version['number']}", "COMES FROM"), shown)


def _of_experiment(found: Json) -> str:
    trial = f", trial {found['trial']}" if found.get("trial") is not None else ""
    return f"{found['experiment']}{trial}" if found.get("experiment") else ""


def _of_job(found: Json) -> str:
    if not found.get("job"):
        return ""
    attempt = f", attempt {found['attempt']}" if found.get("attempt") is not None else ""
    return f"{found['job']}{attempt}, UID {found.get('jobUid') or 'unknown'}"


def sha256(digest: Any) -> str:
    """With its algorithm, whether it came with it or not."""
    text = str(digest or "")
    return text if not text or ":" in text else f"sha256:{text}"
