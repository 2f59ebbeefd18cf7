"""What the panels of `trainyard plot` show, as numbers: pure, so that it can be tested without a picture.

Separate from `figures`, which draws it. Called by `figures` and `plot`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from trainyard.cli.experimenthistory import SUCCESS, History, Run, number_of
from trainyard.cli.reading import printable

#: More parameters than this are not drawn side by side: the most important ones are.
MOST_AXES = 12
#: A loss that went as far has diverged; the distance of two such values would be infinite on an axis.
_FARTHEST = 1e300


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of the parallel coordinates: places from 0 to 1, and the ticks to read them by."""

    name: str
    ticks: tuple[tuple[float, str], ...]
    places: tuple[float | None, ...]
    """Of each trial; None where it has no such parameter."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How a trial learned, over all the rungs that it has reached."""

    number: int | None
    name: str
    points: tuple[tuple[float, float], ...]
    value: float | None


def final_runs(history: History) -> list[Run]:
    """Of each trial that has a value the run of the highest rung, by number."""
    found = [run for run in history.trials if _is_shown(run.value) and run.state in (SUCCESS, "stopped")]
    return [list(runs)[-1] for _, runs in groupby(found, key=lambda run: run.number)]


def _is_shown(value: float | None) -> bool:
    return value is not None and abs(value) < _FARTHEST


def best_so_far(history: History) -> list[tuple[int, float]]:
    """Number of each trial and the best value of those until it, as a search would have it that ends there."""
    line: list[tuple[int, float]] = []
    for run in final_runs(history):
        if run.state != SUCCESS or run.value is None or run.number is None:
            continue
        last = line[-1][1] if line else None
        value = run.value if last is None or history.better(run.value, last) else last
        line.append((run.number, value))
    return line


def curves(history: History) -> list[Curve]:
    """Of trials, those of all rungs as one; without trials, those of the steps."""
    found = []
    for number, group in groupby(history.trials, key=lambda run: run.number):
        runs = list(group)
        told = {epoch: value for run in runs for epoch, value in run.curve if _is_shown(value)}
        points = sorted(told.items())
        values = [run.value for run in runs if run.value is not None]
        if points:
            value = values[-1] if values else None
            found.append(Curve(number=number, name=f"trial {number}", points=tuple(points), value=value))
    for run in () if found else history.others:
        if shown := tuple((epoch, value) for epoch, value in run.curve if _is_shown(value)):
            found.append(Curve(number=None, name=run.step or run.job, points=shown, value=run.value))
    return found


def ranks(values: Sequence[float | None], *, minimize: bool) -> list[float]:
    """Each value's place among all, 0 for the worst and 1 for the best; 0 for none. Equal values are equal."""
    known = sorted({value for value in values if value is not None}, reverse=minimize)
    place = {value: number / max(1, len(known) - 1) for number, value in enumerate(known)}
    if len(known) == 1:
        place = {known[0]: 1.0}
    return [0.0 if value is None else place[value] for value in values]


def axes(history: History, runs: Sequence[Run], shown: Sequence[str]) -> list[Axis]:
    """An axis for each parameter that is shown, and the last one for the metric."""
    found = [
        _axis(name, [run.parameters.get(name) for run in runs], log=history.scales.get(name, False))
        for name in shown
    ]
    return [*found, _numeric(history.metric or "value", [run.value for run in runs], log=False)]


def _axis(name: str, values: Sequence[str | None], *, log: bool) -> Axis:
    numbers = [number_of(value) for value in values]
    if any(value is not None for value in values) and all(
        number is not None for number, value in zip(numbers, values, strict=True) if value is not None
    ):
        return _numeric(name, numbers, log=log)
    words = sorted({value for value in values if value is not None})
    place = {word: number / (len(words) - 1) if len(words) > 1 else 0.5 for number, word in enumerate(words)}
    step = math.ceil(len(words) / 24) or 1
    return Axis(
        name=name,
        ticks=tuple((place[word], shortened(word)) for word in words[::step]),
        places=tuple(None if value is None else place[value] for value in values),
    )


def _numeric(name: str, values: Sequence[float | None], *, log: bool) -> Axis:
    known = [value for value in values if value is not None]
    log = log and all(value > 0 for value in known)
    scaled = [None if value is None else (math.log10(value) if log else value) for value in values]
    inside = [value for value in scaled if value is not None]
    least, most = min(inside, default=0.0), max(inside, default=1.0)
    spread = most - least

    def place(value: float) -> float:
        return (value - least) / spread if spread else 0.5

    marks = [least + spread * part / 4 for part in range(5)] if spread else [least]
    return Axis(
        name=f"{name} (log)" if log else name,
        ticks=tuple((place(mark), f"{10**mark if log else mark:.3g}") for mark in marks),
        places=tuple(None if value is None else place(value) for value in scaled),
    )


def shortened(text: str, most: int = 18) -> str:
    """For a tick or a label: strangers' text on one line."""
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def short_number(text: str | None) -> str:
    """Of a decimal string, for a label; empty for none."""
    found = number_of(text)
    return "" if found is None else f"{found:.4g}"
