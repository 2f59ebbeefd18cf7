"""What the loader sends for a job."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import orjson

from tests.bench.loader import NAME, UID, VERSION, Order, Prepared, Request, first_value

POST = Request(
    method="POST",
    path="/apis/x/things",
    body=f'{{"name":"{NAME}"}}',
    headers={"Content-Type": "application/json"},
    keeps={"uid": UID, "resourceVersion": VERSION},
)
PATCH = Request(method="PATCH", path=f"/apis/x/things/{NAME}/status", body=f'{{"v":"{VERSION}","u":"{UID}"}}')


def test_a_request_says_how_long_its_body_is() -> None:
    head, _, body = Prepared(POST, "job-1").whole({}).partition(b"\r\n\r\n")
    assert body == b'{"name":"job-1"}'
    assert b"Content-Length: 16" in head.split(b"\r\n")


def test_a_request_that_needs_an_answer_before_it_is_made_of_that() -> None:
    known = {VERSION.encode(): b"1234567", UID.encode(): b"abc"}
    head, _, body = Prepared(PATCH, "job-1").whole(known).partition(b"\r\n\r\n")
    assert head.startswith(b"PATCH /apis/x/things/job-1/status HTTP/1.1\r\n")
    assert body == b'{"v":"1234567","u":"abc"}'
    assert b"Content-Length: 25" in head.split(b"\r\n")


def test_what_is_kept_of_an_answer_is_its_first_field_of_that_name() -> None:
    answer = b'{"metadata":{"uid":"one","ownerReferences":[{"uid":"two"}]}}'
    assert first_value(answer, b'"uid":"') == b"one"


def test_an_order_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    order = Order(kubeconfig="/k", journal="/j", script=(POST, PATCH), jobs=2, first=5, rate=1.5)
    file = tmp_path / "order.json"
    file.write_bytes(orjson.dumps(asdict(order)))
    assert Order.load(file) == order
    assert order.names() == ["job-000005", "job-000006"]
