"""Rounds of trials: every contender in each round, on a cluster of its own, in turns A B C, C B A.

Separate because what makes figures comparable is here: nobody inherits another's cluster, and what else the machine
does falls on all alike. Called by `burst` and `steady`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from tests.bench import figures, rig, sample
from tests.bench.contenders import Contender
from tests.bench.sample import Sample
from tests.bench.trial import Trial
from tests.harness.controlplane import ControlPlane

OneTrial = Callable[[ControlPlane, Contender, Sample], Trial]


def order(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """Every other round goes backwards."""
    return list(contenders if number % 2 == 0 else reversed(contenders))


def run(
    title: str, contenders: Sequence[Contender], *, rounds: int, trial: OneTrial, ratios: Sequence[str]
) -> dict[str, Any]:
    """Figures of every trial by contender, their summaries, and `ratios` of each contender to each before it."""
    found: dict[str, list[figures.Figures]] = {one.name: [] for one in contenders}
    for number in range(rounds):
        for contender in order(contenders, number):
            with rig.cluster("bench-round") as plane:
                result = figures.of_trial(trial(plane, contender, sample.sample(plane)))
            found[contender.name].append(result)
            say(f"{title}, round {number + 1} of {rounds}, {contender.name}: {told(result)}")
    names = list(found)
    return {
        "rounds": rounds,
        "trials": found,
        "summaries": {name: figures.summarized(found[name]) for name in names},
        "ratios": {
            f"{name}/{other}": figures.compared(found[name], found[other], ratios)
            for at, name in enumerate(names)
            for other in names[:at]
        },
    }


def told(result: figures.Figures) -> str:
    """A line about a trial, for those who wait."""
    numbers = figures.flat(result)
    words = {
        "jobsPerSecond": "{:.1f} jobs/s",
        "applyToPod.p50Ms": "apply to pod {:.0f} ms",
        "podEndedToDone.p50Ms": "pod ended to Done {:.0f} ms",
        "cpuMsPerJob.operator": "operator's CPU {:.1f} ms a job",
        "othersShare": "others {:.0%} of the machine",
    }
    return ", ".join(text.format(numbers[name]) for name, text in words.items() if name in numbers)


def say(line: str) -> None:
    """On stderr: stdout belongs to the results."""
    print(line, file=sys.stderr, flush=True)
