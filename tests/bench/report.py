"""Tables for what the bench has measured: printed at its end, and put into docs/performance.md.

Separate because the JSON outlives the run: `python -m tests.bench.report FILE.json [DOCUMENT.md]` renders it again, and
replaces what stands between the document's two markers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from tests.bench import figures

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"

SCENARIOS = ("burst", "steady", "requests", "day", "memory", "restart", "logs")
#: What a table of contenders shows: a title, a number's whole name, and its format.
ROUNDS = (
    ("jobs/s", "jobsPerSecond", "{:.1f}"),
    ("jobs/s to quiet", "jobsPerSecondToQuiet", "{:.1f}"),
    ("apply to pod p50, ms", "applyToPod.p50Ms", "{:.1f}"),
    ("apply to pod p99, ms", "applyToPod.p99Ms", "{:.1f}"),
    ("pod ended to Done p50, ms", "podEndedToDone.p50Ms", "{:.1f}"),
    ("pod ended to Done p99, ms", "podEndedToDone.p99Ms", "{:.1f}"),
    ("pod ended to callback p50, ms", "podEndedToCallback.p50Ms", "{:.1f}"),
    ("pod ended to callback p99, ms", "podEndedToCallback.p99Ms", "{:.1f}"),
    ("operator's CPU a job, ms", "cpuMsPerJob.operator", "{:.2f}"),
    ("API server's CPU a job, ms", "cpuMsPerJob.kube-apiserver", "{:.2f}"),
    ("etcd's CPU a job, ms", "cpuMsPerJob.etcd", "{:.2f}"),
    ("controller manager's CPU a job, ms", "cpuMsPerJob.kube-controller-manager", "{:.2f}"),
    ("observer's CPU a job, ms", "cpuMsPerJob.observer", "{:.2f}"),
    ("loader's CPU a job, ms", "cpuMsPerJob.loader", "{:.2f}"),
    ("operator's memory idle, MiB", "memoryMiB.first", "{:.0f}"),
    ("operator's memory at most, MiB", "memoryMiB.highest", "{:.0f}"),
    ("requests turned away", "turnedAway", "{:.0f}"),
    ("share of the machine used by others", "othersShare", "{:.1%}"),
)
_RATIO_TITLES = {key: title.split(",")[0] for title, key, _ in ROUNDS}


def text(results: Mapping[str, Any]) -> str:
    """All of it as Markdown."""
    parts = [_machine(results["machine"])]
    measured = {name: one for name, one in results.items() if "failed" not in one}
    for jobs, result in measured.get("burst", {}).items():
        parts += [f"### A burst of {jobs} jobs", *_rounds(result)]
    if "steady" in measured:
        rate = results["steady"]["jobsPerSecondAsked"]
        parts += [f"### {rate:g} job a second", *_rounds(results["steady"])]
    if "requests" in measured:
        parts += ["### Requests a job", _requests(results["requests"])]
    if "day" in measured:
        parts += ["### A long day", *_day(results["day"])]
    for name, title in (("memory", "Memory"), ("restart", "A restart"), ("logs", "Followed logs")):
        if name in measured:
            parts += [f"### {title}", _plain(results[name])]
    failed = [f"{name} ({one['failed']})" for name, one in results.items() if "failed" in one]
    if missing := [name for name in SCENARIOS if name not in results] + failed:
        parts.append(f"Not measured in this run: {', '.join(missing)}.")
    return "\n\n".join(parts) + "\n"


def into(document: str, tables: str) -> str:
    """The document with these tables between its markers. Raises ValueError where it has none."""
    before, _, rest = document.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the document has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables.strip()}\n\n{END}{after}"


def _machine(machine: Mapping[str, Any]) -> str:
    return (
        f"Measured on {machine['date']} on a machine with {machine['cores']} cores and {machine['memoryGiB']} GiB of "
        f"memory, Linux {machine['kernel']}, Python {machine['python']}."
    )


def _rounds(result: Mapping[str, Any]) -> list[str]:
    """Medians over the rounds with their ranges, then the ratios with the intervals of their medians."""
    summaries = result["summaries"]
    names = list(summaries)
    rows = [
        [title, *(_spread(summaries[name].get(key), form) for name in names)]
        for title, key, form in ROUNDS
        if any(key in summaries[name] for name in names)
    ]
    ratios = [
        [pair.replace("/", " / "), _RATIO_TITLES[key], *_ratio(one)]
        for pair, numbers in result["ratios"].items()
        for key, one in numbers.items()
    ]
    heading = f"Medians of {result['rounds']} rounds, with their range."
    return [
        heading,
        table(["", *names], rows),
        table(["ratio", "of", "median", "interval (95 %)", "range"], ratios),
    ]


def _spread(one: Mapping[str, float] | None, form: str) -> str:
    if one is None:
        return "-"
    low, high = form.format(one["lowest"]), form.format(one["highest"])
    return f"{form.format(one['median'])} ({low} to {high})"


def _ratio(one: Mapping[str, float]) -> list[str]:
    numbers = [f"{one[key]:.2f}" for key in ("median", "low", "high", "lowest", "highest")]
    # NB: fewer rounds give no such interval.
    interval = f"{numbers[1]} to {numbers[2]}" if one["count"] >= 6 else "-"
    return [numbers[0], interval, f"{numbers[3]} to {numbers[4]}"]


def _requests(result: Mapping[str, Any]) -> str:
    rows = [
        [name, load, request, f"{count:.2f}"]
        for name, loads in result.items()
        for load, measured in loads.items()
        for request, count in measured["requestsPerJob"].items()
    ]
    return table(["operator", "load", "request", "a job"], rows)


def _day(result: Mapping[str, Any]) -> list[str]:
    minutes: Sequence[Mapping[str, float]] = result["byMinute"]
    names = list(minutes[0])
    rows = [
        [str(at + 1), *(_number(one.get(name), ".1f") for name in names)] for at, one in enumerate(minutes)
    ]
    slopes = result["growthPerMinute"]
    rows.append(["growth a minute", *(_number(slopes.get(name), "+.2f") for name in names)])
    return [table(["minute", *names], rows)]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _plain(result: Any) -> str:
    """Whatever a scenario gives, one number a row; one column for each of several results."""
    columns = result if isinstance(result, list) else [result]
    numbers = [figures.flat(one) for one in columns]
    names = list(dict.fromkeys(name for one in numbers for name in one))
    rows = [[name, *(f"{one[name]:.4g}" if name in one else "-" for one in numbers)] for name in names]
    return table(["", *(["value"] if len(columns) == 1 else [str(n + 1) for n in range(len(columns))])], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns are as wide as what is in them."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    marked = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in marked
    )


def main(argv: Sequence[str]) -> None:
    """Prints the tables, or puts them into the document."""
    tables = text(orjson.loads(Path(argv[0]).read_bytes()))
    if len(argv) < 2:
        print(tables)
        return
    document = Path(argv[1])
    document.write_text(into(document.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
