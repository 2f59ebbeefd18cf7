"""The end of an action that has made a dataset: report.json, report.md, the last status line, the verdict.

Separate because convert, augment and split end alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainyard_data.actions import output
from trainyard_data.actions.contract import Order
from trainyard_data.actions.losses import Losses
from trainyard_data.actions.reporting import Reporter, Verdict

_KEY = ("rows", "images", "files")


def finished(
    order: Order,
    reporter: Reporter,
    *,
    done: str,
    counts: Mapping[str, int],
    losses: Losses,
    facts: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, int]] | None = None,
) -> Verdict:
    """Write the reports and say so. `tables` are counts by part or by class, by their title."""
    folder = output.folder_of(order)
    files, size = output.measured(folder / output.FOLDER)
    counts = {**counts, "files": files, "bytes": size}
    told = losses.told()
    for sentence in told:
        reporter.log(f"Lost: {sentence}")
    record = {
        "action": order.action,
        "dataset": order.dataset,
        "parameters": dict(order.parameters),
        **facts,
        "counts": counts,
        **(tables or {}),
        "losses": told,
    }
    output.write_text(folder / "report.md", _markdown(order, done, counts, told, tables or {}))
    output.write_json(folder / "report.json", record)
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if name not in ("files", "bytes"))
    message = f"{done}: {said}"
    if told:
        message += f"; lost: {' '.join(told)}"
    metrics = {name: float(count) for name, count in counts.items()}
    key = next(name for name in _KEY if name in metrics)
    reporter.line("SUCCESS", message[:1000], kpi=metrics, artifacts=output.artifacts(folder))
    return Verdict(status="SUCCESS", complete=True, message=message, metrics=metrics, key_metric=key)


def _markdown(
    order: Order,
    done: str,
    counts: Mapping[str, int],
    told: list[str],
    tables: Mapping[str, Mapping[str, int]],
) -> str:
    lines = [
        f"# {order.action} of {order.dataset}",
        "",
        f"{done[:1].upper()}{done[1:]}.",
        "",
        "| | |",
        "|---|---|",
    ]
    lines += [f"| {name} | {count:,} |" for name, count in counts.items()]
    for title, rows in tables.items():
        lines += ["", f"## {title[:1].upper()}{title[1:]}", "", "| | |", "|---|---|"]
        lines += [f"| {_cell(name)} | {count:,} |" for name, count in rows.items()]
    if told:
        lines += ["", "## What is lost", "", *(f"- {sentence}" for sentence in told)]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
