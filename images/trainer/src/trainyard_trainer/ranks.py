"""The processes that train one model together: meeting, agreeing, and noticing that one is gone.

Separate because a training of one process needs none of it, and no jax. Called by `training` and `retraining`, which
meet, and by `epochs` and `resuming`, which agree. docs/many-nodes.md has the variables.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from trainyard_trainer.contract import Place
from trainyard_trainer.problems import PeerLost, Refused
from trainyard_trainer.stopping import StopFlag, StopRequested

HEARTBEAT_SECONDS = 20
"""A rank that is silent for so long is lost, and with it the attempt of all."""
_LEAVE_SECONDS = 10
_MARGIN_SECONDS = 60
_POLL_SECONDS = 0.1


class Ranks(Protocol):
    """All ranks must ask the same questions in the same order, as each waits for all the others."""

    rank: int
    size: int

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""

    def gather(self, numbers: Sequence[int]) -> list[list[int]]:
        """The numbers of each rank, as many from each, by rank."""


class Alone:
    """One process, which agrees with itself."""

    rank, size = 0, 1

    def any(self, flag: bool) -> bool:
        return flag

    def gather(self, numbers: Sequence[int]) -> list[list[int]]:
        return [list(numbers)]


class Joined:
    """Several processes under jax.distributed, each of which has as many devices as the others."""

    met = False

    def __init__(self, place: Place) -> None:
        import jax

        Joined.met = True
        self.rank, self.size = place.rank, place.ranks
        mesh = jax.make_mesh((jax.device_count(),), ("rank",))
        self._by_rank = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rank"))
        everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        self._to_all = jax.jit(lambda numbers: numbers, out_shardings=everywhere)

    def any(self, flag: bool) -> bool:
        return any(row[0] for row in self.gather([int(flag)]))

    def gather(self, numbers: Sequence[int]) -> list[list[int]]:
        import jax
        import numpy as np

        own = np.tile(np.asarray(numbers, dtype=np.int64), (jax.local_device_count(), 1))
        with losing_peers():
            rows = self._to_all(jax.make_array_from_process_local_data(self._by_rank, own))
            by_device: list[list[int]] = np.asarray(rows).tolist()
        return by_device[:: jax.local_device_count()]


def meet(place: Place, *, stop: StopFlag, log: Callable[[str], None]) -> Ranks:
    """Wait for the other ranks. Raises PeerLost where they do not come in time, and StopRequested.

    A stop from here on must be agreed on: a rank that left by itself would fail the others.
    """
    if place.ranks == 1:
        return Alone()
    log(
        f"Rank {place.rank} of {place.ranks}: waiting for the others at {place.coordinator},"
        f" {place.seconds} seconds at most."
    )
    failures: list[Exception] = []

    def initialize() -> None:
        try:
            _initialize(place)
        except Exception as error:
            failures.append(error)

    # NB: in a thread, because a signal is heard between two bytecodes only, and this waits in one.
    waiting = threading.Thread(target=initialize, daemon=True)
    waiting.start()
    deadline = time.monotonic() + place.seconds
    while waiting.is_alive() and time.monotonic() < deadline:
        if stop.requested:
            raise StopRequested
        waiting.join(_POLL_SECONDS)
    if failures or waiting.is_alive():
        why = f" ({_first_line(failures[0])})" if failures else ""
        raise PeerLost(
            f"Not all {place.ranks} ranks met at {place.coordinator} within {place.seconds} seconds{why}. Look at the"
            " pods of the other ranks; if they need longer to start, set TRAINYARD_RENDEZVOUS_SECONDS."
        )
    log(f"All {place.ranks} ranks are here.")
    return Joined(place)


def own_stop(stop: StopFlag, team: Ranks) -> StopFlag:
    """The signal as long as this rank may follow it by itself; of several ranks that have met, one that never comes."""
    return stop if team.size == 1 else StopFlag()


def leave() -> None:
    """Part from the others, if this rank has met them; they must be as far as it is."""
    if Joined.met:
        import jax

        jax.distributed.shutdown()


def check(place: Place, what: str, *, distributed: bool) -> None:
    """Raises Refused where `what`, a type or an action, cannot be done by so many ranks, or by this image."""
    if not distributed:
        if place.ranks > 1:
            raise Refused(
                f"{what} runs in one process, and here are {place.ranks}. Leave out nodes and processesPerNode, or"
                " train the type distributed_neural_network."
            )
        return
    try:
        import jax  # noqa: F401 -- whether it is there
    except ImportError as error:
        raise Refused(
            f"This image has no jax, which {what} trains with. Take the image trainer-jax, which is built with"
            " EXTRAS=jax."
        ) from error


@contextmanager
def losing_peers() -> Iterator[None]:
    """What jax raises in here because another rank does not answer becomes PeerLost."""
    import jax

    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # NB: the same failure comes as either, and so do others that are this rank's own.
        if "gloo" not in str(error).lower():
            raise
        raise PeerLost(lost(_first_line(error))) from error


def lost(why: str) -> str:
    """The sentence about a rank that is gone."""
    return (
        f"Another rank is gone ({why}), and without it the training cannot go on. Its own log says why; all ranks have"
        " to start again, and go on from their last checkpoint."
    )


def _initialize(place: Place) -> None:
    import jax

    # NB: gRPC would go to the other ranks through the proxy that a job has for the world outside.
    os.environ["no_grpc_proxy"] = place.coordinator.rpartition(":")[0].strip("[]")  # noqa: SIM112 -- gRPC reads it so
    jax.config.update("jax_check_proxy_envs", False)
    # NB: its handler would take SIGTERM from ours.
    jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator_address=place.coordinator,
        num_processes=place.ranks,
        process_id=place.rank,
        # NB: it would look for Kubernetes' API, and for a Job.
        cluster_detection_method="deactivate",
        # NB: jax aborts the process when it is over, so `meet` gives up before.
        initialization_timeout=place.seconds + _MARGIN_SECONDS,
        heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=_LEAVE_SECONDS,
    )
    jax.devices()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
