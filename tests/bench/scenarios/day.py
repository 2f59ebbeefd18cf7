"""A long day: a steady stream of jobs, and whether anything grows that should not.

Separate because it asks for slopes: of latency, of memory and of the queue, minute by minute.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from tests.bench import figures, rig, rounds, sample, stats
from tests.bench.contenders import TRAINYARD, Pids
from tests.bench.scenarios.steady import with_callbacks
from tests.bench.trial import Load, Trial
from tests.harness.controlplane import ControlPlane
from tests.harness.errors import HarnessError
from tests.harness.operator import Operator

#: What is left to do: keys to be looked at, and writes that nobody waits for.
QUEUES = ("trainyard_queue_depth", "trainyard_deferred_writes")
_SAMPLE_SECONDS = 2.0
_MINUTE = 60.0
Points = list[tuple[float, float]]


def run(*, rate: float = 5.0, minutes: float = 10.0) -> dict[str, Any]:
    """`rate` jobs a second for so long, each with a callback; figures, and how they change from minute to minute."""
    queue: Points = []

    @contextmanager
    def program(plane: ControlPlane, settings: Mapping[str, Any]) -> Iterator[Pids]:
        with rig.operator(plane, settings=settings) as operator, _sampled(operator, queue):
            yield {"operator": operator.daemon.pid}

    load = Load(jobs=int(rate * minutes * 60), rate=rate)
    with rig.cluster("bench-day") as plane:
        contender = dataclasses.replace(TRAINYARD, program=program)
        trial = with_callbacks(plane, contender, load, sample.sample(plane))
    found = figures.of_trial(trial)
    rounds.say(f"{minutes:g} minutes at {rate:g} jobs/s: {rounds.told(found)}")
    return {
        "jobsPerSecondAsked": rate,
        "minutes": minutes,
        **found,
        "byMinute": (minute_by_minute := by_minute(trial, queue)),
        "growthPerMinute": growth(minute_by_minute),
    }


def by_minute(trial: Trial, queue: Points) -> list[dict[str, float]]:
    """Medians of what began in each minute; the last minute is left out where it is not whole."""
    began = min(trial.times["sent"].values())
    whole = max(1, int((max(trial.times["sent"].values()) - began + 1) // _MINUTE))
    found = []
    for minute in range(whole):
        start, end = began + minute * _MINUTE, began + (minute + 1) * _MINUTE
        jobs = {job for job, at in trial.times["sent"].items() if start <= at < end}
        numbers: dict[str, float] = {}
        for name, (first, last) in figures.DELAYS.items():
            values = [1000 * s for job, s in trial.times.seconds(first, last).items() if job in jobs]
            if values:
                numbers[f"{name}P50Ms"] = stats.percentile(values, 50)
                numbers[f"{name}P99Ms"] = stats.percentile(values, 99)
        for name, points in (("memoryMiB", trial.memory), ("leftToDo", queue)):
            values = [value for at, value in points if start <= at < end]
            if values:
                numbers[name] = stats.percentile(values, 50)
        found.append(numbers)
    return found


def growth(minutes: list[dict[str, float]]) -> dict[str, float]:
    """Slopes from the second minute on: the first is the operator's warming up. None from fewer than three minutes."""
    later = minutes[1:]
    if len(later) < 3:
        return {}
    return {
        name: stats.slope([(float(at), one[name]) for at, one in enumerate(later) if name in one])
        for name in later[0]
    }


@contextmanager
def _sampled(operator: Operator, queue: Points) -> Iterator[None]:
    """Reads the depth of the queue now and then until the end of the block."""
    end = threading.Event()

    def sample_queue() -> None:
        while not end.wait(_SAMPLE_SECONDS):
            with suppress(HarnessError, KeyError):
                now, found = time.monotonic(), operator.metrics()
                queue.append((now, sum(found[name] for name in QUEUES)))

    thread = threading.Thread(target=sample_queue, name="queue depth")
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
