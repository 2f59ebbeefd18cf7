"""One trial: a contender on a cluster, a load, and the times at which everything happened.

Separate because each scenario is made of trials and only asks other questions of them. Loader and observer are
processes of their own; this one sleeps, and reads what they write.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.bench import loader, observer, rig, usage
from tests.bench.contenders import PODS, Contender
from tests.bench.journal import Reader
from tests.bench.sample import Sample, for_namespace
from tests.harness import cache, console, processes
from tests.harness.controlplane import ControlPlane
from tests.harness.errors import HarnessError

REPOSITORY = Path(__file__).parents[2]
POLL_SECONDS = 0.2
MEMORY_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """`jobs` at `rate` a second; without a rate as fast as `connections` are answered."""

    jobs: int
    rate: float | None = None
    connections: int = 32
    namespace: str = "bench"
    timeout: float = 300.0

    @property
    def deadline_seconds(self) -> float:
        return self.timeout + self.jobs / (self.rate or 4.0)


class Times:
    """By what happened and then by job: seconds of the monotonic clock. `refresh` reads on in the journals."""

    def __init__(self, *journals: Path) -> None:
        self._readers = [Reader(journal) for journal in journals]
        self._by: dict[str, dict[str, float]] = {}
        self.refused: list[list[Any]] = []
        self.loader_cpu = 0.0
        #: How often the observer had to take a watch up again.
        self.reopened = 0

    def __getitem__(self, what: str) -> dict[str, float]:
        return self._by.setdefault(what, {})

    def refresh(self) -> None:
        for reader in self._readers:
            for at, what, name, *more in reader.new():
                if what == "refused":
                    self.refused.append([name, *more])
                elif what == "reopened":
                    self.reopened += 1
                elif what == "cpu":
                    self.loader_cpu += more[0]
                else:
                    self[what][name] = at

    def seconds(self, start: str, end: str) -> dict[str, float]:
        """From one to the other, for each job that has both."""
        return {job: at - self[start][job] for job, at in self[end].items() if job in self[start]}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of it. `quiet` is when the contender had nothing more to do, by the monotonic clock; CPU and requests
    are counted until then. `requests` are the API server's counts (`usage.counters`), `memory` the operator's PSS in
    MiB by time.
    """

    contender: Contender
    load: Load
    times: Times
    quiet: float
    spent: usage.Spent
    requests: Mapping[str, float]
    memory: tuple[tuple[float, float], ...]

    @property
    def seconds(self) -> float:
        """From the first POST to the last thing that a job had to have."""
        ends = [max(self.times[what].values()) for what in self.contender.last]
        return max(ends) - min(self.times["sent"].values())

    @property
    def seconds_to_quiet(self) -> float:
        """As `seconds`, but until the contender had done what it does when nobody waits any more."""
        if not self.contender.objects:
            return self.seconds
        return max(self.seconds, self.quiet - min(self.times["sent"].values()))

    @property
    def jobs_a_second(self) -> float:
        return self.load.jobs / self.seconds


def run(
    plane: ControlPlane,
    contender: Contender,
    load: Load,
    found: Sample,
    *,
    script: Sequence[loader.Request] | None = None,
    settings: Mapping[str, Any] | None = None,
    journals: Sequence[Path] = (),
) -> Trial:
    """The contender, idle, is given the load (its own script, or `script`); returns when every job has its end.

    `settings` are of our operator only; `journals` are of others who write down what happens. Raises HarnessError when
    a request is refused, a job fails, one of the bench's own processes ends, or time is up.
    """
    rig.make_namespace(plane, load.namespace)
    with (
        contender.program(plane, settings or {}) as programs,
        observing(plane, contender, namespace=load.namespace, journals=journals) as (times, watcher),
    ):
        pids = {**rig.pids(plane), **programs, "observer": watcher.pid, "bench": os.getpid()}
        requests, before = usage.counters(plane), usage.Reading.now(pids)
        with loading(plane, script or contender.script(found), load) as loader_daemon:
            watched = (watcher, loader_daemon)
            memory = _wait_for_ends(contender, load, times, next(iter(programs.values()), None), watched)
            quiet = usage.wait_until_quiet(programs.values())
            after = usage.Reading.now(pids)
        times.refresh()
        used = usage.spent(before, after, ended={"loader": times.loader_cpu})
        requests = usage.increase(requests, usage.counters(plane))
    return Trial(
        contender=contender,
        load=load,
        times=times,
        quiet=quiet,
        spent=used,
        requests=requests,
        memory=tuple(memory),
    )


@contextmanager
def observing(
    plane: ControlPlane, contender: Contender, *, namespace: str, journals: Sequence[Path] = ()
) -> Iterator[tuple[Times, processes.Daemon]]:
    """The observer until the end of the block: what it and loaders of the namespace write, and its process."""
    folder = _folder(plane)
    journal = folder / f"observer-{namespace}.jsonl"
    order = observer.Order(
        kubeconfig=str(plane.kubeconfig(rig.OBSERVER)),
        journal=str(journal),
        pods=PODS.format(namespace=namespace),
        label=contender.label,
        objects=contender.objects.replace("@NAMESPACE@", namespace) if contender.objects else None,
        ends=contender.ends,
    )
    loads = folder / f"loader-{namespace}.jsonl"
    with process(plane, "observer", order) as daemon:
        times = Times(journal, loads, *journals)
        deadline = time.monotonic() + 30
        while not times["watching"]:
            if not daemon.alive or time.monotonic() > deadline:
                raise console.failure("The observer does not watch", plane.log("bench-observer"))
            time.sleep(0.02)
            times.refresh()
        yield times, daemon


@contextmanager
def loading(
    plane: ControlPlane,
    script: Sequence[loader.Request],
    load: Load,
    *,
    prefix: str = "job",
    first: int = 0,
) -> Iterator[processes.Daemon]:
    """The loader, at work until it has sent all or the block ends."""
    order = loader.Order(
        kubeconfig=str(plane.kubeconfig(rig.LOADER)),
        journal=str(_folder(plane) / f"loader-{load.namespace}.jsonl"),
        script=tuple(for_namespace(request, load.namespace) for request in script),
        jobs=load.jobs,
        prefix=prefix,
        first=first,
        rate=load.rate,
        connections=load.connections,
    )
    with process(plane, "loader", order) as daemon:
        yield daemon


@contextmanager
def process(plane: ControlPlane, name: str, order: Any) -> Iterator[processes.Daemon]:
    """`python -m tests.bench.<name>` with this order, a dataclass; it ends with the control plane at the latest."""
    file = _folder(plane) / f"{name}.json"
    cache.write_atomically(file, orjson.dumps(asdict(order)))
    pidfile = plane.layout.pidfile(f"bench-{name}")
    argv: list[str | Path] = [sys.executable, "-m", f"tests.bench.{name}", file]
    log = plane.log(f"bench-{name}")
    daemon = processes.start(argv, pidfile=pidfile, log=log, cwd=REPOSITORY)
    try:
        yield daemon
        if not daemon.alive and processes.exit_code(daemon) != 0:
            raise console.failure(f"The {name} ended by itself", log)
    finally:
        processes.stop(pidfile)


def _wait_for_ends(
    contender: Contender, load: Load, times: Times, measured: int | None, ours: Sequence[processes.Daemon]
) -> list[tuple[float, float]]:
    """Until every job has its end; meanwhile the memory of the process that is measured."""
    memory: list[tuple[float, float]] = []
    deadline, due = time.monotonic() + load.deadline_seconds, 0.0
    while any(len(times[what]) < load.jobs for what in contender.last):
        now = time.monotonic()
        dead = [daemon.pid for daemon in ours if not daemon.alive and processes.exit_code(daemon) != 0]
        if times.refused or times["failed"] or dead or now > deadline:
            counts = {
                what: len(times[what]) for what in ("sent", "created", "ended", *contender.last, "failed")
            }
            raise HarnessError(
                f"{contender.name}: not all of {load.jobs} jobs came to their end: {counts}; refused: "
                f"{times.refused[:3]}; ended by themselves: {dead}"
            )
        if measured is not None and now >= due:
            memory.append((now, usage.pss_mib(measured)))
            due = now + MEMORY_SECONDS
        time.sleep(POLL_SECONDS)
        times.refresh()
    return memory


def _folder(plane: ControlPlane) -> Path:
    folder = plane.layout.folder / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
