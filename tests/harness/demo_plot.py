"""The demo's learning curves as a picture.

Separate because matplotlib takes a second to import and only the demo needs it. Called by `demo_report`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Curve = Sequence[Mapping[str, float]]

# A row of panels each: what is drawn, as (label, line style) by name in the trainer's reports.
PANELS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "score on held-out rows": {
        "validation_accuracy": ("accuracy", "C0-"),
        "validation_rmse": ("rmse", "C0-"),
    },
    "loss": {"validation_loss": ("validation", "C3-"), "training_loss": ("training", "C7--")},
}


def draw(curves: Sequence[tuple[str, Curve]], path: Path) -> None:
    """Writes a PNG with a column for each job: its score and its losses over its epochs."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(PANELS),
        len(curves),
        figsize=(5.5 * len(curves), 3 * len(PANELS)),
        sharex="col",
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for row, (heading, lines) in zip(axes, PANELS.items(), strict=True):
        row[0].set_ylabel(heading)
        for axis, (_, points) in zip(row, curves, strict=True):
            _fill(axis, points, lines)
    for axis, (name, points) in zip(axes[0], curves, strict=True):
        axis.set_title(f"{name}, {len(points)} epochs")
    for axis in axes[-1]:
        axis.set_xlabel("epoch (of a forest: batch of trees)")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _fill(axis: Any, points: Curve, lines: Mapping[str, tuple[str, str]]) -> None:
    for column, (label, style) in lines.items():
        known = [(point["epoch"], point[column]) for point in points if column in point]
        if known:
            axis.plot(*zip(*known, strict=True), style, label=label, marker=".", markersize=4)
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small")
