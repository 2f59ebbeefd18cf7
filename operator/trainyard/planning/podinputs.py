"""What the pods of a job are made from besides the job itself.

Separate because `planning.podspec` and `planning.podenvironment` share it; made by `planning.podcreation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainyard.api.dataset import DatasetSource
from trainyard.planning.agentpod import AgentRules, BucketParent, HandedCheckpoint
from trainyard.planning.basemodels import UsedModel
from trainyard.planning.placement import AcceleratorRules
from trainyard.planning.runtime import Runtime, RuntimeAction
from trainyard.planning.server import ServerAddress

DATA_DIR = "/trainyard/data"
PARENT_DIR = "/trainyard/parent"


@dataclass(frozen=True, kw_only=True)
class DatasetPull:
    """A dataset that no volume keeps: each pod pulls what `listing` pins."""

    source: DatasetSource
    listing: str


@dataclass(frozen=True, kw_only=True)
class PodInputs:
    """What a pod is made from besides the job: runtime, datasets by name with their address, those that it pulls for
    itself, what is recorded of them, and so on.

    The parent's artifacts are mounted from `parent_uri`, or fetched from `bucket_parent`; `handed` is a checkpoint of
    the parent that its agent has to find; `base_models` are those that it starts from; without a `server` the pod has
    no way to report but its log.
    """

    runtime: Runtime
    action: RuntimeAction
    dataset_uris: Mapping[str, str]
    parent_uri: str | None
    attempt: int
    rules: AcceleratorRules
    dataset_pulls: Mapping[str, DatasetPull] = field(default_factory=dict)
    used_datasets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    bucket_parent: BucketParent | None = None
    handed: HandedCheckpoint | None = None
    base_models: tuple[UsedModel, ...] = ()
    image_pull_policy: str | None = None
    agent: AgentRules = field(default_factory=AgentRules)
    server: ServerAddress | None = None
    schedulers: Mapping[str, str] = field(default_factory=dict)
