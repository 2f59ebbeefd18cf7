"""The official client's transport, with a session that asks its environment once.

Separate because this is all that is changed of it: TLS and the pool stay the official client's. Called by `client`.
"""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio.client.rest import RESTClientObject

from trainyard.cluster import tls_buffers


class Transport(RESTClientObject):
    """NB: its own session asks the environment for a proxy, and ~/.netrc for a password, in a thread, at every request:
    two thirds of what a request costs. Kubeconfig's `proxy-url` comes before the environment.
    """

    def session(self) -> aiohttp.ClientSession:
        """The one session; made when it is first asked for, in the event loop that is to use it."""
        if self.pool_manager is None:
            self.pool_manager = self._create_pool_manager()
        return self.pool_manager

    def _create_pool_manager(self) -> aiohttp.ClientSession:
        tls_buffers.shrink()
        return aiohttp.ClientSession(
            connector=self._create_connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self.proxy or proxy_for(self.configuration.host),
            trust_env=False,
        )


def proxy_for(server: str) -> str | None:
    """The proxy that HTTPS_PROXY (HTTP_PROXY for a server without TLS) and NO_PROXY name for this server."""
    address = urlsplit(server)
    if not address.hostname or proxy_bypass(address.hostname):
        return None
    # NB: not ALL_PROXY, which mostly names one of SOCKS, and which kubectl does not ask for either.
    return getproxies().get(address.scheme)
