"""The sender of a request: the peer's address, or the one that trusted proxies report."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from starlette.requests import Request

from shared.setting_types import Network

IPV6_PREFIX: Final = 64
UNKNOWN: Final = "unknown"

_WITH_PORT: Final = re.compile(r"(?P<ipv4>[0-9.]+):[0-9]{1,5}|\[(?P<ipv6>[0-9a-fA-F:.]+)\](:[0-9]{1,5})?")


def client_address(request: Request, trusted_proxies: Collection[Network]) -> str:
    """The address that limits and logs count as the sender.

    An IPv6 address counts as its /64, which belongs to one customer.

    X-Forwarded-For is read from its end, because proxies append to it. Reading continues while the addresses
    belong to trusted proxies; the first other address is the client. Never raises: at text that is not an
    address reading stops, and the proxy that wrote the text counts as the sender.

    A peer at a Unix socket is a proxy without an address: the last address in the header is its peer's.
    """
    hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    if request.client is not None:
        address = _parse(request.client.host)
    else:
        address = _parse(hops.pop()) if _is_unix(request) else None
    while address is not None and hops and any(address in network for network in trusted_proxies):
        named = _parse(hops.pop())
        if named is None:
            break
        address = named
    return _sender(address) if address else UNKNOWN


def _is_unix(request: Request) -> bool:
    """True if the server listens on a Unix socket. (A peer that is gone has no address either.)"""
    return (request.scope.get("server") or (None, 0))[1] is None


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address, None for anything else; IPv4 within IPv6 is the IPv4 address (RFC 4291, 2.5.5.2).

    Some proxies add the port that the client sent from: `192.0.2.2:5001`, `[2001:db8::1]:5001`.
    """
    text = text.strip().strip('"')
    if match := _WITH_PORT.fullmatch(text):
        text = match["ipv4"] or match["ipv6"]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _sender(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), IPV6_PREFIX), strict=False))
