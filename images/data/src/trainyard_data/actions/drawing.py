"""Reports to read: the same charts as Markdown and as one HTML file with drawings in it.

Separate because it is text and nothing else; no packages, no scripts, nothing from elsewhere. Called by `analyze`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from trainyard_data.actions.statistics import Chart

_BAR_HEIGHT, _WIDTH, _LABELS = 18, 420, 170
_LONGEST_LABEL = 26
_BLOCKS = 24
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;padding:.2rem .6rem;text-align:left}"
    "figure{margin:1.5rem 0}figcaption{font-weight:600}rect{fill:#3b6ea5}text{font:12px system-ui,sans-serif}"
)


def markdown(
    title: str, rows: Sequence[tuple[str, str]], notes: Sequence[str], charts: Sequence[Chart]
) -> str:
    """`rows` are facts by name."""
    lines = [f"# {title}", "", "| | |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows]
    if notes:
        lines += ["", *(f"- {_cell(note)}" for note in notes)]
    for chart in charts:
        most = max((count for _, count in chart.bars), default=0)
        lines += ["", f"## {_cell(chart.title)}", "", "| | | |", "|---|---:|---|"]
        lines += [
            f"| {_cell(name)} | {count:,} | {'█' * (round(count / most * _BLOCKS) if most else 0)} |"
            for name, count in chart.bars
        ]
    return "\n".join(lines) + "\n"


def html(title: str, rows: Sequence[tuple[str, str]], notes: Sequence[str], charts: Sequence[Chart]) -> str:
    """One file that needs nothing else."""
    facts = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    remarks = "".join(f"<li>{escape(note)}</li>" for note in notes)
    drawings = "".join(
        f"<figure><figcaption>{escape(chart.title)}</figcaption>{_svg(chart)}</figure>" for chart in charts
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1><table>{facts}</table>{f'<ul>{remarks}</ul>' if remarks else ''}{drawings}</html>\n"
    )


def _svg(chart: Chart) -> str:
    most = max((count for _, count in chart.bars), default=0)
    height = _BAR_HEIGHT * len(chart.bars) + 4
    parts = [f'<svg width="{_LABELS + _WIDTH + 90}" height="{height}" role="img">']
    for place, (name, count) in enumerate(chart.bars):
        y = place * _BAR_HEIGHT
        width = round(_WIDTH * count / most, 1) if most else 0
        short = name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "…"
        parts.append(
            f'<text x="{_LABELS - 6}" y="{y + 13}" text-anchor="end">{escape(short)}</text>'
            f'<rect x="{_LABELS}" y="{y + 2}" width="{width}" height="{_BAR_HEIGHT - 4}"/>'
            f'<text x="{_LABELS + width + 5}" y="{y + 13}">{count:,}</text>'
        )
    return "".join([*parts, "</svg>"])


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
