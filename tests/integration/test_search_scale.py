"""What a search of 500 trials, and with `soak` of 1,000, costs the operator and the API server.

Counted from the audit log, not estimated.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import orjson
import pytest
import urllib3

from tests.harness import operator as operators
from tests.harness.client import Json
from tests.harness.controlplane import ControlPlane
from tests.harness.operator import Operator
from tests.integration.experiments import Experiments, step

pytestmark = pytest.mark.timeout(420)

TRIALS = [500, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
PARALLELISM = 50
RUN_SECONDS = 3
#: Milliseconds of the operator's own work for a trial. That of the API server, of etcd, of the scheduler and of KWOK on
#: the same two cores comes on top, and other tests beside: so what the trials take altogether is given ten times that.
ASKED_MS = 50
GIVEN_MS = 500
LARGEST_BYTES = 200_000


@dataclass(frozen=True, kw_only=True)
class Request:
    """A finished request of the audit log; times are seconds since the epoch."""

    user: str
    verb: str
    resource: str
    name: str
    begun: float
    ended: float


@dataclass
class Pulse:
    """How long the operator's event loop takes to answer a question that costs nothing."""

    milliseconds: list[float] = field(default_factory=list)


@contextmanager
def pulse(operator: Operator, *, every: float = 0.02) -> Iterator[Pulse]:
    """Asks /healthz, which the loop itself answers, again and again meanwhile."""
    felt, over = Pulse(), threading.Event()
    pool = urllib3.HTTPConnectionPool("127.0.0.1", operator.port, maxsize=1)

    def ask() -> None:
        while not over.wait(every):
            begun = time.perf_counter()
            pool.request("GET", "/healthz", retries=False, timeout=10.0)
            felt.milliseconds.append((time.perf_counter() - begun) * 1000)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield felt
    finally:
        over.set()
        thread.join()
        pool.close()


def requests(audit_log: Path, *, offset: int, namespace: str) -> list[Request]:
    """Those to this namespace, or to all of them, that have been finished since."""
    finished = []
    with audit_log.open("rb") as log:
        log.seek(offset)
        for line in log:
            event = orjson.loads(line)
            ref = event.get("objectRef") or {}
            if event["stage"] != "ResponseComplete" or ref.get("namespace") not in (namespace, None):
                continue
            resource = "/".join(part for part in (ref.get("resource"), ref.get("subresource")) if part)
            finished.append(
                Request(
                    user=event["user"]["username"],
                    verb=event["verb"],
                    resource=resource,
                    name=ref.get("name", ""),
                    begun=_seconds(event["requestReceivedTimestamp"]),
                    ended=_seconds(event["stageTimestamp"]),
                )
            )
    return finished


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def cpu_seconds(operator: Operator) -> float:
    """User and system time of the operator's process so far (proc(5), utime and stime in ticks of 10 ms)."""
    fields = Path(f"/proc/{operator.daemon.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def lateness(ends: list[float], starts: list[float]) -> list[float]:
    """Milliseconds from the k-th end of a trial to the start that took its place."""
    return [
        (start - end) * 1000 for end, start in zip(sorted(ends), sorted(starts)[PARALLELISM:], strict=False)
    ]


@pytest.mark.parametrize("trials", TRIALS)
def test_many_trials_cost_little_and_nothing_is_listed_anew(
    plane: ControlPlane, experiments: Experiments, capsys: pytest.CaptureFixture[str], trials: int
) -> None:
    space = [
        {"name": "x", "type": "float", "min": "0", "max": "1"},
        {"name": "learning_rate", "type": "float", "min": "1e-5", "max": "0.1", "log": True},
        {"name": "batch_size", "type": "int", "min": "16", "max": "512"},
        {"name": "activation", "type": "categorical", "values": ["relu", "tanh"]},
    ]
    automl: Json = {"algorithm": "random", "space": space, "seed": 500, "epochsParameter": "epochs"}
    automl |= {"maxRecommendations": trials, "parallelism": PARALLELISM}
    settings = {"namespaces": [experiments.namespace]}
    with operators.running(plane, name="searching", settings=settings) as operator:
        time.sleep(2)  # its own lists at the start
        offset, cpu = plane.audit_log.stat().st_size, cpu_seconds(operator)
        with pulse(operator) as felt:
            experiments.begin(
                "many",
                run_for=f"{RUN_SECONDS}s",
                stored=False,
                fake={"accuracy-of": "x"},
                objective={"metric": "accuracy", "goal": "Maximize"},
                automl=automl,
                actions=[step("train")],
            )
            done = experiments.comes_to("many", "Done", timeout=trials * 0.6)
        cpu = cpu_seconds(operator) - cpu
    counts = done["automl"]["trials"]
    assert (counts["total"], counts["succeeded"]) == (trials, trials)
    assert len(done["automl"]["ledger"]) == trials
    stored = len(orjson.dumps(experiments.experiment("many")))
    every = requests(plane.audit_log, offset=offset, namespace=experiments.namespace)
    ours = [one for one in every if one.user == operators.USER]
    spent = Counter((one.verb, one.resource) for one in ours if one.verb != "watch")
    posts = [one.begun for one in ours if (one.verb, one.resource) == ("create", "trainingjobs")]
    verdicts = {one.name: one.ended for one in ours if one.resource == "trainingjobs/status"}
    ends = {one.name: one.ended for one in every if one.user == "kwok" and one.resource == "pods/status"}
    after_verdict = lateness(list(verdicts.values()), posts)
    after_end = lateness(list(ends.values()), posts)
    seconds = max(verdicts.values()) - min(posts)
    added = (seconds - RUN_SECONDS * trials / PARALLELISM) * 1000 / trials
    figures = {
        "trials": trials,
        "seconds": round(seconds, 1),
        "added_ms_a_trial": round(added, 1),
        "operator_cpu_ms_a_trial": round(cpu * 1000 / trials, 1),
        "verdict_to_next_post_ms": _spread(after_verdict),
        "end_of_pod_to_next_post_ms": _spread(after_end),
        "experiment_bytes": stored,
        "loop_answers_ms": _spread(felt.milliseconds),
        "requests": {" ".join(key): count for key, count in sorted(spent.items())},
    }
    with capsys.disabled():
        print(json.dumps(figures))
    assert len(posts) == len(verdicts) == len(ends) == trials
    assert not [key for key in spent if key[0] in ("list", "get")], "nothing is read anew"
    assert spent["create", "pods"] == trials
    assert spent["patch", "experiments/status"] < trials
    assert stored < LARGEST_BYTES
    assert cpu * 1000 / trials < ASKED_MS
    assert added < GIVEN_MS
    assert statistics.quantiles(felt.milliseconds, n=100)[94] < 100, "95 of 100 answers are prompt"


def _spread(milliseconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(milliseconds, n=100)
    found = {"median": cuts[49], "p95": cuts[94], "p99": cuts[98], "most": max(milliseconds)}
    return {name: round(value, 1) for name, value in found.items()}
