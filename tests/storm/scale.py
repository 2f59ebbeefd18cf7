"""How large a storm is and where its result goes: STORM_JOBS, STORM_SEED, STORM_ONLY and STORM_RESULT.

Separate because `make test` and `make soak` run the same tests, and a job of a storm that found something is run alone
with the same words. Called by the storm tests; `python -m tests.storm.scale FILE RESULT...` writes docs/soak.md.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.storm.engine import Outcome
from tests.storm.script import Script, draw

_SECONDS_A_JOB = 1.2
_SHORTEST, _LONGEST = 40.0, 240.0
#: Seconds, and a share of the storm: many jobs shall still run when they are told something.
_SHORTEST_RUN, _LONGEST_RUN = 4.0, 0.4
_SECONDS_A_KILL = 10
_SECONDS_A_DRAIN = 12
_HEAD = """\
# The storm

`make soak` draws a storm from a seed, lets it rage over jobs on fake nodes (some of several pods, some with the agent
beside the trainer) and over jobs with real pods, and then looks at what became of them: every job must be in the state
that its last instruction asks for, with no pod or finalizer left over, no attempt made twice, no trainers of two
attempts at the same time, every event told once, in order and under an id of its own. `make test` runs the same with
fewer jobs. The record is a watch of its own, not the operator's word.

A storm is run again by `STORM_SEED`, one job of it by `STORM_ONLY=job-007` beside it:

    STORM_JOBS=180 STORM_SEED=1 STORM_ONLY=job-007 .venv/bin/python -m pytest tests/integration/test_storm.py

The last run, each column by the command of its own in that target:

"""


def drawn(*, jobs: int, nodes: int, kills: int | None = None) -> Script:
    """The storm that the environment asks for, of `jobs` jobs if it does not say how many."""
    jobs = int(os.environ.get("STORM_JOBS") or jobs)
    seed = int(os.environ.get("STORM_SEED") or 5)
    seconds = min(max(jobs * _SECONDS_A_JOB, _SHORTEST), _LONGEST)
    script = draw(
        seed,
        jobs=jobs,
        seconds=seconds,
        nodes=nodes,
        kills=kills or int(seconds / _SECONDS_A_KILL),
        drains=int(seconds / _SECONDS_A_DRAIN),
        run_seconds=(_SHORTEST_RUN, seconds * _LONGEST_RUN),
    )
    only = os.environ.get("STORM_ONLY")
    return script.only(only) if only else script


def report(where: str, outcome: Outcome) -> None:
    """Prints what came of it, and keeps it where STORM_RESULT says."""
    result = row(where, outcome)
    print("\n".join(f"{name}: {value}" for name, value in result.items()))
    if folder := os.environ.get("STORM_RESULT"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"storm-{where.replace(' ', '-')}.json").write_text(json.dumps(result))


def row(where: str, outcome: Outcome) -> dict[str, Any]:
    """One column of the table: what was done, what came of it, what was wrong."""
    script, done = outcome.script, outcome.done
    return {
        "where": where,
        "day": datetime.now(UTC).date().isoformat(),
        "seed": script.seed,
        "jobs": len(script.jobs),
        "seconds of storm": round(script.seconds),
        "suspend / resume": f"{done.get('suspend', 0)} / {done.get('resume', 0)}",
        "cancel / taken back": f"{done.get('cancel', 0)} / {done.get('uncancel', 0)}",
        "pods deleted / by force / evicted": " / ".join(
            str(done.get(verb, 0)) for verb in ("delete", "delete-now", "evict")
        ),
        "drains of a node": done.get("drain", 0),
        "SIGKILLs of the operator": done.get("kill", 0),
        "pods that there were": outcome.pods,
        "ended Done / Error / Canceled / Paused": " / ".join(
            str(outcome.states.get(state, 0)) for state in ("Done", "Error", "Canceled", "Paused")
        ),
        "events told": ", ".join(f"{count} {event}" for event, count in sorted(outcome.told.items())),
        "requests accepted": outcome.deliveries,
        "seconds until calm": round(outcome.calm_seconds),
        "faults": len(outcome.faults),
    }


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: a line for each fact, a column for each storm."""
    names = list(results[0])
    lines = [[name, *(str(result.get(name, "")) for result in results)] for name in names]
    lines.insert(1, ["---"] * (len(results) + 1))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main(target: str, *sources: str) -> None:
    results = [json.loads(Path(source).read_text()) for source in sources]
    Path(target).write_text(_HEAD + table(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
