"""The metrics of the read service, on the default registry of prometheus_client."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

CACHE_LOOKUPS: Final = Counter(
    "x07_read_cache_lookups_total",
    "Look-ups in the blob cache. Answered from memory: `hit`, `missing` (no blob has this name), `stale` "
    "(storage could not confirm the blob). Answered from storage: `miss`, `revalidate`; requests that wait "
    "for the same answer of storage count once.",
    ["outcome"],
)
HITS: Final = CACHE_LOOKUPS.labels("hit")
HITS_MISSING: Final = CACHE_LOOKUPS.labels("missing")
HITS_STALE: Final = CACHE_LOOKUPS.labels("stale")
MISSES: Final = CACHE_LOOKUPS.labels("miss")
REVALIDATIONS: Final = CACHE_LOOKUPS.labels("revalidate")

STALE_ANSWERS: Final = Counter(
    "x07_read_stale_answers_total",
    "Answers from blobs that storage could not confirm; each has the header `x-x07-stale`.",
)

FAST_ANSWERS: Final = Counter(
    "x07_read_fast_answers_total",
    "Answers of the fast path, which do not reach the application. Updated once per second.",
    ["status"],
)
FAST_OK: Final = FAST_ANSWERS.labels("200")
FAST_NOT_MODIFIED: Final = FAST_ANSWERS.labels("304")

CACHE_BYTES: Final = Gauge("x07_read_cache_bytes", "Memory that the blob cache takes, overhead included.")
