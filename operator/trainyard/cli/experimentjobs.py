"""An Experiment and its TrainingJobs, read from the API server.

Separate because `experimenthistory` has no I/O. Called by `describe`, `plot`, `export`, and by `logs` and `download`
of an Experiment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp

from trainyard.api import names
from trainyard.api.reasons import Phase
from trainyard.cli.connection import Connection
from trainyard.cli.exits import CommandError
from trainyard.cli.experimenthistory import History, Redraw, history
from trainyard.cli.reading import ended, headline, phase
from trainyard.cluster import resources
from trainyard.cluster.client import ApiError

Json = dict[str, Any]

# A job of a search has a few kB.
_PAGE = "250"
_LOOK_SECONDS = 3.0


async def children(there: Connection, experiment: Json) -> list[Json]:
    """The TrainingJobs of an Experiment: those that it has made, and those that have joined it."""
    path = resources.path("TrainingJob", there.namespace)
    params = {"labelSelector": f"{names.LABEL_EXPERIMENT}={experiment['metadata']['name']}", "limit": _PAGE}
    found: list[Json] = []
    while True:
        listing = await there.client.get(path, params)
        found += listing.get("items") or []
        if not (more := (listing.get("metadata") or {}).get("continue")):
            return found
        params = {**params, "continue": more}


async def gathered(there: Connection, name: str) -> History:
    """All that is known. Raises CommandError where there is no such Experiment, or its jobs may not be listed."""
    from trainyard.cli import redrawing

    experiment = await there.object("Experiment", name)
    jobs = await children(there, experiment)
    return history(experiment, jobs, redraw=redrawing.of(experiment), scales=redrawing.scales(experiment))


async def shown(there: Connection, experiment: Json) -> History | None:
    """The history of an Experiment; None where its jobs may not be listed."""
    try:
        jobs = await children(there, experiment)
    except (ApiError, aiohttp.ClientError, TimeoutError):
        return None
    return history(experiment, jobs, redraw=_redraw(experiment))


def _redraw(experiment: Json) -> Redraw | None:
    """How lost parameters are drawn again; loaded only where the ledger has runs, as it takes the API's models."""
    if not ((experiment.get("status") or {}).get("automl") or {}).get("ledger"):
        return None
    from trainyard.cli import redrawing

    return redrawing.of(experiment)


async def next_started(there: Connection, name: str, after: Json | None, *, wait: bool) -> Json | None:
    """The job of an Experiment that has started last; with `after` the first of those that have started after that.

    None where there is no other. With `wait` one that starts is waited for as long as the Experiment goes on.
    Raises CommandError where there is no such Experiment, or nothing of it has started.
    """
    while True:
        experiment = await there.object("Experiment", name)
        order = [str(step.get("name")) for step in (experiment.get("status") or {}).get("steps") or []]
        found = chosen(await children(there, experiment), after, order)
        if found is not None:
            return found
        if not wait or ended(experiment):
            if after is not None:
                return None
            raise CommandError(f"No job of Experiment {name} has started. {headline(experiment)}")
        await asyncio.sleep(_LOOK_SECONDS)


def chosen(jobs: Sequence[Json], after: Json | None, order: Sequence[str] = ()) -> Json | None:
    """The last that has started, one that runs before those that have ended; or the first that did after another.

    Of those that have started in the same second it is the step that is later in `order`, or the higher trial.
    """

    def started(job: Json) -> tuple[str, int, int, int, str]:
        labels = job["metadata"].get("labels") or {}
        step = str(labels.get(names.LABEL_STEP))
        trial, rung = (str(labels.get(label) or "") for label in (names.LABEL_TRIAL, names.LABEL_RUNG))
        return (
            str(job["status"]["startTime"]),
            order.index(step) if step in order else -1,
            int(trial) if trial.isdecimal() else -1,
            int(rung) if rung.isdecimal() else -1,
            str(job["metadata"]["name"]),
        )

    begun = [job for job in jobs if (job.get("status") or {}).get("startTime")]
    if after is None:
        return max(begun, key=lambda job: (phase(job) == Phase.RUNNING, started(job)), default=None)
    return min((job for job in begun if started(job) > started(after)), key=started, default=None)


async def kept(there: Connection, name: str) -> Json:
    """The job whose artifacts are those of the Experiment. Raises CommandError where there is none."""
    experiment = await there.object("Experiment", name)
    job = holder(experiment, await children(there, experiment))
    if job is None:
        raise CommandError(f"Experiment {name} has no artifacts yet. {headline(experiment)}")
    return job


def holder(experiment: Json, jobs: Sequence[Json]) -> Json | None:
    """The job that has the same artifacts."""
    addresses = _addresses(experiment)
    return next((job for job in jobs if addresses & _addresses(job)), None)


def _addresses(raw: Json) -> set[str]:
    return {str(one.get("uri")) for one in (raw.get("status") or {}).get("artifacts") or []}
