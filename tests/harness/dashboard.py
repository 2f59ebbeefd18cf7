"""The chart's Grafana dashboard as data: its panels, and the queries that each asks.

Separate because the tests of the queries and the picture of the dashboard read the same file. Called by both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.prometheus import Series

FILE = Path(__file__).parents[2] / "charts" / "trainyard" / "dashboards" / "trainyard.json"


@dataclass(frozen=True, kw_only=True)
class Target:
    """One query of a panel."""

    expression: str
    legend: str

    def query(self, *, rate_seconds: float, range_seconds: float) -> str:
        """The expression with Grafana's variables put in."""
        expression = self.expression.replace("$__rate_interval", f"{rate_seconds:.0f}s")
        return expression.replace("$__range", f"{range_seconds:.0f}s")

    def name(self, series: Series) -> str:
        """What the legend calls a series."""
        text = self.legend
        for label, value in series.labels.items():
            text = text.replace("{{" + label + "}}", value)
        return text


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel or the heading of a row; `grid` is x, y, width and height of 24 columns."""

    title: str
    kind: str
    grid: tuple[int, int, int, int]
    targets: tuple[Target, ...] = ()
    unit: str = "short"
    stacked: bool = False
    decimals: int | None = None
    named_only: bool = False
    color: str | None = None
    colors: tuple[tuple[str, str], ...] = ()


def load() -> tuple[Panel, ...]:
    """All panels in their order, rows among them."""
    return tuple(map(_panel, json.loads(FILE.read_text(encoding="utf-8"))["panels"]))


def _panel(raw: dict[str, Any]) -> Panel:
    config = raw.get("fieldConfig") or {}
    defaults = config.get("defaults") or {}
    grid = raw["gridPos"]
    colors = [
        (override["matcher"]["options"], each["value"]["fixedColor"])
        for override in config.get("overrides") or []
        for each in override["properties"]
        if each["id"] == "color"
    ]
    return Panel(
        title=raw["title"],
        kind=raw["type"],
        grid=(grid["x"], grid["y"], grid["w"], grid["h"]),
        targets=tuple(
            Target(expression=one["expr"], legend=one["legendFormat"]) for one in raw.get("targets") or []
        ),
        unit=defaults.get("unit", "short"),
        stacked=((defaults.get("custom") or {}).get("stacking") or {}).get("mode") == "normal",
        decimals=defaults.get("decimals"),
        named_only=(raw.get("options") or {}).get("textMode") == "name",
        color=(defaults.get("color") or {}).get("fixedColor"),
        colors=tuple(colors),
    )
