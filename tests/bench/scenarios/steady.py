"""One job a second: what a user waits for when nobody else is in the queue.

Separate because latency is measured here: from apply to the pod, from the pod's end to Done and to the callback.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench import receiver, rounds, sample, trial
from tests.bench.contenders import BARE, TRAINYARD, Contender
from tests.bench.sample import Sample
from tests.bench.trial import Load, Trial
from tests.harness import processes
from tests.harness.controlplane import ControlPlane

RATIOS = ("applyToPod.p50Ms", "applyToPod.p99Ms")
#: The receiver is on loopback, which callbacks may not reach otherwise.
SETTINGS = {"callbacks": {"allowedCIDRs": ["127.0.0.0/8"]}}


@contextmanager
def receiving(plane: ControlPlane) -> Iterator[tuple[str, Path]]:
    """A receiver of callbacks: its URL, and its journal."""
    (port,) = processes.free_ports(1)
    journal = plane.layout.folder / "receiver.jsonl"
    with trial.process(plane, "receiver", receiver.Order(port=port, journal=str(journal))):
        yield f"http://127.0.0.1:{port}/", journal


def with_callbacks(plane: ControlPlane, contender: Contender, load: Load, found: Sample) -> Trial:
    """A trial of our operator in which every job has a callback, and has its end when that has come."""
    told = dataclasses.replace(contender, last=("done", "received"))
    with receiving(plane) as (url, journal):
        script = (sample.job(callback=url),)
        return trial.run(plane, told, load, found, script=script, settings=SETTINGS, journals=(journal,))


def run(
    *,
    jobs: int = 120,
    rate: float = 1.0,
    times: int = 4,
    contenders: Sequence[Contender] = (BARE, TRAINYARD),
) -> dict[str, Any]:
    """`times` rounds of `jobs` at `rate` a second; our operator's jobs have a callback."""
    load = Load(jobs=jobs, rate=rate)

    def one(plane: ControlPlane, contender: Contender, found: Sample) -> Trial:
        if contender.name == TRAINYARD.name:
            return with_callbacks(plane, contender, load, found)
        return trial.run(plane, contender, load, found)

    return {
        "jobs": jobs,
        "jobsPerSecondAsked": rate,
        **rounds.run(f"{rate:g} job/s", contenders, rounds=times, trial=one, ratios=RATIOS),
    }
