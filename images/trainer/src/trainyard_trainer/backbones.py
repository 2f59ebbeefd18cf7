"""The network whose weights a training begins with: a base model that is no whole model.

Separate because what fits is decided layer by layer, and each way not to fit has its own sentence. Called by
`training`, and by the network that takes the layers. What can begin with one at all `actions` has decided before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainyard_trainer.artifacts import MODEL
from trainyard_trainer.contract import BaseModel, Order
from trainyard_trainer.files import sha256_of
from trainyard_trainer.parents import loaded
from trainyard_trainer.preparing import Array
from trainyard_trainer.problems import Refused


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network's weights and biases by layer, in the target's own terms. `taken` are the layers that fitted."""

    name: str
    sha256: str
    coefs: Sequence[Array]
    intercepts: Sequence[Array]
    taken: list[int] = field(default_factory=list)

    def fitting(
        self, coefs: Sequence[Array], intercepts: Sequence[Array]
    ) -> Mapping[int, tuple[Array, Array]]:
        """The layers of the same place and shape as those of a new network, by their place.

        Raises Refused where none is: the base model would have no part in what is trained.
        """
        found = {
            place: (weights, biases)
            for place, (weights, biases, new, new_biases) in enumerate(
                zip(self.coefs, self.intercepts, coefs, intercepts, strict=False)
            )
            if weights.shape == new.shape and biases.shape == new_biases.shape
        }
        if not found:
            raise Refused(
                f"No layer of the base model {self.name} fits: its layers are {_shapes(self.coefs)}, and those of this"
                f" network {_shapes(coefs)}. Set hidden_layer_sizes as there, or leave the base model out."
            )
        self.taken[:] = sorted(found)
        return found

    def said(self, layers: int) -> str:
        """What a network of so many layers begins with."""
        if len(self.taken) == layers:
            return f"The network begins with all of its {layers} layers from the base model {self.name}."
        which = ", ".join(str(place + 1) for place in self.taken)
        return (
            f"The network begins with {len(self.taken)} of its {layers} layers ({which}) from the base model"
            f" {self.name}; the others begin at random."
        )

    def as_told(self) -> dict[str, Any]:
        """For the model's metadata: name, digest of the file, and the layers taken, counted from 1."""
        return {"name": self.name, "sha256": self.sha256, "layers": [place + 1 for place in self.taken]}


def read(order: Order) -> Backbone | None:
    """The backbone of the order, if it has one. Raises Refused for what is no network that this trainer can read."""
    model = next((model for model in order.base_models if model.backbone), None)
    if model is None:
        return None
    path = _file(model)
    pipeline = loaded(path, advice=f"Name another model than {model.name} in baseModels.")
    estimator = _estimator(pipeline)
    coefs, intercepts = getattr(estimator, "coefs_", None), getattr(estimator, "intercepts_", None)
    if not isinstance(coefs, list) or not isinstance(intercepts, list):
        raise Refused(
            f"The base model {model.name} is a {type(estimator).__name__}, and only a network's weights can be begun"
            " with. Name a neural_network in baseModels."
        )
    return Backbone(name=model.name, sha256=sha256_of(path), coefs=coefs, intercepts=intercepts)


def _file(model: BaseModel) -> Path:
    if model.path.is_file():
        return model.path
    if (path := model.path / MODEL).is_file():
        return path
    raise Refused(
        f"The base model {model.name} has no {MODEL} in {model.path}. Name a model that the reference trainer has"
        " trained."
    )


def _estimator(pipeline: Any) -> Any:
    """The last step of a scikit-learn Pipeline, or what was loaded."""
    steps = getattr(pipeline, "steps", None)
    return steps[-1][1] if isinstance(steps, list) and steps else pipeline


def _shapes(coefs: Sequence[Array]) -> str:
    return ", ".join("x".join(map(str, weights.shape)) for weights in coefs)
