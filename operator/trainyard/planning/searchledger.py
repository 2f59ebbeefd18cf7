"""The ledger of a search: the runs that have ended, which count whatever becomes of their jobs.

Separate because it is what a search is remembered by: `planning.trials` asks it for all runs that there are, and hands
these to `trainyard.search`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainyard.planning import steps
from trainyard.planning.experimentobserved import ChildView
from trainyard.planning.searchsetup import Search
from trainyard.search.decisions import is_final
from trainyard.search.runs import Run

Json = Mapping[str, Any]
Children = Mapping[tuple[int, int], ChildView]


def written(
    search: Search,
    told: Json,
    children: Children,
    *,
    retry: bool,
) -> list[Json]:
    """Every run that has ended, those first that were known."""
    ledger: list[Json] = list(told.get("ledger") or [])
    if retry:
        ledger = [entry for entry in ledger if entry["state"] not in ("failure", "canceled")]
    # NB: a job that goes on after all (somebody has taken its cancel back, or asked for a retry) has not ended. One
    # that was a success does not: it is made again for what it left.
    ledger = [
        entry
        for entry in ledger
        if entry["state"] == "success" or not _goes_on(children.get((entry["number"], entry.get("rung", 0))))
    ]
    known = {(entry["number"], entry.get("rung", 0)) for entry in ledger}
    for run in sorted(children.keys() - known):
        child = children[run]
        if child.over and not (retry and not child.succeeded and not child.stopped):
            ledger.append(_ended(search, *run, child))
    return ledger


def _goes_on(child: ChildView | None) -> bool:
    return child is not None and not child.over


def _ended(search: Search, number: int, rung: int, child: ChildView) -> Json:
    """How a run has ended. NB: its value goes through the ledger's words, so that it is the same after a restart."""
    value = child.value if is_final(search.rules, number, rung) else child.last
    of_goal = child.metric == search.goal.metric
    if child.succeeded:
        state = "success" if value is not None and of_goal else "failure"
    elif child.canceled:
        state = "stopped" if child.stopped else "canceled"
    else:
        state = "failure"
    counts = state in ("success", "stopped") and value is not None and of_goal
    point = search.point_of(number, child)
    entry = {
        "number": number,
        "rung": rung,
        "digest": search.space.digest(point) if point is not None else "",
        "value": f"{value:.9g}" if counts else None,
        "state": state,
    }
    return steps.clean(entry)


def ended_runs(ledger: Sequence[Json], children: Children) -> Iterator[Run]:
    """The runs that have ended."""
    for entry in ledger:
        number, rung = entry["number"], entry.get("rung", 0)
        child = children.get((number, rung))
        value = entry.get("value")
        yield Run(
            number=number,
            rung=rung,
            state=entry["state"],
            value=float(value) if value is not None else None,
            curve=child.curve if child is not None else (),
        )


def running(ledger: Sequence[Json], children: Children) -> Iterator[Run]:
    """The runs that go on, by their jobs."""
    known = {(entry["number"], entry.get("rung", 0)) for entry in ledger}
    for (number, rung), child in children.items():
        if (number, rung) not in known:
            yield Run(number=number, rung=rung, state="running", value=child.value, curve=child.curve)
