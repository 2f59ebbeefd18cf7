"""An Experiment in a small world of its own: plans are carried out on plain data, its jobs do what a test tells them.

Separate because the tables and the drawn lives of an Experiment share it. Nothing of Kubernetes is imitated but what a
plan asks for: jobs by name, pods by name, the status.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.unit.planning.builders import NOW
from trainyard.api import names
from trainyard.api.experiment import ExperimentSpec
from trainyard.planning.context import Context
from trainyard.planning.experiment import plan_experiment
from trainyard.planning.experimentobserved import ChildView, ExperimentPlan, JobStep, ObservedExperiment
from trainyard.planning.experimentrules import ExperimentRules
from trainyard.planning.merge import merged
from trainyard.planning.observed import Refusal
from trainyard.planning.podview import ContainerView, PodView
from trainyard.planning.runtime import Runtime, RuntimeAction
from trainyard.planning.times import stamp

Json = dict[str, Any]

LEARNING_RATE = {"name": "learning_rate", "type": "float", "min": "0.001", "max": "0.1", "log": True}
OUTPUT = {"claimName": "out"}
CHAIN: Json = {
    "type": "neural_network",
    "output": OUTPUT,
    "actions": [
        {"name": "train", "action": "train", "parameters": {"epochs": 4}},
        {"name": "evaluate", "action": "evaluate", "dependsOn": ["train"]},
        {"name": "prune", "action": "prune", "dependsOn": ["train"]},
        {"name": "export", "action": "export", "dependsOn": ["prune", "evaluate"]},
    ],
}

RULES = ExperimentRules(
    context=Context(
        catalog=(
            Runtime(
                name="reference",
                image="trainyard/trainer:test",
                types=frozenset({"neural_network"}),
                metrics=("accuracy", "rmse"),
                actions={
                    "train": RuntimeAction(resumable=True, epochs=("epochs",)),
                    **{
                        action: RuntimeAction(needs_parent=True) for action in ("evaluate", "prune", "export")
                    },
                },
            ),
        )
    )
)


def a_search(**automl: Any) -> Json:
    """A spec with one step that is tuned."""
    return {
        "type": "neural_network",
        "output": OUTPUT,
        "actions": [{"name": "train", "action": "train"}],
        "automl": {"space": [LEARNING_RATE], "seed": 7, **automl},
    }


@dataclass
class World:
    """One Experiment with its jobs, and `others` that are none of its own. `writes_left` from now the operator dies;
    None: never.
    """

    spec: Json
    name: str = "digits"
    uid: str = "uid-1"
    now: float = NOW
    generation: int = 1
    status: Json = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, Json] = field(default_factory=dict)
    others: dict[str, Json] = field(default_factory=dict)
    pods: dict[str, PodView] = field(default_factory=dict)
    orders: dict[str, Json] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    pod_refusal: Refusal | None = None
    writes: int = 0
    writes_left: int | None = None
    rules: ExperimentRules = RULES

    def observed(self) -> ObservedExperiment:
        read = ExperimentSpec.model_validate(self.spec)
        with_curve = read.automl is not None and read.automl.early_stopping is not None
        return ObservedExperiment(
            namespace="team-a",
            name=self.name,
            uid=self.uid,
            generation=self.generation,
            deleting=False,
            status=self.status,
            spec=read,
            retry_requested_at=self.annotations.get(names.RETRY_REQUESTED_AT, ""),
            jobs=tuple(ChildView.from_raw(raw, with_curve=with_curve) for raw in self.jobs.values()),
            parents=frozenset(
                job["spec"]["parentJob"]
                for job in (*self.jobs.values(), *self.others.values())
                if job["spec"].get("parentJob") and not job.get("status", {}).get("completionTime")
            ),
            pods=tuple(self.pods.values()),
            proposals={pod.uid: self.lines[pod.uid] for pod in self.pods.values() if pod.uid in self.lines},
            pod_refusal=self.pod_refusal,
        )

    def look(self) -> ExperimentPlan:
        """One look: plan and carry it out."""
        plan = plan_experiment(self.observed(), now=self.now, rules=self.rules)
        self._carry_out(plan)
        return plan

    def settle(self, limit: int = 60) -> None:
        """Looks until one asks for nothing: one after all that has changed jobs or pods, as a doorbell would have it.

        NB: nobody rings for a status alone, so a look after that must find nothing to do.
        """
        rung = True
        for _ in range(limit):
            plan = self.look()
            done = (plan.jobs, plan.plan.create, plan.plan.delete)
            assert rung or not any(done), f"Nobody rings for it: {done}"
            rung = any(done) or plan.plan.requeue_after is not None
            if not plan.jobs and plan.plan == dataclasses.replace(
                plan.plan, status=None, create=(), delete=(), announce=()
            ):
                return
        raise AssertionError(f"It never comes to rest: {self.status.get('message')}")

    def step(self, name: str) -> Json:
        """The status of one step."""
        found: Json = next(entry for entry in self.status["steps"] if entry["name"] == name)
        return found

    def phases(self) -> dict[str, str]:
        """Steps with their phases."""
        return {entry["name"]: entry["phase"] for entry in self.status["steps"]}

    def starts(self, name: str) -> None:
        """A job's pod runs."""
        status = {"phase": "Running", "reason": "Training", "startTime": stamp(self.now)}
        self.jobs[name]["status"] = {**self.jobs[name].get("status", {}), **status}

    def reports(self, name: str, *points: tuple[float, float], metric: str = "accuracy") -> None:
        """A job has told values of the objective by epoch; the greatest is the best."""
        best = max(points, key=lambda point: point[1])
        self.jobs[name].setdefault("status", {})["objective"] = {
            "metric": metric,
            "goal": "Maximize",
            "value": str(best[1]),
            "epoch": best[0],
            "last": str(points[-1][1]),
            "lastEpoch": points[-1][0],
            "curve": {"epochs": [p[0] for p in points], "values": [str(p[1]) for p in points]},
        }

    def ends(
        self,
        name: str,
        phase: str = "Done",
        reason: str = "Completed",
        *,
        value: float | None = None,
        result: Json | None = None,
    ) -> None:
        """A job ends; with a value, that is what its last epoch has told."""
        if value is not None:
            self.reports(name, (1.0, value))
        job = self.jobs[name]
        finished = {"type": "Finished", "status": "True", "reason": reason}
        succeeded = {"type": "Succeeded", "status": "True" if phase == "Done" else "False", "reason": reason}
        job["status"] = {
            **job.get("status", {}),
            "phase": phase,
            "reason": reason,
            "message": f"{reason}.",
            "startTime": job.get("status", {}).get("startTime") or stamp(self.now),
            "completionTime": stamp(self.now),
            "conditions": [finished, succeeded],
            "artifacts": [{"uri": f"pvc://out/{job['metadata']['uid']}"}],
            "retryRequestedAt": job["metadata"]["annotations"].get(names.RETRY_REQUESTED_AT),
            **({"result": result} if result is not None else {}),
        }

    def is_cancelled_with_it(self, name: str) -> None:
        """A job is cancelled as its Experiment is."""
        begun = "startTime" in self.jobs[name].get("status", {})
        self.ends(name, "Canceled", "CanceledByUser")
        status = self.jobs[name]["status"]
        status["stop"] = {"cause": "Cancel", "experiment": self.name, "endTime": stamp(self.now)}
        if not begun:
            del status["startTime"]

    def resumes(self, name: str) -> None:
        """A job that was cancelled with its Experiment goes on with it."""
        self.jobs[name]["status"] = {"phase": "Pending", "reason": "Resuming"}

    def goes_on(self, name: str) -> None:
        """A job that was asked for another try takes it up."""
        job = self.jobs[name]
        asked = job["metadata"]["annotations"].get(names.RETRY_REQUESTED_AT)
        job["status"] = {"phase": "Pending", "reason": "BackingOff", "retryRequestedAt": asked}

    def runs_all(self, value: Callable[[Json], float] | None = None, limit: int = 500) -> None:
        """Every job that is there ends, a cancelled one as such, and those that follow, until no more are made."""
        for _ in range(limit):
            self.settle()
            alive = [
                name for name, job in self.jobs.items() if not job.get("status", {}).get("completionTime")
            ]
            if not alive:
                return
            for name in alive:
                if self.jobs[name]["spec"].get("cancel"):
                    self.ends(name, "Canceled", "CanceledByUser")
                else:
                    self.ends(name, value=value(self.jobs[name]) if value is not None else None)
        raise AssertionError("It never ends.")

    def proposer(self) -> PodView:
        """The one pod that proposes."""
        (pod,) = [pod for pod in self.pods.values() if pod.stage == "propose" and not pod.over]
        return pod

    def proposes(self, *points: tuple[str, ...]) -> None:
        """The proposer answers."""
        pod = self.proposer()
        self.lines[pod.uid] = orjson.dumps({"proposals": points}).decode()
        self.pods[pod.name] = dataclasses.replace(pod, phase="Succeeded")

    def pod_ends(self, pod: PodView, phase: str, message: str = "") -> None:
        code = 0 if phase == "Succeeded" else 1
        ended = ContainerView(
            name="main", state="terminated", message=message, finished_at=self.now, exit_code=code
        )
        self.pods[pod.name] = dataclasses.replace(pod, phase=phase, trainer=ended)

    def edit(self, **spec: Any) -> None:
        self.spec = {**self.spec, **spec}
        self.generation += 1

    def _carry_out(self, plan: ExperimentPlan) -> None:
        for step in plan.jobs:
            self._write(lambda step=step: self._change(step))
        for body in plan.plan.create:
            self._write(lambda body=body: self._create(body))
        if plan.plan.status is not None:
            status = dict(plan.plan.status)
            self._write(lambda: setattr(self, "status", status))
            self.events += [news.reason for news in plan.plan.announce]
        for pod in plan.plan.delete:
            self._write(lambda pod=pod: self.pods.pop(pod.name, None))

    def _write(self, do: Callable[[], Any]) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                return
            self.writes_left -= 1
        self.writes += 1
        do()

    def _change(self, step: JobStep) -> None:
        if step.verb == "make":
            if step.name in self.jobs:
                return
            assert step.name == step.body["metadata"]["name"]
            body = orjson.loads(orjson.dumps(step.body))
            self.made.append(step.name)
            body["metadata"]["uid"] = f"uid-of-{step.name}-{self.made.count(step.name)}"
            self.jobs[step.name] = body
        elif step.verb == "remove":
            self.removed.append(step.name)
            del self.jobs[step.name]
        else:
            self.jobs[step.name] = merged(self.jobs[step.name], step.body)

    def _create(self, body: Json) -> None:
        name = body["metadata"]["name"]
        stage, number = name.removeprefix(f"{self.name}-").rsplit("-", 1)
        assert name not in self.pods
        env = {one["name"]: one["value"] for one in body["spec"]["containers"][0].get("env", [])}
        self.orders[name] = env
        self.pods[name] = PodView(
            name=name,
            uid=f"pod-{self.writes}",
            job_uid=self.uid,
            experiment=self.name,
            stage=stage,
            attempt=int(number),
            rank=0,
            spec_hash=(body["metadata"].get("annotations") or {}).get(names.SPEC_HASH, ""),
        )
