"""Requests a job, by verb and resource, from the API server's audit log.

Separate because writing that log costs the API server time: a pass of its own, whose times say nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from tests.bench import rig, rounds, sample, trial
from tests.bench.contenders import TRAINYARD, Contender
from tests.bench.trial import Load

NAMESPACE = "bench"


def run(
    *, jobs: int = 500, steady: int = 30, contenders: Sequence[Contender] = (TRAINYARD,)
) -> dict[str, Any]:
    """For each contender that has an operator: in a burst of `jobs`, and at one job a second."""
    loads = {
        "burst": Load(jobs=jobs, namespace=f"{NAMESPACE}-burst"),
        "steady": Load(jobs=steady, rate=1.0, namespace=f"{NAMESPACE}-steady"),
    }
    return {
        one.name: {name: measured(one, load) for name, load in loads.items()}
        for one in contenders
        if one.objects is not None
    }


def measured(contender: Contender, load: Load) -> dict[str, Any]:
    """Requests a job, without watches and without those that the operator makes at its start."""
    with rig.cluster("bench-requests", audit=True) as plane:
        trial.run(plane, contender, load, sample.sample(plane))
        with plane.audit_log.open("rb") as file:
            counts = counted(file, user=contender.user, namespace=load.namespace)
    rounds.say(f"Requests of {contender.name}, {load.namespace}: {dict(counts)}")
    return {
        "jobs": load.jobs,
        "requestsPerJob": {key: count / load.jobs for key, count in sorted(counts.items())},
    }


def counted(lines: Iterable[bytes], *, user: str, namespace: str) -> Counter[str]:
    """Requests of a user about objects of a namespace, as "patch pods"; those that failed with their code."""
    counts: Counter[str] = Counter()
    for line in lines:
        event = orjson.loads(line)
        ref = event.get("objectRef") or {}
        mine = event["user"]["username"] == user and ref.get("namespace") == namespace
        if not mine or event["stage"] != "ResponseComplete" or event["verb"] == "watch":
            continue
        resource = "/".join(part for part in (ref.get("resource"), ref.get("subresource")) if part)
        code = (event.get("responseStatus") or {}).get("code", 0)
        counts[f"{event['verb']} {resource}" + (f" ({code})" if code >= 400 else "")] += 1
    return counts
