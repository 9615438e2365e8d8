"""Whom a request comes from: the peer, or what proxies that are trusted say of it."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from starlette.requests import Request

from shared.setting_types import Network

IPV6_PREFIX: Final = 64
UNKNOWN: Final = "unknown"


def client_address(request: Request, trusted_proxies: Collection[Network]) -> str:
    """The address that counts as the sender; of IPv6 its /64, which one customer has whole.

    X-Forwarded-For is read from its end, the part that proxies wrote, for as long as these are
    trusted; the first address that is not is the client. Never raises: what is no address ends the
    reading, and the proxy that wrote it counts.
    """
    address = _parse(request.client.host) if request.client else None
    hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    while address is not None and hops and any(address in network for network in trusted_proxies):
        named = _parse(hops.pop())
        if named is None:
            break
        address = named
    return _sender(address) if address else UNKNOWN


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address, None for anything else; IPv4 within IPv6 is the IPv4 address (RFC 4291, 2.5.5.2)."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _sender(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), IPV6_PREFIX), strict=False))
