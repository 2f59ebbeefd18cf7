"""A pod and its containers as planning sees them: frozen views of raw Kubernetes JSON.

Separate so that the shape of a raw pod is known in one place, whose it is included; the rest of planning reads names.
There is one of each pod of a cluster: they have slots, and share the words that all pods use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, Literal, NamedTuple

from trainyard.api import names
from trainyard.planning.times import seconds

Json = Mapping[str, Any]

_LOST_REASONS = frozenset(
    {
        "Evicted",
        "Preempting",
        "Terminated",
        "NodeLost",
        "NodeShutdown",
        "Shutdown",
        "UnexpectedAdmissionError",
    }
)
#: Containers that do what a pod is there for.
_MAIN = frozenset(
    {
        names.TRAINER_CONTAINER,
        names.SURVEY_CONTAINER,
        names.CHECK_CONTAINER,
        names.PROPOSE_CONTAINER,
        names.SWEEP_CONTAINER,
        names.RECORD_CONTAINER,
    }
)
_JOB, _DATASET, _EXPERIMENT, _MODEL = "TrainingJob", "Dataset", "Experiment", "MLModel"
_LOST_CONDITIONS = ("DisruptionTarget", "TerminationTarget")


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerView:
    """One container's state. Times are seconds since the epoch."""

    name: str
    state: Literal["waiting", "running", "terminated", "unknown"]
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started_at: float | None = None
    finished_at: float | None = None
    image_digest: str = ""

    @classmethod
    def from_raw(cls, raw: Json) -> ContainerView:
        state = raw.get("state") or {}
        kind: Literal["terminated", "running", "waiting"]
        for kind in ("terminated", "running", "waiting"):
            if kind in state:
                detail = state[kind] or {}
                return cls(
                    name=intern(raw.get("name", "")),
                    state=kind,
                    reason=intern(detail.get("reason") or ""),
                    message=detail.get("message") or "",
                    exit_code=detail.get("exitCode"),
                    # NB: of a container that could not be started it is the zero of Unix time.
                    started_at=seconds(detail.get("startedAt")) or None,
                    finished_at=seconds(detail.get("finishedAt")),
                    # NB: of an image without a registry it is the image's own digest.
                    image_digest=intern(raw.get("imageID") or ""),
                )
        return cls(name=intern(raw.get("name", "")), state="unknown")


@dataclass(frozen=True, kw_only=True, slots=True)
class PodView:
    """A pod with our labels, or what has lost them. Whose it is and which one, its controller and its name say, since
    anybody can copy or change labels: `job_uid` (the UID of the Dataset, Experiment or MLModel of their pods) is empty
    for a pod that nothing of ours has made, whatever its labels say. `job`, `dataset`, `experiment` or `model` is the
    name of what has made it; of a pod of the latter three `stage` says what it does, and `attempt` is its number.

    `finalized` while our finalizer keeps it; the digests are those it was made with, and so are `datasets` and
    `base_models`, as JSON; `forced` when it is being deleted without any grace; `deletion_due_at` is when a node that
    lives has ended it; `disruption` is the reason of the condition that says so, and `disruption_message` its words;
    `unheard_since` is when its node was found to be silent; `claims` are those it mounts, `resource_claims` those whose
    devices it gets, and of the templates in `unmade_claims_of` it has no such claim yet; `watched` while it has the
    labels that our watch selects; `init` are containers that end before the trainer begins, `sidecars` those that run
    beside it.
    """

    name: str
    uid: str
    job_uid: str
    job: str = ""
    dataset: str = ""
    experiment: str = ""
    model: str = ""
    stage: str = ""
    attempt: int
    rank: int
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    node: str | None = None
    created_at: float | None = None
    deletion_requested_at: float | None = None
    forced: bool = False
    deletion_due_at: float | None = None
    disrupted_at: float | None = None
    disruption: str = ""
    disruption_message: str = ""
    unheard_since: float | None = None
    scheduled: bool = False
    scheduled_at: float | None = None
    scheduling_reason: str = ""
    scheduling_message: str = ""
    sandbox_ready: bool = False
    disrupted: bool = False
    finalized: bool = False
    watched: bool = True
    spec_hash: str = ""
    parameters_digest: str = ""
    datasets: str = ""
    base_models: str = ""
    claims: tuple[str, ...] = ()
    resource_claims: tuple[str, ...] = ()
    unmade_claims_of: tuple[str, ...] = ()
    trainer: ContainerView | None = None
    init: tuple[ContainerView, ...] = ()
    sidecars: tuple[ContainerView, ...] = ()

    @classmethod
    def from_raw(cls, raw: Json) -> PodView:
        metadata, status, spec = raw["metadata"], raw.get("status") or {}, raw.get("spec") or {}
        node = spec.get("nodeName")
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        made_by = _made_by(metadata)
        conditions = {c.get("type"): c for c in status.get("conditions") or []}
        scheduled = conditions.get("PodScheduled") or {}
        containers = [ContainerView.from_raw(c) for c in status.get("containerStatuses") or []]
        due_at = seconds(metadata.get("deletionTimestamp"))
        deleted_at = due_at
        if deleted_at is not None:
            deleted_at -= float(metadata.get("deletionGracePeriodSeconds") or 0)
        lost = [
            c for c in map(conditions.get, _LOST_CONDITIONS) if c is not None and c.get("status") == "True"
        ]
        beside = {
            c.get("name") for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"
        }
        init = [ContainerView.from_raw(c) for c in status.get("initContainerStatuses") or []]
        made = {c.get("name") for c in status.get("resourceClaimStatuses") or []}
        disrupted = [at for c in lost if (at := seconds(c.get("lastTransitionTime"))) is not None]
        return cls(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            job_uid=made_by.uid,
            job=made_by.job,
            dataset=made_by.dataset,
            experiment=made_by.experiment,
            model=made_by.model,
            stage=made_by.stage,
            attempt=made_by.attempt,
            rank=made_by.rank,
            phase=intern(status.get("phase") or "Pending"),
            reason=intern(status.get("reason") or ""),
            message=status.get("message") or "",
            node=intern(node) if node is not None else None,
            created_at=seconds(metadata.get("creationTimestamp")),
            deletion_requested_at=deleted_at,
            forced=deleted_at is not None and metadata.get("deletionGracePeriodSeconds") == 0,
            deletion_due_at=due_at,
            disrupted_at=min(disrupted, default=None),
            disruption=next((c["reason"] for c in lost if c.get("reason")), ""),
            disruption_message=next((c["message"] for c in lost if c.get("message")), ""),
            unheard_since=_unheard_since(conditions),
            scheduled=scheduled.get("status") == "True" or bool(spec.get("nodeName")),
            scheduled_at=seconds(scheduled.get("lastTransitionTime"))
            if scheduled.get("status") == "True"
            else None,
            scheduling_reason=intern(scheduled.get("reason") or ""),
            scheduling_message=scheduled.get("message") or "",
            sandbox_ready=(conditions.get("PodReadyToStartContainers") or {}).get("status") == "True",
            disrupted=_is_lost(status.get("reason") or "") or bool(lost),
            finalized=names.VERDICT_FINALIZER in (metadata.get("finalizers") or ()),
            watched=labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY and names.LABEL_ATTEMPT in labels,
            spec_hash=annotations.get(names.SPEC_HASH, ""),
            parameters_digest=annotations.get(names.PARAMETERS_DIGEST, ""),
            claims=tuple(
                volume["persistentVolumeClaim"]["claimName"]
                for volume in spec.get("volumes") or []
                if volume.get("persistentVolumeClaim")
            ),
            resource_claims=tuple(
                claim["resourceClaimName"]
                for claim in spec.get("resourceClaims") or []
                if claim.get("resourceClaimName")
            ),
            unmade_claims_of=tuple(
                claim["resourceClaimTemplateName"]
                for claim in spec.get("resourceClaims") or []
                if claim.get("resourceClaimTemplateName") and claim.get("name") not in made
            ),
            datasets=annotations.get(names.DATASETS, ""),
            base_models=annotations.get(names.BASE_MODELS, ""),
            trainer=next((c for c in containers if c.name in _MAIN), None),
            init=tuple(c for c in init if c.name not in beside),
            sidecars=tuple(c for c in init if c.name in beside),
        )

    @property
    def agent(self) -> ContainerView | None:
        """The sidecar that brings checkpoints and artifacts to the output; None in a pod without one."""
        return next((c for c in self.sidecars if c.name == names.AGENT_CONTAINER), None)

    @property
    def fetch(self) -> ContainerView | None:
        """The init container that fetches what the trainer goes on from; None in a pod without one."""
        return next((c for c in self.init if c.name == names.FETCH_CONTAINER), None)

    @property
    def begun(self) -> bool:
        """Whether its trainer runs, or has run."""
        return self.trainer is not None and self.trainer.started_at is not None

    @property
    def trained(self) -> bool:
        """Whether its training container has ended."""
        return self.trainer is not None and self.trainer.state == "terminated"

    @property
    def judgeable(self) -> bool:
        """Whether its training container has ended and what it left is brought to the output; others (an injected
        proxy) may still run.
        """
        return self.over or (self.trained and (self.agent is None or self.agent.state == "terminated"))

    @property
    def over(self) -> bool:
        """Whether all its containers have ended, so that it holds nothing of its node."""
        return self.phase in ("Succeeded", "Failed")


def _unheard_since(conditions: Mapping[str, Json]) -> float | None:
    """When the node controller has marked the pod, as it does when a node falls silent.

    NB: it sets Ready and nothing else; a kubelet gives a reason with it, and ContainersReady is False as well.
    """
    ready, containers = conditions.get("Ready") or {}, conditions.get("ContainersReady") or {}
    if ready.get("status") != "False" or ready.get("reason") or containers.get("status") != "True":
        return None
    return seconds(ready.get("lastTransitionTime"))


def _is_lost(reason: str) -> bool:
    return reason in _LOST_REASONS or reason.startswith("OutOf")


def job_of_pod(metadata: Json) -> str:
    """The name of the TrainingJob that controls a pod; of one that nothing of ours controls, what its label says."""
    controller = _controller(metadata)
    if controller is None:
        return str((metadata.get("labels") or {}).get(names.LABEL_JOB) or "")
    return str(controller.get("name") or "") if controller.get("kind") == _JOB else ""


def dataset_of_pod(metadata: Json) -> str:
    """The name of the Dataset that controls a pod; empty for any other."""
    controller = _controller(metadata) or {}
    return str(controller.get("name") or "") if controller.get("kind") == _DATASET else ""


def experiment_of_pod(metadata: Json) -> str:
    """The name of the Experiment that controls a pod; empty for any other."""
    controller = _controller(metadata) or {}
    return str(controller.get("name") or "") if controller.get("kind") == _EXPERIMENT else ""


def model_of_pod(metadata: Json) -> str:
    """The name of the MLModel that controls a pod; empty for any other."""
    controller = _controller(metadata) or {}
    return str(controller.get("name") or "") if controller.get("kind") == _MODEL else ""


class _Made(NamedTuple):
    job: str = ""
    dataset: str = ""
    experiment: str = ""
    model: str = ""
    uid: str = ""
    stage: str = ""
    attempt: int = 0
    rank: int = 0


def _made_by(metadata: Json) -> _Made:
    """What has made a pod, and which of its pods it is; the UID is empty for a pod that nothing of ours has made.

    NB: one that is called otherwise is somebody's copy, and its end is no verdict.
    """
    controller = _controller(metadata)
    if controller is None:
        return _Made(job=job_of_pod(metadata))
    owner, uid, name = str(controller.get("name") or ""), str(controller.get("uid") or ""), metadata["name"]
    first, _, second = name.removeprefix(f"{owner}-").partition("-")
    if controller["kind"] != _JOB:
        kind = controller["kind"]
        made = _Made(
            dataset=owner if kind == _DATASET else "",
            experiment=owner if kind == _EXPERIMENT else "",
            model=owner if kind == _MODEL else "",
        )
        staged = first.isalpha() and second.isdecimal()
        if staged and name == names.staged_pod_name(owner=owner, stage=first, number=int(second)):
            return made._replace(uid=uid, stage=intern(first), attempt=int(second))
        return made
    numbered = first.isdecimal() and second.isdecimal()
    if numbered and name == names.pod_name(job=owner, attempt=int(first), rank=int(second)):
        return _Made(job=owner, uid=uid, attempt=int(first), rank=int(second))
    return _Made(job=owner)


def _controller(metadata: Json) -> Json | None:
    """The TrainingJob, Dataset, Experiment or MLModel that controls a pod."""
    for owner in metadata.get("ownerReferences") or ():
        group = str(owner.get("apiVersion") or "").partition("/")[0]
        if (
            owner.get("controller")
            and owner.get("kind") in (_JOB, _DATASET, _EXPERIMENT, _MODEL)
            and group == names.GROUP
        ):
            found: Json = owner
            return found
    return None
