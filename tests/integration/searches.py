"""Searches on fake nodes: how tests begin one, and what they look at.

Separate because the tests of what a search runs and those of what stops it tell their stories in its words. A fake
trial's accuracy is its parameter `x`; its parameter `ends` may be crash, nan or silent.
"""

from __future__ import annotations

from typing import Any

from tests.harness.client import Json
from tests.integration.experiments import Experiments, step
from tests.objects import found

X: Json = {"name": "x", "type": "float", "min": "0", "max": "1"}
OBJECTIVE: Json = {"metric": "accuracy", "goal": "Maximize"}
ENDS: Json = {"name": "ends", "type": "categorical", "values": ["good", "crash", "nan", "silent"]}
SETTLED_SECONDS = 4.0


def choice(*values: str) -> Json:
    """The parameter x as one of these, in this order."""
    return {"name": "x", "type": "categorical", "values": list(values)}


def search(
    experiments: Experiments, name: str, *, run_for: str | None = "200ms", after: bool = False, **automl: Any
) -> None:
    """POST an Experiment whose step `train` is tuned; `automl` in camelCase. With `after` a step follows."""
    objective = {**OBJECTIVE, **automl.pop("objective", {})}
    settings = {"algorithm": "random", "space": [X], "epochsParameter": "epochs", "seed": 7, **automl}
    actions = [step("train"), *([step("evaluate", "train")] if after else [])]
    experiments.begin(
        name,
        run_for=run_for,
        fake={"accuracy-of": "x"},
        objective=objective,
        automl=settings,
        actions=actions,
    )


def trials(experiments: Experiments, name: str) -> dict[str, Json]:
    return {n: job for n, job in experiments.children(name).items() if is_trial(job)}


def is_trial(job: Json) -> bool:
    return "trainyard.dev/trial" in job["metadata"]["labels"]


def running(experiments: Experiments, name: str, count: int, *, timeout: float = 40) -> dict[str, Json]:
    """The trials, once so many run."""

    def there() -> dict[str, Json] | None:
        now = trials(experiments, name)
        up = [job for job in now.values() if job["status"].get("reason") == "Training"]
        return now if len(up) == count else None

    return dict(found(there, what=f"{count} running trials", timeout=timeout))


def ledger(status: Json) -> dict[tuple[int, int], tuple[str, str | None]]:
    """State and value of each ended run, by number and rung."""
    entries = status["automl"].get("ledger") or []
    found = {(e["number"], e.get("rung", 0)): (e["state"], e.get("value")) for e in entries}
    assert len(found) == len(entries), "an entry for each run"
    return found
