"""The life of a job of several pods with agents, played through plans alone: nodes, stores and people are modelled, and
the operator may be killed between any two writes.

Separate from `story`, which has one pod at a time. For `test_fleet_storms`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from tests.unit.planning.builders import NOW, a_job, a_pod, a_spec
from tests.unit.planning.story import EVERY_EVENT, STORY_CONTEXT
from trainyard.planning import confirming, nodeloss
from trainyard.planning.lookedup import NodeView
from trainyard.planning.observed import LogView, Memory, ObservedJob
from trainyard.planning.plan import Plan
from trainyard.planning.podview import ContainerView, PodView
from trainyard.planning.trainingjob import plan_training_job

_STOPPED = json.dumps({"complete": False})


class Killed(Exception):
    """The operator has ended between two writes."""


@dataclasses.dataclass
class Ghost:
    """What really became of a pod, whoever knows of it."""

    attempt: int
    rank: int
    begun: bool = False
    done: bool = False
    uploaded: bool = False
    failed: bool = False
    dead: bool = False
    lost: bool = False
    forgotten: bool = False


class Fleet:
    """One job, its pods, the nodes they are on (one each) and its store. Without an `output` there is no agent."""

    def __init__(self, *, nodes: int, output: bool, **spec: Any) -> None:
        self.now = NOW
        self.size = nodes
        self.fields: dict[str, Any] = {
            "nodes": nodes,
            "callbacks": [{"name": "all", "url": "https://x.example", "events": EVERY_EVENT}],
            **({"output": {"uri": "s3://models/team"}} if output else {}),
            **spec,
        }
        self.output = output
        self.job: ObservedJob = a_job(spec=a_spec(**self.fields))
        self.ghosts: dict[str, Ghost] = {}
        self.children: set[str] = set()
        self.result: int | None = None
        self.claims: set[int] = set()
        self.phases: list[str] = []
        self.writes = 0

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.job.status)

    @property
    def alive(self) -> list[PodView]:
        """Pods in which something may still happen by itself."""
        return [pod for pod in self.job.pods if not pod.over and not self.ghosts[pod.uid].dead]

    # What the operator does.

    def look(self, *, writes: int | None = None) -> Plan:
        """One reconcile. After so many `writes` the operator is killed: raises Killed."""
        plan = plan_training_job(self.job, now=self.now, context=STORY_CONTEXT)
        for done, write in enumerate(self._writes(plan)):
            if done == writes:
                raise Killed
            write()
            self.writes += 1
        self._collect()
        self.job = dataclasses.replace(self.job, memory=plan.memory)
        return plan

    def _writes(self, plan: Plan) -> Iterator[Any]:
        """In the order of `cluster.execute`."""
        if plan.annotate:
            (value,) = plan.annotate.values()
            yield lambda: self._replace(store_uids=value)
        for raw in plan.create:
            yield lambda raw=raw: self._made(raw)
        if plan.status is not None and plan.status != self.job.status:
            yield lambda: self._replace(status=plan.status)
        for pod in plan.release:
            yield lambda pod=pod: self.change(pod.uid, finalized=False)
        for pod in plan.delete:
            yield lambda pod=pod: self._deleted(pod.uid)
        for child in plan.remove:
            yield lambda child=child: self.children.discard(child.name)

    def _made(self, raw: dict[str, Any]) -> None:
        name = raw["metadata"]["name"]
        if raw["kind"] != "Pod":
            self.children.add(name)
            return
        assert name not in {pod.name for pod in self.job.pods}, f"{name} is there already"
        assert f"{raw['spec']['subdomain']}" in self.children if self.size > 1 else True, "no Service"
        attempt, rank = (int(part) for part in name.split("-")[1:])
        uid = f"pod-{len(self.ghosts)}"
        self.ghosts[uid] = Ghost(attempt=attempt, rank=rank)
        pod = dataclasses.replace(
            a_pod(attempt=attempt, rank=rank, scheduled=False, finalized=True, uid=uid),
            parameters_digest=raw["metadata"]["annotations"]["trainyard.dev/parameters-digest"],
            spec_hash=raw["metadata"]["annotations"]["trainyard.dev/spec-hash"],
            created_at=self.now,
        )
        self._replace(pods=(*self.job.pods, pod))

    def _deleted(self, uid: str) -> None:
        if any(p.uid == uid and p.deletion_requested_at is None for p in self.job.pods):
            self.change(uid, deletion_requested_at=self.now, deletion_due_at=self.now + 330)

    def _collect(self) -> None:
        """The API server removes what is deleted and held by nobody."""
        self._replace(
            pods=tuple(
                p
                for p in self.job.pods
                if p.deletion_requested_at is None or p.finalized or not (p.over or not p.scheduled)
            )
        )

    def settle(self) -> None:
        """Reconcile until nothing changes; what is Pending is given the time to be written."""
        for _ in range(40):
            before = (self.job.status, self.job.pods)
            plan = self.look()
            if (self.job.status, self.job.pods) == before and plan.requeue_after != 0.0:
                if plan.requeue_after is None or plan.requeue_after > 3.5:
                    return
                self.now += plan.requeue_after + 0.01
        raise AssertionError(f"it never comes to rest: {self.status}")

    def dies(self) -> None:
        self._replace(memory=Memory(), logs={})
        self._collect()

    # What people do.

    def edit(self, **spec: Any) -> None:
        self.fields |= spec
        self._replace(spec=a_spec(**self.fields), generation=self.job.generation + 1)

    def retry(self) -> None:
        self._replace(retry_requested_at=str(self.now))

    # What nodes do.

    def scheduled(self, pod: PodView) -> None:
        self.change(pod.uid, scheduled=True, scheduled_at=self.now, node=f"node-of-{pod.uid}")

    def starts(self, pod: PodView) -> None:
        """Its init container looks into the store, and its trainer begins if it may."""
        if self.output:
            if self.result is not None:
                self._fetch_ends(pod, 10, complete=True, result={"attempt": self.result})
                return
            later = max(self.claims, default=0)
            if later > pod.attempt:
                self._fetch_ends(pod, 11, error="later", claimed=later)
                return
            self.claims.add(pod.attempt)
        self.ghosts[pod.uid].begun = True
        running = ContainerView(name="trainer", state="running", started_at=self.now)
        agent = ContainerView(name="trainyard-agent", state="running", started_at=self.now)
        self.change(pod.uid, phase="Running", trainer=running, sidecars=(agent,) if self.output else ())

    def _fetch_ends(self, pod: PodView, code: int, **word: Any) -> None:
        fetch = ContainerView(
            name="trainyard-fetch",
            state="terminated",
            exit_code=code,
            message=json.dumps(word),
            finished_at=self.now,
        )
        self._over(pod, phase="Failed", init=(fetch,))

    def fetch_fails(self, pod: PodView) -> None:
        self.ghosts[pod.uid].failed = True
        self._fetch_ends(pod, 1, error="The bucket does not answer.")

    def exits(self, pod: PodView, code: int, *, message: str = "", by_itself: bool = True) -> None:
        old = pod.trainer
        assert old is not None
        self.ghosts[pod.uid].done = code == 0 and by_itself
        self.ghosts[pod.uid].failed = code != 0 and by_itself
        trainer = dataclasses.replace(
            old,
            state="terminated",
            reason="Completed" if code == 0 else "Error",
            message=message,
            exit_code=code,
            finished_at=self.now,
        )
        self._replace(logs={**self.job.logs, pod.uid: LogView(ended=True)})
        if self.output:
            self.change(pod.uid, trainer=trainer)
        else:
            self._over(pod, phase="Failed" if code else "Succeeded", trainer=trainer)

    def told_to_end(self, pod: PodView, *, code: int) -> None:
        """SIGTERM reaches what runs of a pod that is being deleted."""
        if pod.trainer is None:
            self._over(pod, phase="Failed")
        elif pod.trainer.state == "running":
            self.exits(pod, code, message=_STOPPED if code == 0 else "", by_itself=False)

    def uploads(self, pod: PodView) -> None:
        self.ghosts[pod.uid].uploaded = True

    def asks(self, pod: PodView) -> None:
        """The agent of rank 0 asks for the verdict, and writes the result on the operator's word."""
        if pod.rank != 0 or not self.ghosts[pod.uid].uploaded or max(self.claims) > pod.attempt:
            return
        answer = confirming.confirmed(self.job, pod.uid, now=self.now, context=STORY_CONTEXT)
        if answer["state"] == "Complete" and self.result is None:
            self.result = pod.attempt

    def agent_ends(self, pod: PodView, *, word: bool = True) -> None:
        safe = self.ghosts[pod.uid].uploaded
        self.ghosts[pod.uid].failed |= not (safe and word) and pod.deletion_requested_at is None
        agent = ContainerView(
            name="trainyard-agent",
            state="terminated",
            exit_code=0 if safe else 1,
            message=json.dumps({"uploaded": safe, "error": "" if safe else "slow"}) if word else "",
            finished_at=self.now,
        )
        failed = pod.trainer is not None and pod.trainer.exit_code != 0
        self._over(pod, phase="Failed" if failed else "Succeeded", sidecars=(agent,))

    def taken(self, pod: PodView, *, evicted: bool) -> None:
        marks: dict[str, Any] = {}
        if evicted:
            marks = {
                "disrupted": True,
                "disrupted_at": self.now,
                "disruption": "EvictionByEvictionAPI",
            }
        self._deleted(pod.uid)
        self.change(pod.uid, **marks)

    def node_dies(self, pod: PodView) -> None:
        self.ghosts[pod.uid].dead = self.ghosts[pod.uid].lost = True
        view = NodeView(name=str(pod.node), state="silent", since=self.now)
        self._replace(nodes={**self.job.nodes, str(pod.node): view})

    def node_is_tainted(self, pod: PodView) -> None:
        """A minute later: the pod on it is deleted, and nobody ends it."""
        self._deleted(pod.uid)
        self.change(pod.uid, disrupted=True, disrupted_at=self.now, disruption=nodeloss.BY_TAINT)

    def node_returns(self, pod: PodView) -> None:
        self.ghosts[pod.uid].dead = False
        self._replace(nodes={k: v for k, v in self.job.nodes.items() if k != pod.node})

    def node_is_removed(self, pod: PodView) -> None:
        """Its pods are failed and deleted by the garbage collector."""
        self.ghosts[pod.uid].dead = True
        marks = {"disrupted": True, "disrupted_at": self.now, "disruption": nodeloss.BY_PODGC}
        self._deleted(pod.uid)
        self._over(pod, phase="Failed", **marks)

    def vanishes(self, pod: PodView) -> None:
        """Somebody has taken our finalizer off, and the pod is gone."""
        self.ghosts[pod.uid].dead = self.ghosts[pod.uid].forgotten = True
        self._replace(pods=tuple(p for p in self.job.pods if p.uid != pod.uid))

    def _over(self, pod: PodView, **fields: Any) -> None:
        self.change(pod.uid, **fields)
        now = next(p for p in self.job.pods if p.uid == pod.uid)
        if now.deletion_requested_at is not None:
            # NB: the node confirms with a deletion without grace, and the API server stamps it anew.
            self.change(pod.uid, deletion_requested_at=self.now, deletion_due_at=self.now, forced=True)
        self._collect()

    def change(self, uid: str, **fields: Any) -> None:
        self._replace(
            pods=tuple(dataclasses.replace(p, **fields) if p.uid == uid else p for p in self.job.pods)
        )

    def _replace(self, **fields: Any) -> None:
        self.job = dataclasses.replace(self.job, **fields)
        if "status" in fields:
            self.phases.append(f"{self.job.status.get('phase')}/{self.job.status.get('reason')}")
