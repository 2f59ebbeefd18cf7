"""A restart among many jobs, half of them alive: to the first action, to quiet, and what it costs.

Separate because here the operator is what comes late. It is killed twice: once with nothing left to do, when whatever
it writes is redundant, and once while jobs come that wait for it. Its requests are read from the API server's audit
log, its CPU and memory from the kernel.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from tests.bench import rig, sample, trial, usage
from tests.bench.loader import NAME
from tests.bench.trial import Load
from tests.harness import console
from tests.harness import operator as operators
from tests.harness.client import wait_for
from tests.harness.controlplane import ControlPlane
from tests.harness.errors import HarnessError
from tests.harness.operator import Operator
from tests.objects import API

NAMESPACE = "restart"
WAITING = "waiting"
#: NB: one name for all, as each has a folder of logs by its name, which the jobs' status tells.
OPERATOR = "operator"
_READS = frozenset({"get", "list"})
_SAMPLE_SECONDS = 0.1
#: Quiet is who has used less than this share of a core for so long.
_QUIET_SHARE = 0.05
_QUIET_SECONDS = 3.0
_LONGEST_SECONDS = 180.0


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request of the operator's, by the API server; `at` is seconds since the epoch."""

    at: float
    verb: str
    resource: str
    name: str


def run(*, jobs: int = 10_000, waiting: int = 10) -> dict[str, Any]:
    """On a fresh cluster with `jobs` jobs, every other one of which has ended; then `waiting` more."""
    with rig.cluster("bench-restart", audit=True, nodes=50, gpus=jobs // 50 + 10) as plane:
        rig.make_namespace(plane, NAMESPACE)
        grown = _make_jobs(plane, jobs)
        idle = _restarted(plane, waiting=0)
        _post(plane, waiting)
        late = _restarted(plane, waiting=waiting)
    return {
        "jobs": jobs,
        "pssMiBBefore": grown,
        "nothingToDo": idle,
        "somethingToDo": late,
    }


def _make_jobs(plane: ControlPlane, jobs: int) -> float:
    """Half of them run on and half have ended; the memory of the operator that has done it, which is killed then."""
    load = Load(jobs=jobs // 2, namespace=NAMESPACE)
    with (
        console.step(f"Making {jobs} jobs, half of them alive"),
        rig.operator(plane, name=OPERATOR) as operator,
    ):
        for prefix, run_for, phase, reason in (
            ("ended", sample.RUN_FOR, "Done", "Completed"),
            ("alive", "24h", "Running", "Training"),
        ):
            with trial.loading(plane, (sample.job(run_for=run_for),), load, prefix=prefix):
                _wait_for_jobs(operator, load.jobs, phase=phase, reason=reason)
        _settled(operator)
        grown = operator.pss_mib()
        operator.stop(grace=0)
    return grown


def _wait_for_jobs(operator: Operator, count: int, *, phase: str, reason: str) -> None:
    metric = f'trainyard_jobs{{phase="{phase}",reason="{reason}"}}'
    wait_for(
        lambda: _metrics(operator).get(metric) == count,
        what=f"{count} jobs to be {phase}",
        timeout=60 + count,
        every=2.0,
    )


def _post(plane: ControlPlane, count: int) -> None:
    """Jobs that nobody looks after yet."""
    request = sample.for_namespace(sample.job(), NAMESPACE)
    with plane.client() as client:
        for number in range(count):
            name = f"{WAITING}-{number}"
            client.post(request.path, orjson.loads(request.body.replace(NAME, name)))


def _restarted(plane: ControlPlane, *, waiting: int) -> dict[str, Any]:
    """Starts the operator, waits until it is quiet and those that waited have their end, and kills it."""
    seen = plane.audit_log.stat().st_size
    with _started(plane) as operator:
        quiet_after = _settled(operator)
        with plane.client() as client:

            def all_done() -> bool:
                path = f"/apis/{API}/namespaces/{NAMESPACE}/trainingjobs/{WAITING}-"
                found = (client.get(f"{path}{number}") for number in range(waiting))
                return all((job.get("status") or {}).get("phase") == "Done" for job in found)

            wait_for(all_done, what="those that waited to be done", timeout=120)
        started = time.time() - _age(operator)
        figures = {"cpuSeconds": usage.cpu_seconds(operator.daemon.pid), "pssMiB": operator.pss_mib()}
        operator.stop(grace=0)
    requests = list(_requests(plane.audit_log, seen))
    writes = [one for one in requests if one.verb not in _READS]
    redundant = [one for one in writes if not one.name.startswith(WAITING)]
    if not waiting:
        redundant = writes
    return {
        "firstActionSeconds": min(one.at for one in writes if _is_first_action(one)) - started
        if waiting
        else None,
        "quietSeconds": quiet_after,
        "redundantWrites": _counted(redundant),
        "writes": _counted(writes),
        "reads": _counted(one for one in requests if one.verb in _READS),
        **figures,
    }


@contextmanager
def _started(plane: ControlPlane) -> Iterator[Operator]:
    """NB: it need not be ready: what it does before that is measured."""
    settings = rig.chart_settings(plane, OPERATOR)
    with operators.running(plane, name=OPERATOR, settings=settings, wait=False) as operator:
        yield operator


def _settled(operator: Operator) -> float:
    """Waits until it is quiet; how old it was when that began."""
    pid, busy_at = operator.daemon.pid, _age(operator)
    samples = [(busy_at, usage.cpu_seconds(pid))]
    while (now := _age(operator)) < busy_at + _QUIET_SECONDS or not _metrics(operator):
        if now > samples[0][0] + _LONGEST_SECONDS:
            raise console.failure("The operator does not become quiet", operator.log)
        time.sleep(_SAMPLE_SECONDS)
        samples.append((_age(operator), usage.cpu_seconds(pid)))
        # NB: over half a second, as the kernel counts in hundredths.
        (since, before), (at, used) = samples[-min(len(samples), 6)], samples[-1]
        if used - before > _QUIET_SHARE * (at - since) + 0.01:
            busy_at = at
    return busy_at


def _is_first_action(request: Request) -> bool:
    """Whether it makes a pod that is waited for."""
    return (request.verb, request.resource) == ("create", "pods")


def _metrics(operator: Operator) -> dict[str, float]:
    """Its metrics; none while it does not answer."""
    try:
        return operator.metrics()
    except HarnessError:
        return {}


def _age(operator: Operator) -> float:
    """Seconds since its process was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - operator.daemon.start_time / os.sysconf("SC_CLK_TCK")


def _requests(audit_log: Path, offset: int) -> Iterator[Request]:
    """What the operator has asked for since the log was so long; no watches."""
    if audit_log.stat().st_size < offset:
        raise HarnessError(f"{audit_log} was begun anew: what was asked for before is not in it.")
    with audit_log.open("rb") as file:
        # NB: at either end there may be half a line; nobody of ours has asked for anything at the first.
        file.seek(offset)
        whole = file.read().rpartition(b"\n")[0].partition(b"\n")[2]
        for line in whole.splitlines():
            event = orjson.loads(line)
            if event["user"]["username"] == operators.USER and event["stage"] == "ResponseComplete":
                ref = event.get("objectRef") or {}
                if event["verb"] != "watch":
                    yield Request(
                        at=datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp(),
                        verb=event["verb"],
                        resource="/".join(ref[key] for key in ("resource", "subresource") if ref.get(key)),
                        name=ref.get("name") or "",
                    )


def _counted(requests: Any) -> Mapping[str, int]:
    return Counter(f"{one.verb} {one.resource}" for one in requests)
