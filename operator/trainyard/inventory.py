"""Metrics of what there is now: jobs, the devices that they ask for, how long some have waited, and experiments.

Separate because these are counted from the cache when somebody asks, and cost nothing at any event. Registered by
`app`. A scrape holds the event loop: 10,000 jobs must stay within 50 ms, so only what has changed since is looked into.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from trainyard.api.reasons import ConditionType, Phase
from trainyard.cluster.cache import EXPERIMENT, TRAINING_JOB, Cache
from trainyard.cluster.packed import Packed
from trainyard.modelinventory import ModelInventory, family
from trainyard.planning.accounting import ANY, devices, known_reason
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.times import seconds

Json = Mapping[str, Any]
Labels = tuple[str, ...]

_PHASES = frozenset(map(str, Phase))


class _Counted(NamedTuple):
    """What one version of a job adds: to jobs, to those that wait, and `devices` to those with labels `gpus`."""

    version: int
    job: Labels
    waiting_since: str | None = None
    gpus: Labels | None = None
    devices: int = 0


class Inventory(Collector):
    """Gauges over all TrainingJobs and Experiments, of which a combination of labels that has occurred stays, at 0; and
    those of `modelinventory`.
    """

    def __init__(
        self, cache: Cache, *, rules: AcceleratorRules, clock: Callable[[], float] = time.time
    ) -> None:
        self._cache = cache
        self._rules = rules
        self._clock = clock
        self._seen: dict[str, _Counted] = {}
        self._shared: dict[Labels, Labels] = {}
        self._seen_experiments: dict[str, tuple[int, Labels]] = {}
        self._models = ModelInventory(cache)
        self._jobs: set[Labels] = set()
        self._experiments: set[Labels] = set()
        self._gpus: set[Labels] = {(phase, ANY) for phase in (str(Phase.PENDING), str(Phase.RUNNING))}

    def collect(self) -> Iterable[Metric]:
        """All families."""
        jobs: Counter[Labels] = Counter(dict.fromkeys(self._jobs, 0))
        gpus: Counter[Labels] = Counter(dict.fromkeys(self._gpus, 0))
        waiting: dict[str, str] = {}
        seen: dict[str, _Counted] = {}
        for job in self._cache.objects(TRAINING_JOB):
            one = self._seen.get(job.uid)
            if one is None or one.version != job.version:
                one = self._counted(job)
            seen[job.uid] = one
            jobs[one.job] += 1
            if one.waiting_since is not None:
                reason = one.job[1]
                waiting[reason] = min(one.waiting_since, waiting.get(reason, one.waiting_since))
            if one.gpus is not None:
                gpus[one.gpus] += one.devices
        self._seen = seen
        self._jobs.update(jobs)
        self._gpus.update(gpus)
        now = self._clock()
        ages: dict[Labels, float] = {
            (reason,): max(0.0, now - (seconds(since) or now)) for reason, since in waiting.items()
        }
        return (
            family("trainyard_jobs", "TrainingJobs by phase and reason.", ("phase", "reason"), jobs),
            family(
                "trainyard_gpus_requested",
                "Accelerators that unfinished TrainingJobs ask for on all their nodes, paused ones apart.",
                ("phase", "accelerator"),
                gpus,
            ),
            family(
                "trainyard_oldest_pending_seconds",
                "For each reason to be Pending, how long the job that has waited longest has not run: since its "
                "creation, the end of its last attempt, or when it was paused or resumed.",
                ("reason",),
                ages,
            ),
            family(
                "trainyard_experiments",
                "Experiments by phase and reason.",
                ("phase", "reason"),
                self._experiments_now(),
            ),
            *self._models.collect(),
        )

    def _experiments_now(self) -> Counter[Labels]:
        found: Counter[Labels] = Counter(dict.fromkeys(self._experiments, 0))
        seen: dict[str, tuple[int, Labels]] = {}
        for packed in self._cache.objects(EXPERIMENT):
            known = self._seen_experiments.get(packed.uid)
            if known is None or known[0] != packed.version:
                known = packed.version, self._state(packed.raw().get("status") or {})
            seen[packed.uid] = known
            found[known[1]] += 1
        self._seen_experiments = seen
        self._experiments.update(found)
        return found

    def _state(self, status: Json) -> Labels:
        """Phase and reason. NB: labels are of our words only, whoever wrote the status."""
        phase = status.get("phase") or str(Phase.PENDING)
        state = (phase if phase in _PHASES else "Other", known_reason(status.get("reason") or "Accepted"))
        return self._shared.setdefault(state, state)

    def _counted(self, packed: Packed) -> _Counted:
        raw, version = packed.raw(), packed.version
        status = raw.get("status") or {}
        phase = status.get("phase") or str(Phase.PENDING)
        job = self._state(status)
        if packed.finished:
            return _Counted(version, job)
        since = _waiting_since(raw, status) if phase == Phase.PENDING else None
        stopped = (status.get("stop") or {}).get("endTime")
        asked = devices(raw.get("spec") or {}, self._rules) if not stopped else None
        if asked is None:
            return _Counted(version, job, since)
        return _Counted(version, job, since, (job[0], asked.accelerator), asked.count)


def _waiting_since(raw: Json, status: Json) -> str:
    """The stamp of the last thing that happened to a job that does not run.

    NB: stamps of the API server and ours have one form, of which the later is the greater string.
    """
    since: str = raw["metadata"].get("creationTimestamp") or ""
    for entry in (status.get("attempts") or ())[-2:]:
        since = max(since, entry.get("completionTime") or "")
    for condition in status.get("conditions") or ():
        if condition["type"] == ConditionType.SUSPENDED:
            since = max(since, condition.get("lastTransitionTime") or "")
    return since
