"""One POST to an address that a user chose: checked, bounded, never redirected.

Separate because it is the only code that connects to anything but the API server. Called by `reconcile.callbacks`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from trainyard.callbacks.addresses import Network, why_refused

_READ_LIMIT = 65_536
_READ_SECONDS = 1.0
_RETRY_AFTER = frozenset({429, 503})


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a receiver said: whether that settles it, a sentence, and the seconds it asked to wait."""

    delivered: bool
    gone: bool
    message: str
    retry_after: float | None = None


class NotSentError(Exception):
    """No request left: the URL or its addresses were refused. Its message is a sentence for the user."""


class NoReplyError(Exception):
    """The receiver did not answer. Its message is a sentence for the user."""


class _RefusedAddressError(OSError):
    """Every address was refused."""


class Sender:
    """POSTs; at most `threads` names are resolved at once. Close it with `await sender.close()`.

    `tls` verifies receivers; the default trusts what the system trusts.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[Network],
        seconds: float,
        threads: int,
        user_agent: str,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = tuple(allowed)
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._user_agent = user_agent
        self._tls = tls
        # NB: of its own: a name server that hangs holds a thread, and the loop's own threads write logs.
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="callback-dns")
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> Reply:
        """One try. Raises NotSentError or NoReplyError when there is no reply."""
        target = _target(url)
        session = self._session(encrypted=target.scheme == "https")
        try:
            async with session.post(target, data=body, headers=headers, allow_redirects=False) as response:
                reply = _reply(response)
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with asyncio.timeout(_READ_SECONDS):
                        await response.content.read(_READ_LIMIT)
                return reply
        except aiohttp.ClientConnectorCertificateError as error:
            raise NoReplyError(f"{target.host} was not trusted: {error.certificate_error}.") from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _RefusedAddressError):
                raise NotSentError(str(error.os_error)) from error
            raise NoReplyError(_unconnected(target, error)) from error
        except TimeoutError as error:
            raise NoReplyError(f"{target.host} did not answer within {self._timeout.total:g} s.") from error
        except (aiohttp.InvalidURL, ValueError) as error:
            raise NotSentError("The URL of this callback cannot be used.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoReplyError(f"{target.host} broke off the connection ({type(error).__name__}).") from error

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _session(self, *, encrypted: bool) -> aiohttp.ClientSession:
        if encrypted not in self._sessions:
            refusal = functools.partial(why_refused, allowed=self._allowed, encrypted=encrypted)
            connector = aiohttp.TCPConnector(
                resolver=_Resolver(self._threads, refusal),
                # NB: sees the very address that is connected to, a literal's as well; nothing comes in between.
                socket_factory=functools.partial(_socket, refusal),
                force_close=True,
                limit=0,
                ssl=self._tls if self._tls is not None else True,
            )
            self._sessions[encrypted] = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": self._user_agent},
            )
        return self._sessions[encrypted]


class _Resolver(AbstractResolver):
    """The system's resolver, without the addresses that are refused."""

    def __init__(self, threads: ThreadPoolExecutor, refusal: functools.partial[str | None]) -> None:
        self._threads = threads
        self._refusal = refusal

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        look_up = functools.partial(
            socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG
        )
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        refused, results = [], []
        for kind, _, protocol, _, address in found:
            text = str(address[0])
            why = self._refusal(text)
            if why is not None:
                refused.append(why)
                continue
            results.append(
                ResolveResult(
                    hostname=host,
                    host=text,
                    port=port,
                    family=kind,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST,
                )
            )
        if refused and not results:
            raise _RefusedAddressError(" ".join(dict.fromkeys(refused)))
        return results

    async def close(self) -> None:
        """Nothing: the threads are the sender's."""


def _socket(refusal: functools.partial[str | None], address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, where = address
    why = refusal(str(where[0]))
    if why is not None:
        raise _RefusedAddressError(why)
    return socket.socket(family=family, type=kind, proto=protocol)


def _target(url: str) -> URL:
    try:
        target = URL(url)
    except ValueError as error:
        raise NotSentError("The URL of this callback cannot be parsed.") from error
    if target.scheme not in ("http", "https") or not target.host:
        raise NotSentError("The URL of this callback needs http or https and a host.")
    if target.user is not None or target.password is not None:
        raise NotSentError(
            "The URL of this callback carries a user or a password, for all to read. Put an Authorization header "
            "into the Secret of headersSecretRef instead."
        )
    return target


def _reply(response: aiohttp.ClientResponse) -> Reply:
    # NB: of the answer only its status: anything else of an internal server's would be there for users to read.
    status = response.status
    said = f"{status} {_phrase(status)}".rstrip()
    if 200 <= status < 300:
        return Reply(delivered=True, gone=False, message=f"Answered {said}.")
    message = f"Answered {said}; only 2xx is success."
    if 300 <= status < 400:
        message = f"Answered {said}; redirects are not followed: put the new address into spec.callbacks."
    if status == 410:
        message = f"Answered {said}, which asks to send nothing more."
    wait = _seconds(response.headers.get("Retry-After")) if status in _RETRY_AFTER else None
    return Reply(delivered=False, gone=status == 410, message=message, retry_after=wait)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _seconds(value: str | None) -> float | None:
    """Retry-After in seconds, be it a number or a date (RFC 9110, section 10.2.3); None for neither."""
    if value is None:
        return None
    if value.strip().isdecimal() and value.isascii():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _unconnected(target: URL, error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"The name {target.host} could not be resolved."
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"{target.host} could not be reached by TLS: {error.os_error}."
    reason = error.os_error.strerror or type(error.os_error).__name__
    return f"{target.host}, port {target.port}, could not be reached: {reason}."
