"""What callbacks take from Secrets, and which Secrets they do not."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from trainyard.callbacks import credentials
from trainyard.callbacks.credentials import UnusableSecretError


def a_secret(label: str | None = "true", **data: str | bytes) -> dict[str, Any]:
    raw = {key: value if isinstance(value, bytes) else value.encode() for key, value in data.items()}
    return {
        "metadata": {"name": "hook", "labels": {"trainyard.dev/callback": label} if label else None},
        "data": {key.replace("__", "-"): base64.b64encode(value).decode() for key, value in raw.items()},
    }


@pytest.mark.parametrize("label", [None, "false", "", "True"])
def test_a_secret_without_the_label_is_refused_with_what_to_do(label: str | None) -> None:
    for read in (credentials.signing_keys, credentials.headers):
        with pytest.raises(UnusableSecretError, match=r'Label it trainyard\.dev/callback: "true"'):
            read(a_secret(label, secret="top-secret"))


def test_both_keys_sign_while_a_secret_rotates() -> None:
    assert credentials.signing_keys(a_secret(secret="new", previousSecret="old", other="x")) == (
        b"new",
        b"old",
    )


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        pytest.param(a_secret(token="x"), "no key `secret`", id="has no secret"),
        pytest.param(a_secret(secret=""), "is empty", id="has an empty secret"),
        pytest.param(a_secret(secret="whsec_%%%"), "not base64", id="has broken base64"),
        pytest.param(
            a_secret(secret="good", previousSecret="whsec_%%%"), "not base64", id="has a broken old one"
        ),
    ],
)
def test_a_secret_that_cannot_sign_is_refused(secret: dict[str, Any], words: str) -> None:
    with pytest.raises(UnusableSecretError, match=words) as refused:
        credentials.signing_keys(secret)
    assert "%%%" not in str(refused.value)


def test_keys_become_headers_without_the_newline_of_their_file() -> None:
    secret = a_secret(Authorization="Bearer abc\n", X__Tenant="blue")
    assert credentials.headers(secret) == {"Authorization": "Bearer abc", "X-Tenant": "blue"}


@pytest.mark.parametrize(
    "name",
    ["Host", "CONTENT__TYPE", "content__length", "Webhook__Id", "Transfer__Encoding", "Connection", "ce__id"],
)
def test_headers_that_are_ours_to_set_are_refused(name: str) -> None:
    with pytest.raises(UnusableSecretError, match="not its to set"):
        credentials.headers(a_secret(**{name: "x"}))


@pytest.mark.parametrize("value", ["a\r\nHost: evil", "a\nb", "a\x00b", "naïve", b"\xff\xfe"])
def test_a_value_that_would_break_a_request_is_refused_and_not_repeated(value: str | bytes) -> None:
    with pytest.raises(UnusableSecretError, match="one line of ASCII") as refused:
        credentials.headers(a_secret(X__Key=value))
    assert "evil" not in str(refused.value)
