"""What webhooks can hear of, and the addresses that they may have (docs/webhooks.md)."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from ada_url import URL

from shared.text import misleading_character

MAX_URL_BYTES: Final = 2048
# Of each part of a host name (RFC 1035, 2.3.4).
LABEL_CHARS: Final = range(1, 64)
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how secrets begin, as Standard Webhooks say
TEST_EVENT: Final = "webhook.test"
# What Python takes for public, and is not: clouds' metadata (Azure, Oracle), and a reserved network.
_INNER: Final = (IPv4Network("168.63.129.16/32"), IPv4Network("192.0.0.0/24"), IPv4Network("224.0.0.0/4"))
# The rest of IPv6 is not routed, or is another form of an IPv4 address, as are the two networks below.
_ROUTED: Final = IPv6Network("2000::/3")
_FORMS_OF_IPV4: Final = (IPv6Network("2001::/32"), IPv6Network("2002::/16"))


class WebhookEvent(StrEnum):
    """A change that webhooks hear of. deploy/migrations/versions/0016_webhooks.py says what causes each."""

    VERSION_PUBLISHED = "version.published"
    VERSION_YANKED = "version.yanked"
    VERSION_RESTORED = "version.restored"
    VERSION_REMOVED = "version.removed"
    ADVISORY_CREATED = "advisory.created"
    ADVISORY_WITHDRAWN = "advisory.withdrawn"
    OWNER_ADDED = "owner.added"
    OWNER_REMOVED = "owner.removed"


class AddressRefused(ValueError):
    """A webhook must not have this address. The message says why."""


def check_url(text: str, *, allows_http: bool, allows_private: bool) -> str:
    """The normal form of a webhook's URL. Raises AddressRefused.

    A host name is not looked up here, because it may mean another address when the webhook is called.
    """
    if len(text.encode()) > MAX_URL_BYTES or misleading_character(text) is not None:
        raise AddressRefused(f"a URL has at most {MAX_URL_BYTES} bytes and no control characters")
    try:
        url = URL(text)
    except ValueError:
        raise AddressRefused("not an absolute URL") from None
    if url.protocol != "https:" and not (allows_http and url.protocol == "http:"):
        raise AddressRefused("the URL must begin with https://")
    if not url.hostname or url.username or url.password or "#" in text:
        raise AddressRefused("the URL needs a host, and must have no user, password or fragment")
    if any(len(label) not in LABEL_CHARS for label in url.hostname.removesuffix(".").split(".")):
        raise AddressRefused("a part of the host's name is empty or longer than 63 characters")
    address = read_address(url.hostname.strip("[]"))
    if address is not None and not allows_private:
        require_public(address)
    return str(url.href)


def read_address(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that the host is; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def require_public(address: IPv4Address | IPv6Address) -> None:
    """Raise AddressRefused unless the address is one of the public internet.

    Loopback, private, link-local, shared, multicast and reserved addresses are not, nor are those of cloud
    metadata, nor forms of IPv6 that contain an IPv4 address.
    """
    if isinstance(address, IPv6Address):
        is_public = address in _ROUTED and not any(address in network for network in _FORMS_OF_IPV4)
    else:
        is_public = not any(address in network for network in _INNER)
    if not is_public or not address.is_global:
        raise AddressRefused("the host's address is not a public one")
