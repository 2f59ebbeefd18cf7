"""`status.automl` of an Experiment: what is searched, what its trials and rungs came to.

Separate from what the spec asks for, as another writes it: the operator.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainyard.api.automl import MOST_PARAMETERS
from trainyard.api.schema import ApiModel, Digest, JobName, Timestamp, keyed_by

TrialState = Literal["pending", "started", "running", "success", "failure", "canceled", "stopped"]


class TrialCounts(ApiModel):
    """Trials by what became of them."""

    total: int = Field(default=0, description="Trials that the search will have, as far as is known.")
    pending: int = Field(default=0, description="Waiting for their turn, for a node, or paused.")
    running: int = Field(default=0, description="Training now.")
    succeeded: int = Field(default=0, description="Ended with a value.")
    failed: int = Field(default=0, description="Ended without one: a crash, NaN, or no metric.")
    stopped: int = Field(default=0, description="Stopped early.")
    canceled: int = Field(default=0, description="Cancelled.")


class ParameterValue(ApiModel):
    """One parameter of a trial."""

    name: Annotated[str, Field(max_length=128)] = Field(description="The parameter.")
    value: Annotated[str, Field(max_length=256)] = Field(description="Its value, as a string.")


class Trial(ApiModel):
    """A trial with its parameters."""

    number: int = Field(description="Number of the trial, from 0.")
    rung: int | None = Field(default=None, description="The rung that it has reached.")
    job: JobName | None = Field(default=None, description="Its TrainingJob.")
    state: TrialState | None = Field(default=None, description="How far it is.")
    value: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Value of the objective's metric, as a decimal string."
    )
    epoch: float | None = Field(default=None, description="The epoch that the value is of.")
    parameters: Annotated[
        list[ParameterValue],
        Field(
            max_length=2 * MOST_PARAMETERS,
            json_schema_extra=keyed_by("name"),
        ),
    ] = Field(default_factory=list, description="The parameters that were searched.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="Why it failed.")


class LedgerEntry(ApiModel):
    """A run of a trial that has ended, in short; it counts also when its job is gone."""

    number: int = Field(description="Number of the trial.")
    rung: int = Field(default=0, description="The rung that it ran on.")
    digest: Annotated[str, Field(max_length=32)] = Field(description="Digest of its parameters.")
    value: Annotated[str, Field(max_length=64)] | None = Field(default=None, description="Its value, if any.")
    state: TrialState = Field(description="How it ended; pending: it is to be tried again.")


class Rung(ApiModel):
    """One rung of one bracket of hyperband, or of asha."""

    bracket: int = Field(description="The bracket, s in Li et al. 2018.")
    rung: int = Field(description="The rung in it, from 0.")
    configurations: int = Field(description="Trials that it takes.")
    resource: int = Field(description="Units that each is given.")
    epochs: int = Field(description="Epochs that this is.")
    running: int = Field(default=0, description="Trials that run on it now.")
    finished: int = Field(default=0, description="Trials that have ended on it.")
    promoted: int = Field(default=0, description="Trials that have gone on from it.")
    best: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Best value on it, as a decimal string."
    )


class Retention(ApiModel):
    """The removing of what the trials but the best have stored."""

    state: Literal["Pending", "Done", "Failed"] = Field(description="How far it is.")
    jobs: int = Field(default=0, description="Jobs whose files are removed.")
    bytes: int | None = Field(default=None, description="What was removed.")
    attempts: int = Field(default=0, description="How often it was tried.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Why it failed or waits, or what stays besides."
    )


class SearchedParameter(ApiModel):
    """One parameter that is searched, in the words of `spec.automl.space`."""

    name: Annotated[str, Field(max_length=128)] = Field(description="The parameter.")
    type: Literal["float", "int", "categorical", "bool"] = Field(description="What its values are.")
    min: Annotated[str, Field(max_length=64)] | None = Field(default=None, description="Least value.")
    max: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Greatest value, included."
    )
    step: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="How far values are apart, from min."
    )
    log: bool | None = Field(default=None, description="Whether the scale is logarithmic.")
    values: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=256)] | None = Field(
        default=None, description="Values of a categorical."
    )


class AutoMLStatus(ApiModel):
    """How far the search is."""

    digest: Digest | None = Field(
        default=None, description="Digest of what is searched and how; the trials below are of this search."
    )
    spec_digest: Digest | None = Field(
        default=None,
        description="Digest of what the spec asks to search. While that stays, the search goes on with what it began "
        "with, also when the catalogue of the operator says something else now.",
    )
    space: Annotated[
        list[SearchedParameter], Field(max_length=2 * MOST_PARAMETERS, json_schema_extra=keyed_by("name"))
    ] = Field(
        default_factory=list,
        description="What is searched, as it was when the search began: of spec.automl and of the catalogue.",
    )
    epochs_parameters: Annotated[list[Annotated[str, Field(max_length=128)]], Field(max_length=16)] = Field(
        default_factory=list,
        description="Of hyperband and asha the parameter that is set to the epochs of a rung, then its other names, "
        "which are left out.",
    )
    seed: int | None = Field(
        default=None,
        description="What its random draws are made from: spec.automl.seed, or one that was drawn.",
    )
    metric: Annotated[str, Field(max_length=100)] | None = Field(
        default=None, description="The metric that is looked at."
    )
    goal: Literal["Minimize", "Maximize"] | None = Field(
        default=None, description="Which way it is looked for."
    )
    trials: TrialCounts | None = Field(default=None, description="Trials by what became of them.")
    best_trial: Trial | None = Field(default=None, description="The best so far.")
    top_trials: Annotated[list[Trial], Field(max_length=10)] = Field(
        default_factory=list, description="The ten best so far, best first."
    )
    rungs: Annotated[list[Rung], Field(max_length=100)] = Field(
        default_factory=list, description="Rungs of hyperband and asha."
    )
    ledger: Annotated[list[LedgerEntry], Field(max_length=2000)] = Field(
        default_factory=list, description="Every run of a trial that has ended."
    )
    kept_trials: Annotated[list[int], Field(max_length=2000)] = Field(
        default_factory=list,
        description="Trials that were the best when the search had ended, now or before: a version of an MLModel or a "
        "later step may stand on each, so checkpointRetention: Best removes nothing of them.",
    )
    retention: Retention | None = Field(
        default=None,
        description="What became of the files of the other trials, with checkpointRetention: Best.",
    )
    completion_time: Timestamp | None = Field(default=None, description="When the search ended.")
