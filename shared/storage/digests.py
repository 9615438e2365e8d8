"""Digests of blobs: parsing stored ones, and remembering computed ones for blobs that were stored without."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

REMEMBERED: Final = 10_000

_SHA256_HEX = re.compile(r"[0-9a-f]{64}")


def parse_digest(text: str | None) -> str | None:
    """The digest, or None for anything else, which other software may have stored under the same name."""
    return text if text is not None and _SHA256_HEX.fullmatch(text) else None


class DigestMemo:
    """Digests of blobs that other software put, computed once and remembered by key and revision.

    The number is bounded; the oldest are dropped first. Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._digests: OrderedDict[tuple[str, str], str] = OrderedDict()

    def get(self, key: str, revision: str) -> str | None:
        """The digest of the blob at this revision, if it was computed before."""
        return self._digests.get((key, revision))

    def put(self, key: str, revision: str, digest: str) -> None:
        """Remember a digest."""
        self._digests[key, revision] = digest
        if len(self._digests) > REMEMBERED:
            self._digests.popitem(last=False)
