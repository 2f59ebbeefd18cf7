"""A Dataset in a small world of its own: plans are carried out on plain data, and its pods do what a test tells them.

Separate because the tables and the drawn lives of a Dataset share it. Nothing of Kubernetes is imitated but what a plan
asks for: pods by name, claims with their owners, finalizers, the status.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from tests.unit.planning.builders import NOW
from trainyard.api import names
from trainyard.api.dataset import DatasetSpec
from trainyard.planning import dataends
from trainyard.planning.dataclaims import ClaimStep, ClaimView
from trainyard.planning.dataobserved import DatasetPlan, ObservedDataset
from trainyard.planning.datapods import DataRules
from trainyard.planning.dataset import plan_dataset
from trainyard.planning.podview import ContainerView, PodView

Json = dict[str, Any]

LISTING = "1" * 64
OTHER_LISTING = "2" * 64
DIGEST = "d" * 64
S3 = {"type": "tabular", "format": "csv", "source": {"uri": "s3://bucket/digits"}}
PVC = {"type": "tabular", "format": "csv", "source": {"uri": "pvc://disk/digits"}}


@dataclass
class World:
    """One Dataset with its claims and pods. `used_claims` and `users` are what jobs have."""

    spec: Json
    name: str = "digits"
    uid: str = "uid-1"
    now: float = NOW
    generation: int = 1
    status: Json = field(default_factory=lambda: {"observedGeneration": -1})
    annotations: dict[str, str] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    deleting: bool = False
    pods: dict[str, PodView] = field(default_factory=dict)
    bodies: dict[str, Json] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    claims: dict[str, ClaimView] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    users: tuple[str, ...] = ()
    used_claims: frozenset[str] = frozenset()
    puller_lives: bool = True
    claim_exists: bool = True
    events: list[str] = field(default_factory=list)
    writes: int = 0
    requeue_after: float | None = None
    writes_left: int | None = None

    def observed(self) -> ObservedDataset:
        return ObservedDataset(
            namespace="team-a",
            name=self.name,
            uid=self.uid,
            generation=self.generation,
            deleting=self.deleting,
            status=self.status,
            spec=DatasetSpec.model_validate(self.spec),
            finalizers=self.finalizers,
            refresh_requested_at=self.annotations.get(names.REFRESH_REQUESTED_AT, ""),
            upload=self.annotations.get(names.UPLOAD, ""),
            lineage=self.annotations.get(names.LINEAGE, ""),
            pods=tuple(self.pods.values()),
            claim_exists=self.claim_exists,
            claim=self.claims.get(dataends.claim_to_look_at(self.status)),
            puller_lives=self.puller_lives,
            last_lines=self.lines,
            users=self.users,
            used_claims=self.used_claims,
        )

    def look(self) -> DatasetPlan:
        """One look: plan and carry it out."""
        plan = plan_dataset(self.observed(), now=self.now, rules=DataRules())
        self._carry_out(plan)
        return plan

    def settle(self, limit: int = 20) -> None:
        """Looks until nothing is to be done at once."""
        for _ in range(limit):
            plan = self.look()
            self.requeue_after = plan.plan.requeue_after
            if plan.plan.requeue_after is None or plan.plan.requeue_after >= 1:
                if plan.plan.requeue_after == 1.0:
                    self.now += 1
                    continue
                return
        raise AssertionError("It never comes to rest.")

    def pod(self) -> PodView:
        """The one pod that there is to be."""
        (pod,) = [pod for pod in self.pods.values() if not pod.over]
        return pod

    def survey_ends(self, *, listing: str = LISTING, **words: Any) -> None:
        told = {"listing": listing, "revision": f"rev-{listing[:3]}", "bytes": 1000, "files": 3, **words}
        self._ends(main=names.SURVEY_CONTAINER, told=told, failed="error" in words)
        self.settle()

    def pull_ends(self, **words: Any) -> None:
        """The init container ends; with `error` it fails, and the pod with it."""
        pod = self.pod()
        failed = "error" in words
        told = words if failed else {"listing": LISTING, "sha256": DIGEST, "bytes": 1000, "files": 3}
        ended = a_container(names.PULL_CONTAINER, told, exit_code=int(failed))
        self.pods[pod.name] = dataclasses.replace(pod, init=(ended,), phase="Failed" if failed else "Running")
        self.settle()

    def check_ends(self, *, valid: bool = True, **words: Any) -> None:
        pod = self.pod()
        profile = {"summary": "3 rows", "files": 3, "bytes": 1000}
        line = {"valid": valid, "profile": profile, "sha256": DIGEST, "bytes": 1000, "files": 3, **words}
        self.lines[pod.uid] = orjson.dumps({"check": line}).decode()
        told = {"valid": valid, "error": "" if valid else "a.csv, line 3: two values are missing."}
        self._ends(main=names.CHECK_CONTAINER, told=told, failed=False)
        self.settle()

    def pulled(self) -> World:
        """All of it, to the end."""
        self.settle()
        self.survey_ends()
        self.pull_ends()
        self.check_ends()
        return self

    def edit(self, **spec: Any) -> None:
        self.spec = {**self.spec, **spec}
        self.generation += 1

    def said(self) -> tuple[str, str]:
        return self.status["phase"], self.status["reason"]

    def condition(self, kind: str) -> str:
        return next(c["status"] for c in self.status["conditions"] if c["type"] == kind)

    def _ends(self, *, main: str, told: Json, failed: bool) -> None:
        pod = self.pod()
        ended = a_container(main, told, exit_code=int(failed))
        self.pods[pod.name] = dataclasses.replace(
            pod, trainer=ended, phase="Failed" if failed else "Succeeded"
        )

    def _carry_out(self, found: DatasetPlan) -> None:
        """All of it in its order, or as many writes as there are before the operator is killed."""
        for write in self._writes_of(found):
            if self.writes_left is not None:
                if self.writes_left == 0:
                    return
                self.writes_left -= 1
            write()

    def _writes_of(self, found: DatasetPlan) -> Iterator[Callable[[], Any]]:
        grows = found.finalizers is not None and len(found.finalizers) > len(self.finalizers)
        if grows:
            yield lambda: self._finalize(found.finalizers or ())
        for step in found.claims:
            yield partial(self._step, step)
        for body in found.plan.create:
            yield partial(self._make, body)
        if found.plan.status is not None:
            yield lambda: self._write(found)
        for pod in found.plan.delete:
            yield partial(self.pods.pop, pod.name, None)
        if found.finalizers is not None and not grows:
            yield lambda: self._finalize(found.finalizers or ())

    def _finalize(self, finalizers: tuple[str, ...]) -> None:
        self.finalizers = finalizers

    def _write(self, found: DatasetPlan) -> None:
        self.status = orjson.loads(orjson.dumps(found.plan.status))
        self.writes += 1
        self.events += [one.reason for one in found.plan.announce]

    def _make(self, body: Any) -> None:
        name = body["metadata"]["name"]
        if name in self.pods:
            return
        raw = {
            **body,
            "metadata": {**body["metadata"], "uid": f"uid-{name}-{len(self.made)}"},
            "status": {"phase": "Pending"},
        }
        self.pods[name] = PodView.from_raw(raw)
        self.bodies[name] = body
        self.made.append(name)

    def _step(self, step: ClaimStep) -> None:
        if step.verb == "make":
            assert step.name not in self.claims
            metadata = {**(step.body or {})["metadata"], "uid": f"uid-{step.name}", "resourceVersion": "1"}
            self.claims[step.name] = ClaimView.from_raw({**(step.body or {}), "metadata": metadata})
        elif step.verb == "let_go":
            seen = self.claims.get(step.name)
            others = tuple(o for o in seen.owners if o["uid"] != self.uid) if seen is not None else ()
            if seen is not None and others:
                self.claims[step.name] = dataclasses.replace(seen, owners=others)
            else:
                self.claims.pop(step.name, None)
        else:
            assert step.seen is not None
            raw = {
                "metadata": {
                    "name": step.name,
                    "uid": step.seen.uid,
                    "resourceVersion": str(int(step.seen.version) + 1),
                    "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
                    "annotations": {
                        names.LISTING: step.seen.listing,
                        names.PULLER: step.seen.puller,
                        **(
                            {names.PUBLISHED: step.seen.published.text()}
                            if step.seen.published is not None
                            else {}
                        ),
                        **(step.metadata or {}).get("annotations", {}),
                    },
                    "ownerReferences": (step.metadata or {}).get("ownerReferences", list(step.seen.owners)),
                }
            }
            kept = {
                field: getattr(step.seen, field) for field in ("storage", "access_modes", "storage_class")
            }
            self.claims[step.name] = dataclasses.replace(ClaimView.from_raw(raw), **kept)


def a_container(name: str, told: Json, *, exit_code: int = 0) -> ContainerView:
    return ContainerView(
        name=name,
        state="terminated",
        exit_code=exit_code,
        message=orjson.dumps(told).decode(),
        started_at=NOW,
        finished_at=NOW,
    )
