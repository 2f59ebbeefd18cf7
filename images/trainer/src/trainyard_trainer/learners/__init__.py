"""The model types: a registry from a type's name to what builds its learner.

Separate because a new type is a module here, a schema beside it and one line in `BUILDERS`. Called by
`actions` (which types there are) and `training` (to build one).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from trainyard_trainer.preparing import Prepared


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What an epoch came to. `score` is the accuracy, or the root mean squared error of a regression."""

    training_loss: float
    validation_loss: float
    score: float


class Learner(Protocol):
    """A model that is trained in epochs of mini steps, each short enough to wait for on SIGTERM.

    The same seed gives the same model, whether or not it was saved and restored on the way.
    """

    max_epoch: int
    max_step: int

    def steps_in(self, epoch: int) -> int:
        """Mini steps of an epoch; epochs count from 1."""

    def step(self, *, epoch: int, index: int) -> None:
        """Do mini step `index` (from 0) of an epoch."""

    def measure(self) -> Measures:
        """Losses and score after the last step of an epoch."""

    def keep_as_best(self) -> None:
        """Remember the model as it is now."""

    def estimator(self, *, best: bool) -> Any:
        """A fitted scikit-learn estimator that predicts in the target's own terms."""

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""


Builder = Callable[..., Learner]


def _neural_network(prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool) -> Learner:
    from trainyard_trainer.learners.neural_network import NeuralNetwork

    return NeuralNetwork(prepared, parameters, classify=classify)


def _random_forest(prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool) -> Learner:
    from trainyard_trainer.learners.random_forest import RandomForest

    return RandomForest(prepared, parameters, classify=classify)


# NB: functions that import, so that a forest does not wait for the import of networks.
BUILDERS: dict[str, Builder] = {
    "neural_network": _neural_network,
    "random_forest": _random_forest,
}

SCALED_TYPES = frozenset({"neural_network"})
"""Types whose features are standardised."""
