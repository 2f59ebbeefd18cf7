"""One run of an Experiment, as the ledger of its search and its TrainingJob tell of it.

Separate from `experimenthistory`, which knows which runs there are, because this is what one of them means.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainyard.api import names
from trainyard.api.reasons import FINAL, Phase
from trainyard.cli.reading import phase
from trainyard.planning.times import seconds

Json = dict[str, Any]
Parameters = Mapping[str, str]

#: A run that has ended with a value that counts.
SUCCESS = "success"
#: States of runs that have not ended.
OPEN = ("pending", "started", "running")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: of a trial on one rung, of a step that is not tuned (`number` is None), or of a job that joined."""

    step: str
    number: int | None
    rung: int
    bracket: int | None
    epochs: int | None
    """Epochs that its rung is given, as far as the search has rungs."""
    job: str
    present: bool
    """Whether its TrainingJob is there still."""
    state: str
    value: float | None
    epoch: float | None
    """The epoch that the value is of, where it is known."""
    parameters: Parameters
    start: str | None
    end: str | None
    curve: tuple[tuple[float, float], ...]
    message: str
    key: str
    """What tells it from every other run of any Experiment, whether its job is there or not."""

    @property
    def took(self) -> float | None:
        """Seconds from its start to its end."""
        began, over = seconds(self.start), seconds(self.end)
        return None if began is None or over is None else over - began


def number_of(text: Any) -> float | None:
    """Of a decimal string; None for what is none, or not finite."""
    try:
        found = float(text)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What is needed to read any run of one Experiment."""

    experiment: str
    uid: str
    search: str
    tuned: str
    firsts: tuple[tuple[int, int], ...]
    epochs: Mapping[tuple[int, int], int]

    def bracket(self, number: int) -> int | None:
        """Numbering goes on from each bracket to the next, in the order of status."""
        found = None
        for bracket, first in self.firsts:
            if number < first:
                break
            found = bracket
        return found

    def trial(self, number: int, rung: int, entry: Json | None, job: Json | None) -> Run:
        """Of its line in the ledger, of its job, or of both."""
        found = objective_of(job)
        state = str((entry or {}).get("state") or _state(job, found))
        value = number_of(entry.get("value")) if entry is not None else number_of(found.get("value"))
        bracket = self.bracket(number)
        name = names.trial_job_name(experiment=self.experiment, number=number, rung=rung)
        return run_of(
            job,
            step=self.tuned,
            number=number,
            rung=rung,
            bracket=bracket,
            epochs=None if bracket is None else self.epochs.get((bracket, rung)),
            job=name if job is None else str(job["metadata"]["name"]),
            state=state,
            value=value,
            epoch=_epoch(value, found),
            key=f"{self.uid}/{self.search}/t{number}/r{rung}",
        )

    def other(self, job: Json) -> Run:
        found, step = objective_of(job), label(job, names.LABEL_STEP)
        value = number_of(found.get("value"))
        what = annotation(job, names.STEP_DIGEST) if step else str(job["metadata"].get("uid") or "")
        return run_of(
            job,
            step=step,
            number=None,
            rung=0,
            bracket=None,
            epochs=None,
            job=str(job["metadata"]["name"]),
            # NB: a step need not report the metric that decides; an export is done without one.
            state=_state(job, found, needs_value=False),
            value=value,
            epoch=_epoch(value, found),
            key=f"{self.uid}/{step or 'job'}/{what}",
        )


def run_of(raw: Json | None, **known: Any) -> Run:
    """With what only a job knows: times, curve, parameters, and why it failed."""
    status = (raw or {}).get("status") or {}
    told = status.get("message") if phase(raw or {}) == Phase.ERROR else ""
    return Run(
        **known,
        present=raw is not None,
        parameters=_parameters(raw),
        start=status.get("startTime"),
        end=status.get("completionTime"),
        curve=_curve(status),
        message=str(told or ""),
    )


STATES = {
    Phase.PENDING.value: "pending",
    Phase.RUNNING.value: "running",
    Phase.DONE.value: SUCCESS,
    Phase.ERROR.value: "failure",
    Phase.CANCELED.value: "canceled",
}


def _state(job: Json | None, found: Json, *, needs_value: bool = True) -> str:
    """Of a job that the ledger does not know."""
    if job is None:
        return "pending"
    if phase(job) in FINAL and annotation(job, names.STOPPED):
        return "stopped"
    state = STATES.get(phase(job), "pending")
    return "failure" if needs_value and state == SUCCESS and number_of(found.get("value")) is None else state


def objective_of(job: Json | None) -> Json:
    return dict(((job or {}).get("status") or {}).get("objective") or {})


def _curve(status: Json) -> tuple[tuple[float, float], ...]:
    found = (status.get("objective") or {}).get("curve") or {}
    pairs = zip(found.get("epochs") or [], found.get("values") or [], strict=False)
    numbers = [(number_of(epoch), number_of(value)) for epoch, value in pairs]
    return tuple((epoch, value) for epoch, value in numbers if epoch is not None and value is not None)


def _epoch(value: float | None, found: Json) -> float | None:
    """The epoch of a value: that of the best, or of the last, whichever it is."""
    if value is None:
        return None
    for of_value, of_epoch in (("value", "epoch"), ("last", "lastEpoch")):
        if number_of(found.get(of_value)) == value and of_epoch in found:
            return number_of(found[of_epoch])
    return None


def _parameters(job: Json | None) -> Parameters:
    try:
        found = json.loads(annotation(job or {}, names.TRIAL_PARAMETERS) or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {_utf8(str(name)): _utf8(str(value)) for name, value in found.items()}


def _utf8(text: str) -> str:
    """NB: JSON may escape half of a pair of surrogates, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def label(job: Json, name: str) -> str:
    return str((job["metadata"].get("labels") or {}).get(name) or "")


def annotation(job: Json, name: str) -> str:
    return str(((job.get("metadata") or {}).get("annotations") or {}).get(name) or "")
