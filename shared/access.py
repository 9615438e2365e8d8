"""The list of tokens that may read what is private: its key in storage, and its format.

The worker writes it and readers load it. It contains the SHA-256 of each token, like the database, and no
token. It is not part of the published tree: no route serves it, and neither export nor mirrors copy it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

ACCESS_KEY: Final = "access/tokens"
# The worker looks for changed tokens, and readers confirm the list, once in this share of the time-to-live of
# reads. Both together stay within it, so that a revoked token reads no longer than that without Redis.
SHARE_OF_TTL: Final = 0.4
SHORTEST_S: Final = 0.05


def access_interval_s(read_ttl_s: float) -> float:
    """The time between two looks, on either side."""
    return max(read_ttl_s * SHARE_OF_TTL, SHORTEST_S)


class AccessDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """tokens: by a token's SHA-256 in 64 hex digits, its expiry in seconds since 1970, or null for never.

    private: in a public registry, the names and patterns of the private packages that each token may read.
    """

    tokens: dict[str, float | None]
    private: dict[str, tuple[str, ...]] = {}


class Grant(msgspec.Struct, frozen=True):
    """What a token may do. ends: its expiry in seconds since 1970, None for never.

    private: patterns of private packages; empty in a private registry, where each token reads everything.
    """

    ends: float | None
    private: tuple[str, ...] = ()


def render_access(grants: Mapping[str, Grant]) -> bytes:
    """The document of these grants by token hash; the same grants give the same bytes."""
    ordered = sorted(grants.items())
    return msgspec.json.encode(
        AccessDocument(
            {token: grant.ends for token, grant in ordered},
            {token: grant.private for token, grant in ordered if grant.private},
        )
    )


def parse_access(body: bytes) -> Mapping[str, Grant]:
    """The grants of a document by token hash. Raises msgspec.MsgspecError."""
    document = msgspec.json.decode(body, type=AccessDocument)
    return {token: Grant(ends, document.private.get(token, ())) for token, ends in document.tokens.items()}
