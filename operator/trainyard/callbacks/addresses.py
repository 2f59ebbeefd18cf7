"""Which addresses a callback may reach.

Separate because it is the fence around a request whose address a user chose: it judges addresses, never names, at the
moment a socket is made for one. Called by `callbacks.sender`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA IPv4 Special-Purpose Address Registry, multicast and reserved space.
_SPECIAL_V4 = {
    ipaddress.IPv4Network(text): what
    for text, what in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a carrier's internal address"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a reserved address"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
    )
}
_SPECIAL_V6 = {
    ipaddress.IPv6Network(text): what
    for text, what in (
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "a documentation address"),
        ("2002::/16", "a reserved address"),
        ("3fff::/20", "a documentation address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("ff00::/8", "a multicast address"),
    )
}
_GLOBAL_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
# NAT64's well-known prefix, with the IPv4 address in the last four bytes (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Where clouds hand credentials to whoever asks: AWS, GCP, Azure and OpenStack; ECS; Azure's wire server; Alibaba;
# Oracle; AWS by IPv6; GCP by IPv6.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)


def why_refused(text: str, *, allowed: Sequence[Network], encrypted: bool) -> str | None:
    """A sentence when the address must not be reached, else None. `encrypted` is whether the URL says https.

    Metadata services are refused even where `allowed` holds them. Raises ValueError for what is no address.
    """
    literal = ipaddress.ip_address(text.partition("%")[0])
    address = _inner(literal)
    if address in _METADATA:
        return f"{literal} is a metadata service, which callbacks never reach."
    if any(one in network for network in allowed for one in {literal, address}):
        return None
    what = _special(address)
    if what is not None:
        return (
            f"{literal} is {what}. Callbacks reach it only if the operator's callbacks.allowedCIDRs say so."
        )
    if not encrypted:
        return f"{literal} is not in the operator's callbacks.allowedCIDRs: use https."
    return None


def _inner(address: Address) -> Address:
    """The IPv4 address that a packet to `address` ends at, for the IPv6 addresses that stand for one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _special(address: Address) -> str | None:
    if isinstance(address, ipaddress.IPv4Address):
        return next((what for network, what in _SPECIAL_V4.items() if address in network), None)
    known = next((what for network, what in _SPECIAL_V6.items() if address in network), None)
    return known or (None if address in _GLOBAL_UNICAST_V6 else "a reserved address")
