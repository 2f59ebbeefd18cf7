"""Experiments and their TrainingJobs as the operator leaves them, for tests of what people see of them."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.harness.client import Json
from tests.objects import Jobs, manifest
from trainyard.search.brackets import brackets
from trainyard.search.draws import random_point
from trainyard.search.space import Dimension, Space

SEED, SEARCH = 7, "0123456789abcdef"
#: What is searched, in the words of the API; the values depend on the first three of them and not on the fourth.
PARAMETERS: list[Json] = [
    {"name": "activation", "type": "categorical", "values": ["relu", "tanh"]},
    {"name": "hidden_units", "type": "int", "min": "8", "max": "128"},
    {"name": "learning_rate", "type": "float", "min": "1e-5", "max": "0.1", "log": True},
    {"name": "momentum", "type": "float", "min": "0", "max": "0.99"},
]
SPACE = Space(
    (
        Dimension("activation", "categorical", values=("relu", "tanh")),
        Dimension("hidden_units", "int", Decimal(8), Decimal(128)),
        Dimension("learning_rate", "float", Decimal("1e-5"), Decimal("0.1"), log=True),
        Dimension("momentum", "float", Decimal(0), Decimal("0.99")),
    )
)
_BEGAN = datetime(2025, 3, 9, 7, 5, 9, tzinfo=UTC)


def point(number: int) -> dict[str, str]:
    """The parameters of a trial."""
    return SPACE.as_mapping(random_point(SPACE, SEED, number))


def accuracy(number: int, epochs: float) -> float:
    """What a trial has reached after so many epochs."""
    given = point(number)
    rate = (math.log10(float(given["learning_rate"])) + 2.5) / 2.5
    noise = hashlib.sha256(f"{number}".encode()).digest()[0] / 255 * 0.01
    top = 0.97 - 0.3 * rate**2 - 0.05 * (given["activation"] == "tanh")
    top -= 0.1 / math.sqrt(float(given["hidden_units"])) + noise
    return round(top * (1 - 0.6 * math.exp(-epochs / 4)), 6)


def an_experiment(name: str = "tune", *, status: Json | None = None, **spec: Any) -> Json:
    base = {
        "type": "neural_network",
        "objective": {"metric": "accuracy", "goal": "Maximize"},
        "jobTemplate": {"spec": {"image": "example.com/trainer:1"}},
        "actions": [{"name": "train", "action": "train"}],
    }
    merged = {**base, **spec}
    if "jobTemplate" in merged:
        merged.pop("type", None)
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name, "namespace": "team", "uid": f"uid-of-{name}"},
        "spec": merged,
        "status": status or {},
    }


def a_job(experiment: str, step: str, *, phase: str = "Done", name: str = "", **status: Any) -> Json:
    """The job of a step."""
    return {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {
            "name": name or f"{experiment}-{step}",
            "namespace": "team",
            "uid": f"uid-of-{name or f'{experiment}-{step}'}",
            "creationTimestamp": stamp(0),
            "labels": {
                "trainyard.dev/experiment": experiment,
                **({"trainyard.dev/step": step} if step else {}),
            },
            "annotations": {"trainyard.dev/step-digest": SEARCH} if step else {},
        },
        "spec": {"image": "example.com/trainer:1"},
        "status": {"phase": phase, "reason": "Completed", **status},
    }


def a_trial(
    experiment: str, number: int, rung: int = 0, *, before: int = 0, epochs: int = 10, **more: Any
) -> Json:
    """The job of a trial that has run from the epoch after `before` up to `epochs`."""
    name = f"{experiment}-t{number}-r{rung}"
    status = {
        **objective(number, before=before, epochs=epochs),
        **times(number, before=before, epochs=epochs),
    }
    job = a_job(experiment, "train", name=name, **{**status, **more})
    job["metadata"]["labels"] |= {"trainyard.dev/trial": str(number), "trainyard.dev/rung": str(rung)}
    job["metadata"]["annotations"]["trainyard.dev/trial-parameters"] = json.dumps(point(number))
    return job


def objective(number: int, *, before: int = 0, epochs: int = 10) -> Json:
    """`status.objective` of a trial: its values rise, so that the best is the last."""
    found = [(epoch, accuracy(number, epoch)) for epoch in range(before + 1, epochs + 1)]
    epoch, value = max(found, key=lambda one: one[1])
    return {
        "objective": {
            "metric": "accuracy",
            "goal": "Maximize",
            "value": f"{value}",
            "epoch": epoch,
            "last": f"{found[-1][1]}",
            "lastEpoch": found[-1][0],
            "curve": {"epochs": [e for e, _ in found], "values": [f"{v}" for _, v in found]},
        }
    }


def times(number: int, *, before: int = 0, epochs: int = 10) -> Json:
    return {"startTime": stamp(60 * number + before), "completionTime": stamp(60 * number + 12 * epochs)}


def stamp(after: int) -> str:
    return (_BEGAN + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%SZ")


def entry(number: int, rung: int = 0, *, epochs: int = 10, state: str = "success") -> Json:
    """A line of the ledger."""
    value = {"value": f"{accuracy(number, epochs):.9g}"} if state in ("success", "stopped") else {}
    digest = SPACE.digest(random_point(SPACE, SEED, number))
    return {"number": number, "rung": rung, "digest": digest, "state": state, **value}


def told(number: int, rung: int = 0, *, experiment: str = "tune", epochs: int = 10) -> Json:
    """A trial as bestTrial and topTrials have it."""
    return {
        "number": number,
        "rung": rung,
        "job": f"{experiment}-t{number}-r{rung}",
        "state": "success",
        "value": f"{accuracy(number, epochs):.9g}",
        "epoch": epochs,
        "parameters": [{"name": name, "value": value} for name, value in point(number).items()],
    }


def a_random_search(
    count: int, *, name: str = "tune", failed: tuple[int, ...] = ()
) -> tuple[Json, list[Json]]:
    """An Experiment that has ended, and all of its jobs."""
    jobs = []
    for number in range(count):
        gone = {"phase": "Error", "reason": "TrainerFailed", "message": "Exit code 1.", "objective": None}
        jobs.append(a_trial(name, number, **(gone if number in failed else {})))
    ledger = [entry(number, state="failure" if number in failed else "success") for number in range(count)]
    best = sorted((n for n in range(count) if n not in failed), key=lambda n: -accuracy(n, 10))
    automl = {"algorithm": "random", "space": PARAMETERS, "maxRecommendations": count, "seed": SEED}
    status = {
        "automl": {
            **_counts(count, failed=len(failed)),
            "ledger": ledger,
            "bestTrial": told(best[0], experiment=name),
            "topTrials": [told(number, experiment=name) for number in best[:10]],
        },
    }
    return an_experiment(name, status=_ended(status, count), automl=automl), jobs


def a_hyperband(resource: int = 9, nu: int = 3, *, name: str = "rungs") -> tuple[Json, list[Json]]:
    """An Experiment that has ended, all of its rungs and jobs."""
    jobs, ledger, rungs, finals = [], [], [], []
    first = 0
    for bracket in brackets(resource, nu, "standard"):
        numbers = list(range(first, first + bracket.rungs[0].configurations))
        first, before = numbers[-1] + 1, 0
        for rung, of in enumerate(bracket.rungs):
            numbers = sorted(numbers, key=lambda n: -accuracy(n, before or 1))[: of.configurations]
            best = max(accuracy(number, of.units) for number in numbers)
            last = rung + 1 == len(bracket.rungs)
            rungs.append(
                {
                    "bracket": bracket.s,
                    "rung": rung,
                    "configurations": of.configurations,
                    "resource": of.units,
                    "epochs": of.units,
                    "finished": len(numbers),
                    "promoted": 0 if last else bracket.rungs[rung + 1].configurations,
                    "best": f"{best:.9g}",
                }
            )
            jobs += [a_trial(name, number, rung, before=before, epochs=of.units) for number in numbers]
            ledger += [entry(number, rung, epochs=of.units) for number in numbers]
            if last:
                finals += [(accuracy(number, of.units), number, rung) for number in numbers]
            before = of.units
    finals.sort(key=lambda one: -one[0])
    top = [told(number, rung, experiment=name, epochs=resource) for _, number, rung in finals[:10]]
    automl = {"algorithm": "hyperband", "space": PARAMETERS, "maxResource": resource, "nu": nu, "seed": SEED}
    automl["epochsParameter"] = "epochs"
    found = {
        **_counts(first),
        "ledger": ledger,
        "rungs": rungs,
        "bestTrial": top[0],
        "topTrials": top,
    }
    return an_experiment(name, status=_ended({"automl": found}, first), automl=automl), jobs


def _counts(count: int, *, failed: int = 0) -> Json:
    return {
        "digest": SEARCH,
        "seed": SEED,
        "metric": "accuracy",
        "goal": "Maximize",
        "trials": {"total": count, "succeeded": count - failed, "failed": failed},
        "completionTime": stamp(60 * count + 200),
    }


def _ended(status: Json, count: int) -> Json:
    best = status["automl"]["bestTrial"]
    return {
        "phase": "Done",
        "reason": "Completed",
        "message": f"Of {count} trials {best['number']} is the best.",
        "startTime": stamp(0),
        "completionTime": stamp(60 * count + 200),
        "progress": {"done": 1, "total": 1, "summary": f"{count}/{count}"},
        "keyMetric": {"name": "accuracy", "value": best["value"], "display": f"accuracy {best['value'][:6]}"},
        "steps": [
            {
                "name": "train",
                "action": "train",
                "job": best["job"],
                "digest": SEARCH,
                "phase": "Done",
                "reason": "Completed",
                "metric": f"accuracy {best['value'][:6]}",
                "startTime": stamp(0),
                "completionTime": stamp(60 * count + 200),
            }
        ],
        **status,
    }


def put(jobs: Jobs, experiment: Json, children: list[Json]) -> None:
    """Creates them, and writes their statuses as the operator would."""
    name = experiment["metadata"]["name"]
    made = jobs.client.post(jobs.path("experiments"), manifest("Experiment", name, experiment["spec"]))
    if experiment["status"]:
        write_status(jobs, "experiments", made, experiment["status"])
    for child in children:
        body = manifest("TrainingJob", child["metadata"]["name"], child["spec"])
        body["metadata"] |= {key: child["metadata"][key] for key in ("labels", "annotations")}
        write_status(jobs, "trainingjobs", jobs.client.post(jobs.path("trainingjobs"), body), child["status"])


def write_status(jobs: Jobs, plural: str, made: Json, status: Json) -> None:
    told = {"observedGeneration": made["metadata"]["generation"], "message": "It is so.", **status}
    jobs.client.patch(jobs.path(plural, made["metadata"]["name"]) + "/status", {"status": told})
