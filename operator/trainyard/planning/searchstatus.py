"""`status.automl`: counts, the best trials, rungs and the ledger, as people and tools read them.

Separate because planning decides and this writes down. Called by `planning.trials`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from trainyard.api import names
from trainyard.api.reasons import Phase
from trainyard.planning import searchkept, steps
from trainyard.planning.experimentobserved import ChildView
from trainyard.planning.searchsetup import Search
from trainyard.planning.times import stamp
from trainyard.search.decisions import Decision, RungState, bracket_of, is_final
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
    alive = {run: child for run, child in children.items() if not child.over}
    going = {number for number, _ in alive}
    # NB: one that is paused, or that no node takes yet, has begun and does not run.
    runs = [run for run, child in alive.items() if child.phase == Phase.RUNNING]
    running = {number for number, _ in runs}
    last: dict[int, tuple[int, str]] = {}
    for entry in ledger:
        number, rung = entry["number"], entry.get("rung", 0)
        if entry["state"] not in _COUNTED:
            continue  # it is to be tried again
        if number not in last or rung >= last[number][0]:
            last[number] = (rung, entry["state"])
    counts = dict.fromkeys(("succeeded", "failed", "stopped", "canceled"), 0)
    for number, (_, state) in last.items():
        if number not in going:
            counts[_COUNTED[state]] += 1
    known = going | last.keys()
    # NB: numbers that are known may be beyond what the search has by now, while some below have still to run.
    wanted = known | set(range(search.rules.trials)) if decision.total == search.rules.trials else known
    total = max(decision.total, len(wanted))
    ended = (decision.ended or bool(decision.failed)) and not going
    return steps.clean(
        {
            "digest": search.digest,
            "seed": search.seed,
            "metric": search.goal.metric,
            "goal": "Minimize" if search.goal.minimize else "Maximize",
            **searchkept.as_status(search.searched, spec_digest=search.spec_digest),
            "trials": {
                "total": total,
                "pending": total - len(known) + len(going - running),
                "running": len(running),
                **counts,
            },
            "bestTrial": _trial(experiment, search, decision.best, told, children) if decision.best else None,
            "topTrials": [_trial(experiment, search, run, told, children) for run in decision.top] or None,
            "rungs": _rungs(search, decision, runs) or None,
            "ledger": list(ledger) or None,
            "completionTime": told.get("completionTime") or stamp(now) if ended else None,
            "keptTrials": _kept(told, decision, ended=ended) or None,
            "retention": told.get("retention"),
        }
    )


def _kept(told: Json, decision: Decision, *, ended: bool) -> list[int]:
    """Trials that were handed on as the best: it is when the search has ended, and another may be the best later."""
    kept = {int(number) for number in told.get("keptTrials") or ()}
    if ended and not decision.failed and decision.best is not None:
        kept.add(decision.best.number)
    return sorted(kept)


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
            "epoch": _epoch(search, run, child) if child is not None else former.get("epoch"),
            "parameters": [{"name": name, "value": value[:_TEXT_LIMIT]} for name, value in given.items()]
            or former.get("parameters"),
        }
    )


def _epoch(search: Search, run: Run, child: ChildView) -> float | None:
    """The epoch that the value of a run is of."""
    return child.epoch if is_final(search.rules, run.number, run.rung) else child.last_epoch


def known_trial(told: Json, number: int, rung: int) -> Json:
    """What `status.automl` has told of one of the best trials; empty for another."""
    trials = (told.get("bestTrial"), *(told.get("topTrials") or ()))
    return next((t for t in trials if t and (t["number"], t.get("rung", 0)) == (number, rung)), {})


def told_point(search: Search, told: Json, number: int) -> tuple[str, ...] | None:
    """The point of one of the best trials, as `status.automl` has it; None for another, or where a value was cut."""
    trials = (told.get("bestTrial"), *(told.get("topTrials") or ()))
    given = next((t.get("parameters") or () for t in trials if t and t["number"] == number), ())
    values = {one["name"]: one["value"] for one in given if len(one["value"]) < _TEXT_LIMIT}
    point = tuple(values.get(dimension.name, "") for dimension in search.space.dimensions)
    return point if all(point) else None


def _rungs(search: Search, decision: Decision, running: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    if not decision.rungs:
        return []
    on = Counter((bracket_of(search.rules, number), rung) for number, rung in running)
    return [_rung(rung, running=on[rung.bracket, rung.rung]) for rung in decision.rungs]


def _rung(rung: RungState, *, running: int) -> dict[str, Any]:
    return steps.clean(
        {
            "bracket": rung.bracket,
            "rung": rung.rung,
            "configurations": rung.configurations,
            "resource": rung.units,
            "epochs": rung.epochs,
            "running": running,
            "finished": rung.finished,
            "promoted": rung.promoted,
            "best": f"{rung.best:.9g}" if rung.best is not None else None,
        }
    )


def key_metric(name: str, value: float) -> dict[str, Any]:
    """`status.keyMetric` of a value of the objective."""
    return {"name": name, "value": f"{value:.9g}", "display": f"{name} {value:.4g}"[:170]}
