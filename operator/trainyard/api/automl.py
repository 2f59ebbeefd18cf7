"""Tuning: what an Experiment's `automl` asks for, and what its status tells of trials and rungs.

Separate because it is an object of its own inside the Experiment, and the larger half of it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from trainyard.api.schema import (
    DECIMAL,
    DNS_LABEL,
    WITHOUT_DOUBLES,
    ApiModel,
    DecimalString,
    Digest,
    JobName,
    Timestamp,
    keyed_by,
    rules,
    spelt,
)

#: Steps become jobs named <experiment>-<step>.
StepName = Annotated[
    str,
    spelt(DNS_LABEL, "the name of a step: at most 14 lower-case letters, digits and '-'", max_length=14),
]
ParameterName = Annotated[
    str,
    spelt(r"^\S+$", "the name of a parameter, without spaces, such as learning_rate", max_length=128),
]
#: 64 bits, as in the TAO API; what makes no sense to run (a nu of 0) is refused when it shall run.
TaoInteger = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
#: In `space`, and besides in `addHyperparameters`; a trial's record has room for both.
_MOST_PARAMETERS = 64
Algorithm = Literal["bayesian", "hyperband", "asha", "random", "grid"]
TrialState = Literal["pending", "started", "running", "success", "failure", "canceled", "stopped"]

_MIN = f"self.min.matches(r'{DECIMAL}')"
_MAX = f"self.max.matches(r'{DECIMAL}')"
_STEP = f"self.step.matches(r'{DECIMAL}')"
_NUMERIC = "self.type in ['float', 'int']"


class SearchParameter(ApiModel):
    """One dimension of the search space."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"!({_NUMERIC}) || (has(self.min) && has(self.max))",
                "space: a float or an int needs min and max",
            ),
            (
                "self.type != 'categorical' || (has(self.values) && self.values.size() > 0)",
                "space: a categorical needs values, at least one",
            ),
            (
                f"{_NUMERIC} || !(has(self.min) || has(self.max) || has(self.step) || (has(self.log) && self.log))",
                "space: min, max, step and log are for float and int; a categorical has values, a bool needs nothing",
            ),
            (
                "self.type == 'categorical' || !has(self.values)",
                "space: values are for a categorical; a float or an int has min and max",
            ),
            (
                f"!has(self.min) || !has(self.max) || !{_MIN} || !{_MAX} || double(self.min) < double(self.max)",
                "space: min must be less than max",
            ),
            (
                "self.type != 'int' || [has(self.min) ? self.min : '0', has(self.max) ? self.max : '0', "
                "has(self.step) ? self.step : '0'].all(v, v.matches('^[+-]?[0-9]+$'))",
                "space: min, max and step of an int are whole numbers, such as '16'",
            ),
            (
                f"!has(self.step) || !{_STEP} || double(self.step) > 0.0",
                "space: step must be more than 0",
            ),
            (
                f"!has(self.log) || !self.log || !has(self.min) || !{_MIN} || double(self.min) > 0.0",
                "space: a log scale needs a min of more than 0",
            ),
            (
                "!has(self.log) || !self.log || !has(self.step)",
                "space: give log or step, not both",
            ),
        )
    )

    name: ParameterName = Field(
        description="The parameter, as the trainer knows it; a dot leads into a nested object, as in train.optim.lr."
    )
    type: Literal["float", "int", "categorical", "bool"] = Field(
        description="float and int need min and max, categorical needs values, bool needs nothing more."
    )
    min: DecimalString | None = Field(
        default=None, description='Least value, as a decimal string such as "1e-5".'
    )
    max: DecimalString | None = Field(
        default=None, description='Greatest value, included, as a decimal string such as "0.1".'
    )
    step: DecimalString | None = Field(
        default=None,
        description="Values are this far apart, counted from min. Grid search needs it for a float.",
    )
    log: bool | None = Field(
        default=None, description="Whether to search on a logarithmic scale; min must be more than 0."
    )
    values: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=256)]],
            Field(max_length=64, json_schema_extra=WITHOUT_DOUBLES),
        ]
        | None
    ) = Field(
        default=None,
        description='Values of a categorical, as strings. One that reads as JSON ("64", "[64, 32]", "true") is handed '
        "to the trainer as what it reads as.",
    )


class EarlyStopping(ApiModel):
    """When a trial is stopped before its end."""

    rule: Literal["median"] = Field(
        default="median",
        description="median: a trial whose best value so far is worse than the median of the others at the same epoch "
        "is stopped.",
    )
    startup_trials: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5, description="Trials that must have ended before any is stopped; default 5."
    )
    warmup_epochs: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=1, description="Epochs that every trial may run before it is compared; default 1."
    )


class AutoML(ApiModel):
    """The search for the best parameters of one step."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.algorithm != 'grid' || !has(self.space) || "
                "self.space.all(p, p.type != 'float' || has(p.step))",
                "automl.space: grid search needs a step for each float",
            ),
            (
                "self.variant == 'standard' || self.algorithm == 'hyperband'",
                "automl.variant: tao is a variant of hyperband; set algorithm: hyperband",
            ),
        )
    )

    enabled: bool = Field(
        default=True,
        description="false keeps these settings, and the step runs once with its own parameters.",
    )
    action: StepName | None = Field(
        default=None,
        description="Name of the step that is tuned; default: the first whose action is train. Steps that depend on "
        "it get the best trial's artifacts.",
    )
    algorithm: Algorithm = Field(
        default="bayesian",
        description="bayesian (Gaussian process; the default), hyperband or asha (many short runs, the best go on), "
        "random, grid.",
    )
    variant: Literal["standard", "tao"] = Field(
        default="standard",
        description="How hyperband counts. standard: Li et al. 2018, algorithm 1. tao: as NVIDIA TAO counts, without "
        "its last bracket.",
    )
    space: Annotated[
        list[SearchParameter],
        Field(
            max_length=_MOST_PARAMETERS,
            json_schema_extra=keyed_by("name"),
        ),
    ] = Field(
        default_factory=list,
        description="What to search. Without it: the parameters that the runtime says can be tuned.",
    )
    add_hyperparameters: Annotated[
        list[ParameterName], Field(max_length=_MOST_PARAMETERS, json_schema_extra=WITHOUT_DOUBLES)
    ] = Field(default_factory=list, description="Parameters of the runtime to search besides its own choice.")
    remove_hyperparameters: Annotated[
        list[ParameterName], Field(max_length=_MOST_PARAMETERS, json_schema_extra=WITHOUT_DOUBLES)
    ] = Field(default_factory=list, description="Parameters of the runtime's choice to leave alone.")
    override_disabled_params: bool = Field(
        default=False,
        description="Whether to search also those that the runtime has switched off for tuning.",
    )
    max_recommendations: TaoInteger = Field(
        default=20, description="Trials to run; default 20. Hyperband counts its own by maxResource and nu."
    )
    parallelism: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Trials that may run at the same time; default 1."
    )
    max_resource: TaoInteger = Field(
        default=27, description="R of hyperband and asha: the most units that one trial is given; default 27."
    )
    nu: TaoInteger = Field(
        default=3,
        description="Of each rung of hyperband and asha, one in nu goes on to the next; 2 or more, default 3.",
    )
    epoch_multiplier: TaoInteger = Field(
        default=1, description="Epochs of one unit of maxResource; default 1."
    )
    epochs_parameter: ParameterName | None = Field(
        default=None,
        description="The parameter that sets the number of epochs; needed for an image that the catalogue does not "
        "know. It is never searched.",
    )
    checkpoint_retention: Literal["All", "Best"] = Field(
        default="All",
        description="Best deletes the checkpoints of all trials but the best when the search ends; default All.",
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="Stop hopeless trials of bayesian, random and grid search early."
    )
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] | None = Field(
        default=None,
        description="Makes the search repeatable: random, grid and hyperband always, bayesian at parallelism 1.",
    )
    max_failed: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None,
        description="The search ends as failed when more trials than this have failed. Absent: when all have.",
    )


class TrialCounts(ApiModel):
    """Trials by what became of them."""

    total: int = Field(default=0, description="Trials that the search will have, as far as is known.")
    pending: int = Field(default=0, description="Waiting to run.")
    running: int = Field(default=0, description="Running now.")
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
            max_length=2 * _MOST_PARAMETERS,
            json_schema_extra=keyed_by("name"),
        ),
    ] = Field(default_factory=list, description="The parameters that were searched.")
    message: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="Why it failed.")


class LedgerEntry(ApiModel):
    """A finished run of a trial, in short; it counts also when its job is gone."""

    number: int = Field(description="Number of the trial.")
    rung: int = Field(default=0, description="The rung that it ran on.")
    digest: Annotated[str, Field(max_length=32)] = Field(description="Digest of its parameters.")
    value: Annotated[str, Field(max_length=64)] | None = Field(default=None, description="Its value, if any.")
    state: TrialState = Field(description="How it ended.")


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
    message: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="Why it failed.")


class AutoMLStatus(ApiModel):
    """How far the search is."""

    digest: Digest | None = Field(
        default=None, description="Digest of what is searched and how; the trials below are of this search."
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
    retention: Retention | None = Field(
        default=None,
        description="What became of the files of the other trials, with checkpointRetention: Best.",
    )
    completion_time: Timestamp | None = Field(default=None, description="When the search ended.")
