"""The list of tokens that may read a private registry: its key in storage, and its format.

The worker writes it and readers load it. It contains the SHA-256 of each token, like the database, and no
token. It is not part of the published tree: no route serves it, and neither export nor mirrors copy it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

ACCESS_KEY: Final = "access/tokens"


class AccessDocument(msgspec.Struct, frozen=True):
    """tokens: by a token's SHA-256 in 64 hex digits, its expiry in seconds since 1970, or null for never."""

    tokens: dict[str, float | None]


def render_access(tokens: Mapping[str, float | None]) -> bytes:
    """The document of these tokens; the same tokens give the same bytes."""
    return msgspec.json.encode(AccessDocument(dict(sorted(tokens.items()))))


def parse_access(body: bytes) -> Mapping[str, float | None]:
    """The tokens of a document. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(body, type=AccessDocument).tokens
