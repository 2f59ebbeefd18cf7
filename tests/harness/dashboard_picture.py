"""The dashboard as a picture: each panel of its JSON drawn from what a running Prometheus answers.

Separate because matplotlib takes a second to import, and for those who have no Grafana at hand: titles, places,
queries, units, legends and colours are the dashboard's; the drawing is ours. Called by `make dashboard`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.harness import dashboard
from tests.harness.dashboard import Panel, Target
from tests.harness.prometheus import Prometheus

_INCHES = (0.72, 0.40)  # of a column and a row of the grid
_BACK, _CARD, _TEXT, _FAINT, _GRID = "#111217", "#181b1f", "#ccccdc", "#8e8ea0", "#2c3035"
_COLORS = {"green": "#73bf69", "yellow": "#fade2a", "blue": "#5794f2", "red": "#f2495c", "orange": "#ff9830"}
_PALETTE = (
    *("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0"),
    *("#37872d", "#fade2a", "#447ebc", "#c15c17", "#890f02", "#0a437c", "#6d1f62", "#96d98d"),
)
_DECIMAL = ("", "K", "M", "G")
_BINARY = ("B", "KiB", "MiB", "GiB")

Line = tuple[str, list[datetime], list[float]]


def draw(prometheus: Prometheus, *, start: float, end: float, rate_seconds: float, path: Path) -> None:
    """Writes a PNG of all panels over the time from `start` to `end` in seconds since the epoch."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = dashboard.load()
    rows = max(panel.grid[1] + panel.grid[3] for panel in panels)
    style: Any = {"font.size": 8, "text.color": _TEXT, "font.family": "DejaVu Sans"}
    with mpl.rc_context(style):
        figure = pyplot.figure(figsize=(24 * _INCHES[0], rows * _INCHES[1]), facecolor=_BACK)
        for panel in panels:
            _draw(figure, panel, rows, prometheus, start=start, end=end, rate_seconds=rate_seconds)
        figure.savefig(path, dpi=84, facecolor=_BACK)
        pyplot.close(figure)


def _draw(
    figure: Any,
    panel: Panel,
    rows: int,
    prometheus: Prometheus,
    *,
    start: float,
    end: float,
    rate_seconds: float,
) -> None:
    x, y, width, height = panel.grid
    left, bottom = x / 24, 1 - (y + height) / rows
    if panel.kind == "row":
        figure.text(left + 0.004, bottom + 0.3 / rows, f"⌄  {panel.title}", fontsize=10, weight="bold")
        return
    gap = 0.003
    card = figure.add_axes(
        (left + gap / 2, bottom + gap / 3, width / 24 - gap, height / rows - gap * 2 / 3), facecolor=_CARD
    )
    card.set_xticks([])
    card.set_yticks([])
    for spine in card.spines.values():
        spine.set_color(_GRID)
    card.text(
        0.08 / width,
        1 - 0.42 / height,
        panel.title,
        transform=card.transAxes,
        fontsize=8.5,
        va="center",
    )
    queries = [(t, t.query(rate_seconds=rate_seconds, range_seconds=end - start)) for t in panel.targets]
    inside = (left + 1.0 / 24, bottom + 1.9 / rows, (width - 1.35) / 24, (height - 2.8) / rows)
    if panel.kind == "timeseries":
        lines = _lines(prometheus, queries, start=start, end=end)
        _timeseries(figure.add_axes(inside, facecolor=_CARD), panel, lines, start=start, end=end)
    elif panel.kind == "bargauge":
        _bars(card, panel, _latest(prometheus, queries))
    else:
        _stat(card, panel, _latest(prometheus, queries))


def _lines(
    prometheus: Prometheus, queries: Sequence[tuple[Target, str]], *, start: float, end: float
) -> list[Line]:
    step = max(1.0, (end - start) / 240)
    lines: list[Line] = []
    for target, query in queries:
        for series in prometheus.query_range(query, start=start, end=end, step=step):
            known = [(at, value) for at, value in series.samples if not math.isnan(value)]
            if known:
                times = [datetime.fromtimestamp(at, tz=UTC) for at, _ in known]
                lines.append((target.name(series), times, [value for _, value in known]))
    return sorted(lines, key=lambda line: line[0])


def _latest(prometheus: Prometheus, queries: Sequence[tuple[Target, str]]) -> list[tuple[str, float]]:
    return [
        (target.name(one), one.samples[0][1]) for target, query in queries for one in prometheus.query(query)
    ]


def _timeseries(axes: Any, panel: Panel, lines: Sequence[Line], *, start: float, end: float) -> None:
    from matplotlib import dates, ticker

    clock: Any = dates  # untyped in matplotlib
    axes.set_xlim(datetime.fromtimestamp(start, tz=UTC), datetime.fromtimestamp(end, tz=UTC))
    if panel.stacked:
        moments = sorted({at for _, times, _ in lines for at in times})
        layers = []
        for _, times, values in lines:
            at = dict(zip(times, values, strict=True))
            layers.append([at.get(moment, 0.0) for moment in moments])
        if layers:
            colors = [_color(panel, name, number) for number, (name, _, _) in enumerate(lines)]
            axes.stackplot(moments, layers, colors=colors, alpha=0.55, linewidth=0)
    for number, (name, times, values) in enumerate(lines):
        color = _color(panel, name, number)
        if not panel.stacked:
            axes.fill_between(times, values, color=color, alpha=0.08, linewidth=0)
            axes.plot(times, values, color=color, linewidth=1.1)
        axes.plot([], [], color=color, linewidth=2.5, label=name)
    axes.set_ylim(bottom=0)
    if axes.get_ylim()[1] < 1e-9 or not any(any(values) for _, _, values in lines):
        axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5))
    axes.yaxis.set_major_formatter(lambda value, _: _text(value, panel.unit))
    axes.xaxis.set_major_locator(clock.AutoDateLocator(minticks=3, maxticks=6))
    axes.xaxis.set_major_formatter(clock.DateFormatter("%H:%M:%S", tz=UTC))
    axes.tick_params(colors=_FAINT, labelsize=7, length=0, pad=5)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not lines:
        axes.text(0.5, 0.5, "No data", transform=axes.transAxes, ha="center", color=_FAINT, fontsize=10)
        return
    columns = 4 if len(lines) > 3 else len(lines)
    shown = axes.get_legend_handles_labels()
    axes.legend(
        *(each[:12] for each in shown),
        loc="upper left",
        bbox_to_anchor=(-0.04, -0.1),
        ncols=columns,
        fontsize=6.5,
        frameon=False,
        handlelength=1.0,
        columnspacing=1.0,
        labelspacing=0.25,
    )


def _bars(card: Any, panel: Panel, values: Sequence[tuple[str, float]]) -> None:
    from matplotlib.patches import Rectangle

    height = panel.grid[3]
    if not values:
        card.text(0.5, 0.5, "No data", transform=card.transAxes, ha="center", color=_FAINT, fontsize=10)
        return
    largest = max(value for _, value in values) or 1.0
    each = (height - 1.3) / max(len(values), 4)
    for number, (name, value) in enumerate(values):
        middle = 1 - (1.1 + each * (number + 0.5)) / height
        tall = min(0.55, each * 0.6) / height
        color = _color(panel, name, number)
        card.text(0.31, middle, name, transform=card.transAxes, ha="right", va="center", fontsize=7.5)
        for length, shade in ((0.5, _GRID), (0.5 * value / largest, color)):
            corner = (0.34, middle - tall / 2)
            card.add_patch(Rectangle(corner, length, tall, transform=card.transAxes, color=shade))
        text = _text(value, panel.unit, decimals=panel.decimals)
        card.text(
            0.86, middle, text, transform=card.transAxes, va="center", fontsize=8, color=color, weight="bold"
        )
    card.set_xlim(0, 1)
    card.set_ylim(0, 1)


def _stat(card: Any, panel: Panel, values: Sequence[tuple[str, float]]) -> None:
    text = "No data"
    if values:
        name, value = values[0]
        text = name if panel.named_only else _text(value, panel.unit, decimals=panel.decimals)
    color = _COLORS.get(panel.color or "", _TEXT)
    card.text(
        0.5,
        0.4,
        text,
        transform=card.transAxes,
        ha="center",
        va="center",
        fontsize=24,
        color=color,
        weight="bold",
    )


def _color(panel: Panel, name: str, number: int) -> str:
    fixed = dict(panel.colors).get(name)
    if fixed is not None:
        return _COLORS.get(fixed, fixed)
    return _PALETTE[number % len(_PALETTE)]


def _text(value: float, unit: str, *, decimals: int | None = None) -> str:
    """A value as Grafana writes it, in short."""
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if unit == "percentunit":
        return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"
    if unit == "s":
        return _duration(value)
    if unit in ("bytes", "Bps"):
        return _scaled(value, 1024 if unit == "bytes" else 1000, _BINARY) + ("/s" if unit == "Bps" else "")
    ending = {"reqps": " req/s", "ops": " ops/s"}.get(unit, "")
    return _scaled(value, 1000, _DECIMAL) + ending


def _duration(value: float) -> str:
    if value < 1:
        return f"{value * 1000:.3g} ms"
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= size * 2:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} s"


def _scaled(value: float, base: int, names: Sequence[str]) -> str:
    index = 0
    while abs(value) >= base and index < len(names) - 1:
        value, index = value / base, index + 1
    return f"{value:.3g} {names[index]}".rstrip()
