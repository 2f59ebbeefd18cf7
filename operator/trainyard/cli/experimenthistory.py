"""The history of an Experiment: each run of each trial and of each step, with its value, parameters and curve.

Separate and free of I/O because `describe`, `plot` and `export` tell the same of it. It is put together from the
Experiment's status, whose ledger has every run that has ended, and from the TrainingJobs that are still there, which
know times, curves and parameters. Where both speak, the ledger's value and state count, as they do in the search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from trainyard.api import names
from trainyard.cli.experimentruns import (
    OPEN,
    STATES,
    SUCCESS,
    Parameters,
    Reader,
    Run,
    annotation,
    label,
    number_of,
    objective_of,
    run_of,
)

__all__ = ["OPEN", "SUCCESS", "History", "Parameters", "Redraw", "Run", "history", "number_of", "tuned_step"]

Json = dict[str, Any]
#: Parameters of a trial by number, drawn again from the seed; None where they cannot be, or their digest is another.
Redraw = Callable[[int, str], Parameters | None]


@dataclass(frozen=True, kw_only=True)
class History:
    """All that is known of an Experiment's runs."""

    experiment: str
    namespace: str
    uid: str
    algorithm: str
    """Empty where nothing is searched."""
    seed: int | None
    metric: str
    minimize: bool
    trials: tuple[Run, ...]
    """By number, then by rung."""
    others: tuple[Run, ...]
    rungs: tuple[Json, ...]
    best: Run | None
    scales: Mapping[str, bool]
    """Which parameters are searched on a logarithmic scale."""

    @property
    def runs(self) -> tuple[Run, ...]:
        return (*self.trials, *self.others)

    @property
    def goal(self) -> str:
        return "Minimize" if self.minimize else "Maximize"

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Of all trials, in the order of the search space."""
        found = chain(self.scales, *(run.parameters for run in self.trials))
        used = {name for run in self.trials for name in run.parameters}
        return tuple(name for name in dict.fromkeys(found) if name in used)

    def better(self, one: float, other: float) -> bool:
        return one < other if self.minimize else one > other


def history(
    experiment: Json,
    jobs: Sequence[Json],
    *,
    redraw: Redraw | None = None,
    scales: Mapping[str, bool] | None = None,
) -> History:
    """Of an Experiment and those of its TrainingJobs that are there; `scales` where they are known otherwise.

    Jobs of a former Experiment of the same name, and of a former search, are left out.
    """
    spec, status = experiment.get("spec") or {}, experiment.get("status") or {}
    uid = str(experiment["metadata"].get("uid") or "")
    automl = status.get("automl") or {}
    own = [job for job in jobs if label(job, names.LABEL_EXPERIMENT_UID) in ("", uid)]
    rungs = tuple(automl.get("rungs") or [])
    metric, minimize = _objective(spec, status, own)
    reader = Reader(
        experiment=str(experiment["metadata"]["name"]),
        uid=uid,
        search=str(automl.get("digest") or ""),
        tuned=tuned_step(spec),
        firsts=_firsts(rungs),
        epochs={(int(one["bracket"]), int(one["rung"])): int(one["epochs"]) for one in rungs},
    )
    trials = _trials(automl, own, reader, redraw=redraw)
    searched = spec.get("automl") or {}
    return History(
        experiment=reader.experiment,
        namespace=str(experiment["metadata"].get("namespace") or ""),
        uid=uid,
        algorithm=str(searched.get("algorithm") or "bayesian") if reader.tuned else "",
        seed=automl.get("seed", searched.get("seed")),
        metric=metric,
        minimize=minimize,
        trials=trials,
        others=tuple(_others(status, own, reader)),
        rungs=rungs,
        best=_best(automl.get("bestTrial") or {}, trials),
        scales=scales or {one["name"]: bool(one.get("log")) for one in searched.get("space") or []},
    )


def tuned_step(spec: Json) -> str:
    """The name of the step that is searched; empty where none is."""
    automl = spec.get("automl") or {}
    if not automl or automl.get("enabled") is False:
        return ""
    steps = spec.get("actions") or []
    first = next((step["name"] for step in steps if step.get("action") == "train"), "")
    return str(automl.get("action") or first)


def _trials(automl: Json, jobs: Sequence[Json], reader: Reader, *, redraw: Redraw | None) -> tuple[Run, ...]:
    ledger = {(int(one["number"]), int(one.get("rung") or 0)): one for one in automl.get("ledger") or []}
    present = {}
    for job in jobs:
        trial, rung = label(job, names.LABEL_TRIAL), label(job, names.LABEL_RUNG) or "0"
        if reader.search and annotation(job, names.STEP_DIGEST) not in ("", reader.search):
            continue
        if trial.isdecimal() and rung.isdecimal():
            present[int(trial), int(rung)] = job
    runs = [
        reader.trial(number, rung, ledger.get((number, rung)), present.get((number, rung)))
        for number, rung in sorted(ledger.keys() | present.keys())
    ]
    known: dict[int, Parameters] = {
        int(trial["number"]): {one["name"]: str(one["value"]) for one in trial.get("parameters") or []}
        for trial in [*(automl.get("topTrials") or []), *filter(None, [automl.get("bestTrial")])]
    }
    # NB: a trial has the same parameters on each rung.
    known |= {run.number: run.parameters for run in runs if run.parameters and run.number is not None}
    digests = {number: str(entry.get("digest") or "") for (number, _), entry in ledger.items()}
    for number, digest in digests.items():
        if not known.get(number) and redraw is not None and (drawn := redraw(number, digest)):
            known[number] = drawn
    return tuple(
        run if run.parameters else replace(run, parameters=known.get(run.number or 0) or {}) for run in runs
    )


def _others(status: Json, jobs: Sequence[Json], reader: Reader) -> Iterable[Run]:
    """Steps in their order, those whose job is gone as far as status tells; then jobs that users posted."""
    plain = [job for job in jobs if not label(job, names.LABEL_TRIAL)]
    by_step = {label(job, names.LABEL_STEP): job for job in plain if label(job, names.LABEL_STEP)}
    for step in status.get("steps") or []:
        if step["name"] == reader.tuned or not (step.get("job") or step["name"] in by_step):
            continue
        if (job := by_step.pop(step["name"], None)) is not None:
            yield reader.other(job)
            continue
        gone = run_of(
            None,
            step=step["name"],
            number=None,
            rung=0,
            bracket=None,
            epochs=None,
            job=str(step["job"]),
            state=STATES.get(str(step.get("phase")), "pending"),
            value=None,
            epoch=None,
            key=f"{reader.uid}/{step['name']}/{step.get('digest') or ''}",
        )
        yield replace(gone, start=step.get("startTime"), end=step.get("completionTime"))
    rest = [*by_step.values(), *(job for job in plain if not label(job, names.LABEL_STEP))]
    for job in sorted(rest, key=lambda job: str(job["metadata"].get("creationTimestamp"))):
        yield reader.other(job)


def _best(told: Json, trials: Sequence[Run]) -> Run | None:
    """The run that the search calls the best."""
    if "number" not in told:
        return None
    found = [run for run in trials if run.number == told["number"]]
    rung = told.get("rung")
    exact = [run for run in found if rung is None or run.rung == rung]
    return next(reversed(exact or found), None)


def _objective(spec: Json, status: Json, jobs: Sequence[Json]) -> tuple[str, bool]:
    """The metric and whether less of it is better: as the search says, as the jobs were judged, else as asked for."""
    for found in (status.get("automl") or {}, *map(objective_of, jobs)):
        if found.get("metric") and found.get("goal"):
            return str(found["metric"]), found["goal"] == "Minimize"
    asked = spec.get("objective") or {}
    metric = str(asked.get("metric") or (status.get("keyMetric") or {}).get("name") or "")
    if asked.get("goal") or not metric:
        return metric, asked.get("goal") == "Minimize"
    # NB: loaded here only, with the models of the API.
    from trainyard.api.shared import Objective
    from trainyard.planning.objective import goal_of

    return metric, goal_of(Objective(metric=metric)).minimize


def _firsts(rungs: Sequence[Json]) -> tuple[tuple[int, int], ...]:
    """Each bracket with the number of its first trial."""
    found, first = [], 0
    for one in rungs:
        if int(one["rung"]) == 0:
            found.append((int(one["bracket"]), first))
            first += int(one["configurations"])
    return tuple(found)
