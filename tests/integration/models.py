"""MLModels of one namespace and the jobs that make their versions, on fake nodes.

Separate because the tests of a model's life, of its races and of killed operators tell their stories in its words. What
a fake pod does is in tests/harness/stages/pods.yaml; the pods that store records run until a test ends them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from tests.harness.client import Json
from tests.integration.experiments import BRIEFLY, FAKE, Experiments, pretend
from tests.objects import found, manifest

LAST = '{"metrics": {"accuracy": 0.97}, "keyMetric": {"name": "accuracy", "value": 0.97}}'
STORED = {"uploaded": True, "uri": "s3://models/made/folder", "sha256": "a" * 64, "size": 1000}
STORE = "s3://models/made"


class Models(Experiments):
    """MLModels, their jobs, their versions, and the pods of all of these."""

    def keep(
        self,
        name: str,
        *,
        run_for: str | None = BRIEFLY,
        fake: Mapping[str, str] | None = None,
        draft: bool = False,
        **spec: Any,
    ) -> Json:
        """POST an MLModel that is trained at once by a job that leaves something, unless it is a `draft` or `spec` (in
        camelCase) says how it is trained; `fake` are annotations of the pods that train it.
        """
        spec.setdefault("output", {"uri": STORE})
        if not draft:
            spec.setdefault("training", {"jobTemplate": {"spec": a_training(run_for, **(fake or {}))}})
        return self.client.post(self.path("mlmodels"), manifest("MLModel", name, spec))

    def registers(
        self, name: str, model: str, *, run_for: str | None = BRIEFLY, fake: Mapping[str, str] | None = None
    ) -> Json:
        """POST a TrainingJob that becomes a version of a model."""
        spec = {**a_training(run_for, **(fake or {})), "model": model, "output": {"uri": STORE}}
        return self.client.post(self.path("trainingjobs"), manifest("TrainingJob", name, spec))

    def model(self, name: str) -> Json:
        return self.client.get(self.path("mlmodels", name))

    def told_of(self, name: str) -> Json:
        return dict(self.model(name).get("status") or {})

    def edit_model(self, name: str, **spec: Any) -> None:
        self.client.patch(self.path("mlmodels", name), {"spec": spec})

    def ask_to_train(self, name: str, value: str) -> None:
        asked = {"metadata": {"annotations": {"trainyard.dev/train-requested-at": value}}}
        self.client.patch(self.path("mlmodels", name), asked)

    def becomes(self, name: str, lifecycle: str, *, version: int | None = None, timeout: float = 40) -> Json:
        """The MLModel's status once it speaks of the spec as it is and has this lifecycle (and newest version)."""
        seen: list[Json] = [{}]

        def there() -> Json | None:
            one = self.model(name)
            status = seen[0] = one.get("status") or {}
            current = status.get("observedGeneration") == one["metadata"]["generation"]
            right = status.get("lifecycle") == lifecycle and version in (None, status.get("latestVersion"))
            return status if current and right else None

        try:
            return dict(found(there, what=f"{name} to be {lifecycle} {version or ''}", timeout=timeout))
        except Exception as error:
            raise AssertionError(f"{error}; its status is {orjson.dumps(seen[0]).decode()}") from error

    def versions(self, name: str) -> dict[int, Json]:
        """What its status lists, by number."""
        listed = self.told_of(name).get("versions") or []
        assert len({one["number"] for one in listed}) == len(listed)
        return {one["number"]: one for one in listed}

    def leaves(self, job: str) -> None:
        """The pod of a training that would run for ever ends now, and has stored what it made in the job's folder."""
        where = f"{STORE}/{self.get(job)['metadata']['uid']}/attempt-0"
        told = {f"{FAKE}/agent-message": json.dumps({**STORED, "uri": where})}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{job}-0-0"
        self.client.patch(path, {"metadata": {"annotations": told}})
        self.ends(job, message=LAST)

    def records(self, name: str, number: int) -> None:
        """The pod that stores the record of a version has done so."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}-record-{number}"
        found(lambda: self.client.find(path), what=f"the pod that stores version {number}")
        said = {
            "card": {"path": "card", "sha256": "b" * 64},
            "record": {"path": "record", "sha256": "c" * 64},
        }
        told = {f"{FAKE}/run-for": "0s", f"{FAKE}/message": json.dumps(said)}
        self.client.patch(path, {"metadata": {"annotations": told}})

    def of_model(self, name: str) -> dict[str, Json]:
        """The TrainingJobs that a model has made."""
        query = {"labelSelector": f"trainyard.dev/model={name}"}
        return {job["metadata"]["name"]: job for job in self.client.list(self.path("trainingjobs"), **query)}

    def based_on(self, pod: Json) -> list[Json]:
        """The base models that a pod was made with."""
        return list(json.loads(pod["metadata"]["annotations"]["trainyard.dev/base-models"]))


def a_training(run_for: str | None = BRIEFLY, **fake: str) -> Json:
    """The spec of a job whose fake pod trains, and has stored what it made."""
    fake = {"message": LAST, "agent_message": json.dumps(STORED), **fake}
    return {
        "image": "example.com/trainer:1",
        "backoffLimit": 0,
        "gracePeriodSeconds": 1,
        "template": pretend(run_for=run_for, **fake),
    }
