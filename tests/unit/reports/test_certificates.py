"""Which certificates are made, and when they are made anew."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from cryptography import x509

from trainyard.reports.certificates import made
from trainyard.reports.pki import DAY

NOW = 1_800_000_000.0
HOST = "trainyard.trainyard-system.svc"
ALL = {"ca.crt", "ca.key", "tls.crt", "tls.key"}
SERVER = {"tls.crt", "tls.key"}


def fresh(*, now: float = NOW, host: str = HOST) -> dict[str, bytes]:
    return made({}, host=host, now=now)


def certificate(data: Mapping[str, bytes], name: str = "tls.crt") -> x509.Certificate:
    return x509.load_pem_x509_certificate(data[name])


def test_an_empty_secret_gets_an_authority_and_a_certificate() -> None:
    data = fresh()
    assert set(data) == ALL
    server, authority = certificate(data), certificate(data, "ca.crt")
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST]
    assert server.not_valid_after_utc.timestamp() == NOW + 365 * DAY
    assert authority.not_valid_after_utc.timestamp() == NOW + 3650 * DAY


def test_an_address_is_named_as_an_address() -> None:
    names = certificate(fresh(host="127.0.0.1")).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert [str(one) for one in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


@pytest.mark.parametrize("host", [HOST, "x" * 63 + "." + "y" * 63 + ".svc", "::1"])
def test_what_is_made_needs_nothing_more(host: str) -> None:
    data = fresh(host=host)
    assert made(data, host=host, now=NOW) == {}
    assert made(data, host=host, now=NOW + 300 * DAY) == {}


@pytest.mark.parametrize(
    ("days", "renewed"),
    [
        pytest.param(334, set(), id="a month and a day before its end"),
        pytest.param(336, SERVER, id="less than a month before its end"),
        pytest.param(400, SERVER, id="after its end"),
        pytest.param(3650 - 394, ALL, id="where the authority ends before the next certificate would"),
    ],
)
def test_a_certificate_is_renewed_in_time(days: int, renewed: set[str]) -> None:
    data = fresh()
    change = made(data, host=HOST, now=NOW + days * DAY)
    assert set(change) == renewed
    if renewed == SERVER:
        certificate(change).verify_directly_issued_by(certificate(data, "ca.crt"))


@pytest.mark.parametrize(
    ("name", "renewed"),
    [("tls.crt", SERVER), ("tls.key", SERVER), ("ca.crt", ALL), ("ca.key", ALL)],
)
@pytest.mark.parametrize("wrong", ["missing", "no PEM", "of another"])
def test_what_does_not_fit_is_made_anew(name: str, wrong: str, renewed: set[str]) -> None:
    data = fresh()
    data[name] = {"missing": b"", "no PEM": b"x", "of another": fresh()[name]}[wrong]
    change = made(data, host=HOST, now=NOW)
    assert set(change) == renewed
    assert made(data | change, host=HOST, now=NOW) == {}


def test_another_host_is_another_certificate_of_the_same_authority() -> None:
    data = fresh()
    assert set(made(data, host="elsewhere.svc", now=NOW)) == SERVER
