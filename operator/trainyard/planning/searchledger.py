"""The ledger of a search: the runs that have ended, which count whatever becomes of their jobs.

Separate because it is what a search is remembered by: `planning.trials` asks it for all runs that there are, and hands
these to `trainyard.search`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from trainyard.planning import steps
from trainyard.planning.experimentobserved import ChildView
from trainyard.planning.searchsetup import Search
from trainyard.search.decisions import is_final
from trainyard.search.runs import Run

Json = Mapping[str, Any]
Children = Mapping[tuple[int, int], ChildView]

#: Of a run that has ended and is to be tried again.
PENDING = "pending"
#: Why those were stopped that ran when too many others had failed.
MAX_FAILED = "maxFailed"


def written(search: Search, told: Json, children: Children, *, asked: str) -> list[Json]:
    """Every run that has ended, those first that were known, and those that are to be tried again; `asked` is the
    request for a retry that jobs are given.
    """
    ledger: list[Json] = [
        entry
        for entry in told.get("ledger") or ()
        if entry["state"] == "success" or _stays(search, entry, children.get(_run(entry)), asked)
    ]
    known = set(map(_run, ledger))
    ended = sorted(run for run in children.keys() - known if children[run].over)
    return ledger + [_ended(search, *run, children[run]) for run in ended]


def _stays(search: Search, entry: Json, child: ChildView | None, asked: str) -> bool:
    """Whether what is known of a run that was no success still is so. NB: a job may go on after all (somebody has taken
    its cancel back, or asked for a retry), and may have ended once more meanwhile.
    """
    if child is None:
        return True
    if not child.over:
        return False
    if child.succeeded:
        # NB: one that came to its end without a value has failed, and may wait to be made anew.
        return bool(_ended(search, *_run(entry), child)["state"] != "success")
    return not (entry["state"] == PENDING and _has_been_asked(child, asked))


def _has_been_asked(child: ChildView, asked: str) -> bool:
    return bool(asked) and child.retry_requested_at == asked and child.stopped != MAX_FAILED


def to_retry(ledger: Sequence[Json], children: Children, asked: str) -> set[tuple[int, int]]:
    """The runs that a retry of the Experiment is for: those that have failed or were cancelled."""
    wanted = {_run(entry) for entry in ledger if entry["state"] in ("failure", "canceled")}
    return {run for run in wanted if run not in children or not _has_been_asked(children[run], asked)}


def stopped_for_others(ledger: Sequence[Json], children: Children) -> set[tuple[int, int]]:
    """The runs that were stopped as too many others had failed; of one whose job is gone its entry tells no value."""
    stopped = [entry for entry in ledger if entry["state"] == "stopped"]
    return {
        _run(entry)
        for entry in stopped
        if (
            children[_run(entry)].stopped == MAX_FAILED if _run(entry) in children else not entry.get("value")
        )
    }


def with_pending(ledger: Sequence[Json], runs: Collection[tuple[int, int]]) -> list[Json]:
    """The ledger where these runs are to be tried again, when there is a place for them."""
    return [
        {**{key: entry[key] for key in entry if key != "value"}, "state": PENDING}
        if _run(entry) in runs
        else entry
        for entry in ledger
    ]


def over(ledger: Sequence[Json]) -> list[Json]:
    """The ledger of a search that has ended. A run that was to be tried again and was overtaken by others does not go
    on: it is one that was stopped.
    """
    return [{**entry, "state": "stopped"} if entry["state"] == PENDING else entry for entry in ledger]


def _run(entry: Json) -> tuple[int, int]:
    return entry["number"], entry.get("rung", 0)


def _ended(search: Search, number: int, rung: int, child: ChildView) -> Json:
    """How a run has ended. NB: its value goes through the ledger's words, so that it is the same after a restart."""
    final = is_final(search.rules, number, rung)
    value = child.value if final else child.last
    # NB: where the last value counts, one of an epoch long before is that of a training that has gone to NaN since.
    told = (
        value is not None
        and math.isfinite(value)
        and child.metric == search.goal.metric
        and (final or not child.fell_silent)
    )
    if child.succeeded:
        state = "success" if told else "failure"
    elif child.canceled:
        state = "stopped" if child.stopped else "canceled"
    else:
        state = "failure"
    counts = told and (state == "success" or (state == "stopped" and child.stopped != MAX_FAILED))
    point = search.point_of(number, child)
    entry = {
        "number": number,
        "rung": rung or None,  # of a thousand trials each word counts
        "digest": search.space.digest(point) if point is not None else "",
        "value": f"{value:.9g}" if counts else None,
        "state": state,
    }
    return steps.clean(entry)


def ended_runs(ledger: Sequence[Json], children: Children) -> Iterator[Run]:
    """The runs that have ended, and are not to be tried again."""
    for entry in ledger:
        if entry["state"] == PENDING:
            continue
        number, rung = _run(entry)
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
    known = set(map(_run, ledger))
    for (number, rung), child in children.items():
        if (number, rung) not in known:
            yield Run(number=number, rung=rung, state="running", value=child.value, curve=child.curve)
