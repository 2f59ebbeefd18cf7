"""`status.automl`: counts, the best trials, rungs and the ledger, as people and tools read them.

Separate because planning decides and this writes down. Called by `planning.trials`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainyard.api import names
from trainyard.planning import steps
from trainyard.planning.experimentobserved import ChildView
from trainyard.planning.searchsetup import Search
from trainyard.planning.times import stamp
from trainyard.search.decisions import Decision
from trainyard.search.runs import Run

Json = Mapping[str, Any]

_TEXT_LIMIT = 256
_COUNTED = {"success": "succeeded", "failure": "failed", "stopped": "stopped", "canceled": "canceled"}


def automl(
    experiment: str,
    search: Search,
    told: Json,
    ledger: Sequence[Json],
    children: Mapping[tuple[int, int], ChildView],
    decision: Decision,
    *,
    now: float,
) -> dict[str, Any]:
    """`told` is `status.automl` as it was."""
    running = {number for (number, _), child in children.items() if not child.over}
    last: dict[int, tuple[int, str]] = {}
    for entry in ledger:
        number, rung = entry["number"], entry.get("rung", 0)
        if number not in last or rung >= last[number][0]:
            last[number] = (rung, entry["state"])
    counts = dict.fromkeys(("succeeded", "failed", "stopped", "canceled"), 0)
    for number, (_, state) in last.items():
        if number not in running:
            counts[_COUNTED[state]] += 1
    begun = len(running | last.keys())
    ended = (decision.ended or bool(decision.failed)) and not running
    return steps.clean(
        {
            "digest": search.digest,
            "seed": search.seed,
            "metric": search.goal.metric,
            "goal": "Minimize" if search.goal.minimize else "Maximize",
            "trials": {
                "total": max(decision.total, begun),
                "pending": max(decision.total - begun, 0),
                "running": len(running),
                **counts,
            },
            "bestTrial": _trial(experiment, search, decision.best, told, children) if decision.best else None,
            "topTrials": [_trial(experiment, search, run, told, children) for run in decision.top] or None,
            "rungs": [_rung(rung) for rung in decision.rungs] or None,
            "ledger": list(ledger) or None,
            "completionTime": told.get("completionTime") or stamp(now) if ended else None,
            "retention": told.get("retention"),
        }
    )


def _trial(
    experiment: str,
    search: Search,
    run: Run,
    told: Json,
    children: Mapping[tuple[int, int], ChildView],
) -> dict[str, Any]:
    """NB: what only its job had is kept as it was told before, when the job is gone."""
    former = known_trial(told, run.number, run.rung)
    child = children.get((run.number, run.rung))
    point = search.point_of(run.number, child or children.get((run.number, 0)))
    given = search.space.as_mapping(point) if point is not None else {}
    return steps.clean(
        {
            "number": run.number,
            "rung": run.rung,
            "job": names.trial_job_name(experiment=experiment, number=run.number, rung=run.rung),
            "state": run.state,
            "value": f"{run.value:.9g}" if run.value is not None else None,
            "epoch": child.epoch if child is not None else former.get("epoch"),
            "parameters": [{"name": name, "value": value[:_TEXT_LIMIT]} for name, value in given.items()]
            or former.get("parameters"),
        }
    )


def known_trial(told: Json, number: int, rung: int) -> Json:
    """What `status.automl` has told of one of the best trials; empty for another."""
    trials = (told.get("bestTrial"), *(told.get("topTrials") or ()))
    return next((t for t in trials if t and (t["number"], t.get("rung", 0)) == (number, rung)), {})


def _rung(rung: Any) -> dict[str, Any]:
    return steps.clean(
        {
            "bracket": rung.bracket,
            "rung": rung.rung,
            "configurations": rung.configurations,
            "resource": rung.units,
            "epochs": rung.epochs,
            "running": rung.running,
            "finished": rung.finished,
            "promoted": rung.promoted,
            "best": f"{rung.best:.9g}" if rung.best is not None else None,
        }
    )


def key_metric(name: str, value: float) -> dict[str, Any]:
    """`status.keyMetric` of a value of the objective."""
    return {"name": name, "value": f"{value:.9g}", "display": f"{name} {value:.4g}"[:170]}
