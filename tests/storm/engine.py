"""Carries a storm out on a cluster, waits for the calm after it, and looks at what became of everything.

Separate from the script, which says what happens, and from the checks, which say what is wrong. Called by the tests of
tests/integration (fake nodes) and tests/e2e (real pods); both only say how a job is made and an operator killed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.harness.client import ApiError, Client
from tests.storm import checks
from tests.storm.checks import LABEL_JOB, Evidence, Told
from tests.storm.record import Recorder
from tests.storm.script import PATCHES, Action, Script, StormJob
from tests.storm.story import story

Json = dict[str, Any]

API = "trainyard.dev/v1alpha1"
_LOOK_SECONDS = 1.0
#: Of what happened to jobs with faults, so many are told.
_MOST_STORIES = 4


class Victim(Protocol):
    """The operator, to be killed. `deaf_until` is when one that was revived then listens again at the latest."""

    def kill(self) -> None: ...

    def revive(self) -> None: ...

    def deaf_until(self, revived: float) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is worth telling of a storm."""

    script: Script
    done: Mapping[str, int]
    states: Mapping[str, int]
    pods: int
    told: Mapping[str, int]
    deliveries: int
    calm_seconds: float
    late_seconds: float
    faults: Sequence[str]
    stories: Mapping[str, Sequence[str]]

    def __str__(self) -> str:
        lines = [f"seed {self.script.seed}: {len(self.faults)} faults", *self.faults]
        for name, told in self.stories.items():
            lines += [f"\n{name}: {', '.join(self.script.of(name))}", *told]
        return "\n".join(lines)


@dataclass(kw_only=True)
class Storm:
    """One storm in one namespace. `spec_of` gives the spec of a job, `told` what the receiver has accepted so far.

    `patience` is how long nothing may come to rest after it: the wait before another attempt is the longest part.
    """

    client: Client
    namespace: str
    script: Script
    victim: Victim
    nodes: Sequence[str]
    spec_of: Callable[[StormJob], Json]
    told: Callable[[], Sequence[Told]]
    patience: float
    _wished_at: dict[str, float] = field(default_factory=dict)
    _deaf: list[tuple[float, float]] = field(default_factory=list)
    _killed_at: float | None = None
    _done: Counter[str] = field(default_factory=Counter)
    _faults: list[str] = field(default_factory=list)
    _late: float = 0.0

    def run(self) -> Outcome:
        """The storm from its first action to the deletion of its jobs."""
        with ExitStack() as stack:
            jobs = stack.enter_context(Recorder(self.client, self._path("trainingjobs")))
            pods = stack.enter_context(Recorder(self.client, self._path("pods")))
            try:
                self._rage()
            finally:
                self._open_nodes()
            calmed = time.monotonic()
            evidence = self._settle(jobs, pods)
            calm = time.monotonic() - calmed
            faults = [*self._faults, *checks.faults(evidence)]
            last = {name: seen[-1].object for name, seen in checks.versions(evidence.jobs).items()}
            states = Counter(checks.state(job.get("status") or {}) for job in last.values())
            faults += self._delete_everything()
            named = [job.name for job in self.script.jobs if any(job.name in fault for fault in faults)]
        return Outcome(
            script=self.script,
            done=self._done,
            states=states,
            pods=len({one.uid for one in evidence.pods}),
            told=Counter(one.event for one in {one.id: one for one in evidence.told}.values()),
            deliveries=len(evidence.told),
            calm_seconds=calm,
            late_seconds=self._late,
            faults=faults,
            stories={name: story(evidence, name) for name in named[:_MOST_STORIES]},
        )

    # The storm

    def _rage(self) -> None:
        jobs = {job.name: job for job in self.script.jobs}
        begun = time.monotonic()
        for action in self.script.actions:
            wait = begun + action.at - time.monotonic()
            time.sleep(max(0.0, wait))
            self._late = max(self._late, -wait)
            try:
                if self._act(action, jobs):
                    self._done[action.verb] += 1
            except ApiError as error:
                self._faults.append(f"{action.target}: {action.verb} was refused: {error}")
        if self._killed_at is not None:
            self._revive()

    def _act(self, action: Action, jobs: Mapping[str, StormJob]) -> bool:
        """Whether there was anything to do it to."""
        target = action.target
        if action.verb in PATCHES:
            self.client.patch(self._path("trainingjobs", target), {"spec": PATCHES[action.verb]})
            self._wished_at[target] = time.time()
        elif action.verb == "create":
            manifest = {"apiVersion": API, "kind": "TrainingJob", "metadata": {"name": target}}
            spec = self.spec_of(jobs[target])
            self.client.post(self._path("trainingjobs"), {**manifest, "spec": spec})
        elif action.verb in ("delete", "delete-now", "evict"):
            taken = [self._take(pod, how=action.verb) for pod in self._live_pods(job=target)]
            return any(taken)
        elif action.verb == "drain":
            node = self.nodes[int(target)]
            self._close(node, closed=True)
            for pod in self._live_pods(node=node):
                self._take(pod, how="evict")
        elif action.verb == "uncordon":
            self._close(self.nodes[int(target)], closed=False)
        elif action.verb == "kill":
            self.victim.kill()
            self._killed_at = time.time()
        elif action.verb == "revive":
            self._revive()
        return True

    def _revive(self) -> None:
        self.victim.revive()
        if self._killed_at is not None:
            self._deaf.append((self._killed_at, self.victim.deaf_until(time.time())))
        self._killed_at = None

    def _live_pods(self, *, job: str | None = None, node: str | None = None) -> list[Json]:
        query: dict[str, str] = {"labelSelector": f"{LABEL_JOB}={job}" if job else LABEL_JOB}
        if node:
            query["fieldSelector"] = f"spec.nodeName={node}"
        pods = self.client.list(self._path("pods"), **query)
        return [pod for pod in pods if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]

    def _take(self, pod: Json, *, how: str) -> bool:
        name = pod["metadata"]["name"]
        path = self._path("pods", name)
        try:
            if how == "evict":
                eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
                self.client.post(f"{path}/eviction", eviction)
            else:
                now = {"gracePeriodSeconds": 0} if how == "delete-now" else {}
                self.client.delete(path, body={"apiVersion": "v1", "kind": "DeleteOptions", **now})
        except ApiError as error:
            if error.status in (404, 409):  # somebody else was quicker
                return False
            raise
        return True

    def _close(self, node: str, *, closed: bool) -> None:
        self.client.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": closed}})

    def _open_nodes(self) -> None:
        for node in self.nodes:
            self._close(node, closed=False)

    # The calm

    def _settle(self, jobs: Recorder, pods: Recorder) -> Evidence:
        """What was seen, once nothing is wrong, or when it has stayed wrong for too long."""
        longest = max(job.run_seconds for job in self.script.jobs)
        deadline = time.monotonic() + longest + self.patience
        while True:
            evidence = Evidence(
                script=self.script,
                jobs=tuple(jobs.seen),
                pods=tuple(pods.seen),
                told=tuple(self.told()),
                wished_at=self._wished_at,
                deaf=self._deaf,
            )
            if not checks.unsettled(evidence) or time.monotonic() > deadline:
                return evidence
            time.sleep(_LOOK_SECONDS)

    def _delete_everything(self) -> list[str]:
        """Deletes the jobs; what is left of them after a while."""
        for job in self.script.jobs:
            self.client.delete(self._path("trainingjobs", job.name))
        deadline = time.monotonic() + self.patience
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        return [f"{one} is left of deleted jobs." for one in left]

    def _left(self) -> list[str]:
        ours = self.client.list(self._path("trainingjobs"))
        pods = self.client.list(self._path("pods"), labelSelector=LABEL_JOB)
        objects = [("trainingjobs", ours), ("pods", pods)]
        for plural in ("services", "configmaps", "secrets", "serviceaccounts", "persistentvolumeclaims"):
            found = self.client.list(
                self._path(plural), labelSelector="app.kubernetes.io/managed-by=trainyard"
            )
            objects.append((plural, found))
        return [f"{plural}/{one['metadata']['name']}" for plural, several in objects for one in several]

    def _path(self, plural: str, name: str | None = None) -> str:
        root = f"/apis/{API}" if plural == "trainingjobs" else "/api/v1"
        base = f"{root}/namespaces/{self.namespace}/{plural}"
        return f"{base}/{name}" if name else base
