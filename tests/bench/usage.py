"""What processes use: CPU and memory by their pids, the machine's share that others took, and the API server's counts.

Separate because each scenario takes such a reading before and after, and reports the difference.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.harness.controlplane import ControlPlane
from tests.harness.errors import HarnessError

_QUIET_SHARE, _QUIET_SECONDS, _SAMPLE_SECONDS = 0.05, 3.0, 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE = re.compile(r"^(\w+)\{([^}]*)\} ([-+0-9.eE]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Seconds of CPU so far: of each process by its label, and of the whole machine."""

    at: float
    cpu: Mapping[str, float]
    machine: float

    @classmethod
    def now(cls, pids: Mapping[str, int]) -> Reading:
        return cls(
            at=time.monotonic(),
            cpu={label: cpu_seconds(pid) for label, pid in pids.items()},
            machine=machine_seconds(),
        )


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Seconds of CPU between two readings; `others` is the share of the machine (all cores) that none of ours used."""

    cpu: Mapping[str, float]
    others: float


def spent(before: Reading, after: Reading, *, ended: Mapping[str, float] | None = None) -> Spent:
    """`ended` are the CPU seconds of processes that came and went in between."""
    used = {label: after.cpu[label] - before.cpu.get(label, 0.0) for label in after.cpu} | dict(ended or {})
    seconds = after.at - before.at
    foreign = after.machine - before.machine - sum(used.values())
    return Spent(cpu=used, others=max(0.0, foreign) / (seconds * (os.cpu_count() or 1)))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, without that of its children."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def machine_seconds() -> float:
    """What all cores have worked, or were kept from by others of the host; neither idle nor waiting for a disk."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq, steal, *_ = (int(field) for field in fields)
    return (user + nice + system + irq + softirq + steal) / _TICKS


def pss_mib(pid: int) -> float:
    """Proportional set size in MiB: shared pages are counted by their share. NB: reading it costs milliseconds."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    return int(re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)[0]) / 1024


def wait_until_quiet(pids: Collection[int], *, longest: float = 300.0) -> float:
    """Waits until the processes together have used less than 5 % of a core for three seconds; when that began, by the
    monotonic clock. Raises HarnessError after `longest` seconds.
    """

    def used() -> float:
        return sum(map(cpu_seconds, pids))

    began = busy_at = time.monotonic()
    samples = [(busy_at, used())]
    while pids and (now := time.monotonic()) < busy_at + _QUIET_SECONDS:
        if now > began + longest:
            raise HarnessError(f"What is measured is not quiet after {longest:.0f} s.")
        time.sleep(_SAMPLE_SECONDS)
        samples.append((time.monotonic(), used()))
        # NB: over half a second, as the kernel counts in hundredths.
        (since, before), (at, after) = samples[-min(len(samples), 6)], samples[-1]
        if after - before > _QUIET_SHARE * (at - since) + 0.01:
            busy_at = at
    return busy_at


Labels = tuple[tuple[str, str], ...]


def samples(text: str, names: tuple[str, ...]) -> dict[tuple[str, Labels], float]:
    """Counters of a /metrics text by name and labels."""
    found: dict[tuple[str, Labels], float] = {}
    for name, labels, value in _SAMPLE.findall(text):
        if name in names:
            found[name, tuple(sorted(_LABEL.findall(labels)))] = float(value)
    return found


def counters(plane: ControlPlane) -> dict[str, float]:
    """The API server's own counts: requests by FlowSchema, those that it turned away, seconds that they
    queued, and by resource the watches that it ended because their client did not keep up.
    """
    with plane.client() as client:
        text = client.text("/metrics")
    prefix = "apiserver_flowcontrol_"
    dispatched, rejected = f"{prefix}dispatched_requests_total", f"{prefix}rejected_requests_total"
    waited = f"{prefix}request_wait_duration_seconds_sum"
    ended = "apiserver_terminated_watchers_total"
    result: dict[str, float] = {}
    for (name, labels), value in samples(text, (dispatched, rejected, waited, ended)).items():
        by = dict(labels)
        kind = {dispatched: "requests", rejected: "rejected", waited: "queued", ended: "watches ended"}[name]
        key = f"{kind}/{by.get('flow_schema') or by.get('resource', '')}"
        result[key] = result.get(key, 0.0) + value
    return result


def increase(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What has grown, by how much."""
    grown = {key: value - before.get(key, 0.0) for key, value in after.items()}
    return {key: value for key, value in grown.items() if value}
