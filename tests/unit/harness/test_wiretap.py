"""The proxy by which tests see what a client asks, and the small servers behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.harness import ranged, wiretap
from tests.harness.errors import HarnessError
from tests.harness.tethered import Tethered
from tests.harness.wiretap import Wiretap

CONTENT = bytes(range(256)) * 1000


class _Handler(ranged.Handler):
    def do_GET(self) -> None:
        self.send_file(CONTENT, etag='"one"')

    do_HEAD = do_GET


@pytest.fixture
def tap() -> Iterator[Wiretap]:
    server = ranged.Server(("127.0.0.1", 0), _Handler, None, ranged.Traffic())
    with ranged.serving(server) as port, wiretap.tapping(port) as one:
        yield one


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False) as one:
        yield one


def test_what_is_asked_and_sent_is_counted_also_on_a_connection_that_stays(
    tap: Wiretap, pool: urllib3.PoolManager
) -> None:
    for name in ("a", "b"):
        assert pool.request("GET", f"{tap.endpoint}/{name}").data == CONTENT
    assert pool.request("HEAD", f"{tap.endpoint}/a").status == 200
    assert [(one.method, one.target) for one in tap.asked] == [("GET", "/a"), ("GET", "/b"), ("HEAD", "/a")]
    assert len(tap.gets("/a")) == 1
    assert 2 * len(CONTENT) < tap.sent < 2 * len(CONTENT) + 2000


@pytest.mark.parametrize(
    ("asked", "status", "wanted"),
    [
        ("bytes=0-0", 206, CONTENT[:1]),
        ("bytes=255000-", 206, CONTENT[255000:]),
        ("bytes=-5", 206, CONTENT[-5:]),
        ("bytes=300000-", 416, b""),
    ],
)
def test_ranges_are_served(
    tap: Wiretap, pool: urllib3.PoolManager, asked: str, status: int, wanted: bytes
) -> None:
    answer = pool.request("GET", tap.endpoint, headers={"Range": asked})
    assert (answer.status, answer.data) == (status, wanted)


def test_a_condition_on_another_version_is_refused(tap: Wiretap, pool: urllib3.PoolManager) -> None:
    assert pool.request("GET", tap.endpoint, headers={"If-Match": '"two"'}).status == 412


def test_it_refuses_cuts_and_slows_down(tap: Wiretap, pool: urllib3.PoolManager) -> None:
    tap.refusing = 403
    assert pool.request("GET", tap.endpoint).status == 403
    tap.refusing, tap.cutting = None, 100_000
    with pytest.raises(urllib3.exceptions.HTTPError):
        pool.request("GET", tap.endpoint)
    tap.cutting, tap.rate = None, 1_000_000
    began = time.monotonic()
    threads = [threading.Thread(target=pool.request, args=("GET", tap.endpoint)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began > 0.4, "the rate is that of all connections together"


def test_a_server_that_ends_at_once_is_told_with_its_output(tmp_path: Path) -> None:
    server = Tethered("The server", ["sh", "-c", "echo no licence; exit 3"], port=1, log=tmp_path / "log")
    with pytest.raises(HarnessError, match="no licence"):
        server.start()
