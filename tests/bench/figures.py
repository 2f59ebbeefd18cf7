"""What one trial says in numbers, and what several of them say together.

Separate because all scenarios that run trials report them alike; plain data, which becomes JSON. Names end in their
unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench import stats
from tests.bench.trial import Trial

#: From one entry of the journals to another: what a user waits for.
DELAYS = {
    "applyToPod": ("sent", "created"),
    "podEndedToDone": ("ended", "done"),
    "podEndedToCallback": ("ended", "received"),
}
Figures = dict[str, Any]


def of_trial(trial: Trial) -> Figures:
    """Latencies in ms, CPU in ms a job by program, requests a job by user, memory in MiB; until all was quiet."""
    jobs = trial.load.jobs
    found: Figures = {
        "jobs": jobs,
        "seconds": trial.seconds,
        "jobsPerSecond": trial.jobs_a_second,
        "jobsPerSecondToQuiet": jobs / trial.seconds_to_quiet,
        **{name: delays(trial, *DELAYS[name]) for name in DELAYS},
        "cpuMsPerJob": {label: used / jobs * 1000 for label, used in trial.spent.cpu.items()},
        "requestsPerJob": {key: count / jobs for key, count in trial.requests.items() if "requests/" in key},
        "queuedMsPerJob": {
            key: seconds / jobs * 1000 for key, seconds in trial.requests.items() if "queued/" in key
        },
        "turnedAway": sum(count for key, count in trial.requests.items() if "rejected/" in key),
        "throttled": {key: count for key, count in trial.requests.items() if "rejected/" in key},
        "watchesEnded": {key: count for key, count in trial.requests.items() if "watches ended/" in key},
        "observerReopened": trial.times.reopened,
        "othersShare": trial.spent.others,
    }
    if trial.memory:
        sizes = [size for _, size in trial.memory]
        found["memoryMiB"] = {"first": sizes[0], "highest": max(sizes), "last": sizes[-1]}
    return {key: value for key, value in found.items() if value not in ({}, None)}


def delays(trial: Trial, start: str, end: str) -> Figures | None:
    """Median, 99th percentile and maximum in ms; None where the trial has no such entries."""
    values = [seconds * 1000 for seconds in trial.times.seconds(start, end).values()]
    if not values:
        return None
    return {
        "minMs": min(values),
        "p50Ms": stats.percentile(values, 50),
        "p99Ms": stats.percentile(values, 99),
        "maxMs": max(values),
        "count": len(values),
    }


def flat(figures: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers by their whole name: `applyToPod.p50Ms`."""
    found: dict[str, float] = {}
    for key, value in figures.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, int | float):
            found[prefix + key] = value
    return found


def summarized(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Figures]:
    """Median, interval and range over the rounds, of each number that all of them have."""
    numbers = [flat(one) for one in rounds]
    shared = [key for key in numbers[0] if all(key in one for one in numbers)]
    return {key: asdict(stats.summary([one[key] for one in numbers])) for key in shared}


def compared(
    one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Figures]:
    """One contender's numbers divided by another's of the same round: the median with its interval."""
    mine, theirs = [flat(figures) for figures in one], [flat(figures) for figures in other]
    return {
        name: asdict(stats.summary(stats.ratios([f[name] for f in mine], [f[name] for f in theirs])))
        for name in names
        if all(name in figures for figures in (*mine, *theirs))
    }
