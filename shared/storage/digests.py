"""Digests of blobs that were put by something else, computed once and remembered by revision."""

from __future__ import annotations

from collections import OrderedDict

REMEMBERED = 10_000


class DigestMemo:
    """SHA-256 hex by key and revision; the oldest go first."""

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
