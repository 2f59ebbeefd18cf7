"""What a token says of itself, before anybody is asked."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.reports.tokens import Bearer, RefusedTokenError, claims

NOW = 1_800_000_000.0


def a_token(**over: Any) -> str:
    """As the API server makes it; None leaves a claim out."""
    payload: dict[str, Any] = {
        "aud": ["trainyard.dev"],
        "exp": int(NOW) + 600,
        "iss": "https://kubernetes.default.svc",
        "kubernetes.io": {
            "namespace": "team",
            "pod": {"name": "resnet-0-0", "uid": "pod-uid"},
            "serviceaccount": {"name": "default", "uid": "account-uid"},
        },
        "sub": "system:serviceaccount:team:default",
        **over,
    }
    encoded = orjson.dumps({name: value for name, value in payload.items() if value is not None})
    return ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b"{}", encoded, b"signature")
    )


def test_the_pod_and_the_end_of_a_token_are_read() -> None:
    assert claims(a_token(), now=NOW) == (Bearer("team", "resnet-0-0", "pod-uid"), NOW + 600)
    assert claims(a_token(aud="trainyard.dev"), now=NOW)[0].pod == "resnet-0-0"


@pytest.mark.parametrize(
    ("token", "words"),
    [
        pytest.param(a_token(exp=int(NOW)), "has expired", id="one that has ended"),
        pytest.param(
            a_token(aud=["https://kubernetes.default.svc"]), "audience", id="one for the API server"
        ),
        pytest.param(a_token(aud=None), "audience", id="one for nobody"),
        pytest.param(
            a_token(**{"kubernetes.io": {"namespace": "team"}}), "not bound to a pod", id="of no pod"
        ),
        pytest.param(
            a_token(**{"kubernetes.io": None}), "no token of a service account", id="of another issuer"
        ),
        pytest.param(a_token(exp=None), "no token of a service account", id="one without an end"),
        pytest.param("", "no token of a service account", id="nothing"),
        pytest.param("a.!.c", "no token of a service account", id="no base64"),
        pytest.param(a_token(sub="x" * 9000), "no token of a service account", id="one that is too long"),
    ],
)
def test_what_no_api_server_could_confirm_is_refused_without_asking(token: str, words: str) -> None:
    with pytest.raises(RefusedTokenError, match=words):
        claims(token, now=NOW)


@given(
    st.text(max_size=60)
    | st.binary(max_size=60).map(lambda b: "x." + base64.urlsafe_b64encode(b).decode() + ".y")
)
def test_nothing_that_is_sent_as_a_token_is_too_much(token: str) -> None:
    with pytest.raises(RefusedTokenError):
        claims(token, now=NOW)
