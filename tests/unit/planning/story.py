"""A job's life played through plans alone: what a plan asks for happens at once, what nodes and people do when told.

For `test_transitions` and `test_stops`; time stands still unless it is passed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from tests.unit.planning.builders import CONTEXT, NOW, a_job, a_pod, a_spec, an_experiment
from trainyard.api import names
from trainyard.planning.experimentview import Membership
from trainyard.planning.observed import LogView, ObservedJob
from trainyard.planning.plan import Plan
from trainyard.planning.podview import ContainerView, PodView
from trainyard.planning.progress import Report, SavedCheckpoint
from trainyard.planning.runtime import Runtime, RuntimeAction
from trainyard.planning.times import stamp
from trainyard.planning.trainingjob import plan_training_job

EVERY_EVENT = ["Started", "Progress", "Paused", "Resumed", "Completed", "Failed", "Canceled"]
STORY_CONTEXT = dataclasses.replace(
    CONTEXT,
    catalog=(
        Runtime(
            name="reference",
            image="trainyard/trainer:test",
            types=frozenset({"neural_network"}),
            actions={"train": RuntimeAction(resumable=True), "evaluate": RuntimeAction()},
        ),
    ),
    follow_logs=True,
)


class Story:
    """One job; `told` are the events of its callbacks in order, `phases` what its status has read."""

    def __init__(self, **spec: Any) -> None:
        spec.setdefault("callbacks", [{"name": "all", "url": "https://x.example", "events": EVERY_EVENT}])
        self.now = NOW
        self.fields: dict[str, Any] = {"outputs": None, **spec}
        self.fields.pop("outputs")
        self.job: ObservedJob = a_job(spec=a_spec(**self.fields))
        self.created: list[str] = []
        self.bodies: list[Mapping[str, Any]] = []
        self.deleted: list[str] = []
        self.phases: list[str] = []
        self.grace: list[int | None] = []

    # What is.

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.job.status)

    @property
    def said(self) -> str:
        return f"{self.status.get('phase')}/{self.status.get('reason')}"

    @property
    def told(self) -> list[str]:
        return [entry["event"] for entry in self.status.get("callbacks") or []]

    @property
    def pod(self) -> PodView:
        return self.job.pods[-1]

    def condition(self, kind: str) -> str:
        conditions = self.status.get("conditions") or []
        return next((c["status"] for c in conditions if c["type"] == kind), "absent")

    # What happens.

    def look(self) -> Plan:
        """One reconcile, and what it asks for."""
        plan = plan_training_job(self.job, now=self.now, context=STORY_CONTEXT)
        pods = list(self.job.pods)
        for raw in plan.create:
            self.created.append(raw["metadata"]["name"])
            attempt = int(raw["metadata"]["name"].split("-")[1])
            pods.append(
                dataclasses.replace(
                    a_pod(attempt=attempt, scheduled=False, finalized=True, uid=f"pod-{len(self.created)}"),
                    parameters_digest=raw["metadata"]["annotations"]["trainyard.dev/parameters-digest"],
                    spec_hash=raw["metadata"]["annotations"]["trainyard.dev/spec-hash"],
                    datasets=raw["metadata"]["annotations"].get(names.DATASETS, ""),
                    base_models=raw["metadata"]["annotations"].get(names.BASE_MODELS, ""),
                    created_at=self.now,
                )
            )
            self.bodies.append(raw)
        deleted, released = {pod.uid for pod in plan.delete}, {pod.uid for pod in plan.release}
        for pod in plan.delete:
            self.deleted.append(pod.name)
            self.grace.append(plan.grace_seconds)
        result = []
        for pod in pods:
            if pod.uid in deleted and pod.deletion_requested_at is None:
                pod = dataclasses.replace(pod, deletion_requested_at=self.now)
            if pod.uid in released:
                pod = dataclasses.replace(pod, finalized=False)
            gone = pod.deletion_requested_at is not None and not pod.finalized
            if not (gone and (pod.over or not pod.scheduled)):
                result.append(pod)
        status = self.job.status if plan.status is None else plan.status
        if plan.status is not None:
            self.phases.append(f"{status.get('phase')}/{status.get('reason')}")
        self.job = dataclasses.replace(self.job, pods=tuple(result), status=status, memory=plan.memory)
        return plan

    def settle(self) -> Story:
        """Reconcile until nothing changes; what is Pending is given the time to be written."""
        for _ in range(20):
            before = (self.job.status, self.job.pods)
            plan = self.look()
            if (self.job.status, self.job.pods) == before and plan.requeue_after != 0.0:
                if plan.requeue_after is None or plan.requeue_after > 3.5:
                    return self
                self.now += plan.requeue_after + 0.01
        raise AssertionError(f"it never comes to rest: {self.phases[-6:]}")

    def edit(self, **spec: Any) -> Story:
        """The user changes the spec; what nobody rings for is not settled yet."""
        self.fields |= spec
        self.job = dataclasses.replace(
            self.job, spec=a_spec(**self.fields), generation=self.job.generation + 1
        )
        return self

    def experiment(self, **wishes: Any) -> Story:
        """Its Experiment is there, and wants this of its jobs."""
        self.job = dataclasses.replace(self.job, experiment=an_experiment(**wishes))
        return self

    def experiment_is_gone(self, *, with_its_jobs: bool = False) -> Story:
        """It is deleted, and the job goes with it or was left behind."""
        owner = Membership(owner="experiment-uid", goes=with_its_jobs) if with_its_jobs else Membership()
        self.job = dataclasses.replace(self.job, experiment=None, membership=owner)
        return self

    def retry(self, at: str = "2027-01-15T08:00:00Z") -> Story:
        self.job = dataclasses.replace(self.job, retry_requested_at=at)
        return self

    def passes(self, seconds: float) -> Story:
        self.now += seconds
        return self

    def pod_is_scheduled(self) -> Story:
        return self._pod(scheduled=True, scheduled_at=self.now, node="node-1")

    def pod_runs(self) -> Story:
        trainer = ContainerView(name="trainer", state="running", started_at=self.now)
        return self.pod_is_scheduled()._pod(phase="Running", trainer=trainer)

    def trainer_says(self, *, epoch: int, of: int = 10, checkpoint: bool = False) -> Story:
        """A status line, perhaps with a checkpoint."""
        at = stamp(self.now)
        old = self.job.logs.get(self.pod.uid)
        saved = old.report.checkpoint if old is not None and old.report is not None else None
        if checkpoint:
            path = (
                f"/trainyard/output/{self.job.uid}/attempt-{self.pod.attempt}/checkpoints/epoch-{epoch:06d}"
            )
            saved = SavedCheckpoint(epoch=epoch, path=path, at=at)
        report = Report(at=at, status="RUNNING", epoch=epoch, max_epoch=of, checkpoint=saved)
        return self._log(LogView(report=report, silent_since=self.now))

    def pod_ends(self, code: int, *, message: str = "", reason: str = "") -> Story:
        """Its trainer exits, and its log is complete."""
        self._log(dataclasses.replace(self.job.logs.get(self.pod.uid) or LogView(), ended=True))
        old = self.pod.trainer
        trainer = ContainerView(
            name="trainer",
            state="terminated",
            reason=reason or ("Completed" if code == 0 else "Error"),
            message=message,
            exit_code=code,
            started_at=old.started_at if old is not None else None,
            finished_at=self.now,
        )
        return self._pod(phase="Succeeded" if code == 0 else "Failed", trainer=trainer)

    def trainer_is_done(self) -> Story:
        """Its trainer exits with 0, and the agent beside it begins to upload."""
        agent = ContainerView(name="trainyard-agent", state="running", started_at=self.now)
        return self.pod_ends(0)._pod(phase="Running", sidecars=(agent,))

    def agent_ends(self, **word: object) -> Story:
        """The agent beside an ended trainer ends with this word, or without one."""
        agent = ContainerView(
            name="trainyard-agent",
            state="terminated",
            exit_code=0 if word.get("uploaded") else 137,
            message=json.dumps(word) if word else "",
            finished_at=self.now,
        )
        return self._pod(phase="Succeeded", sidecars=(agent,))

    def pod_is_evicted(self) -> Story:
        """Its node is drained: a disruption, SIGTERM, and its trainer ends by it."""
        self._pod(disrupted=True, disrupted_at=self.now, deletion_requested_at=self.now)
        return self.pod_ends(143)

    def pod_is_deleted(self) -> Story:
        """Somebody deletes it; its trainer has not ended yet."""
        return self._pod(deletion_requested_at=self.now)

    def pod_vanishes(self) -> Story:
        """It is gone and left no verdict."""
        self.job = dataclasses.replace(self.job, pods=self.job.pods[:-1])
        return self

    def _pod(self, **fields: Any) -> Story:
        pods = (*self.job.pods[:-1], dataclasses.replace(self.pod, **fields))
        self.job = dataclasses.replace(self.job, pods=pods)
        return self

    def _log(self, view: LogView) -> Story:
        self.job = dataclasses.replace(self.job, logs={**self.job.logs, self.pod.uid: view})
        return self
