"""What a search decides: the words in which algorithms answer.

Separate because the algorithms and `decisions`, which asks them, need the same words.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainyard.search.runs import Run


@dataclass(frozen=True)
class Start:
    """A run to be started. `units` and `epochs` count from the trial's first start, so a trial that goes on from its
    checkpoint runs only what is new; where there are no rungs, units is 0 and epochs None."""

    number: int
    rung: int = 0
    bracket: int = 0
    units: int = 0
    epochs: int | None = None


@dataclass(frozen=True)
class RungState:
    """One row of the table of rungs. `configurations` is what the rung takes if enough are left."""

    bracket: int
    rung: int
    configurations: int
    units: int
    epochs: int
    running: int = 0
    finished: int = 0
    promoted: int = 0
    best: float | None = None


@dataclass(frozen=True)
class Plan:
    """What an algorithm would start next, at most as many as were asked for, and its rungs."""

    start: tuple[Start, ...]
    rungs: tuple[RungState, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What a search does next.

    `start` in order, `stop` as (number, rung) of running ones. `ended`: nothing runs and nothing is left to be run.
    `failed`: why the search is to be given up, a sentence, else empty; once nothing runs any more it has ended, too.
    `total`: the trials that it will have, as far as is known. `best` is None or the first of `top`, which has the best
    run of each of at most ten trials.
    """

    start: tuple[Start, ...]
    stop: tuple[tuple[int, int], ...]
    ended: bool
    failed: str
    total: int
    rungs: tuple[RungState, ...]
    best: Run | None
    top: tuple[Run, ...]
