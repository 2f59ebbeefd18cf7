"""Which addresses callbacks may reach."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.callbacks.addresses import why_refused

REFUSED = {
    "127.0.0.1": "a loopback address",
    "127.255.255.254": "a loopback address",
    "0.0.0.0": "an unspecified address",
    "0.1.2.3": "an unspecified address",
    "10.0.0.1": "a private address",
    "172.16.0.1": "a private address",
    "172.31.255.255": "a private address",
    "192.168.1.1": "a private address",
    "100.64.0.1": "a carrier's internal address",
    "100.127.255.255": "a carrier's internal address",
    "169.254.0.1": "a link-local address",
    "192.0.0.8": "a reserved address",
    "198.19.255.255": "a benchmarking address",
    "203.0.113.9": "a documentation address",
    "224.0.0.1": "a multicast address",
    "239.255.255.255": "a multicast address",
    "240.0.0.1": "a reserved address",
    "255.255.255.255": "a reserved address",
    "::": "an unspecified address",
    "::1": "a loopback address",
    "::127.0.0.1": "a reserved address",
    "::ffff:127.0.0.1": "a loopback address",
    "::ffff:10.1.2.3": "a private address",
    "64:ff9b::10.1.2.3": "a private address",
    "64:ff9b::7f00:1": "a loopback address",
    "64:ff9b:1::10.1.2.3": "a reserved address",
    "2002:7f00:1::": "a reserved address",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "a reserved address",
    "2001:db8::1": "a documentation address",
    "fc00::1": "a private address",
    "fd12:3456::1": "a private address",
    "fe80::1": "a link-local address",
    "fe80::1%eth0": "a link-local address",
    "fec0::1": "a reserved address",
    "ff02::1": "a multicast address",
    "100::1": "a reserved address",
    "5f00::1": "a reserved address",
}
METADATA = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::254%1",
]
PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "172.32.0.1",
    "100.128.0.1",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
    "2606:4700::1111",
    "2a00:1450:4001::1",
]


@pytest.mark.parametrize(("address", "what"), REFUSED.items())
def test_an_address_that_is_not_public_is_refused_by_what_it_is(address: str, what: str) -> None:
    why = why_refused(address, allowed=(), encrypted=True)
    assert why is not None
    assert what in why
    assert "allowedCIDRs" in why


@pytest.mark.parametrize("address", METADATA)
def test_a_metadata_service_is_refused_wherever_it_is_allowed(address: str) -> None:
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    for allowed in ((), everything):
        assert "metadata service" in (why_refused(address, allowed=allowed, encrypted=True) or "")


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached_by_https_only(address: str) -> None:
    assert why_refused(address, allowed=(), encrypted=True) is None
    assert "use https" in (why_refused(address, allowed=(), encrypted=False) or "")


@pytest.mark.parametrize(
    ("address", "network", "reached"),
    [
        pytest.param("10.96.0.7", "10.96.0.0/16", True, id="inside"),
        pytest.param("10.97.0.7", "10.96.0.0/16", False, id="beside"),
        pytest.param("::ffff:10.96.0.7", "10.96.0.0/16", True, id="as an IPv6 address that stands for it"),
        pytest.param("64:ff9b::10.96.0.7", "10.96.0.0/16", True, id="through NAT64"),
        pytest.param("fd00:10:96::7", "fd00:10:96::/112", True, id="of IPv6"),
        pytest.param("fd00:10:97::7", "fd00:10:96::/112", False, id="beside, of IPv6"),
        pytest.param("1.1.1.1", "1.1.1.0/24", True, id="public, for http"),
    ],
)
def test_allowed_networks_are_reached_by_http_too(address: str, network: str, reached: bool) -> None:
    why = why_refused(address, allowed=(ipaddress.ip_network(network),), encrypted=False)
    assert (why is None) == reached


@given(st.ip_addresses())
def test_what_python_knows_to_be_no_global_unicast_is_never_reached(address: ipaddress.IPv4Address) -> None:
    if not address.is_global or address.is_multicast:
        assert why_refused(str(address), allowed=(), encrypted=True) is not None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_each_of_its_ipv6_forms(address: ipaddress.IPv4Address) -> None:
    plain = why_refused(str(address), allowed=(), encrypted=True)
    for prefix in ("::ffff:", "64:ff9b::"):
        dressed = why_refused(f"{prefix}{address}", allowed=(), encrypted=True)
        assert (plain is None) == (dressed is None)
