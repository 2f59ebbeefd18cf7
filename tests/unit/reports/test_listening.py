"""What strangers can do to the status server: connections that hold on, send slowly, or send too much.

Everything here is real but the API server: sockets, TLS, and the requests behind them; tokens are a table.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import pytest

from trainyard.cluster.cache import POD, TRAINING_JOB, Cache, Key
from trainyard.planning.podview import PodView
from trainyard.planning.statusline import StatusLine
from trainyard.reports import listening, requests
from trainyard.reports.certificates import Certificate, made
from trainyard.reports.listening import Listener
from trainyard.reports.pki import Pair
from trainyard.reports.requests import Requests
from trainyard.reports.tokens import Bearer, RefusedTokenError, UnavailableError

HOST = "127.0.0.1"
PATH = "/apis/trainyard.dev/v1alpha1/namespaces/team/trainingjobs/resnet"
MAX_BYTES = 4096


class Tokens:
    """`good` is the pod's own, `away` is one that nobody can look into."""

    async def bearer(self, token: str, *, address: str) -> Bearer:
        assert address == HOST
        if token == "away":
            raise UnavailableError(7.0)
        if token != "good":
            raise RefusedTokenError("No.")
        return Bearer("team", "resnet-0-0", "pod-uid")


@dataclass
class Heard:
    """What has come through."""

    lines: list[StatusLine] = field(default_factory=list)
    signs_of_life: int = 0
    unheard_of: int = 0

    def submit(self, namespace: str, pod: PodView, lines: Sequence[StatusLine]) -> None:
        assert (namespace, pod.uid) == ("team", "pod-uid")
        self.lines += lines
        self.signs_of_life += 1

    def unheard(self) -> None:
        self.unheard_of += 1


@dataclass
class Served:
    """A server that listens, and what it knows."""

    listener: Listener
    certificate: Certificate
    cache: Cache
    heard: Heard
    session: aiohttp.ClientSession

    @property
    def port(self) -> int:
        return self.listener.port

    async def post(self, data: Any, *, token: str = "good", path: str = PATH + "/status", **more: Any) -> Any:
        """The code of the answer and its JSON."""
        return await self._ask("POST", token, path, data=data, **more)

    async def verdict(self) -> Any:
        return await self._ask("GET", "good", PATH + "/verdict")

    async def _ask(self, method: str, token: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        url = f"https://{HOST}:{self.port}{path}"
        async with self.session.request(method, url, headers=headers, **more) as answer:
            return answer.status, orjson.loads(await answer.read())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self.port, ssl=trusting(self.certificate))


def trusting(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificate.authority.decode())


def a_certificate() -> Certificate:
    data = made({}, host=HOST, now=time.time())
    server = Pair(certificate=data["tls.crt"], key=data["tls.key"])
    return Certificate(server=server, authority=data["ca.crt"])


def a_job(uid: str = "job-uid", *, version: int = 1) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": "resnet", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata}


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(listening, "IDLE_SECONDS", 0.6)
    monkeypatch.setattr(listening, "HANDSHAKE_SECONDS", 0.6)
    monkeypatch.setattr(requests, "_BODY_SECONDS", 0.6)
    cache, heard = Cache(), Heard()
    cache.store(TRAINING_JOB, a_job())
    owner = {
        "apiVersion": "trainyard.dev/v1alpha1",
        "kind": "TrainingJob",
        "name": "resnet",
        "uid": "job-uid",
    }
    metadata = {"namespace": "team", "name": "resnet-0-0", "uid": "pod-uid", "resourceVersion": "1"}
    cache.store(POD, {"metadata": {**metadata, "ownerReferences": [{**owner, "controller": True}]}})
    answers = Requests(
        cache=cache,
        tokens=Tokens(),
        reports=heard,
        verdict=lambda namespace, name, pod_uid: {"state": "Pending", "of": [namespace, name, pod_uid]},
        requests_per_second=1000,
        max_bytes=MAX_BYTES,
    )
    listener = Listener(answers.answer, address=HOST, port=0)
    certificate = a_certificate()
    listener.use(certificate)
    listener.start()
    connector = aiohttp.TCPConnector(ssl=trusting(certificate))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Served(listener, certificate, cache, heard, session)
    await listener.close()


async def ends(reader: asyncio.StreamReader, *, within: float) -> bytes:
    """What comes until the other side closes."""
    async with asyncio.timeout(within):
        try:
            return await reader.read()
        except (ConnectionError, ssl.SSLError):
            return b""


async def test_a_line_is_heard_and_given_back(served: Served) -> None:
    assert await served.post(b'{"epoch": 3}') == (200, {"epoch": 3})
    assert served.heard.lines == [StatusLine(epoch=3)]


async def test_a_connection_that_does_not_shake_hands_is_ended(served: Served) -> None:
    reader, writer = await asyncio.open_connection(HOST, served.port)
    assert await ends(reader, within=5) == b""
    writer.close()


async def test_headers_that_come_drop_by_drop_end_the_connection(served: Served) -> None:
    reader, writer = await served.connect()

    async def drip() -> None:
        for byte in f"POST {PATH}/status HTTP/1.1\r\n".encode() * 100:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    dripping = asyncio.ensure_future(drip())
    assert await ends(reader, within=5) == b""
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    writer.transport.abort()


async def test_headers_that_are_many_bytes_end_the_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "IDLE_SECONDS", 60.0)
    reader, writer = await served.connect()
    writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 8000 + b"\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 404 " in head.partition(b"\r\n")[0], "a token may be long"
    await reader.read(1000)
    writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\n")
    for number in range(8):
        writer.write(b"A%d: " % number + b"x" * 8000 + b"\r\n")
    assert await ends(reader, within=5) == b""
    writer.transport.abort()


async def test_a_body_that_does_not_come_is_not_waited_for(served: Served) -> None:
    reader, writer = await served.connect()
    head = (
        f"POST {PATH}/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\nContent-Length: 100\r\n\r\n"
    )
    writer.write(head.encode() + b'{"epoch":')
    answer = await ends(reader, within=5)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"reason":"Timeout"' in answer
    writer.transport.abort()


async def test_a_client_that_asks_first_whether_to_send_is_told_so(served: Served) -> None:
    reader, writer = await served.connect()
    head = "HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\nExpect: 100-continue\r\nContent-Length: "
    writer.write(f"POST {PATH}/status {head}12\r\n\r\n".encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b'{"epoch": 3}')
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert await reader.readexactly(11) == b'{"epoch":3}'
    writer.write(f"POST {PATH}/status {head}{MAX_BYTES + 1}\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")
    writer.transport.abort()


async def test_a_body_of_unknown_size_is_refused_when_it_grows_too_large(served: Served) -> None:
    reader, writer = await served.connect()
    head = f"POST {PATH}/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head.encode())
    with contextlib.suppress(ConnectionError):
        for _ in range(3 * MAX_BYTES // 1000):
            writer.write(b"3e8\r\n" + b" " * 1000 + b"\r\n")
            await writer.drain()
    assert (await ends(reader, within=5)).startswith(b"HTTP/1.1 413")
    writer.transport.abort()


async def test_a_small_body_does_not_become_a_large_one(served: Served) -> None:
    bomb = gzip.compress(b"[" + b" " * 1_000_000 + b"]")
    assert len(bomb) < MAX_BYTES
    code, _ = await served.post(bomb, headers={"Content-Encoding": "gzip"})
    assert code == 400
    assert not served.heard.lines


async def test_one_address_cannot_take_all_connections(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_CONNECTIONS_OF_ONE", 3)
    held = [await asyncio.open_connection(HOST, served.port) for _ in range(3)]
    await asyncio.sleep(0.1)
    reader, writer = await asyncio.open_connection(HOST, served.port)
    assert await ends(reader, within=0.3) == b""
    for _, one in [*held, (reader, writer)]:
        one.close()
    await asyncio.sleep(0.1)
    assert (await served.post(b'{"epoch": 3}'))[0] == 200, "those that are closed count no longer"


async def test_a_new_certificate_is_shown_to_new_connections(served: Served) -> None:
    renewed = a_certificate()
    served.listener.use(renewed)
    connector = aiohttp.TCPConnector(ssl=trusting(renewed))
    async with aiohttp.ClientSession(connector=connector) as served.session:
        assert (await served.post(b'{"epoch": 3}'))[0] == 200


async def test_a_certificate_that_is_none_leaves_the_one_before(served: Served) -> None:
    broken = Certificate(server=Pair(certificate=b"x", key=b"y"), authority=b"z")
    with pytest.raises(OSError, match="PEM"):
        served.listener.use(broken)
    assert (await served.post(b'{"epoch": 3}'))[0] == 200


@pytest.mark.parametrize(
    ("token", "path", "code"),
    [
        pytest.param("good", PATH + "/state", 404, id="an unknown path"),
        pytest.param("good", "/", 404, id="the root"),
        pytest.param("good", PATH + "/verdict", 405, id="a verdict that is posted"),
        pytest.param("bad", PATH + "/status", 401, id="a token that is refused"),
        pytest.param("good", PATH.replace("resnet", "other") + "/status", 403, id="another job"),
        pytest.param("good", PATH.replace("team", "default") + "/status", 403, id="another namespace"),
    ],
)
async def test_who_may_not_say_it_is_not_heard(served: Served, token: str, path: str, code: int) -> None:
    assert (await served.post(b'{"epoch": 3}', token=token, path=path))[0] == code
    assert not served.heard.lines
    assert not served.heard.signs_of_life


async def test_while_nobody_can_look_into_tokens_the_pod_is_told_when_to_come_again(served: Served) -> None:
    code, body = await served.post(b'{"epoch": 3}', token="away")
    assert (code, body["reason"], body["details"]) == (503, "ServiceUnavailable", {"retryAfterSeconds": 7})
    assert served.heard.unheard_of == 1, "its silence must not count"


async def test_what_cannot_be_understood_is_a_sign_of_life(served: Served) -> None:
    assert (await served.post(b"{"))[0] == 400
    assert (served.heard.signs_of_life, served.heard.lines) == (1, [])


async def test_a_job_of_the_same_name_hears_nothing_of_the_pod_of_an_earlier_one(served: Served) -> None:
    served.cache.remove(TRAINING_JOB, namespace="team", name="resnet", uid="job-uid", version=2)
    assert (await served.post(b'{"epoch": 3}'))[0] == 404
    served.cache.store(TRAINING_JOB, a_job("another", version=3))
    assert (await served.post(b'{"epoch": 3}'))[0] == 403
    assert not served.heard.lines
    assert await served.verdict() == (200, {"state": "Pending", "of": ["team", "resnet", "pod-uid"]})


async def test_a_pod_that_is_gone_is_told_so(served: Served) -> None:
    key = Key(POD, "team", "resnet-0-0")
    served.cache.remove(POD, namespace=key.namespace, name=key.name, uid="pod-uid", version=2)
    assert (await served.post(b'{"epoch": 3}'))[0] == 401


async def test_a_request_that_is_no_http_ends_the_connection_and_fills_no_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for nonsense in (b"\x00\x01 nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100 + b"\r\n"):
        reader, writer = await served.connect()
        writer.write(nonsense)
        assert b" 400 " in (await ends(reader, within=5)).partition(b"\r\n")[0]
        writer.transport.abort()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
