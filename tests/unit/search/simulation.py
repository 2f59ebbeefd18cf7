"""Whole searches without a cluster: runs that end in a drawn order, fail, or are forgotten while they run.

What becomes of a run depends on its trial and rung alone, as it does with trainers that are seeded.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from trainyard.search.decisions import Decision, decide
from trainyard.search.rules import Rules
from trainyard.search.runs import Run, RunState

Key = tuple[int, int]
#: What becomes of a run, by its number and rung.
Outcome = Callable[[int, int], tuple[RunState, float | None]]


def outcomes(seed: int, *, failing: float = 0.0) -> Outcome:
    """Values from 0 to 1 that get better with the rungs, and a share of failures."""

    def outcome(number: int, rung: int) -> tuple[RunState, float | None]:
        drawn = random.Random(f"{seed}/{number}")
        quality = drawn.random()
        noise = random.Random(f"{seed}/{number}/{rung}")
        if noise.random() < failing:
            return "failure", None
        return "success", round(quality * (1 - 0.5 ** (rung + 1)) + 0.1 * noise.random(), 2)

    return outcome


@dataclass
class Simulation:
    """One search. `order` seeds in which order runs end; a share of the running ones is `forgotten`."""

    rules: Rules
    outcome: Outcome
    order: int = 0
    forgetting: float = 0.0
    runs: dict[Key, Run] = field(default_factory=dict)
    events: list[tuple[Literal["start", "end"], Key]] = field(default_factory=list)
    most_running: int = 0

    def run(self) -> Decision:
        """The decision that the search has ended."""
        chance = random.Random(self.order)
        for _ in range(20_000):
            decision = decide(self.rules, self._seen(chance))
            running = self.running
            assert len(running) + len(decision.start) <= max(self.rules.parallelism, len(running))
            assert decision.ended == (not running and not decision.start)
            if decision.ended:
                return decision
            self._obey(decision)
            running = self.running
            self.most_running = max(self.most_running, len(running))
            if not running:
                continue
            one = chance.choice(running)
            if chance.random() < self.forgetting:
                del self.runs[one]
            else:
                state, value = self.outcome(*one)
                self.runs[one] = Run(*one, state, value)
                self.events.append(("end", one))
        raise AssertionError("the search does not end")

    @property
    def starts(self) -> list[Key]:
        return [key for what, key in self.events if what == "start"]

    @property
    def running(self) -> list[Key]:
        return sorted(key for key, run in self.runs.items() if not run.ended)

    def _seen(self, chance: random.Random) -> list[Run]:
        seen = list(self.runs.values())
        chance.shuffle(seen)
        return seen

    def _obey(self, decision: Decision) -> None:
        for key in decision.stop:
            assert not self.runs[key].ended
            self.runs[key] = replace(self.runs[key], state="canceled")
        for start in decision.start:
            key = (start.number, start.rung)
            assert key not in self.runs, "a run that is there was started again"
            self.runs[key] = Run(start.number, start.rung, "running")
            self.events.append(("start", key))
