"""All runs of a search, indexed once.

Separate because a decision asks them many times and there may be 2,000: every question is answered without going
through all of them again. Called by `decisions` and by the algorithms.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trainyard.search.runs import Run

Key = tuple[int, int]
_TOP = 10


@dataclass(frozen=True)
class Record:
    """`runs` by number and rung. `costs` are the scores of those that have one, turned so that less is better;
    `promotable` are those of the runs that came to their end. `trials`, `failed` and `canceled` are numbers."""

    runs: Mapping[Key, Run]
    running: tuple[Run, ...]
    costs: Mapping[Key, float]
    promotable: Mapping[Key, float]
    trials: frozenset[int]
    failed: frozenset[int]
    canceled: frozenset[int]

    @classmethod
    def of(cls, runs: Iterable[Run], *, minimize: bool) -> Record:
        known: dict[Key, Run] = {}
        for run in runs:
            key = (run.number, run.rung)
            # Of two that say different things, the one that ended is what counts.
            if key not in known or not known[key].ended:
                known[key] = run
        running: list[Run] = []
        costs: dict[Key, float] = {}
        promotable: dict[Key, float] = {}
        failed, canceled = set(), set()
        for key, run in known.items():
            if run.state == "running":
                running.append(run)
            elif (score := run.score) is not None:
                costs[key] = score if minimize else -score
                if run.state == "success":
                    promotable[key] = costs[key]
            elif run.state == "canceled":
                canceled.add(run.number)
            elif run.failed:
                failed.add(run.number)
        return cls(
            runs=known,
            running=tuple(sorted(running, key=lambda run: (run.number, run.rung))),
            costs=costs,
            promotable=promotable,
            trials=frozenset(number for number, _ in known),
            failed=frozenset(failed),
            canceled=frozenset(canceled),
        )

    def top(self) -> tuple[Run, ...]:
        """The best run of each of the best trials, best first. Of equal runs the lower number and the higher rung.

        Those that came to their end are before those that were stopped, which leave nothing that could be handed on.
        """
        best: dict[int, tuple[bool, float, int, int]] = {}
        for (number, rung), cost in self.costs.items():
            entry = ((number, rung) not in self.promotable, cost, number, -rung)
            if number not in best or entry < best[number]:
                best[number] = entry
        first = heapq.nsmallest(_TOP, best.values())
        return tuple(self.runs[number, -negative] for _, _, number, negative in first)

    def best_of(self, keys: Iterable[Key]) -> float | None:
        """The best value among these runs, as it was reported."""
        found = min((key for key in keys if key in self.costs), key=self.costs.__getitem__, default=None)
        return self.runs[found].score if found is not None else None
