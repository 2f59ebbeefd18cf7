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
from tests.bench.tuningdata import LARGE

#: Of the tasks, the share on which the Bayesian search must be better, and of random search's epochs the most that
#: hyperband may need.
WANTED_SHARE, WANTED_EPOCHS = 5 / 6, 0.5

#: The epochs spent and the loss of the best value that was told by then, run after run.
Curve = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Pace:
    """Of a network: the epochs after which hyperband has random search's final median loss, as a share of those that
    random search has spent by its end, and the seeds that have it after half of those.

    `by_trial` is the share when it is the operator's best trial that has to have it. `own` is the share after which
    random search itself has it, `spent` that of all of hyperband. Infinite: never.
    """

    rows: int
    share: float
    by_trial: float
    seeds: int
    own: float
    spent: float

    @property
    def is_claimed(self) -> bool:
        """Whether the table is large enough for what is wanted of hyperband."""
        return self.rows >= LARGE

    @property
    def is_fast(self) -> bool:
        return self.share <= WANTED_EPOCHS


@dataclass(frozen=True)
class Outcome:
    """A task: the regrets of each algorithm by seed; of a network also how fast hyperband is."""

    task: str
    metric: str
    best: float
    regrets: Mapping[str, tuple[float, ...]]
    pace: Pace | None

    def median(self, algorithm: str) -> float:
        return statistics.median(self.regrets[algorithm])

    @property
    def bayesian_is_better(self) -> bool:
        return self.median("bayesian") < self.median("random")

    def wins(self) -> tuple[int, int]:
        """Seeds from which the Bayesian search found a better value than random search, and a worse one."""
        pairs = list(zip(self.regrets["bayesian"], self.regrets["random"], strict=True))
        return sum(one < other for one, other in pairs), sum(one > other for one, other in pairs)


def outcomes(results: Mapping[str, Any]) -> list[Outcome]:
    """One for each task, in the order of the results."""
    found: list[Outcome] = []
    for task in dict.fromkeys(one["task"] for one in results["searches"]):
        searches = [one for one in results["searches"] if one["task"] == task]
        first = searches[0]
        sign = 1.0 if first["minimize"] else -1.0
        curves: dict[str, list[Curve]] = {}
        by_trial: list[Curve] = []
        for one in sorted(searches, key=lambda one: int(one["seed"])):
            told = [(spent, _loss(value, sign)) for spent, _, value in one["steps"]]
            curves.setdefault(one["algorithm"], []).append(told)
            if one["algorithm"] == "hyperband":
                by_trial.append([(spent, _loss(value, sign)) for spent, value, _ in one["steps"]])
        best = min(curve[-1][1] for every in curves.values() for curve in every)
        regrets = {name: tuple(curve[-1][1] - best for curve in every) for name, every in curves.items()}
        pace = _pace(curves, by_trial, first["rows"]) if by_trial else None
        found.append(Outcome(task, first["metric"], sign * best, regrets, pace))
    return found


def _loss(value: float | None, sign: float) -> float:
    return math.inf if value is None else sign * value


def _pace(curves: Mapping[str, Sequence[Curve]], by_trial: Sequence[Curve], rows: int) -> Pace:
    random, hyperband = curves["random"], curves["hyperband"]
    total = max(curve[-1][0] for curve in random)
    wanted = statistics.median(curve[-1][1] for curve in random)
    return Pace(
        rows=rows,
        share=_epochs_until(hyperband, wanted) / total,
        by_trial=_epochs_until(by_trial, wanted) / total,
        seeds=sum(_loss_after(curve, total * WANTED_EPOCHS) <= wanted for curve in hyperband),
        own=_epochs_until(random, wanted) / total,
        spent=max(curve[-1][0] for curve in hyperband) / total,
    )


def _epochs_until(curves: Sequence[Curve], wanted: float) -> float:
    """The epochs after which the median over the seeds is as low as wanted; infinite where it never is."""
    for spent in sorted({spent for curve in curves for spent, _ in curve}):
        if statistics.median(_loss_after(curve, spent) for curve in curves) <= wanted:
            return spent
    return math.inf


def _loss_after(curve: Curve, epochs: float) -> float:
    """The loss of the best value after so many epochs; infinite where there is none yet."""
    return min((loss for spent, loss in curve if spent <= epochs), default=math.inf)


def missed(results: Mapping[str, Any]) -> list[str]:
    """The targets that were missed, in sentences."""
    found = outcomes(results)
    better = sum(one.bayesian_is_better for one in found)
    told = []
    if better < WANTED_SHARE * len(found):
        told.append(
            f"The Bayesian search has the lower median regret on {better} of {len(found)} tasks only."
        )
    slow = [one.task for one in found if one.pace and one.pace.is_claimed and not one.pace.is_fast]
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
    for large in (True, False):
        networks = [(one, one.pace) for one in found if one.pace and one.pace.is_claimed == large]
        if networks:
            fast = sum(pace.is_fast for _, pace in networks)
            beside = f"of {LARGE:,} rows or more" if large else "of fewer rows, of which nothing is claimed"
            parts += [
                "Hyperband has random search's final quality after at most half of its epochs on"
                f" {fast} of {len(networks)} networks {beside}.",
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


def _epochs(networks: Sequence[tuple[Outcome, Pace]]) -> str:
    head = (
        "task",
        "rows",
        "hyperband's share of epochs",
        "by its best trial",
        "seeds that have it after half",
        "random's own share",
        "hyperband's final regret (its share of epochs)",
        "random's final regret",
    )
    rows = [
        (
            one.task,
            f"{pace.rows:,}",
            _percent(pace.share),
            _percent(pace.by_trial),
            f"{pace.seeds} of {len(one.regrets['hyperband'])}",
            f"{pace.own:.0%}",
            f"{one.median('hyperband'):.3g} ({pace.spent:.0%})",
            f"{one.median('random'):.3g}",
        )
        for one, pace in networks
    ]
    return _table(head, rows)


def _percent(share: float) -> str:
    return f"{share:.0%}" if math.isfinite(share) else "not reached"


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
