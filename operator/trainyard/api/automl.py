"""Tuning: what an Experiment's `automl` asks for.

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
#: In `space`, and besides in `addHyperparameters`; status has room for both.
MOST_PARAMETERS = 64
Algorithm = Literal["bayesian", "hyperband", "asha", "random", "grid"]

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
            max_length=MOST_PARAMETERS,
            json_schema_extra=keyed_by("name"),
        ),
    ] = Field(
        default_factory=list,
        description="What to search. Without it: the parameters that the runtime says can be tuned.",
    )
    add_hyperparameters: Annotated[
        list[ParameterName], Field(max_length=MOST_PARAMETERS, json_schema_extra=WITHOUT_DOUBLES)
    ] = Field(default_factory=list, description="Parameters of the runtime to search besides its own choice.")
    remove_hyperparameters: Annotated[
        list[ParameterName], Field(max_length=MOST_PARAMETERS, json_schema_extra=WITHOUT_DOUBLES)
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
        description="Best deletes what all trials but the best have stored when the search ends; default All.",
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
