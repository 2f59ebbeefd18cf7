"""The runs of an Experiment in MLflow: in a tracking server, or in a folder (MLflow's file store).

Separate because it needs `mlflow-skinny`, of the extra `mlflow`, which takes seconds to load. Called by `export`.

Every run carries the tag `trainyard.dev/run`, by which it is found again, and `trainyard.dev/exported`, a digest of
what was written. The latter is set last: a run without it, or with another, is completed, so that an export that was
cut off goes on, and one of a search that goes on adds what is new. Nothing is written twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainyard.cli.errors import as_sentence
from trainyard.cli.exits import CommandError
from trainyard.cli.experimenthistory import SUCCESS, History
from trainyard.cli.experimenthistory import Run as TrialRun
from trainyard.cli.mlflowsteps import step_of, steps_per_epoch
from trainyard.planning.times import seconds

# NB: before the client is loaded. It would tell its makers of its use, retry for minutes, and refuse folders.
for _name, _value in (
    ("MLFLOW_DISABLE_TELEMETRY", "true"),
    ("DO_NOT_TRACK", "true"),
    ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3"),
    ("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1"),
    ("MLFLOW_HTTP_REQUEST_TIMEOUT", "30"),
    ("MLFLOW_ALLOW_FILE_STORE", "true"),
    ("GIT_PYTHON_REFRESH", "quiet"),
):
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric, Param, Run, RunTag, ViewType  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

_RUN, _EXPORTED, _UID = "trainyard.dev/run", "trainyard.dev/exported", "trainyard.dev/experiment-uid"
_OBJECTIVE = "objective"
_PARENT = "mlflow.parentRunId"
# What MLflow's names may have on all of its stores, and how many things one request may bring.
_ODD = re.compile(r"[^\w./ -]", re.ASCII)
_METRICS, _PARAMS = 900, 90
_PAGE = 500
_TEXT_LIMIT = 6000
_ENDS = {SUCCESS: "FINISHED", "stopped": "FINISHED", "failure": "FAILED", "canceled": "KILLED"}
_OPEN = {"pending": "SCHEDULED"}


@dataclass(frozen=True, kw_only=True)
class Done:
    """How many runs were added, changed, and left as they were."""

    created: int
    updated: int
    same: int


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """One run as it shall be in MLflow."""

    key: str
    name: str
    status: str
    start: int | None
    end: int | None
    parameters: Mapping[str, str]
    points: tuple[tuple[str, float, int], ...]
    """Of metrics: name, value, step."""
    tags: Mapping[str, str]

    @property
    def digest(self) -> str:
        what = [self.status, self.start, self.end, dict(self.parameters), self.points, dict(self.tags)]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def experiment_name(history: History) -> str:
    """As MLflow's list of experiments has it."""
    return f"{history.namespace}/{history.experiment}"


def send(history: History, uri: str) -> Done:
    """Raises CommandError with what MLflow says."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    try:
        client = MlflowClient(tracking_uri=uri)
        return _send(client, history)
    except MlflowException as error:
        raise CommandError(f"MLflow at {uri} does not take it: {as_sentence(str(error))}") from None
    except (OSError, ImportError) as error:
        # NB: requests' errors are OSErrors; a database would need the whole of MLflow.
        raise CommandError(f"MLflow at {uri} cannot be reached: {as_sentence(str(error))}") from None


def _send(client: MlflowClient, history: History) -> Done:
    where = _experiment(client, experiment_name(history))
    there = _there(client, where, history.uid)
    parent = _of_experiment(history)
    counts = {"created": 0, "updated": 0, "same": 0}
    parent_id, _ = _one(client, where, parent, there.get(parent.key), tags={})
    for run in history.runs:
        wanted = _of_run(history, run)
        _, what = _one(client, where, wanted, there.get(wanted.key), tags={_PARENT: parent_id})
        counts[what] += 1
    return Done(**counts)


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name))
    if found.lifecycle_stage != "active":
        raise CommandError(
            f"MLflow's experiment {name} has been deleted there: restore it, or remove it for good."
        )
    return str(found.experiment_id)


def _there(client: MlflowClient, where: str, uid: str) -> dict[str, Run]:
    """The runs of this Experiment that MLflow has, by their key."""
    found: dict[str, Run] = {}
    token = None
    while True:
        page = client.search_runs(
            [where],
            filter_string=f"tags.`{_UID}` = '{uid}'",
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=_PAGE,
            page_token=token,
        )
        found |= {run.data.tags[_RUN]: run for run in page if _RUN in run.data.tags}
        token = page.token
        if not token:
            return found


def _one(
    client: MlflowClient, where: str, wanted: _Wanted, there: Run | None, *, tags: Mapping[str, str]
) -> tuple[str, str]:
    """The run's id in MLflow, and what was done: created, updated or same."""
    if there is not None and there.data.tags.get(_EXPORTED) == wanted.digest:
        return str(there.info.run_id), "same"
    all_tags = {**wanted.tags, **tags, _RUN: wanted.key}
    if there is None:
        run = client.create_run(where, start_time=wanted.start, tags=all_tags, run_name=wanted.name)
    else:
        run = there
    run_id = str(run.info.run_id)
    known = {} if there is None else dict(there.data.params)
    points = wanted.points if there is None else _new(client, run_id, wanted.points)
    at = wanted.end or wanted.start or 0
    metrics = [Metric(key=name, value=value, timestamp=at, step=step) for name, value, step in points]
    # NB: MLflow never changes a parameter that is there.
    params = [Param(name, value) for name, value in wanted.parameters.items() if name not in known]
    for part in _parts(metrics, _METRICS):
        client.log_batch(run_id, metrics=part)
    for part in _parts(params, _PARAMS):
        client.log_batch(run_id, params=part)
    if wanted.status in _ENDS.values():
        client.set_terminated(run_id, status=wanted.status, end_time=wanted.end)
    else:
        client.update_run(run_id, status=wanted.status)
    changed = {} if there is None else all_tags
    last = [RunTag(name, value) for name, value in {**changed, _EXPORTED: wanted.digest}.items()]
    client.log_batch(run_id, tags=last)
    return run_id, "created" if there is None else "updated"


def _new(
    client: MlflowClient, run_id: str, points: Sequence[tuple[str, float, int]]
) -> list[tuple[str, float, int]]:
    """Those that MLflow does not have."""
    there = {
        (name, metric.value, metric.step)
        for name in dict.fromkeys(name for name, _, _ in points)
        for metric in client.get_metric_history(run_id, name)
    }
    return [point for point in points if point not in there]


def _of_experiment(history: History) -> _Wanted:
    """The run that holds the others, as MLflow has it for searches."""
    best = history.best
    points = [] if best is None or best.value is None else [(_OBJECTIVE, best.value, 0)]
    told = {
        "algorithm": history.algorithm,
        "seed": "" if history.seed is None else str(history.seed),
        "metric": history.metric,
        "goal": history.goal,
    }
    started = [at for run in history.runs if (at := _milliseconds(run.start)) is not None]
    ended = [at for run in history.runs if (at := _milliseconds(run.end)) is not None]
    over = all(run.state in _ENDS for run in history.runs)
    return _Wanted(
        key=f"{history.uid}/experiment",
        name=history.experiment,
        status="FINISHED" if over else "RUNNING",
        start=min(started, default=None),
        end=max(ended, default=None) if over else None,
        parameters={},
        points=tuple(points),
        tags={
            **_tags(history),
            **{f"trainyard.{name}": text for name, text in told.items() if text},
            **(
                {}
                if best is None
                else {"trainyard.bestTrial": str(best.number), "trainyard.bestJob": best.job}
            ),
        },
    )


def _of_run(history: History, run: TrialRun) -> _Wanted:
    metric = _spelt(history.metric) or _OBJECTIVE
    ended_at = run.epoch or 0.0
    each = steps_per_epoch([ended_at, *(epoch for epoch, _ in run.curve)])
    points = [(metric, value, step_of(epoch, each)) for epoch, value in run.curve]
    if run.value is not None and (metric != _OBJECTIVE or not points):
        points.append((_OBJECTIVE, run.value, step_of(ended_at, each)))
    about = {
        "step": run.step,
        "trial": "" if run.number is None else str(run.number),
        "bracket": "" if run.bracket is None else str(run.bracket),
        "rung": "" if run.number is None else str(run.rung),
        "epochs": "" if run.epochs is None else str(run.epochs),
        "stepsPerEpoch": "" if each == 1 else str(each),
        "job": run.job,
        "state": run.state,
        "message": run.message,
    }
    return _Wanted(
        key=run.key,
        name=run.job,
        status=_ENDS.get(run.state) or _OPEN.get(run.state, "RUNNING"),
        start=_milliseconds(run.start),
        end=_milliseconds(run.end),
        parameters=dict(_named_apart(run.parameters)),
        points=tuple(points),
        tags={**_tags(history), **{f"trainyard.{name}": text for name, text in about.items() if text}},
    )


def _tags(history: History) -> dict[str, str]:
    return {
        _UID: history.uid,
        "trainyard.experiment": history.experiment,
        "trainyard.namespace": history.namespace,
    }


def _named_apart(parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Under names that MLflow takes, none of them twice."""
    taken: set[str] = set()
    for name, value in parameters.items():
        spelt = first = _spelt(name) or "_"
        number = 2
        while spelt in taken:
            spelt, number = f"{first}_{number}", number + 1
        taken.add(spelt)
        yield spelt, value[:_TEXT_LIMIT]


def _spelt(name: str) -> str:
    """MLflow refuses others, and takes a name for a path: no `//`, no `..`, nothing before the root."""
    return "/".join(part for part in _ODD.sub("_", name).split("/") if part.strip(".")) if name else ""


def _milliseconds(stamp: str | None) -> int | None:
    found = seconds(stamp)
    return None if found is None else int(found * 1000)


def _parts(found: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(found), size):
        yield found[start : start + size]
