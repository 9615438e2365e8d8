"""What the read service counts."""

from __future__ import annotations

from prometheus_client import Counter

CACHE_LOOKUPS = Counter(
    "x07_read_cache_lookups_total",
    "Look-ups of the blob cache by outcome: hit, missing, miss, revalidate, stale.",
    ["outcome"],
)
