"""Signatures by the Standard Webhooks rules."""

from __future__ import annotations

import base64

import pytest

from trainyard.callbacks import signature

# The example that the Standard Webhooks libraries test themselves with.
SECRET = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def signed(*keys: bytes) -> dict[str, str]:
    return signature.headers(message_id=MESSAGE, timestamp=TIMESTAMP, body=BODY, keys=keys)


def test_the_signature_is_that_of_the_standards_example() -> None:
    assert signed(signature.key_of(SECRET)) == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": str(TIMESTAMP),
        "webhook-signature": SIGNATURE,
    }


def test_a_rotating_secret_gives_two_signatures_of_which_either_fits() -> None:
    new, old = signature.key_of(b"whsec_" + base64.b64encode(b"n" * 32)), signature.key_of(SECRET)
    both = signed(new, old)["webhook-signature"].split(" ")
    assert both == [signed(new)["webhook-signature"], SIGNATURE]


def test_without_a_key_there_is_no_signature() -> None:
    assert set(signed()) == {"webhook-id", "webhook-timestamp"}


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        pytest.param(
            SECRET + b"\n", base64.b64decode(SECRET[6:]), id="a newline after base64 is not part of it"
        ),
        pytest.param(b"plain text", b"plain text", id="bytes without the prefix are the key"),
        pytest.param(b"\x00\xff\n", b"\x00\xff\n", id="raw bytes are not touched"),
    ],
)
def test_what_key_a_secret_stands_for(secret: bytes, key: bytes) -> None:
    assert signature.key_of(secret) == key


@pytest.mark.parametrize("secret", [b"", b" \n", b"whsec_", b"whsec_not base64!", b"whsec_abc"])
def test_a_secret_without_a_key_in_it_is_refused_and_not_repeated(secret: bytes) -> None:
    with pytest.raises(ValueError, match=r"^is (not base64 after whsec_|empty)") as refused:
        signature.key_of(secret)
    assert "not base64!" not in str(refused.value)
