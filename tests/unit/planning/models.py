"""An MLModel in a small world of its own: plans are carried out on plain data, its jobs do what a test tells them.

Separate because the tables and the drawn lives of a model share it. Nothing of Kubernetes is imitated but what a plan
asks for: jobs and Experiments by name, pods by name, the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.unit.planning.builders import NOW
from trainyard.api import names
from trainyard.api.mlmodel import MLModelSpec
from trainyard.planning.context import Context
from trainyard.planning.lookedup import PodEvent
from trainyard.planning.merge import merged
from trainyard.planning.model import plan_model
from trainyard.planning.modelobserved import ModelPlan, ObservedModel, TaskView, task_of
from trainyard.planning.modelrules import ModelRules
from trainyard.planning.observed import Refusal
from trainyard.planning.podview import PodView
from trainyard.planning.runtime import Runtime, RuntimeAction
from trainyard.planning.times import stamp

Json = dict[str, Any]

OUTPUT = {"claimName": "models"}
FOREST: Json = {
    "type": "random_forest",
    "trainingConfig": {"n_estimators": 20, "random_seed": 42},
    "datasets": {"train": ["digits"]},
    "output": OUTPUT,
    "training": {},
}
TYPES = frozenset({"decision_tree", "random_forest", "regression", "neural_network"})
CATALOG = (
    Runtime(
        name="reference",
        image="trainyard/trainer:test",
        types=TYPES,
        metrics=("accuracy", "rmse"),
        actions={
            "train": RuntimeAction(resumable=True, epochs=("epochs",)),
            "evaluate": RuntimeAction(needs_parent=True),
            "recommend": RuntimeAction(),
        },
    ),
    Runtime(
        name="publisher",
        image="trainyard/publisher:test",
        actions={"publish": RuntimeAction(), "unpublish": RuntimeAction()},
    ),
)
RULES = ModelRules(context=Context(catalog=CATALOG))
_PHASES = {"Done": "True", "Error": "False", "Canceled": "False"}


@dataclass
class World:
    """One MLModel with what works for it. `writes_left` is how many writes the operator lives for; None: for ever."""

    spec: Json
    name: str = "digits"
    uid: str = "model-uid"
    now: float = NOW
    generation: int = 1
    status: Json = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, Json] = field(default_factory=dict)
    pods: dict[str, PodView] = field(default_factory=dict)
    answers: dict[str, Json] = field(default_factory=dict)
    refusals: dict[tuple[str, str], Refusal] = field(default_factory=dict)
    warnings: dict[str, tuple[PodEvent, ...]] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    missing: frozenset[str] = frozenset()
    stores_records: bool = True
    writes_left: int | None = None
    rules: ModelRules = RULES
    _counter: int = 0

    def observed(self) -> ObservedModel:
        tasks = tuple(self._view(raw) for raw in self.tasks.values() if self._is_of_the_model(raw))
        outcomes = {
            task.uid: self._view(self.tasks[task.outcome_job])
            for task in tasks
            if task.registers and task.succeeded and task.outcome_job in self.tasks
        }
        spec = MLModelSpec.model_validate(self.spec)
        return ObservedModel(
            namespace="team-a",
            name=self.name,
            uid=self.uid,
            generation=self.generation,
            deleting=False,
            status=self.status,
            spec=spec,
            train_requested_at=self.annotations.get(names.TRAIN_REQUESTED_AT, ""),
            tasks=tasks,
            outcomes=outcomes,
            answers={raw["metadata"]["uid"]: self.answers.get(name, {}) for name, raw in self.tasks.items()},
            refusals=self.refusals,
            pods=tuple(self.pods.values()),
            events=self.warnings,
            datasets=(frozenset(spec.datasets.train) | {spec.monitor.dataset if spec.monitor else ""})
            - self.missing,
        )

    def look(self) -> ModelPlan:
        """One look: plan and carry it out."""
        plan = plan_model(self.observed(), now=self.now, rules=self.rules)
        for job in plan.jobs:
            if not self._may_write():
                return plan
            if job.verb == "make":
                assert job.name not in self.made, f"{job.name} is made twice"
                self._post(dict(job.body))
            elif self.tasks.get(job.name, {}).get("metadata", {}).get("uid") != job.uid:
                continue
            elif job.verb == "patch":
                self.tasks[job.name] = merged(self.tasks[job.name], job.body)
            else:
                del self.tasks[job.name]
                self.removed.append(job.name)
        for body in plan.plan.create:
            if not self._may_write():
                return plan
            self._pod(dict(body))
        if plan.plan.status is not None:
            if not self._may_write():
                return plan
            # NB: as the API server would have it: what is written is JSON.
            self.status = orjson.loads(orjson.dumps(plan.plan.status))
        for pod in plan.plan.delete:
            self.pods.pop(pod.name, None)
        self.events += [one.reason for one in plan.plan.announce]
        return plan

    def settle(self, limit: int = 40) -> World:
        """Looks until one asks for nothing."""
        for _ in range(limit):
            before = orjson.dumps([self.status, sorted(self.tasks), sorted(self.pods)])
            plan = self.look()
            if orjson.dumps([self.status, sorted(self.tasks), sorted(self.pods)]) == before and not plan.jobs:
                return self
        raise AssertionError(f"It never comes to rest: {self.status.get('message')}")

    def passes(self, seconds: float) -> World:
        self.now += seconds
        return self

    def edit(self, **spec: Any) -> World:
        self.spec = {key: value for key, value in {**self.spec, **spec}.items() if value is not None}
        self.generation += 1
        return self.passes(1)

    def asked(self, value: str = "again") -> World:
        """The annotation that asks for a training."""
        self.annotations[names.TRAIN_REQUESTED_AT] = value
        return self.passes(1)

    def posted(self, name: str, **spec: Any) -> World:
        """A TrainingJob of the user's own that names the model."""
        body = {"metadata": {"name": name}, "kind": "TrainingJob"}
        self._post({**body, "spec": {"action": "train", "model": self.name, "output": OUTPUT, **spec}})
        return self.passes(1)

    def runs(self, name: str) -> World:
        self.tasks[name].setdefault("status", {}).update(
            phase="Running", reason="Training", message="Action train is running.", startTime=stamp(self.now)
        )
        return self.passes(10)

    def ends(self, name: str, phase: str = "Done", **metrics: float) -> World:
        """The job has come to its end; one that is Done has left artifacts."""
        raw = self.tasks[name]
        raw["status"] = {
            **raw.get("status", {}),
            "phase": phase,
            "reason": {"Done": "Completed", "Error": "OutOfMemory", "Canceled": "CanceledByUser"}[phase],
            "message": "It has ended.",
            "completionTime": stamp(self.now),
            "conditions": [{"type": "Succeeded", "status": _PHASES[phase]}],
            "attempts": [{"number": 0, "imageDigest": "example.com/t@sha256:" + "1" * 64}],
            "metrics": [{"name": key, "value": str(value)} for key, value in metrics.items()],
        }
        if phase == "Done" and raw["kind"] == "TrainingJob":
            uid = raw["metadata"]["uid"]
            raw["status"]["artifacts"] = [
                {"uri": f"pvc://models/{uid}/attempt-0", "size": 10, "sha256": f"{self._counter:064x}"}
            ]
        return self.passes(1)

    @property
    def newest(self) -> str:
        """The name of the training that was made last."""
        return [name for name in self.made if "-train-" in name or "-x" in name][-1]

    def _view(self, raw: Json) -> TaskView:
        return task_of(raw["kind"], raw, model=self.name, model_uid=self.uid)

    def _is_of_the_model(self, raw: Json) -> bool:
        labels = raw["metadata"].get("labels") or {}
        return bool(raw["spec"].get("model") == self.name or labels.get(names.LABEL_MODEL) == self.name)

    def _may_write(self) -> bool:
        if self.writes_left is None:
            return True
        self.writes_left -= 1
        return self.writes_left >= 0

    def _post(self, body: Json) -> None:
        self._counter += 1
        body["metadata"] = {
            **body["metadata"],
            "uid": f"uid-{self._counter}",
            "creationTimestamp": stamp(self.now),
        }
        name = body["metadata"]["name"]
        self.tasks[name] = body
        self.made.append(name)

    def _pod(self, body: Json) -> None:
        """A pod that stores a record has done so at once, or never does."""
        said: Mapping[str, Any] = {"card": {"path": "x", "sha256": "2" * 64}, "record": {"sha256": "3" * 64}}
        ended = {"exitCode": 0, "message": orjson.dumps(said).decode(), "finishedAt": stamp(self.now)}
        if not self.stores_records:
            ended = {
                "exitCode": 1,
                "message": '{"error": "the claim is full"}',
                "finishedAt": stamp(self.now),
            }
        body["status"] = {
            "phase": "Succeeded" if self.stores_records else "Failed",
            "containerStatuses": [{"name": names.RECORD_CONTAINER, "state": {"terminated": ended}}],
        }
        pod = PodView.from_raw(body)
        self.pods[pod.name] = pod
