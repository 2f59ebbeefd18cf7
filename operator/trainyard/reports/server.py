"""The status server put together, and its certificate kept good.

Separate because `trainyard.app`, the only caller, needs to know no more than start, keep, close, and where pods reach
it. Without a certificate nothing listens and pods are made without the server, as where it is off.
"""

from __future__ import annotations

import asyncio
import logging
import time
from urllib.parse import urlsplit

from trainyard.cluster.cache import Cache
from trainyard.cluster.client import Client
from trainyard.planning.server import ServerAddress
from trainyard.reports.certificates import Certificate, Certificates, NoCertificateError
from trainyard.reports.listening import Listener
from trainyard.reports.requests import Reports, Requests, Verdict, pod_of
from trainyard.reports.tokens import Tokens
from trainyard.settings import StatusServer as Settings

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 3600.0
_LOOK_AGAIN_SECONDS = 60.0


class StatusServer:
    """Off where the settings say so or name no URL."""

    def __init__(
        self, *, settings: Settings, client: Client, cache: Cache, reports: Reports, verdict: Verdict
    ) -> None:
        self._settings = settings
        self._on = settings.enabled and bool(settings.url)
        self._certificates = Certificates(
            client=client,
            namespace=settings.namespace,
            secret=settings.secret,
            host=urlsplit(settings.url).hostname or "",
        )
        self._tokens = Tokens(client, is_pod=lambda bearer: pod_of(cache, bearer) is not None)
        requests = Requests(
            cache=cache,
            tokens=self._tokens,
            reports=reports,
            verdict=verdict,
            requests_per_second=settings.requests_per_second,
            max_bytes=settings.max_bytes,
        )
        self._listener = Listener(requests.answer, address=settings.address, port=settings.port)
        self._certificate: Certificate | None = None
        self._listens = False

    @property
    def address(self) -> ServerAddress | None:
        """Where new pods reach it; None while it is off or has no certificate."""
        if self._certificate is None:
            return None
        return ServerAddress(url=self._settings.url, ca=self._certificate.authority.decode())

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._listener.port

    async def start(self) -> None:
        """Listen, if there is a certificate; else `keep` will."""
        if not self._on:
            if self._settings.enabled:
                _log.info("The status server is off: statusServer.url says not how pods reach it")
            return
        await self._look()

    async def keep(self) -> None:
        """Look after the certificate, for ever."""
        while self._on:
            await asyncio.sleep(_LOOK_SECONDS if self._certificate is not None else _LOOK_AGAIN_SECONDS)
            await self._look()

    async def close(self) -> None:
        """Answer what is being asked, and listen no more."""
        await self._listener.close()
        await self._tokens.close()

    async def _look(self) -> None:
        try:
            certificate = await self._certificates.current(now=time.time())
            if certificate == self._certificate:
                return
            self._listener.use(certificate)
            if not self._listens:
                self._listener.start()
                self._listens = True
                _log.info("The status server is %s, on port %d", self._settings.url, self.port)
        except NoCertificateError as error:
            _log.warning("No certificate for the status server: %s", error)
        except (OSError, ValueError) as error:
            _log.warning("The status server cannot use its certificate or its port: %s", error)
        except Exception:
            # NB: whatever is wrong with the server, trainings go on.
            _log.exception("The status server's certificate could not be looked at")
        else:
            self._certificate = certificate
