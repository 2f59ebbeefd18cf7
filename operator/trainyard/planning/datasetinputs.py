"""What a job's Datasets tell its trainer: types and formats, and the default parameters that they and its Experiment
bring.

Separate because the check of a job's parameters and the pod that is given them must agree. Called by
`planning.podcreation` and `planning.podspec`.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def defaults(observed: ObservedJob, spec: TrainingJobSpec, action: RuntimeAction) -> Json:
    """What goes below the job's own parameters: the entry's defaults, over them those of its Datasets for the action,
    and over these those of its Experiment. Of two Datasets the one that the job names first decides.
    """
    found: Json = {}
    for brought in _brought(observed, spec).values():
        found = parameters.merged(brought, found)
    return parameters.merged(action.defaults, found)


def unusable(observed: ObservedJob, spec: TrainingJobSpec, action: RuntimeAction) -> str | None:
    """Make sure that the job's parameters can be used, with what its Datasets and its Experiment bring."""
    bring = _brought(observed, spec)
    expected = spec.experiment is not None and observed.experiment is None
    problem = parameters.unusable(
        spec.parameters,
        schema=action.schema,
        defaults=action.defaults,
        # NB: what is missing may be brought.
        partial=bool(bring) or expected,
    )
    if problem is not None or not bring:
        return problem
    problem = parameters.unusable(
        spec.parameters, schema=action.schema, defaults=defaults(observed, spec, action), partial=expected
    )
    if problem is None:
        return None
    return f"With spec.actionParameters.{spec.action} of {' and '.join(bring)}: {problem}"


def _brought(observed: ObservedJob, spec: TrainingJobSpec) -> dict[str, Mapping[str, Any]]:
    """Parameters for the job's action by what brings them, in words; the first decides.

    NB: a job that its Experiment has made has all of them in its own, as they were then.
    """
    found: dict[str, Mapping[str, Any]] = {}
    experiment = observed.experiment
    if experiment is not None and not observed.membership.made:
        found[f"Experiment {experiment.name}"] = experiment.action_parameters.get(spec.action) or {}
    for dataset in observed.datasets.values():
        if dataset is not None:
            found[f"Dataset {dataset.name}"] = dataset.action_parameters.get(spec.action) or {}
    return {name: brought for name, brought in found.items() if brought}


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
