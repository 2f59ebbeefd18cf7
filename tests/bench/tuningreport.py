"""What the bench of tuning found, as tables, and whether it is what was wanted.

Separate because the JSON outlives the run, and the counting is tested without one. Called by `tuning`;
`python -m tests.bench.tuningreport FILE.json [DOCUMENT.md]` tells it again.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.bench import report

#: Of the tasks, the share on which the Bayesian search must be better, and of random search's epochs the most that
#: hyperband may need.
WANTED_SHARE, WANTED_EPOCHS = 5 / 6, 0.5


@dataclass(frozen=True)
class Outcome:
    """A task: the regrets of each algorithm by seed; of a network also hyperband's epochs as a share of random's."""

    task: str
    metric: str
    best: float
    regrets: Mapping[str, tuple[float, ...]]
    shares: tuple[float, ...] = ()

    def median(self, algorithm: str) -> float:
        return statistics.median(self.regrets[algorithm])

    @property
    def bayesian_is_better(self) -> bool:
        return self.median("bayesian") < self.median("random")

    @property
    def hyperband_is_faster(self) -> bool:
        return statistics.median(self.shares) <= WANTED_EPOCHS

    def wins(self) -> tuple[int, int]:
        """Seeds from which the Bayesian search found a better value than random search, and a worse one."""
        pairs = list(zip(self.regrets["bayesian"], self.regrets["random"], strict=True))
        return sum(one < other for one, other in pairs), sum(one > other for one, other in pairs)


def outcomes(results: Mapping[str, Any]) -> list[Outcome]:
    """One for each task, in the order of the results."""
    found: list[Outcome] = []
    for task in dict.fromkeys(one["task"] for one in results["searches"]):
        searches = [one for one in results["searches"] if one["task"] == task]
        sign = 1.0 if searches[0]["minimize"] else -1.0
        losses = {
            (one["algorithm"], one["seed"]): [(spent, _loss(best, sign)) for spent, best in one["steps"]]
            for one in searches
        }
        best = min(steps[-1][1] for steps in losses.values())
        seeds = sorted({seed for _, seed in losses})
        algorithms = dict.fromkeys(one["algorithm"] for one in searches)
        total = losses["random", seeds[0]][-1][0]
        wanted = statistics.median(losses["random", seed][-1][1] for seed in seeds)
        found.append(
            Outcome(
                task,
                searches[0]["metric"],
                sign * best,
                {name: tuple(losses[name, seed][-1][1] - best for seed in seeds) for name in algorithms},
                tuple(
                    _share(losses["hyperband", seed], wanted, total)
                    for seed in seeds
                    if "hyperband" in algorithms
                ),
            )
        )
    return found


def _loss(value: float | None, sign: float) -> float:
    return math.inf if value is None else sign * value


def _share(steps: Sequence[tuple[int, float]], wanted: float, total: int) -> float:
    """Epochs until the loss is as low as wanted, as a share of `total`; infinite where it never is."""
    return next((spent / total for spent, loss in steps if loss <= wanted), math.inf)


def missed(results: Mapping[str, Any]) -> list[str]:
    """The targets that were missed, in sentences."""
    found = outcomes(results)
    better = sum(one.bayesian_is_better for one in found)
    told = []
    if better < WANTED_SHARE * len(found):
        told.append(
            f"The Bayesian search has the lower median regret on {better} of {len(found)} tasks only."
        )
    slow = [one.task for one in found if one.shares and not one.hyperband_is_faster]
    if slow:
        told.append(
            f"Hyperband needs more than half of random search's epochs for its final quality: {', '.join(slow)}."
        )
    return told


def text(results: Mapping[str, Any]) -> str:
    """All of it as Markdown."""
    found = outcomes(results)
    machine, trials = results["machine"], results["trials"]
    better = sum(one.bayesian_is_better for one in found)
    parts = [
        f"Measured on {machine['date']} on {machine['cores']} cores, Python {machine['python']}, in"
        f" {results['seconds'] / 60:.0f} minutes, {trials} trainings a search.",
        f"The Bayesian search has the lower median regret on {better} of {len(found)} tasks.",
        _regrets(found),
    ]
    if networks := [one for one in found if one.shares]:
        faster = sum(one.hyperband_is_faster for one in networks)
        parts += [
            f"Hyperband has random search's final quality after at most half of its epochs on {faster} of"
            f" {len(networks)} networks.",
            _epochs(networks),
        ]
    parts += [f"**Missed:** {sentence}" for sentence in missed(results)]
    return "\n\n".join(parts)


def _regrets(found: Sequence[Outcome]) -> str:
    head = ("task", "metric", "seeds", "best known", "random", "bayesian", "bayesian better / worse")
    rows = [
        (
            one.task,
            one.metric,
            str(len(one.regrets["random"])),
            f"{one.best:.4g}",
            f"{one.median('random'):.3g}",
            f"{one.median('bayesian'):.3g}",
            "{} / {}".format(*one.wins()),
        )
        for one in found
    ]
    return _table(head, rows)


def _epochs(networks: Sequence[Outcome]) -> str:
    head = ("task", "hyperband's share of epochs", "hyperband's final regret", "random's")
    rows = [
        (one.task, _percent(one.shares), *(f"{one.median(name):.3g}" for name in ("hyperband", "random")))
        for one in networks
    ]
    return _table(head, rows)


def _percent(shares: Sequence[float]) -> str:
    """The median, and how often it was reached at all where that is not always."""
    median = statistics.median(shares)
    reached = sum(math.isfinite(share) for share in shares)
    told = f"{median:.0%}" if math.isfinite(median) else "not reached"
    return told if reached == len(shares) else f"{told} ({reached} of {len(shares)} reach it)"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Prints the tables of a file of results, or puts them into a document."""
    told = text(orjson.loads(Path(sys.argv[1]).read_bytes()))
    if len(sys.argv) > 2:
        document = Path(sys.argv[2])
        document.write_text(report.into(document.read_text(), told))
    print(told)


if __name__ == "__main__":
    main()
