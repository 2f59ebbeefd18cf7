"""Connections of the status server: how many, how long, and over TLS.

Separate because it is what keeps strangers from taking the operator's memory and time, and knows nothing of what is
said. Connections are accepted here and not by aiohttp, which counts none that are still shaking hands.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from trainyard.reports.certificates import Certificate

_log = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10.0
IDLE_SECONDS = 75.0
"""Also the longest that headers may take to come."""
_LINGER_SECONDS = 1.0
_CONNECTIONS = 4096
_CONNECTIONS_OF_ONE = 256
_MOST_HEADERS = 64
_MOST_HEAD = 32 << 10
"""Bytes of all headers together, of which aiohttp knows no limit: each may have 8 KiB, on each connection."""
_NO_FILES_SECONDS = 1.0
_STOP_SECONDS = 2.0

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """NB: aiohttp tells of nonsense that it was sent with a traceback, and strangers could fill the log."""

    def exception(self, msg: object, *args: object, **more: Any) -> None:
        self.debug(msg, *args, **more)


class _Connection(RequestHandler):
    __slots__ = ("_head", "closed")

    def __init__(self, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        limits: dict[str, Any] = {
            "access_log": None,
            "logger": _Quiet(_log, {}),
            "keepalive_timeout": IDLE_SECONDS,
            "max_headers": _MOST_HEADERS,
            "lingering_time": _LINGER_SECONDS,
            "auto_decompress": False,  # NB: a small body must not become a large one
        }
        super().__init__(server, loop=loop, **limits)
        self.closed: asyncio.Future[None] = loop.create_future()
        self._head = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waiter = self._waiter
        if waiter is None or waiter.done():  # NB: else no request has come of it yet
            self._head = 0
            return
        self._head += len(data)
        if self._head > _MOST_HEAD:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if not self.closed.done():
            self.closed.set_result(None)


class Listener:
    """Listens from `start` to `close`, with the certificate that `use` was given last."""

    def __init__(self, answer: Answer, *, address: str, port: int) -> None:
        self._server = web.Server(answer)
        self._where = (address, port)
        self._socket: socket.socket | None = None
        self._context: ssl.SSLContext | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._held: set[asyncio.Task[None]] = set()
        self._peers: Counter[str] = Counter()

    def use(self, certificate: Certificate) -> None:
        """The certificate for new connections. Raises OSError (ssl.SSLError) for one that cannot be used."""
        # NB: a context of its own: one that holds an RSA key as well as an elliptic curve's may show either.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # NB: OpenSSL reads keys from files only; this one is ours alone and gone at once.
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate.server.certificate + b"\n" + certificate.server.key)
            file.flush()
            context.load_cert_chain(file.name)
        self._context = context

    def start(self) -> None:
        """Listen; raises OSError where the port is taken."""
        family = socket.AF_INET6 if ":" in self._where[0] else socket.AF_INET
        dual = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        self._socket = socket.create_server(self._where, family=family, backlog=256, dualstack_ipv6=dual)
        self._socket.setblocking(False)
        self._accepting = asyncio.ensure_future(self._accept(self._socket))

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before it does."""
        return int(self._socket.getsockname()[1]) if self._socket is not None else 0

    async def close(self) -> None:
        """Take no more connections, and end those that there are when their requests are answered."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
        self._server.pre_shutdown()
        await self._server.shutdown(_STOP_SECONDS)
        for task in self._held:
            task.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(listening)
            except OSError as error:  # no file left to open, as a rule
                _log.warning("The status server cannot take a connection: %s", error)
                await asyncio.sleep(_NO_FILES_SECONDS)
                continue
            host = str(peer[0])
            if len(self._held) >= _CONNECTIONS or self._peers[host] >= _CONNECTIONS_OF_ONE:
                connection.close()
                continue
            self._peers[host] += 1
            task = loop.create_task(self._hold(connection))
            self._held.add(task)
            task.add_done_callback(functools.partial(self._left, host))

    def _left(self, host: str, task: asyncio.Task[None]) -> None:
        self._held.discard(task)
        self._peers[host] -= 1
        if not self._peers[host]:
            del self._peers[host]

    async def _hold(self, connection: socket.socket) -> None:
        """One connection from its handshake to its end."""
        with contextlib.suppress(OSError, ConnectionError, TimeoutError):  # NB: ssl.SSLError is an OSError
            transport, protocol = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Connection(self._server),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_STOP_SECONDS,
            )
            try:
                await protocol.closed
            finally:
                transport.abort()
