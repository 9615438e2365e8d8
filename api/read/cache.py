"""A cache of whole blobs, bounded in bytes; the least recently used go first.

It knows nothing of freshness: freshness.py decides when a blob must be looked at again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from shared.storage.interface import Found

# What an entry costs besides its body: keys, headers, objects.
ENTRY_OVERHEAD_BYTES = 1024


@dataclass(slots=True)
class CachedBlob:
    """A blob and when storage last confirmed it.

    confirmed_at: monotonic seconds at which the confirming request began. suspect_since: monotonic
    seconds of the last sign that it may have changed. is_stale: storage failed to answer when asked.
    """

    found: Found
    etag: str
    confirmed_at: float
    suspect_since: float = float("-inf")
    retry_at: float = float("-inf")

    @property
    def size_bytes(self) -> int:
        """What the entry counts for."""
        return len(self.found.body) + ENTRY_OVERHEAD_BYTES


class BlobCache:
    """Blobs by storage key, at most max_bytes of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, CachedBlob] = OrderedDict()
        self.size_bytes = 0

    def get(self, key: str) -> CachedBlob | None:
        """The blob, now the most recently used."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: str, entry: CachedBlob) -> None:
        """Keep a blob, unless it alone is over the bound."""
        self.remove(key)
        if entry.size_bytes > self._max_bytes:
            return
        self._entries[key] = entry
        self.size_bytes += entry.size_bytes
        while self.size_bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.size_bytes -= oldest.size_bytes

    def remove(self, key: str) -> None:
        """Forget a blob; absence is not an error."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size_bytes -= entry.size_bytes

    def peek(self, key: str) -> CachedBlob | None:
        """The blob, without counting as a use."""
        return self._entries.get(key)
