"""The content codings of variants in the published tree (RFC 9110, 8.4.1), and the variants' keys.

The variants of a blob have its key with `.zst` or `.gz` appended. Package names contain no dot, so no client
of a copied tree takes a variant for an index file (contract, 10.1).
"""

from __future__ import annotations

from typing import Final, Literal

Coding = Literal["zstd", "gzip"]

SUFFIXES: Final[dict[Coding, str]] = {"zstd": ".zst", "gzip": ".gz"}
"""Suffix of the key by coding, in the order that the server prefers."""

# A smaller body has no variants. They would save neither a round trip, as it fits into three packets, nor a
# block of the disk; but each publish would write two more files, and each cache miss would read one (0055).
MIN_COMPRESSED_BYTES: Final = 4096


def variant_key(key: str, coding: Coding) -> str:
    """The key of a compressed variant of a blob."""
    return f"{key}{SUFFIXES[coding]}"
