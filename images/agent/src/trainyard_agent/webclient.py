"""Requests over HTTPS: certificates, proxies, redirects, and who is told our credentials.

Separate because all sources on the web share these rules. Called by `websource` and `hubsource`.
"""

from __future__ import annotations

import ssl
import urllib.parse
import urllib.request
from collections.abc import Generator, Mapping
from typing import Any

import urllib3

from trainyard_agent import refusals
from trainyard_agent.credentials import CONNECT_SECONDS, CONNECTIONS, READ_SECONDS
from trainyard_agent.sources import CHUNK_BYTES
from trainyard_agent.troubles import Trouble, brief, without_credentials

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10
_MOST_UNREAD = 64 << 10
_TIMEOUT = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)


class Web:
    """Makes requests in many threads.

    Plain http:// is for the server of `endpoint`, which somebody has named, and for where it leads.
    """

    def __init__(self, *, name: str, endpoint: str = "") -> None:
        self._name = name
        self._plain = origin_of(endpoint) if endpoint.startswith("http://") else None
        self._direct = urllib3.PoolManager(**_POOL, ssl_context=ssl.create_default_context())
        self._proxies: dict[str, urllib3.ProxyManager] = {}

    def get(self, url: str, *, headers: Mapping[str, str], credentials: Mapping[str, str]) -> Any:
        """The answer, whose body is still to be read, whatever its status is.

        Redirects are followed; `credentials`, which are headers, are for the server of `url` alone. The caller closes
        the answer. Raises Trouble, or what is worth another attempt.
        """
        first = origin_of(url)
        before = ""
        for _ in range(_MOST_REDIRECTS):
            origin = origin_of(url)
            self._check(url, origin, before)
            before = origin[0]
            sent = {"Accept-Encoding": "identity", **headers, **(credentials if origin == first else {})}
            try:
                answer = self._pool(url).request(
                    "GET", url, headers=sent, redirect=False, retries=False, preload_content=False
                )
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise refusals.failed(error, place=self._name) from error
            target = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not target:
                return answer
            _end(answer)
            url = urllib.parse.urljoin(url, target)
        raise Trouble(
            "missing", f"{self._name} redirects more than {_MOST_REDIRECTS} times: check its address."
        )

    def chunks(self, answer: Any) -> Generator[bytes]:
        """The body, which is closed after it. An answer that is cut is worth another attempt."""
        try:
            yield from answer.stream(CHUNK_BYTES, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            answer.close()
            raise refusals.failed(error, place=self._name) from error
        finally:
            # NB: one that was not read to its end cannot serve another request.
            if not answer.isclosed():
                answer.close()
            answer.release_conn()

    def refusal(self, answer: Any, *, path: str = "", why: str = "") -> Exception:
        """What an answer that is no success means; it is closed."""
        answer.close()
        answer.release_conn()
        why = why or f"{answer.status} {answer.reason or ''}".rstrip()
        return refusals.answered(answer.status, place=self._name, path=path, why=why)

    def _check(self, url: str, origin: tuple[str, str, int | None], before: str) -> None:
        """NB: what has come over https:// never leads on to http://."""
        if origin[0] == "https" or (origin[0] == "http" and (origin == self._plain or before == "http")):
            return
        raise Trouble(
            "unsupported",
            f"{self._name} leads to {brief_address(url)}, which is not https:// and could be changed on the way: give"
            " an https:// address, or name that very server in source.endpoint.",
        )

    def _pool(self, url: str) -> Any:
        parts = urllib.parse.urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme)
        if not proxy or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
            return self._direct
        if proxy not in self._proxies:
            address = urllib.parse.urlsplit(proxy)
            headers = urllib3.make_headers(
                proxy_basic_auth=":".join(
                    map(urllib.parse.unquote, (address.username, address.password or ""))
                )
                if address.username
                else None
            )
            self._proxies[proxy] = urllib3.ProxyManager(
                proxy, **_POOL, ssl_context=ssl.create_default_context(), proxy_headers=headers
            )
        return self._proxies[proxy]


def _end(answer: Any) -> None:
    """Ends an answer of which only the headers count. NB: reading the rest keeps the connection, if it has an end."""
    length = answer.headers.get("Content-Length") or ""
    if length.isdecimal() and int(length) <= _MOST_UNREAD:
        answer.drain_conn()
    else:
        answer.close()
    answer.release_conn()


_POOL: dict[str, Any] = {"maxsize": CONNECTIONS, "timeout": _TIMEOUT}


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port. Raises Trouble for what is no address."""
    try:
        parts = urllib.parse.urlsplit(url)
        return (
            parts.scheme,
            (parts.hostname or "").lower(),
            parts.port or {"https": 443, "http": 80}.get(parts.scheme),
        )
    except ValueError as error:
        raise Trouble("unsupported", f"{brief_address(url)} is no address ({brief(error)}).") from error


def brief_address(url: str) -> str:
    """An address without what may be a credential, in one line."""
    return " ".join(without_credentials(url).partition("?")[0].split())[:200]
