"""A fully connected network whose mini-batches are shared out over processes, by jax.

Separate from `neural_network` because the gradient is jax's and a sum over all ranks; what is kept is the same
scikit-learn network, so nothing but training needs jax. A mini-batch has the same rows for any number of ranks, each of
which computes on its slice: the result differs in its last digits only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainyard_trainer.learners import Measures
from trainyard_trainer.learners.neural_network import NeuralNetwork
from trainyard_trainer.preparing import Array, Prepared
from trainyard_trainer.ranks import losing_peers

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
_AXIS = "rank"
_ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "logistic": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
}


class DistributedNeuralNetwork(NeuralNetwork):
    """As the network of one process, with the steps of Adam in jax. Every rank holds all weights and moments.

    NB: all ranks must take the same steps, because each of them waits for all the others.
    """

    def __init__(
        self, prepared: Prepared, parameters: Mapping[str, Any], *, classify: bool, parent: Any = None
    ) -> None:
        # As scikit-learn counts, whose network is kept.
        jax.config.update("jax_enable_x64", True)
        mesh = jax.make_mesh((jax.device_count(),), (_AXIS,))
        self._slices = _Slices(mesh, batch_size=parameters["batch_size"])
        self._adam = jax.jit(
            _Adam(
                mesh,
                activation=_ACTIVATIONS[parameters["activation"]],
                loss=_log_loss if classify else _squared_error,
                alpha=parameters["alpha"],
            )
        )
        super().__init__(prepared, parameters, classify=classify, parent=parent)
        if parent is None:
            self._set_up()
        self._weights: Any = (list(self._model.coefs_), list(self._model.intercepts_))
        zeros = jax.tree.map(np.zeros_like, self._weights)
        self._moments: Any = (0, zeros, zeros)

    def _set_up(self) -> None:
        """A network as scikit-learn makes it, with start weights from the seed (Glorot and Bengio 2010)."""
        super()._learn(np.arange(min(self._batch_size, len(self._targets))))
        del self._model._optimizer
        generator = np.random.default_rng(self._seed)
        factor = 2.0 if self._model.activation == "logistic" else 6.0
        for layer, weights in enumerate(self._model.coefs_):
            bound = np.sqrt(factor / sum(weights.shape))
            self._model.coefs_[layer] = generator.uniform(-bound, bound, weights.shape)
            self._model.intercepts_[layer] = generator.uniform(-bound, bound, weights.shape[1])

    def _learn(self, rows: Array) -> None:
        with losing_peers():
            self._weights, self._moments, loss = self._adam(
                self._weights,
                self._moments,
                self._kept,
                self._slices.of(self._data.x_train, rows),
                self._slices.of(self._targets, rows),
                self._slices.shares(rows),
                self._learning_rate,
            )
            self._model.loss_ = float(loss)

    def measure(self) -> Measures:
        self._read_weights()
        return super().measure()

    def state(self) -> dict[str, Any]:
        self._read_weights()
        return {**super().state(), "moments": jax.tree.map(np.asarray, self._moments)}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._weights = (list(self._model.coefs_), list(self._model.intercepts_))
        self._moments = state["moments"]

    def _read_weights(self) -> None:
        self._model.coefs_, self._model.intercepts_ = jax.tree.map(np.asarray, self._weights)


class _Slices:
    """This rank's part of each mini-batch, filled up to one size for all ranks and steps."""

    def __init__(self, mesh: Mesh, *, batch_size: int) -> None:
        self._sharding = NamedSharding(mesh, PartitionSpec(_AXIS))
        self._size = -(-batch_size // jax.device_count()) * jax.local_device_count()
        self._begin = jax.process_index() * self._size

    def of(self, values: Array, rows: Array) -> Any:
        return self._shared(values[self._own(rows)])

    def shares(self, rows: Array) -> Any:
        """What each row counts in the mean over the mini-batch; nothing for what only fills up."""
        return self._shared(np.full(len(self._own(rows)), 1 / len(rows)))

    def _own(self, rows: Array) -> Array:
        return rows[self._begin : self._begin + self._size]

    def _shared(self, own: Array) -> Any:
        filled = np.zeros((self._size, *own.shape[1:]), dtype=own.dtype)
        filled[: len(own)] = own
        return jax.make_array_from_process_local_data(self._sharding, filled)


class _Adam:
    """A step of Adam (Kingma and Ba 2015, algorithm 1) on the gradient over the rows of all ranks."""

    def __init__(
        self, mesh: Mesh, *, activation: Callable[[Any], Any], loss: Callable[[Any, Any], Any], alpha: float
    ) -> None:
        self._activation, self._loss, self._alpha = activation, loss, alpha
        everywhere, rows = PartitionSpec(), PartitionSpec(_AXIS)
        # NB: unchecked, or jax would sum the gradient over the ranks by itself, and it would be counted twice.
        self._summed = jax.shard_map(
            self._of_all_ranks,
            mesh=mesh,
            in_specs=(everywhere, rows, rows, rows),
            out_specs=everywhere,
            check_vma=False,
        )

    def __call__(
        self, weights: Any, moments: Any, kept: Any, x: Any, y: Any, shares: Any, learning_rate: Any
    ) -> Any:
        """New weights and moments, and the loss before. `kept` are masks of weights that may be other than zero."""
        loss, gradient = self._summed(weights, x, y, shares)
        steps, first, second = moments
        steps = steps + 1
        first = jax.tree.map(lambda m, g: _BETA_1 * m + (1 - _BETA_1) * g, first, gradient)
        second = jax.tree.map(lambda v, g: _BETA_2 * v + (1 - _BETA_2) * g**2, second, gradient)
        rate = learning_rate * jnp.sqrt(1 - _BETA_2**steps) / (1 - _BETA_1**steps)
        coefs, intercepts = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v) + _EPSILON), weights, first, second
        )
        if kept:
            coefs = [layer * mask for layer, mask in zip(coefs, kept, strict=True)]
        return (coefs, intercepts), (steps, first, second), loss

    def _of_all_ranks(self, weights: Any, x: Any, y: Any, shares: Any) -> Any:
        return jax.lax.psum(jax.value_and_grad(self._of_rank)(weights, x, y, shares), _AXIS)

    def _of_rank(self, weights: Any, x: Any, y: Any, shares: Any) -> Any:
        """This rank's part of the mean loss, and of the L2 penalty as scikit-learn counts it."""
        coefs, intercepts = weights
        for layer, (weight, bias) in enumerate(zip(coefs, intercepts, strict=True)):
            x = x @ weight + bias
            if layer < len(coefs) - 1:
                x = self._activation(x)
        # The sum of squared shares over all ranks is one in the number of rows.
        penalty = 0.5 * self._alpha * sum(jnp.sum(weight**2) for weight in coefs) * jnp.sum(shares**2)
        return jnp.sum(shares * self._loss(x, y)) + penalty


def _log_loss(outputs: Any, classes: Any) -> Any:
    """Of each row; two classes have one output."""
    if outputs.shape[1] == 1:
        return jnp.logaddexp(0.0, outputs[:, 0]) - classes * outputs[:, 0]
    chosen = jnp.take_along_axis(outputs, classes[:, None], axis=1)[:, 0]
    return jax.nn.logsumexp(outputs, axis=1) - chosen


def _squared_error(outputs: Any, targets: Any) -> Any:
    return 0.5 * (outputs[:, 0] - targets) ** 2
