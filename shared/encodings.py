"""Content codings of which the published tree keeps variants (RFC 9110, 8.4.1), and their keys.

A variant lies beside its identity blob as `<key>.zst` or `<key>.gz`. A dot never occurs in a package
name, so no client of a copied tree takes one for an index file (contract, 10.1).
"""

from __future__ import annotations

from typing import Final, Literal

Coding = Literal["zstd", "gzip"]

SUFFIXES: Final[dict[Coding, str]] = {"zstd": ".zst", "gzip": ".gz"}
"""Suffix of the key by coding; in the order in which the server prefers them."""

# A smaller body fits into one packet as it is: it has no variants, and nobody looks for any.
LEAST_BYTES: Final = 1024


def variant_key(key: str, coding: Coding) -> str:
    """Where the compressed variant of a blob lies."""
    return f"{key}{SUFFIXES[coding]}"
