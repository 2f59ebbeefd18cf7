"""What a job's Datasets tell its trainer: types and formats, and the default parameters that they bring.

Separate because the check of a job's parameters and the pod that is given them must agree. Called by
`planning.trainingjob` and `planning.podspec`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.planning import parameters
from trainyard.planning.observed import DatasetView, ObservedJob
from trainyard.planning.runtime import RuntimeAction

Json = dict[str, Any]


def environment(spec: TrainingJobSpec, datasets: Mapping[str, DatasetView | None]) -> dict[str, str]:
    """Type and format of the Dataset that an action works on, and of the one that it makes."""
    values: dict[str, str] = {}
    given = datasets.get(spec.datasets.input) if spec.datasets.input is not None else None
    if given is not None:
        values |= {"TRAINYARD_INPUT_TYPE": given.type, "TRAINYARD_INPUT_FORMAT": given.format}
    if spec.output_dataset is not None:
        values |= {
            "TRAINYARD_OUTPUT_TYPE": spec.output_dataset.type,
            "TRAINYARD_OUTPUT_FORMAT": spec.output_dataset.format,
        }
    return values


def defaults(spec: TrainingJobSpec, action: RuntimeAction, datasets: Iterable[DatasetView | None]) -> Json:
    """What goes below the job's own parameters: the entry's defaults, and over them those of its Datasets for the
    action. Of two Datasets the one that the job names first decides.
    """
    found: Json = {}
    for dataset in datasets:
        if dataset is not None and (brought := dataset.action_parameters.get(spec.action)):
            found = parameters.merged(brought, found)
    return parameters.merged(action.defaults, found)


def unusable(observed: ObservedJob, spec: TrainingJobSpec, action: RuntimeAction) -> str | None:
    """Make sure that the job's parameters can be used, alone and with what its Datasets bring."""
    problem = parameters.unusable(spec.parameters, schema=action.schema, defaults=action.defaults)
    if problem is not None:
        return problem
    bring = [d for d in observed.datasets.values() if d is not None and d.action_parameters.get(spec.action)]
    if not bring:
        return None
    below = defaults(spec, action, bring)
    problem = parameters.unusable(spec.parameters, schema=action.schema, defaults=below)
    if problem is None:
        return None
    names = " and ".join(dataset.name for dataset in bring)
    return f"With spec.actionParameters.{spec.action} of Dataset {names}: {problem}"


def roles(spec: TrainingJobSpec) -> dict[str, list[str] | str]:
    """Datasets by the part they play, as TRAINYARD_DATASETS has them: `train` is a list, any other a name."""
    return {role: given for role, given in vars(spec.datasets).items() if given or role == "train"}


def names(spec: TrainingJobSpec) -> tuple[str, ...]:
    """Every Dataset that the job needs, once."""
    given_names = roles(spec).values()
    return tuple(
        dict.fromkeys(
            name for given in given_names for name in ([given] if isinstance(given, str) else given)
        )
    )
