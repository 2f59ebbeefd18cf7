"""The model types: a registry from a type's name to what builds its learner.

Separate because a new type is a module here, a schema for each of train and retrain, a pruner, and one line in
each registry. Called by `actions` (which types there are), `training` and `retraining` (to build one).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from trainyard_trainer.backbones import Backbone
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


@runtime_checkable
class WholeEpochs(Protocol):
    """A learner that can do an epoch in one piece, faster, where nobody has to be heard between two mini steps."""

    def whole_epoch(self, epoch: int) -> None:
        """The same as all mini steps of the epoch."""


Builder = Callable[..., Learner]


def _neural_network(
    prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool, backbone: Backbone | None = None
) -> Learner:
    from trainyard_trainer.learners.neural_network import NeuralNetwork

    return NeuralNetwork(prepared, parameters, classify=classify, backbone=backbone)


def _random_forest(prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool) -> Learner:
    from trainyard_trainer.learners.random_forest import RandomForest

    return RandomForest(prepared, parameters, classify=classify)


def _decision_tree(prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool) -> Learner:
    from trainyard_trainer.learners.decision_tree import DecisionTree

    return DecisionTree(prepared, parameters, classify=classify)


def _regression(prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool) -> Learner:
    from trainyard_trainer.learners.regression import Regression

    return Regression(prepared, parameters)


def _distributed_network(prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool) -> Learner:
    from trainyard_trainer.learners.distributed_neural_network import DistributedNeuralNetwork

    return DistributedNeuralNetwork(prepared, parameters, classify=classify)


# NB: functions that import, so that a forest does not wait for the import of networks.
BUILDERS: dict[str, Builder] = {
    "decision_tree": _decision_tree,
    "distributed_neural_network": _distributed_network,
    "neural_network": _neural_network,
    "random_forest": _random_forest,
    "regression": _regression,
}


def _more_of_network(
    prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool, parent: Any
) -> Learner:
    from trainyard_trainer.learners.neural_network import NeuralNetwork

    return NeuralNetwork(prepared, parameters, classify=classify, parent=parent)


def _more_of_distributed_network(
    prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool, parent: Any
) -> Learner:
    from trainyard_trainer.learners.distributed_neural_network import DistributedNeuralNetwork

    return DistributedNeuralNetwork(prepared, parameters, classify=classify, parent=parent)


def _more_of_forest(
    prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool, parent: Any
) -> Learner:
    from trainyard_trainer.learners.random_forest import RandomForest

    return RandomForest(prepared, parameters, classify=classify, parent=parent)


def _more_of_tree(
    prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool, parent: Any
) -> Learner:
    from trainyard_trainer.learners.leaf_values import LeafValues

    return LeafValues(prepared, parameters, classify=classify, parent=parent)


def _more_of_regression(
    prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool, parent: Any
) -> Learner:
    from trainyard_trainer.learners.regression import Regression

    return Regression(prepared, parameters, parent=parent)


CONTINUERS: dict[str, Builder] = {
    "decision_tree": _more_of_tree,
    "distributed_neural_network": _more_of_distributed_network,
    "neural_network": _more_of_network,
    "random_forest": _more_of_forest,
    "regression": _more_of_regression,
}
"""As `BUILDERS`, but of a learner that goes on from `parent`, an estimator of the same type."""

SCALED_TYPES = frozenset({"distributed_neural_network", "neural_network", "regression"})
"""Types whose features are standardised."""

DISTRIBUTED_TYPES = frozenset({"distributed_neural_network"})
"""Types that several processes train together, with jax."""

BACKBONE_TYPES = frozenset({"neural_network"})
"""Types that can begin with the weights of another model."""
