"""One POST to a real receiver on 127.0.0.1."""

from __future__ import annotations

import datetime
import email.utils
import ipaddress
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.harness import pki
from tests.receiver import Receiver, Say, listening
from trainyard.callbacks.addresses import Network
from trainyard.callbacks.sender import NoReplyError, NotSentError, Reply, Sender

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"),)


def a_sender(*, allowed: tuple[Network, ...] = LOOPBACK, seconds: float = 5.0) -> Sender:
    return Sender(allowed=allowed, seconds=seconds, threads=2, user_agent="trainyard/test")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as found:
        yield found


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    one = a_sender()
    yield one
    await one.close()


async def post(sender: Sender, url: str, **headers: str) -> Reply:
    return await sender.post(url, body=b'{"a":1}', headers={"Content-Type": "application/json", **headers})


async def test_a_2xx_answer_is_success(sender: Sender, receiver: Receiver) -> None:
    reply = await post(sender, receiver.url("/hook"), authorization="Bearer x")
    assert reply == Reply(delivered=True, gone=False, message="Answered 204 No Content.")
    (request,) = receiver.requests
    assert request.body == b'{"a":1}'
    assert request.headers["user-agent"] == "trainyard/test"
    assert request.headers["authorization"] == "Bearer x"


@pytest.mark.parametrize("status", [400, 404, 500, 503, 599])
async def test_any_other_answer_is_a_failure(sender: Sender, receiver: Receiver, status: int) -> None:
    receiver.script["/"] = [Say(status=status, body=b"internal secrets")]
    reply = await post(sender, receiver.url())
    assert not reply.delivered
    assert not reply.gone
    assert reply.message.startswith(f"Answered {status}")
    assert "internal secrets" not in reply.message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(sender: Sender, receiver: Receiver, status: int) -> None:
    receiver.script["/"] = [Say(status=status, headers={"location": receiver.url("/elsewhere")})]
    reply = await post(sender, receiver.url())
    assert not reply.delivered
    assert "redirects are not followed" in reply.message
    assert receiver.at("/elsewhere") == []


async def test_410_ends_it(sender: Sender, receiver: Receiver) -> None:
    receiver.script["/"] = [Say(status=410)]
    assert (await post(sender, receiver.url())).gone


@pytest.mark.parametrize(
    ("status", "value", "seconds"),
    [
        (429, "17", 17),
        (503, "120", 120),
        (503, "Wed, 21 Oct 2015 07:28:00 GMT", 0),
        (429, "soon", None),
        (429, "-5", None),
        (500, "17", None),
    ],
)
async def test_retry_after_is_read_as_seconds_or_as_a_date(
    sender: Sender, receiver: Receiver, status: int, value: str, seconds: float | None
) -> None:
    receiver.script["/"] = [Say(status=status, headers={"retry-after": value})]
    reply = await post(sender, receiver.url())
    assert reply.retry_after == (seconds if seconds is None else pytest.approx(seconds, abs=60))


async def test_retry_after_is_read_as_a_date_to_come(sender: Sender, receiver: Receiver) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    receiver.script["/"] = [Say(status=503, headers={"retry-after": email.utils.format_datetime(later)})]
    reply = await post(sender, receiver.url())
    assert reply.retry_after == pytest.approx(3600, abs=60)


async def test_a_receiver_that_hangs_is_given_up_in_time(receiver: Receiver) -> None:
    receiver.script["/"] = [Say(delay=30)]
    sender = a_sender(seconds=0.5)
    begin = time.monotonic()
    with pytest.raises(NoReplyError, match=r"did not answer within 0\.5 s"):
        await post(sender, receiver.url())
    assert time.monotonic() - begin < 3
    await sender.close()


async def test_a_body_without_an_end_is_not_read_to_it(sender: Sender, receiver: Receiver) -> None:
    receiver.script["/"] = [Say(status=200, body=b"x" * 10, endless=True)]
    begin = time.monotonic()
    assert (await post(sender, receiver.url())).delivered
    assert time.monotonic() - begin < 3


async def test_a_large_body_is_success_and_left_unread(sender: Sender, receiver: Receiver) -> None:
    receiver.script["/"] = [Say(status=200, body=b"x" * 50_000_000)]
    begin = time.monotonic()
    assert (await post(sender, receiver.url())).delivered
    assert time.monotonic() - begin < 3


@pytest.mark.parametrize(
    "value", ["x" * 20_000, "\x00"], ids=["a header line without end", "a broken header"]
)
async def test_an_answer_that_is_no_http_is_no_reply(sender: Sender, receiver: Receiver, value: str) -> None:
    receiver.script["/"] = [Say(headers={"x-much": value})]
    with pytest.raises(NoReplyError, match="broke off the connection"):
        await post(sender, receiver.url())


async def test_a_connection_that_is_broken_off_is_no_reply(sender: Sender, receiver: Receiver) -> None:
    receiver.script["/"] = [Say(broken=True)]
    with pytest.raises(NoReplyError, match=r"127\.0\.0\.1 broke off the connection"):
        await post(sender, receiver.url())
    assert len(receiver.requests) == 1, "it is not sent again by the library"


async def test_nobody_there_is_no_reply(sender: Sender) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(NoReplyError, match=r"port \d+, could not be reached: "):
            await post(sender, f"http://127.0.0.1:{taken.getsockname()[1]}/")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]"]
)
async def test_loopback_is_not_reached_by_any_of_its_names(receiver: Receiver, host: str) -> None:
    sender = a_sender(allowed=())
    for scheme in ("http", "https"):
        with pytest.raises(NotSentError):
            await post(sender, receiver.url(host=host, scheme=scheme))
    assert receiver.requests == []
    await sender.close()


async def test_a_name_that_resolves_to_a_private_address_is_not_reached(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rebound(host: str, port: int, *_: object) -> list[object]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("127.0.0.1", "10.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    sender = a_sender(allowed=())
    with pytest.raises(
        NotSentError, match=r"127\.0\.0\.1 is a loopback address.*10\.0\.0\.1 is a private address"
    ):
        await post(sender, receiver.url(host="hook.example.com", scheme="https"))
    assert receiver.requests == []
    await sender.close()


async def test_of_the_addresses_of_a_name_only_those_that_may_be_are_tried(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two(host: str, port: int, *_: object) -> list[object]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("127.0.0.2", "127.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with listening(receiver.port, address="127.0.0.2") as other:
        sender = a_sender(allowed=(ipaddress.ip_network("127.0.0.1/32"),))
        assert (await post(sender, receiver.url(host="hook.example.com"))).delivered
        assert receiver.requests[0].headers["host"] == f"hook.example.com:{receiver.port}"
        assert other.requests == []
        await sender.close()


async def test_a_proxy_of_the_environment_is_not_asked(
    receiver: Receiver, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await post(sender, receiver.url())).delivered


async def test_cookies_are_not_kept(receiver: Receiver, sender: Sender) -> None:
    receiver.script["/"] = [Say(headers={"set-cookie": "a=b"})]
    for _ in range(2):
        await post(sender, receiver.url())
    assert all("cookie" not in request.headers for request in receiver.requests)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://user:pw@127.0.0.1/", "headersSecretRef"),
        ("http://[::1/", "cannot be parsed"),
        ("http://127.0.0.1:99999/", "cannot be"),
        ("ftp://127.0.0.1/", "http or https"),
        ("https:///path", "a host"),
    ],
)
async def test_a_url_that_cannot_be_used_is_told_and_not_repeated(
    sender: Sender, url: str, words: str
) -> None:
    with pytest.raises(NotSentError, match=words) as refused:
        await post(sender, url)
    assert "pw" not in str(refused.value)


async def test_a_certificate_is_verified(tmp_path: Path) -> None:
    authority = pki.Authority(tmp_path)
    pair = authority.server("receiver", hosts=("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    trust = ssl.create_default_context(cafile=str(authority.pair.certificate))
    with listening(tls=context) as receiver:
        url = receiver.url(scheme="https")
        trusting = Sender(allowed=LOOPBACK, seconds=5, threads=1, user_agent="x", tls=trust)
        assert (await post(trusting, url)).delivered
        await trusting.close()
        wary = a_sender()
        with pytest.raises(NoReplyError, match="was not trusted"):
            await post(wary, url)
        await wary.close()
