"""A cache of blobs, bounded in bytes. freshness.py decides whether a cached blob may still be served.

Eviction is by second chance (a clock): a hit only sets a flag.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from api.read.representation import Representation
from shared.encodings import Coding

# The memory that an entry, and each of its bodies, takes in addition to the body: keys, validators, prebuilt
# heads and the objects that hold them. Measured; tests/api/read/test_cache.py measures again.
ENTRY_OVERHEAD_BYTES: Final = 1536
BODY_OVERHEAD_BYTES: Final = 1024

NEVER: Final = float("-inf")


@dataclass(slots=True, eq=False)
class CachedBlob:
    """A blob as storage had it, and when storage last confirmed that. Times: monotonic seconds.

    variants: those that were looked up; None means that storage has none made from this identity body.
    confirmed_at: when the confirming request began. suspect_since: the last sign that the blob may have
    changed. retry_at: after a failure, storage is not asked again before this time. was_used: since the last
    pass of eviction.
    """

    identity: Representation
    confirmed_at: float
    suspect_since: float = NEVER
    retry_at: float = NEVER
    variants: dict[Coding, Representation | None] = field(default_factory=dict)
    was_used: bool = False

    @property
    def size_bytes(self) -> int:
        """The bytes that the entry counts against the cache's limit."""
        held = [self.identity, *(variant for variant in self.variants.values() if variant is not None)]
        bodies = sum(len(one.body) for one in held if one.body is not None)
        return ENTRY_OVERHEAD_BYTES + len(held) * BODY_OVERHEAD_BYTES + bodies


def _ignore(key: str) -> None:
    """The default for on_removed: does nothing."""


class BlobCache:
    """Blobs by storage key, at most max_bytes of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, tuple[CachedBlob, int]] = OrderedDict()
        self.size_bytes = 0
        self.on_removed: Callable[[str], None] = _ignore
        """Called with each key whose blob was removed or replaced."""

    def get(self, key: str) -> CachedBlob | None:
        """The blob; marks it as used."""
        if (entry := self._entries.get(key)) is None:
            return None
        entry[0].was_used = True
        return entry[0]

    def peek(self, key: str) -> CachedBlob | None:
        """The blob; does not mark it as used."""
        entry = self._entries.get(key)
        return entry[0] if entry is not None else None

    def put(self, key: str, blob: CachedBlob) -> None:
        """Keep a blob, unless it alone exceeds the bound. Call it again for a blob that has grown."""
        size_bytes = blob.size_bytes + len(key)
        if size_bytes > self._max_bytes:
            self.remove(key)
            return
        if (old := self._entries.pop(key, None)) is not None:
            self.size_bytes -= old[1]
            if old[0] is not blob:
                self.on_removed(key)
        self._entries[key] = (blob, size_bytes)
        self.size_bytes += size_bytes
        self._evict(newest=key)

    def remove(self, key: str) -> None:
        """Forget a blob; absence is not an error."""
        if (entry := self._entries.pop(key, None)) is not None:
            self.size_bytes -= entry[1]
            self.on_removed(key)

    def _evict(self, newest: str) -> None:
        """Remove the oldest entries until the limit holds, except those used since the last pass."""
        while self.size_bytes > self._max_bytes:
            key, (blob, _) = next(iter(self._entries.items()))
            if blob.was_used or key == newest:
                blob.was_used = False
                self._entries.move_to_end(key)
            else:
                self.remove(key)
