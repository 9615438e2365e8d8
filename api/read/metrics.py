"""The metrics of the read service, on the default registry of prometheus_client."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

CACHE_LOOKUPS: Final = Counter(
    "x07_read_cache_lookups_total",
    "Look-ups of the blob cache. From memory: hit, missing (a name that is not there), stale (storage "
    "failed to confirm). From storage: miss, revalidate; requests that wait for the same one count once.",
    ["outcome"],
)
HITS: Final = CACHE_LOOKUPS.labels("hit")
HITS_MISSING: Final = CACHE_LOOKUPS.labels("missing")
HITS_STALE: Final = CACHE_LOOKUPS.labels("stale")
MISSES: Final = CACHE_LOOKUPS.labels("miss")
REVALIDATIONS: Final = CACHE_LOOKUPS.labels("revalidate")

STALE_ANSWERS: Final = Counter(
    "x07_read_stale_answers_total",
    "Answers that storage could not confirm; each has the header x-x07-stale.",
)

FAST_ANSWERS: Final = Counter(
    "x07_read_fast_answers_total",
    "Answers of the fast path, which bypass the application. Updated once per second.",
    ["status"],
)
FAST_OK: Final = FAST_ANSWERS.labels("200")
FAST_NOT_MODIFIED: Final = FAST_ANSWERS.labels("304")

CACHE_BYTES: Final = Gauge("x07_read_cache_bytes", "Present size of the blob cache, overhead included.")
