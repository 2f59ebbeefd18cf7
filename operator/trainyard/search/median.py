"""Early stopping of hopeless trials: the median rule.

Separate because it reads learning curves, which nothing else does. The rule is that of Golovin et al. 2017 (Google
Vizier, section 3.2.2), but on the values themselves: a trial whose best value so far is worse than the median of the
others at the same epoch is stopped.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from trainyard.search.runs import Run

Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Median:
    """`startup_trials` others must have come to an epoch before a trial is compared there; never in the first
    `warmup_epochs`."""

    startup_trials: int = 5
    warmup_epochs: int = 1


def hopeless(rule: Median, runs: Iterable[Run], *, minimize: bool) -> tuple[Run, ...]:
    """The running ones that are to be stopped."""
    running: list[Run] = []
    others: list[Curve] = []
    for run in runs:
        if run.state == "running":
            running.append(run)
        elif run.curve and run.score is not None:
            others.append(run.curve)
    if len(others) < rule.startup_trials:
        return ()
    compared = [run for run in running if run.curve and run.curve[-1][0] > rule.warmup_epochs]
    medians = _medians({run.curve[-1][0] for run in compared}, others, at_least=rule.startup_trials)
    found = []
    for run in compared:
        median, best = medians[run.curve[-1][0]], _best(run, minimize=minimize)
        if median is not None and best is not None and (best > median if minimize else best < median):
            found.append(run)
    return tuple(found)


def _medians(
    epochs: Collection[float], curves: Iterable[Curve], *, at_least: int
) -> dict[float, float | None]:
    """The medians of what the curves have at the epochs, or last before them; None where too few came so far."""
    found: dict[float, list[float]] = {epoch: [] for epoch in epochs}
    for curve in curves if epochs else ():
        last = curve[-1][0]
        # NB: a table, because there may be a thousand curves and many epochs; curves are thinned, so few miss.
        table = dict(curve)
        for epoch, values in found.items():
            if last >= epoch:
                value = table.get(epoch)
                if value is None:
                    before = bisect_right(curve, (epoch, math.inf))
                    value = curve[before - 1][1] if before else math.nan
                if value == value:
                    values.append(value)
    return {
        epoch: statistics.median(values) if len(values) >= at_least else None
        for epoch, values in found.items()
    }


def _best(run: Run, *, minimize: bool) -> float | None:
    values = [value for _, value in run.curve if not math.isnan(value)]
    if run.value is not None and not math.isnan(run.value):
        values.append(run.value)
    if not values:
        return None
    return min(values) if minimize else max(values)
