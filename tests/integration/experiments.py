"""Experiments of one namespace and the jobs that they make, on fake nodes.

Separate because the tests of chains, of searches and of killed operators tell their stories in its words. What a fake
pod does is in tests/harness/stages/pods.yaml.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from tests.harness.client import Json
from tests.objects import Jobs, found, manifest

FAKE = "fake.trainyard.dev"
#: So long a pod of a step runs where nothing is said.
BRIEFLY = "200ms"


class Experiments(Jobs):
    """Experiments, their children, and the pods of these."""

    def begin(
        self,
        name: str,
        *,
        run_for: str | None = BRIEFLY,
        fake: Mapping[str, str] | None = None,
        job: Json | None = None,
        stored: bool = True,
        **spec: Any,
    ) -> Json:
        """POST an Experiment; `fake` are annotations of its pods (None as `run_for`: they run for ever), `job` is what
        its jobTemplate says besides, `spec` in camelCase. What its jobs leave is `stored`, so that it can be handed on.
        """
        body: Json = {"image": "example.com/trainer:1", "backoffLimit": 0, "gracePeriodSeconds": 1}
        body |= {"template": pretend(run_for=run_for, **(fake or {})), **(job or {})}
        spec.setdefault("jobTemplate", {"spec": body})
        if stored:
            spec.setdefault("output", {"uri": "s3://models/made"})
        return self.client.post(self.path("experiments"), manifest("Experiment", name, spec))

    def experiment(self, name: str) -> Json:
        return self.client.get(self.path("experiments", name))

    def told(self, name: str) -> Json:
        return dict(self.experiment(name).get("status") or {})

    def edit(self, name: str, **spec: Any) -> None:
        self.client.patch(self.path("experiments", name), {"spec": spec})

    def comes_to(self, name: str, phase: str, reason: str | None = None, *, timeout: float = 40) -> Json:
        """The Experiment's status once it speaks of the spec as it is and has this phase and reason."""
        seen: list[Json] = [{}]

        def there() -> Json | None:
            one = self.experiment(name)
            status = seen[0] = one.get("status") or {}
            current = status.get("observedGeneration") == one["metadata"]["generation"]
            right = status.get("phase") == phase and reason in (None, status.get("reason"))
            return status if current and right else None

        try:
            return dict(found(there, what=f"{name} to be {phase} {reason or ''}", timeout=timeout))
        except Exception as error:
            short = {k: v for k, v in seen[0].items() if k != "automl"}
            raise AssertionError(f"{error}; its status is {orjson.dumps(short).decode()}") from error

    def steps(self, name: str) -> dict[str, Json]:
        """What its status tells of each step."""
        return {step["name"]: step for step in self.told(name).get("steps") or []}

    def children(self, name: str) -> dict[str, Json]:
        """The TrainingJobs with its label."""
        query = {"labelSelector": f"trainyard.dev/experiment={name}"}
        jobs = self.client.list(self.path("trainingjobs"), **query)
        return {job["metadata"]["name"]: job for job in jobs}

    def child(self, name: str) -> Json:
        """A TrainingJob once it is there."""
        path = self.path("trainingjobs", name)
        return dict(found(lambda: self.client.find(path), what=f"the job {name}"))

    def ends(self, job: str, *, attempt: int = 0, code: int = 0, message: str = "") -> None:
        """The pod of a job that would run for ever ends now."""
        told = {f"{FAKE}/run-for": "0s", f"{FAKE}/exit-code": str(code), f"{FAKE}/message": message}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{job}-{attempt}-0"
        self.client.patch(path, {"metadata": {"annotations": told}})


def pretend(*, run_for: str | None = BRIEFLY, **fake: str) -> Json:
    """The `template` of a job whose fake pod does so."""
    told = {f"{FAKE}/{key.replace('_', '-')}": value for key, value in fake.items()}
    if run_for is not None:
        told[f"{FAKE}/run-for"] = run_for
    return {"metadata": {"annotations": told}}


def step(name: str, *after: str, action: str = "", job: Json | None = None, **more: Any) -> Json:
    """A step of a chain that comes after those; its action is its name unless it is said. `job` is over the
    jobTemplate."""
    entry: Json = {"name": name, "action": action or name, "dependsOn": list(after), **more}
    return entry if job is None else {**entry, "jobTemplate": {"spec": job}}


def uids(children: Mapping[str, Json], names: Iterable[str]) -> dict[str, str]:
    return {name: children[name]["metadata"]["uid"] for name in names}


def searched(job: Json) -> dict[str, str]:
    """The parameters of a trial, as its search chose them."""
    return dict(json.loads(job["metadata"]["annotations"]["trainyard.dev/trial-parameters"]))


def owners(job: Json) -> list[tuple[str, str, bool]]:
    """Kind and name of the owners of a job, and whether each controls it."""
    references = job["metadata"].get("ownerReferences") or []
    return [(one["kind"], one["name"], bool(one.get("controller"))) for one in references]


def condition(status: Json, kind: str) -> str:
    return str(next((c["status"] for c in status.get("conditions") or [] if c["type"] == kind), "absent"))
