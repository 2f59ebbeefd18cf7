"""`python -m tests.bench [SCENARIO ...]`: measures, says on stderr how far it is, and prints a table.

Separate because scenarios are functions that others call too. Without names all scenarios run at the sizes of
docs/performance.md, which takes about three hours; `--jobs`, `--rounds` and `--minutes` make them smaller.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from tests.bench import contenders, report
from tests.bench.rounds import say
from tests.bench.scenarios import burst, day, logs, memory, requests, restart, steady
from tests.harness import cache
from tests.harness.errors import HarnessError

BURSTS = {500: 8, 1000: 8, 10_000: 2}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the scenarios that were asked for; what there is so far is written after each of them."""
    asked = _parse(argv)
    results: dict[str, Any] = {"machine": machine()}
    for name in asked.scenarios or SCENARIOS:
        say(f"== {name}")
        try:
            results[name] = SCENARIOS[name](asked)
        except HarnessError as error:
            say(f"{name} failed: {error}")
            results[name] = {"failed": str(error).splitlines()[0]}
        if asked.out:
            asked.out.parent.mkdir(parents=True, exist_ok=True)
            cache.write_atomically(asked.out, orjson.dumps(results, option=orjson.OPT_INDENT_2))
    print(report.text(results))
    if any("failed" in one for one in results.values()):
        sys.exit(1)


def machine() -> dict[str, Any]:
    """What the figures are figures of."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "memoryGiB": round(pages * size / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "loadAverageBefore": os.getloadavg()[0],
    }


def _bursts(asked: argparse.Namespace) -> dict[str, Any]:
    sizes = {jobs: BURSTS.get(jobs, 8) for jobs in asked.jobs} if asked.jobs else BURSTS
    compared = [*contenders.OWN, *asked.contender]
    return {
        str(jobs): burst.run(jobs=jobs, times=asked.rounds or times, contenders=compared)
        for jobs, times in sizes.items()
    }


def _steady(asked: argparse.Namespace) -> dict[str, Any]:
    compared = [contenders.BARE, contenders.TRAINYARD, *asked.contender]
    return steady.run(jobs=_jobs(asked, 120), times=asked.rounds or 4, contenders=compared)


def _requests(asked: argparse.Namespace) -> dict[str, Any]:
    compared = [contenders.TRAINYARD, *asked.contender]
    jobs = _jobs(asked, 500)
    return requests.run(jobs=jobs, steady=min(30, jobs), contenders=compared)


def _logs(asked: argparse.Namespace) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        return logs.run(folder=Path(folder), burst=_jobs(asked, 500))


def _jobs(asked: argparse.Namespace, usual: int) -> int:
    return int(asked.jobs[0]) if asked.jobs else usual


SCENARIOS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "burst": _bursts,
    "steady": _steady,
    "requests": _requests,
    "day": lambda asked: day.run(minutes=asked.minutes),
    "memory": lambda asked: memory.run(jobs=_jobs(asked, 10_000)),
    "restart": lambda asked: restart.run(jobs=_jobs(asked, 10_000)),
    "logs": _logs,
}


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument(
        "--jobs", type=int, action="append", help="instead of the usual number; bursts take several"
    )
    parser.add_argument("--rounds", type=int, help="how often each contender has its turn")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the long day")
    parser.add_argument(
        "--contender", type=Path, action="append", default=[], help="a file that describes an operator"
    )
    parser.add_argument("--out", type=Path, help="a JSON file for all that was measured")
    asked = parser.parse_args(argv)
    if unknown := set(asked.scenarios) - set(SCENARIOS):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    asked.contender = [contenders.from_file(file) for file in asked.contender]
    return asked


if __name__ == "__main__":
    try:
        main()
    except HarnessError as error:
        sys.exit(str(error))
