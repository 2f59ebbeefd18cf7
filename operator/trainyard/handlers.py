"""The doorbells: the only module with kopf decorators.

Kopf watches and reconnects, for all but TrainingJobs and pods (`reconcile.watches`); these handlers return nothing and
never fail, so kopf has nothing to persist and writes nothing to any object: no annotation, no finalizer, no Event.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import kopf

from trainyard.api import names
from trainyard.cluster.cache import DATASET, EXPERIMENT, MODEL
from trainyard.cluster.client import Client
from trainyard.reconcile.loop import Doorbell


def registry(doorbell: Doorbell, client: Client) -> kopf.OperatorRegistry:
    """Handlers that ring `doorbell`; kopf logs in with the credentials of `client`."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers, backoff=5.0)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        # NB: called again whenever the API server says 401, so a rotated token is picked up.
        found = await client.credentials()
        return kopf.ConnectionInfo(
            server=found.server,
            ca_path=found.ca_path,
            insecure=found.insecure,
            scheme=found.scheme,
            token=found.token,
            certificate_path=found.certificate_path,
            private_key_path=found.private_key_path,
            proxy_url=found.proxy_url,
        )

    def watch(kind: str, *resource: str) -> None:
        async def ring(event: kopf.RawEvent, **_: Any) -> None:
            doorbell.ring(kind, event["type"], dict(event["object"]))

        kopf.on.event(*resource, registry=handlers, id=f"{kind.lower()}-doorbell")(ring)

    watch(DATASET, names.GROUP, names.VERSION, "datasets")
    watch(EXPERIMENT, names.GROUP, names.VERSION, "experiments")
    watch(MODEL, names.GROUP, names.VERSION, "mlmodels")
    return handlers


def settings() -> kopf.OperatorSettings:
    """Kopf's settings: lists in pages, no posting of Events, no scanning of CRDs."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.watching.chunk_size = 500
    chosen.watching.server_timeout = 300
    chosen.peering.standalone = True
    chosen.networking.error_backoffs = EndlessBackoffs()
    chosen.persistence.diffbase_storage = NoDiffBase()
    chosen.persistence.progress_storage = NoProgress()
    # NB: kopf takes its finalizer off objects that it need not hold, also one that somebody else's kopf has put there.
    chosen.persistence.finalizer = f"{names.GROUP}/kopf-holds-nothing"
    return chosen


class NoDiffBase(kopf.DiffBaseStorage):
    """What kopf remembers of an object as last handled: nothing, as there is no handler of changes.

    Its own storages parse annotations (one of somebody's making stops all events of that object) and copy each object
    of each event.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing."""


class NoProgress(kopf.ProgressStorage):
    """What kopf remembers of handlers' progress: nothing."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing."""

    def purge(self, **_: Any) -> None:
        """Nothing."""

    def touch(self, **_: Any) -> None:
        """Nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


class EndlessBackoffs:
    """Seconds between the tries of a request of kopf's, which gives up, and with it the operator, when they end.

    NB: an iterable without a length, and new from the start for each request.
    """

    def __iter__(self) -> Iterator[float]:
        return chain((1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0), repeat(15.0))
