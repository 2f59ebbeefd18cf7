"""What the bench reads of HTTP by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.wire import Chunks, whole_answer

CHUNKS = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=8)


def encoded(chunks: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@given(CHUNKS, st.integers(min_value=1, max_value=25))
def test_chunks_are_the_same_in_whatever_portions_they_come(chunks: list[bytes], size: int) -> None:
    data, reader = encoded(chunks), Chunks()
    found: list[bytes] = []
    ended = False
    for start in range(0, len(data), size):
        if not ended:
            new, ended = reader.feed(data[start : start + size])
            found += new
    assert found == chunks
    assert ended


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", (201, b"{}")),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", (200, b"ab")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", None),
        (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
    ],
    ids=["of a length", "half of it", "chunked", "half of the chunks", "no body", "half of the head"],
)
def test_an_answer_is_whole_when_all_of_it_has_come(raw: bytes, expected: tuple[int, bytes] | None) -> None:
    assert whole_answer(raw) == expected
