"""The four kinds as a cluster serves them: names, models, printer columns, rules that need the whole object.

Separate from `crdgen`, which turns them into CRDs, because this is what one edits.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from trainyard.api import names
from trainyard.api.dataset import DatasetSpec
from trainyard.api.datasetstatus import DatasetStatus
from trainyard.api.experiment import ExperimentSpec, ExperimentStatus
from trainyard.api.immutability import Rule, fixed_once_begun
from trainyard.api.jobedits import FIXED_ONCE_BEGUN
from trainyard.api.mlmodel import MLModelSpec, MLModelStatus
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.api.trainingjobstatus import TrainingJobStatus


@dataclass(frozen=True, kw_only=True)
class Column:
    """A printer column; one JSONPath; priority 1 shows with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One custom resource: names, models, columns, and the longest name that leaves room for its children's.

    A pod `<job>-<attempt>-<rank>` has 63 characters; a job `<experiment>-<step>` of 50 has an Experiment's 35 and a
    step's 14; an Experiment `<model>-<training>` of 35 has a model's 28 and a number of six digits. What a Service's
    name is made from must begin with a letter (RFC 1035).
    """

    kind: str
    plural: str
    short: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]
    name_limit: int
    letter_first: bool = True
    rules: tuple[Rule, ...] = ()

    @property
    def file_name(self) -> str:
        return f"{names.GROUP}_{self.plural}.yaml"


_PHASE = (
    Column(name="Phase", path=".status.phase"),
    Column(name="Reason", path=".status.reason"),
)
_AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date")

KINDS = (
    Kind(
        kind="TrainingJob",
        plural="trainingjobs",
        short="tj",
        description="One run of one action (train, evaluate, ...) of a runtime or an image of your own.",
        spec=TrainingJobSpec,
        status=TrainingJobStatus,
        columns=(
            *_PHASE,
            Column(name="Progress", path=".status.progress.summary"),
            Column(name="ETA", path=".status.progress.eta"),
            Column(name="Metric", path=".status.keyMetric.display"),
            _AGE,
            Column(name="Action", path=".spec.action", priority=1),
            Column(name="Started", path=".status.startTime", type="date", priority=1),
            Column(name="Finished", path=".status.completionTime", type="date", priority=1),
            Column(name="Message", path=".status.message", priority=1),
        ),
        name_limit=50,
        rules=(
            Rule(
                rule="!has(self.spec.parentJob) || self.spec.parentJob != self.metadata.name",
                message="spec.parentJob: a job cannot wait for itself",
            ),
            fixed_once_begun(*FIXED_ONCE_BEGUN),
        ),
    ),
    Kind(
        kind="Dataset",
        plural="datasets",
        short="dset",
        description="Data that training jobs share.",
        spec=DatasetSpec,
        status=DatasetStatus,
        columns=(
            *_PHASE,
            Column(name="Type", path=".spec.type"),
            Column(name="Format", path=".spec.format"),
            Column(name="Size", path=".status.pull.summary"),
            Column(name="ETA", path=".status.pull.eta"),
            Column(name="Files", path=".status.profile.files", type="integer"),
            Column(name="Content", path=".status.profile.summary"),
            _AGE,
            Column(name="Source", path=".spec.source.uri", priority=1),
            Column(name="Revision", path=".status.revision", priority=1),
            Column(name="Message", path=".status.message", priority=1),
        ),
        name_limit=35,
        letter_first=False,
    ),
    Kind(
        kind="Experiment",
        plural="experiments",
        short="exp",
        description="A chain of actions on one architecture; the parameters of one of them may be searched.",
        spec=ExperimentSpec,
        status=ExperimentStatus,
        columns=(
            *_PHASE,
            Column(name="Action", path=".status.progress.action"),
            Column(name="Progress", path=".status.progress.summary"),
            Column(name="Best", path=".status.keyMetric.display"),
            _AGE,
            Column(name="Algorithm", path=".spec.automl.algorithm", priority=1),
            Column(name="Architecture", path=".spec.architecture", priority=1),
            Column(name="Type", path=".spec.type", priority=1),
            Column(name="Message", path=".status.message", priority=1),
        ),
        name_limit=35,
        rules=(
            Rule(
                rule="!has(self.spec.parentExperiment) || self.spec.parentExperiment != self.metadata.name",
                message="spec.parentExperiment: an Experiment cannot be a part of itself",
            ),
        ),
    ),
    Kind(
        kind="MLModel",
        plural="mlmodels",
        short="mlm",
        description="The record of a model over its life: how it is trained, its versions, where they are published.",
        spec=MLModelSpec,
        status=MLModelStatus,
        columns=(
            *_PHASE,
            Column(name="Lifecycle", path=".status.lifecycle"),
            Column(name="Version", path=".status.latestVersion", type="integer"),
            Column(name="Metric", path=".status.keyMetric.display"),
            _AGE,
            Column(name="Type", path=".spec.type", priority=1),
            Column(name="Architecture", path=".spec.architecture", priority=1),
            Column(name="Stage", path=".spec.stage", priority=1),
            Column(name="Message", path=".status.message", priority=1),
        ),
        name_limit=28,
        rules=(
            Rule(
                rule="!has(self.spec.baseModels) || self.spec.baseModels.all(b, !has(b.model) || "
                "b.model != self.metadata.name || has(b.version) || has(b.alias))",
                message="spec.baseModels: a model can start from itself only by version or alias",
            ),
        ),
    ),
)
