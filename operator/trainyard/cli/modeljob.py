"""The TrainingJob by which `trainyard train model --set` trains a model: as the operator would, with some parameters
otherwise.

Separate because it loads the models of the API, by which the operator's own planning makes the spec. Free of I/O.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from trainyard.api import names
from trainyard.api.mlmodel import MLModelSpec
from trainyard.cli.exits import CommandError
from trainyard.planning import modeltraining, parameters
from trainyard.planning.modelobserved import ObservedModel

Json = dict[str, Any]

_WHAT = ("type", "architecture", "runtime", "image")


def build(model: Json, given: Json) -> tuple[Json, list[str]]:
    """The job, and notes for who asked for it. Raises CommandError for a model that cannot be trained as it is."""
    metadata, status = model["metadata"], model.get("status") or {}
    name = metadata["name"]
    try:
        spec = MLModelSpec.model_validate(model["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        raise CommandError(
            f"MLModel {name}: spec.{'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None
    notes = []
    if spec.training is not None and spec.training.experiment_template is not None:
        notes.append(
            "One TrainingJob trains with these parameters, not the Experiment of spec.training.experimentTemplate."
        )
        spec = spec.model_copy(update={"training": None})
    recommended = (status.get("recommendation") or {}).get("type")
    if spec.type == "auto" and not recommended:
        raise CommandError(
            f"MLModel {name} has type auto and no recommendation yet: wait for it (`trainyard describe model {name}`), "
            "or give spec.type."
        )
    observed = ObservedModel(
        namespace=metadata["namespace"],
        name=name,
        uid=metadata["uid"],
        generation=metadata.get("generation") or 0,
        deleting=False,
        status=status,
        spec=spec,
    )
    body = modeltraining.body_of(observed, spec, type_name=recommended)["spec"]
    if not any(body.get(key) for key in _WHAT):
        raise CommandError(f"MLModel {name} does not say what is to be trained: give it spec.type.")
    if not body.get("output"):
        raise CommandError(f"MLModel {name} does not say where its versions are kept: give it spec.output.")
    body = {**body, "parameters": parameters.merged(body.get("parameters") or {}, given)}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "TrainingJob",
        "metadata": {"generateName": f"{name}-set-"},
        "spec": body,
    }, notes
